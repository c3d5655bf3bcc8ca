//! The ways to a worker's task: from the dispatcher, from the supervisor, from streams and nested
//! calls. All lead to one inbox.

use super::http::Said;
use crate::program::Program;
use bytes::Bytes;
use dispatch::{Assignment, CallError, Credit, InputSink, Refused, Slots};
use pool::{CallId, StopReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use term::Payload;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::status::WorkerState;

/// What comes to a worker's task.
#[derive(Debug)]
pub(crate) enum Message {
    Assign(Assignment),
    Stop(CallId, StopReason),
    /// The client of a stream has taken this much.
    Credit {
        id: u64,
        bytes: usize,
    },
    /// A piece of the input of a call; none is its end.
    Input {
        id: u64,
        piece: Option<Bytes>,
    },
    /// A nested call has been answered.
    NestedDone {
        id: u64,
        parent: u64,
        result: Result<Payload, CallError>,
    },
    /// Something was heard from a program that serves HTTP.
    Http(Said),
    /// Take calls.
    Promote,
    /// Take no calls for now.
    Demote,
    /// Finish and end.
    Retire,
    /// The settings changed, but not the process.
    Adjust(Arc<Program>),
    /// End now.
    Kill,
}

pub(crate) type Inbox = mpsc::UnboundedSender<Message>;

/// The dispatcher's way to a worker.
pub(crate) struct Port(pub Inbox);

impl Slots for Port {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        self.0
            .send(Message::Assign(assignment))
            .map_err(|_| Refused)
    }

    fn stop(&self, call: CallId, why: StopReason) {
        // A worker that is gone has stopped.
        let _ = self.0.send(Message::Stop(call, why));
    }
}

/// A stream's way back to its worker.
pub(crate) struct StreamCredit {
    pub inbox: Inbox,
    pub id: u64,
}

impl Credit for StreamCredit {
    fn give(&self, bytes: usize) {
        // The worker of the last pieces may have ended.
        let _ = self.inbox.send(Message::Credit { id: self.id, bytes });
    }
}

/// An input's way to its worker.
pub(crate) struct InputPort {
    pub inbox: Inbox,
    pub id: u64,
}

impl InputSink for InputPort {
    fn piece(&mut self, piece: Bytes) {
        self.say(Some(piece));
    }

    fn end(&mut self) {
        self.say(None);
    }
}

impl InputPort {
    fn say(&self, piece: Option<Bytes>) {
        // The worker may have ended.
        let _ = self.inbox.send(Message::Input { id: self.id, piece });
    }
}

/// What a worker's task shows to its supervisor.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Its number for the dispatcher.
    pub id: AtomicU32,
    /// 0 while there is no process.
    pub pid: AtomicU32,
    pub started: Instant,
    pub calls: AtomicU64,
    pub running: AtomicUsize,
    state: AtomicU8,
}

impl Shown {
    pub fn new(id: u32, pid: u32, started: Instant) -> Self {
        Self {
            id: AtomicU32::new(id),
            pid: AtomicU32::new(pid),
            started,
            calls: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            state: AtomicU8::new(WorkerState::Starting as u8),
        }
    }

    pub fn set(&self, state: WorkerState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub fn state(&self) -> WorkerState {
        let all = [
            WorkerState::Starting,
            WorkerState::Ready,
            WorkerState::Standby,
            WorkerState::Retiring,
            WorkerState::Stopping,
        ];
        let state = self.state.load(Ordering::Relaxed);
        all.into_iter()
            .find(|known| *known as u8 == state)
            .unwrap_or(WorkerState::Starting)
    }
}

/// What a worker's task tells its supervisor.
#[derive(Debug)]
pub(crate) enum Report {
    /// It has answered the interrogation.
    Ready,
    /// It has ended its first call.
    Proven,
    /// It has reached a limit.
    Tired(&'static str),
    /// It takes no more calls and will end, because of a limit or of what went wrong.
    Leaving(Option<&'static str>),
    /// Whether all its slots hold calls past their deadlines.
    Stuck(bool),
    /// Its process has ended.
    Gone(End),
}

/// How a worker ended.
#[derive(Debug)]
pub(crate) struct End {
    /// What went wrong; none if it was told to end, or said that it would.
    pub problem: Option<String>,
    /// Whether it failed by itself, so that the next one may fail the same way.
    pub crash: bool,
}
