//! What nodes say of themselves: a report, and what changed since the last one.
//!
//! Sent by the member of each node to every master; applied by [`Soft`](super::Soft).

use crate::hard::Roles;
use crate::placement::{Count, Job};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often a node announces what changed, or that nothing did.
pub const BEACON: Duration = Duration::from_millis(250);

/// After how long without a word a node is down: two beacons may be lost or late.
pub const SILENCE: Duration = Duration::from_millis(750);

/// What a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capacity {
    /// Cores for workers.
    pub cores: u32,
    /// Bytes of memory for workers; 0 if unknown.
    pub memory: u64,
}

/// What a node does with a program's version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProgramReport {
    /// What its orders say.
    pub wanted: Count,
    /// Workers that take calls.
    pub live: u32,
    /// Ready standbys.
    pub standby: u32,
    /// Workers that start.
    pub starting: u32,
    /// Workers that fail again and again.
    pub failing: u32,
    /// Why they do, or why the program cannot be run.
    pub problem: Option<Arc<str>>,
    /// Workers that failed, since the node began to run this version.
    pub failures: u64,
    /// Calls that its workers ended, since then.
    pub calls: u64,
    /// Those of them that ended in an error of the function, or with the worker.
    pub errors: u64,
}

/// How much a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Calls that run.
    pub running: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// Calls that ended in an error, since the process started.
    pub errors: u64,
    /// Calls that ended, since the process started.
    pub calls: u64,
}

/// Orders the orders of all leaders: first by term, then by number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct OrderNumber {
    /// The leader's term.
    pub term: u64,
    /// Counted up by that leader.
    pub sequence: u64,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// What it is for.
    pub roles: Roles,
    /// What it has.
    pub capacity: Capacity,
    /// Commands of programs that it can run.
    pub can_run: BTreeSet<Arc<str>>,
    /// What it does with each program's version.
    pub programs: BTreeMap<Job, ProgramReport>,
    /// How much it does.
    pub load: Load,
    /// The last orders it was given; its member fills them in.
    pub orders: Option<OrderNumber>,
}

/// What changed of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delta {
    /// How much it does now.
    pub load: Option<Load>,
    /// What it does with programs now; none for those it has nothing to do with any more.
    pub programs: BTreeMap<Job, Option<ProgramReport>>,
    /// The last orders it was given now.
    pub orders: Option<OrderNumber>,
    /// What it has now.
    pub capacity: Option<Capacity>,
    /// What it is for now.
    pub roles: Option<Roles>,
    /// What it can run now.
    pub can_run: Option<BTreeSet<Arc<str>>>,
}

/// One message of a node to a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Which start of the node's process says so.
    pub incarnation: u64,
    /// Counted up by the node, by one for each announcement that is no full report.
    pub sequence: u64,
    /// What it says.
    pub news: News,
}

/// What an announcement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// Nothing changed: a beacon.
    Nothing,
    /// What changed since the announcement before.
    Delta(Delta),
    /// Everything, whatever was said before.
    Full(Box<Report>),
}

impl Report {
    /// What makes this report the `next` one; none if they are equal.
    pub fn delta_to(&self, next: &Self) -> Option<Delta> {
        let changed = |job: &&Job| self.programs.get(*job) != next.programs.get(*job);
        let jobs: BTreeSet<&Job> = self.programs.keys().chain(next.programs.keys()).collect();
        let programs = jobs.into_iter().filter(changed);
        let delta = Delta {
            load: (self.load != next.load).then_some(next.load),
            programs: programs
                .map(|job| (job.clone(), next.programs.get(job).cloned()))
                .collect(),
            // A node that has followed orders does not cease to.
            orders: next.orders.filter(|_| self.orders != next.orders),
            capacity: (self.capacity != next.capacity).then_some(next.capacity),
            roles: (self.roles != next.roles).then_some(next.roles),
            can_run: (self.can_run != next.can_run).then(|| next.can_run.clone()),
        };
        (delta != Delta::default()).then_some(delta)
    }

    /// Takes over what changed.
    pub fn apply(&mut self, delta: Delta) {
        self.load = delta.load.unwrap_or(self.load);
        self.orders = delta.orders.or(self.orders);
        self.capacity = delta.capacity.unwrap_or(self.capacity);
        self.roles = delta.roles.unwrap_or(self.roles);
        if let Some(can_run) = delta.can_run {
            self.can_run = can_run;
        }
        for (job, program) in delta.programs {
            match program {
                Some(program) => drop(self.programs.insert(job, program)),
                None => drop(self.programs.remove(&job)),
            }
        }
    }
}
