//! What holds between any two events, for tests; and what they look at.

use super::{Exchange, Standing};
use crate::{NodeId, SlotId};
use std::collections::BTreeMap;

impl Exchange {
    /// Every slot, with whose it is.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, Standing)> + '_ {
        self.workers.iter().flat_map(|(worker, known)| {
            let slots = (0..).zip(&known.slots);
            slots.map(|(index, slot)| {
                let worker = *worker;
                (SlotId { worker, index }, slot.standing)
            })
        })
    }

    /// Panics if the state contradicts itself.
    pub fn assert_invariants(&self) {
        let mut promised: BTreeMap<(NodeId, u64), usize> = BTreeMap::new();
        for (worker, known) in &self.workers {
            let mut holds = false;
            for slot in &known.slots {
                let on_offer = matches!(slot.standing, Standing::Shared | Standing::Promised(_));
                assert!(
                    !(known.leaving && on_offer),
                    "{worker} leaves and is on offer"
                );
                assert!(
                    !on_offer || slot.epoch.0 > 0,
                    "{worker} is offered, not counted"
                );
                holds |= matches!(slot.standing, Standing::Taken(_));
                match slot.standing {
                    Standing::Promised(to) => *promised.entry((to, known.pool)).or_default() += 1,
                    Standing::Taken(Some(by)) => assert!(self.dispatchers.contains(&by)),
                    Standing::Away | Standing::Shared | Standing::Taken(None) => {}
                }
            }
            assert!(holds || !known.leaving, "{worker} has left and is known");
        }
        for (dispatcher, pool, count) in self.wants.promised() {
            assert!(
                self.dispatchers.contains(&dispatcher),
                "{dispatcher:?} is gone"
            );
            let known = promised.remove(&(dispatcher, pool)).unwrap_or(0);
            assert_eq!(known, count, "promises to {dispatcher:?} are miscounted");
        }
        assert!(
            promised.is_empty(),
            "promised to those who want nothing: {promised:?}"
        );
    }
}
