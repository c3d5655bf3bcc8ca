//! What holds between any two events. Tests call this after each; it costs a walk over everything.

use crate::core::{CallState, Core, Slot, SlotState, Stage, Worker};
use crate::queue::Queue;
use crate::{CallId, SlotId};
use std::collections::BTreeSet;

/// The slots of a worker, and its place ahead.
fn slots_of(worker: &Worker) -> impl Iterator<Item = (u16, &Slot)> {
    let ahead = (SlotId::AHEAD, &worker.ahead);
    (0..).zip(&worker.slots).chain([ahead])
}

impl Core {
    /// Panics if the state contradicts itself or one of the promises of a pool is broken.
    pub fn assert_invariants(&self) {
        self.assert_calls_are_in_one_place();
        self.assert_slots_agree_with_pools();
        self.assert_no_call_waits_beside_a_free_slot();
        let lobby_is_empty = self.lobby_queue.len() == 0;
        assert!(
            lobby_is_empty || self.is_starting(),
            "calls wait for no program"
        );
        for (id, call) in &self.calls {
            assert!(self.deadlines.contains(&(call.deadline, *id)) || call.deadline <= self.now);
            assert!(call.deadline > self.now || matches!(call.stage, Stage::Held { .. }));
            self.assert_input_is_read(call);
        }
    }

    /// A call with an input waits for, and runs in, only what reads it.
    fn assert_input_is_read(&self, call: &CallState) {
        let pool = match call.stage {
            Stage::Lobby => return,
            Stage::Waiting(pool) => pool,
            Stage::Held { slot, .. } => self.workers[&slot.worker].pool,
        };
        let function = self.pools[&pool].description.function(&call.call.function);
        let reads = function.is_some_and(|function| function.input);
        assert!(reads || !call.call.input, "nobody reads the input");
    }

    fn assert_calls_are_in_one_place(&self) {
        let mut seen = BTreeSet::new();
        let mut queued = |queue: &Queue, stage: Stage| {
            let mut bytes = 0;
            for (place, id) in queue.iter() {
                assert!(seen.insert(id), "{id} is in two places");
                let call = &self.calls[&id];
                assert_eq!((call.stage, call.place), (stage, place), "{id}");
                bytes += call.call.bytes;
            }
            assert_eq!(
                queue.bytes(),
                bytes,
                "the bytes of {stage:?} are miscounted"
            );
        };
        queued(&self.lobby_queue, Stage::Lobby);
        for (id, pool) in &self.pools {
            queued(&pool.queue, Stage::Waiting(*id));
        }
        for (slot, held) in self.held() {
            for id in held {
                assert!(seen.insert(id), "{id} is in two places");
                let stage = self.calls[&id].stage;
                assert!(
                    matches!(stage, Stage::Held { slot: at, .. } if at == slot),
                    "{id}"
                );
            }
        }
        assert_eq!(seen.len(), self.calls.len(), "a call is known and nowhere");
    }

    fn held(&self) -> Vec<(SlotId, Vec<CallId>)> {
        let mut held = Vec::new();
        for (worker, state) in &self.workers {
            for (index, slot) in slots_of(state) {
                if let SlotState::Held { calls, .. } = &slot.state {
                    assert!(
                        (1..=state.batch_max).contains(&calls.len()),
                        "{worker} is overfull"
                    );
                    held.push((
                        SlotId {
                            worker: *worker,
                            index,
                        },
                        calls.to_vec(),
                    ));
                }
            }
        }
        held
    }

    fn assert_slots_agree_with_pools(&self) {
        for (id, pool) in &self.pools {
            let mut slots = 0;
            let mut free = BTreeSet::new();
            let mut running = 0;
            for (worker, state) in self.workers.iter().filter(|(_, state)| state.pool == *id) {
                slots += if state.leaving { 0 } else { state.slots.len() };
                for (index, slot) in slots_of(state) {
                    match &slot.state {
                        SlotState::Away => {}
                        SlotState::Free(order) => {
                            assert!(!state.leaving, "{worker} leaves and is on offer");
                            free.insert((
                                *order,
                                SlotId {
                                    worker: *worker,
                                    index,
                                },
                            ));
                        }
                        SlotState::Held { calls, .. } => running += calls.len(),
                    }
                }
            }
            let listed = pool
                .free
                .iter()
                .map(|(order, slot)| (*order, *slot))
                .collect();
            assert_eq!(free, listed, "free slots of {id:?}");
            let nobody_waits = pool.queue.len() == 0;
            assert!(
                nobody_waits || !pool.programs.is_empty(),
                "calls wait for what has ended"
            );
            assert_eq!(
                (pool.slots, pool.running),
                (slots, running),
                "counts of {id:?}"
            );
        }
    }

    fn assert_no_call_waits_beside_a_free_slot(&self) {
        for pool in self.pools.values() {
            for (_, id) in pool.queue.iter() {
                let avoid = &self.calls[&id].call.avoid;
                let fit = pool.free.values().find(|slot| avoid.allows(**slot));
                assert_eq!(fit, None, "{id} waits while a slot is free");
            }
        }
    }
}
