//! What a configuration would change in the cluster's programs. Pure.

use super::spec::{decode, encode, placement};
use crate::config;
use bytes::Bytes;
use cluster::hard::{Change, Hard, Labels, Pace, Placement, ProgramRecord, ProgramVersion};
use manager::{Changes, Program};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Characters shown of a setting's value: a line of a terminal holds two.
const VALUE_CHARS_MAX: usize = 60;

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
    /// The version that runs, and the one that is to run.
    pub versions: (Option<u32>, Option<u32>),
    /// Settings that differ, a line for each: the name, what it was and what it is to be.
    pub settings: Vec<String>,
    /// Spec and placement; none if it is removed.
    after: Option<(Bytes, Placement)>,
}

/// What makes the cluster's programs those of a configuration, by name.
pub fn between(hard: &Hard, programs: &[config::Program]) -> Vec<Difference> {
    let mut before: BTreeMap<&Arc<str>, &ProgramRecord> = hard.programs.iter().collect();
    let mut differences = Vec::new();
    for program in programs {
        let name = &program.run.name;
        let (spec, wants) = (encode(program), placement(program));
        let known = before.remove(name);
        let old = known.map(newest);
        let step = match old {
            None => Step::Added,
            Some(old) if (&old.spec, &old.placement) == (&spec, &wants) => continue,
            Some(old) => match (decode(&old.spec), decode(&spec)) {
                (Ok(old), Ok(new)) if is_same_process(&old.program, &new.program) => Step::Adjusted,
                _ => Step::Replaced,
            },
        };
        let to = match (known, old) {
            (_, Some(old)) if old.spec == spec => old.number,
            (Some(known), _) => known.versions.last().map_or(0, |last| last.number) + 1,
            (None, _) => hard.last_removed_version + 1,
        };
        let settings = old.map(|old| settings((&old.spec, &old.placement), (&spec, &wants)));
        differences.push(Difference {
            name: name.clone(),
            step,
            versions: (old.map(|old| old.number), Some(to)),
            settings: settings.unwrap_or_default(),
            after: Some((spec, wants)),
        });
    }
    differences.extend(before.into_iter().map(|(name, record)| Difference {
        name: name.clone(),
        step: Step::Removed,
        versions: (Some(record.newest_running()), None),
        settings: Vec::new(),
        after: None,
    }));
    differences.sort_by(|a, b| a.name.cmp(&b.name));
    differences
}

fn newest(record: &ProgramRecord) -> &ProgramVersion {
    let version = record.version(record.newest_running());
    version.expect("a version that runs is kept")
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

/// The new versions of programs that run in another one, by name: what is rolled out.
pub fn rolled_out(differences: &[Difference]) -> BTreeMap<Arc<str>, u32> {
    let renewed = differences.iter().filter_map(|difference| {
        let (Some(from), Some(to)) = difference.versions else {
            return None;
        };
        (from != to).then(|| (difference.name.clone(), to))
    });
    renewed.collect()
}

/// Which settings differ. Values of the environment are kept back: they may be secrets.
fn settings(old: (&Bytes, &Placement), new: (&Bytes, &Placement)) -> Vec<String> {
    let (old, new) = (leaves_of(old), leaves_of(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys
        .into_iter()
        .filter(|key| old.get(*key) != new.get(*key));
    let none = "none".to_owned();
    let lines = changed.map(|key| {
        if key.starts_with("env.") {
            return key.clone();
        }
        let value = |leaves: &BTreeMap<String, String>| {
            let value = leaves.get(key).unwrap_or(&none);
            let short: String = value.chars().take(VALUE_CHARS_MAX).collect();
            if short == *value { short } else { short + ".." }
        };
        format!("{key}: {} -> {}", value(&old), value(&new))
    });
    lines.collect()
}

/// All settings, by name.
fn leaves_of((spec, placement): (&Bytes, &Placement)) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    if let Ok(spec) = serde_json::from_slice::<Value>(spec) {
        put_leaves("", &spec["program"], &mut leaves);
    }
    for made_up in ["name", "version", "lane"] {
        leaves.remove(made_up);
    }
    let labels = |labels: &Labels| format!("{labels:?}");
    let spread = placement.spread.as_deref().unwrap_or("none");
    leaves.insert("workers".to_owned(), placement.workers.to_string());
    leaves.insert("spare".to_owned(), placement.spare.to_string());
    leaves.insert("spread".to_owned(), spread.to_owned());
    leaves.insert("constraints".to_owned(), labels(&placement.constraints));
    leaves
}

/// Groups of settings that the configuration does not have: their keys stand for themselves.
const GROUPS: [&str; 2] = ["process", "limits"];

fn put_leaves(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    // A time is seconds and nanoseconds.
    let time = value["secs"].as_f64().zip(value["nanos"].as_f64());
    if let Some((secs, nanos)) = time {
        leaves.insert(path.to_owned(), format!("{}s", secs + nanos / 1e9));
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = match path {
                    "" => key.clone(),
                    path if GROUPS.contains(&path) => key.clone(),
                    path => format!("{path}.{key}"),
                };
                put_leaves(&path, value, leaves);
            }
        }
        Value::Null => {}
        value => drop(leaves.insert(path.to_owned(), value.to_string())),
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
