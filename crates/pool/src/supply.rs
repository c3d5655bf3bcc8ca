//! What happens to slots: programs are configured, workers introduced, slots offered and withdrawn.

use crate::apart::is_apart;
use crate::core::{Core, Pool, ProgramState, Settings, Slot, SlotState, Stage, Worker};
use crate::event::{Calls, Command, Introduction, Program, Rejection, Withdrawal};
use crate::queue::Queue;
use crate::{CallId, Epoch, NodeId, PoolId, SlotId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Core {
    pub(crate) fn program(&mut self, program: Program, commands: &mut Vec<Command>) {
        let name = program.name.clone();
        if let Some(state) = self.programs.get_mut(&name) {
            state.settings = program;
        } else {
            let state = ProgramState {
                settings: program,
                latest: None,
            };
            self.programs.insert(name.clone(), state);
        }
        let fed: Vec<PoolId> = self.fed_by(&name);
        for pool in fed {
            self.combine_settings(pool);
        }
        // A program that comes back opens the pools that its workers are still in.
        self.empty_lobby(commands);
    }

    /// Whether some program has yet to be interrogated, so that a call that matches nothing may
    /// still be served. Nobody waits for what is set apart.
    pub(crate) fn is_starting(&self) -> bool {
        let mut programs = self.programs.iter();
        programs.any(|(name, program)| program.latest.is_none() && !is_apart(name))
    }

    pub(crate) fn removed(&mut self, program: &Arc<str>, commands: &mut Vec<Command>) {
        self.programs.remove(program);
        let fed = self.fed_by(program);
        self.prune(&fed, commands);
        self.empty_lobby(commands);
    }

    pub(crate) fn introduced(&mut self, new: &Introduction, commands: &mut Vec<Command>) {
        let before = match self.programs.get(&new.program) {
            Some(program) => program.latest,
            // Those who still wait for a removed program are served by replacements, too.
            None if self.still_serves(new) => None,
            None => return,
        };
        if self.workers.contains_key(&new.worker) {
            return;
        }
        let pool_id = self.pool_for(new);
        let pool = self.pool_mut(pool_id);
        *pool.programs.entry(new.program.clone()).or_default() += 1;
        pool.slots += usize::from(new.slots);
        let worker = Worker {
            pool: pool_id,
            program: new.program.clone(),
            batch_max: usize::from(new.batch_max.max(1)),
            slots: (0..new.slots).map(|_| Slot::default()).collect(),
            ahead: Slot::default(),
            leaving: false,
        };
        self.workers.insert(new.worker, worker);
        if let Some(program) = self.programs.get_mut(&new.program) {
            program.latest = Some(pool_id);
        }
        self.combine_settings(pool_id);
        if let Some(before) = before
            && before != pool_id
        {
            self.prune(&[before], commands);
        }
        self.empty_lobby(commands);
    }

    fn still_serves(&self, new: &Introduction) -> bool {
        let pool = self.known_pool(new).map(|id| &self.pools[&id]);
        pool.is_some_and(|pool| pool.programs.contains_key(&new.program))
    }

    pub(crate) fn offer(&mut self, id: SlotId, epoch: Epoch, commands: &mut Vec<Command>) {
        let Some(worker) = self.workers.get(&id.worker) else {
            return;
        };
        let pool = worker.pool;
        let leaving = worker.leaving;
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if leaving || epoch <= slot.epoch {
            return;
        }
        slot.epoch = epoch;
        match slot.state {
            SlotState::Away => {}
            // Offered anew without a withdrawal: it keeps its place in the order of idleness.
            SlotState::Free(_) => return,
            // It is free, so the outcome of what it held will not come.
            SlotState::Held { accepted: true, .. } => self.lose(id, commands),
            // Another dispatcher was faster, and is done. The refusal is still on its way: had the
            // assignment been taken, its outcome would have come before this offer.
            SlotState::Held {
                accepted: false, ..
            } => {
                self.give_back(id);
                self.list_as_free(id, pool);
                self.serve_free(pool, commands);
                return;
            }
        }
        if !self.serve(id, commands) {
            self.list_as_free(id, pool);
        }
    }

    fn list_as_free(&mut self, id: SlotId, pool: PoolId) {
        let epoch = self.slot_mut(id).expect("the slot is known").epoch;
        let order = self.next_order(id, epoch);
        self.slot_mut(id).expect("the slot is known").state = SlotState::Free(order);
        self.pool_mut(pool).free.insert(order, id);
    }

    pub(crate) fn withdraw(&mut self, what: Withdrawal, commands: &mut Vec<Command>) {
        match what {
            Withdrawal::Slot(slot) => self.withdraw_offer(slot),
            Withdrawal::Worker(worker) => self.withdraw_worker(worker, commands),
            Withdrawal::Node(node) => self.withdraw_node(node, commands),
        }
    }

    pub(crate) fn withdraw_offer(&mut self, id: SlotId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if let SlotState::Free(order) = slot.state {
            slot.state = SlotState::Away;
            let pool = self.workers[&id.worker].pool;
            self.pool_mut(pool).free.remove(&order);
        }
    }

    fn withdraw_worker(&mut self, id: WorkerId, commands: &mut Vec<Command>) {
        if let Some(pool) = self.retire(id) {
            self.bury(id);
            self.prune(&[pool], commands);
        }
    }

    /// All workers retire before the first call looks for another pool: it must not move to a
    /// worker, or to a queue, that goes the same way.
    fn withdraw_node(&mut self, node: NodeId, commands: &mut Vec<Command>) {
        let from = WorkerId { node, number: 0 };
        let to = WorkerId {
            node,
            number: u32::MAX,
        };
        let workers: Vec<WorkerId> = self.workers.range(from..=to).map(|(id, _)| *id).collect();
        let mut pools = BTreeSet::new();
        for worker in workers {
            pools.insert(self.workers[&worker].pool);
            for slot in self.slots_of(worker) {
                self.lose(slot, commands);
            }
            self.retire(worker);
            self.bury(worker);
        }
        let pools: Vec<PoolId> = pools.into_iter().collect();
        self.prune(&pools, commands);
    }

    /// Takes a live worker out of its pool, which is given back. The calls it holds stay.
    fn retire(&mut self, id: WorkerId) -> Option<PoolId> {
        let worker = self.workers.get_mut(&id)?;
        if std::mem::replace(&mut worker.leaving, true) {
            return None;
        }
        let (pool_id, slots, program) = (worker.pool, worker.slots.len(), worker.program.clone());
        for slot in self.slots_of(id) {
            self.withdraw_offer(slot);
        }
        let pool = self.pool_mut(pool_id);
        pool.slots -= slots;
        *pool
            .programs
            .get_mut(&program)
            .expect("a live worker's program feeds its pool") -= 1;
        Some(pool_id)
    }

    fn slots_of(&self, worker: WorkerId) -> impl Iterator<Item = SlotId> + use<> {
        let slots = self
            .workers
            .get(&worker)
            .map_or(0, |known| known.slots.len());
        let slots = u16::try_from(slots).expect("slots are counted in u16");
        let all = (0..slots).chain([SlotId::AHEAD]);
        all.map(move |index| SlotId { worker, index })
    }

    /// Answers the calls of a slot that will not report their outcome.
    fn lose(&mut self, slot: SlotId, commands: &mut Vec<Command>) {
        for call in self.release(slot) {
            if let Stage::Held { awaited: true, .. } = self.calls[&call].stage {
                self.reject(call, Rejection::Lost { slot }, commands);
            } else {
                self.forget(call);
            }
        }
    }

    /// Takes all calls off a slot.
    pub(crate) fn release(&mut self, id: SlotId) -> Calls {
        let Some(slot) = self.slot_mut(id) else {
            return Calls::new();
        };
        if !matches!(slot.state, SlotState::Held { .. }) {
            return Calls::new();
        }
        let SlotState::Held { calls, .. } = std::mem::take(&mut slot.state) else {
            unreachable!("looked at above")
        };
        let pool = self.workers[&id.worker].pool;
        self.pool_mut(pool).running -= calls.len();
        calls
    }

    /// Takes one call off a slot.
    pub(crate) fn let_go(&mut self, id: SlotId, call: CallId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if let SlotState::Held { calls, .. } = &mut slot.state {
            calls.retain(|held| *held != call);
            if calls.is_empty() {
                slot.state = SlotState::Away;
            }
            let pool = self.workers[&id.worker].pool;
            self.pool_mut(pool).running -= 1;
        }
    }

    /// Forgets a withdrawn worker if it holds no call, and gives back the pool that it was of.
    pub(crate) fn bury(&mut self, id: WorkerId) -> Option<PoolId> {
        let worker = self.workers.get(&id)?;
        let holds = |slot: &Slot| matches!(slot.state, SlotState::Held { .. });
        if !worker.leaving || worker.slots.iter().any(holds) || holds(&worker.ahead) {
            return None;
        }
        self.workers.remove(&id).map(|worker| worker.pool)
    }

    /// Looks whether anything still feeds these pools: a live worker, or a program that introduced
    /// its latest worker there. If not, those who wait look for another pool at once, and the pool
    /// ends with the last call it runs.
    pub(crate) fn prune(&mut self, pools: &[PoolId], commands: &mut Vec<Command>) {
        for id in pools {
            let Some(pool) = self.pools.get_mut(id) else {
                continue;
            };
            let programs = &self.programs;
            pool.programs.retain(|name, workers| {
                *workers > 0 || programs.get(name).is_some_and(|p| p.latest == Some(*id))
            });
            self.combine_settings(*id);
        }
        for id in pools {
            let Some(pool) = self.pools.get_mut(id) else {
                continue;
            };
            if !pool.programs.is_empty() {
                continue;
            }
            let waiting = pool.queue.drain();
            let is_idle = pool.running == 0;
            if !waiting.is_empty() {
                self.queue_changed(*id);
            }
            if is_idle {
                self.remove_pool(*id);
            }
            for call in waiting {
                self.move_on(call, commands);
            }
        }
    }

    /// Finds another place for a call whose pool has ended.
    fn move_on(&mut self, call: CallId, commands: &mut Vec<Command>) {
        if self.route(&self.calls[&call].call).is_ok() || self.is_starting() {
            self.admit(call, commands);
        } else {
            self.reject(call, Rejection::Removed, commands);
        }
    }

    fn remove_pool(&mut self, id: PoolId) {
        let Some(pool) = self.pools.remove(&id) else {
            return;
        };
        if let Some(ids) = self.pool_ids.get_mut(&pool.hash) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.pool_ids.remove(&pool.hash);
            }
        }
    }

    /// Looks again for pools for those who wait for a program to start.
    fn empty_lobby(&mut self, commands: &mut Vec<Command>) {
        for call in self.lobby_queue.drain() {
            self.admit(call, commands);
        }
    }

    fn known_pool(&self, new: &Introduction) -> Option<PoolId> {
        let same_hash = self.pool_ids.get(&new.pool_hash())?;
        let is_same =
            |pool: &Pool| pool.description == new.description && pool.only.as_ref() == new.only();
        same_hash
            .iter()
            .find(|id| is_same(&self.pools[id]))
            .copied()
    }

    fn pool_for(&mut self, new: &Introduction) -> PoolId {
        if let Some(known) = self.known_pool(new) {
            return known;
        }
        let hash = new.pool_hash();
        self.pools_made += 1;
        let id = PoolId(self.pools_made);
        self.pool_ids.entry(hash).or_default().push(id);
        let pool = Pool {
            hash,
            description: new.description.clone(),
            only: new.only().cloned(),
            queue: Queue::default(),
            free: BTreeMap::new(),
            programs: BTreeMap::new(),
            slots: 0,
            running: 0,
            settings: Settings::default(),
            open: true,
        };
        self.pools.insert(id, pool);
        id
    }

    fn fed_by(&self, program: &Arc<str>) -> Vec<PoolId> {
        let feeds = |pool: &Pool| pool.programs.contains_key(program);
        self.pools
            .iter()
            .filter(|(_, pool)| feeds(pool))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Takes of each setting the largest among the programs that feed the pool. A pool whose
    /// programs are all removed keeps what it had, for the calls still in it.
    fn combine_settings(&mut self, id: PoolId) {
        let Some(pool) = self.pools.get_mut(&id) else {
            return;
        };
        let programs = pool
            .programs
            .keys()
            .filter_map(|name| self.programs.get(name));
        let combined = programs
            .map(|program| &program.settings)
            .fold(None, |most, program| {
                let most: Settings = most.unwrap_or_default();
                Some(Settings {
                    weight: most.weight.max(program.weight),
                    timeout: most.timeout.max(program.timeout),
                    queue_max: most.queue_max.max(program.queue_max),
                    queue_bytes_max: most.queue_bytes_max.max(program.queue_bytes_max),
                })
            });
        pool.open = combined.is_some();
        pool.settings = combined.unwrap_or(pool.settings);
    }

    pub(crate) fn pool_mut(&mut self, id: PoolId) -> &mut Pool {
        self.pools
            .get_mut(&id)
            .expect("a pool lives as long as a worker or a call is in it")
    }
}
