//! What a call carries: payloads, and what little Katamari looks at in them.
//!
//! Payloads travel as the bytes they came in; nothing on a call's way encodes them again. What is
//! looked at are the names of the arguments, by [`Shape::of_json`] and [`Shape::of_etf`], so that a
//! wrong call is turned away before a worker is troubled.
//!
//! Only where the two sides of a call speak different encodings a value tree is built: a [`Term`],
//! read and written by [`etf`], with [`Bert`] for the types of BERT, and turned from and into JSON
//! by [`from_json`] and [`to_json`]. docs/terms.md has the rules.

mod bert;
pub mod etf;
mod payload;
mod shape;
mod transcode;
mod value;

pub use bert::{Bert, NotBert};
pub use payload::{ETF, JSON, Payload};
pub use shape::{ARGUMENTS_MAX, DEPTH_MAX, NotJson, Shape, check_json};
pub use transcode::{
    FromJsonError, Style, TRANSCODE_DEPTH_MAX, ToJsonError, arguments_from_json, from_json, to_json,
};
pub use value::{ATOM_CHARACTERS_MAX, Atom, AtomTooLong, Bits, Opaque, TERM_DEPTH_MAX, Term};
