//! Third step of a placement: workers move, one at a time, while a move makes things more even.
//!
//! Three measures, in this order: how even the programs with a spread label are over its values; how
//! even they are over the nodes of a value; how even the load is over all nodes. Every move makes one
//! of them better and none before it worse, so that moving ends; and a move that would only swap
//! more with less is never made, so that nothing moves for nothing.

use super::fill::{cost, lowest};
use super::jobs::{JobState, Jobs};
use super::keep::{burden, highest};
use super::level::level;
use super::sites::Sites;

/// Whether anything moved.
pub fn balance(jobs: &mut Jobs<'_>, sites: &mut Sites<'_>) -> bool {
    let mut moved = false;
    for job in jobs.jobs.iter_mut().filter(|job| job.is_spread()) {
        moved |= spread(job, sites);
    }
    moved |= level(jobs, sites);
    for job in jobs.jobs.iter_mut().filter(|job| job.is_spread()) {
        while let Some((from, to)) = lighter(job, sites) {
            job.take(sites, from);
            job.put(sites, to, 1);
            moved = true;
        }
    }
    moved
}

/// Evens a program over the values of its label, then over the nodes of each value.
fn spread(job: &mut JobState<'_>, sites: &mut Sites<'_>) -> bool {
    let mut totals = job.group_totals();
    if is_even(job, &totals) {
        return false;
    }
    let mut low = lowest(job, sites, &totals);
    let mut high = highest(job, sites, &totals);
    let mut moved = false;
    for scope in std::iter::once(None).chain((0..job.groups).map(Some)) {
        loop {
            let (to, from) = match scope {
                None => (low.first(), high.first()),
                Some(group) => (low.first_in(group), high.first_in(group)),
            };
            let (Some(to), Some(from)) = (to, from) else {
                break;
            };
            let size = |site: usize| match scope {
                None => totals[job.group_of(site)],
                Some(_) => job.counts[site],
            };
            if size(from) <= size(to) + 1 {
                break;
            }
            job.take(sites, from);
            job.put(sites, to, 1);
            totals[job.group_of(from)] -= 1;
            totals[job.group_of(to)] += 1;
            for site in [from, to] {
                let group = job.group_of(site);
                low.update(site, group, totals[group], cost(job, sites, site));
                high.update(site, group, totals[group], burden(job, sites, site));
            }
            moved = true;
        }
    }
    moved
}

/// Whether no move can make a program more even over values or nodes.
fn is_even(job: &JobState<'_>, totals: &[u32]) -> bool {
    // The least and the greatest count of the sites of each group that may hold the job.
    let mut counts: Vec<Option<(u32, u32)>> = vec![None; job.groups];
    for (site, count) in job.counts.iter().enumerate() {
        if job.allowed[site] {
            let (least, greatest) = counts[job.group_of(site)].get_or_insert((*count, *count));
            *least = (*least).min(*count);
            *greatest = (*greatest).max(*count);
        }
    }
    let is_even_within = |range: &Option<(u32, u32)>| range.is_none_or(|(l, g)| g <= l + 1);
    let usable = || {
        counts
            .iter()
            .zip(totals)
            .filter(|(range, _)| range.is_some())
    };
    let least = usable().map(|(_, total)| *total).min().unwrap_or(0);
    let greatest = usable().map(|(_, total)| *total).max().unwrap_or(0);
    greatest <= least + 1 && counts.iter().all(is_even_within)
}

/// A move that makes the load more even, and a program with a spread no less even: from one of the
/// sites of a group that have most of it to one of that group that has less, or from a group that
/// has most of it to one that has one less.
fn lighter(job: &JobState<'_>, sites: &Sites<'_>) -> Option<(usize, usize)> {
    let totals = job.group_totals();
    let mut top = vec![0; job.groups];
    for (site, count) in job.counts.iter().enumerate() {
        let top = &mut top[job.group_of(site)];
        *top = (*top).max(*count);
    }
    let greatest = totals.iter().copied().max().unwrap_or(0);
    // By group: the fullest site with most of the job, the least full with less than most.
    let mut sources: Vec<Option<usize>> = vec![None; job.groups];
    let mut targets: Vec<Option<usize>> = vec![None; job.groups];
    for site in 0..sites.len() {
        let (group, count) = (job.group_of(site), job.counts[site]);
        if count > 0 && count == top[group] {
            let best = &mut sources[group];
            if best.is_none_or(|best| sites.load(site) > sites.load(best)) {
                *best = Some(site);
            }
        }
        // A group with one less than another may be even in itself, and take one from that.
        let is_less = count < top[group] || totals[group] + 1 == greatest;
        if is_less && cost(job, sites, site).is_some() {
            let best = &mut targets[group];
            let rank = |site: usize| (job.counts[site], sites.load_after(site));
            if best.is_none_or(|best| rank(site) < rank(best)) {
                *best = Some(site);
            }
        }
    }
    let helps = |from: usize, to: usize| {
        job.counts[to] < job.counts[from] && sites.load_after(to) < sites.load(from)
    };
    let fullest = |group: &usize| sources[*group].map(|site| sites.load(site));
    let from = (0..job.groups).filter(|group| totals[*group] == greatest);
    let from = from.max_by_key(fullest).and_then(|group| sources[group]);
    let across = targets.iter().enumerate().filter_map(|(group, to)| {
        let is_less = totals[group] + 1 == greatest;
        Some((from?, (*to).filter(|_| is_less)?))
    });
    let within = sources.iter().zip(&targets);
    let within = within.filter_map(|(from, to)| Some(((*from)?, (*to)?)));
    let moves = within.chain(across).filter(|(from, to)| helps(*from, *to));
    moves.min_by_key(|(_, to)| sites.load_after(*to))
}
