namespace * katamari.generic

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

/** What shapes a call besides its arguments. */
struct Options {
  /** Details besides the kind: {"tags": ["en"], "grammar": "1.2.3"} */
  1: optional string details_json,
  /** Less than what the program allows; more is cut down to that. */
  2: optional i64 timeout_ms,
  /** The priority: high, normal or low. */
  3: optional string class_,
  /** Calls of the same key go to the same version. */
  4: optional string key,
  /** Whether it does no harm to run the call twice. */
  5: optional bool idempotent,
  /** Where one is needed and the connection has not shown one. */
  6: optional string token,
}

/** Any value. Exactly one field is set. */
union Value {
  /** Whatever it says, null is meant. */
  1: bool null_value,
  2: bool boolean,
  3: i64 integer,
  4: double number,
  5: string text,
  /** Only as the whole of an answer or of a piece, or as a call's one argument. */
  6: binary octets,
  7: list<Value> items,
  8: map<string, Value> members,
}

service Katamari {
  /** Calls a function; the pieces of a streamed answer come as a list. */
  Value call(
    1: string kind,
    2: string function_,
    3: map<string, Value> arguments,
    4: Options options,
  ) throws (1: KatamariError error),

  /** The same with JSON: arguments as an object or an array, the answer as any value. */
  string call_json(
    1: string kind,
    2: string function_,
    3: string arguments_json,
    4: Options options,
  ) throws (1: KatamariError error),

  /** Each piece of a streamed answer by itself, as JSON. */
  list<string> pieces(
    1: string kind,
    2: string function_,
    3: string arguments_json,
    4: Options options,
  ) throws (1: KatamariError error),

  /** A call that nobody waits for. */
  oneway void cast_json(
    1: string kind,
    2: string function_,
    3: string arguments_json,
    4: Options options,
  ),

  /** Shows the token that holds for what comes next on this connection. */
  void katamari_authenticate(1: string token) throws (1: KatamariError error),
}
