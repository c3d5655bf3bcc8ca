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
        for (pool, id, standing) in self.ahead.all() {
            let carrier = self.workers.get(&id.worker);
            let lives = carrier.is_some_and(|known| !known.leaving && known.pool == pool);
            assert!(lives, "{id:?} is known by a worker that is not there");
            match standing {
                Standing::Promised(to) => *promised.entry((to, pool)).or_default() += 1,
                Standing::Taken(_) => {
                    let of_pool = self.workers.values().filter(|known| known.pool == pool);
                    let mut slots = of_pool.flat_map(|known| &known.slots);
                    let free = slots.any(|slot| slot.standing == Standing::Shared);
                    assert!(!free, "a call waits in {id:?} while a slot is free");
                }
                Standing::Away | Standing::Shared => {}
            }
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
