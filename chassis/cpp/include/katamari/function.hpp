// Functions: from a lambda with typed parameters to an announced function that takes payloads.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <katamari/call.hpp>
#include <katamari/types.hpp>

namespace katamari {

// A parameter's name and doc. Its type, and whether it may be left out, follow from the lambda.
struct Parameter {
  Parameter(const char* name_, const char* doc_ = "") : name(name_), doc(doc_) {}
  std::string name;
  std::string doc;
};

// A function as announced. What Worker::function returns, to say more about it.
class Function {
 public:
  // Running it twice does no harm: it may be tried again when a worker dies.
  Function& idempotent() {
    idempotent_ = true;
    return *this;
  }

  // A call for its documentation: the arguments, an object or an array, and the result if it can be
  // told. At most ten.
  Function& example(json arguments) {
    examples_.push_back({{"arguments", std::move(arguments)}});
    return *this;
  }
  Function& example(json arguments, json result) {
    examples_.push_back({{"arguments", std::move(arguments)}, {"result", std::move(result)}});
    return *this;
  }

 private:
  friend class Worker;
  std::string name_;
  std::string doc_;
  bool idempotent_ = false;
  bool stream_ = false;
  bool input_ = false;
  json parameters_ = json::array();
  std::string result_;
  json examples_ = json::array();
  std::function<detail::Payload(Stream&, Input&, const detail::Payload&)> invoke_;
};

namespace detail {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

// The parameters of a lambda without the Call& or Stream& in front, and the Input& after it.
template <class R, class... A>
struct Plain {
  using Result = R;
  using Arguments = std::tuple<std::decay_t<A>...>;
  static constexpr bool wants_call = false;
  static constexpr bool wants_input = false;
  static constexpr bool is_stream = false;
};
template <class R, class... A>
struct Plain<R, Input&, A...> : Plain<R, A...> {
  static constexpr bool wants_input = true;
};
template <class R, class... A>
struct Plain<R, Call&, A...> : Plain<R, A...> {
  static constexpr bool wants_call = true;
};
template <class R, class... A>
struct Plain<R, Stream&, A...> : Plain<R, A...> {
  static constexpr bool wants_call = true;
  static constexpr bool is_stream = true;
};

template <class F>
struct Signature : Signature<decltype(&F::operator())> {};
template <class R, class... A>
struct Signature<R (*)(A...)> : Plain<R, A...> {};
template <class R, class... A>
struct Signature<R (*)(A...) noexcept> : Plain<R, A...> {};
template <class F, class R, class... A>
struct Signature<R (F::*)(A...)> : Plain<R, A...> {};
template <class F, class R, class... A>
struct Signature<R (F::*)(A...) const> : Plain<R, A...> {};
template <class F, class R, class... A>
struct Signature<R (F::*)(A...) noexcept> : Plain<R, A...> {};
template <class F, class R, class... A>
struct Signature<R (F::*)(A...) const noexcept> : Plain<R, A...> {};

// True if no parameter that must be given follows one that may be left out.
template <class... A>
constexpr bool required_first(std::tuple<A...>*) {
  bool optional_seen = false;
  bool good = true;
  ((IsOptional<A>::value ? void(optional_seen = true) : void(good = good && !optional_seen)), ...);
  return good;
}

template <class... A>
constexpr bool takes_bytes(std::tuple<A...>*) {
  return (std::is_same_v<A, Bytes> || ...);
}

template <class T>
json describe_parameter(const Parameter& parameter) {
  json description = {{"name", parameter.name}};
  if (!parameter.doc.empty()) description["doc"] = parameter.doc;
  if constexpr (IsOptional<T>::value) {
    description["type"] = Type<typename T::value_type>::name();
    description["required"] = false;
  } else {
    description["type"] = Type<T>::name();
  }
  return description;
}

// The announced parameters of one function and the arguments of one call, by position.
class Arguments {
 public:
  Arguments(const std::vector<Parameter>& parameters, json& given)
      : parameters_(parameters), values_(parameters.size(), nullptr) {
    if (given.is_array()) {
      bind_positions(given);
    } else if (given.is_object()) {
      bind_names(given);
    } else {
      throw ArgumentError("arguments: expected object or array, came " + describe(given));
    }
  }

  template <class T>
  T take(std::size_t index) {
    json* value = values_[index];
    const std::string& name = parameters_[index].name;
    if (value == nullptr) {
      if constexpr (IsOptional<T>::value) return std::nullopt;
      throw ArgumentError("parameter `" + name + "` is missing");
    }
    try {
      return Type<T>::from(*value);
    } catch (const ArgumentError& error) {
      throw ArgumentError("parameter `" + name + "`" + error.what());
    }
  }

 private:
  void bind_positions(json& given) {
    if (given.size() > values_.size()) {
      throw ArgumentError("expected at most " + std::to_string(values_.size()) +
                          " arguments, came " + std::to_string(given.size()));
    }
    for (std::size_t i = 0; i < given.size(); ++i) values_[i] = &given[i];
  }

  void bind_names(json& given) {
    for (auto& [name, value] : given.get_ref<json::object_t&>()) {
      std::size_t index = 0;
      while (index < parameters_.size() && parameters_[index].name != name) ++index;
      if (index == parameters_.size()) throw ArgumentError("there is no parameter `" + name + "`");
      values_[index] = &value;
    }
  }

  const std::vector<Parameter>& parameters_;
  std::vector<json*> values_;
};

// What the lambda returned, as a payload.
template <class T>
Payload to_payload(T&& result) {
  if constexpr (std::is_same_v<std::decay_t<T>, Bytes>) {
    return bytes_payload(std::forward<T>(result));
  } else if constexpr (IsOptional<std::decay_t<T>>::value) {
    return result ? to_payload(*std::forward<T>(result)) : Payload{"null", ""};
  } else {
    return {encode(json(std::forward<T>(result)), "the result"), ""};
  }
}

// Calls the lambda with the arguments it wants and turns its result into a payload.
template <class F, class Tuple, std::size_t... I>
Payload apply(F& function, Stream& call, Input& input, Tuple& arguments,
              std::index_sequence<I...>) {
  using S = Signature<F>;
  const auto run = [&]() -> typename S::Result {
    if constexpr (S::wants_call && S::wants_input) {
      return function(call, input, std::move(std::get<I>(arguments))...);
    } else if constexpr (S::wants_call) {
      return function(call, std::move(std::get<I>(arguments))...);
    } else if constexpr (S::wants_input) {
      return function(input, std::move(std::get<I>(arguments))...);
    } else {
      return function(std::move(std::get<I>(arguments))...);
    }
  };
  if constexpr (std::is_void_v<typename S::Result>) {
    run();
    return {S::is_stream ? "" : "null", ""};
  } else {
    return to_payload(run());
  }
}

template <class... A, std::size_t... I>
std::tuple<A...> bind(std::tuple<A...>*, Arguments& arguments, std::index_sequence<I...>) {
  // Braces: from left to right, so that the error names the first bad argument.
  return std::tuple<A...>{arguments.take<A>(I)...};
}

template <class F>
Payload invoke(F& function, Stream& call, Input& input, const Payload& payload,
               const std::vector<Parameter>& parameters) {
  using Tuple = typename Signature<F>::Arguments;
  constexpr auto indices = std::make_index_sequence<std::tuple_size_v<Tuple>>();
  const bool is_json = payload.content_type.empty() || payload.content_type == "application/json";
  if constexpr (takes_bytes(static_cast<Tuple*>(nullptr))) {
    if (is_json) throw ArgumentError("expected bytes with a content type of their own, came JSON");
    Tuple arguments{Bytes{payload.bytes, payload.content_type}};
    return apply(function, call, input, arguments, indices);
  } else {
    if (!is_json) throw ArgumentError("expected JSON arguments, came " + payload.content_type);
    json given = decode(payload.bytes, "the arguments");
    Arguments named(parameters, given);
    Tuple arguments = bind(static_cast<Tuple*>(nullptr), named, indices);
    return apply(function, call, input, arguments, indices);
  }
}

template <class... A>
json describe_parameters(std::tuple<A...>*, const std::vector<Parameter>& parameters) {
  json descriptions = json::array();
  std::size_t index = 0;
  (descriptions.push_back(describe_parameter<A>(parameters[index++])), ...);
  return descriptions;
}

}  // namespace detail
}  // namespace katamari
