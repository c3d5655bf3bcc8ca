//! What the leader orders managers to run. Pure.
//!
//! `placement` says who is to run what, `handover` when a node may give up what it has for that.
//! A new leader takes over what managers report as their orders, so that a change of leaders moves
//! nothing. Orders are sent to those whose orders changed, and to all by a new leader. Their numbers
//! go on above those that managers report, for a leader that restarts may still lead in its term.

use super::handover::Handover;
use super::message::{Order, Orders};
use crate::hard::{Hard, Placement};
use crate::placement::{Assignment, Count, Job, Site, Unplaced, jobs_of, place};
use crate::soft::{OrderNumber, Soft};
use pool::{NodeId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The assignment of one term, and what was sent of it.
#[derive(Debug)]
pub struct Ordering {
    number: OrderNumber,
    /// The revision of hard state that was placed last.
    revision: u64,
    /// Who is to run what.
    assignment: Assignment,
    unplaced: BTreeMap<Job, Unplaced>,
    /// Who runs what until then.
    handover: Handover,
    /// Managers that are up.
    up: BTreeSet<NodeId>,
    sent: BTreeMap<NodeId, Vec<Order>>,
}

impl Ordering {
    /// Takes over the assignment that managers report.
    pub fn take_over(term: u64, soft: &Soft) -> Self {
        let mut assignment = Assignment::new();
        for (node, _, report) in soft.up() {
            for (job, program) in &report.programs {
                if program.wanted != Count::default() {
                    let nodes = assignment.entry(job.clone()).or_default();
                    nodes.insert(node, program.wanted);
                }
            }
        }
        Self {
            number: OrderNumber { term, sequence: 0 },
            revision: 0,
            assignment,
            unplaced: BTreeMap::new(),
            handover: Handover::default(),
            up: BTreeSet::new(),
            sent: BTreeMap::new(),
        }
    }

    /// The term of the leader that orders.
    pub fn term(&self) -> u64 {
        self.number.term
    }

    /// What found no place.
    pub fn unplaced(&self) -> &BTreeMap<Job, Unplaced> {
        &self.unplaced
    }

    /// A node that goes or comes back is sent its orders again.
    pub fn forget(&mut self, node: NodeId) {
        self.sent.remove(&node);
    }

    /// Places anew, and gives the orders to send.
    pub fn place(&mut self, now: Time, hard: &Hard, soft: &Soft) -> Vec<(NodeId, Orders)> {
        let nothing = BTreeSet::new();
        let managers = hard.nodes.iter();
        let managers = managers.filter(|(_, record)| record.roles.manager && !record.revoked);
        let sites = managers.map(|(id, record)| {
            let node = soft.nodes().get(id).filter(|node| node.is_up);
            let report = node.and_then(|node| node.report.as_ref());
            let capacity = report.map(|report| report.capacity).unwrap_or_default();
            let site = Site {
                labels: &record.labels,
                cores: capacity.cores,
                memory: capacity.memory,
                can_run: report.map_or(&nothing, |report| &report.can_run),
                up: report.is_some(),
                draining: record.draining,
            };
            (*id, site)
        });
        let sites: BTreeMap<NodeId, Site<'_>> = sites.collect();
        let known = soft.up().filter_map(|(_, _, report)| report.orders);
        let known = known.filter(|number| number.term == self.number.term);
        self.number = known.fold(self.number, OrderNumber::max);
        let jobs = jobs_of(hard);
        let jobs: BTreeMap<Job, &Placement> = jobs
            .iter()
            .map(|(job, wants)| (job.clone(), wants))
            .collect();
        self.inherit(&jobs);
        let placed = place(&jobs, &sites, &self.assignment);
        self.assignment = placed.assignment;
        self.unplaced = placed.unplaced;
        self.revision = hard.revision;
        let up = sites.iter().filter(|(_, site)| site.up);
        self.up = up.map(|(node, _)| *node).collect();
        self.handover.place(&jobs, &self.up, soft);
        self.handover.all(now, &self.assignment, soft);
        self.orders()
    }

    /// Lets nodes give up what others have taken over by now, and gives the orders to send. Wanted
    /// again and again, for it is reports that change it.
    pub fn hand_over(&mut self, now: Time, soft: &Soft) -> Vec<(NodeId, Orders)> {
        if self.handover.again(now, &self.assignment, soft) {
            self.orders()
        } else {
            Vec::new()
        }
    }

    /// A version that takes the place of another begins where that ran: there its manager renews
    /// the workers one after the other.
    fn inherit(&mut self, jobs: &BTreeMap<Job, &Placement>) {
        let gone: Vec<Job> = self.assignment.keys().cloned().collect();
        for old in gone.into_iter().filter(|job| !jobs.contains_key(job)) {
            let versions = jobs.range((old.0.clone(), 0)..=(old.0.clone(), u32::MAX));
            let mut new = versions.filter(|(job, _)| !self.assignment.contains_key(job));
            if let Some((new, _)) = new.next() {
                let nodes = self.assignment.remove(&old).expect("it is in the list");
                self.assignment.insert(new.clone(), nodes);
            }
        }
    }

    fn orders(&mut self) -> Vec<(NodeId, Orders)> {
        let up = self.up.iter();
        let mut programs: BTreeMap<NodeId, Vec<Order>> = up.map(|node| (*node, vec![])).collect();
        for ((program, version), nodes) in self.handover.given() {
            for (node, count) in nodes {
                let orders = programs.get_mut(node).expect("only who is up has workers");
                orders.push(Order {
                    program: program.clone(),
                    version: *version,
                    workers: count.workers,
                    spare: count.spare,
                });
            }
        }
        programs.retain(|node, orders| self.sent.get(node) != Some(orders));
        self.number.sequence += 1;
        self.sent.extend(programs.clone());
        let orders = programs.into_iter().map(|(node, programs)| {
            let orders = Orders {
                number: self.number,
                revision: self.revision,
                programs,
            };
            (node, orders)
        });
        orders.collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
