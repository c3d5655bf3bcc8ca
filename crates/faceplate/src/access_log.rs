//! The access log: one line for each call, whatever protocol it came by, and one for each request
//! that was denied. Off unless [`crate::Node::log_access`] was called; then lines go where all
//! others go, with the target [`TARGET`]. `docs/access.md` says what is in them.

use crate::desk::Desk;
use crate::exchange::Prepared;
use crate::guard::Denied;
use crate::receipt::Receipt;
use dispatch::Code;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What filters of the log know these lines by.
pub const TARGET: &str = "access";

/// Characters of a name that a client has made up: more than any that is found, and few enough
/// beside the lines that wait to be written.
const NAME_MAX: usize = 200;

/// What is to be told of one call, once it is over. Dropped before, the client has left.
pub(crate) struct Line(Option<Box<Told>>);

struct Told {
    faceplate: Arc<str>,
    peer: Option<IpAddr>,
    token: Option<Arc<str>>,
    function: String,
    number: u64,
    bytes_in: usize,
    bytes_out: usize,
    /// What the call gave, and when.
    answered: Option<(Receipt, Instant)>,
    /// How it ended; the inner one is none if it went well.
    end: Option<Option<Code>>,
}

impl Line {
    /// The line of a call that is about to be made; nothing at all while there is no log.
    pub fn of(desk: &Desk, prepared: &Prepared) -> Self {
        if !desk.node.logs_access() {
            return Self(None);
        }
        let Prepared { call, token } = prepared;
        let kind = call.details.kind.as_deref().unwrap_or("*");
        Self(Some(Box::new(Told {
            faceplate: desk.name.clone(),
            peer: desk.peer,
            token: token.clone(),
            function: format!("{}.{}", short(kind), short(&call.function)),
            number: call.number,
            bytes_in: call.payload.bytes().len(),
            bytes_out: 0,
            answered: None,
            end: None,
        })))
    }

    /// The call has given something, perhaps a stream.
    pub fn answered(&mut self, receipt: Receipt) {
        if let Some(told) = &mut self.0 {
            told.answered = Some((receipt, Instant::now()));
        }
    }

    /// So many bytes of the answer are on their way to the client.
    pub fn went_out(&mut self, bytes: usize) {
        if let Some(told) = &mut self.0 {
            told.bytes_out += bytes;
        }
    }

    /// This is how it ended: well, or with an error.
    pub fn ended(&mut self, error: Option<Code>) {
        if let Some(told) = &mut self.0 {
            told.end = Some(error);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            told.tell();
        }
    }
}

impl Told {
    fn tell(&self) {
        let code = match self.end {
            None => Code::Cancelled.as_str(),
            Some(None) => "ok",
            Some(Some(code)) => code.as_str(),
        };
        let receipt = self.answered.as_ref();
        let queued = receipt.map(|(receipt, _)| ms(receipt.queued));
        let ran = receipt.map(|(receipt, since)| ms(receipt.ran + since.elapsed()));
        let worker = receipt.and_then(|(receipt, _)| receipt.worker);
        let worker = worker.map(|worker| format!("{}-{}", worker.node.0, worker.number));
        tracing::info!(
            target: TARGET,
            faceplate = &*self.faceplate,
            peer = self.peer.map(tracing::field::display),
            token = self.token.as_deref(),
            function = &*self.function,
            code,
            queued_ms = queued,
            ran_ms = ran,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            id = format_args!("{:016x}", self.number),
            worker = worker.as_deref(),
            "call"
        );
    }
}

/// Tells that a request was denied, and why.
pub(crate) fn denied(desk: &Desk, denied: &Denied) {
    if desk.node.logs_access() {
        tracing::info!(
            target: TARGET,
            faceplate = &*desk.name,
            peer = desk.peer.map(tracing::field::display),
            token = denied.name().map(|name| &**name),
            code = denied.code().as_str(),
            why = denied.message(),
            "denied"
        );
    }
}

/// The beginning of a name.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_MAX)]
}

/// Milliseconds, to the microsecond.
fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

/// The line is no part of what a call is.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}
