//! The one loop that owns the pool core, and the callers wrapped around it.
//!
//! A faceplate holds an `Arc<dyn Caller>`: usually a [`Shadow`] around a [`Retry`] around a
//! [`Dispatcher`]. The
//! dispatcher sends each call to the loop ([`Loop::run`]), which lets `pool::Core` decide and carries its
//! commands out: assignments go to a worker's [`Slots`], answers to whoever waits. Managers talk
//! back in [`Notice`]s.

mod call;
mod dispatcher;
mod error;
mod far;
mod flight;
mod history;
mod input;
mod near;
mod peer;
mod retry;
mod shadow;
mod shell;
mod slots;
mod stream;
mod tally;

pub use call::{Answer, Call, Caller, KEY_MAX, Numbers, Reply};
pub use dispatcher::{Dispatcher, Limits, Notices, Status, new};
pub use error::{CallError, Code, Detail};
pub use history::{Ended, HISTORY_MAX, Trace};
pub use input::{
    BadCredit, BrokenInput, Grant, INPUT_PIECE_MAX, Input, InputReader, InputSender, InputSink,
    Unwanted, input, whole_input,
};
pub use retry::Retry;
pub use shadow::{
    COPIES_BYTES_MAX, COPIES_MAX, Comparison, Counts, Example, Shadow, Shadows, Target,
};
pub use shell::Loop;
pub use slots::{Assigned, Assignment, Notice, Refused, Slots, WorkerName};
pub use stream::{CREDIT, Credit, PieceSender, Pieces, stream};
pub use tally::{LATENCY_BOUNDS_MS, Latencies, Tally};
