//! A cluster in memory: nodes with members, masters whose hard state and leader the test decides,
//! and managers that do what they are ordered.

use crate::fabric::{Fabric, address};
use bytes::Bytes;
use cluster::consensus::{Leadership, ProposeError};
use cluster::hard::{Applied, Change, Hard, Labels, NodeRecord, Placement, ProgramRecord, Roles};
use cluster::member::{
    Master, MasterSettings, Member, MemberSettings, Orders, Proposals, Renewals, View,
};
use cluster::placement::Count;
use cluster::soft::{Capacity, ProgramReport, Report};
use futures_util::future::BoxFuture;
use pool::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wire::{Me, Mesh, MeshSettings, Security};

/// How long, in the test's time, something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub const MANAGER: Roles = Roles {
    master: false,
    manager: true,
    faceplate: false,
};
pub const FACEPLATE: Roles = Roles {
    master: false,
    manager: false,
    faceplate: true,
};
pub const MASTER: Roles = Roles {
    master: true,
    manager: false,
    faceplate: false,
};

/// What masters agree on, decided by the test.
pub struct Cluster {
    pub fabric: Fabric,
    pub hard: watch::Sender<Arc<Hard>>,
    leader: watch::Sender<(u64, Option<NodeId>)>,
    /// What was proposed to any master.
    pub proposed: Arc<Mutex<Vec<Change>>>,
    incarnations: u64,
}

/// A running node.
pub struct Node {
    pub id: NodeId,
    pub member: Member,
    pub mesh: Mesh,
    tasks: Vec<JoinHandle<()>>,
    _master: Option<Master>,
}

/// Signs nothing, but repeats for whom it would have.
struct Echo;

impl Renewals for Echo {
    fn renew(&self, node: NodeId, name: &str, question: &[u8]) -> Result<Bytes, String> {
        let question = String::from_utf8_lossy(question);
        if question == "nonsense" {
            return Err("expected a key, got nonsense".to_owned());
        }
        Ok(format!("{} {name} {question}", node.0).into())
    }
}

impl Cluster {
    /// Nodes with these roles, numbered from 1; those with the role are masters.
    pub fn of(roles: &[Roles]) -> Self {
        let record = |(id, roles): (u32, &Roles)| {
            let record = NodeRecord {
                name: format!("n{id}").into(),
                address: address(id).to_string().into(),
                roles: *roles,
                labels: Labels::new(),
                request: cluster::hard::Digest::of(&id.to_be_bytes()),
                draining: false,
                revoked: false,
            };
            (NodeId(id), record)
        };
        let nodes: BTreeMap<NodeId, NodeRecord> = (1..).zip(roles).map(record).collect();
        let masters = nodes.iter().filter(|(_, record)| record.roles.master);
        let hard = Hard {
            revision: 1,
            masters: masters.map(|(id, _)| *id).collect(),
            nodes,
            ..Hard::default()
        };
        Self {
            fabric: Fabric::default(),
            hard: watch::Sender::new(Arc::new(hard)),
            leader: watch::Sender::new((1, Some(NodeId(1)))),
            proposed: Arc::default(),
            incarnations: 0,
        }
    }

    /// Changes hard state, as one committed change.
    pub fn change(&self, change: impl FnOnce(&mut Hard)) {
        self.hard.send_modify(|hard| {
            let hard = Arc::make_mut(hard);
            change(hard);
            hard.revision += 1;
        });
    }

    /// Adds or changes a program.
    pub fn program(&self, name: &str, workers: u32) {
        let placement = Placement {
            workers,
            ..Placement::default()
        };
        let record = ProgramRecord::new(1, &Default::default(), &placement);
        self.change(|hard| drop(hard.programs.insert(name.into(), record)));
    }

    pub fn elect(&self, term: u64, leader: Option<u32>) {
        self.leader.send_replace((term, leader.map(NodeId)));
    }

    /// Starts a node that knows all masters' addresses, as another process each time.
    pub async fn start(&mut self, node: u32) -> Node {
        self.incarnations += 1;
        let id = NodeId(node);
        let hard = self.hard.borrow().clone();
        let roles = hard.nodes[&id].roles;
        let me = Me {
            node: id,
            name: format!("n{node}").into(),
            incarnation: self.incarnations,
            cluster: "test".into(),
        };
        let network = self.fabric.node(node);
        let listener = network.listen(address(node)).await.expect("a free address");
        let settings = MeshSettings {
            seed: node.into(),
            ..MeshSettings::default()
        };
        let mesh = Mesh::start(me, network, listener, Security::Plain, settings);
        let mesh = mesh.expect("a simulated network needs no security");
        let masters = hard.masters.iter();
        let settings = MemberSettings {
            me: id,
            incarnation: self.incarnations,
            masters: masters.map(|id| (*id, address(id.0).to_string())).collect(),
            report: Report {
                roles,
                capacity: Capacity {
                    cores: 4,
                    memory: 0,
                },
                ..Report::default()
            },
        };
        let report = settings.report.clone();
        let member = Member::start(mesh.clone(), settings);
        let mut tasks = vec![tokio::spawn(obey(member.clone(), report))];
        let mut master = None;
        if roles.master {
            let (told, leadership) = watch::channel(Leadership::default());
            tasks.push(tokio::spawn(follow(id, self.leader.subscribe(), told)));
            let settings = MasterSettings {
                hard: self.hard.subscribe(),
                leadership,
                proposals: Arc::new(Script(Arc::clone(&self.proposed))),
                renewals: Some(Arc::new(Echo)),
            };
            master = Some(Master::start(&member, settings).await);
        }
        Node {
            id,
            member,
            mesh,
            tasks,
            _master: master,
        }
    }

    /// Starts all nodes of hard state, and waits until all see all.
    pub async fn start_all(&mut self) -> Vec<Node> {
        let ids: Vec<NodeId> = self.hard.borrow().nodes.keys().copied().collect();
        let mut nodes = Vec::new();
        for id in &ids {
            nodes.push(self.start(id.0).await);
        }
        for node in &nodes {
            node.sees("all", |view| view.up.len() == ids.len()).await;
        }
        nodes
    }
}

impl Node {
    /// Waits until its view is as wanted.
    pub async fn sees(&self, what: &str, wanted: impl Fn(&View) -> bool) -> Arc<View> {
        let mut view = self.member.view();
        let seen = tokio::time::timeout(PATIENCE, view.wait_for(|view| wanted(view))).await;
        match seen {
            Ok(view) => Arc::clone(&view.expect("the member runs")),
            Err(_) => panic!("{:?} does not see {what}: {:?}", self.id, self.view()),
        }
    }

    pub fn view(&self) -> Arc<View> {
        self.member.view().borrow().clone()
    }

    pub fn is_up(&self, node: u32) -> bool {
        self.view().up.contains_key(&NodeId(node))
    }

    /// Waits for orders.
    pub async fn ordered(&self, what: &str, wanted: impl Fn(&Orders) -> bool) -> Orders {
        let mut orders = self.member.orders();
        let wanted = |orders: &Option<Orders>| orders.as_ref().is_some_and(&wanted);
        let seen = tokio::time::timeout(PATIENCE, orders.wait_for(wanted)).await;
        match seen {
            Ok(orders) => orders.expect("the member runs").clone().expect("some"),
            Err(_) => panic!("{:?} is not ordered {what}: {:?}", self.id, self.orders()),
        }
    }

    pub fn orders(&self) -> Option<Orders> {
        self.member.orders().borrow().clone()
    }

    /// Workers that it is ordered to run.
    pub fn workers(&self) -> u32 {
        let orders = self.orders().map(|orders| orders.programs);
        orders.iter().flatten().map(|order| order.workers).sum()
    }

    /// Ends it, with its links.
    pub async fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.mesh.stop().await;
    }
}

/// A manager that does as it is told.
async fn obey(member: Member, mut report: Report) {
    let mut orders = member.orders();
    loop {
        if let Some(orders) = orders.borrow_and_update().clone() {
            let programs = orders.programs.into_iter().map(|order| {
                let program = ProgramReport {
                    wanted: Count {
                        workers: order.workers,
                        spare: order.spare,
                    },
                    live: order.workers,
                    ..ProgramReport::default()
                };
                ((order.program, order.version), program)
            });
            report.programs = programs.collect();
            member.announce(report.clone());
        }
        if orders.changed().await.is_err() {
            return;
        }
    }
}

/// Leadership as one master sees it.
async fn follow(
    me: NodeId,
    mut leader: watch::Receiver<(u64, Option<NodeId>)>,
    told: watch::Sender<Leadership>,
) {
    loop {
        let (term, leader_now) = *leader.borrow_and_update();
        told.send_replace(Leadership {
            term,
            leader: leader_now,
            i_lead: leader_now == Some(me),
        });
        if leader.changed().await.is_err() {
            return;
        }
    }
}

/// Consensus that notes what is proposed.
struct Script(Arc<Mutex<Vec<Change>>>);

impl Proposals for Script {
    fn propose(&self, change: Change) -> BoxFuture<'static, Result<Applied, ProposeError>> {
        let is_refused = matches!(change, Change::RemoveAccessToken(_));
        self.0.lock().expect("not poisoned").push(change);
        Box::pin(async move {
            if is_refused {
                let refusal = cluster::hard::Refusal::UnknownToken("t".into());
                return Err(ProposeError::Refused(refusal));
            }
            Ok(Applied {
                revision: 7,
                node: None,
            })
        })
    }
}
