//! What is kept of comparisons: counts for each function, and a few examples.

use super::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Functions that are counted one by one; the rest are counted together, under no name.
const FUNCTIONS_MAX: usize = 100;

/// Examples that are kept: one to look at for each way to differ that a version is likely to have.
const EXAMPLES_MAX: usize = 10;

/// What one node saw of a version that shadows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The program's name.
    pub program: Arc<str>,
    /// The version that shadows.
    pub version: u32,
    /// By function.
    pub functions: BTreeMap<Arc<str>, Counts>,
    /// Answers that differ, the last of each kind, oldest first.
    pub examples: Vec<Example>,
}

/// What came of the calls of one function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Both versions gave equal answers.
    pub same: u64,
    /// Both answered, and not the same.
    pub different: u64,
    /// Only the new version failed.
    pub failed_new: u64,
    /// Only the old version failed.
    pub failed_old: u64,
    /// Both failed.
    pub failed_both: u64,
    /// Copies that were to be made and could not be: too many at a time, no worker in time.
    pub dropped: u64,
    /// Calls that were not copied because they may not be run twice.
    pub not_idempotent: u64,
    /// Calls that were not copied because their answers are streams.
    pub streamed: u64,
    /// How long the old version took for what both answered, in microseconds.
    pub old_us: u64,
    /// How long the new one took for the same, in microseconds.
    pub new_us: u64,
}

/// Two answers that differ. Texts are cut to some 80 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The id of the call, as its client knows it.
    pub call: String,
    /// The id of the copy.
    pub copy: String,
    /// The function.
    pub function: Arc<str>,
    /// Where they differ first: a path in JSON, a byte, or the code of an error.
    pub at: String,
    /// What the old version has there.
    pub old: String,
    /// What the new one has.
    pub new: String,
}

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Same,
    Different,
    FailedNew,
    FailedOld,
    FailedBoth,
    Dropped,
}

impl Comparison {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            program: target.program.clone(),
            version: target.version,
            functions: BTreeMap::new(),
            examples: Vec::new(),
        }
    }

    /// The counts of a function.
    pub(super) fn of(&mut self, function: &Arc<str>) -> &mut Counts {
        let is_new = !self.functions.contains_key(function);
        if is_new && self.functions.len() >= FUNCTIONS_MAX {
            return self.functions.entry("".into()).or_default();
        }
        self.functions.entry(function.clone()).or_default()
    }

    /// Keeps an example, in place of one that differs at the same place.
    pub(super) fn keep(&mut self, example: Example) {
        let kind = |example: &Example| (example.function.clone(), example.at.clone());
        self.examples.retain(|known| kind(known) != kind(&example));
        if self.examples.len() >= EXAMPLES_MAX {
            self.examples.remove(0);
        }
        self.examples.push(example);
    }

    /// Adds what another node saw of the same version.
    pub fn add(&mut self, other: &Self) {
        for (function, counts) in &other.functions {
            self.of(function).add(counts);
        }
        for example in &other.examples {
            self.keep(example.clone());
        }
    }
}

impl Counts {
    pub(super) fn count(&mut self, outcome: Outcome, old: Duration, new: Duration) {
        let count = match outcome {
            Outcome::Same => &mut self.same,
            Outcome::Different => &mut self.different,
            Outcome::FailedNew => &mut self.failed_new,
            Outcome::FailedOld => &mut self.failed_old,
            Outcome::FailedBoth => &mut self.failed_both,
            Outcome::Dropped => &mut self.dropped,
        };
        *count += 1;
        if matches!(outcome, Outcome::Same | Outcome::Different) {
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            self.old_us = self.old_us.saturating_add(micros(old));
            self.new_us = self.new_us.saturating_add(micros(new));
        }
    }

    /// Copies whose outcome is known.
    pub fn compared(&self) -> u64 {
        self.same + self.different + self.failed_new + self.failed_old + self.failed_both
    }

    /// How many times as long the new version takes; none if neither took any time.
    pub fn slowdown(&self) -> Option<f64> {
        (self.old_us > 0).then(|| self.new_us as f64 / self.old_us as f64)
    }

    /// The counts of copies and of calls that were not copied, by the names of what came of them.
    pub fn by_name(&self) -> [(&'static str, u64); 8] {
        [
            ("same", self.same),
            ("different", self.different),
            ("failed_new", self.failed_new),
            ("failed_old", self.failed_old),
            ("failed_both", self.failed_both),
            ("dropped", self.dropped),
            ("not_idempotent", self.not_idempotent),
            ("streamed", self.streamed),
        ]
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        let Self {
            same,
            different,
            failed_new,
            failed_old,
            failed_both,
            dropped,
            not_idempotent,
            streamed,
            old_us,
            new_us,
        } = other;
        self.same += same;
        self.different += different;
        self.failed_new += failed_new;
        self.failed_old += failed_old;
        self.failed_both += failed_both;
        self.dropped += dropped;
        self.not_idempotent += not_idempotent;
        self.streamed += streamed;
        self.old_us = self.old_us.saturating_add(*old_us);
        self.new_us = self.new_us.saturating_add(*new_us);
    }
}
