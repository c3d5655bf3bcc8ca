//! How a new version takes over: in steps, each watched, and back if it is worse. Pure.
//!
//! Run by the leader alone. [`Rollouts::look`] takes the time, hard state and what nodes report, and
//! gives the changes to propose. The shares in hard state are the progress, so a new leader goes on
//! with the step that its predecessor made; it only watches anew. What nobody can lose by waiting is
//! waited for: a step comes when the workers of the one before live. A version that only shadows is
//! left alone, unless its workers don't start.
//! docs/decisions/0017-rollouts.md says what was weighed.

mod watch;

#[cfg(test)]
mod tests;

use crate::hard::limits::WHY_BYTES_MAX;
use crate::hard::{Change, Hard, ProgramRecord, Rollout, Share};
use crate::placement::shares_part;
use crate::soft::Soft;
use pool::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use watch::{Sum, Watch};

/// The new version's weight, in percent, step by step, after one warm worker: so few calls that a
/// bad version hurts few, then as many as show how it bears load, then all.
const STEPS: [u32; 3] = [10, 50, 100];
/// How long a step is watched if few calls come: a roll-out at night ends, too.
const WATCH: Duration = Duration::from_secs(2);
/// How long it is watched at least: reports come each 250 ms, so two have been heard.
const WATCH_MIN: Duration = Duration::from_millis(500);
/// Calls of the new version that end a step's watch before its time, and without which nothing is
/// said of its errors: of fewer, one more error would be more than the tolerance.
const CALLS_ENOUGH: u64 = 20;
/// Errors without which nothing is said either: one or two are chance.
const ERRORS_MIN: u64 = 3;
/// How much greater, in percent of the calls, the new version's share of errors may be than the old
/// one's: beyond chance for some hundred calls, and small enough to notice what users would.
const TOLERANCE_PERCENT: u64 = 5;
/// Workers that may fail before the first is ready.
const START_FAILURES_MAX: u64 = 3;
/// How long the workers of a step may take until they live, ten times the default time to start:
/// longer than a model takes to load.
const STEP_MAX: Duration = Duration::from_secs(300);
/// After how long a change is proposed again that did not come to be.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// All roll-outs under way, as their leader watches them.
#[derive(Debug, Default)]
pub struct Rollouts {
    /// By program, and whether the new version only shadows: what it does then says nothing of the
    /// steps that follow.
    watched: BTreeMap<(Arc<str>, bool), Watch>,
}

impl Rollouts {
    /// What to change now. Wanted again and again while there are roll-outs.
    pub fn look(&mut self, now: Time, hard: &Hard, soft: &Soft) -> Vec<Change> {
        let rolled_out = |name: &Arc<str>| {
            let record = hard.programs.get(name);
            record.is_some_and(|record| record.rollout.is_some())
        };
        let shadows = |name: &Arc<str>| hard.shadows.contains_key(name);
        self.watched
            .retain(|(name, shadowed), _| rolled_out(name) && shadows(name) == *shadowed);
        let mut changes = Vec::new();
        for (name, record) in &hard.programs {
            let Some(rollout) = record.rollout else {
                continue;
            };
            let weight = weight_of(record, rollout.to);
            let watch = self.watched.entry((name.clone(), shadows(name)));
            let watch = watch.or_insert_with(|| Watch::new(now, rollout.to, weight));
            watch.follow(now, rollout.to, weight);
            let old = watch.sum(soft, name, rollout.from);
            let new = watch.sum(soft, name, rollout.to);
            let change = if let Some(why) = why_unfit(record, rollout, watch, now, &new) {
                Some(back(name, rollout, why))
            } else if shadows(name) {
                // Its answers are compared, and somebody looks at that and decides.
                if is_in_place(record, rollout.to, &new) {
                    watch.placed.get_or_insert((now, new.calls));
                }
                None
            } else if let Some(why) = why_worse(rollout, &old, &new) {
                Some(back(name, rollout, why))
            } else {
                forth(now, name, record, rollout, watch, &new)
            };
            if let Some(change) = change
                && watch.may_ask(now, ASK_AGAIN)
            {
                changes.push(change);
            }
        }
        changes
    }
}

/// A version's weight in percent; 100 if it runs alone.
fn weight_of(record: &ProgramRecord, version: u32) -> u32 {
    let all: u32 = record.shares.iter().map(|share| share.weight).sum();
    let share = record.shares.iter().find(|share| share.version == version);
    share.map_or(0, |share| share.weight * 100 / all.max(1))
}

/// Why the new version is to be taken back for its workers, if it is.
fn why_unfit(
    record: &ProgramRecord,
    rollout: Rollout,
    watch: &Watch,
    now: Time,
    new: &Sum,
) -> Option<String> {
    let problem = || new.problem.as_deref().unwrap_or("no reason known");
    if new.is_failing {
        return Some(format!("its workers crash time after time: {}", problem()));
    }
    // What has been in place once may lose workers without being worse than before.
    let was_in_place = watch.placed.is_some();
    if !was_in_place && new.live + new.standby == 0 && new.failures >= START_FAILURES_MAX {
        let failures = new.failures;
        let problem = problem();
        return Some(format!(
            "{failures} of its workers failed before one was ready: {problem}"
        ));
    }
    let is_late = now.since(watch.since) >= STEP_MAX;
    if !was_in_place && is_late && !is_in_place(record, rollout.to, new) {
        let wanted = wanted(record, rollout.to, &record.shares);
        return Some(format!(
            "{} of its {wanted} workers lived after {} s",
            new.live,
            STEP_MAX.as_secs()
        ));
    }
    None
}

/// Why the new version is to be taken back for its errors, if it is.
fn why_worse(rollout: Rollout, old: &Sum, new: &Sum) -> Option<String> {
    let is_worse = new.calls >= CALLS_ENOUGH
        && new.errors >= ERRORS_MIN
        && new.errors_percent() > old.errors_percent() + TOLERANCE_PERCENT;
    is_worse.then(|| {
        format!(
            "{} of its {} calls failed, where version {} had {} of {}",
            new.errors, new.calls, rollout.from, old.errors, old.calls
        )
    })
}

fn back(name: &Arc<str>, rollout: Rollout, why: String) -> Change {
    let mut end = why.len().min(WHY_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    Change::Rollback {
        program: name.clone(),
        version: Some(rollout.to),
        why: why[..end].into(),
    }
}

/// Whether the workers that a version's share asks for live.
fn is_in_place(record: &ProgramRecord, version: u32, sum: &Sum) -> bool {
    match wanted(record, version, &record.shares) {
        0 => sum.live + sum.standby > 0,
        wanted => sum.live >= wanted,
    }
}

/// Workers of a version that has one of these shares.
fn wanted(record: &ProgramRecord, version: u32, shares: &[Share]) -> u32 {
    let share = shares.iter().find(|share| share.version == version);
    let part = share.and_then(|share| shares_part(record, *share, shares));
    part.map_or(0, |part| part.workers)
}

/// The next step, if it is time for one.
fn forth(
    now: Time,
    name: &Arc<str>,
    record: &ProgramRecord,
    rollout: Rollout,
    watch: &mut Watch,
    new: &Sum,
) -> Option<Change> {
    let weight = watch.weight;
    let is_back = rollout.held.is_some_and(|held| held < weight);
    if !is_back && !is_in_place(record, rollout.to, new) {
        return None;
    }
    let (placed, calls_before) = *watch.placed.get_or_insert((now, new.calls));
    let time = now.since(placed);
    // A node that goes takes its count along.
    let seen = new.calls.saturating_sub(calls_before);
    let is_seen = time >= WATCH || seen >= CALLS_ENOUGH;
    // Nobody calls a version that warms up.
    let is_watched = weight == 0 || (is_seen && time >= WATCH_MIN);
    if !is_back && !is_watched {
        return None;
    }
    let next = next_weight(record, rollout, weight)?;
    Some(Change::SetShares {
        program: name.clone(),
        shares: shares_at(rollout, next),
    })
}

fn shares_at(rollout: Rollout, weight: u32) -> Vec<Share> {
    let new = Share {
        version: rollout.to,
        weight,
    };
    let old = Share {
        version: rollout.from,
        weight: 100 - weight,
    };
    if weight == 100 {
        vec![new]
    } else {
        vec![old, new]
    }
}

/// The next weight; none where the roll-out is held. Steps that change no worker are left out:
/// a program with one worker has no half of it.
fn next_weight(record: &ProgramRecord, rollout: Rollout, weight: u32) -> Option<u32> {
    if rollout.held == Some(weight) {
        return None;
    }
    if let Some(held) = rollout.held
        && (held < weight || STEPS.iter().all(|step| *step <= weight || *step >= held))
    {
        return Some(held);
    }
    let workers = |weight: u32| {
        let shares = shares_at(rollout, weight);
        [rollout.from, rollout.to].map(|version| wanted(record, version, &shares))
    };
    let differs = |step: &u32| weight == 0 || *step == 100 || workers(*step) != workers(weight);
    STEPS
        .into_iter()
        .filter(|step| *step > weight)
        .find(differs)
}
