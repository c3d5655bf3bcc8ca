//! Masters over real meshes in turmoil's network: connections break, and links come back.

use crate::cluster::{add_master, change, found, join_token, timing};
use crate::record::Record;
use crate::scenario::{Chance, Event, scenario};
use cluster::consensus::{Consensus, Memory, MeshCarrier, Place, Settings};
use cluster::hard::Change;
use pool::NodeId;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use turmoil::net::{TcpListener, TcpStream};
use wire::{Connection, Listener, Me, Mesh, MeshSettings, Network, Security};

const PORT: u16 = 7400;
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
/// Seeds of random faults: each takes a second or two of real time.
const SEEDS: u64 = 3;
/// Steps of a scenario.
const STEPS: usize = 40;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Turmoil's network.
struct Simulated;

struct SimulatedListener(TcpListener);

impl Network for Simulated {
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let address = address.to_owned();
        Box::pin(async move { connection(TcpStream::connect(address).await?) })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(SimulatedListener(listener)) as Box<dyn Listener>)
        })
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

impl Listener for SimulatedListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move { connection(self.0.accept().await?.0) })
    }
}

fn connection(stream: TcpStream) -> io::Result<Connection> {
    let address = stream.peer_addr()?;
    Ok((Box::new(stream), address))
}

fn host(node: NodeId) -> String {
    format!("master-{}", node.0)
}

/// What is known of a master outside of its host.
#[derive(Clone)]
struct Outside {
    disk: Memory,
    /// The running process, if there is one.
    consensus: Arc<Mutex<Option<Running>>>,
}

#[derive(Clone)]
struct Running {
    consensus: Consensus,
    /// Changes to propose there.
    changes: mpsc::UnboundedSender<Change>,
}

/// A master's process, from its start until its host crashes.
async fn process(node: NodeId, count: u32, outside: Outside, record: Record) -> turmoil::Result {
    let listener = Simulated.listen(ANY).await?;
    let me = Me {
        node,
        name: host(node).into(),
        incarnation: u64::try_from(turmoil::sim_elapsed().unwrap_or_default().as_micros())?,
        cluster: "test".into(),
    };
    let settings = MeshSettings {
        seed: u64::from(node.0),
        ..MeshSettings::default()
    };
    let mesh = Mesh::start(me, Arc::new(Simulated), listener, Security::Plain, settings)?;
    let others = (1..=count).map(NodeId).filter(|&other| other != node);
    mesh.want(
        others
            .map(|other| (other, format!("{}:{PORT}", host(other))))
            .collect(),
    );
    let consensus = Consensus::start(Settings {
        me: node,
        carrier: Arc::new(MeshCarrier(mesh.clone())),
        place: Place::Memory(outside.disk.clone()),
        timing: timing(),
    });
    let consensus = consensus.await?;
    tokio::spawn(consensus.serve_on(&mesh));
    record.watch(node, &consensus);
    let (changes, mut proposals) = mpsc::unbounded_channel::<Change>();
    *outside.consensus.lock().expect("no panic") = Some(Running {
        consensus: consensus.clone(),
        changes,
    });
    while let Some(change) = proposals.recv().await {
        let (consensus, record) = (consensus.clone(), record.clone());
        tokio::spawn(async move {
            let applied = match &change {
                Change::Found { .. } => consensus.found(change.clone()).await,
                _ => consensus.propose(change.clone()).await,
            };
            if let Ok(applied) = applied {
                record.acknowledge(&change, applied);
            }
        });
    }
    Ok(())
}

struct Simulation {
    sim: turmoil::Sim<'static>,
    masters: BTreeMap<NodeId, Outside>,
    record: Record,
    proposed: u64,
}

impl Simulation {
    /// Founds a cluster of three, in the order of `list`.
    fn found(seed: u64, list: &[NodeId]) -> Self {
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::from_micros(200))
            .max_message_latency(Duration::from_millis(2))
            .build();
        let record = Record::default();
        let count = u32::try_from(list.len()).expect("few masters");
        let mut masters = BTreeMap::new();
        for node in (1..=count).map(NodeId) {
            let outside = Outside {
                disk: Memory::new(Duration::from_millis(2)),
                consensus: Arc::default(),
            };
            masters.insert(node, outside.clone());
            let record = record.clone();
            sim.host(host(node), move || {
                process(node, count, outside.clone(), record.clone())
            });
        }
        let mut simulation = Self {
            sim,
            masters,
            record,
            proposed: 0,
        };
        simulation.until("started", |simulation| {
            list.iter().all(|&node| simulation.running(node).is_some())
        });
        let mut changes = vec![found(), join_token()];
        changes.extend((2..=count).map(add_master));
        changes.push(Change::SetMasters(list.to_vec()));
        for (index, change) in changes.into_iter().enumerate() {
            simulation.propose(NodeId(1), change);
            simulation.until("applied", |simulation| {
                simulation.record.acknowledged() > index
            });
        }
        simulation.healed(list);
        simulation
    }

    fn running(&self, node: NodeId) -> Option<Running> {
        let running = self.masters[&node].consensus.lock().expect("no panic");
        running.clone()
    }

    fn propose(&self, node: NodeId, change: Change) {
        if let Some(running) = self.running(node) {
            running.changes.send(change).expect("its process runs");
        }
    }

    /// Steps until something holds.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = self.sim.elapsed() + Duration::from_secs(120);
        while !holds(self) {
            self.sim.step().expect("no process fails");
            self.record.check();
            assert!(self.sim.elapsed() < deadline, "never {what}");
        }
    }

    fn pass(&mut self, time: Duration) {
        let deadline = self.sim.elapsed() + time;
        while self.sim.elapsed() < deadline {
            self.sim.step().expect("no process fails");
        }
        self.record.check();
    }

    fn leads(&self, node: NodeId) -> bool {
        let running = self.running(node);
        running.is_some_and(|running| running.consensus.leadership().borrow().i_lead)
    }

    fn healed(&mut self, list: &[NodeId]) {
        self.until("healed", |simulation| {
            let state = |node| Some(simulation.running(node)?.consensus.hard().borrow().clone());
            let first = state(list[0]);
            list.iter()
                .all(|&node| state(node) == first && simulation.leads(node) == (node == list[0]))
                && first.is_some_and(|hard| hard.masters == list)
        });
    }

    fn crash(&mut self, node: NodeId) {
        let outside = &self.masters[&node];
        outside.disk.crash();
        *outside.consensus.lock().expect("no panic") = None;
        self.sim.crash(host(node));
    }

    fn pairs(&self) -> Vec<(NodeId, NodeId)> {
        let nodes = self.masters.keys();
        let pairs = nodes.flat_map(|&one| self.masters.keys().map(move |&other| (one, other)));
        pairs.filter(|(one, other)| one < other).collect()
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Propose(node) => {
                self.proposed += 1;
                self.propose(*node, change(self.proposed));
            }
            Event::Partition(side) => {
                for (one, other) in self.pairs() {
                    if side.contains(&one) != side.contains(&other) {
                        self.sim.partition(host(one), host(other));
                    }
                }
            }
            Event::Lose(from, to) if from != to => {
                self.sim.partition_oneway(host(*from), host(*to));
            }
            Event::Heal => {
                for (one, other) in self.pairs() {
                    self.sim.repair(host(one), host(other));
                }
            }
            Event::Delay(max) => {
                let max = (*max).max(Duration::from_millis(1));
                self.sim.set_max_message_latency(max);
            }
            Event::Crash(node) => self.crash(*node),
            Event::Restart(node) => self.sim.bounce(host(*node)),
            // A connection brings nothing twice.
            Event::Lose(..) | Event::Duplicate(_) => {}
        }
    }
}

#[test]
fn over_a_mesh_masters_elect_heal_and_hand_back() {
    let list = [NodeId(2), NodeId(3), NodeId(1)];
    let mut simulation = Simulation::found(1, &list);
    simulation.crash(NodeId(2));
    let died = simulation.sim.elapsed();
    simulation.until("elected", |simulation| simulation.leads(NodeId(3)));
    assert!(simulation.sim.elapsed() - died < Duration::from_secs(1));
    simulation.happen(&Event::Propose(NodeId(1)));
    simulation.happen(&Event::Restart(NodeId(2)));
    simulation.healed(&list);
    simulation.happen(&Event::Partition(vec![NodeId(2)]));
    simulation.until("elected", |simulation| simulation.leads(NodeId(3)));
    simulation.happen(&Event::Propose(NodeId(1)));
    simulation.pass(Duration::from_secs(5));
    assert!(!simulation.leads(NodeId(2)), "it is cut off");
    simulation.happen(&Event::Heal);
    simulation.healed(&list);
    simulation.record.check_acknowledged();
}

#[test]
fn over_a_mesh_masters_survive_random_faults() {
    for seed in 1..=SEEDS {
        println!("seed {seed}");
        let mut chance = Chance::new(seed);
        let mut list = [1, 2, 3].map(NodeId);
        chance.shuffle(&mut list);
        let mut simulation = Simulation::found(seed, &list);
        for step in scenario(&mut chance, &list, STEPS) {
            simulation.pass(step.after);
            simulation.happen(&step.event);
        }
        simulation.happen(&Event::Heal);
        simulation.happen(&Event::Delay(Duration::from_millis(2)));
        for node in list {
            if simulation.running(node).is_none() {
                simulation.happen(&Event::Restart(node));
            }
        }
        simulation.healed(&list);
        simulation.record.check_acknowledged();
    }
}
