//! The programs to place, while a placement is made: where each may be, and how many are where.

use super::sites::{Load, Sites};
use super::{Job, Site};
use crate::hard::{Labels, Placement};
use pool::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether each site may hold a job.
pub type Allowed = Arc<[bool]>;

/// The group of each site.
pub type Groups = Arc<[u32]>;

/// All programs, with what they share.
#[derive(Debug)]
pub struct Jobs<'a> {
    /// In the order of their names and versions.
    pub jobs: Vec<JobState<'a>>,
    /// Sets of sites that may hold a job, each once, with the members in ascending order.
    pub places: Vec<Vec<usize>>,
}

/// One program and version.
#[derive(Debug)]
pub struct JobState<'a> {
    /// Which one.
    pub id: &'a Job,
    /// What is wanted.
    pub wants: &'a Placement,
    /// Index into [`Jobs::places`].
    pub place: usize,
    /// Which sites may hold it.
    pub allowed: Allowed,
    /// The group of each site: the index of its value of the spread label, the last one for sites
    /// without the label. All zero without a spread.
    pub group: Groups,
    /// How many groups there are.
    pub groups: usize,
    /// Processes on each site, spares included.
    pub counts: Vec<u32>,
    /// The sum of them.
    pub total: u32,
}

impl<'a> Jobs<'a> {
    pub fn new(
        programs: &'a BTreeMap<Job, &'a Placement>,
        nodes: &'a BTreeMap<NodeId, Site<'a>>,
        sites: &Sites<'_>,
    ) -> Self {
        let mut places: Vec<Vec<usize>> = Vec::new();
        let mut place_of_set: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        // Programs that ask for the same are looked at once.
        let mut allowed_by: BTreeMap<(&Labels, &str), (Allowed, usize)> = BTreeMap::new();
        let mut groups_by: BTreeMap<Option<&str>, (Groups, usize)> = BTreeMap::new();
        let mut jobs = Vec::with_capacity(programs.len());
        for (id, wants) in programs {
            let asks = (&wants.constraints, &*wants.command);
            let (allowed, place) = allowed_by.entry(asks).or_insert_with(|| {
                let allowed: Vec<bool> = sites.facts.iter().map(|s| may_hold(s, wants)).collect();
                let set: Vec<usize> = (0..sites.len()).filter(|site| allowed[*site]).collect();
                let place = *place_of_set.entry(set.clone()).or_insert_with(|| {
                    places.push(set);
                    places.len() - 1
                });
                (allowed.into(), place)
            });
            let spread = wants.spread.as_deref();
            let (group, groups) = groups_by
                .entry(spread)
                .or_insert_with(|| groups_of(spread, nodes, sites));
            jobs.push(JobState {
                id,
                wants,
                place: *place,
                allowed: allowed.clone(),
                group: group.clone(),
                groups: *groups,
                counts: vec![0; sites.len()],
                total: 0,
            });
        }
        Self { jobs, places }
    }
}

impl JobState<'_> {
    /// Workers and spares wanted.
    pub fn wanted(&self) -> u32 {
        self.wants.workers.saturating_add(self.wants.spare)
    }

    /// The group of a site.
    pub fn group_of(&self, site: usize) -> usize {
        self.group[site] as usize
    }

    /// Whether it is to be even over the values of a label.
    pub fn is_spread(&self) -> bool {
        self.wants.spread.is_some()
    }

    /// Puts `processes` on a site that has room for them.
    pub fn put(&mut self, sites: &mut Sites<'_>, site: usize, processes: u32) {
        sites.take(site, processes, self.wants.memory);
        self.counts[site] += processes;
        self.total += processes;
    }

    /// Takes one from a site that has one.
    pub fn take(&mut self, sites: &mut Sites<'_>, site: usize) {
        sites.give(site, self.wants.memory);
        self.counts[site] -= 1;
        self.total -= 1;
    }

    /// How much a site is to be avoided for one process more: the least is the best. With a spread
    /// the program's own count comes before the site's load, so that a value's nodes are even, too.
    pub fn cost(&self, sites: &Sites<'_>, site: usize) -> (u64, u64) {
        self.order(self.counts[site], sites.load_after(site))
    }

    /// How much a site is to be relieved of one process: the greatest comes first.
    pub fn burden(&self, sites: &Sites<'_>, site: usize) -> (u64, u64) {
        self.order(self.counts[site], sites.load(site))
    }

    fn order(&self, count: u32, load: Load) -> (u64, u64) {
        if self.is_spread() {
            (u64::from(count), load.0)
        } else {
            (load.0, u64::from(count))
        }
    }

    /// Processes in each group.
    pub fn group_totals(&self) -> Vec<u32> {
        let mut totals = vec![0; self.groups];
        for (site, count) in self.counts.iter().enumerate() {
            totals[self.group_of(site)] += count;
        }
        totals
    }
}

/// Whether a node satisfies what a program asks for, memory apart.
pub fn may_hold(site: &Site<'_>, wants: &Placement) -> bool {
    has_labels(site, &wants.constraints) && can_run(site, &wants.command)
}

/// Whether it has each of these labels with this value.
pub fn has_labels(site: &Site<'_>, constraints: &Labels) -> bool {
    let mut constraints = constraints.iter();
    constraints.all(|(label, value)| site.labels.get(label) == Some(value))
}

/// Whether it can run a command; shipped files, which are `""`, run everywhere.
pub fn can_run(site: &Site<'_>, command: &str) -> bool {
    command.is_empty() || site.can_run.contains(command)
}

/// The group of each site, and how many groups there are. Nodes that are down count for the
/// numbering only.
fn groups_of(
    spread: Option<&str>,
    nodes: &BTreeMap<NodeId, Site<'_>>,
    sites: &Sites<'_>,
) -> (Groups, usize) {
    let Some(label) = spread else {
        return (vec![0; sites.len()].into(), 1);
    };
    let mut values: Vec<&str> = nodes
        .values()
        .filter_map(|site| site.labels.get(label).map(|value| &**value))
        .collect();
    values.sort_unstable();
    values.dedup();
    let group_of = |site: &Site<'_>| match site.labels.get(label) {
        Some(value) => values.partition_point(|known| *known < &**value),
        None => values.len(),
    };
    let groups = sites.facts.iter().map(|site| group_of(site) as u32);
    (groups.collect(), values.len() + 1)
}
