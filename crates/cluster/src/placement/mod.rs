//! Which node runs how many workers of which program. Pure.
//!
//! The leader calls [`place`] with what hard state wants, what soft state knows of the nodes, and
//! the assignment as it is; it gets the assignment as it should be. The steps, one file each:
//!
//! 1. `keep`: what is assigned stays if its node may still hold it; surplus goes, the fullest node
//!    first.
//! 2. `fill`: what is missing goes where it makes the least load; workers of all programs come
//!    before spares.
//! 3. `balance`: workers move while one move makes the nodes more even; programs with a spread
//!    label first become even over its values, then `level` evens the load.
//! 4. `split`: a node's workers of a program are divided into workers and spares.
//! 5. `why`: what found no place, and the reason.
//!
//! Fullness is processes per core; `ranking` finds the fullest and the least full node, `sites`
//! holds what is known of nodes while a placement is made, `jobs` what is known of programs; `shares`
//! says what is to be placed at all.
//! docs/decisions/0014-placement.md says what was weighed.

mod balance;
mod fill;
mod jobs;
mod keep;
mod level;
mod ranking;
mod shares;
mod sites;
mod split;
mod why;

pub use shares::jobs_of;
pub(crate) use shares::part as shares_part;
pub use why::{Unplaced, Why};

use crate::hard::{Labels, Placement};
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One version of a program: its name and the version's number. Placed by itself, so that two
/// versions run side by side during a roll-out.
pub type Job = (Arc<str>, u32);

/// How many processes of a program a node is to run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Count {
    /// Workers that take calls.
    pub workers: u32,
    /// Ready standbys beside them.
    pub spare: u32,
}

impl Count {
    /// Workers and spares together: both are processes and take memory.
    pub fn total(self) -> u32 {
        self.workers.saturating_add(self.spare)
    }
}

/// Who runs what. Without entries of zero.
pub type Assignment = BTreeMap<Job, BTreeMap<NodeId, Count>>;

/// What placement knows of a node that has the role of a manager. Revoked nodes are left out.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Its cores; 0 counts as one.
    pub cores: u32,
    /// Bytes of memory for workers; 0 if unknown, which is no limit.
    pub memory: u64,
    /// The commands it can run.
    pub can_run: &'a BTreeSet<Arc<str>>,
    /// Whether it is alive.
    pub up: bool,
    /// Whether it is to lose its workers.
    pub draining: bool,
}

/// What comes of a placement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placed {
    /// The new assignment.
    pub assignment: Assignment,
    /// What found no place.
    pub unplaced: BTreeMap<Job, Unplaced>,
}

/// Makes the next assignment from the current one, moving as few workers as it can.
///
/// Constraints and memory are never broken. A worker moves only if its node may not hold it any
/// more, or if its move alone makes the nodes more even; so a second call moves nothing. The result
/// depends on nothing but the arguments.
pub fn place(
    programs: &BTreeMap<Job, &Placement>,
    nodes: &BTreeMap<NodeId, Site<'_>>,
    current: &Assignment,
) -> Placed {
    let mut sites = sites::Sites::new(nodes);
    let mut jobs = jobs::Jobs::new(programs, nodes, &sites);
    keep::keep(&mut jobs, &mut sites, current);
    // Moves may make room for what found none, and new workers may make nodes uneven. Each round
    // places more or makes the nodes more even, so there is a last one.
    loop {
        fill::fill(&mut jobs, &mut sites);
        if !balance::balance(&mut jobs, &mut sites) {
            break;
        }
    }
    let mut placed = Placed::default();
    for job in &jobs.jobs {
        let counts = split::split(job, &sites, current.get(job.id));
        if let Some(unplaced) = why::why(job, &counts, nodes) {
            placed.unplaced.insert(job.id.clone(), unplaced);
        }
        if !counts.is_empty() {
            placed.assignment.insert(job.id.clone(), counts);
        }
    }
    placed
}
