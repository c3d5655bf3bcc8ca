//! Last step of a placement: why something found no place, so that a user can do something.

use super::jobs::{JobState, can_run, has_labels};
use super::{Count, Site};
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What of a program found no place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unplaced {
    /// How many are missing.
    pub missing: Count,
    /// The reason.
    pub why: Why,
}

/// Why a worker finds no place. Displayed, it tells a user what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// No node has the role of a manager.
    NoManager,
    /// No node has this label with this value.
    NoLabel {
        /// The label's name.
        label: Arc<str>,
        /// The value asked for.
        value: Arc<str>,
    },
    /// Each label is somewhere, but no node has them all.
    NoLabels(Vec<(Arc<str>, Arc<str>)>),
    /// The nodes that could are down or draining.
    NotUp {
        /// Of those that could, how many are down.
        down: u32,
        /// And how many are draining.
        draining: u32,
    },
    /// No node that is up, and has the labels, can run the command.
    CannotRun(Arc<str>),
    /// The nodes that could are full.
    Memory {
        /// How many do not fit.
        missing: u32,
        /// Of how many.
        wanted: u32,
        /// Whether they are spares; otherwise workers.
        spare: bool,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManager => f.write_str("no node is a manager"),
            Self::NoLabel { label, value } => write!(f, "no node has label {label} = {value:?}"),
            Self::NoLabels(labels) => {
                f.write_str("no node has together the labels ")?;
                for (index, (label, value)) in labels.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{label} = {value:?}")?;
                }
                Ok(())
            }
            Self::NotUp { down, draining } => write!(
                f,
                "no node that could run it is up: {down} down, {draining} draining"
            ),
            Self::CannotRun(command) => write!(f, "none can run {command}"),
            Self::Memory {
                missing,
                wanted,
                spare,
            } => {
                let what = if *spare { "spare workers" } else { "workers" };
                write!(f, "memory: {missing} of {wanted} {what} do not fit")
            }
        }
    }
}

/// What of a job found no place, and why; none if all did.
pub fn why(
    job: &JobState<'_>,
    counts: &BTreeMap<NodeId, Count>,
    nodes: &BTreeMap<NodeId, Site<'_>>,
) -> Option<Unplaced> {
    if job.total >= job.wanted() {
        return None;
    }
    let placed = |of: fn(&Count) -> u32| counts.values().map(of).sum::<u32>();
    let missing = Count {
        workers: job.wants.workers - placed(|count| count.workers),
        spare: job.wants.spare - placed(|count| count.spare),
    };
    let why = if job.allowed.contains(&true) {
        full(job, missing)
    } else {
        nowhere(job, nodes)
    };
    Some(Unplaced { missing, why })
}

fn full(job: &JobState<'_>, missing: Count) -> Why {
    let spare = missing.workers == 0;
    let (missing, wanted) = if spare {
        (missing.spare, job.wants.spare)
    } else {
        (missing.workers, job.wants.workers)
    };
    Why::Memory {
        missing,
        wanted,
        spare,
    }
}

/// Why no node that is up may hold the job.
fn nowhere(job: &JobState<'_>, nodes: &BTreeMap<NodeId, Site<'_>>) -> Why {
    if nodes.is_empty() {
        return Why::NoManager;
    }
    let constraints = &job.wants.constraints;
    for (label, value) in constraints {
        let has = |site: &Site<'_>| site.labels.get(label) == Some(value);
        if !nodes.values().any(has) {
            return Why::NoLabel {
                label: label.clone(),
                value: value.clone(),
            };
        }
    }
    let labelled = || nodes.values().filter(|site| has_labels(site, constraints));
    if labelled().next().is_none() {
        let labels = constraints.iter();
        return Why::NoLabels(labels.map(|(l, v)| (l.clone(), v.clone())).collect());
    }
    let count = |test: fn(&Site<'_>) -> bool| {
        // What a node that is down can run is not known.
        let able = labelled().filter(|site| !site.up || can_run(site, &job.wants.command));
        able.filter(|site| test(site)).count() as u32
    };
    let down = count(|site| !site.up);
    let draining = count(|site| site.up && site.draining);
    let some_are_up = labelled().any(|site| site.up && !site.draining);
    if down + draining == 0 || some_are_up {
        return Why::CannotRun(job.wants.command.clone());
    }
    Why::NotUp { down, draining }
}
