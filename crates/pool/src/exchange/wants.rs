//! Who waits for the slots of a pool, as far as the exchange knows: what dispatchers have said,
//! less what they were promised since.

use super::event::Want;
use crate::{Class, NodeId, Time};
use std::collections::BTreeMap;

/// By pool, then in the order in which the dispatchers first said so. Of no pool there is an empty
/// list.
#[derive(Debug, Default)]
pub(super) struct Wants(BTreeMap<u64, Vec<Wanted>>);

/// What one dispatcher waits for in one pool.
#[derive(Debug)]
struct Wanted {
    dispatcher: NodeId,
    class: Class,
    /// Since when the oldest call waited when the dispatcher spoke.
    oldest: Time,
    /// When it spoke.
    said: Time,
    /// How many calls waited then.
    waiting: usize,
    /// How many of these have been served since, or are promised a slot. What is promised at the
    /// time of speaking counts at once: the dispatcher has not seen it, or its answer would have
    /// come first.
    served: usize,
    /// Promises it has not answered.
    promised: usize,
}

impl Wanted {
    fn waits(&self) -> bool {
        self.served < self.waiting
    }

    /// Who comes first has the highest class and waits longest. Those who wait are taken to have
    /// come evenly between the oldest and the moment at which they were counted, so that one
    /// dispatcher is not given every slot until it speaks again.
    fn place(&self) -> (Class, Time) {
        let span = u128::from(self.said.0.saturating_sub(self.oldest.0));
        let passed = span * self.served as u128 / self.waiting.max(1) as u128;
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        (self.class, Time(self.oldest.0.saturating_add(passed)))
    }
}

impl Wants {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_wanted(&self, pool: u64) -> bool {
        let mut list = self.0.get(&pool).into_iter().flatten();
        list.any(Wanted::waits)
    }

    pub fn say(&mut self, now: Time, dispatcher: NodeId, want: Want) {
        let age = u64::try_from(want.age.as_micros()).unwrap_or(u64::MAX);
        let known = self.find(want.pool, dispatcher);
        let promised = known.map_or(0, |known| known.promised);
        if want.waiting == 0 && promised == 0 {
            self.remove(want.pool, dispatcher);
            return;
        }
        let wanted = Wanted {
            dispatcher,
            class: want.class,
            oldest: Time(now.0.saturating_sub(age)),
            said: now,
            waiting: want.waiting,
            served: promised,
            promised,
        };
        if let Some(known) = self.find(want.pool, dispatcher) {
            *known = wanted;
        } else {
            self.0.entry(want.pool).or_default().push(wanted);
        }
    }

    /// Promises a slot to the one that comes first, apart from those that have declined it.
    pub fn promise(&mut self, pool: u64, declined: &[NodeId]) -> Option<NodeId> {
        let wanted = self.0.get_mut(&pool)?.iter_mut();
        let first = wanted
            .filter(|wanted| wanted.waits() && !declined.contains(&wanted.dispatcher))
            .min_by_key(|wanted| wanted.place())?;
        first.served += 1;
        first.promised += 1;
        Some(first.dispatcher)
    }

    /// Since when the one that comes first waits, as far as is known.
    pub fn first_since(&self, pool: u64) -> Option<Time> {
        let wanted = self.0.get(&pool)?.iter();
        let first = wanted.filter(|wanted| wanted.waits());
        first.map(Wanted::place).min().map(|(_, since)| since)
    }

    /// A promised slot has been taken up.
    pub fn kept(&mut self, pool: u64, dispatcher: NodeId) {
        self.answered(pool, dispatcher, 0);
    }

    /// A promised slot was not wanted, or is no more.
    pub fn void(&mut self, pool: u64, dispatcher: NodeId) {
        self.answered(pool, dispatcher, 1);
    }

    fn answered(&mut self, pool: u64, dispatcher: NodeId, unserved: usize) {
        if let Some(known) = self.find(pool, dispatcher) {
            known.promised -= 1;
            known.served = known.served.saturating_sub(unserved);
            if known.promised == 0 && known.waiting == 0 {
                self.remove(pool, dispatcher);
            }
        }
    }

    /// A slot on offer to all went to this dispatcher: one less waits there.
    pub fn took(&mut self, pool: u64, dispatcher: NodeId) {
        if let Some(known) = self.find(pool, dispatcher) {
            known.served += 1;
        }
    }

    /// A dispatcher is gone.
    pub fn forget(&mut self, dispatcher: NodeId) {
        self.0.retain(|_, list| {
            list.retain(|wanted| wanted.dispatcher != dispatcher);
            !list.is_empty()
        });
    }

    /// Promises not answered: (dispatcher, pool, how many), for the invariants.
    pub fn promised(&self) -> impl Iterator<Item = (NodeId, u64, usize)> + '_ {
        self.0.iter().flat_map(|(pool, list)| {
            list.iter()
                .map(move |wanted| (wanted.dispatcher, *pool, wanted.promised))
        })
    }

    fn find(&mut self, pool: u64, dispatcher: NodeId) -> Option<&mut Wanted> {
        let list = self.0.get_mut(&pool)?;
        list.iter_mut()
            .find(|wanted| wanted.dispatcher == dispatcher)
    }

    fn remove(&mut self, pool: u64, dispatcher: NodeId) {
        if let Some(list) = self.0.get_mut(&pool) {
            list.retain(|wanted| wanted.dispatcher != dispatcher);
            if list.is_empty() {
                self.0.remove(&pool);
            }
        }
    }
}
