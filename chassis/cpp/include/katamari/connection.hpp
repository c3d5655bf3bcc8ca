// One end of the protocol: reads descriptor 3, writes descriptor 4, knows the running calls.
//
// There is no thread for reading. Whoever waits for something reads for everybody, one at a time
// (the leader), while others who wait sleep until it tells them that something changed; when the
// leader has got what it waited for, one of the sleepers takes over. So a worker with one slot has
// one thread, runs its functions on main's own, and takes a call without any handing over, and a
// worker with several slots needs nothing else but more threads that do the same. Rejected: a
// reading thread. It would cost a switch for each call and break programs that must not have
// threads, such as those that fork.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <poll.h>

#include <katamari/errors.hpp>
#include <katamari/frame.hpp>

namespace katamari::detail {

constexpr int descriptor_in = 3;
constexpr int descriptor_out = 4;
constexpr int protocol_version = 1;
constexpr std::int64_t stream_credit_default = 256 * 1024;
// In how many portions the credit of an input is given back, at the most, so that not every small
// piece costs a frame.
constexpr std::int64_t grant_portions = 8;
// What an error may say. Message and type, escaped sixfold, fit a header together.
constexpr std::size_t message_bytes_max = 8 * 1024;
constexpr std::size_t type_bytes_max = 200;
constexpr std::size_t backtrace_bytes_max = 64 * 1024;
// No call waits for years, and a later instant would overflow the clock.
constexpr std::uint64_t timeout_ms_max = 1'000'000'000'000;

using Clock = std::chrono::steady_clock;

// What has come of a call's input and was not read. It changes under the lock of the connection.
// The worker never holds more of it than it has granted: `owed` is what it can grant now, all the
// credit of a stream before the first read, and what was taken after that.
struct Incoming {
  bool given = false;
  bool ended = false;
  std::string content_type;
  std::deque<std::string> pieces;
  std::int64_t owed = 0;
};

// A call from its arrival to its answer. `cancelled`, `cancel_reason` and `credit` change under the
// lock of the connection; the rest is fixed on arrival, but for `last`, which its function sets.
struct Running {
  std::uint64_t id = 0;
  std::string call;
  std::string function;
  std::string key;
  std::string call_class;
  Clock::time_point deadline;
  Payload arguments;
  std::atomic<bool> cancelled{false};
  std::string cancel_reason;
  std::int64_t credit = 0;
  Incoming incoming;
  bool last = false;
};

class Connection {
 public:
  Connection() : reader_(descriptor_in) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Sends the hello and waits for the welcome. False if the manager wants no worker any more.
  bool introduce(const std::string& description) {
    try {
      write('H', {{"protocol", protocol_version}}, description);
    } catch (const TooLarge& error) {
      give_up(std::string("the worker's description is ") + error.what());
    }
    std::unique_lock lock(mutex_);
    await(lock, idle_, [this] { return welcomed_ || quitting_; });
    return welcomed_;
  }

  // Waits for a call. Nothing if the worker is to end and has no call left to begin.
  std::unique_ptr<Running> next_call() {
    std::unique_lock lock(mutex_);
    await(lock, idle_, [this] { return !waiting_.empty() || quitting_; });
    std::unique_ptr<Running> call;
    if (!waiting_.empty()) {
      call = std::move(waiting_.front());
      waiting_.pop_front();
    }
    hand_over();
    return call;
  }

  // Ends a call with its answer. Throws TooLarge, after which the call can still fail.
  void reply(const Running& call, const Payload& result) {
    json header = {{"id", call.id}};
    if (!result.content_type.empty()) header["content_type"] = result.content_type;
    if (call.last) header["last"] = true;
    write('R', header, result.bytes);
    forget(call);
  }

  // Ends a call with an error.
  void fail(const Running& call, const Failure& failure) {
    // Each of the three may be escaped sixfold and must leave room for the others.
    const std::size_t room = frame_max_ / 16;
    json header = {{"id", call.id},
                   {"message", short_text(failure.message, std::min(message_bytes_max, room))},
                   {"type", short_text(failure.type, std::min(type_bytes_max, room))}};
    if (call.last) header["last"] = true;
    write('E', header, short_text(failure.backtrace, std::min(backtrace_bytes_max, room)));
    forget(call);
  }

  // Waits until a streamed reply has credit, and uses up as much of it. Throws Cancelled.
  void use_credit(Running& call, std::size_t bytes) {
    poll();
    std::unique_lock lock(mutex_);
    await(lock, changed_, [&call] { return call.credit > 0 || call.cancelled; });
    hand_over();
    if (call.cancelled) throw Cancelled(call.cancel_reason);
    // At the end of descriptor 3 no credit can come either.
    if (call.credit <= 0) throw Cancelled("shutdown");
    call.credit -= static_cast<std::int64_t>(bytes);
  }

  // Sends a piece of a streamed reply when there is credit for it. Throws Cancelled, TooLarge.
  void send(Running& call, const Payload& piece) {
    use_credit(call, piece.bytes.size());
    json header = {{"id", call.id}};
    if (!piece.content_type.empty()) header["content_type"] = piece.content_type;
    try {
      write('S', header, piece.bytes);
    } catch (const TooLarge&) {
      const std::lock_guard lock(mutex_);
      call.credit += static_cast<std::int64_t>(piece.bytes.size());
      changed_.notify_all();
      throw;
    }
  }

  // Waits for the next piece of a call's input; nothing at its end. Throws Cancelled.
  std::optional<std::string> next_piece(Running& call) {
    Incoming& incoming = call.incoming;
    std::unique_lock lock(mutex_);
    if (!incoming.given) return std::nullopt;
    if (!incoming.ended && !call.cancelled && incoming.owed * grant_portions >= stream_credit_) {
      const std::int64_t bytes = std::exchange(incoming.owed, 0);
      lock.unlock();
      write('G', {{"id", call.id}, {"bytes", bytes}}, "");
      lock.lock();
    }
    await(lock, changed_, [&] {
      return !incoming.pieces.empty() || incoming.ended || call.cancelled;
    });
    hand_over();
    if (call.cancelled) throw Cancelled(call.cancel_reason);
    if (incoming.pieces.empty()) {
      // At the end of descriptor 3 nothing more can come.
      if (!incoming.ended) throw Cancelled("shutdown");
      return std::nullopt;
    }
    std::string piece = std::move(incoming.pieces.front());
    incoming.pieces.pop_front();
    incoming.owed += static_cast<std::int64_t>(piece.size());
    return piece;
  }

  std::string content_type(const Running& call) {
    const std::lock_guard lock(mutex_);
    return call.incoming.content_type;
  }

  // Calls the cluster and waits for the answer. Throws CallError.
  Payload nested(json header, const Payload& arguments) {
    const std::uint64_t id = next_nested_++;
    header["id"] = id;
    if (!arguments.content_type.empty()) header["content_type"] = arguments.content_type;
    std::optional<Frame> answer;
    std::unique_lock lock(mutex_);
    nested_.emplace(id, &answer);
    lock.unlock();
    try {
      write('N', header, arguments.bytes);
    } catch (const TooLarge& error) {
      lock.lock();
      nested_.erase(id);
      throw CallError("too_large", error.what());
    }
    lock.lock();
    await(lock, changed_, [&answer] { return answer.has_value(); });
    hand_over();
    nested_.erase(id);
    lock.unlock();
    if (!answer) throw CallError("stopping", "the manager has gone");
    if (answer->type == 'B') {
      throw CallError(text(answer->header, "code"), text(answer->header, "message"));
    }
    return {std::move(answer->payload), text(answer->header, "content_type")};
  }

  std::string cancel_reason(const Running& call) {
    const std::lock_guard lock(mutex_);
    return call.cancel_reason;
  }

  // Takes in what has arrived, without waiting. If another thread is reading there is no need to.
  void poll() {
    std::unique_lock lock(mutex_);
    if (reading_ || ended_) return;
    reading_ = true;
    lock.unlock();
    while (readable() && receive()) {
    }
    lock.lock();
    reading_ = false;
    hand_over();
  }

 private:
  // Waits until `ready()` holds or descriptor 3 has ended, asleep on `condition` while another
  // thread reads. `ready` is called under the lock. To be followed by hand_over().
  template <class Ready>
  void await(std::unique_lock<std::mutex>& lock, std::condition_variable& condition, Ready ready) {
    while (!ready() && !ended_) {
      if (!waiting_.empty()) idle_.notify_one();
      if (reading_) {
        condition.wait(lock);
        continue;
      }
      reading_ = true;
      lock.unlock();
      receive();
      lock.lock();
      reading_ = false;
    }
  }

  // Somebody must read, and somebody must take each call that waits. One idle thread is woken for
  // both; it does the same when it goes on. Waking all would cost a switch for each slot and call.
  void hand_over() {
    if (!reading_ || !waiting_.empty()) idle_.notify_one();
    if (!reading_) changed_.notify_all();
  }

  // Whether descriptor 3 has something now, be it its end.
  static bool readable() {
    pollfd descriptor = {descriptor_in, POLLIN, 0};
    if (::poll(&descriptor, 1, 0) < 0) {
      if (errno == EINTR) return false;
      give_up(std::string("cannot poll descriptor 3: ") + std::strerror(errno));
    }
    return descriptor.revents != 0;
  }

  // Reads once and handles every frame that is complete. False at the end. Only for the leader.
  // An exception here could only be lack of memory, with a frame half handled and the others
  // asleep: it ends the process, which the manager sees.
  bool receive() noexcept {
    if (!reader_.fill()) {
      const std::lock_guard lock(mutex_);
      ended_ = quitting_ = true;
      idle_.notify_all();
      changed_.notify_all();
      return false;
    }
    while (auto frame = reader_.take()) {
      if (frame->type == 'P') {
        write('O', json::object(), "");
      } else {
        const std::lock_guard lock(mutex_);
        handle(std::move(*frame));
      }
    }
    return true;
  }

  void handle(Frame frame) {
    switch (frame.type) {
      case 'W': return handle_welcome(frame.header);
      case 'C': return handle_call(std::move(frame));
      case 'I': {
        const auto call = calls_.find(number(frame.header, "id"));
        if (call == calls_.end()) return;
        handle_input(call->second->incoming, std::move(frame));
        changed_.notify_all();
        return;
      }
      case 'F': {
        const auto call = calls_.find(number(frame.header, "id"));
        if (call == calls_.end()) return;
        call->second->credit += static_cast<std::int64_t>(number(frame.header, "bytes"));
        changed_.notify_all();
        return;
      }
      case 'X': {
        const auto call = calls_.find(number(frame.header, "id"));
        if (call == calls_.end()) return;
        call->second->cancel_reason = text(frame.header, "reason");
        call->second->cancelled = true;
        changed_.notify_all();
        return;
      }
      case 'A':
      case 'B': {
        const auto answer = nested_.find(number(frame.header, "id"));
        if (answer == nested_.end()) return;
        *answer->second = std::move(frame);
        changed_.notify_all();
        return;
      }
      case 'Q':
        quitting_ = true;
        idle_.notify_all();
        return;
      default: give_up(std::string("the manager sent a frame of unknown type ") + frame.type);
    }
  }

  void handle_welcome(const json& header) {
    if (header.contains("frame_max")) {
      frame_max_ = number(header, "frame_max");
      reader_.set_frame_max(frame_max_);
    }
    if (header.contains("stream_credit")) {
      stream_credit_ = static_cast<std::int64_t>(number(header, "stream_credit"));
    }
    welcomed_ = true;
  }

  void handle_call(Frame frame) {
    auto call = std::make_unique<Running>();
    call->id = number(frame.header, "id");
    call->call = text(frame.header, "call");
    call->function = text(frame.header, "function");
    call->key = text(frame.header, "key");
    call->call_class = text(frame.header, "class");
    const auto timeout_ms = std::min(number(frame.header, "timeout_ms"), timeout_ms_max);
    call->deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    call->arguments = {std::move(frame.payload), text(frame.header, "content_type")};
    call->credit = stream_credit_;
    call->incoming.given = flag(frame.header, "input");
    call->incoming.owed = stream_credit_;
    calls_.emplace(call->id, call.get());
    waiting_.push_back(std::move(call));
  }

  static void handle_input(Incoming& incoming, Frame frame) {
    if (frame.header.contains("content_type")) {
      incoming.content_type = text(frame.header, "content_type");
    }
    if (!frame.payload.empty()) incoming.pieces.push_back(std::move(frame.payload));
    incoming.ended = incoming.ended || flag(frame.header, "end");
  }

  void write(char type, const json& header, std::string_view payload) {
    const std::lock_guard lock(write_mutex_);
    write_frame(descriptor_out, frame_max_, type, header, payload);
  }

  // The call is answered: a cancel or credit that crosses its answer finds nothing.
  void forget(const Running& call) {
    const std::lock_guard lock(mutex_);
    calls_.erase(call.id);
  }

  static std::uint64_t number(const json& header, const char* key) {
    const auto found = header.find(key);
    if (found == header.end() || !found->is_number_unsigned()) {
      give_up(std::string("the manager sent a header without a number `") + key + "`");
    }
    return found->get<std::uint64_t>();
  }

  // Absent keys are false.
  static bool flag(const json& header, const char* key) {
    const auto found = header.find(key);
    return found != header.end() && found->is_boolean() && found->get<bool>();
  }

  // Absent keys are empty.
  static std::string text(const json& header, const char* key) {
    const auto found = header.find(key);
    if (found == header.end() || found->is_null()) return "";
    if (!found->is_string()) give_up(std::string("the manager sent no string as `") + key + "`");
    return found->get<std::string>();
  }

  std::mutex write_mutex_;
  std::atomic<std::size_t> frame_max_{frame_max_default};
  std::atomic<std::uint64_t> next_nested_{0};
  FrameReader reader_;  // the leader's

  std::mutex mutex_;  // for all below
  std::condition_variable idle_;     // threads without a call sleep here
  std::condition_variable changed_;  // threads in a call that wait for credit or an answer
  bool reading_ = false;
  bool welcomed_ = false;
  bool quitting_ = false;
  bool ended_ = false;
  std::int64_t stream_credit_ = stream_credit_default;
  std::deque<std::unique_ptr<Running>> waiting_;
  std::unordered_map<std::uint64_t, Running*> calls_;
  std::unordered_map<std::uint64_t, std::optional<Frame>*> nested_;
};

}  // namespace katamari::detail
