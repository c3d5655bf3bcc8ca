//! The place ahead: one call of each pool may wait here for whichever of the pool's slots becomes
//! free next, while the backlog is deep.
//!
//! A free slot that is promised stays idle until the assignment comes: a round trip, which at a
//! load of 90% and runs of 10 ms is a fifth of all that is idle. The call that waits here takes the
//! slot at once. It is bound early, but to no worker, only to the node, and only if the calls
//! before it have waited longer than it will here: for about the time between two free slots.

use super::{Command, Exchange, Standing};
use crate::{Epoch, NodeId, SlotId, Time, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// A backlog is deep if its head has waited for so many times that between two free slots of the
/// pool. With less, calls overtake each other for nothing; with more, the deep part of a backlog
/// of heavy-tailed runs drains slower.
const DEEP: u32 = 1;

/// After so many times that between two free slots the call goes back to its queue: those that run
/// here are all long.
const RECALL: u32 = 8;

/// The new weight in the running mean of the time between two free slots: one in so many.
const MEAN_OF: i64 = 32;

/// What the mean starts from: nobody waits ahead before it is known.
const MEAN_AT_FIRST_US: i64 = 1_000_000;

/// The places of all pools with workers here.
#[derive(Debug, Default)]
pub(super) struct Places {
    is_on: bool,
    places: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    /// The worker of the pool by which the place is known.
    carrier: WorkerId,
    epoch: Epoch,
    /// Promised, or taken by the call that waits.
    standing: Standing,
    /// When the call that waits is to go back.
    until: Time,
    /// When a slot of the pool last became free, and the mean time between two.
    freed: Time,
    mean_us: i64,
}

impl Place {
    fn id(&self) -> SlotId {
        SlotId {
            worker: self.carrier,
            index: SlotId::AHEAD,
        }
    }

    fn mean(&self, times: u32) -> Duration {
        Duration::from_micros(u64::try_from(self.mean_us).unwrap_or(0)) * times
    }
}

impl Places {
    pub fn set(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    pub fn introduced(&mut self, pool: u64, worker: WorkerId) {
        self.places.entry(pool).or_insert(Place {
            carrier: worker,
            epoch: Epoch::default(),
            standing: Standing::Away,
            until: Time::default(),
            freed: Time::default(),
            mean_us: MEAN_AT_FIRST_US,
        });
    }

    /// A slot of the pool has become free.
    pub fn freed(&mut self, now: Time, pool: u64) {
        if self.is_on
            && let Some(place) = self.places.get_mut(&pool)
        {
            let gap = now.since(std::mem::replace(&mut place.freed, now));
            let gap_us = i64::try_from(gap.as_micros()).unwrap_or(i64::MAX);
            place.mean_us += (gap_us.min(MEAN_AT_FIRST_US) - place.mean_us) / MEAN_OF;
        }
    }

    /// Takes the call that waits, to be given to a slot: whose it is, and from which place.
    pub fn take(&mut self, pool: u64) -> Option<(NodeId, SlotId)> {
        let place = self.places.get_mut(&pool)?;
        let Standing::Taken(Some(dispatcher)) = place.standing else {
            return None;
        };
        place.standing = Standing::Away;
        Some((dispatcher, place.id()))
    }

    pub fn next_deadline(&self) -> Option<Time> {
        let waits = |place: &&Place| matches!(place.standing, Standing::Taken(_));
        let waiting = self.places.values().filter(waits);
        waiting.map(|place| place.until).min()
    }

    /// Each place: its pool, its id, and whose it is.
    pub fn all(&self) -> impl Iterator<Item = (u64, SlotId, Standing)> + '_ {
        self.places
            .iter()
            .map(|(pool, place)| (*pool, place.id(), place.standing))
    }

    /// The place by this id, with its pool.
    fn find(&mut self, id: SlotId) -> Option<(u64, &mut Place)> {
        let mut places = self.places.iter_mut();
        let found = places.find(|(_, place)| place.id() == id)?;
        Some((*found.0, found.1))
    }
}

impl Exchange {
    /// Promises the place of a pool to the dispatcher that comes first, if it is free and the
    /// backlog deep.
    pub(super) fn promise_ahead(&mut self, now: Time, pool: u64, commands: &mut Vec<Command>) {
        if !self.ahead.is_on || self.dispatchers.len() < 2 {
            return;
        }
        let Some(place) = self.ahead.places.get_mut(&pool) else {
            return;
        };
        let head = self.wants.first_since(pool);
        let is_deep = head.is_some_and(|since| now.since(since) >= place.mean(DEEP));
        if place.standing != Standing::Away || !is_deep {
            return;
        }
        if let Some(dispatcher) = self.wants.promise(pool, &[]) {
            place.epoch = Epoch(place.epoch.0 + 1);
            place.standing = Standing::Promised(dispatcher);
            commands.push(Command::Offer {
                dispatcher,
                slot: place.id(),
                epoch: place.epoch,
                sole: true,
            });
        }
    }

    pub(super) fn assign_ahead(
        &mut self,
        now: Time,
        dispatcher: NodeId,
        slot: SlotId,
        epoch: Epoch,
        commands: &mut Vec<Command>,
    ) {
        let place = self.ahead.find(slot).filter(|(_, place)| {
            place.standing == Standing::Promised(dispatcher) && place.epoch == epoch
        });
        let Some((pool, place)) = place else {
            commands.push(Command::Refuse {
                dispatcher,
                slot,
                epoch,
            });
            return;
        };
        place.standing = Standing::Taken(Some(dispatcher));
        place.until = now.after(place.mean(RECALL));
        self.wants.kept(pool, dispatcher);
        // Nobody waited any more when a slot became free.
        if let Some(free) = self.first_shared(pool) {
            let others = self.dispatchers.iter().filter(|&&to| to != dispatcher);
            commands.extend(others.map(|&dispatcher| Command::Withdraw {
                dispatcher,
                slot: free,
            }));
            self.place(now, free, commands);
        }
    }

    fn first_shared(&self, pool: u64) -> Option<SlotId> {
        let workers = self.workers.iter().filter(|(_, known)| known.pool == pool);
        let mut slots = workers.flat_map(|(worker, known)| {
            let slots = (0..).zip(&known.slots);
            slots.map(|(index, slot)| (*worker, index, slot.standing))
        });
        let (worker, index, _) = slots.find(|(_, _, standing)| *standing == Standing::Shared)?;
        Some(SlotId { worker, index })
    }

    pub(super) fn release_ahead(&mut self, dispatcher: NodeId, slot: SlotId, epoch: Epoch) {
        if let Some((pool, place)) = self.ahead.find(slot)
            && place.standing == Standing::Promised(dispatcher)
            && place.epoch == epoch
        {
            place.standing = Standing::Away;
            self.wants.void(pool, dispatcher);
        }
    }

    /// The call that waits in a place is sent back, or its promise ends.
    pub(super) fn give_up_ahead(&mut self, slot: SlotId, commands: &mut Vec<Command>) {
        let Some((pool, place)) = self.ahead.find(slot) else {
            return;
        };
        let epoch = place.epoch;
        match std::mem::take(&mut place.standing) {
            Standing::Promised(dispatcher) => self.wants.void(pool, dispatcher),
            Standing::Taken(Some(dispatcher)) => commands.push(Command::Refuse {
                dispatcher,
                slot,
                epoch,
            }),
            Standing::Away | Standing::Shared | Standing::Taken(None) => {}
        }
    }

    /// Sends back those that have waited here too long.
    pub(super) fn recall(&mut self, now: Time, commands: &mut Vec<Command>) {
        while let Some(until) = self.ahead.next_deadline()
            && until <= now
        {
            let mut places = self.ahead.places.values();
            let late = places
                .find(|place| place.until == until && matches!(place.standing, Standing::Taken(_)));
            let id = late.expect("one has this deadline").id();
            self.give_up_ahead(id, commands);
        }
    }

    /// A dispatcher is gone, with what it had here.
    pub(super) fn left_ahead(&mut self, dispatcher: NodeId, commands: &mut Vec<Command>) {
        for place in self.ahead.places.values_mut() {
            if place.standing == Standing::Promised(dispatcher) {
                place.standing = Standing::Away;
            } else if place.standing == Standing::Taken(Some(dispatcher)) {
                place.standing = Standing::Away;
                let slot = place.id();
                commands.push(Command::Abandoned { slot, dispatcher });
            }
        }
    }

    /// A worker leaves. If a place is known by it, it is to be known by another.
    pub(super) fn withdrawn_ahead(
        &mut self,
        pool: u64,
        worker: WorkerId,
        commands: &mut Vec<Command>,
    ) {
        let slot = SlotId {
            worker,
            index: SlotId::AHEAD,
        };
        if self.ahead.find(slot).is_none() {
            return;
        }
        self.give_up_ahead(slot, commands);
        let mut workers = self.workers.iter();
        let other = workers.find(|(_, known)| known.pool == pool && !known.leaving);
        if let (Some((id, _)), Some((_, place))) = (other, self.ahead.find(slot)) {
            place.carrier = *id;
        } else {
            self.ahead.places.remove(&pool);
        }
    }
}
