//! What a configuration would change in the cluster's programs. Pure.

use super::spec::{decode, encode, placement};
use crate::config;
use bytes::Bytes;
use cluster::hard::{Change, Hard, Pace, Placement, ProgramRecord};
use manager::{Changes, Program};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of one program.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It is new.
    Added,
    /// Its processes differ: new workers are ready before old ones retire.
    Replaced,
    /// Its settings changed, not its processes.
    Adjusted,
    /// It is gone.
    Removed,
}

/// A program that changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its name.
    pub name: Arc<str>,
    /// What becomes of it.
    pub step: Step,
    /// Spec and placement; none if it is removed.
    after: Option<(Bytes, Placement)>,
}

/// What makes the cluster's programs those of a configuration, by name.
pub fn between(hard: &Hard, programs: &[config::Program]) -> Vec<Difference> {
    let mut before: BTreeMap<&Arc<str>, &ProgramRecord> = hard.programs.iter().collect();
    let mut differences = Vec::new();
    for program in programs {
        let name = &program.run.name;
        let after = (encode(&program.run), placement(program));
        let known = before.remove(name).map(newest);
        let step = match known {
            None => Step::Added,
            Some((spec, placement)) if (spec, placement) == (&after.0, &after.1) => continue,
            Some((spec, _)) => match decode(spec) {
                Ok(old) if is_same_process(&old, &program.run) => Step::Adjusted,
                _ => Step::Replaced,
            },
        };
        differences.push(Difference {
            name: name.clone(),
            step,
            after: Some(after),
        });
    }
    differences.extend(before.into_keys().map(|name| Difference {
        name: name.clone(),
        step: Step::Removed,
        after: None,
    }));
    differences.sort_by(|a, b| a.name.cmp(&b.name));
    differences
}

fn newest(record: &ProgramRecord) -> (&Bytes, &Placement) {
    let version = record.version(record.newest_running());
    let version = version.expect("a version that runs is kept");
    (&version.spec, &version.placement)
}

fn is_same_process(before: &Program, after: &Program) -> bool {
    before.process == after.process
}

/// The change of hard state that makes it so, provided that hard state is still at `revision`.
pub fn change(differences: &[Difference], revision: u64, pace: Pace) -> Change {
    let programs = differences.iter();
    Change::Apply {
        expected: Some(revision),
        programs: programs
            .map(|difference| (difference.name.clone(), difference.after.clone()))
            .collect(),
        pace,
    }
}

/// The same, in lists of names.
pub fn summary(differences: &[Difference]) -> Changes {
    let mut changes = Changes::default();
    for Difference { name, step, .. } in differences {
        let list = match step {
            Step::Added => &mut changes.added,
            Step::Replaced => &mut changes.replaced,
            Step::Adjusted => &mut changes.adjusted,
            Step::Removed => &mut changes.removed,
        };
        list.push(name.clone());
    }
    changes
}
