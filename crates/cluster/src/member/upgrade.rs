//! Which version of the link protocol each node speaks, and when the leader raises the cluster's
//! level to a later one. Pure.

use crate::consensus::ProposeError;
use crate::hard::{Applied, Hard, Refusal};
use pool::NodeId;
use std::collections::BTreeMap;

/// What a master knows of the versions that nodes speak: of those with a link, and its own. Of one
/// that speaks later versions than this build does, it is the greatest that both do.
#[derive(Debug, Clone, Default)]
pub struct Versions(BTreeMap<NodeId, u16>);

impl Versions {
    /// A node, perhaps this one, has a link in this version.
    pub fn up(&mut self, node: NodeId, version: u16) {
        self.0.insert(node, version);
    }

    /// It has none any more.
    pub fn down(&mut self, node: NodeId) {
        self.0.remove(&node);
    }

    /// The level to raise the cluster to: what all masters speak, and all nodes with a link. A master
    /// that is away could not read what the others log from then on; another node that is away is told
    /// to be upgraded when it comes back.
    pub fn higher_level(&self, hard: &Hard) -> Option<u16> {
        let are_here = hard.masters.iter().all(|node| self.0.contains_key(node));
        let level = *self.0.values().min()?;
        (are_here && level > hard.level).then_some(level)
    }

    /// Who does not speak a version.
    pub fn below(&self, version: u16) -> Vec<NodeId> {
        let old = self.0.iter().filter(|(_, speaks)| **speaks < version);
        old.map(|(node, _)| *node).collect()
    }

    /// Who keeps the cluster from the level to which some could go; nobody if all are equal.
    pub fn behind(&self) -> Vec<NodeId> {
        self.below(self.0.values().max().copied().unwrap_or_default())
    }

    /// Lets a refusal for the sake of older nodes name them.
    pub fn name(
        &self,
        mut proposed: Result<Applied, ProposeError>,
    ) -> Result<Applied, ProposeError> {
        if let Err(ProposeError::Refused(Refusal::Level { needs, old, .. })) = &mut proposed {
            *old = self.below(*needs);
        }
        proposed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(known: &[(u32, u16)]) -> Versions {
        let known = known
            .iter()
            .map(|(node, version)| (NodeId(*node), *version));
        Versions(known.collect())
    }

    fn hard(level: u16) -> Hard {
        Hard {
            revision: 1,
            level,
            masters: vec![NodeId(1), NodeId(2)],
            ..Hard::default()
        }
    }

    #[test]
    fn a_cluster_rises_when_all_who_are_here_can_and_all_masters_are_here() {
        let level = |known: &[_], level| versions(known).higher_level(&hard(level));
        assert_eq!(level(&[(1, 2), (2, 2), (3, 2)], 1), Some(2));
        assert_eq!(level(&[(1, 3), (2, 2), (3, 3)], 1), Some(2));
        assert_eq!(
            level(&[(1, 2), (2, 2), (3, 1)], 1),
            None,
            "a manager is old"
        );
        assert_eq!(level(&[(1, 2), (3, 2)], 1), None, "a master is away");
        assert_eq!(level(&[(1, 2), (2, 2)], 2), None, "it is there");
        assert_eq!(level(&[(1, 1), (2, 1)], 2), None, "it never goes down");
    }

    #[test]
    fn who_is_behind_is_named() {
        let known = versions(&[(1, 2), (2, 1), (3, 2), (4, 1)]);
        assert_eq!(known.behind(), [NodeId(2), NodeId(4)]);
        assert_eq!(versions(&[(1, 1), (2, 1)]).behind(), []);
        let Err(refusal) = hard(1).require(2, "shipping files") else {
            panic!("level 1 is enough for nobody");
        };
        let named = known.name(Err(refusal.into()));
        let text = named.expect_err("it stays refused").to_string();
        assert!(text.contains("nodes 2, 4 speak an older one"), "{text}");
    }
}
