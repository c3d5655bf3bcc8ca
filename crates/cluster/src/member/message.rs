//! What members and masters say to each other over links, as service `Members`.

use super::health::Health;
use crate::consensus::ProposeError;
use crate::hard::grown::{self, Grown, Rest};
use crate::hard::{Applied, Change, Refusal, Roles};
use crate::placement::{Job, Unplaced};
use crate::soft::{Announcement, Capacity, OrderNumber, Report};
use bytes::Bytes;
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A message that nobody answers. Hard state stands in the payload, for it may be larger than the
/// header of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// To a master: what a node says of itself. The payload is its note, empty if that is no news;
    /// version 1 of the link protocol has none.
    Announce(Announcement),
    /// To a master: send a snapshot, for changes are missing.
    AskHard,
    /// To a member: report in full, for something is missing.
    AskReport,
    /// To a member: all of hard state that it may see, as the payload.
    Snapshot,
    /// To a member: what changed in hard state, as the payload.
    Patch,
    /// To a member: who lives, as this master sees it.
    Living(Living),
    /// To a member: who leads, as this master sees it.
    Leads(Leads),
    /// To a manager: what to run.
    Orders(Orders),
}

/// Who lives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Living {
    /// Whether `up` is everything; otherwise it is what is new.
    pub is_full: bool,
    /// Whether this master has run for long enough to know who is down.
    pub is_settled: bool,
    /// Who is up.
    pub up: BTreeMap<NodeId, Summary>,
    /// Who is not up any more.
    pub down: BTreeSet<NodeId>,
    /// How programs are doing, if that is news.
    pub health: Option<Health>,
}

/// What every member knows of a node that is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Which start of its process.
    pub incarnation: u64,
    /// What it is for.
    pub roles: Roles,
    /// What it has.
    pub capacity: Capacity,
}

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Leads {
    /// Counts elections.
    pub term: u64,
    /// The leader, if a master hears one.
    pub leader: Option<NodeId>,
}

/// What a manager is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The place of these orders among all; older ones are refused.
    pub number: OrderNumber,
    /// The revision of hard state that they were made from.
    pub revision: u64,
    /// What to run; what is not listed is to be stopped.
    pub programs: Vec<Order>,
}

/// How much of a program's version to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The program's name.
    pub program: Arc<str>,
    /// The version's number.
    pub version: u32,
    /// Workers that take calls.
    pub workers: u32,
    /// Ready standbys beside them.
    pub spare: u32,
}

/// A question to a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Change hard state. Answered by [`Proposed`].
    Propose(Change),
    /// What do you know? Answered by [`Status`].
    Status,
    /// Let me have a new certificate. What this says, and the payload that answers it, is known to
    /// those who sign.
    Renew(Vec<u8>),
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proposed {
    /// It was applied.
    Applied(Applied),
    /// It makes no sense; nothing was changed.
    Refused(Refusal),
    /// There is no leader; nothing was changed.
    NoLeader,
    /// It may have been applied, or may yet be.
    Uncertain(Arc<str>),
}

/// What a master knows of nodes and of what it placed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// The last report of each node that is up.
    pub reports: BTreeMap<NodeId, Report>,
    /// What found no place; empty unless this master leads.
    pub unplaced: BTreeMap<Job, Unplaced>,
    // From here on: appended since version 1 of the link protocol.
    /// What nodes that are up noted; opaque here.
    #[serde(default, with = "grown::appended")]
    pub notes: BTreeMap<NodeId, Bytes>,
}

impl Grown for Status {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = grown::begin(self);
        grown::append(&mut bytes, &self.notes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (mut status, rest): (Self, _) = postcard::take_from_bytes(bytes)?;
        status.notes = Rest(rest).next()?.unwrap_or_default();
        Ok(status)
    }
}

impl From<Result<Applied, ProposeError>> for Proposed {
    fn from(result: Result<Applied, ProposeError>) -> Self {
        match result {
            Ok(applied) => Self::Applied(applied),
            Err(ProposeError::Refused(refusal)) => Self::Refused(refusal),
            Err(ProposeError::NoLeader) => Self::NoLeader,
            Err(ProposeError::Uncertain(why)) => Self::Uncertain(why),
        }
    }
}

impl From<Proposed> for Result<Applied, ProposeError> {
    fn from(proposed: Proposed) -> Self {
        match proposed {
            Proposed::Applied(applied) => Ok(applied),
            Proposed::Refused(refusal) => Err(ProposeError::Refused(refusal)),
            Proposed::NoLeader => Err(ProposeError::NoLeader),
            Proposed::Uncertain(why) => Err(ProposeError::Uncertain(why)),
        }
    }
}
