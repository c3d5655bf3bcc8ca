//! The process of a node, from its start until its host crashes: the parts of the real one, joined
//! as the binary joins them.

use crate::chance::Chance;
use crate::client::Clients;
use crate::fleet::{Fleet, World};
use crate::follow::{follow, report};
use crate::network::{ANY, Simulated, Twice, host_name};
use crate::record::Record;
use cluster::consensus::{Consensus, Memory, MeshCarrier, Place, Settings, Timing};
use cluster::hard::{Change, Roles};
use cluster::member::{Master, MasterSettings, Member, MemberSettings};
use cluster::soft::Report;
use dispatch::{Caller, Dispatcher, Limits, Numbers, Retry, Status};
use pool::NodeId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use wire::{LinkTiming, Me, Mesh, MeshSettings, Network, PROTOCOL_MIN, Security, Service};

/// How often what the dispatcher shows is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a node is started with, each time.
#[derive(Clone)]
pub struct Plan {
    pub node: NodeId,
    pub roles: Roles,
    /// Of the simulation.
    pub seed: u64,
    /// How long its timers of links and consensus take, in percent: clocks drift.
    pub pace: u32,
    /// Where to find masters at first.
    pub addresses: BTreeMap<NodeId, String>,
    /// What survives a crash.
    pub disk: Memory,
    pub world: World,
    pub masters: Record,
    /// Processes started, of all nodes.
    pub starts: Arc<AtomicU32>,
    /// The greatest version of the link protocol that its next process speaks.
    pub protocol: Arc<AtomicU16>,
    pub outside: Outside,
}

/// The running process of a node, seen from outside of the simulation; none after a crash.
#[derive(Clone, Default)]
pub struct Outside(Arc<Mutex<Option<Running>>>);

impl Outside {
    pub fn running(&self) -> Option<Running> {
        self.0.lock().expect("no panic under the lock").clone()
    }

    pub fn set(&self, running: Option<Running>) {
        *self.0.lock().expect("no panic under the lock") = running;
    }
}

#[derive(Clone)]
pub struct Running {
    pub member: Member,
    pub consensus: Option<Consensus>,
    pub fleet: Fleet,
    /// What its dispatcher showed last.
    pub status: Arc<Mutex<Option<Status>>>,
    pub asks: mpsc::UnboundedSender<Ask>,
}

/// What a process is asked to do from outside.
pub enum Ask {
    /// Change hard state.
    Propose(Change),
    /// Make calls for as long as there are faults.
    Clients,
    /// Make this many calls, which must be answered.
    Round(u32),
}

impl Plan {
    fn scaled(&self, duration: Duration) -> Duration {
        duration * self.pace / 100
    }

    fn link_timing(&self) -> LinkTiming {
        let usual = LinkTiming::default();
        LinkTiming {
            ping: self.scaled(usual.ping),
            silence: self.scaled(usual.silence),
            connect: self.scaled(usual.connect),
            handshake: self.scaled(usual.handshake),
        }
    }

    fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        timing.heartbeat = self.scaled(timing.heartbeat);
        timing.patience.down_after = self.scaled(timing.patience.down_after);
        timing.patience.step = self.scaled(timing.patience.step);
        // Simulations are short: leadership is to be handed over soon.
        timing.patience.settle = self.scaled(Duration::from_secs(1));
        // And masters that lag are to get snapshots.
        timing.snapshot_after = 20;
        timing
    }

    /// Runs until the host crashes.
    pub async fn run(self) -> turmoil::Result {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let mut chance = Chance::new((self.seed << 16) ^ u64::from(start));
        let incarnation = chance.next();
        let mesh = self.mesh(incarnation).await?;
        let first = Report {
            roles: self.roles,
            ..Report::default()
        };
        let member = Member::start(
            mesh.clone(),
            MemberSettings {
                me: self.node,
                incarnation,
                masters: self.addresses.clone(),
                report: first.clone(),
            },
        );
        let mut consensus = None;
        if self.roles.master {
            let master = self.consensus(&mesh, chance.clone()).await?;
            Master::start(&member, MasterSettings::of(&master)).await;
            consensus = Some(master);
        }
        let limits = Limits {
            timeout: Duration::from_secs(3),
            lobby_max: 20,
            lobby_bytes_max: 1 << 20,
        };
        let (dispatch_loop, dispatcher, notices) = dispatch::new(self.node, &limits);
        let links = mesh.subscribe(Service::Calls);
        let dispatch_loop = dispatch_loop.linked(links, self.roles.faceplate);
        tokio::spawn(dispatch_loop.run());
        let caller: Arc<dyn Caller> = Arc::new(Retry::new(Arc::new(dispatcher.clone())));
        let numbers = Arc::new(Numbers::new(start + 1));
        let fleet = Fleet::new(
            self.node,
            notices.clone(),
            caller,
            numbers,
            self.world.clone(),
            Chance::new(chance.next()),
        );
        tokio::spawn(follow(member.clone(), notices, fleet.clone()));
        tokio::spawn(report(member.clone(), first, fleet.clone()));
        let status: Arc<Mutex<Option<Status>>> = Arc::default();
        tokio::spawn(look(dispatcher, status.clone()));
        let (asks, asked) = mpsc::unbounded_channel();
        if self.roles.faceplate && self.world.has_faults() {
            asks.send(Ask::Clients).expect("its receiver is here");
        }
        self.outside.set(Some(Running {
            member: member.clone(),
            consensus: consensus.clone(),
            fleet: fleet.clone(),
            status,
            asks,
        }));
        self.obey(asked, &member, consensus.as_ref(), &fleet, chance)
            .await;
        Ok(())
    }

    async fn mesh(&self, incarnation: u64) -> Result<Mesh, Box<dyn std::error::Error>> {
        let network = Arc::new(Simulated::new(Chance::new(incarnation)));
        let listener = network.listen(ANY).await?;
        let me = Me {
            node: self.node,
            name: host_name(self.node).into(),
            incarnation,
            cluster: "simulated".into(),
        };
        let settings = MeshSettings {
            seed: incarnation,
            timing: self.link_timing(),
            versions: PROTOCOL_MIN..=self.protocol.load(Ordering::Relaxed),
        };
        Ok(Mesh::start(
            me,
            network,
            listener,
            Security::Plain,
            settings,
        )?)
    }

    async fn consensus(
        &self,
        mesh: &Mesh,
        chance: Chance,
    ) -> Result<Consensus, Box<dyn std::error::Error>> {
        let consensus = Consensus::start(Settings {
            me: self.node,
            carrier: Arc::new(Twice::new(MeshCarrier(mesh.clone()), chance)),
            place: Place::Memory(self.disk.clone()),
            timing: self.timing(),
        });
        let consensus = consensus.await?;
        tokio::spawn(consensus.serve_on(mesh));
        self.masters.watch(self.node, &consensus);
        Ok(consensus)
    }

    async fn obey(
        &self,
        mut asked: mpsc::UnboundedReceiver<Ask>,
        member: &Member,
        consensus: Option<&Consensus>,
        fleet: &Fleet,
        mut chance: Chance,
    ) {
        while let Some(ask) = asked.recv().await {
            let mut clients = || Clients {
                node: fleet.clone(),
                chance: Chance::new(chance.next()),
                pause_ms: 40,
            };
            match ask {
                Ask::Clients => drop(tokio::spawn(clients().run())),
                Ask::Round(count) => drop(tokio::spawn(clients().round(count))),
                Ask::Propose(change) => {
                    let (member, consensus) = (member.clone(), consensus.cloned());
                    let masters = self.masters.clone();
                    tokio::spawn(async move {
                        let applied = match (&change, consensus) {
                            (Change::Found { .. }, Some(consensus)) => {
                                consensus.found(change.clone()).await
                            }
                            _ => member.propose(change.clone()).await,
                        };
                        if let Ok(applied) = applied {
                            masters.acknowledge(&change, applied);
                        }
                    });
                }
            }
        }
    }
}

async fn look(dispatcher: Dispatcher, shown: Arc<Mutex<Option<Status>>>) {
    while let Some(status) = dispatcher.status().await {
        *shown.lock().expect("no panic under the lock") = Some(status);
        tokio::time::sleep(LOOK).await;
    }
}
