// What a function sees of the call that it answers.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <katamari/connection.hpp>
#include <katamari/errors.hpp>
#include <katamari/json.hpp>
#include <katamari/types.hpp>

namespace katamari {

namespace detail {

// The manager's own limits. What exceeds them, or is of another type, would be a header that it
// cannot read: that is a mistake in the function, and must not cost the worker.
constexpr std::size_t key_bytes_max = 1024;
constexpr std::size_t details_max = 32;
constexpr std::size_t details_text_bytes_max = 200;

inline bool is_details_text(const json& value) {
  return value.is_string() && value.get_ref<const std::string&>().size() <= details_text_bytes_max;
}

// Throws std::invalid_argument unless these are details that a manager understands.
inline void check_details(const json& details) {
  if (!details.is_object()) {
    throw std::invalid_argument(std::string("details are an object, not ") + details.type_name());
  }
  if (details.size() > details_max) {
    throw std::invalid_argument("more than " + std::to_string(details_max) + " details");
  }
  const std::string text = " of at most " + std::to_string(details_text_bytes_max) + " bytes";
  for (const auto& [name, value] : details.items()) {
    if (name.size() > details_text_bytes_max) {
      throw std::invalid_argument("the names of details are strings" + text);
    }
    if (name == "tags" || name == "roles") {
      if (!value.is_array() || value.size() > details_max ||
          !std::all_of(value.begin(), value.end(), is_details_text)) {
        throw std::invalid_argument("`" + name + "` is an array of at most " +
                                    std::to_string(details_max) + " strings" + text);
      }
    } else if (!is_details_text(value)) {
      throw std::invalid_argument("`" + name + "` among details is a string" + text);
    }
  }
}

}  // namespace detail

// How a nested call differs from what it inherits:
//   call.cluster("parse.linkage", {{"text", t}}, katamari::Nested().timeout(200ms).idempotent())
// What no manager could understand is refused with std::invalid_argument.
class Nested {
 public:
  // More details than the kind: version keys, "tags", "roles".
  Nested& details(json details) {
    detail::check_details(details);
    details_ = std::move(details);
    return *this;
  }
  // Can only shorten what remains of the running call.
  Nested& timeout(std::chrono::milliseconds timeout) {
    const auto longest = static_cast<std::int64_t>(detail::timeout_ms_max);
    return set("timeout_ms", std::clamp<std::int64_t>(timeout.count(), 0, longest));
  }
  // Calls of the same key go to the same version.
  Nested& key(const std::string& key) {
    if (key.size() > detail::key_bytes_max) {
      throw std::invalid_argument("a key has at most " + std::to_string(detail::key_bytes_max) +
                                  " bytes");
    }
    return set("key", key);
  }
  // "high", "normal" or "low"; can only lower the class of the running call.
  Nested& call_class(const std::string& name) {
    if (name != "high" && name != "normal" && name != "low") {
      throw std::invalid_argument("a class is high, normal or low, not `" + name + "`");
    }
    return set("class", name);
  }
  // It may be tried again if its worker dies.
  Nested& idempotent() { return set("idempotent", true); }

 private:
  friend class Call;
  Nested& set(const char* name, json value) {
    header_[name] = std::move(value);
    return *this;
  }
  json details_ = json::object();
  json header_ = json::object();
};

class Call {
 public:
  Call(detail::Connection& connection, detail::Running& running)
      : connection_(connection), running_(running) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // The call's public id, for logs.
  const std::string& id() const { return running_.call; }
  // The key it was called with, empty if none.
  const std::string& key() const { return running_.key; }
  // "high", "normal" or "low".
  const std::string& call_class() const { return running_.call_class; }

  // The time until the deadline, never negative.
  std::chrono::milliseconds remaining() const {
    using std::chrono::milliseconds;
    const auto rest = running_.deadline - detail::Clock::now();
    return std::max(std::chrono::duration_cast<milliseconds>(rest), milliseconds::zero());
  }

  // Whether nobody wants the answer any more. Looks at what has arrived and never waits. It costs
  // a system call; ask every few milliseconds of work.
  bool cancelled() {
    if (!running_.cancelled) connection_.poll();
    return running_.cancelled;
  }

  // Why it was cancelled: "deadline", "client_left" or "shutdown". Empty if cancelled() is false.
  std::string cancel_reason() const { return connection_.cancel_reason(running_); }

  // The worker exits once this call is answered, be it by a result or an error, and is replaced.
  void last() { running_.last = true; }

  // Calls the cluster: target is "kind.function", arguments an object (named) or an array
  // (positional). Throws CallError.
  json cluster(const std::string& target, const json& arguments, const Nested& options = {}) {
    const auto answer = nested(target, {detail::encode(arguments, "the arguments"), ""}, options);
    if (!answer.content_type.empty()) {
      throw CallError("worker_error", target + " answered with " + answer.content_type +
                                          "; use cluster_bytes");
    }
    return detail::decode(answer.bytes, "the bytes of an answer");
  }

  // The same with a payload that is not JSON. An answer in JSON has the type application/json.
  Bytes cluster_bytes(const std::string& target, const Bytes& arguments,
                      const Nested& options = {}) {
    auto answer = nested(target, detail::bytes_payload(arguments), options);
    if (answer.content_type.empty()) answer.content_type = "application/json";
    return {std::move(answer.bytes), std::move(answer.content_type)};
  }

 protected:
  detail::Connection& connection_;
  detail::Running& running_;

 private:
  detail::Payload nested(const std::string& target, const detail::Payload& arguments,
                         const Nested& options) {
    const auto dot = target.find('.');
    if (dot == std::string::npos) {
      throw CallError("bad_request", "`" + target + "` is not of the form kind.function");
    }
    json header = options.header_;
    header["parent"] = running_.id;
    header["details"] = options.details_;
    header["details"]["kind"] = target.substr(0, dot);
    header["function"] = target.substr(dot + 1);
    return connection_.nested(std::move(header), arguments);
  }
};

// What a call brings beside its arguments, as bytes that come while the function runs. Whatever
// waits here throws Cancelled when the call is cancelled. A call without an input has an empty one.
//
//   for (const std::string& piece : input) ...
class Input {
 public:
  Input(detail::Connection& connection, detail::Running& running)
      : connection_(connection), running_(running) {}
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  // The next piece, never an empty one, or what is left of it; nothing at the end.
  std::optional<std::string> next() {
    if (begin_ == piece_.size()) return connection_.next_piece(running_);
    std::string rest = piece_.substr(begin_);
    begin_ = piece_.size();
    return rest;
  }

  // As read(2) of a file: up to `size` bytes, as soon as there are some. 0 at the end.
  std::size_t read(char* buffer, std::size_t size) {
    if (size > 0 && begin_ == piece_.size()) {
      begin_ = 0;
      piece_.clear();
      piece_ = connection_.next_piece(running_).value_or("");
    }
    const std::size_t count = piece_.copy(buffer, size, begin_);
    begin_ += count;
    return count;
  }

  // So many bytes, fewer only at the end.
  std::string read(std::size_t size) {
    std::string bytes;
    while (bytes.size() < size) {
      auto piece = next();
      if (!piece) break;
      const std::size_t wanted = std::min(size - bytes.size(), piece->size());
      bytes.append(*piece, 0, wanted);
      piece_ = std::move(*piece);
      begin_ = wanted;
    }
    return bytes;
  }

  // Whether the call came with an input, be it an empty one.
  bool given() const { return running_.incoming.given; }

  // What the client says that it is; known when the first piece was read, empty if it did not.
  std::string content_type() const { return connection_.content_type(running_); }

  // For range-based loops, each of which goes on where the one before stopped.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string*;
    using reference = const std::string&;

    explicit Iterator(Input* input) : input_(input) { ++*this; }
    Iterator() = default;
    reference operator*() const { return *piece_; }
    pointer operator->() const { return &*piece_; }
    Iterator& operator++() {
      piece_ = input_->next();
      return *this;
    }
    bool operator==(const Iterator& other) const {
      return piece_.has_value() == other.piece_.has_value();
    }
    bool operator!=(const Iterator& other) const { return !(*this == other); }

   private:
    Input* input_ = nullptr;
    std::optional<std::string> piece_;
  };
  Iterator begin() { return Iterator(this); }
  Iterator end() { return {}; }

 private:
  detail::Connection& connection_;
  detail::Running& running_;
  std::string piece_;  // of which the bytes from begin_ on were not read
  std::size_t begin_ = 0;
};

// The call of a function that answers in pieces.
class Stream : public Call {
 public:
  using Call::Call;

  // Sends one piece. Waits while the reader is slow; throws Cancelled if nobody reads any more, and
  // TooLarge, after which smaller pieces can follow.
  void send(const json& piece) {
    connection_.send(running_, {detail::encode(piece, "the piece"), ""});
  }
  void send_bytes(const Bytes& piece) {
    connection_.send(running_, detail::bytes_payload(piece));
  }
};

}  // namespace katamari
