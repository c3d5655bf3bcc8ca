//! A cluster to place programs in, and what must hold after every placement.

use cluster::hard::{Labels, Placement};
use cluster::placement::{Assignment, Count, Job, Placed, Site, Why, place};
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A node as the tests describe it.
#[derive(Debug, Clone)]
pub struct Node {
    pub labels: Labels,
    pub cores: u32,
    pub memory: u64,
    pub can_run: BTreeSet<Arc<str>>,
    pub up: bool,
    pub draining: bool,
}

impl Node {
    pub fn of(cores: u32) -> Self {
        Self {
            labels: Labels::new(),
            cores,
            memory: 0,
            can_run: BTreeSet::new(),
            up: true,
            draining: false,
        }
    }

    pub fn label(mut self, label: &str, value: &str) -> Self {
        self.labels.insert(label.into(), value.into());
        self
    }

    pub fn memory(mut self, memory: u64) -> Self {
        self.memory = memory;
        self
    }

    pub fn runs(mut self, command: &str) -> Self {
        self.can_run.insert(command.into());
        self
    }

    fn site(&self) -> Site<'_> {
        Site {
            labels: &self.labels,
            cores: self.cores,
            memory: self.memory,
            can_run: &self.can_run,
            up: self.up,
            draining: self.draining,
        }
    }

    fn usable(&self) -> bool {
        self.up && !self.draining
    }

    fn may_hold(&self, wants: &Placement) -> bool {
        let has = |(label, value)| self.labels.get(label) == Some(value);
        let runs = wants.command.is_empty() || self.can_run.contains(&wants.command);
        self.usable() && runs && wants.constraints.iter().all(has)
    }
}

pub fn workers(workers: u32) -> Placement {
    Placement {
        workers,
        ..Placement::default()
    }
}

pub fn job(name: &str) -> Job {
    (name.into(), 1)
}

/// A cluster, and the assignment as it is.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub nodes: BTreeMap<NodeId, Node>,
    pub programs: BTreeMap<Job, Placement>,
    pub assignment: Assignment,
}

impl World {
    pub fn of(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self {
            nodes: (1..).map(NodeId).zip(nodes).collect(),
            ..Self::default()
        }
    }

    pub fn program(mut self, name: &str, wants: Placement) -> Self {
        self.programs.insert(job(name), wants);
        self
    }

    pub fn node(&mut self, node: u32) -> &mut Node {
        self.nodes
            .get_mut(&NodeId(node))
            .expect("a node of the test")
    }

    /// Places, checks what must hold, and takes the assignment over. Gives how many processes left
    /// nodes that may still hold them.
    pub fn place(&mut self) -> (Placed, u32) {
        let placed = self.look();
        self.check(&placed);
        let moved = self.moved(&placed.assignment);
        self.assignment = placed.assignment.clone();
        assert_eq!(self.look(), placed, "a second placement moves nothing");
        (placed, moved)
    }

    /// What a placement would be.
    pub fn look(&self) -> Placed {
        let programs: BTreeMap<Job, &Placement> = self
            .programs
            .iter()
            .map(|(id, wants)| (id.clone(), wants))
            .collect();
        let nodes = self.nodes.iter().map(|(id, node)| (*id, node.site()));
        place(&programs, &nodes.collect(), &self.assignment)
    }

    /// Processes that are not any more where they may be, of programs that still want as many.
    fn moved(&self, next: &Assignment) -> u32 {
        let mut moved = 0;
        for (id, nodes) in &self.assignment {
            let Some(wants) = self.programs.get(id) else {
                continue;
            };
            let mut surplus = nodes.values().map(|count| count.total()).sum::<u32>();
            surplus = surplus.saturating_sub(wants.workers + wants.spare);
            for (node, count) in nodes {
                let may_stay = self
                    .nodes
                    .get(node)
                    .is_some_and(|node| node.may_hold(wants));
                let after = next.get(id).and_then(|nodes| nodes.get(node)).copied();
                let after = after.unwrap_or_default().total();
                if may_stay {
                    moved += count.total().saturating_sub(after);
                }
            }
            moved = moved.saturating_sub(surplus);
        }
        moved
    }

    /// What must be true of every placement.
    pub fn check(&self, placed: &Placed) {
        let mut memory: BTreeMap<NodeId, u64> = BTreeMap::new();
        for (id, nodes) in &placed.assignment {
            let wants = self
                .programs
                .get(id)
                .expect("only what is wanted is placed");
            for (node, count) in nodes {
                assert!(count.total() > 0, "an entry of zero for {id:?} on {node:?}");
                assert!(self.nodes[node].may_hold(wants), "{id:?} on {node:?}");
                *memory.entry(*node).or_default() += u64::from(count.total()) * wants.memory;
            }
        }
        for (node, memory) in &memory {
            let limit = self.nodes[node].memory;
            assert!(
                limit == 0 || *memory <= limit,
                "too much memory on {node:?}"
            );
        }
        for (id, wants) in &self.programs {
            self.check_total(id, wants, placed, &memory);
        }
    }

    /// All are placed, or the reason is true.
    fn check_total(
        &self,
        id: &Job,
        wants: &Placement,
        placed: &Placed,
        memory: &BTreeMap<NodeId, u64>,
    ) {
        let sum = |of: fn(&Count) -> u32| {
            let nodes = placed.assignment.get(id).into_iter().flatten();
            nodes.map(|(_, count)| of(count)).sum::<u32>()
        };
        let (have, spare) = (sum(|count| count.workers), sum(|count| count.spare));
        let Some(unplaced) = placed.unplaced.get(id) else {
            assert_eq!((have, spare), (wants.workers, wants.spare), "{id:?}");
            return;
        };
        assert_eq!(have + unplaced.missing.workers, wants.workers, "{id:?}");
        assert_eq!(spare + unplaced.missing.spare, wants.spare, "{id:?}");
        assert!(unplaced.missing.total() > 0);
        assert!(have == wants.workers || spare == 0, "workers come first");
        for (node, facts) in self.nodes.iter().filter(|(_, node)| node.may_hold(wants)) {
            let used = memory.get(node).copied().unwrap_or(0);
            let full = facts.memory > 0 && facts.memory - used < wants.memory;
            assert!(full, "{id:?} fits on {node:?}");
            assert!(matches!(unplaced.why, Why::Memory { .. }));
        }
    }

    /// Processes of a program on a node.
    pub fn on(&self, name: &str, node: u32) -> u32 {
        let nodes = self.assignment.get(&job(name));
        let count = nodes.and_then(|nodes| nodes.get(&NodeId(node))).copied();
        count.unwrap_or_default().total()
    }

    /// Processes of all programs on a node.
    pub fn all_on(&self, node: NodeId) -> u32 {
        let counts = self
            .assignment
            .values()
            .filter_map(|nodes| nodes.get(&node));
        counts.map(|count| count.total()).sum()
    }

    /// Workers of a program by the value of a label of nodes in use, also where there are none.
    pub fn by_value(
        &self,
        id: &Job,
        label: &str,
        of: fn(&Count) -> u32,
    ) -> BTreeMap<Arc<str>, u32> {
        let mut values = BTreeMap::new();
        for (id_of_node, node) in self.nodes.iter().filter(|(_, node)| node.usable()) {
            let value = node.labels.get(label).cloned().unwrap_or_default();
            let count = self
                .assignment
                .get(id)
                .and_then(|nodes| nodes.get(id_of_node));
            *values.entry(value).or_default() += count.map_or(0, of);
        }
        values
    }
}
