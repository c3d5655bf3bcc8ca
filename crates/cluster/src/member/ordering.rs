//! What the leader orders managers to run. Pure.
//!
//! A new leader takes over what managers report as their orders, so that a change of leaders moves
//! nothing. Orders are sent to those whose orders changed, and to all by a new leader. Their numbers
//! go on above those that managers report, for a leader that restarts may still lead in its term.

use super::message::{Order, Orders};
use crate::hard::Hard;
use crate::placement::{Assignment, Count, Job, Site, Unplaced, jobs_of, place};
use crate::soft::{OrderNumber, Soft};
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The assignment of one term, and what was sent of it.
#[derive(Debug)]
pub struct Ordering {
    number: OrderNumber,
    assignment: Assignment,
    unplaced: BTreeMap<Job, Unplaced>,
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
            assignment,
            unplaced: BTreeMap::new(),
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
    pub fn place(&mut self, hard: &Hard, soft: &Soft) -> Vec<(NodeId, Orders)> {
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
        let placed = place(&jobs_of(hard), &sites, &self.assignment);
        self.assignment = placed.assignment;
        self.unplaced = placed.unplaced;
        let up = sites.iter().filter(|(_, site)| site.up);
        self.orders(hard.revision, up.map(|(node, _)| *node))
    }

    fn orders(&mut self, revision: u64, up: impl Iterator<Item = NodeId>) -> Vec<(NodeId, Orders)> {
        let mut programs: BTreeMap<NodeId, Vec<Order>> = up.map(|node| (node, vec![])).collect();
        for ((program, version), nodes) in &self.assignment {
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
                revision,
                programs,
            };
            (node, orders)
        });
        orders.collect()
    }
}
