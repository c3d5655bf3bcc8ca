//! Erlang's external term format: bytes to [`Term`](crate::Term)s and back.
//!
//! The format is that of the Erlang documentation, "External Term Format" (erts, `erl_ext_dist`).
//! [`decode`] takes what OTP 25 and later write, and the older tags that libraries for BERT write;
//! [`encode`] writes either [`Tags::Modern`] or [`Tags::Old`]. docs/terms.md has the table of tags,
//! with those that are left out and why.

mod decode;
mod encode;
mod error;
mod identifier;
mod inflate;
mod limits;
mod outline;
mod reader;
mod tag;
#[cfg(test)]
mod tests;

pub use decode::{decode, decode_prefix};
pub use encode::{EncodeError, Tags, encode, encode_into};
pub use error::DecodeError;
pub use identifier::{pid, reference};
pub use limits::Limits;
pub use outline::NotArguments;
