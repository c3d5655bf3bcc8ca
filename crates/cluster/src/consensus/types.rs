//! What openraft is told about our types, and shorter names for its own.

use crate::hard::{Applied, Change, Refusal};
use serde::{Deserialize, Serialize};
use std::fmt;

openraft::declare_raft_types!(
    /// Changes of hard state, agreed on by masters. Standard Raft: one leader a term at the most.
    pub Types:
        D = Proposal,
        R = Outcome,
        NodeId = u32,
        Node = (),
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

pub type Raft = openraft::Raft<Types, super::machine::Machine>;
pub type Entry = openraft::alias::EntryOf<Types>;
pub type LogId = openraft::alias::LogIdOf<Types>;
pub type Vote = openraft::alias::VoteOf<Types>;
pub type Membership = openraft::alias::StoredMembershipOf<Types>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;
pub type Snapshot = openraft::alias::SnapshotOf<Types, bytes::Bytes>;

/// A change on its way through the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proposal(pub Change);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What came of an entry; none for entries that are openraft's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome(pub Option<Result<Applied, Refusal>>);
