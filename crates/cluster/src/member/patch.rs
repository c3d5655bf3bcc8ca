//! Hard state on its way to members: what one may see, and what changed. Pure.
//!
//! A patch holds the records that differ between two revisions, whole, so it may be applied to any
//! revision between the two: members of several masters take it from whoever comes first.

use crate::hard::grown::{self, Grown, Rest};
use crate::hard::{AccessToken, ClusterId, Hard, NodeRecord, ProgramRecord, Shadow};
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Records by key; none for those that are gone.
type Records<K, V> = BTreeMap<K, Option<V>>;

/// What changed in hard state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The revision that it starts from.
    pub from: u64,
    /// The revision that it leads to.
    pub to: u64,
    cluster: ClusterId,
    masters: Vec<NodeId>,
    timeout: Duration,
    last_node: u32,
    last_removed_version: u32,
    programs_revision: u64,
    nodes: Records<NodeId, NodeRecord>,
    programs: Records<Arc<str>, ProgramRecord>,
    access_tokens: Records<Arc<str>, AccessToken>,
    // From here on: appended since version 1 of the link protocol, as in `Hard`.
    #[serde(default, with = "grown::appended")]
    level: u16,
    #[serde(default, with = "grown::appended")]
    unserved: Records<Arc<str>, BTreeSet<u32>>,
    #[serde(default, with = "grown::appended")]
    shadows: Records<Arc<str>, Shadow>,
}

impl Grown for Patch {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = grown::begin(self);
        if self.level > 1 {
            grown::append(&mut bytes, &self.level);
            grown::append(&mut bytes, &self.unserved);
            grown::append(&mut bytes, &self.shadows);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (mut patch, rest): (Self, _) = postcard::take_from_bytes(bytes)?;
        let mut rest = Rest(rest);
        // A patch leads to a founded cluster.
        patch.level = rest.next()?.unwrap_or(1);
        patch.unserved = rest.next()?.unwrap_or_default();
        patch.shadows = rest.next()?.unwrap_or_default();
        Ok(patch)
    }
}

/// What became of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patched {
    /// It was applied.
    Applied,
    /// All of it was known.
    Known,
    /// Changes before it are missing.
    Gap,
}

impl Patch {
    /// What leads from one state to a later one. Join tokens are never in it.
    pub fn between(old: &Hard, new: &Hard) -> Self {
        Self {
            from: old.revision,
            to: new.revision,
            cluster: new.cluster,
            masters: new.masters.clone(),
            timeout: new.timeout,
            last_node: new.last_node,
            last_removed_version: new.last_removed_version,
            programs_revision: new.programs_revision,
            nodes: differing(&old.nodes, &new.nodes),
            programs: differing(&old.programs, &new.programs),
            access_tokens: differing(&old.access_tokens, &new.access_tokens),
            level: new.level,
            unserved: differing(&old.unserved, &new.unserved),
            shadows: differing(&old.shadows, &new.shadows),
        }
    }

    /// Applies it, if it fits.
    pub fn apply(self, hard: &mut Hard) -> Patched {
        if self.to <= hard.revision {
            return Patched::Known;
        }
        if self.from > hard.revision {
            return Patched::Gap;
        }
        hard.revision = self.to;
        hard.cluster = self.cluster;
        hard.masters = self.masters;
        hard.timeout = self.timeout;
        hard.last_node = self.last_node;
        hard.last_removed_version = self.last_removed_version;
        hard.programs_revision = self.programs_revision;
        replace(&mut hard.nodes, self.nodes);
        replace(&mut hard.programs, self.programs);
        replace(&mut hard.access_tokens, self.access_tokens);
        hard.level = self.level;
        replace(&mut hard.unserved, self.unserved);
        replace(&mut hard.shadows, self.shadows);
        Patched::Applied
    }
}

/// Hard state as a member may see it: join tokens are for masters, access tokens for those who
/// take calls in.
pub fn visible(hard: &Hard, with_access_tokens: bool) -> Hard {
    let mut visible = hard.clone();
    visible.join_tokens.clear();
    if !with_access_tokens {
        visible.access_tokens.clear();
    }
    visible
}

fn differing<K: Ord + Clone, V: PartialEq + Clone>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> Records<K, V> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let keys = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    keys.map(|key| (key.clone(), new.get(key).cloned()))
        .collect()
}

fn replace<K: Ord, V>(records: &mut BTreeMap<K, V>, changed: Records<K, V>) {
    for (key, record) in changed {
        match record {
            Some(record) => drop(records.insert(key, record)),
            None => drop(records.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hard::tests::version1::fixture;

    fn hard(name: &str) -> Hard {
        visible(&Hard::decode(&fixture(name)).expect("it is read"), true)
    }

    #[test]
    fn a_patch_of_an_older_build_is_read_and_written() {
        let (mut before, after) = (hard("before"), hard("after"));
        assert_eq!(Patch::between(&before, &after).encode(), fixture("patch"));
        let patch = Patch::decode(&fixture("patch")).expect("it is read");
        assert_eq!(patch.apply(&mut before), Patched::Applied);
        assert_eq!(before, after);
    }

    #[test]
    fn a_patch_brings_what_was_appended_and_takes_it_away() {
        let mut known = hard("before");
        let mut raised = hard("after");
        raised.level = 2;
        raised.unserved.insert("parse".into(), [2].into());
        let mut forgotten = raised.clone();
        forgotten.revision += 1;
        forgotten.unserved.clear();
        for next in [raised, forgotten] {
            let patch = Patch::between(&known, &next).encode();
            let patch = Patch::decode(&patch).expect("it is read");
            assert_eq!(patch.apply(&mut known), Patched::Applied);
            assert_eq!(known, next);
        }
    }
}
