//! The Rust chassis of Katamari: makes a Rust program a worker.
//!
#![doc = include_str!("../README.md")]
//!
//! # Where to read on
//!
//! [`Worker`] is what a program uses; [`Call`], [`Stream`] and [`Input`] are what its functions
//! see. Inside,
//! from the bottom: `descriptors` claims descriptors 3 and 4, `frame` reads and makes frames,
//! `connection` decides who reads, who writes and who waits, `describe` and `trace` turn a function
//! into its description, `worker` runs calls.

mod call;
mod connection;
mod describe;
mod descriptors;
mod error;
mod frame;
mod input;
mod panics;
mod payload;
mod trace;
mod worker;

pub use call::{Call, Class, Nested, Stream};
pub use describe::Function;
pub use error::{CallError, Cancelled, Error, Failure, Result, SendError};
pub use input::Input;
pub use payload::Payload;
pub use serde_json::value::RawValue;
pub use worker::Worker;
