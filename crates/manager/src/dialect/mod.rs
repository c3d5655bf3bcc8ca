//! The dialects that workers speak, each in a file of its own: how messages become bytes and back.
//!
//! A dialect does no I/O and keeps no call. Over pipes it turns [`ToWorker`] into bytes and bytes
//! into [`FromWorker`], and says which of the protocol's courtesies it knows. [`exec`] and [`http`]
//! have no such bytes: they say what a call is on a command line, or as a request.

mod arguments;
mod classic;
pub mod exec;
pub mod http;
mod json;
mod lines;
pub mod template;
mod text;

pub use classic::Classic;
pub use exec::Exec;
pub use http::Http;
pub use json::{Frame, FrameError, HEADER_MAX, Json, PAYLOAD_MAX, PROTOCOL_VERSION, interpret};
pub use lines::Lines;

use crate::program;
use bytes::{Bytes, BytesMut};
use dispatch::{Code, Input};
use pool::{Class, Details};
use std::sync::Arc;
use std::time::Duration;
use term::Payload;

/// What a manager says to a worker. Numbers count calls on this worker's connection.
#[derive(Debug, Clone)]
pub enum ToWorker {
    /// The answer to a good hello.
    Welcome {
        /// The worker's number in the cluster.
        worker: String,
    },
    /// Asks for a pong.
    Ping,
    /// Run this.
    Call {
        /// What to answer with.
        id: u64,
        /// The public id, for logs.
        call: String,
        /// Which function.
        function: Arc<str>,
        /// Time left.
        timeout: Duration,
        /// The sticky key.
        key: Option<Arc<str>>,
        /// The priority.
        class: Class,
        /// The arguments.
        payload: Payload,
        /// What comes while it runs.
        input: Option<Input>,
    },
    /// A piece of the input of a call.
    Input {
        /// The call.
        id: u64,
        /// What the client says that all of it is; said once.
        content_type: Option<Arc<str>>,
        /// The bytes.
        piece: Bytes,
        /// Whether it is the last.
        end: bool,
    },
    /// The answer to this call is no longer wanted.
    Cancel {
        /// The call.
        id: u64,
        /// `deadline`, `client_left` or `shutdown`.
        reason: &'static str,
    },
    /// Credit for a stream.
    Flow {
        /// The call that streams.
        id: u64,
        /// Bytes.
        bytes: usize,
    },
    /// The answer to a nested call.
    NestedAnswer {
        /// The worker's number for it.
        id: u64,
        /// The result.
        payload: Payload,
    },
    /// The error of a nested call.
    NestedError {
        /// The worker's number for it.
        id: u64,
        /// Which error.
        code: Code,
        /// For people.
        message: String,
    },
    /// Finish and exit.
    Quit,
}

/// What a worker says to its manager.
#[derive(Debug)]
pub enum FromWorker {
    /// It introduces itself; the description is still to be checked.
    Hello {
        /// The version of the protocol it picked.
        protocol: u64,
        /// The description, as it came.
        description: Payload,
    },
    /// The answer to a ping.
    Pong,
    /// The answer to a call, or the end of its stream.
    Reply {
        /// The call. None in dialects with one call at a time.
        id: Option<u64>,
        /// The result.
        payload: Payload,
        /// The worker will exit now.
        last: bool,
    },
    /// The function raised an error.
    Error {
        /// The call. None in dialects with one call at a time.
        id: Option<u64>,
        /// For the caller.
        message: String,
        /// A short name.
        type_name: Option<String>,
        /// Where it was raised.
        backtrace: Option<String>,
        /// The worker will exit now.
        last: bool,
    },
    /// A piece of a streamed answer.
    Piece {
        /// The call.
        id: u64,
        /// The piece.
        payload: Payload,
    },
    /// It can take this much more of an input.
    Grant {
        /// The call.
        id: u64,
        /// Bytes.
        bytes: usize,
    },
    /// A call from inside a call.
    Nested(Box<Nested>),
    /// A call from inside a call that cannot be understood, but answered.
    BadNested {
        /// The worker's number for it.
        id: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// A call that a worker makes while it runs one.
#[derive(Debug)]
pub struct Nested {
    /// The worker's number for it.
    pub id: u64,
    /// The call that it belongs to.
    pub parent: u64,
    /// What it asks of a pool.
    pub details: Details,
    /// The function.
    pub function: String,
    /// The arguments.
    pub payload: Payload,
    /// Shortens the parent's deadline.
    pub timeout: Option<Duration>,
    /// The sticky key.
    pub key: Option<String>,
    /// Lowers the parent's class.
    pub class: Option<Class>,
    /// Whether it may be run twice.
    pub idempotent: Option<bool>,
}

/// The worker broke the protocol: what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// Messages to bytes and back.
pub trait Codec: Send {
    /// Appends what the manager says before the worker has said anything.
    fn open(&mut self, _out: &mut BytesMut) {}

    /// Appends the bytes of a message; nothing, if the dialect has no such message or cannot carry
    /// what is in it.
    fn encode(&mut self, message: &ToWorker, out: &mut BytesMut) -> Result<(), Unfit>;

    /// Takes one message off the front of what was read; none if it is not complete yet.
    fn decode(&mut self, read: &mut BytesMut) -> Result<Option<FromWorker>, Broken>;

    /// What the dialect can do.
    fn manners(&self) -> Manners;
}

/// Why a dialect cannot carry a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The payload is too long.
    #[error("expected at most {bytes_max} bytes")]
    TooLarge {
        /// Bytes that fit.
        bytes_max: usize,
    },
    /// What goes with the payload is too long: the key and the content type.
    #[error("expected a key and a content type of at most {bytes_max} bytes as JSON")]
    HeaderTooLarge {
        /// Bytes that fit.
        bytes_max: usize,
    },
    /// The dialect carries JSON alone.
    #[error("expected JSON, the program's dialect carries nothing else")]
    NotJson,
    /// The dialect has no form for these arguments.
    #[error("{0}")]
    Arguments(String),
}

/// Which of the protocol's courtesies a dialect knows.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// The worker introduces itself.
    pub says_hello: bool,
    /// It answers pings.
    pub answers_pings: bool,
    /// It can be told to stop a call.
    pub hears_cancels: bool,
    /// It is told to quit by a message; otherwise by the end of its input.
    pub hears_quit: bool,
    /// It is told to quit by SIGTERM, and by nothing before that.
    pub quits_by_signal: bool,
    /// Being told to stop a call ends it, whatever the worker still does.
    pub cancels_at_once: bool,
    /// It is spoken to over descriptors 3 and 4; otherwise over stdin and stdout.
    pub own_descriptors: bool,
    /// It takes Erlang's terms as they are, and gives them back.
    pub takes_terms: bool,
    /// What `KATAMARI_PROTOCOL` says.
    pub protocol: &'static str,
}

/// The codec of a dialect; none if it is not spoken over pipes.
pub(crate) fn codec(dialect: &program::Dialect) -> Option<Box<dyn Codec>> {
    match dialect {
        program::Dialect::Json => Some(Box::new(Json::default())),
        program::Dialect::Classic => Some(Box::new(Classic::default())),
        program::Dialect::Lines(_) => Some(Box::new(Lines::default())),
        program::Dialect::Exec(_) | program::Dialect::Http(_) => None,
    }
}

/// The first bytes of something unexpected, for a message.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "..." } else { "" };
    format!("{:?}{more}", &*text)
}
