//! The scenarios: what befalls the cluster under load, and what is promised then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load::{AGAIN, Failed, Found, Load, ONCE, Rate};
use super::node::{Fault, Kind};
use super::town::{KINDS, Town, WORKERS};
use super::trace::Trace;
use super::verdict::{Promise, Run};
use super::{Plan, rest};
use crate::tally::Outcome;

/// Most calls are short and may be made twice; a few are long and may not, so that on each node some
/// run at any time.
pub const RATE: Rate = Rate {
    calls_per_s: 250.0,
    once: 0.16,
    run_ms: [5, 200],
};

/// Each ten calls cost the start of a Python process here.
const DEPLOY_RATE: Rate = Rate {
    calls_per_s: 50.0,
    once: 0.5,
    run_ms: [5, 5],
};

/// How long is waited for what should take two seconds.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The leader is killed, and comes back.
pub fn leader(plan: &Plan, seed: u64) -> Result<Run> {
    let mut town = Town::start(&plan.places, "cluster.toml")?;
    let load = Load::start(&town.faceplates(), RATE, seed, 0);
    rest(plan.calm);
    let first = town.leader().context("the masters agree on no leader")?;
    town.node_mut(first).strike(Fault::Kill)?;
    let elected = town.wait_for(PATIENCE, |town| town.leader().is_some());
    rest(plan.calm);
    town.node_mut(first).heal()?;
    let returned = town.wait_for(PATIENCE, |town| town.leader() == Some(first));
    rest(plan.calm);
    let found = load.stop()?;
    let mut run = Run {
        promises: vec![
            Promise::none("calls failed", found.failed.len()),
            Promise::within("a new leader, after the kill", 1.0, elected),
            Promise::within("the primary leads again, after its start", 15.0, returned),
        ],
        ..Run::default()
    };
    run.list(found.failed.iter().map(shown));
    close(&mut run, &found, &town)?;
    Ok(run)
}

/// All masters are killed, and come back.
pub fn masters(plan: &Plan, seed: u64) -> Result<Run> {
    const MASTERS: [&str; 3] = ["master1", "master2", "master3"];
    let mut town = Town::start(&plan.places, "cluster.toml")?;
    let load = Load::start(&town.faceplates(), RATE, seed, 0);
    rest(plan.calm);
    for name in MASTERS {
        town.node_mut(name).strike(Fault::Kill)?;
    }
    rest(plan.calm);
    let managers = ["manager1", "manager2", "manager3", "manager4"];
    let missing = WORKERS.saturating_sub(town.live(&managers));
    for name in MASTERS {
        town.node_mut(name).heal()?;
    }
    let elected = town.wait_for(PATIENCE, |town| town.leader().is_some());
    let whole = town.wait_for(PATIENCE, |town| {
        town.up().len() == KINDS.len() && town.is_whole()
    });
    rest(plan.calm);
    let found = load.stop()?;
    let missing = usize::try_from(missing).context("there are few workers")?;
    let mut run = Run {
        promises: vec![
            Promise::none("calls failed", found.failed.len()),
            Promise::none("workers missing while there was no master", missing),
            Promise::within("a leader, after their start", 5.0, elected),
            Promise::within("that sees all nodes and all workers", 5.0, whole),
        ],
        ..Run::default()
    };
    run.list(found.failed.iter().map(shown));
    close(&mut run, &found, &town)?;
    Ok(run)
}

/// A node with workers is killed, and comes back.
pub fn manager(plan: &Plan, seed: u64) -> Result<Run> {
    let mut town = Town::start(&plan.places, "cluster.toml")?;
    let load = Load::start(&town.faceplates(), RATE, seed, 0);
    rest(plan.calm);
    let killed_at = Instant::now();
    town.node_mut("manager1").strike(Fault::Kill)?;
    let rest_of_them = ["manager2", "manager3", "manager4"];
    let whole = town.wait_for(PATIENCE, |town| town.live(&rest_of_them) >= WORKERS);
    rest(plan.calm);
    let healed_at = Instant::now();
    town.node_mut("manager1").heal()?;
    let back = town.wait_for(PATIENCE, Town::is_whole);
    rest(plan.calm);
    let found = load.stop()?;
    let lost = Lost::of(&found, &town, &["manager1"], killed_at..healed_at)?;
    let mut run = Run {
        promises: vec![
            Promise::none("idempotent calls failed", lost.again),
            Promise::none("others failed that did not run there", lost.elsewhere),
            Promise::none("failed without the name of the lost node", lost.nameless),
            Promise::within(
                "the last of them was told, after the kill",
                1.0,
                Some(lost.told),
            ),
            Promise::within("all workers elsewhere, after the kill", 2.0, whole),
            Promise::within("spread over all nodes, after the return", 10.0, back),
            Promise::shown("others failed that ran there", lost.once),
            Promise::shown("begun and not ended there", lost.unfinished),
        ],
        ..Run::default()
    };
    run.list(found.failed.iter().map(shown));
    close(&mut run, &found, &town)?;
    Ok(run)
}

/// A rack with half of the workers is cut off, and connected again.
pub fn rack(plan: &Plan, seed: u64) -> Result<Run> {
    let mut town = Town::start(&plan.places, "cluster.toml")?;
    let load = Load::start(&town.faceplates(), RATE, seed, 0);
    rest(plan.calm);
    let (cut, left) = (["manager3", "manager4"], ["manager1", "manager2"]);
    let cut_at = Instant::now();
    for name in cut {
        town.node_mut(name).strike(Fault::Cut)?;
    }
    let whole = town.wait_for(PATIENCE, |town| town.live(&left) >= WORKERS);
    rest(plan.calm);
    let healed_at = Instant::now();
    for name in cut {
        town.node_mut(name).heal()?;
    }
    let up = town.wait_for(PATIENCE, |town| town.up().len() == KINDS.len());
    let back = town.wait_for(PATIENCE, Town::is_whole);
    rest(plan.calm);
    let found = load.stop()?;
    let lost = Lost::of(&found, &town, &cut, cut_at..healed_at)?;
    let mut run = Run {
        promises: vec![
            Promise::none("idempotent calls failed", lost.again),
            Promise::none("others failed that did not run there", lost.elsewhere),
            Promise::none("failed without the name of a lost node", lost.nameless),
            Promise::within(
                "the last of them was told, after the cut",
                2.0,
                Some(lost.told),
            ),
            Promise::within("all workers in the other rack, after the cut", 4.0, whole),
            Promise::within("all nodes up, after the cut ends", 5.0, up),
            Promise::within("and spread over both racks", 10.0, back),
            Promise::shown("others failed that ran there", lost.once),
        ],
        ..Run::default()
    };
    run.list(found.failed.iter().map(shown));
    close(&mut run, &found, &town)?;
    Ok(run)
}

/// A new version while each worker lives for ten calls.
pub fn deploy(plan: &Plan, seed: u64) -> Result<Run> {
    let town = Town::start(&plan.places, "cluster-deploy.toml")?;
    let load = Load::start(&town.faceplates(), DEPLOY_RATE, seed, 0);
    rest(plan.calm);
    let managers = ["manager1", "manager2", "manager3", "manager4"];
    let mut rolled_out = None;
    for version in 2..2 + plan.deploys {
        let applied_at = Instant::now();
        town.apply("cluster-deploy.toml", version)?;
        let all_new = BTreeMap::from([(u64::from(version), WORKERS)]);
        let is_new = town.wait_for(PATIENCE, |town| town.live_by_version(&managers) == all_new);
        rolled_out = is_new.map(|_| applied_at.elapsed());
        rest(plan.calm);
    }
    let found = load.stop()?;
    let mut run = Run {
        promises: vec![
            Promise::none("calls failed", found.failed.len()),
            Promise::within(
                "all workers are new, after the last apply",
                30.0,
                rolled_out,
            ),
        ],
        ..Run::default()
    };
    run.list(found.failed.iter().map(shown));
    close(&mut run, &found, &town)?;
    Ok(run)
}

/// A machine joins.
pub fn join(plan: &Plan, seed: u64) -> Result<Run> {
    const FRESH: Kind = Kind {
        name: "fresh",
        roles: "\"manager\", \"faceplate\"",
        rack: "r1",
    };
    let mut town = Town::start(&plan.places, "cluster.toml")?;
    let load = Load::start(&town.faceplates(), RATE, seed, 0);
    rest(plan.calm);
    town.found(FRESH)?;
    town.join(FRESH.name)?;
    let http = town.node(FRESH.name).http();
    let served = town.wait_for(PATIENCE, |_| super::first_call(http));
    let start = Instant::now();
    let worked = town.wait_for(PATIENCE, |town| town.live(&[FRESH.name]) > 0);
    let since_join = served.unwrap_or_default() + start.elapsed();
    let worked = worked.map(|_| since_join);
    rest(plan.calm);
    let found = load.stop()?;
    ensure!(!town.node_mut(FRESH.name).has_ended(), town.logs());
    let mut run = Run {
        promises: vec![
            Promise::none("calls failed elsewhere", found.failed.len()),
            Promise::within("first call answered by it, after the command", 2.0, served),
            Promise::within("first worker of its own, after the command", 5.0, worked),
        ],
        ..Run::default()
    };
    run.list(found.failed.iter().map(shown));
    close(&mut run, &found, &town)?;
    Ok(run)
}

/// Calls that a loss of nodes failed.
struct Lost {
    /// Idempotent ones.
    again: usize,
    /// Others that ran on the lost nodes, or were on the way.
    once: usize,
    /// Others that began on another node, or were made or ended when nothing was wrong.
    elsewhere: usize,
    /// Others whose error names no lost node.
    nameless: usize,
    /// What the lost nodes had begun and not ended.
    unfinished: usize,
    /// From the loss until the last of the others was told.
    told: Duration,
}

impl Lost {
    fn of(
        found: &Found,
        town: &Town,
        names: &[&str],
        lost: std::ops::Range<Instant>,
    ) -> Result<Self> {
        let trace = Trace::read(&town.trace())?;
        let inodes = names.iter().map(|name| town.node(name).port.inode());
        let inodes = inodes.collect::<Result<Vec<u64>>>()?;
        let once: Vec<&Failed> = found.failed.iter().filter(|f| f.request == ONCE).collect();
        let is_elsewhere = |failed: &Failed| {
            let in_time = failed.made_at < lost.end && failed.ended_at > lost.start;
            !in_time || trace.began_elsewhere(&inodes, failed.number)
        };
        let is_nameless = |failed: &Failed| {
            let (code, detail) = failed.problem();
            code != "worker_lost" || !names.iter().any(|name| detail.contains(name))
        };
        let told = once.iter().map(|failed| failed.ended_at).max();
        Ok(Self {
            again: found.failed.len() - once.len(),
            elsewhere: once.iter().filter(|failed| is_elsewhere(failed)).count(),
            nameless: once.iter().filter(|failed| is_nameless(failed)).count(),
            once: once.iter().filter(|failed| !is_elsewhere(failed)).count(),
            unfinished: trace.unfinished(&inodes),
            told: told.map_or(Duration::ZERO, |told| {
                told.saturating_duration_since(lost.start)
            }),
        })
    }
}

/// What every scenario promises and shows.
pub fn close(run: &mut Run, found: &Found, town: &Town) -> Result<()> {
    let twice = Trace::read(&town.trace())?.twice();
    let wrong = found
        .tallies
        .iter()
        .map(|tally| tally.count(Outcome::Wrong));
    let wrong = usize::try_from(wrong.sum::<u64>()).context("so many were not made")?;
    run.promises.push(Promise::none(
        "calls that ran twice and must not",
        twice.len(),
    ));
    run.promises
        .push(Promise::none("answers of another call", wrong));
    let answered = |tally: &crate::tally::Tally| tally.count(Outcome::Answered) + tally.lost();
    run.calls = found.tallies.iter().map(answered).sum();
    for (name, index) in [("p99 of idempotent calls", AGAIN), ("longest", AGAIN)] {
        let quantile = if name == "longest" { 1.0 } else { 0.99 };
        let ms = found.tallies[index].quantile_ms(Outcome::Answered, quantile);
        let took = Duration::from_secs_f64((ms / 1e3).max(0.0));
        run.promises.push(Promise {
            bound: None,
            ..Promise::within(name, 0.0, Some(took))
        });
    }
    Ok(())
}

/// A failed call in one line.
pub fn shown(failed: &Failed) -> String {
    let (code, detail) = failed.problem();
    let function = super::load::FUNCTIONS[failed.request];
    let took = failed.ended_at.saturating_duration_since(failed.made_at);
    format!(
        "{function} {:08}: {:?} after {:.3} s, {code}: {detail}",
        failed.number,
        failed.outcome,
        took.as_secs_f64()
    )
}
