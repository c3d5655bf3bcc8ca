// The chassis: turns a program into a worker of dialect `json` (docs/protocol/worker.md).
//
//   #include <katamari/worker.hpp>
//
//   int main() {
//     katamari::Worker worker("parse", {{"grammar", "5.12.0"}});
//     worker.function("linkage", "Parses one sentence.", {{"text", "the sentence"}, "limit"},
//                     [](std::string text, std::optional<int> limit) { return ...; })
//         .idempotent();
//     return worker.run();
//   }
#pragma once

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <katamari/call.hpp>
#include <katamari/connection.hpp>
#include <katamari/errors.hpp>
#include <katamari/function.hpp>
#include <katamari/json.hpp>
#include <katamari/types.hpp>

namespace katamari {

namespace detail {
constexpr unsigned slots_max = 1024;  // the protocol's limit
}  // namespace detail

class Worker {
 public:
  // Construct it before the program starts other programs: it keeps them from inheriting the
  // manager's descriptors. `versions` are the version keys of the worker's details.
  explicit Worker(std::string kind, std::map<std::string, std::string> versions = {})
      : kind_(std::move(kind)), versions_(std::move(versions)) {
    if (const char* offered = std::getenv("KATAMARI_PROTOCOL")) {
      offered_ = offered;
      ::unsetenv("KATAMARI_PROTOCOL");  // a child would take itself for a worker with a manager
    }
    if (!speaks(offered_)) return;  // then 3 and 4 are not ours
    for (const int descriptor : {detail::descriptor_in, detail::descriptor_out}) {
      if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0) {
        detail::give_up("descriptor " + std::to_string(descriptor) + " is not open");
      }
    }
    // A forked child that throws, or returns from its function, would answer the parent's call.
    ::pthread_atfork(nullptr, nullptr, [] {
      ::close(detail::descriptor_in);
      ::close(detail::descriptor_out);
    });
    // stdout is a pipe here; without this a log line would wait for the buffer to fill.
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  }

  Worker& tag(const std::string& tag) { tags_.push_back(tag); return *this; }
  Worker& role(const std::string& role) { roles_.push_back(role); return *this; }

  // How many calls it takes at a time. With more than one, functions run on as many threads at
  // once and must bear that. With one, they run on the thread that calls run(). Throws
  // std::invalid_argument unless it is from 1 to 1024.
  Worker& slots(unsigned count) {
    if (count < 1 || count > detail::slots_max) {
      throw std::invalid_argument("katamari: expected 1 to " + std::to_string(detail::slots_max) +
                                  " slots, got " + std::to_string(count));
    }
    slots_ = count;
    return *this;
  }

  // Defines a function. The lambda may take a Call& first, or a Stream& to answer in pieces; then
  // an Input& to read the request while it comes; then one parameter for each of `parameters`, of
  // the types listed in types.hpp. A parameter that is a std::optional may be left out, or given as
  // null. Throws std::invalid_argument.
  template <class F, std::size_t N>
  Function& function(const std::string& name, const std::string& doc,
                     const Parameter (&parameters)[N], F lambda) {
    return add(name, doc, std::vector<Parameter>(parameters, parameters + N), std::move(lambda),
               std::integral_constant<std::size_t, N>());
  }
  template <class F>
  Function& function(const std::string& name, const std::string& doc, F lambda) {
    return add(name, doc, {}, std::move(lambda), std::integral_constant<std::size_t, 0>());
  }

  // Serves until the manager lets the worker go, and gives the exit status for main to return.
  int run() {
    if (!started_by_manager()) return detail::exit_usage;
    detail::Connection connection;
    if (!connection.introduce(description().dump())) return EXIT_SUCCESS;
    std::vector<std::thread> others;
    for (unsigned slot = 1; slot < slots_; ++slot) {
      others.emplace_back([this, &connection] { serve(connection); });
    }
    serve(connection);
    for (auto& thread : others) thread.join();
    return EXIT_SUCCESS;
  }

 private:
  template <class F, std::size_t N>
  Function& add(const std::string& name, const std::string& doc, std::vector<Parameter> parameters,
                F lambda, std::integral_constant<std::size_t, N>) {
    using S = detail::Signature<F>;
    using Tuple = typename S::Arguments;
    constexpr auto* tuple = static_cast<Tuple*>(nullptr);
    static_assert(std::tuple_size_v<Tuple> == N,
                  "name exactly the parameters that the lambda has after Call&, Stream&, Input&");
    static_assert(detail::required_first(tuple),
                  "parameters that are std::optional come after those that are not");
    static_assert(!detail::takes_bytes(tuple) || N == 1,
                  "katamari::Bytes is the whole payload: it must be the only parameter");

    if (!by_name_.emplace(name, functions_.size()).second) {
      throw std::invalid_argument("katamari: function `" + name + "` is defined twice");
    }
    Function& function = functions_.emplace_back();
    function.name_ = name;
    function.doc_ = doc;
    function.stream_ = S::is_stream;
    function.input_ = S::wants_input;
    function.parameters_ = detail::describe_parameters(tuple, parameters);
    function.result_ = detail::Type<std::decay_t<typename S::Result>>::name();
    function.invoke_ = [lambda = std::move(lambda), parameters = std::move(parameters)](
                           Stream& call, Input& input,
                           const detail::Payload& arguments) mutable {
      return detail::invoke(lambda, call, input, arguments, parameters);
    };
    return function;
  }

  // Whether `versions`, as in KATAMARI_PROTOCOL, has ours among them.
  static bool speaks(const std::optional<std::string>& versions) {
    if (!versions) return false;
    const std::string wanted = "," + std::to_string(detail::protocol_version) + ",";
    return ("," + *versions + ",").find(wanted) != std::string::npos;
  }

  bool started_by_manager() const {
    if (!offered_) {
      std::fputs("This is a Katamari worker; a manager starts it. To try it by hand:\n"
                 "  katamari check -- COMMAND\n", stderr);
      return false;
    }
    if (speaks(offered_)) return true;
    std::fprintf(stderr, "katamari: this worker speaks version %d of dialect `json`, but "
                 "KATAMARI_PROTOCOL is `%s`\n", detail::protocol_version, offered_->c_str());
    return false;
  }

  json description() const {
    json functions = json::array();
    for (const auto& function : functions_) {
      functions.push_back({{"name", function.name_},
                           {"doc", function.doc_},
                           {"idempotent", function.idempotent_},
                           {"stream", function.stream_},
                           {"parameters", function.parameters_},
                           {"result", function.result_}});
      if (function.input_) functions.back()["input"] = true;
      if (!function.examples_.empty()) functions.back()["examples"] = function.examples_;
    }
    return {{"kind", kind_}, {"versions", versions_}, {"tags", tags_},
            {"roles", roles_}, {"slots", slots_}, {"functions", functions}};
  }

  void serve(detail::Connection& connection) {
    while (const auto running = connection.next_call()) {
      answer(connection, *running);
      // With several slots there may be calls that the manager wrote before it read this answer.
      // It sends no more after that, and a quit once all have ended.
      if (running->last && slots_ == 1) return;
    }
  }

  void answer(detail::Connection& connection, detail::Running& running) {
    try {
      const auto found = by_name_.find(running.function);
      if (found == by_name_.end()) {
        throw ArgumentError("there is no function `" + running.function + "`");
      }
      const Function& function = functions_[found->second];
      Stream call(connection, running);
      Input input(connection, running);
      const detail::Payload result = function.invoke_(call, input, running.arguments);
      // A last value of a stream is a last piece.
      if (function.stream_ && !result.bytes.empty()) {
        connection.use_credit(running, result.bytes.size());
      }
      connection.reply(running, result);
    } catch (...) {
      connection.fail(running, detail::current_failure());
    }
  }

  std::optional<std::string> offered_;  // the protocol versions that the manager speaks
  std::string kind_;
  std::map<std::string, std::string> versions_;
  std::vector<std::string> tags_;
  std::vector<std::string> roles_;
  unsigned slots_ = 1;
  std::deque<Function> functions_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

}  // namespace katamari
