//! Hard state: what the masters agree on, and how a change alters it. Pure.
//!
//! Consensus brings the changes into one order; each master applies them to its [`Hard`]; members
//! are told what differs (`member/patch.rs`). Equal changes make equal states, so there is no clock
//! here, no chance, and no map whose order could differ.

pub mod limits;

mod change;
mod check;
pub(crate) mod grown;
mod level;
mod nodes;
mod programs;
mod record;
mod shadows;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;

pub use change::{Applied, Change, Pace, Refusal};
pub use record::{
    AccessToken, ClusterId, Digest, JoinToken, Labels, NodeRecord, Placement, ProgramRecord,
    ProgramVersion, Rate, Roles, Rollout, Shadow, Share, TakenBack,
};

use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// All that the masters agree on. Empty, at revision 0, until the cluster is founded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hard {
    /// How many changes have altered it.
    pub revision: u64,
    /// The cluster's identity.
    pub cluster: ClusterId,
    /// The masters, in the order of their priority.
    pub masters: Vec<NodeId>,
    /// All nodes, and those revoked.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// Programs by name.
    pub programs: BTreeMap<Arc<str>, ProgramRecord>,
    /// Join tokens by name.
    pub join_tokens: BTreeMap<Arc<str>, JoinToken>,
    /// Access tokens by name.
    pub access_tokens: BTreeMap<Arc<str>, AccessToken>,
    /// The timeout of calls that say none.
    pub timeout: Duration,
    /// The greatest node id given so far.
    pub last_node: u32,
    /// The greatest version number of a program that was removed. New programs begin above it, so
    /// that workers of an old program are never taken for those of a new one of the same name.
    pub last_removed_version: u32,
    /// The revision of the last change of programs.
    pub programs_revision: u64,
    // From here on: appended since version 1 of the link protocol, and a line each in `grown`.
    /// The version of the link protocol that every member is known to speak; 1 at the founding, 0
    /// before. It never goes down.
    #[serde(default, with = "grown::appended")]
    pub level: u16,
    /// By program: versions that were taken back, or given up before they had all calls. Nobody goes
    /// back to them. Kept from level 2 on.
    #[serde(default, with = "grown::appended")]
    pub unserved: BTreeMap<Arc<str>, BTreeSet<u32>>,
    /// By program: the new version that only shadows the old one, as long as it does. Its roll-out
    /// stands at weight 0.
    #[serde(default, with = "grown::appended")]
    pub shadows: BTreeMap<Arc<str>, Shadow>,
}

impl Hard {
    /// Applies one change. A change that alters something makes the revision one greater; a join
    /// tried again alters nothing.
    ///
    /// # Errors
    ///
    /// Why the change was refused; everything is as it was.
    pub fn apply(&mut self, change: &Change) -> Result<Applied, Refusal> {
        if !self.is_founded() && !matches!(change, Change::Found { .. }) {
            return Err(Refusal::NotFounded);
        }
        self.admits(change)?;
        match change {
            Change::Found { .. } => return self.found(change),
            Change::AddNode { .. } => return self.add_node(change),
            Change::SetNode {
                node,
                address,
                roles,
                labels,
            } => self.set_node(*node, address, *roles, labels)?,
            Change::RevokeNode(node) => self.revoke_node(*node)?,
            Change::Drain { node, draining } => self.member_mut(*node)?.draining = *draining,
            Change::SetMasters(masters) => self.set_masters(masters)?,
            Change::AddMaster(node) => self.add_master(*node)?,
            Change::SetTimeout(timeout) => {
                check::timeout(*timeout)?;
                self.timeout = *timeout;
            }
            Change::Apply {
                expected,
                programs,
                pace,
            } => self.apply_programs(*expected, programs, *pace)?,
            Change::Scale { program, workers } => self.scale(program, *workers)?,
            Change::Rollback {
                program,
                version,
                why,
            } => self.roll_back(program, *version, why)?,
            Change::Hold { program, weight } => self.hold(program, *weight)?,
            Change::SetShares { program, shares } => self.set_shares(program, shares)?,
            Change::PutJoinToken {
                name,
                token,
                now_unix_s,
            } => self.put_join_token(name, token, *now_unix_s)?,
            Change::RemoveJoinToken(name) => tokens::remove(&mut self.join_tokens, name)?,
            Change::PutAccessToken {
                name,
                token,
                now_unix_s,
            } => self.put_access_token(name, token, *now_unix_s)?,
            Change::RemoveAccessToken(name) => tokens::remove(&mut self.access_tokens, name)?,
            // Two leaders in a row may propose the same.
            Change::Raise(level) if *level <= self.level => {
                let revision = self.revision;
                return Ok(Applied {
                    revision,
                    node: None,
                });
            }
            Change::Raise(level) => self.raise(*level),
        }
        let applied = self.applied(None);
        if change.is_of_programs() {
            self.programs_revision = applied.revision;
        }
        Ok(applied)
    }

    /// Whether there is a cluster.
    pub fn is_founded(&self) -> bool {
        self.revision > 0
    }

    /// The next revision, with a change in it.
    fn applied(&mut self, node: Option<NodeId>) -> Applied {
        self.revision += 1;
        Applied {
            revision: self.revision,
            node,
        }
    }
}
