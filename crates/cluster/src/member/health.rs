//! What all members are to know of how programs are doing: dispatchers answer calls by it. Pure.

use crate::hard::Hard;
use crate::placement::Job;
use crate::soft::Soft;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How programs are doing, as a master hears it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Versions that crash time after time wherever they are ordered, without a live worker: nobody
    /// need wait for them.
    pub failing: BTreeSet<Job>,
    /// Live workers of the versions of programs that run more than one: calls are divided by them.
    pub live: BTreeMap<Job, u32>,
}

impl Health {
    /// Of what nodes report.
    pub fn of(hard: &Hard, soft: &Soft) -> Self {
        #[derive(Default)]
        struct Sum {
            ordered: u32,
            failing: u32,
            live: u32,
        }
        let mut sums: BTreeMap<&Job, Sum> = BTreeMap::new();
        for (job, report) in soft.up().flat_map(|(_, _, report)| &report.programs) {
            let sum = sums.entry(job).or_default();
            if report.wanted.total() > 0 {
                sum.ordered += 1;
                sum.failing += u32::from(report.failing > 0);
            }
            sum.live += report.live;
        }
        let mut versions: BTreeMap<&Arc<str>, u32> = BTreeMap::new();
        for (program, _) in sums.keys() {
            *versions.entry(program).or_default() += 1;
        }
        let mut health = Self::default();
        for (job, sum) in &sums {
            if sum.ordered > 0 && sum.failing == sum.ordered && sum.live == 0 {
                health.failing.insert((*job).clone());
            }
            let shares = hard.programs.get(&job.0).map_or(0, |p| p.shares.len());
            if shares > 1 || versions[&job.0] > 1 {
                health.live.insert((*job).clone(), sum.live);
            }
        }
        health
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::ordering::tests::{ProgramReports, World};
    use crate::soft::ProgramReport;

    fn reports(version: u32, live: u32, failing: u32) -> ProgramReports {
        let mut report = ProgramReport {
            live,
            failing,
            ..ProgramReport::default()
        };
        report.wanted.workers = 2;
        [(("p".into(), version), report)].into()
    }

    fn health(world: &World) -> Health {
        Health::of(&world.hard, &world.soft)
    }

    #[test]
    fn a_program_fails_if_it_does_wherever_it_is_ordered() {
        let mut world = World::of(2, 4);
        assert_eq!(health(&world), Health::default());
        world.report(1, reports(1, 0, 1));
        assert!(
            health(&world).failing.is_empty(),
            "the other node may do it"
        );
        world.report(2, reports(1, 0, 1));
        assert!(health(&world).failing.contains(&("p".into(), 1)));
        world.report(2, reports(1, 1, 0));
        assert!(health(&world).failing.is_empty());
    }

    #[test]
    fn workers_are_counted_while_there_are_two_versions() {
        let mut world = World::of(2, 4);
        world.report(1, reports(1, 2, 0));
        world.report(2, reports(1, 1, 0));
        assert!(health(&world).live.is_empty());
        world.report(2, reports(2, 1, 0));
        let live: Vec<u32> = health(&world).live.into_values().collect();
        assert_eq!(live, [2, 1]);
    }
}
