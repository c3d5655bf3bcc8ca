//! What a worker says it is, what a call asks for, and how well the two agree.
//!
//! The rules are those of the first Katamari: an equal key or a shared tag is a point, a conflict
//! or unequal roles rule the pool out, and a pool must score above zero to be chosen.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of a name: of a kind, a function, a tag, a role, a version key.
pub const NAME_MAX: usize = 100;
/// Bytes of a version.
pub const VERSION_MAX: usize = 200;
/// Versions, tags and roles, of each.
pub const LABELS_MAX: usize = 32;

/// The price of a conflict: more than any number of agreements can make good, since keys and tags
/// are limited to far fewer.
const CONFLICT: i32 = -1000;

/// Kind, versions, tags and roles; of a worker, or wanted by a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Details {
    /// What the worker is for. A call may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Arc<str>>,
    /// Version keys, such as `grammar = "1.2.3"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<Arc<str>, Arc<str>>,
    /// Free labels; each shared one is a point.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<Arc<str>>,
    /// Labels that must be the same on both sides, none included.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<Arc<str>>,
}

impl Details {
    /// Details that name a kind and nothing else.
    pub fn of_kind(kind: &str) -> Self {
        Self {
            kind: Some(kind.into()),
            ..Self::default()
        }
    }

    /// How well a pool of these details serves a call that asks for `wanted`. The pool is out of
    /// the question unless the score is above zero.
    pub fn score(&self, wanted: &Self) -> i32 {
        let mut score = 0;
        if let (Some(ours), Some(theirs)) = (&self.kind, &wanted.kind) {
            score += if ours == theirs { 1 } else { CONFLICT };
        }
        for (key, theirs) in &wanted.versions {
            match self.versions.get(key) {
                Some(ours) if ours == theirs => score += 1,
                Some(_) => score += CONFLICT,
                None => {}
            }
        }
        if self.roles != wanted.roles {
            score += CONFLICT;
        }
        score += i32::try_from(self.tags.intersection(&wanted.tags).count()).unwrap_or(i32::MAX);
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(kind: &str, versions: &[(&str, &str)], tags: &[&str], roles: &[&str]) -> Details {
        Details {
            kind: (!kind.is_empty()).then(|| kind.into()),
            versions: versions
                .iter()
                .map(|&(key, value)| (key.into(), value.into()))
                .collect(),
            tags: tags.iter().map(|&tag| tag.into()).collect(),
            roles: roles.iter().map(|&role| role.into()).collect(),
        }
    }

    #[test]
    fn scores_as_the_first_katamari_did() {
        let pool = details(
            "parse",
            &[("grammar", "1.2.3"), ("dict", "en")],
            &["a", "b"],
            &[],
        );
        let cases = [
            (
                details("", &[], &[], &[]),
                0,
                "a call that asks for nothing",
            ),
            (details("parse", &[], &[], &[]), 1, "one equal key"),
            (
                details("parse", &[("grammar", "1.2.3")], &[], &[]),
                2,
                "two equal keys",
            ),
            (
                details("parse", &[("grammar", "9")], &[], &[]),
                -999,
                "a conflict beside a match",
            ),
            (details("other", &[], &[], &[]), -1000, "another kind"),
            (
                details("parse", &[("colour", "red")], &[], &[]),
                1,
                "a key the pool lacks",
            ),
            (details("", &[], &["a", "b", "c"], &[]), 2, "shared tags"),
            (
                details("parse", &[], &[], &["staging"]),
                -999,
                "roles the pool lacks",
            ),
        ];
        for (wanted, score, why) in cases {
            assert_eq!(pool.score(&wanted), score, "{why}");
        }
        assert_eq!(
            Details::default().score(&Details::default()),
            0,
            "empty against empty"
        );
    }

    #[test]
    fn roles_must_be_equal_and_are_no_point() {
        let pool = details("parse", &[], &[], &["staging"]);
        assert_eq!(pool.score(&details("parse", &[], &[], &["staging"])), 1);
        assert_eq!(
            pool.score(&details("parse", &[], &[], &[])),
            -999,
            "a pool with a role is set apart"
        );
    }
}
