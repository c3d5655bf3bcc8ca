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
    let mine = hard.nodes.get(&me).map_or(roles, |record| record.roles);
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
