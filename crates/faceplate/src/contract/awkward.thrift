namespace * katamari.odd_kind

/** One JSON value. */
typedef string Json

/** What went wrong; the codes are those of Katamari. */
exception KatamariError {
  1: required string code,
  2: required string message,
  /** The call's, for `katamari why`. */
  3: optional string id,
  /** Of an error that the function raised: its short name, and where it was raised. */
  4: optional string error_type,
  5: optional string backtrace,
  /** When it may be worth to try again. */
  6: optional i64 retry_after_s,
}

struct OptionalInteger {
  1: optional i64 value,
}

struct OptionalString {
  1: optional string value,
}

struct GetUserOptions {
  2: optional i64 parent,
  5: optional bool class_,
  // at most
  // so many
  6: optional list<OptionalInteger> limits,
}

struct WatchOptions {
  2: optional Json options,
}

service OddKind {
  // Finds a user.
  //
  // By name or by number.
  map<string, Json> get_user(
    // the name
    1: string name,
    3: list<string> from_,
    4: map<string, list<double>> gr__e,
    101: GetUserOptions options,
  ) throws (1: KatamariError error),
  OptionalString getUser_2(
    1: Json a_b,
    2: binary aB_2,
  ) throws (1: KatamariError error),
  list<list<list<i64>>> watch(
    1: Json any,
    101: WatchOptions options_2,
  ) throws (1: KatamariError error),
}
