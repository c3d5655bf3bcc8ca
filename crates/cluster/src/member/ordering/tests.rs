//! What nodes are ordered, step by step, while workers move.

use super::*;
use crate::hard::{Digest, Labels, NodeRecord, ProgramRecord, Roles};
use crate::member::handover::HOLD_MAX;
use crate::placement::Count;
use crate::soft::{Announcement, Capacity, Event, News, ProgramReport, Report};
use std::sync::Arc;
use std::time::Duration;

/// A cluster with one program `p`, whose managers do what the test says.
pub(crate) struct World {
    pub now: Time,
    pub hard: Hard,
    pub soft: Soft,
    pub ordering: Ordering,
    pub orders: BTreeMap<NodeId, Vec<Order>>,
}

impl World {
    pub fn of(nodes: u32, workers: u32) -> Self {
        let mut hard = Hard {
            revision: 1,
            ..Hard::default()
        };
        let placement = Placement {
            workers,
            ..Placement::default()
        };
        let program = ProgramRecord::new(1, &bytes::Bytes::new(), &placement);
        hard.programs.insert("p".into(), program);
        let mut world = Self {
            now: Time::default(),
            hard,
            soft: Soft::default(),
            ordering: Ordering::take_over(1, &Soft::default()),
            orders: BTreeMap::new(),
        };
        for node in 1..=nodes {
            world.join(node);
        }
        world.place();
        for node in 1..=nodes {
            world.obey(node);
        }
        world
    }

    fn join(&mut self, node: u32) {
        let record = NodeRecord {
            name: node.to_string().into(),
            address: "here:1".into(),
            roles: Roles::ALL,
            labels: Labels::new(),
            request: Digest([0; 32]),
            draining: false,
            revoked: false,
        };
        self.hard.nodes.insert(NodeId(node), record);
        self.link(node, ProgramReports::new());
    }

    /// A link to a node comes up, and it reports in full.
    fn link(&mut self, node: u32, programs: ProgramReports) {
        let (node, incarnation) = (NodeId(node), 0);
        let event = Event::LinkUp { node, incarnation };
        self.soft.handle(self.now, event, &mut Vec::new());
        self.ordering.forget(node);
        self.report(node.0, programs);
    }

    fn cut(&mut self, node: u32) {
        let event = Event::LinkDown(NodeId(node), "cut".into());
        self.soft.handle(self.now, event, &mut Vec::new());
        self.ordering.forget(NodeId(node));
        self.place();
    }

    pub fn report(&mut self, node: u32, programs: ProgramReports) {
        let report = Report {
            capacity: Capacity {
                cores: 4,
                memory: 0,
            },
            programs,
            ..Report::default()
        };
        let announcement = Announcement {
            incarnation: 0,
            sequence: 0,
            news: News::Full(Box::new(report)),
        };
        let event = Event::Announced(NodeId(node), announcement);
        self.soft.handle(self.now, event, &mut Vec::new());
    }

    /// A node says that so many of the workers it was ordered live.
    fn says(&mut self, node: u32, live: u32) {
        let orders = self.orders.get(&NodeId(node)).cloned().unwrap_or_default();
        let programs = orders.into_iter().map(|order| {
            let report = ProgramReport {
                wanted: Count {
                    workers: order.workers,
                    spare: order.spare,
                },
                live: live.min(order.workers),
                ..ProgramReport::default()
            };
            ((order.program, order.version), report)
        });
        self.report(node, programs.collect());
        let orders = self.ordering.hand_over(self.now, &self.soft);
        self.take(orders);
    }

    /// A node does all it was ordered.
    fn obey(&mut self, node: u32) {
        self.says(node, u32::MAX);
    }

    pub fn place(&mut self) {
        let orders = self.ordering.place(self.now, &self.hard, &self.soft);
        self.take(orders);
    }

    fn take(&mut self, orders: Vec<(NodeId, Orders)>) {
        let orders = orders
            .into_iter()
            .map(|(node, orders)| (node, orders.programs));
        self.orders.extend(orders);
    }

    pub fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
        let orders = self.ordering.hand_over(self.now, &self.soft);
        self.take(orders);
    }

    fn workers(&self) -> Vec<u32> {
        let workers = |orders: &Vec<Order>| orders.iter().map(|order| order.workers).sum();
        self.orders.values().map(workers).collect()
    }
}

pub(crate) type ProgramReports = BTreeMap<(Arc<str>, u32), ProgramReport>;

#[test]
fn workers_move_to_a_newcomer_one_by_one_as_they_live_there() {
    let mut world = World::of(1, 4);
    world.join(2);
    world.place();
    assert_eq!(world.workers(), [4, 2]);
    world.says(2, 1);
    assert_eq!(world.workers(), [3, 2]);
    world.obey(1);
    world.says(2, 1);
    assert_eq!(
        world.workers(),
        [3, 2],
        "the same worker is not counted twice"
    );
    world.obey(2);
    assert_eq!(world.workers(), [2, 2]);
}

#[test]
fn a_node_that_is_drained_serves_until_others_do() {
    let mut world = World::of(2, 4);
    let node = world.hard.nodes.get_mut(&NodeId(1)).expect("a node");
    node.draining = true;
    world.place();
    assert_eq!(world.workers(), [2, 4]);
    world.says(2, 3);
    assert_eq!(world.workers(), [1, 4]);
    world.obey(1);
    world.obey(2);
    assert_eq!(world.workers(), [0, 4]);
}

#[test]
fn a_node_that_returns_relieves_the_others_when_its_workers_live() {
    let mut world = World::of(2, 4);
    world.cut(2);
    world.obey(1);
    assert_eq!(world.workers()[0], 4);
    world.link(2, ProgramReports::new());
    world.place();
    assert_eq!(world.workers(), [4, 2]);
    world.obey(2);
    assert_eq!(world.workers(), [2, 2]);
}

#[test]
fn a_node_whose_link_broke_keeps_its_workers_until_others_live() {
    let mut world = World::of(2, 4);
    let programs = world.soft.nodes()[&NodeId(2)].report.clone();
    let programs = programs.expect("it has reported").programs;
    world.cut(2);
    assert_eq!(world.workers()[0], 4, "none of which lives yet but two");
    world.link(2, programs);
    let node = world.hard.nodes.get_mut(&NodeId(2)).expect("a node");
    node.draining = true;
    world.place();
    assert_eq!(world.workers(), [4, 2]);
    world.obey(1);
    assert_eq!(world.workers(), [4, 0]);
}

#[test]
fn a_new_leader_in_the_middle_moves_nothing_twice() {
    let mut world = World::of(1, 4);
    world.join(2);
    world.place();
    world.obey(1);
    world.says(2, 0);
    assert_eq!(world.workers(), [4, 2]);
    world.ordering = Ordering::take_over(2, &world.soft);
    world.place();
    assert_eq!(world.workers(), [4, 2]);
    world.obey(2);
    assert_eq!(world.workers(), [2, 2]);
}

#[test]
fn a_node_that_cannot_start_workers_is_waited_for_no_longer_than_the_limit() {
    let mut world = World::of(2, 4);
    let node = world.hard.nodes.get_mut(&NodeId(1)).expect("a node");
    node.draining = true;
    world.place();
    world.says(2, 2);
    world.wait(HOLD_MAX - Duration::from_millis(1));
    assert_eq!(world.workers(), [2, 4]);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.workers(), [0, 4]);
}

#[test]
fn a_revoked_node_and_a_removed_program_wait_for_nothing() {
    let mut world = World::of(2, 4);
    let node = world.hard.nodes.get_mut(&NodeId(2)).expect("a node");
    node.revoked = true;
    world.place();
    assert_eq!(world.workers()[0], 4);
    assert!(world.ordering.handover.given()[&("p".into(), 1)].len() == 1);
    world.hard.programs.clear();
    world.place();
    assert_eq!(world.workers()[0], 0);
}

#[test]
fn a_smaller_program_gives_up_its_surplus_at_once() {
    let mut world = World::of(2, 4);
    let program = world.hard.programs.get_mut("p").expect("a program");
    program.versions[0].placement.workers = 2;
    world.place();
    assert_eq!(world.workers(), [1, 1]);
}

#[test]
fn a_version_in_the_place_of_another_is_left_to_the_managers() {
    let mut world = World::of(2, 3);
    let before = world.workers();
    let program = world.hard.programs.get_mut("p").expect("a program");
    let mut version = program.versions[0].clone();
    version.number = 2;
    program.versions.push(version);
    program.shares[0].version = 2;
    world.place();
    assert_eq!(world.workers(), before);
    let orders = world.orders.values().flatten();
    assert!(
        orders
            .map(|order| order.version)
            .all(|version| version == 2)
    );
}
