//! Fourth step of a placement: which of a node's processes are workers, and which spares.
//!
//! Workers and spares of a program are placed alike, for a standby becomes a worker in place. The
//! spares are then taken from where there are most workers, which leaves the workers as even as the
//! whole was. Among equals a spare stays where it was.

use super::Count;
use super::jobs::JobState;
use super::ranking::{End, Key, Ranking};
use super::sites::{Load, Sites};
use pool::NodeId;
use std::collections::BTreeMap;

/// The job's processes by node.
pub fn split(
    job: &JobState<'_>,
    sites: &Sites<'_>,
    before: Option<&BTreeMap<NodeId, Count>>,
) -> BTreeMap<NodeId, Count> {
    let mut spare = vec![0; sites.len()];
    let spares = job.total.saturating_sub(job.wants.workers);
    if spares > 0 {
        let mut was = vec![0; sites.len()];
        for (node, count) in before.into_iter().flatten() {
            if let Some(site) = sites.index_of(*node) {
                was[site] = count.spare;
            }
        }
        choose(job, sites, spares, &was, &mut spare);
    }
    let held = (0..sites.len()).filter(|site| job.counts[*site] > 0);
    held.map(|site| {
        let count = Count {
            workers: job.counts[site] - spare[site],
            spare: spare[site],
        };
        (sites.ids[site], count)
    })
    .collect()
}

/// Makes `spares` of the job's processes spare.
fn choose(job: &JobState<'_>, sites: &Sites<'_>, spares: u32, was: &[u32], spare: &mut [u32]) {
    let key = |site: usize, spare: u32| -> Option<Key> {
        let workers = job.counts[site] - spare;
        let fullness = if job.is_spread() {
            u64::from(workers)
        } else {
            Load::of(workers, sites.cores(site)).0
        };
        (workers > 0).then(|| (fullness, u64::from(spare < was[site])))
    };
    let mut totals = job.group_totals();
    let ranked = (0..sites.len()).map(|site| (job.group_of(site), key(site, 0)));
    let mut highest = Ranking::new(End::Highest, &totals, ranked);
    for _ in 0..spares {
        let site = highest.first().expect("there are more than the spares");
        spare[site] += 1;
        let group = job.group_of(site);
        totals[group] -= 1;
        highest.update(site, group, totals[group], key(site, spare[site]));
    }
}
