//! Why a call was not answered by its function: one vocabulary for every protocol.

use pool::WorkerId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The word that all protocols share; `docs/errors.md` has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is malformed.
    BadRequest,
    /// No pool and no starting program matches.
    NoPool,
    /// Pools match, but none has the function.
    NoFunction,
    /// The function does not take these arguments.
    BadArguments,
    /// Arguments or answer exceed a limit.
    TooLarge,
    /// The queue is full.
    Busy,
    /// Not answered in time.
    Deadline,
    /// The worker died with the call in its hands.
    WorkerDied,
    /// The node that ran the call is gone.
    WorkerLost,
    /// The function raised an error.
    WorkerError,
    /// The worker broke the protocol with the call in its hands.
    Protocol,
    /// The call could only wait for its own ancestors.
    Deadlock,
    /// The caller may not call this.
    NotAllowed,
    /// The caller gave up.
    Cancelled,
    /// The node is draining, or the program was removed.
    Stopping,
}

impl Code {
    /// The word, as in `docs/errors.md`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NoPool => "no_pool",
            Self::NoFunction => "no_function",
            Self::BadArguments => "bad_arguments",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::WorkerDied => "worker_died",
            Self::WorkerLost => "worker_lost",
            Self::WorkerError => "worker_error",
            Self::Protocol => "protocol",
            Self::Deadlock => "deadlock",
            Self::NotAllowed => "not_allowed",
            Self::Cancelled => "cancelled",
            Self::Stopping => "stopping",
        }
    }
}

/// The error that answers a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct CallError {
    /// Which kind of error.
    pub code: Code,
    /// What was expected, what came, what to do.
    pub message: String,
    /// More, where there is more to say. Boxed, as errors are rare and answers are not.
    pub detail: Option<Box<Detail>>,
}

/// What goes with an error besides its message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The program of the worker that had the call.
    pub program: Option<Arc<str>>,
    /// Its process.
    pub pid: Option<u32>,
    /// Its exit status, if it exited.
    pub status: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The last lines it wrote on stderr.
    pub stderr: Vec<String>,
    /// The short name of the error that the function raised, such as `ValueError`.
    pub type_name: Option<String>,
    /// Where the function raised it.
    pub backtrace: Option<String>,
    /// When it may be worth to try again, in seconds.
    pub retry_after: Option<Duration>,
    /// The worker to avoid in another attempt.
    pub worker: Option<WorkerId>,
    /// The worker was killed for what the call did to it: another attempt would end the same way.
    pub poisonous: bool,
}

impl CallError {
    /// An error with nothing but a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: None,
        }
    }

    /// The same error with more to say.
    #[must_use]
    pub fn with(mut self, detail: Detail) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }
}
