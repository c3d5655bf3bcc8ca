// The protocol's types and the C++ types they stand for.
//
//   std::string             string      std::vector<T>                 [T]
//   integers                integer     std::map<std::string, T>       {T}   (also unordered_map)
//   floating point          number      std::map<std::string, json>    object
//   bool                    boolean     std::optional<T>               T?
//   katamari::Bytes         bytes       json and everything else       any
//
// "Everything else" is converted by nlohmann's from_json and to_json, so a struct with
// NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE can be a parameter or a result.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <katamari/errors.hpp>
#include <katamari/frame.hpp>
#include <katamari/json.hpp>

namespace katamari {

// A payload that is not JSON. As the only parameter of a function it takes what the caller sent
// with a content type of its own; as a result it is what the caller gets.
struct Bytes {
  std::string data;
  std::string content_type = "application/octet-stream";  // also meant if it is empty
};

namespace detail {

// A payload without a content type would be taken for JSON.
inline Payload bytes_payload(Bytes bytes) {
  if (bytes.content_type.empty()) bytes.content_type = Bytes().content_type;
  return {std::move(bytes.data), std::move(bytes.content_type)};
}

// How an error names what came.
inline std::string describe(const json& value) {
  if (value.is_null()) return "null";
  if (value.is_number()) return "the number " + value.dump();
  return value.type_name();
}

[[noreturn]] inline void mismatch(const std::string& expected, const json& value) {
  throw ArgumentError(": expected " + expected + ", came " + describe(value));
}

// `name()` is the protocol's name of T. `from(value)` converts, may move out of `value`, and
// throws ArgumentError whose message starts with the path inside the value: "[3]: expected ...".
template <class T, class = void>
struct Type {
  static std::string name() { return "any"; }
  static T from(json& value) {
    if constexpr (std::is_same_v<T, json>) {
      return std::move(value);
    } else {
      try {
        return value.get<T>();
      } catch (const json::exception& error) {
        throw ArgumentError(": " + without_prefix(error.what()));
      }
    }
  }
};

template <>
struct Type<std::string> {
  static std::string name() { return "string"; }
  static std::string from(json& value) {
    if (!value.is_string()) mismatch("string", value);
    return std::move(value.get_ref<std::string&>());
  }
};

template <>
struct Type<bool> {
  static std::string name() { return "boolean"; }
  static bool from(json& value) {
    if (!value.is_boolean()) mismatch("boolean", value);
    return value.get<bool>();
  }
};

template <class T>
struct Type<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
  using Limits = std::numeric_limits<T>;
  static std::string name() { return "integer"; }
  static T from(json& value) {
    if (!value.is_number_integer()) mismatch("integer", value);
    // nlohmann keeps what is above 2^63 unsigned, and everything that was parsed and is not
    // negative too; both are compared without a detour through a type that cannot hold them.
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(Limits::max())
                          : fits_signed(value.get<std::int64_t>());
    if (!fits) {
      mismatch("an integer from " + std::to_string(Limits::min()) + " to " +
                   std::to_string(Limits::max()),
               value);
    }
    return value.get<T>();
  }

 private:
  static bool fits_signed(std::int64_t number) {
    if (number >= 0) {
      return static_cast<std::uint64_t>(number) <= static_cast<std::uint64_t>(Limits::max());
    }
    return std::is_signed_v<T> && number >= static_cast<std::int64_t>(Limits::min());
  }
};

template <class T>
struct Type<T, std::enable_if_t<std::is_floating_point_v<T>>> {
  static std::string name() { return "number"; }
  static T from(json& value) {
    if (!value.is_number()) mismatch("number", value);
    return value.get<T>();
  }
};

template <class T>
struct Type<std::optional<T>> {
  static std::string name() {
    const std::string inner = Type<T>::name();
    return inner == "any" || inner.back() == '?' ? inner : inner + "?";
  }
  static std::optional<T> from(json& value) {
    if (value.is_null()) return std::nullopt;
    return Type<T>::from(value);
  }
};

template <class T>
struct Type<std::vector<T>> {
  static std::string name() { return "[" + Type<T>::name() + "]"; }
  static std::vector<T> from(json& value) {
    if (!value.is_array()) mismatch("array", value);
    std::vector<T> items;
    items.reserve(value.size());
    for (auto& item : value) {
      try {
        items.push_back(Type<T>::from(item));
      } catch (const ArgumentError& error) {
        throw ArgumentError("[" + std::to_string(items.size()) + "]" + error.what());
      }
    }
    return items;
  }
};

template <class Map>
struct MapType {
  using T = typename Map::mapped_type;
  static std::string name() {
    return std::is_same_v<T, json> ? "object" : "{" + Type<T>::name() + "}";
  }
  static Map from(json& value) {
    if (!value.is_object()) mismatch("object", value);
    Map map;
    for (auto& [key, item] : value.get_ref<json::object_t&>()) {
      try {
        map.emplace(key, Type<T>::from(item));
      } catch (const ArgumentError& error) {
        throw ArgumentError("." + key + error.what());
      }
    }
    return map;
  }
};

template <class T>
struct Type<std::map<std::string, T>> : MapType<std::map<std::string, T>> {};
template <class T>
struct Type<std::unordered_map<std::string, T>> : MapType<std::unordered_map<std::string, T>> {};

template <>
struct Type<Bytes> {
  static std::string name() { return "bytes"; }
};

template <>
struct Type<void> {
  static std::string name() { return "any"; }
};

}  // namespace detail
}  // namespace katamari
