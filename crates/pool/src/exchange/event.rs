//! The exchange's vocabulary: what it is told, and what it decides.

use crate::{Class, Epoch, NodeId, SlotId, WorkerId};
use std::time::Duration;

/// What happens to the exchange. A dispatcher is named by its node. What one dispatcher says comes
/// in the order in which it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A dispatcher is there. It is told of all workers, and of the slots on offer to all.
    Joined(NodeId),
    /// A dispatcher is gone, with what it wanted and what it was promised. What it runs is to stop.
    Left(NodeId),
    /// A worker has answered the interrogation. Its slots are not free until it says so.
    Introduced {
        /// The worker.
        worker: WorkerId,
        /// The hash of its description, by which all nodes know its pool.
        pool: u64,
        /// How many slots it has.
        slots: u16,
    },
    /// A slot can take an assignment; said by its worker at first and after each that has ended.
    Free {
        /// The slot.
        slot: SlotId,
    },
    /// A slot holds no call any more.
    Ended {
        /// The slot.
        slot: SlotId,
    },
    /// The worker has not taken the assignment it was given; no byte reached the process. Or, said
    /// of a place ahead: what waits there is not wanted any more.
    Declined {
        /// The slot.
        slot: SlotId,
    },
    /// Time has passed.
    Tick,
    /// A worker retires or is dead: none of its slots will be free again. What it holds runs on
    /// until [`Event::Ended`].
    Withdrawn(WorkerId),
    /// A dispatcher takes up an offer.
    Assign {
        /// Who.
        dispatcher: NodeId,
        /// The slot.
        slot: SlotId,
        /// The offer.
        epoch: Epoch,
    },
    /// A dispatcher has no use for a slot that was promised to it alone. What it still waits for
    /// it has said before, by [`Event::Want`], if that changed.
    Release {
        /// Who.
        dispatcher: NodeId,
        /// The slot.
        slot: SlotId,
        /// The offer.
        epoch: Epoch,
    },
    /// A dispatcher says what waits in one of its queues.
    Want {
        /// Who.
        dispatcher: NodeId,
        /// What.
        want: Want,
    },
}

/// The queue of one pool at one dispatcher, as it was when this was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The hash of the pool's description.
    pub pool: u64,
    /// The class it serves next.
    pub class: Class,
    /// How long the oldest call of that class has waited.
    pub age: Duration,
    /// Calls that wait, of all classes; 0 takes the want back.
    pub waiting: usize,
}

/// What the exchange decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Tell a dispatcher of a worker.
    Introduce {
        /// Whom.
        dispatcher: NodeId,
        /// The worker.
        worker: WorkerId,
    },
    /// Tell a dispatcher that a worker leaves.
    Retire {
        /// Whom.
        dispatcher: NodeId,
        /// The worker.
        worker: WorkerId,
    },
    /// Offer a slot to a dispatcher.
    Offer {
        /// To whom.
        dispatcher: NodeId,
        /// The slot.
        slot: SlotId,
        /// Above that of any earlier offer of this slot.
        epoch: Epoch,
        /// Nobody else has this offer, while others may wait for one: it is to be taken up at
        /// once, or given back by [`Event::Release`] if no assignment followed from it.
        sole: bool,
    },
    /// Take an offer back: another dispatcher was faster.
    Withdraw {
        /// From whom.
        dispatcher: NodeId,
        /// The slot.
        slot: SlotId,
    },
    /// Give the assignment that came to the worker.
    Take {
        /// Whose it is.
        dispatcher: NodeId,
        /// The slot.
        slot: SlotId,
        /// The offer it takes up.
        epoch: Epoch,
    },
    /// Give what waits in the place ahead to the worker, and tell its dispatcher where it runs. An
    /// assignment to a place ahead ([`SlotId::is_ahead`]) that is not refused waits for this.
    Place {
        /// Whose it is.
        dispatcher: NodeId,
        /// The place ahead.
        from: SlotId,
        /// The slot.
        slot: SlotId,
        /// Above that of any earlier offer of the slot.
        epoch: Epoch,
    },
    /// Send the assignment back: its calls keep their places in their queue.
    Refuse {
        /// Whose it is.
        dispatcher: NodeId,
        /// The slot.
        slot: SlotId,
        /// The offer it wanted to take up.
        epoch: Epoch,
    },
    /// Stop what the slot holds: nobody is left to have the answer.
    Abandoned {
        /// The slot.
        slot: SlotId,
        /// Whose call it was.
        dispatcher: NodeId,
    },
}
