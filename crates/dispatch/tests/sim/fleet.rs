//! Plays a manager: has as many workers of each program as it was ordered to.

use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::worker::{Told, Worker};
use cluster::member::Order;
use cluster::placement::{Count, Job};
use cluster::soft::ProgramReport;
use dispatch::{Caller, Notices, Numbers};
use pool::{Description, Details, Function, NodeId, Program, WorkerId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

/// Its function answers by itself, and reads inputs; two slots a worker.
pub const LEAF: &str = "leaf";
/// Its functions call leaves; one slot a worker.
pub const TREE: &str = "tree";
/// May run twice.
pub const AGAIN: &str = "again";
/// May not.
pub const ONCE: &str = "once";

/// What workers of all nodes have in common.
#[derive(Clone)]
pub struct World {
    pub ledger: Ledger,
    /// Whether workers may die, and clients leave.
    pub has_faults: Arc<AtomicBool>,
}

impl World {
    pub fn has_faults(&self) -> bool {
        self.has_faults.load(Ordering::Relaxed)
    }
}

/// The workers of a node. Clones are the same fleet.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

pub struct Shared {
    pub node: NodeId,
    pub notices: Notices,
    pub caller: Arc<dyn Caller>,
    pub numbers: Arc<Numbers>,
    pub world: World,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    next: u32,
    wanted: BTreeMap<Job, Count>,
    workers: BTreeMap<u32, Running>,
}

struct Running {
    job: Job,
    is_live: bool,
    is_leaving: bool,
    inbox: mpsc::UnboundedSender<Told>,
}

/// How a program of this name is set up.
pub fn program(name: &str) -> Program {
    Program {
        name: name.into(),
        weight: 1,
        timeout: Duration::from_secs(3),
        queue_max: 30,
        queue_bytes_max: 1 << 20,
    }
}

pub fn slots_of(name: &str) -> u16 {
    if name == LEAF { 2 } else { 1 }
}

pub fn description(of: &str) -> Description {
    let function = |name: &str, idempotent| Function {
        name: name.into(),
        doc: "".into(),
        idempotent,
        stream: false,
        input: of == LEAF,
        parameters: Vec::new(),
        result: pool::Type::Integer,
        examples: Vec::new(),
    };
    Description {
        details: Details::of_kind(of),
        terms: false,
        functions: vec![function(AGAIN, true), function(ONCE, false)],
    }
}

impl Fleet {
    pub fn new(
        node: NodeId,
        notices: Notices,
        caller: Arc<dyn Caller>,
        numbers: Arc<Numbers>,
        world: World,
        chance: Chance,
    ) -> Self {
        let state = State {
            chance,
            next: 0,
            wanted: BTreeMap::new(),
            workers: BTreeMap::new(),
        };
        Self(Arc::new(Shared {
            node,
            notices,
            caller,
            numbers,
            world,
            state: Mutex::new(state),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic under the lock")
    }

    /// Follows orders.
    pub fn apply(&self, orders: &[Order]) {
        let mut state = self.state();
        let wanted = orders.iter().map(|order| {
            let Order { workers, spare, .. } = *order;
            let job = (order.program.clone(), order.version);
            (job, Count { workers, spare })
        });
        state.wanted = wanted.collect();
        self.adjust(&mut state);
    }

    /// Starts workers that are missing, and lets go those that are too many.
    fn adjust(&self, state: &mut State) {
        let mut missing = state.wanted.clone();
        let mut surplus = Vec::new();
        for (number, worker) in &state.workers {
            if worker.is_leaving {
                continue;
            }
            match missing.get_mut(&worker.job) {
                Some(count) if count.workers > 0 => count.workers -= 1,
                _ => surplus.push(*number),
            }
        }
        for number in surplus {
            let worker = state.workers.get_mut(&number).expect("just seen");
            worker.is_leaving = true;
            drop(worker.inbox.send(Told::Retire));
        }
        for (job, count) in missing {
            for _ in 0..count.workers {
                self.start(state, job.clone());
            }
        }
    }

    fn start(&self, state: &mut State, job: Job) {
        state.next += 1;
        let number = state.next;
        let (inbox, told) = mpsc::unbounded_channel();
        let id = WorkerId {
            node: self.0.node,
            number,
        };
        let seed = state.chance.next();
        let program = job.0.clone();
        let worker = Worker::new(
            id,
            program,
            self.clone(),
            inbox.clone(),
            told,
            Chance::new(seed),
        );
        tokio::spawn(worker.run());
        let running = Running {
            job,
            is_live: false,
            is_leaving: false,
            inbox,
        };
        state.workers.insert(number, running);
    }

    pub fn shared(&self) -> &Shared {
        &self.0
    }

    /// A worker was introduced. False if it was told to leave before.
    pub fn is_live(&self, number: u32) -> bool {
        let mut state = self.state();
        let worker = state.workers.get_mut(&number).expect("it runs");
        worker.is_live = !worker.is_leaving;
        worker.is_live
    }

    /// A worker takes no more calls.
    pub fn leaves(&self, number: u32) {
        if let Some(worker) = self.state().workers.get_mut(&number) {
            worker.is_leaving = true;
        }
    }

    /// A worker has ended.
    pub fn gone(&self, number: u32) {
        let mut state = self.state();
        state.workers.remove(&number);
        self.adjust(&mut state);
    }

    /// What is reported to the masters.
    pub fn report(&self) -> BTreeMap<Job, ProgramReport> {
        let state = self.state();
        let mut report: BTreeMap<Job, ProgramReport> = BTreeMap::new();
        for (job, wanted) in &state.wanted {
            report.entry(job.clone()).or_default().wanted = *wanted;
        }
        for worker in state.workers.values().filter(|worker| !worker.is_leaving) {
            let program = report.entry(worker.job.clone()).or_default();
            match worker.is_live {
                true => program.live += 1,
                false => program.starting += 1,
            }
        }
        report
    }

    /// Workers that take calls, by program; none while some start or leave.
    pub fn settled(&self) -> Option<BTreeMap<Arc<str>, u32>> {
        let state = self.state();
        let mut live = BTreeMap::new();
        for worker in state.workers.values() {
            if !worker.is_live || worker.is_leaving {
                return None;
            }
            *live.entry(worker.job.0.clone()).or_default() += 1;
        }
        Some(live)
    }
}
