//! What a dispatcher tells managers of its queues, so that a slot that becomes free is promised to
//! the one that waits most: see [`crate::exchange`].

use crate::core::Core;
use crate::event::Class;
use crate::{PoolId, Time, WorkerId};
use std::collections::BTreeSet;

/// The queue of one pool, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolWant {
    /// The hash of the pool's description, the same on every node.
    pub pool: u64,
    /// The class that is served next; means nothing if nobody waits.
    pub class: Class,
    /// Since when the oldest call of that class waits.
    pub since: Time,
    /// Calls that wait, of all classes.
    pub waiting: usize,
}

/// Pools whose queues changed since they were last asked for.
#[derive(Debug, Default)]
pub(crate) struct Changed(BTreeSet<(PoolId, u64)>);

impl Core {
    /// Adds the queue of each pool that changed since this was last asked. A pool that has ended
    /// has nobody waiting. Costs nothing while no call waits; to be asked after each turn of the
    /// shell's loop, since what has changed is remembered until then.
    pub fn take_wants(&mut self, out: &mut Vec<PoolWant>) {
        while let Some((id, hash)) = self.changed.0.pop_first() {
            out.push(self.want(id, hash));
        }
    }

    /// The hash by which other nodes know the pool of a worker.
    pub fn pool_hash(&self, worker: WorkerId) -> Option<u64> {
        let pool = self.workers.get(&worker)?.pool;
        Some(self.pools[&pool].hash)
    }

    fn want(&self, id: PoolId, hash: u64) -> PoolWant {
        let queue = self.pools.get(&id).map(|pool| &pool.queue);
        let head = queue.and_then(|queue| queue.iter().next());
        let (class, since) = head.map_or((Class::Low, self.now), |(place, call)| {
            (place.class, self.calls[&call].arrived)
        });
        PoolWant {
            pool: hash,
            class,
            since,
            waiting: queue.map_or(0, crate::queue::Queue::len),
        }
    }

    /// Notes that a call entered or left the queue of a pool.
    pub(crate) fn queue_changed(&mut self, pool: PoolId) {
        if let Some(known) = self.pools.get(&pool) {
            self.changed.0.insert((pool, known.hash));
        }
    }
}
