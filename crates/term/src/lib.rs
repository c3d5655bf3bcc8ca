//! What a call carries: payloads, and what little Katamari looks at in them.
//!
//! Payloads travel as the bytes they came in; nothing on a call's way encodes them again. The one
//! look inside is [`Shape::of_json`], which checks that a payload is one JSON value and notes which
//! arguments it names, so that a wrong call is turned away before a worker is troubled.

mod payload;
mod shape;

pub use payload::{JSON, Payload};
pub use shape::{ARGUMENTS_MAX, DEPTH_MAX, NotJson, Shape, check_json};
