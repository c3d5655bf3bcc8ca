//! The changes of hard state, what comes of one, and why one may be refused.
//!
//! Masters agree on a list of [`Change`]s; each applies them in order. What a change depends on
//! besides hard state, such as the time, is in the change.

use super::record::{AccessToken, ClusterId, Digest, JoinToken, Labels, Placement, Roles, Share};
use bytes::Bytes;
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How a new version takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pace {
    /// Beside the old one, in steps, each watched: a roll-out.
    Steps,
    /// As `Steps`, as far as this weight in percent, 1 to 99.
    Canary(u32),
    /// In its place, with this change: each manager renews its workers one after the other.
    AtOnce,
    // From here on: unknown to version 1 of the link protocol.
    /// Beside the old one, which answers all calls, as long as nobody says otherwise: this part of
    /// the calls, in percent from 1 to 100, is made on the new one as well. `Hold` begins the steps.
    Shadow(u32),
}

/// A change of hard state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Makes the cluster. Node 1 is its first node, its only master and its leader.
    Found {
        /// The cluster's identity.
        cluster: ClusterId,
        /// The first node's name.
        name: Arc<str>,
        /// `host:port` of its listener for links.
        address: Arc<str>,
        /// Its roles; master must be one.
        roles: Roles,
        /// Its labels.
        labels: Labels,
        /// Its certificate request.
        request: Digest,
        /// The timeout of calls that say none.
        timeout: Duration,
    },
    /// Lets a node join. Tried again with the same name and certificate request, and a good token, it
    /// answers with the same id and changes nothing.
    AddNode {
        /// The newcomer's name.
        name: Arc<str>,
        /// `host:port` of its listener for links.
        address: Arc<str>,
        /// Its roles; the token must allow them.
        roles: Roles,
        /// Its labels.
        labels: Labels,
        /// Its certificate request.
        request: Digest,
        /// The digest of the secret it showed; that of a join token.
        secret: Digest,
        /// When it asked, in seconds since 1970, by the clock of the master it asked.
        now_unix_s: u64,
    },
    /// Says anew where a node is, and what it is for.
    SetNode {
        /// Which node.
        node: NodeId,
        /// `host:port` of its listener for links.
        address: Arc<str>,
        /// Its roles.
        roles: Roles,
        /// Its labels.
        labels: Labels,
    },
    /// Voids a node's certificate, for ever; a master is taken from the list.
    RevokeNode(NodeId),
    /// Starts or ends a node's draining.
    Drain {
        /// Which node.
        node: NodeId,
        /// Whether it is to lose its workers.
        draining: bool,
    },
    /// The masters, in the order of their priority.
    SetMasters(Vec<NodeId>),
    /// One more master, the last of the list, unless it is one already. In place of a whole list,
    /// of which that of another newcomer would know nothing.
    AddMaster(NodeId),
    /// The timeout of calls that say none.
    SetTimeout(Duration),
    /// Adds, changes and removes programs, all or none. A program whose spec stays the same keeps its
    /// version and takes the new placement. Another spec is a new version.
    Apply {
        /// The revision that the proposer saw: if programs were changed after it, this is refused.
        expected: Option<u64>,
        /// By name: spec and placement, or none to remove the program.
        programs: BTreeMap<Arc<str>, Option<(Bytes, Placement)>>,
        /// How new versions take over.
        pace: Pace,
    },
    /// How many workers the running versions of a program have.
    Scale {
        /// The program's name.
        program: Arc<str>,
        /// Workers in the whole cluster, spares not counted.
        workers: u32,
    },
    /// Gives all calls to the version that served before the roll-out under way, or else to the
    /// version before the one that runs.
    Rollback {
        /// The program's name.
        program: Arc<str>,
        /// The version to take back; another one running refuses the change. None: whichever runs.
        version: Option<u32>,
        /// Why, for people.
        why: Arc<str>,
    },
    /// Lets the roll-out under way go no further than a weight, or go on. One that only shadowed
    /// begins.
    Hold {
        /// The program's name.
        program: Arc<str>,
        /// The new version's weight in percent, 1 to 99; none lets it go on to all.
        weight: Option<u32>,
    },
    /// Divides calls among the versions of a program that run. Only one left ends a roll-out.
    SetShares {
        /// The program's name.
        program: Arc<str>,
        /// One or two versions that run, not all of weight 0.
        shares: Vec<Share>,
    },
    /// Adds or replaces a join token; expired ones are dropped.
    PutJoinToken {
        /// The token's name, for people.
        name: Arc<str>,
        /// The token.
        token: JoinToken,
        /// The proposer's time, in seconds since 1970.
        now_unix_s: u64,
    },
    /// Removes a join token. Nodes that came with it stay.
    RemoveJoinToken(Arc<str>),
    /// Adds or replaces an access token; expired ones are dropped.
    PutAccessToken {
        /// The token's name, for people.
        name: Arc<str>,
        /// The token.
        token: AccessToken,
        /// The proposer's time, in seconds since 1970.
        now_unix_s: u64,
    },
    /// Removes an access token.
    RemoveAccessToken(Arc<str>),
    // From here on: unknown to version 1 of the link protocol, and a line each in `needs`.
    /// Raises the cluster's level: all masters and all nodes that are up speak this version of the
    /// link protocol. Proposed by leaders alone, who know.
    Raise(u16),
}

impl Change {
    /// The level that a cluster must have before this change may be sent to its masters, and what
    /// needs it, for people. Changes that all builds know need level 1.
    pub(crate) fn needs(&self) -> (u16, &'static str) {
        match self {
            Self::Apply {
                pace: Pace::Shadow(_),
                ..
            } => (2, "a shadow"),
            // `Raise` too: whoever proposes it knows that all masters know it.
            _ => (1, ""),
        }
    }

    /// Whether only leaders propose it, by themselves: the cluster would be lost to all its nodes at a
    /// level that none of them speaks.
    pub(crate) fn is_of_leaders(&self) -> bool {
        matches!(self, Self::Raise(_))
    }

    /// Whether it changes programs.
    pub(super) fn is_of_programs(&self) -> bool {
        matches!(
            self,
            Self::Apply { .. }
                | Self::Scale { .. }
                | Self::Rollback { .. }
                | Self::Hold { .. }
                | Self::SetShares { .. }
        )
    }
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The revision of hard state with the change in it.
    pub revision: u64,
    /// The id of the node that a `Found` or an `AddNode` made, or had made before.
    pub node: Option<NodeId>,
}

/// Why a change was refused. Hard state is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Anything but `Found` came first.
    #[error("expected a founded cluster, got none; run `katamari init` on the first master")]
    NotFounded,
    /// A second `Found`.
    #[error("expected no cluster, got cluster {0}; join it, or use another data folder")]
    Founded(ClusterId),
    /// No such node.
    #[error("expected a node of this cluster, got id {}; `katamari status` lists them", .0.0)]
    UnknownNode(NodeId),
    /// The node's certificate is void.
    #[error(
        "expected a node in good standing, got node {}, which is revoked; join again with a new key",
        .0.0
    )]
    Revoked(NodeId),
    /// Another node has the name.
    #[error("expected a new name, got {name:?}, which node {} has; choose another or revoke that node", .node.0)]
    NameTaken {
        /// The name.
        name: Arc<str>,
        /// Who has it.
        node: NodeId,
    },
    /// No join token has this secret.
    #[error(
        "expected a join token of this cluster, got an unknown one; ask a master for a new one"
    )]
    UnknownJoinToken,
    /// The join token's time is over.
    #[error(
        "expected a valid join token, got {0:?}, which has expired; ask a master for a new one"
    )]
    ExpiredJoinToken(Arc<str>),
    /// The join token does not allow these roles.
    #[error(
        "expected roles that join token {0:?} allows, got more; ask for fewer, or for another token"
    )]
    RolesNotAllowed(Arc<str>),
    /// The list of masters would be empty.
    #[error("expected at least one master to remain, got none; add another master first")]
    LastMaster,
    /// One of at most two masters would be revoked, or too few of those that stay run.
    #[error("expected a majority of the masters to run without node {}, got too few: start those that are down, or let another join first", .0.0)]
    TooFewMasters(NodeId),
    /// A master must have the role.
    #[error("expected a node with the role of a master, got node {}; give it the role, or take it from the list of masters first", .0.0)]
    NotMaster(NodeId),
    /// A master is in the list twice.
    #[error("expected each master once, got node {} twice", .0.0)]
    RepeatedMaster(NodeId),
    /// The programs are not those that the proposer saw.
    #[error(
        "expected the programs of revision {expected}, got those of {revision}: somebody else changed them; look at the difference again"
    )]
    Outdated {
        /// What the proposer saw.
        expected: u64,
        /// That of the last change of programs.
        revision: u64,
    },
    /// No such program.
    #[error("expected a program of this cluster, got {0:?}; `katamari status` lists them")]
    UnknownProgram(Arc<str>),
    /// No such version of a program.
    #[error("expected a version of program {program:?} that is kept, got {version}")]
    UnknownVersion {
        /// The program's name.
        program: Arc<str>,
        /// The version's number.
        version: u32,
    },
    /// There is nothing to go back to.
    #[error(
        "expected a version of program {0:?} before the one that runs, got none; apply the file you want"
    )]
    NoVersionBefore(Arc<str>),
    /// Shares that say nothing, or name a version twice.
    #[error(
        "expected one or two versions of program {0:?}, each once and not all of weight 0, got other shares"
    )]
    BadShares(Arc<str>),
    /// Nothing is being rolled out.
    #[error(
        "expected a roll-out of program {0:?}, got none under way; `katamari apply` starts one"
    )]
    NoRollout(Arc<str>),
    /// A version is to be taken back that does not run.
    #[error("expected version {version} of program {program:?} to run, but another one does")]
    AnotherRuns {
        /// The program's name.
        program: Arc<str>,
        /// The version's number.
        version: u32,
    },
    /// A canary's weight is none.
    #[error("expected a weight of 1 to 99 percent, got {0}")]
    BadWeight(u32),
    /// No such token.
    #[error("expected the name of a token, got {0:?}")]
    UnknownToken(Arc<str>),
    /// Another access token has the secret.
    #[error("expected a new secret, got that of the token {0:?}; draw another")]
    SecretTaken(Arc<str>),
    /// Something that must not be is empty or zero.
    #[error("expected {what}, got nothing")]
    Empty {
        /// What it is.
        what: Arc<str>,
    },
    /// A limit would be passed.
    #[error("expected at most {max} {what}, got {came}")]
    OverLimit {
        /// What is counted, in the plural, with its unit.
        what: Arc<str>,
        /// The limit.
        max: u64,
        /// What it would be.
        came: u64,
    },
    // From here on: unknown to version 1 of the link protocol, so only an answer to what that does
    // not know either.
    /// Some members are too old.
    #[error(
        "expected all nodes to speak link protocol {needs}, which {what} needs, got a cluster at \
         {level}: {}",
        remedy(.old)
    )]
    Level {
        /// What needs it.
        what: Arc<str>,
        /// The version that it needs.
        needs: u16,
        /// The version that all members are known to speak.
        level: u16,
        /// Who speaks an older one, if whoever refuses knows that.
        old: Vec<NodeId>,
    },
    /// A shadow's part of the calls is none.
    #[error("expected a part of 1 to 100 percent of the calls, got {0}")]
    BadPercent(u32),
    /// A level that somebody else than a leader asks for.
    #[error(
        "expected a change that people make, got a raise of the level; it rises by itself once all nodes are upgraded"
    )]
    OfLeaders,
}

/// What to do about nodes that are too old.
fn remedy(old: &[NodeId]) -> String {
    let ids: Vec<String> = old.iter().map(|node| node.0.to_string()).collect();
    match ids.as_slice() {
        [] => "upgrade the nodes that run an older build, and try again".to_owned(),
        [id] => format!("node {id} speaks an older one; upgrade it first"),
        ids => format!(
            "nodes {} speak an older one; upgrade them first",
            ids.join(", ")
        ),
    }
}
