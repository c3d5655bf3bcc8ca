//! Make before break: a node gives up workers when others live in their place. Pure.
//!
//! Placement says who is to run what; `ordering` hands it here, and orders what comes of it. What a
//! node is to have more it gets at once. What it is to have less it keeps until the program's live
//! workers, all versions on all nodes that are up, are more than wanted: it gives up that surplus.
//! So a process may stand twice for a while, and count twice in memory.

use crate::hard::Placement;
use crate::placement::{Assignment, Count, Job};
use crate::soft::{Report, Soft};
use pool::{NodeId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a node keeps workers while none live in their place: twice the default time to start,
/// after which nothing is to be expected of the others.
pub const HOLD_MAX: Duration = Duration::from_secs(60);

/// What nodes are ordered until others have taken over.
#[derive(Debug, Default)]
pub struct Handover {
    /// What each node is to run for now. Without entries of zero.
    given: Assignment,
    /// Workers wanted of each program, all versions together.
    wanted: BTreeMap<Arc<str>, u32>,
    /// The versions that are wanted.
    jobs: BTreeSet<Job>,
    /// Nodes whose part of `given` is known.
    known: BTreeSet<NodeId>,
    /// Programs of which nodes keep more than they are to have, and since when none gave up any.
    held: BTreeMap<Arc<str>, Time>,
}

impl Handover {
    /// What each node is to run for now.
    pub fn given(&self) -> &Assignment {
        &self.given
    }

    /// Takes up what is wanted and who is up. A node that is new here keeps what it says it runs:
    /// an earlier leader ordered that, or this one before it lost sight of the node.
    pub fn place(&mut self, jobs: &BTreeMap<Job, &Placement>, up: &BTreeSet<NodeId>, soft: &Soft) {
        self.wanted.clear();
        for ((program, _), wants) in jobs {
            *self.wanted.entry(program.clone()).or_default() += wants.workers;
        }
        self.jobs = jobs.keys().cloned().collect();
        for nodes in self.given.values_mut() {
            nodes.retain(|node, _| up.contains(node));
        }
        let reports = soft.up().filter(|(node, ..)| up.contains(node));
        for (node, _, report) in reports.filter(|(node, ..)| !self.known.contains(node)) {
            for (job, program) in &report.programs {
                if program.wanted != Count::default() {
                    let nodes = self.given.entry(job.clone()).or_default();
                    nodes.insert(node, program.wanted);
                }
            }
        }
        self.known = up.clone();
    }

    /// Makes of an assignment what nodes are to run for now.
    pub fn all(&mut self, now: Time, assignment: &Assignment, soft: &Soft) {
        let programs = self.given.keys().chain(assignment.keys());
        let programs: BTreeSet<Arc<str>> = programs.map(|(program, _)| program.clone()).collect();
        self.held.retain(|program, _| programs.contains(program));
        for program in programs {
            self.program(now, &program, assignment, soft);
        }
    }

    /// The same for what is held back only. Whether something changed.
    pub fn again(&mut self, now: Time, assignment: &Assignment, soft: &Soft) -> bool {
        let held: Vec<Arc<str>> = self.held.keys().cloned().collect();
        let changed = held
            .iter()
            .map(|program| self.program(now, program, assignment, soft));
        changed.fold(false, |any, changed| any | changed)
    }

    fn program(
        &mut self,
        now: Time,
        program: &Arc<str>,
        assignment: &Assignment,
        soft: &Soft,
    ) -> bool {
        let versions = (program.clone(), 0)..=(program.clone(), u32::MAX);
        let is_as_it_is = self
            .given
            .range(versions.clone())
            .eq(assignment.range(versions.clone()));
        if is_as_it_is {
            self.held.remove(program);
            return false;
        }
        let before: Assignment = self.given.range(versions.clone()).map(cloned).collect();
        let mut next: Assignment = assignment.range(versions).map(cloned).collect();
        // What is removed needs nobody to take over.
        let wanted = self.wanted.get(program).copied();
        let live = before.iter().flat_map(|(job, nodes)| {
            let lives = |(node, count): (&NodeId, &Count)| live(soft, *node, job, *count);
            nodes.iter().map(lives)
        });
        let mut surplus =
            wanted.map_or(u32::MAX, |wanted| live.sum::<u32>().saturating_sub(wanted));
        let extras = self.extras(&before, &next, soft);
        if surplus == 0 && !extras.is_empty() {
            let since = *self.held.entry(program.clone()).or_insert(now);
            if now.since(since) >= HOLD_MAX {
                tracing::warn!(%program, "workers move though none live in their place");
                surplus = u32::MAX;
            }
        } else {
            self.held.insert(program.clone(), now);
        }
        let mut is_held = false;
        for (job, node, extra) in extras {
            let given_up = extra.min(surplus);
            surplus -= given_up;
            if extra > given_up {
                is_held = true;
                let count = next.entry(job).or_default().entry(node).or_default();
                count.workers += extra - given_up;
            }
        }
        if !is_held {
            self.held.remove(program);
        }
        let changed = next != before;
        for job in before.keys().filter(|job| !next.contains_key(job)) {
            self.given.remove(job);
        }
        self.given.extend(next);
        changed
    }

    /// Live workers beyond those that nodes are to have. Where a version that is not wanted any
    /// more makes room for one that was not there, the manager itself keeps the old workers until
    /// the new ones live.
    fn extras(
        &self,
        before: &Assignment,
        next: &Assignment,
        soft: &Soft,
    ) -> Vec<(Job, NodeId, u32)> {
        let mut renewed: BTreeMap<NodeId, u32> = BTreeMap::new();
        for (job, nodes) in next {
            for (node, count) in nodes {
                let is_new = before
                    .get(job)
                    .is_none_or(|nodes| !nodes.contains_key(node));
                if is_new {
                    *renewed.entry(*node).or_default() += count.workers;
                }
            }
        }
        let mut extras = Vec::new();
        for (job, nodes) in before {
            for (node, count) in nodes {
                let to_have = next.get(job).and_then(|nodes| nodes.get(node));
                let to_have = to_have.map_or(0, |count| count.workers);
                let mut extra = live(soft, *node, job, *count).saturating_sub(to_have);
                if !self.jobs.contains(job) {
                    let renewed = renewed.entry(*node).or_default();
                    let covered = extra.min(*renewed);
                    *renewed -= covered;
                    extra -= covered;
                }
                if extra > 0 {
                    extras.push((job.clone(), *node, extra));
                }
            }
        }
        extras
    }
}

fn cloned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

/// Workers of a node that live. Those beyond what it was ordered are about to end.
fn live(soft: &Soft, node: NodeId, job: &Job, ordered: Count) -> u32 {
    let report: Option<&Report> = soft
        .nodes()
        .get(&node)
        .and_then(|node| node.report.as_ref());
    let program = report.and_then(|report| report.programs.get(job));
    program.map_or(0, |program| program.live.min(ordered.workers))
}
