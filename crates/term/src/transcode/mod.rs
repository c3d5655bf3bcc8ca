//! JSON to terms and back, for where a caller speaks one and the program the other.
//!
//! docs/terms.md has every rule in a table: what becomes what, what is lost, what is refused.

mod from_json;
mod numbers;
mod repeated;
mod time;
mod to_json;

pub use from_json::{FromJsonError, arguments_from_json, from_json};
pub(crate) use to_json::name;
pub use to_json::{ToJsonError, to_json};

/// How deep arrays and objects may nest where JSON and terms are turned into each other: what
/// serde_json reads, one less than [`DEPTH_MAX`](crate::DEPTH_MAX).
pub const TRANSCODE_DEPTH_MAX: usize = crate::DEPTH_MAX - 1;

/// How JSON looks as a term: by who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Workers of 2008: `{struct, [{<<"k">>, V}]}`, `{array, [V]}`, `null`, and strings of theirs
    /// may be lists of code points.
    Classic,
    /// BERT and BERT-RPC: `{bert, dict, [{<<"k">>, V}]}`, `[V]`, `{bert, nil}`, `{bert, true}`.
    Bert,
    /// Erlang and Elixir nodes, as OTP's own module `json` has it: `#{<<"k">> => V}`, `[V]`,
    /// `null`. Of theirs `[{k, V}]` and `{[{<<"k">>, V}]}` are objects, too.
    Erlang,
}
