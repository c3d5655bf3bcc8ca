//! The scenario `upgrade`: all nodes of a cluster are upgraded one after the other under load, from a
//! build that speaks link protocol 1 to this one.
//!
//! The old nodes are held back by their configuration, or run the program of `--old`, a real older
//! build. Each is stopped as an operator does it, and started again in the new build.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::load::{Failed, Load};
use super::node::Build;
use super::scenarios::{PATIENCE, RATE, close, shown};
use super::town::{FACEPLATES, KINDS, Town, WORKERS};
use super::trace::Trace;
use super::verdict::{Promise, Run};
use super::{Plan, first_call, rest};
use crate::tally::Outcome;

const MANAGERS: [&str; 4] = ["manager1", "manager2", "manager3", "manager4"];

/// Masters, the leader last.
const MASTERS: [&str; 3] = ["master2", "master3", "master1"];

/// What a node says that its cluster does not let in any more.
const REFUSED: &str = "no common version of the link protocol: this build speaks 1 to 1";

/// All nodes are upgraded, one after the other.
pub fn upgrade(plan: &Plan, seed: u64) -> Result<Run> {
    let new = Build::new(&plan.places.katamari);
    let old = match &plan.old {
        Some(old) => Build::new(old),
        None => new.clone().held_back(1),
    };
    let mut town = Town::start_in(&plan.places, "cluster.toml", &old)?;
    let before = town.level();
    ensure!(before == 1, "expected a cluster at 1, got {before}");
    let load = Load::start(&town.faceplates(), RATE, seed, 0);
    rest(plan.calm);
    // As the documentation says, or the other way round, for then new masters lead old nodes.
    let orders = [
        [&MANAGERS[..], &FACEPLATES, &MASTERS].concat(),
        [&MASTERS[..], &FACEPLATES, &MANAGERS].concat(),
    ];
    let order = if seed % 2 == 1 {
        &orders[0]
    } else {
        &orders[1]
    };
    let mut away = Vec::new();
    for &name in order {
        let stopped_at = Instant::now();
        replace(&mut town, name, &new)?;
        let http = town.node(name).http();
        let is_back = |town: &Town| {
            town.up().len() == KINDS.len()
                && town.leader().is_some()
                && town.live(&MANAGERS) >= WORKERS
                && (!FACEPLATES.contains(&name) || first_call(http))
        };
        let back = town.wait_for(PATIENCE, is_back);
        back.with_context(|| format!("{name} is not back in the cluster; {}", town.logs()))?;
        if let Some(index) = FACEPLATES.iter().position(|faceplate| *faceplate == name) {
            away.push((index, stopped_at..Instant::now()));
        }
    }
    let raised = town.wait_for(PATIENCE, |town| town.level() == 2);
    rest(plan.calm);
    let found = load.stop()?;
    let trace = Trace::read(&town.trace())?;
    let (turned_away, failed): (Vec<&Failed>, Vec<&Failed>) = found
        .failed
        .iter()
        .partition(|failed| was_turned_away(failed, &away, &trace));
    let refused = held_back(&mut town, &old)?;
    let mut run = Run {
        promises: vec![
            Promise::none("calls failed that were accepted", failed.len()),
            Promise::within("level 2, after the last node is back", 5.0, raised),
            Promise::within("an old node is told why it is not let in", 5.0, refused),
            Promise::shown(
                "calls that a stopped faceplate did not take",
                turned_away.len(),
            ),
        ],
        ..Run::default()
    };
    run.list(failed.into_iter().map(shown));
    close(&mut run, &found, &town)?;
    Ok(run)
}

/// Stops a node as an operator does, and starts it in another build.
fn replace(town: &mut Town, name: &str, build: &Build) -> Result<()> {
    let node = town.node_mut(name);
    node.terminate()?;
    node.take(build)?;
    node.start(&["up"])
}

/// Whether the faceplate of a call did not take it, for it was stopped: nobody listened, or it said
/// that it is about to end, and no worker has begun it.
fn was_turned_away(failed: &Failed, away: &[(usize, Range<Instant>)], trace: &Trace) -> bool {
    let is_away = |(index, time): &(usize, Range<Instant>)| {
        failed.loop_number() == *index && failed.made_at < time.end && failed.ended_at > time.start
    };
    matches!(failed.outcome, Outcome::Refused | Outcome::Broken)
        && away.iter().any(is_away)
        && !trace.began_elsewhere(&[], failed.number)
}

/// How long it takes until an old node that comes back knows why nobody lets it in.
fn held_back(town: &mut Town, old: &Build) -> Result<Option<std::time::Duration>> {
    const LATE: &str = "manager4";
    replace(town, LATE, old)?;
    Ok(town.wait_for(PATIENCE, |town| {
        town.node(LATE).log().contains(REFUSED) && !town.up().iter().any(|name| name == LATE)
    }))
}
