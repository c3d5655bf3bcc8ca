//! The core's vocabulary: what it is told, and what it decides.

use crate::{CallId, Description, Details, Epoch, Misfit, NodeId, PoolId, SlotId, Time, WorkerId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;
use term::Shape;

/// The calls of one assignment: nearly always one.
pub type Calls = SmallVec<[CallId; 1]>;

/// What happens to the core.
#[derive(Debug, Clone)]
pub enum Event {
    /// A program is configured, or its settings changed. Until its first worker is introduced,
    /// calls that match no pool wait for it.
    Program(Program),
    /// A program is removed, or is given up as crash-looping: it is no longer waited for. The pools
    /// that only it fed take no new calls, serve those who wait, and end with their last worker.
    Removed {
        /// Its name.
        program: Arc<str>,
    },
    /// A worker has answered the interrogation. It has no free slot until it offers one. A
    /// repetition changes nothing: a worker is what it said first.
    Introduced(Introduction),
    /// A slot is free. Repetitions, told by their epoch, change nothing. Of an assignment that was
    /// not accepted a newer offer says that it was refused: all that a manager says comes in order,
    /// so the outcome would have come first. What was accepted is lost.
    Offer {
        /// The slot.
        slot: SlotId,
        /// Counted up by the manager with each offer of this slot.
        epoch: Epoch,
    },
    /// Slots leave. Calls they hold run on, unless the whole node is gone.
    Withdraw(Withdrawal),
    /// A call comes in.
    Call(Call),
    /// Nobody wants the answer any more.
    Cancel {
        /// The call.
        call: CallId,
    },
    /// The manager has taken the assignment.
    Accepted {
        /// The slot it was for.
        slot: SlotId,
        /// The epoch of the offer that was assigned.
        epoch: Epoch,
    },
    /// The manager has not taken the assignment; its calls keep their places in the queue. The
    /// slot is free again with its next offer.
    Refused {
        /// The slot it was for.
        slot: SlotId,
        /// The epoch of the offer that was assigned.
        epoch: Epoch,
    },
    /// What was given to a place ahead has got its slot, and runs there.
    Placed {
        /// The place ahead.
        from: SlotId,
        /// The slot.
        slot: SlotId,
        /// Above that of any earlier offer of the slot.
        epoch: Epoch,
    },
    /// A worker has ended a call, with an answer or an error.
    Outcome {
        /// The slot that held it.
        slot: SlotId,
        /// The call.
        call: CallId,
    },
    /// A worker died while it held a call. The slot does not come back.
    Lost {
        /// The slot that held it.
        slot: SlotId,
        /// The call.
        call: CallId,
    },
    /// Time has passed.
    Tick,
}

/// A program's part in the pools that it feeds. Where programs share a pool the largest value
/// counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its share among pools that match a call equally well.
    pub weight: u32,
    /// How long a call may wait and run, together.
    pub timeout: Duration,
    /// Calls that may wait.
    pub queue_max: usize,
    /// Bytes of arguments that may wait.
    pub queue_bytes_max: usize,
}

/// A worker, as it enters a pool.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// The worker; its node is part of its identity.
    pub worker: WorkerId,
    /// The program it is a process of.
    pub program: Arc<str>,
    /// What it said; decides its pool, unless its program is [set apart](crate::is_apart).
    pub description: Arc<Description>,
    /// How many slots it has.
    pub slots: u16,
    /// How many calls of one function one assignment may hold.
    pub batch_max: u16,
}

/// What leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Withdrawal {
    /// One offer is taken back. The slot may be offered again.
    Slot(SlotId),
    /// The worker retires or is dead: none of its slots is offered again.
    Worker(WorkerId),
    /// The node is gone, with every worker and every call on it.
    Node(NodeId),
}

/// The three priorities, in the order in which they are served.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Before all others.
    High,
    /// What a call is unless it says otherwise.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}

/// Where a call must not run: the places where it has been already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Avoid {
    /// These workers.
    pub workers: Vec<WorkerId>,
    /// Any worker of these nodes.
    pub nodes: Vec<NodeId>,
    /// These pools.
    pub pools: Vec<PoolId>,
}

impl Avoid {
    /// Whether the call must not run there.
    pub fn worker(&self, worker: WorkerId) -> bool {
        self.workers.contains(&worker) || self.nodes.contains(&worker.node)
    }
}

/// A call, as far as the core needs to know it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its identity; never used before.
    pub id: CallId,
    /// What it asks of a pool.
    pub details: Arc<Details>,
    /// The function's name.
    pub function: Arc<str>,
    /// The arguments it gives.
    pub shape: Arc<Shape>,
    /// The arguments themselves if they are JSON, shared with whoever sends them on, so that a pool
    /// is chosen by their types too; none if types are not to be looked at.
    pub json: Option<Bytes>,
    /// Whether an input comes with it, which only a function reads that declares it.
    pub input: bool,
    /// Its priority. A nested call's is never above its parent's.
    pub class: Class,
    /// Calls of one key go to one of the pools that match equally well, as long as that pool and
    /// its weight last.
    pub key: Option<u64>,
    /// Chooses among equal pools where there is no key. Any number will do; spread them.
    pub seed: u64,
    /// By when the caller wants it answered. A program's timeout shortens it.
    pub deadline: Option<Time>,
    /// Bytes it takes in the queue.
    pub bytes: usize,
    /// Where it must not run.
    pub avoid: Avoid,
    /// The one program that it is for, which is [set apart](crate::is_apart), whatever its details
    /// say. It waits for no program to start.
    pub only: Option<Arc<str>>,
    /// The running call that made this one.
    pub parent: Option<CallId>,
}

/// What the core decides. Each call gets exactly one of [`Command::Deliver`] and
/// [`Command::Reject`], unless it is cancelled first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Hand these calls to this slot.
    Assign {
        /// The slot.
        slot: SlotId,
        /// The epoch of the offer that this takes up.
        epoch: Epoch,
        /// The calls.
        calls: Calls,
    },
    /// Pass the outcome, or the loss, that was just reported on to the caller.
    Deliver {
        /// The call.
        call: CallId,
    },
    /// Answer the caller with an error.
    Reject {
        /// The call.
        call: CallId,
        /// Which.
        why: Rejection,
    },
    /// The answer of a running call is no longer wanted.
    Stop {
        /// The slot that holds it.
        slot: SlotId,
        /// The call.
        call: CallId,
        /// Why.
        why: StopReason,
    },
}

/// Why a call is answered by the core instead of by a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Nothing matches, and nothing that starts could.
    NoPool,
    /// Pools match, but none has the function.
    NoFunction,
    /// The function does not take these arguments.
    BadArguments(Misfit),
    /// The queue is full.
    Busy {
        /// The pool; none while programs start.
        pool: Option<PoolId>,
        /// Calls that wait in it.
        waiting: usize,
    },
    /// Not answered in time.
    Deadline {
        /// The slot it was running in; none if it was still waiting.
        running: Option<SlotId>,
    },
    /// Every slot of the pool is held by the call's own ancestors.
    Deadlock,
    /// The pool it waited for was removed.
    Removed,
    /// The node that ran it is gone.
    Lost {
        /// The slot that held it.
        slot: SlotId,
    },
}

/// Why a running call is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// Its deadline has passed; its caller has been answered.
    Deadline,
    /// Its caller has left.
    ClientLeft,
}
