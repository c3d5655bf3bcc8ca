//! Changes of nodes and of the list of masters.

use super::change::{Applied, Change, Refusal};
use super::limits::{MASTERS_MAX, NODES_MAX, REVOKED_MAX};
use super::record::{Digest, JoinToken, Labels, NodeRecord, Roles};
use super::{Hard, check};
use pool::NodeId;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Hard {
    /// The node, if it is of this cluster and not revoked.
    pub fn member(&self, node: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&node).filter(|record| !record.revoked)
    }

    /// The nodes that are not revoked, by id.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &NodeRecord)> {
        self.nodes
            .iter()
            .filter(|(_, record)| !record.revoked)
            .map(|(&node, record)| (node, record))
    }

    /// Whether a node of this id was of the cluster once, and is not any more.
    pub fn is_revoked(&self, node: NodeId) -> bool {
        node.0 <= self.last_node && self.member(node).is_none()
    }

    pub(super) fn found(&mut self, change: &Change) -> Result<Applied, Refusal> {
        let Change::Found {
            cluster,
            name,
            address,
            roles,
            labels,
            request,
            timeout,
        } = change
        else {
            unreachable!("`apply` gives this function nothing but a `Found`");
        };
        if self.is_founded() {
            return Err(Refusal::Founded(self.cluster));
        }
        let first = NodeId(1);
        if !roles.master {
            return Err(Refusal::NotMaster(first));
        }
        check::timeout(*timeout)?;
        let record = new_node(name, address, *roles, labels, *request)?;
        self.cluster = *cluster;
        self.timeout = *timeout;
        self.level = 1;
        self.masters = vec![first];
        Ok(self.insert_node(first, record))
    }

    pub(super) fn add_node(&mut self, change: &Change) -> Result<Applied, Refusal> {
        let Change::AddNode {
            name,
            address,
            roles,
            labels,
            request,
            secret,
            now_unix_s,
        } = change
        else {
            unreachable!("`apply` gives this function nothing but an `AddNode`");
        };
        // First, for a repeated join as for a first one: name and key are no secrets.
        let (token_name, token) = self.join_token(secret)?;
        if token.expires_unix_s <= *now_unix_s {
            return Err(Refusal::ExpiredJoinToken(token_name.clone()));
        }
        if !roles.within(token.roles) {
            return Err(Refusal::RolesNotAllowed(token_name.clone()));
        }
        let mut namesakes = self.nodes.iter().filter(|(_, record)| {
            record.name == *name && (record.request == *request || !record.revoked)
        });
        if let Some((&node, record)) = namesakes.next_back() {
            return match record {
                _ if record.request != *request => Err(Refusal::NameTaken {
                    name: name.clone(),
                    node,
                }),
                _ if record.revoked => Err(Refusal::Revoked(node)),
                _ => Ok(Applied {
                    revision: self.revision,
                    node: Some(node),
                }),
            };
        }
        let record = new_node(name, address, *roles, labels, *request)?;
        check::limit("nodes", self.members().count() + 1, NODES_MAX)?;
        check::limit("node ids", self.last_node as usize + 1, u32::MAX as usize)?;
        Ok(self.insert_node(NodeId(self.last_node + 1), record))
    }

    fn join_token(&self, secret: &Digest) -> Result<(&Arc<str>, &JoinToken), Refusal> {
        let mut tokens = self.join_tokens.iter();
        tokens
            .find(|(_, token)| token.secret == *secret)
            .ok_or(Refusal::UnknownJoinToken)
    }

    fn insert_node(&mut self, node: NodeId, record: NodeRecord) -> Applied {
        self.last_node = node.0;
        self.nodes.insert(node, record);
        self.applied(Some(node))
    }

    pub(super) fn member_mut(&mut self, node: NodeId) -> Result<&mut NodeRecord, Refusal> {
        match self.nodes.get_mut(&node) {
            None => Err(Refusal::UnknownNode(node)),
            Some(record) if record.revoked => Err(Refusal::Revoked(node)),
            Some(record) => Ok(record),
        }
    }

    pub(super) fn set_node(
        &mut self,
        node: NodeId,
        address: &Arc<str>,
        roles: Roles,
        labels: &Labels,
    ) -> Result<(), Refusal> {
        check::address(address)?;
        check::labels(labels)?;
        let is_master = self.masters.contains(&node);
        let record = self.member_mut(node)?;
        if is_master && !roles.master {
            return Err(Refusal::NotMaster(node));
        }
        record.address = address.clone();
        record.roles = roles;
        record.labels = labels.clone();
        Ok(())
    }

    pub(super) fn revoke_node(&mut self, node: NodeId) -> Result<(), Refusal> {
        // Of two masters both must agree to a new list, and nobody talks to a revoked one.
        if self.masters.contains(&node) && self.masters.len() <= 2 {
            return Err(Refusal::TooFewMasters(node));
        }
        let record = self.member_mut(node)?;
        record.revoked = true;
        record.draining = false;
        self.masters.retain(|&master| master != node);
        let revoked = self.nodes.iter().filter(|(_, record)| record.revoked);
        let oldest = revoked.clone().next().map(|(&node, _)| node);
        if let Some(oldest) = oldest
            && revoked.count() > REVOKED_MAX
        {
            self.nodes.remove(&oldest);
        }
        Ok(())
    }

    pub(super) fn add_master(&mut self, node: NodeId) -> Result<(), Refusal> {
        if self.masters.contains(&node) {
            return Ok(());
        }
        let mut masters = self.masters.clone();
        masters.push(node);
        self.set_masters(&masters)
    }

    pub(super) fn set_masters(&mut self, masters: &[NodeId]) -> Result<(), Refusal> {
        if masters.is_empty() {
            return Err(Refusal::LastMaster);
        }
        check::limit("masters", masters.len(), MASTERS_MAX)?;
        let mut seen = BTreeSet::new();
        for &node in masters {
            if !self.member_mut(node)?.roles.master {
                return Err(Refusal::NotMaster(node));
            }
            if !seen.insert(node) {
                return Err(Refusal::RepeatedMaster(node));
            }
        }
        self.masters = masters.to_vec();
        Ok(())
    }
}

/// The record of a node that comes in.
fn new_node(
    name: &Arc<str>,
    address: &Arc<str>,
    roles: Roles,
    labels: &Labels,
    request: Digest,
) -> Result<NodeRecord, Refusal> {
    check::name(name)?;
    check::address(address)?;
    check::labels(labels)?;
    Ok(NodeRecord {
        name: name.clone(),
        address: address.clone(),
        roles,
        labels: labels.clone(),
        request,
        draining: false,
        revoked: false,
    })
}
