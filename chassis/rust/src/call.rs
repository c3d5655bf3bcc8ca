//! What a function sees of the call that it answers.

use crate::connection::{Arrived, Connection, TIMEOUT_MS_MAX};
use crate::error::{CallError, Cancelled, SendError};
use crate::frame::{TooLarge, result_frame};
use crate::input::Input;
use crate::payload::Payload;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The running call. It can be shared with threads of the function's own.
pub struct Call<'a> {
    connection: &'a Connection,
    id: u64,
    call: String,
    key: Option<String>,
    class: String,
    deadline: Instant,
    last: AtomicBool,
}

impl<'a> Call<'a> {
    /// The call, the name of its function and its arguments.
    pub(crate) fn of(connection: &'a Connection, arrived: Arrived) -> (Self, String, Payload) {
        let call = Self {
            connection,
            id: arrived.id,
            call: arrived.call,
            key: arrived.key,
            class: arrived.class,
            deadline: arrived.deadline,
            last: AtomicBool::new(false),
        };
        (call, arrived.function, arrived.arguments)
    }

    pub(crate) fn number(&self) -> u64 {
        self.id
    }

    pub(crate) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// The call's public id, the one in the manager's logs: worth a place in your own.
    pub fn id(&self) -> &str {
        &self.call
    }

    /// Its key, if it has one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// `high`, `normal` or `low`.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The time until the deadline; zero after it.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether nobody wants the answer any more. With one slot each look is a system call, which
    /// also answers pings; with several it is not, unless nobody else reads.
    pub fn cancelled(&self) -> bool {
        self.check_cancelled().is_err()
    }

    /// For `?` in a loop.
    ///
    /// # Errors
    ///
    /// When the call is cancelled.
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        match self.connection.cancelled(self.id) {
            Some(reason) => Err(Cancelled { reason }),
            None => Ok(()),
        }
    }

    /// What comes with the request while the function runs: empty unless the function is declared
    /// with [`Function::input`](crate::Function::input) and the caller sends something. To be taken
    /// once: what it has begun to give is lost with it.
    pub fn input(&self) -> Input<'_> {
        Input::of(self)
    }

    pub(crate) fn next_piece(&self) -> Result<Option<Vec<u8>>, Cancelled> {
        self.connection.next_piece(self.id)
    }

    pub(crate) fn input_type(&self) -> Option<String> {
        self.connection.input_type(self.id)
    }

    /// The worker exits after this answer, be it a result or an error, and is replaced.
    pub fn last(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    /// Calls `kind.function` in the cluster and waits for the value. The arguments are an object
    /// (by name) or an array (by position). A function that streams gives the array of its pieces.
    ///
    /// # Errors
    ///
    /// The error of the called function, or of the way there.
    pub fn cluster<T: DeserializeOwned>(
        &self,
        target: &str,
        arguments: impl Serialize,
    ) -> Result<T, CallError> {
        self.nested(target).call(arguments)
    }

    /// The same with more to choose.
    pub fn nested(&self, target: &str) -> Nested<'_> {
        let (kind, function) = target.split_once('.').unwrap_or(("", target));
        Nested {
            call: self,
            header: NestedHeader {
                parent: self.id,
                details: Details {
                    kind: kind.to_owned(),
                    ..Details::default()
                },
                function: function.to_owned(),
                timeout_ms: None,
                key: None,
                class: None,
                idempotent: None,
            },
        }
    }
}

/// A class of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Before all others.
    High,
    /// As most.
    Normal,
    /// When nothing else waits.
    Low,
}

#[derive(Serialize, Default)]
struct Details {
    kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(flatten)]
    versions: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct NestedHeader {
    parent: u64,
    details: Details,
    function: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotent: Option<bool>,
}

/// A call of the cluster before it is made; from [`Call::nested`].
pub struct Nested<'a> {
    call: &'a Call<'a>,
    header: NestedHeader,
}

impl Nested<'_> {
    /// A version that the worker must have.
    pub fn version(mut self, key: &str, value: &str) -> Self {
        let versions = &mut self.header.details.versions;
        versions.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A tag that speaks for a worker.
    pub fn tag(mut self, tag: &str) -> Self {
        self.header.details.tags.push(tag.to_owned());
        self
    }

    /// A role that the worker must have.
    pub fn role(mut self, role: &str) -> Self {
        self.header.details.roles.push(role.to_owned());
        self
    }

    /// Can only shorten what remains of the running call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let timeout_ms = timeout.as_millis().min(u128::from(TIMEOUT_MS_MAX));
        self.header.timeout_ms = u64::try_from(timeout_ms).ok();
        self
    }

    /// Calls of one key go to the same version.
    pub fn key(mut self, key: &str) -> Self {
        self.header.key = Some(key.to_owned());
        self
    }

    /// Can only lower the class of the running call.
    pub fn class(mut self, class: Class) -> Self {
        self.header.class = Some(class);
        self
    }

    /// It does no harm to run the call twice.
    pub fn idempotent(mut self) -> Self {
        self.header.idempotent = Some(true);
        self
    }

    /// Makes the call and waits for the value.
    ///
    /// # Errors
    ///
    /// As [`Call::cluster`].
    pub fn call<T: DeserializeOwned>(self, arguments: impl Serialize) -> Result<T, CallError> {
        let bad = |error: serde_json::Error| CallError::new("bad_request", error.to_string());
        let answer = self.call_payload(&Payload::json(&arguments).map_err(bad)?)?;
        let unusable = |error| {
            let message = format!("the answer is not of the type that is expected: {error}");
            CallError::new("worker_error", message)
        };
        answer.value().map_err(unusable)
    }

    /// Makes the call with bytes, and gives the answer as bytes.
    ///
    /// # Errors
    ///
    /// As [`Call::cluster`].
    pub fn call_payload(self, arguments: &Payload) -> Result<Payload, CallError> {
        if self.header.details.kind.is_empty() {
            let target = &self.header.function;
            let message = format!("`{target}` is not of the form kind.function");
            return Err(CallError::new("bad_request", message));
        }
        self.call.connection.ask(&self.header, arguments)
    }
}

/// The call of a function that answers in pieces; it is a [`Call`] besides.
pub struct Stream<'a> {
    call: &'a Call<'a>,
}

impl<'a> Stream<'a> {
    pub(crate) fn of(call: &'a Call<'a>) -> Self {
        Self { call }
    }

    /// Sends one piece. Waits while the reader is slow.
    ///
    /// # Errors
    ///
    /// When nobody reads any more, or the piece cannot be sent.
    pub fn send(&self, piece: impl Serialize) -> Result<(), SendError> {
        self.send_payload(&Payload::json(&piece).map_err(SendError::Json)?)
    }

    /// Sends one piece that is bytes already.
    ///
    /// # Errors
    ///
    /// As [`Stream::send`].
    pub fn send_payload(&self, piece: &Payload) -> Result<(), SendError> {
        let connection = self.call.connection;
        let frame = result_frame(b'S', self.call.id, piece, false, connection.frame_max());
        let frame = frame.map_err(|TooLarge(message)| SendError::TooLarge(message))?;
        let used = connection.use_credit(self.call.id, piece.as_slice().len());
        used.map_err(SendError::Cancelled)?;
        connection.send(frame);
        Ok(())
    }
}

impl<'a> Deref for Stream<'a> {
    type Target = Call<'a>;

    fn deref(&self) -> &Call<'a> {
        self.call
    }
}
