// JSON as the protocol wants it: strict where nlohmann::json is lenient.
//
// nlohmann::json writes NaN as `null`, and recurses as deep as its input asks. A worker must not
// answer with a value nobody computed, nor die of a deeply nested argument, so everything that
// goes in or out passes through `decode` and `encode`.
#pragma once

#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace katamari {

using json = nlohmann::json;

// A value that cannot be written as JSON, or bytes that cannot be read as such.
struct JsonError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {

// Deep enough for data, shallow enough for recursion on the smallest usual thread stack.
constexpr int json_depth_max = 512;

// nlohmann's messages begin with "[json.exception.type_error.316] "; the reader needs the rest.
inline std::string without_prefix(const char* what) {
  const std::string message = what;
  const auto end = message.find("] ");
  return message.front() == '[' && end != std::string::npos ? message.substr(end + 2) : message;
}

// What in `value` JSON cannot say, as a path and a reason such as `.scores[3] is not a finite
// number`; nothing if all is well.
inline std::optional<std::string> unspeakable(const json& value, int depth = 0) {
  if (depth > json_depth_max) {
    return " is nested more than " + std::to_string(json_depth_max) + " deep";
  }
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    return " is not a finite number";
  }
  if (value.is_binary()) return " is binary";
  // What json::parse gives for bad text when it is told not to throw; it would be written as is.
  if (value.is_discarded()) return " is what was discarded in parsing";
  if (value.is_array()) {
    std::size_t index = 0;
    for (const auto& item : value) {
      const auto rest = unspeakable(item, depth + 1);
      if (rest) return "[" + std::to_string(index) + "]" + *rest;
      ++index;
    }
  } else if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      const auto rest = unspeakable(item, depth + 1);
      if (rest) return "." + key + *rest;
    }
  }
  return std::nullopt;
}

// The bytes of `value`. `what` names it in errors: "the result". Throws JsonError.
inline std::string encode(const json& value, const std::string& what) {
  if (auto reason = unspeakable(value)) throw JsonError(what + *reason + ", which JSON cannot say");
  try {
    return value.dump();
  } catch (const json::exception& error) {
    throw JsonError(what + " holds text that is not UTF-8 (" + without_prefix(error.what()) +
                    "); use katamari::Bytes for bytes");
  }
}

// Looks only at brackets outside of strings: enough to bound the recursion of what follows.
inline bool too_deep(std::string_view bytes) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > json_depth_max) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// The value of `bytes`. `what` names it in errors: "the arguments". Throws JsonError.
inline json decode(std::string_view bytes, const std::string& what) {
  if (too_deep(bytes)) {
    throw JsonError(what + " are nested more than " + std::to_string(json_depth_max) + " deep");
  }
  try {
    return json::parse(bytes);
  } catch (const json::exception& error) {
    throw JsonError(what + " are not JSON: " + without_prefix(error.what()));
  }
}

}  // namespace detail
}  // namespace katamari
