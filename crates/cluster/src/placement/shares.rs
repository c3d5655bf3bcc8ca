//! What is to be placed: the versions that hard state wants to run, each with its part of the workers.

use super::Job;
use crate::hard::{Hard, Placement, ProgramRecord, Share};
use std::collections::BTreeMap;

/// The versions that hard state wants to run, with what placement needs to know of each. Workers
/// are divided by the shares, rounded up: at least one for a version that gets calls, and all
/// together at least as many as are wanted. A version of weight 0 warms up with one ready standby,
/// or has workers for the calls that are copied to it.
pub fn jobs_of(hard: &Hard) -> BTreeMap<Job, Placement> {
    let mut jobs = BTreeMap::new();
    for (name, program) in &hard.programs {
        for share in &program.shares {
            let Some(mut placement) = part(program, *share, &program.shares) else {
                continue;
            };
            let shadow = hard.shadows.get(name);
            if let Some(shadow) = shadow.filter(|shadow| shadow.version == share.version) {
                let version = program.version(share.version);
                let workers = version.map_or(0, |version| version.placement.workers);
                (placement.workers, placement.spare) = (shadow.workers(workers), 0);
            }
            jobs.insert((name.clone(), share.version), placement);
        }
    }
    jobs
}

/// What a version needs that has one of these shares; none if it is not kept.
pub fn part(program: &ProgramRecord, share: Share, shares: &[Share]) -> Option<Placement> {
    let placement = program.version(share.version)?.placement.clone();
    if share.weight == 0 {
        return Some(Placement {
            workers: 0,
            spare: 1,
            ..placement
        });
    }
    let all: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let part = |count: u32| {
        let part = (u64::from(count) * u64::from(share.weight)).div_ceil(all);
        u32::try_from(part).expect("a part is not more than the whole")
    };
    Some(Placement {
        workers: part(placement.workers),
        spare: part(placement.spare),
        ..placement
    })
}
