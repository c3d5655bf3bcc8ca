//! Carries the questions of masters in one process, with faults.

use crate::scenario::Chance;
use bytes::Bytes;
use cluster::consensus::{Carried, Carrier, CarryError, Consensus};
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The network of a cluster. Clones are the same network.
#[derive(Clone)]
pub struct Hub(Arc<Mutex<State>>);

struct State {
    masters: BTreeMap<NodeId, (u64, Consensus)>,
    /// Counts starts, to tell a master from itself before a crash.
    starts: u64,
    /// From whom to whom nothing arrives.
    lost: BTreeSet<(NodeId, NodeId)>,
    delay_max: Duration,
    duplicated_percent: u32,
    chance: Chance,
}

/// One master's way into the hub.
struct Way {
    hub: Hub,
    me: NodeId,
    /// Which start of the master this is the way of.
    start: u64,
}

impl Hub {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            masters: BTreeMap::new(),
            starts: 0,
            lost: BTreeSet::new(),
            delay_max: Duration::from_millis(1),
            duplicated_percent: 0,
            chance: Chance::new(seed),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic under the lock")
    }

    pub fn carrier(&self, me: NodeId) -> Arc<dyn Carrier> {
        let hub = self.clone();
        let mut state = self.state();
        state.starts += 1;
        let start = state.starts;
        Arc::new(Way { hub, me, start })
    }

    /// Lets in the master that was started with the newest carrier.
    pub fn join(&self, node: NodeId, consensus: &Consensus) {
        let mut state = self.state();
        let start = state.starts;
        state.masters.insert(node, (start, consensus.clone()));
    }

    pub fn leave(&self, node: NodeId) -> Option<Consensus> {
        let master = self.state().masters.remove(&node);
        master.map(|(_, consensus)| consensus)
    }

    pub fn lose(&self, from: NodeId, to: NodeId) {
        self.state().lost.insert((from, to));
    }

    pub fn heal(&self) {
        self.state().lost.clear();
    }

    pub fn delay(&self, delay_max: Duration) {
        self.state().delay_max = delay_max;
    }

    pub fn duplicate(&self, percent: u32) {
        self.state().duplicated_percent = percent;
    }

    /// How long something takes from one to the other; for ever if it is lost.
    async fn travel(&self, from: NodeId, to: NodeId) {
        let delay = {
            let state = &mut *self.state();
            let limit = u64::try_from(state.delay_max.as_micros()).expect("a short delay");
            Duration::from_micros(100 + state.chance.below(limit + 1))
        };
        tokio::time::sleep(delay).await;
        if self.state().lost.contains(&(from, to)) {
            pending::<()>().await;
        }
    }

    pub fn find(&self, node: NodeId) -> Option<(u64, Consensus)> {
        self.state().masters.get(&node).cloned()
    }

    async fn bring(
        &self,
        way: (NodeId, u64),
        to: NodeId,
        question: Bytes,
    ) -> Result<Bytes, CarryError> {
        let (from, start) = way;
        // Who crashed sends nothing more; what it sent before may still arrive.
        let is_alive = self.find(from).is_some_and(|(known, _)| known == start);
        if !is_alive || self.find(to).is_none() {
            return Err(CarryError::NotSent("one of the two is down".into()));
        }
        self.travel(from, to).await;
        let Some((start, consensus)) = self.find(to) else {
            return Err(CarryError::NotAnswered("it went down".into()));
        };
        let is_twice = {
            let state = &mut *self.state();
            state.chance.below(100) < u64::from(state.duplicated_percent)
        };
        if is_twice {
            let (hub, consensus, question) = (self.clone(), consensus.clone(), question.clone());
            tokio::spawn(async move {
                hub.travel(from, to).await;
                consensus.answer(from, &question).await;
            });
        }
        let answer = consensus.answer(from, &question).await;
        self.travel(to, from).await;
        match self.find(to) {
            Some((same, _)) if same == start => Ok(answer),
            _ => Err(CarryError::NotAnswered("it went down".into())),
        }
    }
}

impl Carrier for Way {
    fn ask(&self, to: NodeId, question: Bytes, timeout: Duration) -> Carried {
        let (hub, way) = (self.hub.clone(), (self.me, self.start));
        Box::pin(async move {
            let brought = tokio::time::timeout(timeout, hub.bring(way, to, question)).await;
            brought.unwrap_or_else(|_| Err(CarryError::NotAnswered("no answer in time".into())))
        })
    }
}
