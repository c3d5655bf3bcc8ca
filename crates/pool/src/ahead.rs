//! The place ahead: while a backlog is deep, a manager's node lets one call of a pool wait there,
//! for whichever slot of the pool becomes free next, so that no slot is idle for the time that an
//! offer and an assignment take. See [`crate::exchange`].
//!
//! For the core it is one more slot of some worker of the pool, by which the place is known. A call
//! that was given to it counts as assigned, can be refused, and moves when it has got its slot.

use crate::core::{Core, SlotState, Stage};
use crate::event::{Avoid, Command};
use crate::{Epoch, SlotId};

impl SlotId {
    /// The index of the place ahead. No slot has it.
    pub const AHEAD: u16 = u16::MAX;

    /// Whether this is a place ahead.
    pub fn is_ahead(self) -> bool {
        self.index == Self::AHEAD
    }
}

impl Avoid {
    /// Whether the call may be given to this slot. Where a place ahead leads is not known, so it
    /// is for those that avoid no worker.
    pub fn allows(&self, slot: SlotId) -> bool {
        !self.worker(slot.worker) && (!slot.is_ahead() || self.workers.is_empty())
    }
}

impl Core {
    /// What the place held runs in the slot now.
    pub(crate) fn placed(
        &mut self,
        from: SlotId,
        slot: SlotId,
        epoch: Epoch,
        commands: &mut Vec<Command>,
    ) {
        let held = self.slot_mut(from).map(|place| &place.state);
        let is_held = matches!(held, Some(SlotState::Held { .. }));
        let is_new = self.slot_mut(slot).is_some_and(|known| epoch > known.epoch);
        if !is_held {
            return;
        }
        if !is_new {
            // A slot that was never introduced here. The call runs, so it must not run again.
            let epoch = self.slot_mut(from).expect("looked at above").epoch;
            self.accepted(from, epoch);
            return;
        }
        let pool = self.workers[&slot.worker].pool;
        self.withdraw_offer(slot);
        // What was assigned to the slot itself came too late, as before a newer offer.
        self.give_back(slot);
        let calls = self.release(from);
        for call in &calls {
            let state = self.calls.get_mut(call).expect("a slot holds known calls");
            if let Stage::Held { slot: at, .. } = &mut state.stage {
                *at = slot;
            }
        }
        self.pool_mut(pool).running += calls.len();
        let known = self.slot_mut(slot).expect("looked at above");
        known.epoch = epoch;
        known.state = SlotState::Held {
            calls,
            accepted: false,
        };
        self.bury(from.worker);
        self.serve_free(pool, commands);
    }
}
