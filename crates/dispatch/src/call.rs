//! A call on its way in and its answer on the way out.

use crate::error::CallError;
use crate::input::Input;
use crate::stream::Pieces;
use pool::{Avoid, CallId, Class, Details, LABELS_MAX, NAME_MAX, PoolId, VERSION_MAX, WorkerId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use term::{Payload, Shape};
use tokio::time::Instant;

/// Bytes of a sticky key: room for a user's name, a session or a query.
pub const KEY_MAX: usize = 1_024;
/// Bytes of a content type.
const CONTENT_TYPE_MAX: usize = 256;

/// A call, as a faceplate or a worker makes it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its public number; see [`crate::Numbers`].
    pub number: u64,
    /// 0, or which repetition this is.
    pub attempt: u8,
    /// What it asks of a pool.
    pub details: Arc<Details>,
    /// The function's name.
    pub function: Arc<str>,
    /// Its arguments.
    pub payload: Payload,
    /// The shape of these arguments: of JSON by [`Shape::of_json`], else opaque.
    pub shape: Arc<Shape>,
    /// What the client sends while the function runs; see [`crate::input()`]. Only functions that
    /// declare it are called with one, and a call with one is made once: it is never tried again,
    /// even if it may be run twice. Whoever has no body to send, leaves it out.
    pub input: Option<Input>,
    /// Its priority.
    pub class: Class,
    /// Calls of one key stay with one of several equal pools.
    pub key: Option<Arc<str>>,
    /// By when the caller wants it answered; the program's timeout may be sooner.
    pub deadline: Option<Instant>,
    /// Whether it may be run twice, as the caller says. None: as the function declares.
    pub idempotent: Option<bool>,
    /// Where it must not run.
    pub avoid: Avoid,
    /// The one program that it is for, by the name that dispatchers know it by; see
    /// [`pool::Call::only`].
    pub only: Option<Arc<str>>,
    /// The running call that makes this one.
    pub parent: Option<CallId>,
    /// How many calls are above this one.
    pub depth: u8,
}

impl Call {
    /// A plain call of normal class without deadline, key or parent.
    pub fn new(
        number: u64,
        details: Details,
        function: &str,
        payload: Payload,
        shape: Shape,
    ) -> Self {
        Self {
            number,
            attempt: 0,
            details: Arc::new(details),
            function: function.into(),
            payload,
            shape: Arc::new(shape),
            input: None,
            class: Class::Normal,
            key: None,
            deadline: None,
            idempotent: None,
            avoid: Avoid::default(),
            only: None,
            parent: None,
            depth: 0,
        }
    }

    /// Checks what a caller made up: it is kept with the call, shown, and sent on to the worker.
    pub(crate) fn check_limits(&self) -> Result<(), String> {
        let at_most = |what: &str, bytes: usize, max: usize| {
            if bytes <= max {
                return Ok(());
            }
            Err(format!(
                "expected a {what} of at most {max} bytes, got {bytes}"
            ))
        };
        let details = &self.details;
        at_most("function name", self.function.len(), NAME_MAX)?;
        at_most(
            "kind",
            details.kind.as_ref().map_or(0, |kind| kind.len()),
            NAME_MAX,
        )?;
        at_most("key", self.key.as_ref().map_or(0, |key| key.len()), KEY_MAX)?;
        at_most(
            "content type",
            self.payload.content_type().len(),
            CONTENT_TYPE_MAX,
        )?;
        let of_input = self.input.as_ref().and_then(Input::content_type);
        at_most(
            "content type of the input",
            of_input.map_or(0, |content_type| content_type.len()),
            CONTENT_TYPE_MAX,
        )?;
        let labels = details
            .tags
            .iter()
            .chain(&details.roles)
            .chain(details.versions.keys());
        for text in labels.chain(details.versions.values()) {
            at_most("version, tag or role", text.len(), VERSION_MAX)?;
        }
        let counts = [
            details.tags.len(),
            details.roles.len(),
            details.versions.len(),
        ];
        if counts.iter().any(|count| *count > LABELS_MAX) {
            let message =
                format!("expected at most {LABELS_MAX} versions, tags and roles, of each");
            return Err(message);
        }
        Ok(())
    }

    /// The identity of this attempt.
    pub fn id(&self) -> CallId {
        CallId {
            number: self.number,
            attempt: self.attempt,
        }
    }
}

/// What comes back for a call.
#[derive(Debug)]
pub struct Reply {
    /// The call's public number.
    pub number: u64,
    /// The pool it was for, if one was found.
    pub pool: Option<PoolId>,
    /// The worker that ran it.
    pub worker: Option<WorkerId>,
    /// The program of that worker, by the name that dispatchers know it by. Not known of a nested
    /// call that was dispatched on a node whose workers this one does not know.
    pub program: Option<Arc<str>>,
    /// How long it waited for a slot.
    pub queued: Duration,
    /// How long it ran, up to the answer or the first piece of it.
    pub ran: Duration,
    /// By when it had to be answered, if a pool was found for it.
    pub deadline: Option<Instant>,
    /// Whether it may be run twice: what the caller said or else the function's declaration.
    pub idempotent: bool,
    /// The answer.
    pub result: Result<Answer, CallError>,
}

impl Reply {
    /// The reply to a call that no pool has seen.
    pub(crate) fn unanswered(number: u64, error: CallError) -> Self {
        Self {
            number,
            pool: None,
            worker: None,
            program: None,
            queued: Duration::ZERO,
            ran: Duration::ZERO,
            deadline: None,
            idempotent: false,
            result: Err(error),
        }
    }
}

/// The answer of a function.
#[derive(Debug)]
pub enum Answer {
    /// All of it.
    Whole(Payload),
    /// Piece by piece.
    Stream(Pieces),
}

/// Answers calls: the dispatcher itself, or something wrapped around another caller. To drop the
/// future is to leave: the call is cancelled.
pub trait Caller: Send + Sync + 'static {
    /// Answers one call, at its deadline at the latest.
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>>;
}

/// Hands out the public numbers of calls: unique in the cluster as long as no two nodes draw the
/// same high half in the same while.
#[derive(Debug)]
pub struct Numbers(AtomicU64);

impl Numbers {
    /// Numbers that begin with `seed` and count from 1 in the low half.
    pub fn new(seed: u32) -> Self {
        Self(AtomicU64::new(u64::from(seed) << 32))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
