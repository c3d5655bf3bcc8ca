//! What the core shows of itself, for status pages and metrics.

use crate::core::Core;
use crate::{Class, Description, NodeId, PoolId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One pool as it stands.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// Its id in this core.
    pub id: PoolId,
    /// Its details and functions.
    pub description: Arc<Description>,
    /// The programs that feed it.
    pub programs: Vec<Arc<str>>,
    /// Its share among pools that match equally well.
    pub weight: u32,
    /// Its live workers, counted by node.
    pub workers: BTreeMap<NodeId, usize>,
    /// Slots of its live workers.
    pub slots: usize,
    /// Of these, on offer.
    pub free: usize,
    /// Calls that run in it.
    pub running: usize,
    /// Calls that wait for it.
    pub waiting: Waiting,
    /// Calls that may wait.
    pub queue_max: usize,
}

/// The queue of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Calls of class high.
    pub high: usize,
    /// Calls of class normal.
    pub normal: usize,
    /// Calls of class low.
    pub low: usize,
    /// Bytes of their arguments.
    pub bytes: usize,
}

impl Core {
    /// Every pool, in the order in which they came to be.
    pub fn pools(&self) -> impl Iterator<Item = PoolView> + '_ {
        let mut workers: BTreeMap<PoolId, BTreeMap<NodeId, usize>> = BTreeMap::new();
        for (id, worker) in &self.workers {
            let nodes = workers.entry(worker.pool).or_default();
            *nodes.entry(id.node).or_default() += 1;
        }
        self.pools.iter().map(move |(id, pool)| PoolView {
            id: *id,
            description: pool.description.clone(),
            programs: pool.programs.keys().cloned().collect(),
            weight: pool.settings.weight,
            workers: workers.remove(id).unwrap_or_default(),
            slots: pool.slots,
            free: pool.free.len(),
            running: pool.running,
            waiting: Waiting {
                high: pool.queue.count(Class::High),
                normal: pool.queue.count(Class::Normal),
                low: pool.queue.count(Class::Low),
                bytes: pool.queue.bytes(),
            },
            queue_max: pool.settings.queue_max,
        })
    }

    /// The description of a pool.
    pub fn description(&self, pool: PoolId) -> Option<&Arc<Description>> {
        self.pools.get(&pool).map(|pool| &pool.description)
    }

    /// Whether a call waits in a pool that this program feeds.
    pub fn has_waiting(&self, program: &Arc<str>) -> bool {
        self.pools
            .values()
            .any(|pool| pool.queue.len() > 0 && pool.programs.contains_key(program))
    }

    /// Calls that wait for a program to start.
    pub fn lobby_len(&self) -> usize {
        self.lobby_queue.len()
    }

    /// Calls known to the core: those that wait, those that run, and those whose caller is gone
    /// while their worker still holds them.
    pub fn calls_len(&self) -> usize {
        self.calls.len()
    }

    /// Whether some program has yet to be interrogated.
    pub fn waits_for_programs(&self) -> bool {
        self.is_starting()
    }
}
