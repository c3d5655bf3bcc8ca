// What a function sees of the call that it answers.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include <katamari/connection.hpp>
#include <katamari/errors.hpp>
#include <katamari/json.hpp>
#include <katamari/types.hpp>

namespace katamari {

// How a nested call differs from what it inherits:
//   call.cluster("parse.linkage", {{"text", t}}, katamari::Nested().timeout(200ms).idempotent())
class Nested {
 public:
  // More details than the kind: version keys, "tags", "roles".
  Nested& details(json details) {
    details_ = std::move(details);
    return *this;
  }
  // Can only shorten what remains of the running call.
  Nested& timeout(std::chrono::milliseconds timeout) {
    return set("timeout_ms", std::max<std::int64_t>(timeout.count(), 0));
  }
  // Calls of the same key go to the same version.
  Nested& key(const std::string& key) { return set("key", key); }
  // "high", "normal" or "low"; can only lower the class of the running call.
  Nested& call_class(const std::string& name) { return set("class", name); }
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
    auto answer = nested(target, {arguments.data, arguments.content_type}, options);
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
    connection_.send(running_, {piece.data, piece.content_type});
  }
};

}  // namespace katamari
