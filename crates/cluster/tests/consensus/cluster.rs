//! A cluster of masters over a hub, whose masters can crash and start again.

use crate::hub::Hub;
use crate::record::Record;
use crate::scenario::Event;
use cluster::consensus::{Consensus, Leadership, Memory, Patience, Place, Settings, Timing};
use cluster::hard::{Change, ClusterId, Digest, JoinToken, Labels, Roles};
use pool::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Hand over soon: tests have many.
pub fn timing() -> Timing {
    let timing = Timing::default();
    Timing {
        patience: Patience {
            settle: Duration::from_secs(2),
            ..timing.patience
        },
        // Short, so that lagging masters get snapshots.
        snapshot_after: 40,
        ..timing
    }
}

pub fn found() -> Change {
    Change::Found {
        cluster: ClusterId([7; 16]),
        name: "master 1".into(),
        address: "master-1:7400".into(),
        roles: Roles::ALL,
        labels: Labels::new(),
        request: Digest::of(b"master 1"),
        timeout: Duration::from_secs(10),
    }
}

pub fn join_token() -> Change {
    Change::PutJoinToken {
        name: "masters".into(),
        token: JoinToken {
            secret: Digest::of(b"secret"),
            roles: Roles::ALL,
            expires_unix_s: 1_000,
        },
        now_unix_s: 0,
    }
}

pub fn add_master(number: u32) -> Change {
    let name = format!("master {number}");
    Change::AddNode {
        request: Digest::of(name.as_bytes()),
        name: name.into(),
        address: format!("master-{number}:7400").into(),
        roles: Roles::ALL,
        labels: Labels::new(),
        secret: Digest::of(b"secret"),
        now_unix_s: 0,
    }
}

/// A change unlike all others of a test.
pub fn change(number: u64) -> Change {
    Change::SetTimeout(Duration::from_millis(number + 1))
}

pub struct Cluster {
    pub hub: Hub,
    pub record: Record,
    pub timing: Timing,
    disks: BTreeMap<NodeId, Memory>,
    watchers: BTreeMap<NodeId, JoinHandle<()>>,
    proposed: u64,
}

impl Cluster {
    /// Founds a cluster whose masters are `list`, in this order. Node 1 must be one of them.
    pub async fn found(seed: u64, list: &[NodeId], timing: Timing) -> Self {
        let mut cluster = Self {
            hub: Hub::new(seed),
            record: Record::default(),
            timing,
            disks: BTreeMap::new(),
            watchers: BTreeMap::new(),
            proposed: 0,
        };
        for number in 1..=u32::try_from(list.len()).expect("few masters") {
            cluster.start(NodeId(number)).await;
        }
        let first = cluster.master(NodeId(1));
        first.found(found()).await.expect("founded");
        first.propose(join_token()).await.expect("a token");
        for number in 2..=u32::try_from(list.len()).expect("few masters") {
            first.propose(add_master(number)).await.expect("added");
        }
        first
            .propose(Change::SetMasters(list.to_vec()))
            .await
            .expect("listed");
        cluster.healed(list).await;
        cluster
    }

    pub async fn start(&mut self, node: NodeId) {
        let disk = self
            .disks
            .entry(node)
            .or_insert_with(|| Memory::new(Duration::from_millis(2)));
        let consensus = Consensus::start(Settings {
            me: node,
            carrier: self.hub.carrier(node),
            place: Place::Memory(disk.clone()),
            timing: self.timing.clone(),
        });
        let consensus = consensus.await.expect("a master starts");
        self.hub.join(node, &consensus);
        let watcher = self.record.watch(node, &consensus);
        self.watchers.insert(node, watcher);
    }

    pub fn crash(&mut self, node: NodeId) {
        self.disks[&node].crash();
        let consensus = self.hub.leave(node).expect("it ran");
        self.watchers[&node].abort();
        // Nobody hears of it any more; it only gives back what it holds.
        tokio::spawn(async move { consensus.stop().await });
    }

    pub fn is_up(&self, node: NodeId) -> bool {
        self.hub.find(node).is_some()
    }

    pub fn master(&self, node: NodeId) -> Consensus {
        self.hub.find(node).expect("the master runs").1
    }

    pub fn leadership(&self, node: NodeId) -> Leadership {
        *self.master(node).leadership().borrow()
    }

    /// Cuts the nodes of one side from those of the other.
    pub fn partition(&self, side: &[NodeId]) {
        for &here in self.disks.keys() {
            for &there in self.disks.keys() {
                if side.contains(&here) != side.contains(&there) {
                    self.hub.lose(here, there);
                }
            }
        }
    }

    /// Proposes one more change in the background; what comes of it is recorded.
    pub fn propose(&mut self, node: NodeId) {
        if !self.is_up(node) {
            return;
        }
        self.proposed += 1;
        let (consensus, record) = (self.master(node), self.record.clone());
        let change = change(self.proposed);
        tokio::spawn(async move {
            if let Ok(applied) = consensus.propose(change.clone()).await {
                record.acknowledge(&change, applied);
            }
        });
    }

    pub async fn happen(&mut self, event: &Event) {
        match event {
            Event::Propose(node) => self.propose(*node),
            Event::Partition(side) => self.partition(side),
            Event::Lose(from, to) => self.hub.lose(*from, *to),
            Event::Heal => self.hub.heal(),
            Event::Delay(max) => self.hub.delay(*max),
            Event::Duplicate(percent) => self.hub.duplicate(*percent),
            Event::Crash(node) => self.crash(*node),
            Event::Restart(node) => self.start(*node).await,
        }
    }

    /// Waits until all see the first of the list lead, and have the same state.
    pub async fn healed(&self, list: &[NodeId]) {
        let is_healed = || {
            let hard = self.master(list[0]).hard().borrow().clone();
            list.iter().all(|&node| {
                let leadership = self.leadership(node);
                leadership.leader == Some(list[0])
                    && leadership.i_lead == (node == list[0])
                    && *self.master(node).hard().borrow() == hard
            }) && hard.masters == list
        };
        let wait = async {
            while !is_healed() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(120), wait)
            .await
            .is_err()
        {
            let seen: Vec<_> = list
                .iter()
                .map(|&node| {
                    let hard = self.master(node).hard().borrow().clone();
                    (
                        node,
                        self.leadership(node),
                        hard.revision,
                        hard.masters.clone(),
                    )
                })
                .collect();
            panic!("the cluster does not heal: expected {list:?}, got {seen:?}");
        }
    }

    /// Waits until a master says that it leads, and gives the time that took.
    pub async fn leads(&self, node: NodeId) -> Duration {
        let began = tokio::time::Instant::now();
        let mut leadership = self.master(node).leadership();
        let wait = leadership.wait_for(|leadership| leadership.i_lead);
        let led = tokio::time::timeout(Duration::from_secs(60), wait).await;
        led.expect("it leads within a minute").expect("it runs");
        began.elapsed()
    }
}
