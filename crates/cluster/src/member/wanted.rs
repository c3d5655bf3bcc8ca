//! Which nodes a node keeps links with. Pure.

use crate::hard::{Hard, Roles};
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The nodes to keep links with, and their addresses: masters with everybody, dispatchers with
/// managers. `seeds` are the masters to begin with, and `roles` those to begin with.
pub fn wanted(
    me: NodeId,
    roles: Roles,
    seeds: &BTreeMap<NodeId, String>,
    hard: &Hard,
) -> BTreeMap<NodeId, String> {
    if !hard.is_founded() {
        let others = seeds.iter().filter(|(node, _)| **node != me);
        return others.map(|(node, at)| (*node, at.clone())).collect();
    }
    let record = hard.nodes.get(&me);
    // Who was revoked is let in nowhere.
    if record.is_some_and(|record| record.revoked) {
        return BTreeMap::new();
    }
    let mine = record.map_or(roles, |record| record.roles);
    let is_master = |node: &NodeId| hard.masters.contains(node);
    let i_am_master = is_master(&me);
    let others = hard.nodes.iter().filter(|(node, record)| {
        let works_with_me =
            (mine.faceplate && record.roles.manager) || (mine.manager && record.roles.faceplate);
        let is_wanted = i_am_master || is_master(node) || works_with_me;
        **node != me && !record.revoked && is_wanted
    });
    others
        .map(|(node, record)| (*node, record.address.to_string()))
        .collect()
}

/// The nodes whose links are refused.
pub fn refused(hard: &Hard) -> BTreeSet<NodeId> {
    let revoked = hard.nodes.iter().filter(|(_, record)| record.revoked);
    revoked.map(|(node, _)| *node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hard::{Change, ClusterId, Digest, JoinToken};
    use std::time::Duration;

    /// A master and a manager.
    fn two_nodes() -> Hard {
        let secret = Digest::of(b"secret");
        let token = JoinToken {
            secret,
            roles: Roles::ALL,
            expires_unix_s: 1,
        };
        let (labels, request) = (BTreeMap::new(), Digest::of(b"request"));
        let manager = Roles {
            manager: true,
            ..Roles::default()
        };
        let changes = [
            Change::Found {
                cluster: ClusterId([1; 16]),
                name: "a".into(),
                address: "a:7400".into(),
                roles: Roles::ALL,
                labels: labels.clone(),
                request,
                timeout: Duration::from_secs(1),
            },
            Change::PutJoinToken {
                name: "join".into(),
                token,
                now_unix_s: 0,
            },
            Change::AddNode {
                name: "b".into(),
                address: "b:7400".into(),
                roles: manager,
                labels,
                request: Digest::of(b"another"),
                secret,
                now_unix_s: 0,
            },
        ];
        let mut hard = Hard::default();
        for change in &changes {
            hard.apply(change).expect("it makes sense");
        }
        hard
    }

    #[test]
    fn a_revoked_node_wants_nobody_and_nobody_wants_it() {
        let mut hard = two_nodes();
        let wants = |me: u32, hard: &Hard| {
            let wanted = wanted(NodeId(me), Roles::ALL, &BTreeMap::new(), hard);
            wanted.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(
            [wants(1, &hard), wants(2, &hard)],
            [[NodeId(2)], [NodeId(1)]]
        );
        let revoke = Change::RevokeNode(NodeId(2));
        hard.apply(&revoke).expect("there is such a node");
        assert_eq!([wants(1, &hard), wants(2, &hard)], [[], []]);
        assert_eq!(refused(&hard), [NodeId(2)].into());
    }
}
