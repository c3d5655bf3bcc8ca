//! Shadow copies over the whole cluster: which versions shadow, and what all nodes saw of them.
//!
//! Each node counts the copies of the calls that came in there, and notes its counts for the masters
//! (`report.rs`); whoever asks gets the sum.

use super::follow::read;
use bytes::Bytes;
use cluster::hard::Hard;
use cluster::member::{Member, NOTE_BYTES_MAX};
use dispatch::{Comparison, Shadows, Target};
use pool::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The versions that shadow.
pub fn targets(hard: &Hard) -> Vec<Target> {
    let shadows = hard.shadows.iter().filter_map(|(name, shadow)| {
        let rollout = hard.programs.get(name)?.rollout?;
        let known_by = |version| Some(read(hard, name, version)?.program.pool_name());
        Some(Target {
            program: name.clone(),
            version: shadow.version,
            percent: shadow.percent,
            old: known_by(rollout.from)?,
            new: known_by(shadow.version)?,
        })
    });
    shadows.collect()
}

/// What this node notes for the others. If it is too much, examples are left out.
pub fn note(comparisons: &[Comparison]) -> Bytes {
    let encoded = |comparisons: &[Comparison]| {
        serde_json::to_vec(comparisons).expect("comparisons have no keys but text")
    };
    let whole = encoded(comparisons);
    if whole.len() <= NOTE_BYTES_MAX {
        return whole.into();
    }
    let mut bare = comparisons.to_vec();
    for comparison in &mut bare {
        comparison.examples.clear();
    }
    encoded(&bare).into()
}

/// What all nodes saw. Of `me`, this node, what it has counted by now; of others what they noted last,
/// and nothing without a master.
pub async fn of_cluster(me: NodeId, here: &Shadows, member: &Member) -> Vec<Comparison> {
    let status = member.status().await;
    let notes = status.map(|status| status.notes).unwrap_or_default();
    let others = notes.iter().filter(|(node, _)| **node != me);
    // A node of a later build may note something else.
    let noted = others
        .flat_map(|(_, note)| serde_json::from_slice::<Vec<Comparison>>(note).unwrap_or_default());
    let mut sums: BTreeMap<(Arc<str>, u32), Comparison> = BTreeMap::new();
    for comparison in noted.chain(here.comparisons()) {
        let key = (comparison.program.clone(), comparison.version);
        match sums.get_mut(&key) {
            Some(sum) => sum.add(&comparison),
            None => drop(sums.insert(key, comparison)),
        }
    }
    sums.into_values().collect()
}
