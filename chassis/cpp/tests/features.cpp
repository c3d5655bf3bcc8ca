// A worker for what the conformance worker leaves out: types, bytes, several slots, errors that
// are no std::exception, results that cannot be sent. Its arguments: the number of slots.
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <katamari/worker.hpp>

using katamari::Bytes;
using katamari::Call;
using katamari::Input;
using katamari::json;
using katamari::Stream;

namespace example {

// A type of the user's own, for nlohmann's conversion.
struct Point {
  double x = 0;
  double y = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Point, x, y)

// A type of the user's own to throw.
struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Lets everybody through once as many have come as are awaited.
class Meeting {
 public:
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    ++present_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return present_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int present_ = 0;
};

void define_types(katamari::Worker& worker) {
  worker.function(
      "types", "One parameter of each type.",
      {{"text", "some text"}, "small", "wide", "ratio", "flag", "list", "table", "any", "maybe"},
      [](std::string text, std::int8_t small, std::uint64_t wide, double ratio, bool flag,
         std::vector<std::vector<int>> list, std::map<std::string, std::optional<int>> table,
         json any, std::optional<std::string> maybe) {
        return json{text, small, wide, ratio, flag, list, table.size(), any, maybe.value_or("-")};
      });
  worker.function("mirror", "A point of the user's own type.", {"point"}, [](Point point) {
    return Point{point.y, point.x};
  });
  worker.function("half", "Nothing for odd numbers.", {"number"},
                  [](int number) -> std::optional<int> {
                    if (number % 2 != 0) return std::nullopt;
                    return number / 2;
                  })
      .example({{"number", 4}}, 2)
      .example(json::array({3}), nullptr)
      .example({{"number", 5}});
  worker.function("untyped", "Bytes without a content type.", {"text"},
                  [](std::string text) { return Bytes{text, ""}; });
  worker.function("reverse", "Reverses bytes.", {"bytes"}, [](Bytes bytes) {
    return Bytes{{bytes.data.rbegin(), bytes.data.rend()}, bytes.content_type};
  });
}

// The status of a forked child that throws out of its function.
int stray_child() {
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) throw std::runtime_error("from the child");
  int status = 0;
  if (::waitpid(child, &status, 0) < 0) throw std::runtime_error("cannot wait");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void define_failures(katamari::Worker& worker) {
  worker.function("nan", "Cannot be answered.", [] { return json{{"scores", {1.0, NAN}}}; });
  worker.function("discarded", "Cannot be answered.",
                  [] { return json{1, json::parse("{oops", nullptr, false)}; });
  worker.function("send_discarded", "Cannot be streamed.",
                  [](Stream& stream) { stream.send(json::parse("{oops", nullptr, false)); });
  worker.function("latin1", "Cannot be answered.", [] { return "caf\xe9"; });
  worker.function("refuse", "Throws a type of its own.", [] { throw Refusal("no \xe9 today"); });
  worker.function("wrapped", "Throws with a cause.", [] {
    try {
      throw Refusal("the cause");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("the effect"));
    }
  });
  worker.function("fail_long", "Throws long texts, as cause and as effect.", {"text"},
                  [](std::string text) {
                    try {
                      throw Refusal(text);
                    } catch (...) {
                      std::throw_with_nested(std::runtime_error(text));
                    }
                  });
  worker.function("throw_int", "Throws what is no exception.", [] { throw 42; });
  worker.function("stray_child", "Forks a child that throws.", stray_child);
  worker.function("huge", "Answers with a string of a size.", {"size"},
                  [](std::size_t size) { return std::string(size, 'x'); });
  worker.function("last_fail", "Fails and exits.", [](Call& call) {
    call.last();
    throw std::runtime_error("worn out");
  });
}

void define_calls(katamari::Worker& worker, Meeting& meeting) {
  worker.function("about", "What the call says of itself.", [](Call& call) {
    return json{{"id", call.id()}, {"key", call.key()}, {"class", call.call_class()}};
  });
  worker.function("ask", "A nested call with every option.", {"text"},
                  [](Call& call, std::string text) {
                    using namespace std::chrono_literals;
                    return call.cluster("parse.linkage", {{"text", text}},
                                        katamari::Nested()
                                            .details({{"grammar", "5.12.0"}, {"tags", {"en"}}})
                                            .timeout(250ms)
                                            .key("user-7")
                                            .call_class("low")
                                            .idempotent());
                  });
  worker.function("ask_with", "A nested call with options that may be bad.", {"options"},
                  [](Call& call, json options) {
                    katamari::Nested nested;
                    if (options.contains("details")) nested.details(options["details"]);
                    if (options.contains("key")) nested.key(options["key"]);
                    if (options.contains("class")) nested.call_class(options["class"]);
                    return call.cluster("parse.linkage", json::object(), nested);
                  });
  worker.function("shrink", "A nested call with bytes.", {"image"}, [](Call& call, Bytes image) {
    return call.cluster_bytes("images.shrink", image);
  });
  worker.function("pieces", "Streams bytes and a last value.", {"sizes"},
                  [](Stream& stream, std::vector<std::size_t> sizes) {
                    for (const auto size : sizes) stream.send_bytes({std::string(size, 'x')});
                    return sizes.size();
                  });
  worker.function("shrinking", "Streams the largest string that fits.", {"size"},
                  [](Stream& stream, std::size_t size) {
                    for (;; size /= 2) {
                      try {
                        return stream.send(std::string(size, 'x'));
                      } catch (const katamari::TooLarge&) {
                      }
                    }
                  });
  worker.function("wait_for_cancel", "Throws the reason of its cancellation.", [](Call& call) {
    while (!call.cancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    throw std::runtime_error(call.cancel_reason());
  });
  worker.function("send_until_cancelled", "Throws why it cannot send.", [](Stream& stream) {
    try {
      for (;;) stream.send(std::string(1000, 'x'));
    } catch (const katamari::Cancelled& cancelled) {
      throw std::runtime_error(cancelled.reason);
    }
  });
  worker.function("environment", "Whether children find KATAMARI_PROTOCOL.",
                  [] { return std::getenv("KATAMARI_PROTOCOL") != nullptr; });
  worker.function("meet", "Returns when so many calls have come here.", {"count"},
                  [&meeting](int count) { meeting.wait_for(count); });
}

json read_in_parts(Input& input, std::vector<std::size_t> sizes) {
  json parts = json::array();
  for (const auto size : sizes) parts.push_back(input.read(size));
  return parts;
}

// Through the read() of a file, with a small buffer and a loop over pieces after it.
json read_like_a_file(Input& input) {
  char buffer[4];
  std::string begin(buffer, input.read(buffer, sizeof buffer));
  std::string rest;
  for (const auto& piece : input) rest += piece;
  return {begin, rest, input.read(buffer, sizeof buffer), input.content_type()};
}

void define_inputs(katamari::Worker& worker) {
  worker.function("parts", "What reads of these sizes give.", {"sizes"}, read_in_parts);
  worker.function("file", "Reads like a file.", read_like_a_file);
  worker.function("repeat", "Answers each piece with itself.", [](Stream& stream, Input& input) {
    while (const auto piece = input.next()) stream.send_bytes({*piece});
  });
  worker.function("ask_between", "Calls the cluster with the first piece.",
                  [](Call& call, Input& input) {
                    const std::string first = input.next().value_or("");
                    const json answer = call.cluster("parse.linkage", {{"text", first}});
                    return json{answer, input.read(std::string::npos), input.given()};
                  });
  worker.function("why", "Throws why it cannot read.", [](Input& input) {
    try {
      while (input.next()) {
      }
    } catch (const katamari::Cancelled& cancelled) {
      throw std::runtime_error(cancelled.reason);
    }
  });
}

}  // namespace example

int main(int, char** arguments) {
  katamari::Worker worker("features");
  worker.role("test").slots(static_cast<unsigned>(std::stoi(arguments[1])));
  example::Meeting meeting;
  example::define_types(worker);
  example::define_failures(worker);
  example::define_calls(worker, meeting);
  example::define_inputs(worker);
  return worker.run();
}
