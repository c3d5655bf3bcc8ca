//! What a node shows of its cluster: in `/status`, and in figures in `/metrics`.
//!
//! `observer` makes these from what the node's [`Member`] knows and what the leader answers.

use cluster::hard::{Hard, NodeRecord, Roles};
use cluster::member::{Status, View};
use cluster::placement::{Job, Unplaced, jobs_of};
use cluster::soft::Report;
use pool::NodeId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is to be said of a number of masters that is legal and seldom meant.
pub fn advice(masters: usize) -> Option<&'static str> {
    (masters == 2).then_some(
        "two masters: the survivor of a loss serves and restarts local workers but changes no \
         configuration; add a third, or keep one",
    )
}

/// The cluster as one of its nodes sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClusterView {
    /// Its identity.
    pub id: String,
    /// How many changes its hard state has seen.
    pub revision: u64,
    /// Whether a master answered. If not, the rest is what this node was told last, and nobody
    /// knows how others are.
    pub is_current: bool,
    /// Who leads, by name; none if no leader is heard.
    pub leader: Option<Arc<str>>,
    /// The masters by priority.
    pub masters: Vec<MasterView>,
    /// All nodes but those that were revoked.
    pub nodes: Vec<NodeView>,
    /// Each version of a program that is to run, over all nodes.
    pub programs: Vec<ProgramView>,
    /// What whoever runs the cluster should know.
    pub warnings: Vec<String>,
}

/// A master.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MasterView {
    /// Its name.
    pub name: Arc<str>,
    /// Whether this node reaches it.
    pub reached: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeView {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: Arc<str>,
    /// What it is for: `master`, `manager`, `faceplate`.
    pub roles: Vec<&'static str>,
    /// What placement may ask for.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `host:port` of its listener for links.
    pub address: Arc<str>,
    /// How it is.
    pub state: NodeState,
    /// Whether its workers move away.
    pub draining: bool,
    /// What it reports; none unless it is up and a master told.
    #[serde(flatten)]
    pub report: Option<NodeReport>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It is heard.
    Up,
    /// It is not.
    Down,
    /// No master is reached that would know.
    Unknown,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Workers that it is to have, spares not counted.
    pub workers_wanted: u32,
    /// Workers that take calls.
    pub workers_live: u32,
    /// Calls that run, of those that came in there.
    pub running: u32,
    /// Calls that wait, of those that came in there.
    pub waiting: u32,
}

/// A version of a program over the whole cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgramView {
    /// The program's name.
    pub name: Arc<str>,
    /// The version's number.
    pub version: u32,
    /// Its share of the calls, relative to the other version's.
    pub weight: u32,
    /// If it only shadows: the part of the calls that is copied to it, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_percent: Option<u32>,
    /// Workers that are to be, spares not counted.
    pub workers_wanted: u32,
    /// Workers that take calls; none if no master told.
    pub workers_live: Option<u32>,
    /// Nodes that have some of them; none if no master told.
    pub nodes: Option<usize>,
    /// Why there are not as many as wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The cluster in figures, without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Nodes that are up and do not drain.
    pub nodes_up: u64,
    /// Nodes that are up and drain.
    pub nodes_draining: u64,
    /// Nodes that are not up.
    pub nodes_down: u64,
    /// Whether this node leads.
    pub is_leader: bool,
    /// Links to other nodes.
    pub links: u64,
    /// The revision of hard state.
    pub revision: u64,
}

impl ClusterView {
    /// Puts together what the node `me` knows and what a master answered, if one did.
    pub fn new(me: NodeId, view: &View, status: Option<&Status>) -> Self {
        let hard = &*view.hard;
        let name = |node: NodeId| hard.nodes.get(&node).map(|record| record.name.clone());
        let reports = status.map(|status| &status.reports);
        let masters = hard.masters.iter().filter_map(|node| {
            Some(MasterView {
                name: name(*node)?,
                reached: view.masters.contains(node),
            })
        });
        let nodes = hard.members().map(|(node, record)| {
            let is_up = view.up.contains_key(&node);
            let state = match status {
                _ if node == me => NodeState::Up,
                Some(_) if is_up => NodeState::Up,
                Some(_) => NodeState::Down,
                None => NodeState::Unknown,
            };
            let report = reports.and_then(|reports| reports.get(&node));
            NodeView::new(node, record, state, report)
        });
        Self {
            id: hard.cluster.to_string(),
            revision: hard.revision,
            is_current: status.is_some(),
            leader: view.leader.and_then(name),
            masters: masters.collect(),
            nodes: nodes.collect(),
            programs: programs(hard, status),
            warnings: warnings(hard.masters.len(), view, status.is_some()),
        }
    }
}

fn warnings(masters: usize, view: &View, is_current: bool) -> Vec<String> {
    let mut warnings: Vec<String> = advice(masters).map(str::to_owned).into_iter().collect();
    if is_current && view.leader.is_none() {
        warnings.push(format!(
            "no leader: workers serve and restart where they are; nothing else changes until {} of \
             {masters} masters reach each other",
            masters / 2 + 1
        ));
    }
    warnings
}

impl NodeView {
    fn new(node: NodeId, record: &NodeRecord, state: NodeState, report: Option<&Report>) -> Self {
        Self {
            id: node.0,
            name: record.name.clone(),
            roles: roles(record.roles),
            labels: record.labels.clone(),
            address: record.address.clone(),
            state,
            draining: record.draining,
            report: report.map(NodeReport::of),
        }
    }
}

impl NodeReport {
    fn of(report: &Report) -> Self {
        let programs = || report.programs.values();
        Self {
            workers_wanted: programs().map(|program| program.wanted.workers).sum(),
            workers_live: programs().map(|program| program.live).sum(),
            running: report.load.running,
            waiting: report.load.waiting,
        }
    }
}

fn roles(roles: Roles) -> Vec<&'static str> {
    let all = [
        ("master", roles.master),
        ("manager", roles.manager),
        ("faceplate", roles.faceplate),
    ];
    all.into_iter()
        .filter(|(_, has)| *has)
        .map(|(role, _)| role)
        .collect()
}

fn programs(hard: &Hard, status: Option<&Status>) -> Vec<ProgramView> {
    let mut programs = Vec::new();
    let jobs = jobs_of(hard);
    for (name, record) in &hard.programs {
        for share in &record.shares {
            let job: Job = (name.clone(), share.version);
            let Some(wants) = jobs.get(&job) else {
                continue;
            };
            let reports = || status.into_iter().flat_map(|status| &status.reports);
            let lives = || {
                let lives = reports().map(|(_, report)| report.programs.get(&job));
                lives.map(|program| program.map_or(0, |program| program.live))
            };
            let unplaced = status.and_then(|status| status.unplaced.get(&job));
            let failing = || {
                reports().find_map(|(node, report)| {
                    let why = report.programs.get(&job)?.problem.as_ref()?;
                    let record = hard.nodes.get(node)?;
                    Some(format!("{}: {why}", record.name))
                })
            };
            let taken_back = || {
                let taken_back = record.taken_back.as_ref()?;
                let (version, why) = (taken_back.version, &taken_back.why);
                Some(format!("version {version} was taken back: {why}"))
            };
            programs.push(ProgramView {
                name: name.clone(),
                version: share.version,
                weight: share.weight,
                shadow_percent: hard.shadow_percent(name, share.version),
                workers_wanted: wants.workers,
                workers_live: status.map(|_| lives().sum()),
                nodes: status.map(|_| lives().filter(|live| *live > 0).count()),
                problem: unplaced.map(no_place).or_else(failing).or_else(taken_back),
            });
        }
    }
    programs
}

fn no_place(unplaced: &Unplaced) -> String {
    let missing = unplaced.missing;
    let what = match (missing.workers, missing.spare) {
        (0, spare) => format!("{spare} spare"),
        (workers, 0) => format!("{workers} workers"),
        (workers, spare) => format!("{workers} workers and {spare} spare"),
    };
    format!("no place for {what}: {}", unplaced.why)
}

impl Standing {
    /// The figures of what the node `me` knows; `links` is how many it has.
    pub fn new(me: NodeId, view: &View, links: usize) -> Self {
        let count = |test: &dyn Fn(NodeId, &NodeRecord) -> bool| {
            let nodes = view.hard.members();
            nodes.filter(|(node, record)| test(*node, record)).count() as u64
        };
        let is_up = |node| view.up.contains_key(&node);
        Self {
            nodes_up: count(&|node, record| is_up(node) && !record.draining),
            nodes_draining: count(&|node, record| is_up(node) && record.draining),
            nodes_down: count(&|node, _| !is_up(node)),
            is_leader: view.leader == Some(me),
            links: links as u64,
            revision: view.hard.revision,
        }
    }
}
