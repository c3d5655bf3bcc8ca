//! What hard state is made of: nodes, programs and their versions, tokens.
//!
//! Values alone; what may be in them is checked where a change is applied.

use bytes::Bytes;
use pool::Class;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The identity of a cluster: 16 random bytes, drawn when it is founded.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A SHA-256: of a token's secret, of a certificate request. A secret of 32 random bytes needs no
/// slow hash, for there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Debug for Digest {
    /// The first four bytes: enough to tell digests apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Digest({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// Labels of a node, or those that a program asks for.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// What a node is for; any mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roles {
    /// It may be put into the list of masters.
    pub master: bool,
    /// It runs workers.
    pub manager: bool,
    /// It takes calls in.
    pub faceplate: bool,
}

impl Roles {
    /// All three, as a lone laptop has.
    pub const ALL: Self = Self {
        master: true,
        manager: true,
        faceplate: true,
    };

    /// Whether each role in `self` is also in `other`.
    pub fn within(self, other: Self) -> bool {
        (!self.master || other.master)
            && (!self.manager || other.manager)
            && (!self.faceplate || other.faceplate)
    }
}

/// A node as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// What people call it; unique among nodes that are not revoked.
    pub name: Arc<str>,
    /// `host:port` of the listener for links.
    pub address: Arc<str>,
    /// What it is for.
    pub roles: Roles,
    /// What placement may ask for.
    pub labels: Labels,
    /// The certificate request it joined with: a join tried again shows the same.
    pub request: Digest,
    /// Gets no new workers, and its old ones move away.
    pub draining: bool,
    /// Its certificate is void, for ever.
    pub revoked: bool,
}

/// A program in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRecord {
    /// By number, the newest last; [`VERSIONS_MAX`](super::limits::VERSIONS_MAX) at most. Never empty.
    pub versions: Vec<ProgramVersion>,
    /// Which versions run, and how calls are divided among them: one normally, two in a roll-out or
    /// canary, older first. Never empty, and never all of weight 0.
    pub shares: Vec<Share>,
    /// The roll-out under way: what a leader needs to go on with it, besides the shares.
    pub rollout: Option<Rollout>,
    /// The last version that was taken back, until another one has taken over.
    pub taken_back: Option<TakenBack>,
}

/// A version on its way to all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version that served before, and serves again if the new one fails.
    pub from: u32,
    /// The new version.
    pub to: u32,
    /// Of a canary: the weight in percent at which the new version stays until told otherwise.
    pub held: Option<u32>,
}

/// A version that answers nobody: copies of calls are made on it, and their answers compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The new version of the roll-out that has not begun.
    pub version: u32,
    /// The part of the calls that is copied, in percent: 1 to 100.
    pub percent: u32,
}

/// A version that is not to run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The version's number.
    pub version: u32,
    /// Why.
    pub why: Arc<str>,
}

impl ProgramRecord {
    /// The version of this number, if it is still kept.
    pub fn version(&self, number: u32) -> Option<&ProgramVersion> {
        self.versions
            .iter()
            .find(|version| version.number == number)
    }

    /// The newest version that runs.
    pub fn newest_running(&self) -> u32 {
        let numbers = self.shares.iter().map(|share| share.version);
        numbers.max().expect("a program has at least one share")
    }
}

/// One version of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramVersion {
    /// Grows with each version, and never comes again for a program of this name, not even after its
    /// removal.
    pub number: u32,
    /// Versions of one lane replace each other in place, those of two run side by side. It never
    /// changes while the version runs, so dispatchers know its workers by program and lane.
    pub lane: u32,
    /// What the manager needs to run it; opaque here.
    pub spec: Bytes,
    /// Where its workers may be and how many.
    pub placement: Placement,
}

/// How much of a program's calls a version gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The version's number.
    pub version: u32,
    /// Relative to the other share. 0: one worker is started and interrogated, and gets no calls.
    pub weight: u32,
}

/// What placement needs to know of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// How many workers are wanted in the whole cluster.
    pub workers: u32,
    /// Ready standbys beyond them.
    pub spare: u32,
    /// The label over whose values the workers are spread evenly.
    pub spread: Option<Arc<str>>,
    /// Labels that a node must have.
    pub constraints: Labels,
    /// Bytes a worker may take; 0 if unknown.
    pub memory: u64,
    /// What a node must be able to run; empty if its files are shipped.
    pub command: Arc<str>,
}

/// Lets nodes join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The digest of its secret.
    pub secret: Digest,
    /// The roles that a newcomer may have.
    pub roles: Roles,
    /// Until when, in seconds since 1970.
    pub expires_unix_s: u64,
}

/// Lets clients in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The digest of its secret.
    pub secret: Digest,
    /// The kinds of workers that may be called; none: all.
    pub kinds: Option<BTreeSet<Arc<str>>>,
    /// The highest class a call may have.
    pub class_max: Class,
    /// How fast it may be used, at each node; none: as fast as it can.
    pub rate: Option<Rate>,
    /// Whether status, metrics and the stories of calls may be read.
    pub observe: bool,
    /// Until when, in seconds since 1970; without end if none.
    pub expires_unix_s: Option<u64>,
}

impl AccessToken {
    /// Grants calls of any kind, of class `normal` at most, as fast as they come and without end.
    pub fn new(secret: Digest) -> Self {
        Self {
            secret,
            kinds: None,
            class_max: Class::default(),
            rate: None,
            observe: false,
            expires_unix_s: None,
        }
    }
}

/// How fast an access token may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// In the long run.
    pub calls_per_second: NonZeroU32,
    /// At once, after a pause.
    pub burst: NonZeroU32,
}
