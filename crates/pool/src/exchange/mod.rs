//! The slots of one node's workers, shared by the dispatchers of many nodes.
//!
//! A dispatcher is a [`crate::Core`] with queues of its own. The slots are where the workers are, a
//! network away, and each manager's node has one exchange that says whose a slot is:
//!
//! ```text
//!   worker: Free ──> does a dispatcher wait?
//!                      │ no                      │ yes: highest class, then oldest
//!                      └─> Offer to all          └─> Offer to one (sole)
//!                            │ first Assign            │ Assign           │ Release
//!                            ├─> Take                  └─> Take           └─> the next, or all
//!                            ├─> Withdraw from others
//!                            └─> later Assigns: Refuse
//! ```
//!
//! Each offer has an epoch above those of all earlier offers of the slot, to whomever: a message
//! that comes late is known by it. The worker's own epochs stay in the manager's node.
//!
//! While a backlog is deep one call of a pool may wait here for the next free slot, which then is
//! never idle: see `ahead`.
//!
//! Wants only choose between dispatchers. One that has said nothing, because it waits for the
//! slots of hundreds of managers and tells only some, is served by what is offered to all.

mod ahead;
mod event;
mod invariants;
mod wants;

pub use event::{Command, Event, Want};

use crate::{Epoch, NodeId, SlotId, Time, WorkerId};
use ahead::Places;
use std::collections::{BTreeMap, BTreeSet};
use wants::Wants;

/// Owns the slots of one node: which are free, on offer, promised or taken. Pure, as the core is.
/// With one dispatcher, as on a laptop, an event costs one look into a small map.
#[derive(Debug, Default)]
pub struct Exchange {
    dispatchers: BTreeSet<NodeId>,
    workers: BTreeMap<WorkerId, Worker>,
    wants: Wants,
    ahead: Places,
}

#[derive(Debug)]
struct Worker {
    pool: u64,
    slots: Vec<Slot>,
    /// Withdrawn, but it still holds calls.
    leaving: bool,
}

#[derive(Debug, Default)]
struct Slot {
    epoch: Epoch,
    standing: Standing,
    /// Those who gave this slot back since it was last taken.
    declined: Vec<NodeId>,
}

/// Whose a slot is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its worker has not said that it is free.
    #[default]
    Away,
    /// Offered to all dispatchers.
    Shared,
    /// Offered to this one only.
    Promised(NodeId),
    /// Holds calls, of this dispatcher unless that is gone.
    Taken(Option<NodeId>),
}

impl Exchange {
    /// Lets one call of a pool wait here for the next slot while a backlog is deep, or not. Not at
    /// first: whoever runs the exchange must know what [`Command::Place`] asks of it.
    pub fn set_ahead(&mut self, is_on: bool) {
        self.ahead.set(is_on);
    }

    /// When the exchange next needs an [`Event::Tick`], unless something else happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        self.ahead.next_deadline()
    }

    /// Takes one event at the time `now` and adds what follows to `commands`.
    pub fn handle(&mut self, now: Time, event: Event, commands: &mut Vec<Command>) {
        self.recall(now, commands);
        match event {
            Event::Joined(dispatcher) => self.joined(dispatcher, commands),
            Event::Left(dispatcher) => self.left(now, dispatcher, commands),
            Event::Introduced {
                worker,
                pool,
                slots,
            } => self.introduced(worker, pool, slots, commands),
            Event::Free { slot } => self.free(now, slot, commands),
            Event::Ended { slot } => self.ended(slot),
            Event::Declined { slot } => self.declined(slot, commands),
            Event::Withdrawn(worker) => self.withdrawn(worker, commands),
            Event::Assign {
                dispatcher,
                slot,
                epoch,
            } => self.assign(now, dispatcher, slot, epoch, commands),
            Event::Release {
                dispatcher,
                slot,
                epoch,
            } => self.release(now, dispatcher, slot, epoch, commands),
            Event::Tick => {}
            Event::Want { dispatcher, want } => {
                if self.dispatchers.contains(&dispatcher) {
                    self.wants.say(now, dispatcher, want);
                    self.promise_ahead(now, want.pool, commands);
                }
            }
        }
    }

    /// Whether calls wait for slots of a pool, as far as the exchange has been told.
    pub fn is_wanted(&self, pool: u64) -> bool {
        self.wants.is_wanted(pool)
    }

    /// Whether a worker is live, or leaving and still holds calls.
    pub fn knows(&self, worker: WorkerId) -> bool {
        self.workers.contains_key(&worker)
    }

    fn joined(&mut self, dispatcher: NodeId, commands: &mut Vec<Command>) {
        if !self.dispatchers.insert(dispatcher) {
            return;
        }
        for (worker, known) in self.workers.iter().filter(|(_, known)| !known.leaving) {
            let worker = *worker;
            commands.push(Command::Introduce { dispatcher, worker });
            for (index, slot) in (0..).zip(&known.slots) {
                if slot.standing == Standing::Shared {
                    commands.push(Command::Offer {
                        dispatcher,
                        slot: SlotId { worker, index },
                        epoch: slot.epoch,
                        sole: false,
                    });
                }
            }
        }
    }

    fn left(&mut self, now: Time, dispatcher: NodeId, commands: &mut Vec<Command>) {
        if !self.dispatchers.remove(&dispatcher) {
            return;
        }
        self.wants.forget(dispatcher);
        self.left_ahead(dispatcher, commands);
        let mut promised = Vec::new();
        for (worker, known) in &mut self.workers {
            for (index, slot) in (0..).zip(&mut known.slots) {
                let id = SlotId {
                    worker: *worker,
                    index,
                };
                if slot.standing == Standing::Promised(dispatcher) {
                    promised.push(id);
                } else if slot.standing == Standing::Taken(Some(dispatcher)) {
                    slot.standing = Standing::Taken(None);
                    commands.push(Command::Abandoned {
                        slot: id,
                        dispatcher,
                    });
                }
            }
        }
        for slot in promised {
            self.place(now, slot, commands);
        }
    }

    fn introduced(&mut self, worker: WorkerId, pool: u64, slots: u16, commands: &mut Vec<Command>) {
        if self.workers.contains_key(&worker) {
            return;
        }
        self.ahead.introduced(pool, worker);
        let slots = (0..slots).map(|_| Slot::default()).collect();
        let new = Worker {
            pool,
            slots,
            leaving: false,
        };
        self.workers.insert(worker, new);
        let all = self.dispatchers.iter();
        commands.extend(all.map(|&dispatcher| Command::Introduce { dispatcher, worker }));
    }

    fn free(&mut self, now: Time, slot: SlotId, commands: &mut Vec<Command>) {
        let standing = self.find(slot).map(|(known, _)| known.standing);
        if let Some(Standing::Away | Standing::Taken(_)) = standing {
            let pool = self.workers[&slot.worker].pool;
            self.ahead.freed(now, pool);
            self.place(now, slot, commands);
        }
    }

    fn ended(&mut self, slot: SlotId) {
        if let Some((known, leaving)) = self.find(slot)
            && matches!(known.standing, Standing::Taken(_))
        {
            known.standing = Standing::Away;
            if leaving {
                self.bury(slot.worker);
            }
        }
    }

    fn declined(&mut self, slot: SlotId, commands: &mut Vec<Command>) {
        if slot.is_ahead() {
            self.give_up_ahead(slot, commands);
            return;
        }
        if let Some((known, _)) = self.find(slot)
            && let Standing::Taken(holder) = known.standing
        {
            let epoch = known.epoch;
            commands.extend(holder.map(|dispatcher| Command::Refuse {
                dispatcher,
                slot,
                epoch,
            }));
            self.ended(slot);
        }
    }

    fn withdrawn(&mut self, worker: WorkerId, commands: &mut Vec<Command>) {
        let Some(known) = self.workers.get_mut(&worker) else {
            return;
        };
        if std::mem::replace(&mut known.leaving, true) {
            return;
        }
        for slot in &mut known.slots {
            if let Standing::Promised(dispatcher) = slot.standing {
                self.wants.void(known.pool, dispatcher);
            }
            if !matches!(slot.standing, Standing::Taken(_)) {
                slot.standing = Standing::Away;
            }
        }
        let pool = known.pool;
        self.withdrawn_ahead(pool, worker, commands);
        let all = self.dispatchers.iter();
        commands.extend(all.map(|&dispatcher| Command::Retire { dispatcher, worker }));
        self.bury(worker);
    }

    fn assign(
        &mut self,
        now: Time,
        dispatcher: NodeId,
        slot: SlotId,
        epoch: Epoch,
        commands: &mut Vec<Command>,
    ) {
        if slot.is_ahead() {
            self.assign_ahead(now, dispatcher, slot, epoch, commands);
            return;
        }
        let worker = self.workers.get_mut(&slot.worker);
        let pool = worker.as_ref().map_or(0, |worker| worker.pool);
        let known = worker.and_then(|worker| worker.slots.get_mut(usize::from(slot.index)));
        // Who has not joined has no offers.
        let is_joined = self.dispatchers.contains(&dispatcher);
        let known = known.filter(|known| is_joined && known.epoch == epoch);
        let standing = known
            .as_ref()
            .map_or(Standing::Away, |known| known.standing);
        if standing != Standing::Shared && standing != Standing::Promised(dispatcher) {
            commands.push(Command::Refuse {
                dispatcher,
                slot,
                epoch,
            });
            return;
        }
        if let Some(known) = known {
            known.standing = Standing::Taken(Some(dispatcher));
            known.declined.clear();
        }
        commands.push(Command::Take {
            dispatcher,
            slot,
            epoch,
        });
        if standing == Standing::Shared {
            self.wants.took(pool, dispatcher);
            let others = self
                .dispatchers
                .iter()
                .filter(|&&other| other != dispatcher);
            commands.extend(others.map(|&dispatcher| Command::Withdraw { dispatcher, slot }));
        } else {
            self.wants.kept(pool, dispatcher);
        }
    }

    fn release(
        &mut self,
        now: Time,
        dispatcher: NodeId,
        slot: SlotId,
        epoch: Epoch,
        commands: &mut Vec<Command>,
    ) {
        if slot.is_ahead() {
            self.release_ahead(dispatcher, slot, epoch);
            return;
        }
        if let Some((known, _)) = self.find(slot)
            && known.standing == Standing::Promised(dispatcher)
            && known.epoch == epoch
        {
            known.declined.push(dispatcher);
            let pool = self.workers[&slot.worker].pool;
            self.wants.void(pool, dispatcher);
            self.place(now, slot, commands);
        }
    }

    /// Promises a free slot to the dispatcher that waits most for it, or offers it to all.
    fn place(&mut self, now: Time, id: SlotId, commands: &mut Vec<Command>) {
        let Some(worker) = self.workers.get_mut(&id.worker) else {
            return;
        };
        let (pool, leaving) = (worker.pool, worker.leaving);
        let Some(slot) = worker.slots.get_mut(usize::from(id.index)) else {
            return;
        };
        if leaving {
            slot.standing = Standing::Away;
            self.bury(id.worker);
            return;
        }
        slot.epoch = Epoch(slot.epoch.0 + 1);
        let epoch = slot.epoch;
        if let Some((dispatcher, from)) = self.ahead.take(pool) {
            slot.standing = Standing::Taken(Some(dispatcher));
            slot.declined.clear();
            commands.push(Command::Place {
                dispatcher,
                from,
                slot: id,
                epoch,
            });
            self.promise_ahead(now, pool, commands);
            return;
        }
        // A dispatcher that is alone needs no promise.
        let is_asked = self.dispatchers.len() > 1 && !self.wants.is_empty();
        let promised = is_asked
            .then(|| self.wants.promise(pool, &slot.declined))
            .flatten();
        let offer = |dispatcher, sole| Command::Offer {
            dispatcher,
            slot: id,
            epoch,
            sole,
        };
        if let Some(dispatcher) = promised {
            slot.standing = Standing::Promised(dispatcher);
            commands.push(offer(dispatcher, true));
        } else {
            slot.standing = Standing::Shared;
            slot.declined.clear();
            commands.extend(self.dispatchers.iter().map(|&to| offer(to, false)));
        }
        self.promise_ahead(now, pool, commands);
    }

    /// Forgets a worker that has left, if it holds nothing.
    fn bury(&mut self, worker: WorkerId) {
        let holds = |slot: &Slot| matches!(slot.standing, Standing::Taken(_));
        if let Some(known) = self.workers.get(&worker)
            && known.leaving
            && !known.slots.iter().any(holds)
        {
            self.workers.remove(&worker);
        }
    }

    /// A slot, and whether its worker leaves.
    fn find(&mut self, slot: SlotId) -> Option<(&mut Slot, bool)> {
        let worker = self.workers.get_mut(&slot.worker)?;
        let leaving = worker.leaving;
        let slot = worker.slots.get_mut(usize::from(slot.index))?;
        Some((slot, leaving))
    }
}
