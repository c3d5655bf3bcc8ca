//! First step of a placement: what may stay stays, what is too much goes.

use super::Assignment;
use super::jobs::{JobState, Jobs};
use super::ranking::{End, Ranking};
use super::sites::Sites;

/// Takes over of the current assignment what its nodes may still hold, and drops what is beyond
/// what is wanted.
pub fn keep(jobs: &mut Jobs<'_>, sites: &mut Sites<'_>, current: &Assignment) {
    // If a node's memory does not suffice any more, spares go before workers of any program.
    for spares in [false, true] {
        for job in &mut jobs.jobs {
            for (node, count) in current.get(job.id).into_iter().flatten() {
                let Some(site) = sites.index_of(*node).filter(|site| job.allowed[*site]) else {
                    continue;
                };
                let kept = if spares { count.spare } else { count.workers };
                let kept = kept.min(sites.fits(site, job.wants.memory));
                job.put(sites, site, kept);
            }
        }
    }
    for job in &mut jobs.jobs {
        trim(job, sites);
    }
}

/// Drops what is beyond what is wanted, the fullest site first.
fn trim(job: &mut JobState<'_>, sites: &mut Sites<'_>) {
    if job.total <= job.wanted() {
        return;
    }
    let mut totals = job.group_totals();
    let mut highest = highest(job, sites, &totals);
    while job.total > job.wanted() {
        let site = highest.first().expect("a total above zero is somewhere");
        job.take(sites, site);
        let group = job.group_of(site);
        totals[group] -= 1;
        highest.update(site, group, totals[group], burden(job, sites, site));
    }
}

/// The sites that have a process of the job, the fullest first.
pub fn highest(job: &JobState<'_>, sites: &Sites<'_>, totals: &[u32]) -> Ranking {
    let ranked = (0..sites.len()).map(|site| (job.group_of(site), burden(job, sites, site)));
    Ranking::new(End::Highest, totals, ranked)
}

/// What a site is to be relieved of, if it has any.
pub fn burden(job: &JobState<'_>, sites: &Sites<'_>, site: usize) -> Option<(u64, u64)> {
    (job.counts[site] > 0).then(|| job.burden(sites, site))
}
