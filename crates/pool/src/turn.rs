//! Whose turn it is when several dispatchers have the offer of one slot.
//!
//! If each took the slot that is idle for longest, all would take the same, and all but one would
//! be refused. So each free slot has one dispatcher that is to take it; the others do only when
//! they have no such slot left. The turn goes round with the epochs of a slot.

use crate::core::Core;
use crate::{Epoch, SlotId};

/// Added to the order of a slot that is another's turn, so that it comes after all that are not.
/// Offers are not counted that far.
const LATER: u64 = 1 << 62;

/// Which of the dispatchers this one is.
#[derive(Debug)]
pub(crate) struct Turn {
    rank: u64,
    of: u64,
}

impl Default for Turn {
    /// The only one.
    fn default() -> Self {
        Self { rank: 0, of: 1 }
    }
}

impl Core {
    /// Says that `of` dispatchers share the slots, and that this one is number `rank` of them,
    /// from 0. It matters for offers from now on. If they do not agree on it, more assignments
    /// are refused, and nothing worse happens.
    pub fn set_turn(&mut self, rank: u32, of: u32) {
        let of = u64::from(of.max(1));
        let rank = u64::from(rank) % of;
        self.turn = Turn { rank, of };
    }

    /// The place of a new offer in the order of idleness.
    pub(crate) fn next_order(&mut self, slot: SlotId, epoch: Epoch) -> u64 {
        self.offers += 1;
        let SlotId { worker, index } = slot;
        let sum = u64::from(worker.node.0) + u64::from(worker.number) + u64::from(index);
        let is_mine = sum.wrapping_add(epoch.0) % self.turn.of == self.turn.rank;
        self.offers + if is_mine { 0 } else { LATER }
    }
}
