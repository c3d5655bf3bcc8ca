// What a function may throw or meet, and how any exception becomes an error frame.
#pragma once

#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>

namespace katamari {

// A nested call that failed. `code` is one of docs/errors.md: "deadline", "worker_died", ...
struct CallError : std::runtime_error {
  CallError(std::string code_, const std::string& message_)
      : std::runtime_error(code_ + ": " + message_), code(std::move(code_)), message(message_) {}

  std::string code;
  std::string message;
};

// Thrown by a function that sees that its answer is no longer wanted, and by Stream::send, which
// tells the reason: "deadline", "client_left" or "shutdown".
struct Cancelled : std::runtime_error {
  explicit Cancelled(std::string reason_ = "")
      : std::runtime_error("cancelled"), reason(std::move(reason_)) {}

  std::string reason;
};

// An argument that is missing, unknown or of the wrong type.
struct ArgumentError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// A frame that exceeds a limit of the connection. Nothing of it has been written: whoever catches
// it may send or return something smaller.
struct TooLarge : std::length_error {
  using std::length_error::length_error;
};

namespace detail {

// What an error frame says about an exception.
struct Failure {
  std::string message;
  std::string type;
  std::string backtrace;
};

inline std::string demangle(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  return status == 0 && name ? name.get() : type.name();
}

// The type that was thrown, which std::throw_with_nested hides in a wrapper of its own.
inline std::string thrown_type(const std::exception& error) {
  const std::string name = demangle(typeid(error));
  const std::string wrapper = "std::_Nested_exception<";
  if (name.compare(0, wrapper.size(), wrapper) != 0) return name;
  return name.substr(wrapper.size(), name.size() - wrapper.size() - 1);
}

// C++ keeps no stack of a caught exception. What it can tell is the chain of causes that
// std::throw_with_nested leaves, one a line.
inline void add_causes(const std::exception& error, std::string& text) {
  try {
    std::rethrow_if_nested(error);
  } catch (const std::exception& cause) {
    text += "caused by " + thrown_type(cause) + ": " + cause.what() + "\n";
    add_causes(cause, text);
  } catch (...) {
    text += "caused by " + demangle(*abi::__cxa_current_exception_type()) + "\n";
  }
}

// To be called from a catch block.
inline Failure current_failure() {
  try {
    throw;
  } catch (const std::exception& error) {
    Failure failure{error.what(), thrown_type(error), ""};
    add_causes(error, failure.backtrace);
    return failure;
  } catch (const std::string& message) {
    return {message, "std::string", ""};
  } catch (const char* message) {
    return {message, "const char*", ""};
  } catch (...) {
    const std::string type = demangle(*abi::__cxa_current_exception_type());
    return {"an exception of type " + type, type, ""};
  }
}

}  // namespace detail
}  // namespace katamari
