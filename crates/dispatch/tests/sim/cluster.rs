//! A simulated cluster: founds it, lets a scenario happen to it, and looks at it after each step.

use crate::chance::Chance;
use crate::fleet::{LEAF, TREE, World};
use crate::host::{Ask, Outside, Plan, Running};
use crate::ledger::Ledger;
use crate::network::{PORT, host_name};
use crate::record::Record;
use crate::scenario::{DELAY, Event, Step};
use cluster::consensus::Memory;
use cluster::hard::{Change, ClusterId, Digest, JoinToken, Labels, Pace, Placement, Roles};
use pool::NodeId;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;
use wire::{PROTOCOL_MAX, PROTOCOL_MIN};

/// What a step of the simulation is. Timers within it are exact; what is sent arrives between steps.
const TICK: Duration = Duration::from_millis(5);

/// How long a heartbeat of masters that was under way may still come in after a partition.
const UNDER_WAY: Duration = Duration::from_millis(200);

/// How long it may take to notice a connection that has a hole: with faults it may be the last one
/// that is left of them.
const NOTICED_WITHIN: Duration = Duration::from_millis(1_200);

/// How long a cluster may take to be whole again: lost links are noticed within a second and dialed
/// within two, masters elect, and give leadership back after a second of calm.
const HEALED_WITHIN: Duration = Duration::from_secs(20);

/// Calls of each faceplate that must be answered then.
const ROUND: u32 = 8;

thread_local! {
    /// Panics in tasks of the simulation that this thread runs.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// What nodes a cluster has. The first three are its masters.
#[derive(Debug, Clone, Copy)]
pub enum Layout {
    /// Three that do everything.
    Equal,
    /// Three masters, three managers, two faceplates.
    Apart,
}

impl Layout {
    fn roles(self) -> Vec<Roles> {
        let none = Roles::default();
        let master = Roles {
            master: true,
            ..none
        };
        let manager = Roles {
            manager: true,
            ..none
        };
        let faceplate = Roles {
            faceplate: true,
            ..none
        };
        match self {
            Self::Equal => vec![Roles::ALL; 3],
            Self::Apart => [[master; 3].as_slice(), &[manager; 3], &[faceplate; 2]].concat(),
        }
    }
}

/// A cluster in turmoil's network.
pub struct Simulation {
    sim: turmoil::Sim<'static>,
    pub plans: BTreeMap<NodeId, Plan>,
    /// The masters, by their first priority.
    list: Vec<NodeId>,
    pub world: World,
    pub masters: Record,
    /// What happened when.
    history: Vec<(Duration, Event)>,
    proposed: u32,
    held: BTreeSet<(NodeId, NodeId)>,
    is_parted: bool,
    /// Masters that are to be bound, once what was under way has come in.
    minority: Option<(Duration, Vec<NodeId>)>,
}

impl Simulation {
    /// Founds a cluster, and gives it two programs.
    pub fn found(seed: u64, layout: Layout, chance: &mut Chance) -> Self {
        count_panics();
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::from_micros(200))
            .max_message_latency(DELAY)
            .build();
        let world = World {
            ledger: Ledger::default(),
            has_faults: Arc::new(AtomicBool::new(false)),
        };
        let masters = Record::default();
        let starts: Arc<AtomicU32> = Arc::default();
        // Some clusters are upgraded meanwhile, node by node.
        let old = chance.pick(&[0, 50, 100]);
        let address = |node| format!("{}:{PORT}", host_name(node));
        let first = (1..=3).map(NodeId);
        let addresses: BTreeMap<_, _> = first.map(|node| (node, address(node))).collect();
        let mut plans = BTreeMap::new();
        for (node, roles) in (1..).map(NodeId).zip(layout.roles()) {
            let plan = Plan {
                node,
                roles,
                seed,
                pace: u32::try_from(90 + chance.below(21)).expect("about 100"),
                addresses: addresses.clone(),
                disk: Memory::new(Duration::from_millis(2)),
                world: world.clone(),
                masters: masters.clone(),
                starts: starts.clone(),
                protocol: Arc::new(AtomicU16::new(match chance.percent(old) {
                    true => PROTOCOL_MIN,
                    false => PROTOCOL_MAX,
                })),
                outside: Outside::default(),
            };
            plans.insert(node, plan.clone());
            sim.host(host_name(node), move || plan.clone().run());
        }
        let mut list: Vec<NodeId> = addresses.keys().copied().collect();
        chance.shuffle(&mut list);
        let mut simulation = Self {
            sim,
            plans,
            list,
            world,
            masters,
            history: Vec::new(),
            proposed: 0,
            held: BTreeSet::new(),
            is_parted: false,
            minority: None,
        };
        simulation.propose_first();
        simulation.until_healed();
        simulation
    }

    fn propose_first(&mut self) {
        self.until("started", |simulation| {
            match simulation
                .plans
                .keys()
                .find(|node| simulation.running(**node).is_none())
            {
                Some(node) => Err(format!("{node:?} has not started")),
                None => Ok(()),
            }
        });
        let nodes = self.plans.values();
        let nodes: Vec<(NodeId, Roles)> = nodes.map(|plan| (plan.node, plan.roles)).collect();
        let mut changes = vec![found(nodes[0].1), join_token()];
        let newcomers = nodes.iter().skip(1);
        changes.extend(newcomers.map(|(node, roles)| add_node(*node, *roles)));
        changes.push(Change::SetMasters(self.list.clone()));
        changes.push(programs());
        for (index, change) in changes.into_iter().enumerate() {
            self.ask(NodeId(1), Ask::Propose(change));
            self.until("applied", |simulation| {
                let applied = simulation.masters.acknowledged();
                match applied > index {
                    true => Ok(()),
                    false => Err(format!("only {applied} changes are applied")),
                }
            });
        }
    }

    pub fn running(&self, node: NodeId) -> Option<Running> {
        self.plans[&node].outside.running()
    }

    /// Nodes of one kind.
    pub fn nodes(&self, has: impl Fn(Roles) -> bool) -> impl Iterator<Item = NodeId> {
        let plans = self.plans.values().filter(move |plan| has(plan.roles));
        plans.map(|plan| plan.node)
    }

    fn ask(&self, node: NodeId, ask: Ask) {
        if let Some(running) = self.running(node) {
            // Its process does not end by itself.
            let _ = running.asks.send(ask);
        }
    }

    fn step(&mut self) {
        self.sim.step().expect("no process fails");
        let now = self.sim.elapsed();
        if let Some((_, minority)) = self.minority.take_if(|(due, _)| now >= *due) {
            self.masters.bound(&minority);
        }
        let mut wrong = self.masters.wrong();
        wrong.extend(self.world.ledger.wrong(now));
        let panics = PANICS.get();
        if panics > 0 {
            wrong.push(format!("{panics} tasks panicked"));
        }
        if !wrong.is_empty() {
            self.fail(&wrong.join("\n"));
        }
    }

    /// # Panics
    ///
    /// With all that happened before.
    fn fail(&self, problem: &str) -> ! {
        for (time, event) in &self.history {
            println!("{time:?} {event:?}");
        }
        panic!(
            "masters {:?}, at {:?}: {problem}",
            self.list,
            self.sim.elapsed()
        );
    }

    fn pass(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.step();
        }
    }

    /// Steps until something holds.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> Result<(), String>) {
        let deadline = self.sim.elapsed() + HEALED_WITHIN;
        while let Err(problem) = holds(self) {
            self.pass(10 * TICK);
            if self.sim.elapsed() >= deadline {
                self.fail(&format!("not yet {what}: {problem}"));
            }
        }
    }

    fn until_healed(&mut self) {
        self.until("healed", Self::health);
    }

    /// Lets all of a scenario happen, while clients make calls.
    pub fn suffer(&mut self, steps: &[Step]) {
        self.world.has_faults.store(true, Ordering::Relaxed);
        for node in self.nodes(|roles| roles.faceplate).collect::<Vec<_>>() {
            self.ask(node, Ask::Clients);
        }
        for step in steps {
            self.pass(step.after);
            self.happen(&step.event);
        }
    }

    /// Ends all faults, and sees that everything heals: the cluster is whole, calls are answered,
    /// nothing is left in flight.
    pub fn heal(&mut self) {
        self.world.has_faults.store(false, Ordering::Relaxed);
        self.happen(&Event::Heal);
        self.happen(&Event::Delay(DELAY));
        for node in self.plans.keys().copied().collect::<Vec<_>>() {
            if self.running(node).is_none() {
                self.happen(&Event::Restart(node));
            }
        }
        self.upgrade();
        self.pass(NOTICED_WITHIN);
        self.until_healed();
        self.until("raised", Self::raised);
        self.until("undrained", Self::undrain);
        self.until_healed();
        for node in self.nodes(|roles| roles.faceplate).collect::<Vec<_>>() {
            self.ask(node, Ask::Round(ROUND));
        }
        self.pass(Duration::from_millis(100));
        self.until("quiet", Self::quiet);
        let lost = self.masters.lost();
        if !lost.is_empty() {
            self.fail(&lost.join("\n"));
        }
    }

    /// Starts the nodes anew that are still old, one after the other.
    fn upgrade(&mut self) {
        let speaks = |plan: &Plan| plan.protocol.load(Ordering::Relaxed);
        let old = self
            .plans
            .values()
            .filter(|plan| speaks(plan) < PROTOCOL_MAX);
        for node in old.map(|plan| plan.node).collect::<Vec<_>>() {
            self.happen(&Event::Crash(node));
            self.happen(&Event::Restart(node));
            self.pass(NOTICED_WITHIN / 4);
        }
    }

    fn raised(&self) -> Result<(), String> {
        let hard = self.newest().ok_or("no master runs")?;
        match hard.level {
            PROTOCOL_MAX => Ok(()),
            level => Err(format!("the cluster is at level {level}")),
        }
    }

    /// Proposes that no node be drained, as long as some are.
    fn undrain(&self) -> Result<(), String> {
        let hard = self.newest().ok_or("no master runs")?;
        let draining = hard.nodes.iter().filter(|(_, record)| record.draining);
        let draining: Vec<NodeId> = draining.map(|(node, _)| *node).collect();
        for node in draining.iter().copied() {
            let draining = false;
            let change = Change::Drain { node, draining };
            self.ask(hard.masters[0], Ask::Propose(change));
        }
        match draining.is_empty() {
            true => Ok(()),
            false => Err(format!("{draining:?} are drained")),
        }
    }

    fn crash(&mut self, node: NodeId) {
        let plan = &self.plans[&node];
        plan.disk.crash();
        plan.outside.set(None);
        self.world.ledger.crashed(node);
        self.sim.crash(host_name(node));
    }

    fn pairs(&self) -> Vec<(NodeId, NodeId)> {
        let nodes = || self.plans.keys().copied();
        let pairs = nodes().flat_map(|one| nodes().map(move |other| (one, other)));
        pairs.filter(|(one, other)| one < other).collect()
    }

    /// Turmoil has no connections that are both held and broken.
    fn release(&mut self) {
        for (one, other) in std::mem::take(&mut self.held) {
            self.sim.release(host_name(one), host_name(other));
        }
    }

    fn happen(&mut self, event: &Event) {
        self.history.push((self.sim.elapsed(), event.clone()));
        match event {
            Event::Crash(node) => self.crash(*node),
            Event::Restart(node) => {
                // Whatever starts is new from now on.
                let protocol = &self.plans[node].protocol;
                protocol.store(PROTOCOL_MAX, Ordering::Relaxed);
                self.sim.bounce(host_name(*node));
            }
            Event::Partition(side) => self.partition(side),
            Event::Lose(from, to) => {
                self.release();
                self.sim.partition_oneway(host_name(*from), host_name(*to));
            }
            Event::Cut(one, other) => {
                self.release();
                self.sim.partition(host_name(*one), host_name(*other));
                self.pass(2 * TICK);
                if !self.is_parted {
                    self.sim.repair(host_name(*one), host_name(*other));
                }
            }
            Event::Hold(one, other) => {
                if !self.is_parted && self.held.insert((*one, *other)) {
                    self.sim.hold(host_name(*one), host_name(*other));
                }
            }
            Event::Heal => self.reconnect(),
            Event::Delay(max) => self.sim.set_max_message_latency(*max),
            Event::Drain(by, node, draining) => {
                let (node, draining) = (*node, *draining);
                self.ask(*by, Ask::Propose(Change::Drain { node, draining }));
            }
            Event::Reorder(by, seed) => {
                let mut list = self.list.clone();
                Chance::new(*seed).shuffle(&mut list);
                self.ask(*by, Ask::Propose(Change::SetMasters(list)));
            }
            Event::Propose(node) => {
                self.proposed += 1;
                let timeout = Duration::from_millis(3_000 + u64::from(self.proposed));
                self.ask(*node, Ask::Propose(Change::SetTimeout(timeout)));
            }
            Event::Scale(node, is_leaf, workers) => {
                let program = if *is_leaf { LEAF } else { TREE }.into();
                let workers = *workers;
                self.ask(*node, Ask::Propose(Change::Scale { program, workers }));
            }
        }
    }

    fn partition(&mut self, side: &[NodeId]) {
        self.reconnect();
        for (one, other) in self.pairs() {
            if side.contains(&one) != side.contains(&other) {
                self.sim.partition(host_name(one), host_name(other));
            }
        }
        let (inside, outside): (Vec<_>, Vec<_>) =
            self.list.iter().partition(|node| side.contains(node));
        let minority = if inside.len() < outside.len() {
            inside
        } else {
            outside
        };
        self.is_parted = true;
        self.minority = Some((self.sim.elapsed() + UNDER_WAY, minority));
    }

    fn reconnect(&mut self) {
        self.release();
        self.is_parted = false;
        self.minority = None;
        self.masters.unbound();
        for (one, other) in self.pairs() {
            self.sim.repair(host_name(one), host_name(other));
        }
    }
}

/// Turmoil does not tell of panics in tasks.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
    });
    PANICS.set(0);
}

fn found(roles: Roles) -> Change {
    Change::Found {
        cluster: ClusterId([7; 16]),
        name: host_name(NodeId(1)).into(),
        address: format!("{}:{PORT}", host_name(NodeId(1))).into(),
        roles,
        labels: Labels::new(),
        request: Digest::of(b"1"),
        timeout: Duration::from_secs(3),
    }
}

fn join_token() -> Change {
    Change::PutJoinToken {
        name: "nodes".into(),
        token: JoinToken {
            secret: Digest::of(b"secret"),
            roles: Roles::ALL,
            expires_unix_s: 1_000,
        },
        now_unix_s: 0,
    }
}

fn add_node(node: NodeId, roles: Roles) -> Change {
    Change::AddNode {
        request: Digest::of(&node.0.to_be_bytes()),
        name: host_name(node).into(),
        address: format!("{}:{PORT}", host_name(node)).into(),
        roles,
        labels: Labels::new(),
        secret: Digest::of(b"secret"),
        now_unix_s: 0,
    }
}

fn programs() -> Change {
    let program = |workers| {
        let placement = Placement {
            workers,
            ..Placement::default()
        };
        Some((b"scripted".as_slice().into(), placement))
    };
    Change::Apply {
        expected: None,
        programs: BTreeMap::from([(LEAF.into(), program(4)), (TREE.into(), program(3))]),
        pace: Pace::AtOnce,
    }
}
