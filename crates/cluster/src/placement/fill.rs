//! Second step of a placement: what is missing finds a place, where there is one.

use super::jobs::{JobState, Jobs};
use super::ranking::{End, Ranking};
use super::sites::Sites;
use std::cmp::Reverse;

/// Places what is missing: the workers of all programs, and then their spares.
///
/// Programs that fit in few places come first, then those with a spread, then those whose workers are
/// large: what can go anywhere fills the gaps they leave.
pub fn fill(jobs: &mut Jobs<'_>, sites: &mut Sites<'_>) {
    let mut order: Vec<usize> = (0..jobs.jobs.len()).collect();
    order.sort_by_key(|index| {
        let job = &jobs.jobs[*index];
        let place = jobs.places[job.place].len();
        (place, !job.is_spread(), Reverse(job.wants.memory))
    });
    for index in &order {
        let job = &mut jobs.jobs[*index];
        fill_to(job, sites, job.wants.workers);
    }
    for index in &order {
        let job = &mut jobs.jobs[*index];
        fill_to(job, sites, job.wanted());
    }
}

fn fill_to(job: &mut JobState<'_>, sites: &mut Sites<'_>, wanted: u32) {
    if job.total >= wanted {
        return;
    }
    let mut totals = job.group_totals();
    let mut lowest = lowest(job, sites, &totals);
    while job.total < wanted {
        let Some(site) = lowest.first() else {
            return;
        };
        job.put(sites, site, 1);
        let group = job.group_of(site);
        totals[group] += 1;
        lowest.update(site, group, totals[group], cost(job, sites, site));
    }
}

/// The sites that can take a process of the job, the least full first.
pub fn lowest(job: &JobState<'_>, sites: &Sites<'_>, totals: &[u32]) -> Ranking {
    let ranked = (0..sites.len()).map(|site| (job.group_of(site), cost(job, sites, site)));
    Ranking::new(End::Lowest, totals, ranked)
}

/// What a site would be with one more, if it can take one.
pub fn cost(job: &JobState<'_>, sites: &Sites<'_>, site: usize) -> Option<(u64, u64)> {
    let can_take = job.allowed[site] && sites.has_room(site, job.wants.memory);
    can_take.then(|| job.cost(sites, site))
}
