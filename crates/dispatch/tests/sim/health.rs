//! Whether a cluster is whole, and whether it is quiet.

use crate::cluster::Simulation;
use crate::fleet::{description, slots_of};
use cluster::hard::Hard;
use dispatch::Status;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Simulation {
    /// The first master of the list leads, everybody knows the same, all nodes are up and all
    /// programs as large as they should be.
    ///
    /// # Errors
    ///
    /// What is not so.
    pub fn health(&self) -> Result<(), String> {
        let hard = self.newest().ok_or("no master runs")?;
        let first = *hard.masters.first().ok_or("nothing is founded")?;
        for node in self.plans.keys().copied() {
            let running = self.running(node).ok_or(format!("{node:?} is down"))?;
            let view = running.member.view().borrow().clone();
            if view.hard.revision != hard.revision {
                let (has, is) = (view.hard.revision, hard.revision);
                return Err(format!("{node:?} is at revision {has}, the leader at {is}"));
            }
            if view.leader != Some(first) {
                return Err(format!("to {node:?} {:?} leads", view.leader));
            }
            if view.up.keys().ne(self.plans.keys()) {
                return Err(format!("to {node:?} only {:?} are up", view.up.keys()));
            }
            if let Some(consensus) = running.consensus {
                let leadership = *consensus.leadership().borrow();
                if leadership.i_lead != (node == first) || leadership.leader != Some(first) {
                    return Err(format!("{node:?} has {leadership:?}"));
                }
                if *consensus.hard().borrow() != hard {
                    return Err(format!("{node:?} has another hard state"));
                }
            }
        }
        self.workers_are_there(&hard)
    }

    /// Each program has the workers that hard state wants.
    fn workers_are_there(&self, hard: &Hard) -> Result<(), String> {
        let wanted = wanted(hard);
        let mut live: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for node in self.nodes(|roles| roles.manager) {
            let running = self.running(node).ok_or(format!("{node:?} is down"))?;
            let settled = running.fleet.settled();
            let settled = settled.ok_or(format!("workers of {node:?} start or leave"))?;
            for (name, count) in settled {
                *live.entry(name).or_default() += count;
            }
        }
        match live == wanted {
            true => Ok(()),
            false => Err(format!("{wanted:?} are wanted, {live:?} live")),
        }
    }

    /// Hard state, as the master that knows most of it has it.
    pub fn newest(&self) -> Option<Arc<Hard>> {
        let masters = self.nodes(|roles| roles.master);
        let masters = masters.filter_map(|node| self.running(node)?.consensus);
        let states = masters.map(|consensus| consensus.hard().borrow().clone());
        states.max_by_key(|hard| hard.revision)
    }

    /// All calls have been answered, no worker runs any, and all faceplates see the same pools, of
    /// which each slot is free.
    ///
    /// # Errors
    ///
    /// What is not so.
    pub fn quiet(&self) -> Result<(), String> {
        self.health()?;
        let (calls, slots) = self.world.ledger.in_flight();
        if (calls, slots) != (0, 0) {
            return Err(format!(
                "{calls} calls have no reply, {slots} slots are taken"
            ));
        }
        let hard = self.newest().ok_or("no master runs")?;
        let wanted = wanted(&hard);
        for node in self.plans.keys().copied() {
            let running = self.running(node).ok_or(format!("{node:?} is down"))?;
            let status = running.status.lock().expect("no panic under the lock");
            let status = status.as_ref().ok_or(format!("{node:?} shows nothing"))?;
            if (status.calls, status.lobby) != (0, 0) {
                return Err(format!("{node:?} still has calls: {status:?}"));
            }
            if self.plans[&node].roles.faceplate {
                pools_are_whole(status, &wanted).map_err(|it| format!("{node:?}: {it}"))?;
            }
        }
        Ok(())
    }
}

fn wanted(hard: &Hard) -> BTreeMap<Arc<str>, u32> {
    let programs = hard.programs.iter().map(|(name, record)| {
        let newest = record.version(record.newest_running());
        let workers = newest.expect("it runs").placement.workers;
        (name.clone(), workers)
    });
    programs.collect()
}

fn pools_are_whole(status: &Status, wanted: &BTreeMap<Arc<str>, u32>) -> Result<(), String> {
    if status.pools.len() != wanted.len() {
        return Err(format!(
            "expected pools of {wanted:?}, got {:?}",
            status.pools
        ));
    }
    for (name, workers) in wanted {
        let expected = description(name);
        let pool = status
            .pools
            .iter()
            .find(|pool| *pool.description == expected);
        let pool = pool.ok_or(format!("no pool of {name}"))?;
        let slots = usize::from(slots_of(name)) * *workers as usize;
        if (pool.slots, pool.free, pool.running) != (slots, slots, 0) {
            return Err(format!(
                "expected {slots} free slots of {name}, got {pool:?}"
            ));
        }
    }
    Ok(())
}
