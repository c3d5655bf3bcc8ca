//! What a node's configuration says of it, told to the cluster when that knows otherwise: the machine
//! has moved, or has other roles or labels now.

use super::labels;
use crate::config;
use cluster::consensus::ProposeError;
use cluster::hard::{Change, Hard, Labels, NodeRecord, Roles};
use cluster::member::Member;
use pool::NodeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the configuration says.
#[derive(Debug)]
pub struct Itself {
    me: NodeId,
    /// `host:port` at which others reach it; none if the configuration leaves that open.
    address: Option<Arc<str>>,
    roles: Roles,
    labels: Labels,
    /// A proposal is on its way, or was refused.
    is_said: Arc<AtomicBool>,
}

impl Itself {
    /// What a configuration says of this node.
    pub fn new(me: NodeId, node: &config::Node) -> Self {
        Self {
            me,
            address: node.address().map(Into::into),
            roles: node.roles,
            labels: labels(&node.labels),
            is_said: Arc::default(),
        }
    }

    /// The change that makes the cluster know, if it knows otherwise.
    fn change(&self, record: &NodeRecord) -> Option<Change> {
        let address = self.address.as_ref().unwrap_or(&record.address);
        let is_known = record.address == *address
            && record.roles == self.roles
            && record.labels == self.labels;
        (!is_known).then(|| Change::SetNode {
            node: self.me,
            address: address.clone(),
            roles: self.roles,
            labels: self.labels.clone(),
        })
    }

    /// Proposes what differs, one proposal at a time. One that found no leader is made again with
    /// the next news of the cluster.
    pub fn tell(&self, hard: &Hard, member: &Member) {
        let Some(change) = hard.member(self.me).and_then(|record| self.change(record)) else {
            return;
        };
        if self.is_said.swap(true, Ordering::Relaxed) {
            return;
        }
        let (member, is_said) = (member.clone(), self.is_said.clone());
        tokio::spawn(async move {
            match member.propose(change).await {
                Ok(_) => {
                    tracing::info!("told the cluster what the configuration says of this node");
                    is_said.store(false, Ordering::Relaxed);
                }
                Err(ProposeError::Refused(why)) => {
                    tracing::warn!("the cluster does not take what [node] says: {why}");
                }
                Err(_) => is_said.store(false, Ordering::Relaxed),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::hard::Digest;

    fn itself() -> Itself {
        Itself {
            me: NodeId(2),
            address: Some("10.0.0.2:7400".into()),
            roles: Roles::ALL,
            labels: Labels::new(),
            is_said: Arc::default(),
        }
    }

    fn record(address: &str) -> NodeRecord {
        NodeRecord {
            name: "b".into(),
            address: address.into(),
            roles: Roles::ALL,
            labels: Labels::new(),
            request: Digest::of(b""),
            draining: false,
            revoked: false,
        }
    }

    #[test]
    fn a_node_that_has_moved_says_where_to() {
        assert_eq!(itself().change(&record("10.0.0.2:7400")), None);
        let change = itself().change(&record("10.0.0.9:7400"));
        let Some(Change::SetNode { node, address, .. }) = change else {
            panic!("expected a change of the node, got {change:?}");
        };
        assert_eq!((node, &*address), (NodeId(2), "10.0.0.2:7400"));
    }

    #[test]
    fn an_address_that_is_left_open_stays_as_it_is() {
        let open = Itself {
            address: None,
            ..itself()
        };
        assert_eq!(open.change(&record("10.0.0.9:7400")), None);
    }
}
