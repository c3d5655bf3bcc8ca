//! What passes between the dispatcher and whoever runs workers: assignments one way, notices the
//! other.

use crate::error::CallError;
use crate::input::Input;
use crate::stream::Pieces;
use pool::{CallId, Class, Epoch, Introduction, Program, SlotId, StopReason, WorkerId};
use std::sync::Arc;
use term::Payload;
use tokio::time::Instant;

/// The slots of one worker, as the dispatcher sees them. Neither method may wait.
pub trait Slots: Send + 'static {
    /// Hands calls to a slot. `Err` if the worker cannot take them any more: they keep their places
    /// in the queue.
    fn assign(&self, assignment: Assignment) -> Result<(), Refused>;

    /// Says that the answer to a call in one of the slots is no longer wanted.
    fn stop(&self, call: CallId, why: StopReason);
}

/// The worker did not take the assignment; no byte of it has reached the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Calls for one slot: nearly always one.
#[derive(Debug)]
pub struct Assignment {
    /// The slot that was on offer.
    pub slot: SlotId,
    /// The offer that this takes up.
    pub epoch: Epoch,
    /// The calls.
    pub calls: Vec<Assigned>,
}

/// A call on its way to a worker.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// Its identity.
    pub id: CallId,
    /// The function to run.
    pub function: Arc<str>,
    /// Its arguments.
    pub payload: Payload,
    /// What comes while it runs. Not to be opened before the assignment is taken for good.
    pub input: Option<Input>,
    /// The sticky key, if the caller gave one.
    pub key: Option<Arc<str>>,
    /// Its priority.
    pub class: Class,
    /// By when it must be answered.
    pub deadline: Instant,
    /// How many calls are above it.
    pub depth: u8,
}

/// What the dispatcher is told: of programs by whoever configures the node, of workers by its
/// manager.
pub enum Notice {
    /// A program is configured or its settings changed.
    Program(Program),
    /// A program is removed, or its workers crash wherever it is tried. Workers that it still has
    /// serve until they end.
    Removed {
        /// Its name.
        program: Arc<str>,
    },
    /// This many nodes dispatch calls, of which this one has that place, from 0. They begin with
    /// different ones of the slots that are free for all.
    Turn {
        /// This node's place.
        rank: u32,
        /// How many there are.
        of: u32,
    },
    /// A worker has answered the interrogation.
    Introduced {
        /// What the core needs to know.
        introduction: Introduction,
        /// What holds for its program, in case that nobody has configured it here yet.
        program: Program,
        /// Its process, for people.
        pid: u32,
        /// Where its assignments go.
        slots: Box<dyn Slots>,
    },
    /// A slot is free.
    Offered {
        /// The slot.
        slot: SlotId,
        /// Above all earlier ones of this slot.
        epoch: Epoch,
    },
    /// A worker takes no more calls. Those that it holds run on.
    Withdrawn(WorkerId),
    /// The worker did not take an assignment after all; no byte of it reached the process.
    Refused {
        /// The slot it was for.
        slot: SlotId,
        /// The offer that was assigned.
        epoch: Epoch,
    },
    /// A streamed answer has begun. [`Notice::Ended`] follows when it ends.
    Begun {
        /// The slot that holds the call.
        slot: SlotId,
        /// The call.
        call: CallId,
        /// The pieces.
        pieces: Pieces,
    },
    /// The worker has ended a call.
    Ended {
        /// The slot that held it.
        slot: SlotId,
        /// The call.
        call: CallId,
        /// The answer. Of no interest after a stream.
        result: Result<Payload, CallError>,
        /// The slot is free again.
        offer: Option<Epoch>,
    },
    /// The worker died with the call in its hands.
    Lost {
        /// The slot that held it.
        slot: SlotId,
        /// The call.
        call: CallId,
        /// How it died.
        error: CallError,
    },
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Program(program) => write!(f, "Program {}", program.name),
            Self::Removed { program } => write!(f, "Removed {program}"),
            Self::Introduced {
                introduction, pid, ..
            } => {
                write!(f, "Introduced {} pid {pid}", introduction.worker)
            }
            Self::Turn { rank, of } => write!(f, "Turn {rank} of {of}"),
            Self::Offered { slot, epoch } => write!(f, "Offered {slot:?} {epoch:?}"),
            Self::Withdrawn(worker) => write!(f, "Withdrawn {worker}"),
            Self::Refused { slot, epoch } => write!(f, "Refused {slot:?} {epoch:?}"),
            Self::Begun { call, .. } => write!(f, "Begun {call}"),
            Self::Ended { call, result, .. } => write!(f, "Ended {call} ok={}", result.is_ok()),
            Self::Lost { call, error, .. } => write!(f, "Lost {call} {error}"),
        }
    }
}

/// A worker's place in answers and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerName {
    /// Its number in the cluster.
    pub id: WorkerId,
    /// Its process.
    pub pid: u32,
}
