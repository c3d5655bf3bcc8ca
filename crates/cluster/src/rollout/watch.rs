//! What nodes report of a version, summed up since the leader watches. Pure.

use crate::soft::Soft;
use pool::{NodeId, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One version's part in the reports.
#[derive(Debug, Default)]
pub struct Sum {
    /// Workers that take calls.
    pub live: u32,
    /// Ready standbys.
    pub standby: u32,
    /// Whether they crash time after time on some node.
    pub is_failing: bool,
    /// Workers that failed, since their manager started the first.
    pub failures: u64,
    /// Calls that ended while it was watched.
    pub calls: u64,
    /// Those of them that ended in an error of the worker or its function.
    pub errors: u64,
    /// What went wrong.
    pub problem: Option<Arc<str>>,
}

impl Sum {
    /// Errors, in percent of the calls.
    pub fn errors_percent(&self) -> u64 {
        self.errors * 100 / self.calls.max(1)
    }
}

/// One roll-out as it is watched.
#[derive(Debug)]
pub struct Watch {
    to: u32,
    /// The new version's weight, in percent.
    pub weight: u32,
    /// When it got that weight, or was first seen with it.
    pub since: Time,
    /// When the workers of that weight all lived for the first time, and how many calls had ended.
    pub placed: Option<(Time, u64)>,
    /// Calls and errors that nodes had counted when they were first heard of.
    before: BTreeMap<(NodeId, u32), (u64, u64)>,
    /// When a change was proposed.
    asked: Option<Time>,
}

impl Watch {
    pub fn new(now: Time, to: u32, weight: u32) -> Self {
        Self {
            to,
            weight,
            since: now,
            placed: None,
            before: BTreeMap::new(),
            asked: None,
        }
    }

    /// Takes up what hard state says: another version is watched anew, another weight a new step.
    pub fn follow(&mut self, now: Time, to: u32, weight: u32) {
        if self.to != to {
            *self = Self::new(now, to, weight);
        } else if self.weight != weight {
            (self.weight, self.since) = (weight, now);
            (self.placed, self.asked) = (None, None);
        }
    }

    /// Whether a change may be proposed: not while another is on its way.
    pub fn may_ask(&mut self, now: Time, again: Duration) -> bool {
        let may = self.asked.is_none_or(|asked| now.since(asked) >= again);
        if may {
            self.asked = Some(now);
        }
        may
    }

    pub fn sum(&mut self, soft: &Soft, program: &Arc<str>, version: u32) -> Sum {
        let mut sum = Sum::default();
        let job = (program.clone(), version);
        for (node, _, report) in soft.up() {
            let Some(report) = report.programs.get(&job) else {
                continue;
            };
            let now = (report.calls, report.errors);
            let before = self.before.entry((node, version)).or_insert(now);
            // A manager that has started again counts anew.
            if now.0 < before.0 || now.1 < before.1 {
                *before = (0, 0);
            }
            sum.live += report.live;
            sum.standby += report.standby;
            sum.is_failing |= report.failing > 0;
            sum.failures += report.failures;
            sum.calls += now.0 - before.0;
            sum.errors += now.1 - before.1;
            sum.problem = sum.problem.or_else(|| report.problem.clone());
        }
        sum
    }
}
