//! Evens the load over all nodes, by moving workers of programs without a spread.
//!
//! Always from the fullest site to the least full one that can take something: the fullest becomes
//! less full than it was, and nobody as full. In a cluster that was even, all that moves therefore
//! moves to a newcomer.

use super::jobs::{Allowed, JobState, Jobs};
use super::sites::{Load, Sites};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whether anything moved.
pub fn level(jobs: &mut Jobs<'_>, sites: &mut Sites<'_>) -> bool {
    let fullest = (0..sites.len()).map(|site| sites.load(site)).max();
    let least = (0..sites.len()).map(|site| sites.load_after(site)).min();
    if fullest <= least {
        return false;
    }
    let mut level = Level::new(jobs, sites);
    let mut moved = false;
    while let Some((load, from)) = level.fullest.last().copied() {
        let firsts = level.classes.iter().map(Class::first);
        let firsts: Vec<Option<(Load, usize)>> = firsts.collect();
        if firsts.iter().flatten().all(|(least, _)| *least >= load) {
            break;
        }
        match level.move_from(from, &firsts, sites) {
            Some((index, to)) => {
                level.shift(jobs, sites, index, from, to);
                moved = true;
            }
            // Nothing here can go: it fills no gap as long as nobody makes room for it.
            None => drop(level.fullest.remove(&(load, from))),
        }
    }
    moved
}

/// Programs without a spread that may be at the same sites. Not divided by the room they need, for
/// every move has to be noted in every class.
struct Class {
    allowed: Allowed,
    /// Bytes that the smallest of them needs.
    memory: u64,
    /// The sites that can take one more of the smallest, the least full first.
    lowest: BTreeSet<(Load, usize)>,
}

impl Class {
    fn first(&self) -> Option<(Load, usize)> {
        self.lowest.first().copied()
    }

    fn leave(&mut self, sites: &Sites<'_>, site: usize) {
        self.lowest.remove(&(sites.load_after(site), site));
    }

    fn enter(&mut self, sites: &Sites<'_>, site: usize) {
        if self.allowed[site] && sites.has_room(site, self.memory) {
            self.lowest.insert((sites.load_after(site), site));
        }
    }
}

/// Orders moves, the best first: how full the target becomes, the target, how much more even the
/// program becomes.
type Rank = (Load, usize, Reverse<i64>);

/// A program that may move.
struct Movable {
    /// Index into [`Jobs::jobs`].
    job: usize,
    /// Index into [`Level::classes`].
    class: usize,
    memory: u64,
}

struct Level {
    classes: Vec<Class>,
    movable: Vec<Movable>,
    /// Their processes on each site, one row for each site: all that a move looks at lies together.
    rows: Vec<u32>,
    /// The sites that may be relieved, the fullest last.
    fullest: BTreeSet<(Load, usize)>,
}

impl Level {
    fn new(jobs: &Jobs<'_>, sites: &Sites<'_>) -> Self {
        let is_movable = |job: &JobState<'_>| !job.is_spread() && job.total > 0;
        let mut least: BTreeMap<usize, (u64, &Allowed)> = BTreeMap::new();
        for job in jobs.jobs.iter().filter(|job| is_movable(job)) {
            let (memory, _) = least
                .entry(job.place)
                .or_insert((job.wants.memory, &job.allowed));
            *memory = (*memory).min(job.wants.memory);
        }
        let movable = jobs.jobs.iter().enumerate();
        let movable = movable.filter(|(_, job)| is_movable(job));
        let movable: Vec<Movable> = movable
            .map(|(index, job)| Movable {
                job: index,
                class: least.range(..job.place).count(),
                memory: job.wants.memory,
            })
            .collect();
        let count = |site: usize, movable: &Movable| jobs.jobs[movable.job].counts[site];
        let rows = (0..sites.len()).flat_map(|site| movable.iter().map(move |m| count(site, m)));
        let rows = rows.collect();
        let classes = least.into_iter().map(|(place, (memory, allowed))| {
            let members = jobs.places[place].iter().copied();
            let members = members.filter(|site| sites.has_room(*site, memory));
            Class {
                allowed: Arc::clone(allowed),
                memory,
                lowest: members.map(|site| (sites.load_after(site), site)).collect(),
            }
        });
        Self {
            classes: classes.collect(),
            movable,
            rows,
            fullest: (0..sites.len())
                .map(|site| (sites.load(site), site))
                .collect(),
        }
    }

    fn row(&self, site: usize) -> &[u32] {
        let width = self.movable.len();
        &self.rows[site * width..(site + 1) * width]
    }

    /// Which program's worker is to leave a site, and where to; none if no move makes the load more
    /// even. Of equal targets, the program goes that becomes most even itself.
    fn move_from(
        &self,
        from: usize,
        firsts: &[Option<(Load, usize)>],
        sites: &Sites<'_>,
    ) -> Option<(usize, usize)> {
        let load = sites.load(from);
        let here = self.row(from);
        let mut best: Option<(Rank, usize)> = None;
        for (index, movable) in self.movable.iter().enumerate() {
            let first = firsts[movable.class].filter(|(after, _)| *after < load);
            let Some(mut target) = first.filter(|_| here[index] > 0) else {
                continue;
            };
            if !sites.has_room(target.1, movable.memory) {
                let lowest = self.classes[movable.class].lowest.iter();
                let mut less = lowest.take_while(|(after, _)| *after < load);
                let Some(found) = less.find(|(_, site)| sites.has_room(*site, movable.memory))
                else {
                    continue;
                };
                target = *found;
            }
            let (after, to) = target;
            let there = self.row(to)[index];
            let gain = i64::from(here[index]) * i64::from(sites.cores(to))
                - i64::from(there) * i64::from(sites.cores(from));
            let rank = (after, to, Reverse(gain));
            if best.is_none_or(|(best, _)| rank < best) {
                best = Some((rank, index));
            }
        }
        best.map(|((_, to, _), index)| (index, to))
    }

    /// Moves a worker of a movable program.
    fn shift(
        &mut self,
        jobs: &mut Jobs<'_>,
        sites: &mut Sites<'_>,
        index: usize,
        from: usize,
        to: usize,
    ) {
        for site in [from, to] {
            let classes = self.classes.iter_mut();
            classes.for_each(|class| class.leave(sites, site));
        }
        let to_may_be_relieved = self.fullest.remove(&(sites.load(to), to));
        self.fullest.remove(&(sites.load(from), from));
        let job = &mut jobs.jobs[self.movable[index].job];
        job.take(sites, from);
        job.put(sites, to, 1);
        let width = self.movable.len();
        self.rows[from * width + index] -= 1;
        self.rows[to * width + index] += 1;
        for site in [from, to] {
            let classes = self.classes.iter_mut();
            classes.for_each(|class| class.enter(sites, site));
        }
        self.fullest.insert((sites.load(from), from));
        if to_may_be_relieved {
            self.fullest.insert((sites.load(to), to));
        }
    }
}
