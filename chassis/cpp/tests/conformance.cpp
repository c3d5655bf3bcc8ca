// The conformance worker of docs/protocol/worker.md: `katamari check` runs in full against it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

#include <katamari/worker.hpp>

#include "sha256.hpp"

using katamari::Call;
using katamari::Input;
using katamari::json;
using katamari::Stream;
using Object = std::map<std::string, json>;

namespace {

// Whether a child started now is free of the manager's descriptors.
bool closed_in_child() {
  FILE* shell = ::popen("for d in 3 4; do if [ -e /proc/self/fd/$d ]; then echo $d; fi; done", "r");
  if (shell == nullptr) throw std::runtime_error("cannot start sh");
  const bool nothing_found = std::fgetc(shell) == EOF;
  if (::pclose(shell) != 0) throw std::runtime_error("sh failed");
  return nothing_found;
}

std::string sleep_in_steps(Call& call, std::int64_t ms) {
  using namespace std::chrono;
  const auto end = steady_clock::now() + milliseconds(ms);
  while (steady_clock::now() < end) {
    if (call.cancelled()) throw katamari::Cancelled();
    std::this_thread::sleep_for(std::min<nanoseconds>(end - steady_clock::now(), 10ms));
  }
  return "slept";
}

void count(Stream& stream, std::int64_t to, std::int64_t size) {
  const json filler = std::string(static_cast<std::size_t>(std::max<std::int64_t>(size, 0)), 'x');
  for (std::int64_t number = 1; number <= to; ++number) {
    stream.send(size > 0 ? filler : json(number));
  }
}

json measure(Input& input) {
  std::size_t size = 0;
  Sha256 sha256;
  for (const std::string& piece : input) {
    size += piece.size();
    sha256.add(piece);
  }
  return {{"bytes", size}, {"sha256", sha256.hex()}};
}

json nested(Call& call, std::string kind, std::string function, Object arguments) {
  try {
    return {{"result", call.cluster(kind + "." + function, arguments)}};
  } catch (const katamari::CallError& error) {
    return {{"error", error.code}};
  }
}

}  // namespace

int main() {
  katamari::Worker worker("conformance", {{"chassis", "cpp"}});
  worker.tag("conformance");
  if (const char* slots = std::getenv("KATAMARI_CONFORMANCE_SLOTS")) {
    worker.slots(static_cast<unsigned>(std::stoul(slots)));
  }
  worker.function("echo", "Returns the value.", {"value"}, [](json value) { return value; })
      .idempotent();
  worker.function("add", "Adds.", {"a", "b", "c"},
                  [](std::int64_t a, std::int64_t b, std::optional<std::int64_t> c) {
                    return a + b + c.value_or(0);
                  })
      .idempotent();
  worker.function("fail", "Raises an error with the message.", {"message"},
                  [](std::string message) { throw std::runtime_error(message); });
  worker.function("sleep", "Sleeps unless cancelled.", {"ms"}, sleep_in_steps);
  worker.function("remaining", "The remaining time in milliseconds.",
                  [](Call& call) { return call.remaining().count(); });
  worker.function("count", "Streams the integers, or as many strings of a size.", {"to", "size"},
                  count);
  worker.function("measure", "The size of the input and its hash.", measure);
  worker.function("nested", "Calls the cluster.", {"kind", "function", "arguments"}, nested);
  worker.function("last", "Returns the value and exits.", {"value"}, [](Call& call, json value) {
    call.last();
    return value;
  });
  worker.function("print", "Prints on stdout and stderr.", {"text"}, [](std::string text) {
    std::cout << text << std::endl;
    std::cerr << text << std::endl;
  });
  worker.function("leak", "Whether a child is free of descriptors 3 and 4.", closed_in_child);
  return worker.run();
}
