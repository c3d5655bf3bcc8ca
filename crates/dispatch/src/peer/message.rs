//! What the loops of two nodes say to each other: the frames of `Service::Calls`.
//!
//! One of them dispatches a call, the other manages the worker that runs it; two nodes can be both
//! to each other. Payloads follow the message as they are, in the order in which it names them.

use crate::call::{Answer, Call, Reply};
use crate::error::{CallError, Code};
use crate::slots::Assigned;
use bytes::Bytes;
use pool::{
    CallId, Class, Description, Epoch, Introduction, Program, SlotId, StopReason, WorkerId,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use term::{Payload, Shape};
use tokio::time::Instant;

/// A frame.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// A dispatcher to a manager.
    Manager(ToManager),
    /// A manager to a dispatcher.
    Dispatcher(ToDispatcher),
    /// About a stream, to either end of it: of a streamed answer, or of the input of a call.
    Stream { call: CallId, what: Flow },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToManager {
    /// The sender dispatches calls and wants to hear of the receiver's slots.
    Join,
    /// Calls for a slot. Their payloads follow.
    Assign {
        slot: SlotId,
        epoch: Epoch,
        calls: Vec<AssignedCall>,
    },
    /// The sender has no use for the slot that was promised to it.
    Release { slot: SlotId, epoch: Epoch },
    /// How many calls wait at the sender for a pool.
    Want {
        pool: u64,
        class: Class,
        oldest_us: u64,
        waiting: u32,
    },
    /// The answer of a running call is no longer wanted.
    Stop { call: CallId, why: StopReason },
    /// The reply to a nested call. A payload follows if the answer is whole.
    NestedEnded(NestedReply),
    /// As `Assign`, for calls of which some have inputs. It goes only to nodes whose worker declares
    /// that it reads one, which those that do not know this message never pass on.
    AssignWithInputs {
        slot: SlotId,
        epoch: Epoch,
        calls: Vec<AssignedCall>,
        /// One for each call.
        inputs: Vec<Option<InputHead>>,
    },
}

/// What is known of an input before any of it comes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InputHead {
    pub content_type: Option<Arc<str>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToDispatcher {
    /// A worker has answered the interrogation.
    Introduced(Introduced),
    /// A slot is free, or promised to the receiver.
    Offered {
        slot: SlotId,
        epoch: Epoch,
        /// To nobody else: if it is not taken up it is to be released.
        sole: bool,
    },
    /// The last offer of this slot stands no more; an assignment that takes it up is refused.
    Taken { slot: SlotId },
    /// A worker takes no more calls.
    Leaves { worker: WorkerId },
    /// Calls that were kept ahead have got their slot.
    Placed {
        from: SlotId,
        slot: SlotId,
        epoch: Epoch,
        calls: Vec<CallId>,
    },
    /// The assignment was not taken.
    Refused { slot: SlotId, epoch: Epoch },
    /// A streamed answer begins.
    Begun { slot: SlotId, call: CallId },
    /// A call has ended. A payload follows if it is a good answer.
    Ended {
        slot: SlotId,
        call: CallId,
        result: Result<Encoding, CallError>,
    },
    /// The worker died with the call in its hands.
    Lost {
        slot: SlotId,
        call: CallId,
        error: CallError,
    },
    /// A worker of the sender, in a call of the receiver, makes a call. The payload follows.
    Nested(NestedCall),
    /// Nobody wants the answer of a nested call any more.
    NestedCancel { call: CallId },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Flow {
    /// A piece. It follows.
    Piece(Encoding),
    /// The last word.
    End(Result<(), CallError>),
    /// The reader has taken this many bytes more.
    Credit(u32),
}

impl ToDispatcher {
    /// The worker that is spoken of, if one is.
    pub fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Introduced(introduced) => Some(introduced.worker),
            Self::Leaves { worker } => Some(*worker),
            Self::Offered { slot, .. }
            | Self::Taken { slot }
            | Self::Placed { slot, .. }
            | Self::Refused { slot, .. }
            | Self::Begun { slot, .. }
            | Self::Ended { slot, .. }
            | Self::Lost { slot, .. } => Some(slot.worker),
            Self::Nested(_) | Self::NestedCancel { .. } => None,
        }
    }
}

impl From<ToManager> for Message {
    fn from(message: ToManager) -> Self {
        Self::Manager(message)
    }
}

impl From<ToDispatcher> for Message {
    fn from(message: ToDispatcher) -> Self {
        Self::Dispatcher(message)
    }
}

/// How the payload is encoded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Encoding {
    Json,
    Etf,
    Bytes(Arc<str>),
}

impl Encoding {
    pub fn of(payload: &Payload) -> Self {
        match payload {
            Payload::Json(_) => Self::Json,
            Payload::Etf(_) => Self::Etf,
            Payload::Bytes { content_type, .. } => Self::Bytes(content_type.clone()),
        }
    }

    pub fn payload(self, bytes: Bytes) -> Payload {
        match self {
            Self::Json => Payload::Json(bytes),
            Self::Etf => Payload::Etf(bytes),
            Self::Bytes(content_type) => Payload::Bytes {
                content_type,
                bytes,
            },
        }
    }
}

/// A worker, as one node introduces it to another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Introduced {
    /// What holds for its program, in case that the receiver has not heard of it yet.
    program: Program,
    worker: WorkerId,
    /// JSON, since some of its fields may be left out.
    description: String,
    slots: u16,
    batch_max: u16,
    pub pid: u32,
}

impl Introduced {
    pub fn new(introduction: &Introduction, program: Program, pid: u32) -> Self {
        Self {
            program,
            worker: introduction.worker,
            description: serde_json::to_string(&*introduction.description)
                .expect("a description has no keys but text"),
            slots: introduction.slots,
            batch_max: introduction.batch_max,
            pid,
        }
    }

    /// The program and the introduction; an error if the description is none.
    pub fn open(self) -> Result<(Program, Introduction), serde_json::Error> {
        let description: Description = serde_json::from_str(&self.description)?;
        let introduction = Introduction {
            worker: self.worker,
            program: self.program.name.clone(),
            description: Arc::new(description),
            slots: self.slots,
            batch_max: self.batch_max,
        };
        Ok((self.program, introduction))
    }
}

/// A call that is handed to a slot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AssignedCall {
    id: CallId,
    function: Arc<str>,
    encoding: Encoding,
    bytes: u32,
    key: Option<Arc<str>>,
    class: Class,
    /// Until its deadline: clocks need not agree.
    remaining_us: u64,
    depth: u8,
}

impl AssignedCall {
    pub fn new(call: &Assigned) -> Self {
        Self {
            id: call.id,
            function: call.function.clone(),
            encoding: Encoding::of(&call.payload),
            bytes: u32::try_from(call.payload.size()).expect("payloads are smaller than frames"),
            key: call.key.clone(),
            class: call.class,
            remaining_us: remaining_us(call.deadline),
            depth: call.depth,
        }
    }

    /// The call with its payload, which is split off from `payloads`; none if that is too short.
    pub fn open(self, payloads: &mut Bytes) -> Option<Assigned> {
        let bytes = self.bytes as usize;
        if payloads.len() < bytes {
            return None;
        }
        Some(Assigned {
            id: self.id,
            function: self.function,
            payload: self.encoding.payload(payloads.split_to(bytes)),
            input: None,
            key: self.key,
            class: self.class,
            deadline: after_us(self.remaining_us),
            depth: self.depth,
        })
    }
}

/// A nested call on its way to the node that dispatched its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NestedCall {
    pub id: CallId,
    pub parent: CallId,
    /// JSON, since some of its fields may be left out.
    details: String,
    function: Arc<str>,
    encoding: Encoding,
    class: Class,
    key: Option<Arc<str>>,
    remaining_us: Option<u64>,
    idempotent: Option<bool>,
    avoid_workers: Vec<WorkerId>,
    depth: u8,
}

impl NestedCall {
    pub fn new(call: &Call, parent: CallId) -> Self {
        Self {
            id: call.id(),
            parent,
            details: serde_json::to_string(&*call.details).expect("details have no keys but text"),
            function: call.function.clone(),
            encoding: Encoding::of(&call.payload),
            class: call.class,
            key: call.key.clone(),
            remaining_us: call.deadline.map(remaining_us),
            idempotent: call.idempotent,
            avoid_workers: call.avoid.workers.clone(),
            depth: call.depth,
        }
    }

    /// The call with its payload.
    pub fn open(self, payload: Bytes) -> Result<Call, CallError> {
        let bad = |what: &str, error: &dyn std::fmt::Display| {
            CallError::new(Code::BadRequest, format!("{what}: {error}"))
        };
        let details = serde_json::from_str(&self.details)
            .map_err(|error| bad("expected details of a call", &error))?;
        let payload = self.encoding.payload(payload);
        let shape = match &payload {
            Payload::Json(json) => {
                Shape::of_json(json).map_err(|error| bad("expected arguments", &error))?
            }
            _ => Shape::Opaque,
        };
        let mut call = Call::new(self.id.number, details, &self.function, payload, shape);
        call.attempt = self.id.attempt;
        call.class = self.class;
        call.key = self.key;
        call.deadline = self.remaining_us.map(after_us);
        call.idempotent = self.idempotent;
        call.avoid.workers = self.avoid_workers;
        call.parent = Some(self.parent);
        call.depth = self.depth;
        Ok(call)
    }
}

/// The reply to a nested call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NestedReply {
    pub call: CallId,
    worker: Option<WorkerId>,
    queued_us: u64,
    ran_us: u64,
    remaining_us: Option<u64>,
    idempotent: bool,
    pub result: Result<NestedAnswer, CallError>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum NestedAnswer {
    Whole(Encoding),
    Stream,
}

impl NestedReply {
    /// Everything but the answer, which says only of what sort it is.
    pub fn new(call: CallId, reply: &Reply) -> Self {
        Self {
            call,
            worker: reply.worker,
            queued_us: micros(reply.queued),
            ran_us: micros(reply.ran),
            remaining_us: reply.deadline.map(remaining_us),
            idempotent: reply.idempotent,
            result: match &reply.result {
                Ok(Answer::Whole(payload)) => Ok(NestedAnswer::Whole(Encoding::of(payload))),
                Ok(Answer::Stream(_)) => Ok(NestedAnswer::Stream),
                Err(error) => Err(error.clone()),
            },
        }
    }

    /// The reply, with the answer that belongs to it.
    pub fn open(self, result: Result<Answer, CallError>) -> Reply {
        Reply {
            number: self.call.number,
            pool: None,
            worker: self.worker,
            program: None,
            queued: Duration::from_micros(self.queued_us),
            ran: Duration::from_micros(self.ran_us),
            deadline: self.remaining_us.map(after_us),
            idempotent: self.idempotent,
            result,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn remaining_us(deadline: Instant) -> u64 {
    micros(deadline.saturating_duration_since(Instant::now()))
}

fn after_us(us: u64) -> Instant {
    /// In place of a time that clocks do not reach.
    const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + Duration::from_micros(us).min(FAR_AWAY)
}
