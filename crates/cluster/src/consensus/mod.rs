//! Hard state by consensus: masters agree on the order of changes, and one of them leads.
//!
//! The one module that knows openraft; decision 0013 says why that and which. Start reading at
//! [`Consensus`]. `election` says who should lead and `leadership` sees to it, `voters` follows the
//! list of masters, `machine` applies changes, `store` and `disk` keep the log, `network` is what
//! masters ask each other, and `mesh` carries it over links.

mod disk;
mod election;
mod leadership;
mod machine;
mod mesh;
mod network;
mod store;
mod types;
mod voters;

pub use disk::{Memory, Place};
pub use election::Patience;
pub use mesh::MeshCarrier;
pub use network::{Carried, Carrier, CarryError};

use crate::hard::{Applied, Change, Hard, Refusal};
use bytes::Bytes;
use disk::{Disk, Writer};
use leadership::Watcher;
use machine::Machine;
use network::{Answer, Desk, Network, Question};
use openraft::SnapshotPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::error::{ClientWriteError, InitializeError, RaftError};
use pool::NodeId;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::LogStore;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use types::{Proposal, Raft};

/// Committed changes kept for who follows them; who is slower starts again from hard state.
const CHANGES_MAX: usize = 1_024;
/// How soon a proposal that found no leader looks again, if nothing wakes it before.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a master is started with.
pub struct Settings {
    /// This node.
    pub me: NodeId,
    /// The way to the other masters.
    pub carrier: Arc<dyn Carrier>,
    /// Where its log is kept.
    pub place: Place,
    /// How long things may take.
    pub timing: Timing,
}

/// How long things may take. All masters of a cluster have the same.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How often a leader lets itself be heard. A heartbeat must be answered within this time.
    pub heartbeat: Duration,
    /// When masters elect and hand over.
    pub patience: Patience,
    /// How long another master may take for an answer.
    pub answer: Duration,
    /// How long a proposal waits for a leader: longer than an election takes.
    pub leader: Duration,
    /// How long a proposal may take in all.
    pub propose: Duration,
    /// Entries of the log after which a snapshot takes their place.
    pub snapshot_after: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            patience: Patience {
                down_after: Duration::from_millis(750),
                step: Duration::from_millis(150),
                settle: Duration::from_secs(10),
            },
            answer: Duration::from_secs(2),
            leader: Duration::from_secs(2),
            propose: Duration::from_secs(5),
            snapshot_after: 1_000,
        }
    }
}

impl Timing {
    fn config(&self) -> openraft::Config {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        // For this long after a heartbeat no master helps to elect another leader: shorter than
        // the time after which masters try, by the time between two heartbeats.
        let lease = millis(self.patience.down_after.saturating_sub(self.heartbeat));
        openraft::Config {
            cluster_name: "katamari".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: lease.saturating_sub(1),
            election_timeout_max: lease,
            // A leader that is heard but hears nobody must fall silent, or nobody else is elected.
            quorum_loss_probe_interval: Some(2 * lease),
            enable_elect: false,
            // A leader sends entries while it writes them. One that led on in its term after a
            // restart could give the index of an entry that it lost to another: two changes that
            // Raft takes for the same.
            enable_leader_restore: Some(false),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_after),
            max_in_snapshot_log_to_keep: self.snapshot_after / 4,
            replication_lag_threshold: 2 * self.snapshot_after,
            ..openraft::Config::default()
        }
    }
}

/// Who leads, as this master knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    /// Counts elections; each term has one leader at the most.
    pub term: u64,
    /// The leader, if this master hears one, or is one that a majority answers.
    pub leader: Option<NodeId>,
    /// Whether this master leads, is answered by a majority, and has applied all that was agreed
    /// on before it led.
    pub i_lead: bool,
}

/// A change that was agreed on and altered hard state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision of hard state with it.
    pub revision: u64,
    /// What changed.
    pub change: Change,
}

/// Why a master did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its file cannot be used.
    #[error("expected to {what} for the masters' log {path}, got: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What came.
        source: io::Error,
    },
    /// A record was written by another version.
    #[error(
        "expected format {known} of the {record} in {path}, got {came}: another version of \
         Katamari wrote it; run that version, or revoke this master and join it again from an \
         empty folder"
    )]
    UnknownFormat {
        /// Which record.
        record: String,
        /// The file.
        path: PathBuf,
        /// Its format.
        came: u8,
        /// The format that this build reads.
        known: u8,
    },
    /// A record makes no sense.
    #[error(
        "expected a readable {record} in {path}, got: {problem}; revoke this master and join it \
         again from an empty folder"
    )]
    Broken {
        /// Which record.
        record: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// openraft did not start.
    #[error("the masters' consensus did not start: {0}")]
    Raft(String),
}

/// Why a proposal was not applied, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader that a majority of masters reaches: nothing was changed.
    #[error(
        "expected a leader that a majority of the masters reaches, got none: nothing was changed; \
         see that more than half of the masters run and reach each other"
    )]
    NoLeader,
    /// The change makes no sense in this state: nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The change may have been applied, or may yet be.
    #[error(
        "expected to learn what became of the change, got: {0}; look at the state before you try again"
    )]
    Uncertain(Arc<str>),
}

/// A master's part in consensus. Cheap to clone; it works until [`Consensus::stop`].
#[derive(Clone)]
pub struct Consensus(Arc<Shared>);

struct Shared {
    me: NodeId,
    raft: Raft,
    desk: Arc<Desk>,
    carrier: Arc<dyn Carrier>,
    timing: Timing,
    hard: watch::Receiver<Arc<Hard>>,
    changes: broadcast::Sender<Arc<Committed>>,
    leadership: watch::Receiver<Leadership>,
    disk: Disk,
    /// What ends in `stop`; none afterwards.
    running: Mutex<Option<Running>>,
}

struct Running {
    watcher: JoinHandle<()>,
    voters: JoinHandle<()>,
    writer: Writer,
}

impl Consensus {
    /// Starts a master with what its place remembers: hard state is there when this returns. With
    /// an empty place it waits until it is asked to found a cluster, or a leader teaches it.
    ///
    /// # Errors
    ///
    /// [`StartError`]: its file cannot be read, or was written by another version.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings {
            me,
            carrier,
            place,
            timing,
        } = settings;
        let started = Instant::now();
        let raft_error = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
        let config = timing
            .config()
            .validate()
            .map_err(|error| raft_error(&error))?;
        // Reading a file is short, and nothing else of a node can begin before it.
        let (disk, writer, mut contents) = Disk::open(place)?;
        let (publish_hard, hard) = watch::channel(Arc::default());
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let machine = Machine::new(&mut contents, disk.clone(), publish_hard, changes.clone());
        let log = LogStore::new(&mut contents, disk.clone());
        let network = Network {
            carrier: Arc::clone(&carrier),
            timeout: timing.answer,
        };
        let raft = Raft::new(me.0, Arc::new(config), network, log, machine).await;
        let raft = raft.map_err(|error| raft_error(&error))?;
        let desk = Arc::new(Desk::new());
        let (published, leadership) = watch::channel(Leadership::default());
        let watcher = Watcher {
            me,
            raft: raft.clone(),
            desk: Arc::clone(&desk),
            patience: timing.patience,
            hard: hard.clone(),
            published,
            started,
        };
        let voters = voters::reconcile(raft.clone(), hard.clone(), leadership.clone());
        let running = Running {
            watcher: tokio::spawn(watcher.run()),
            voters: tokio::spawn(voters),
            writer,
        };
        Ok(Self(Arc::new(Shared {
            me,
            raft,
            desk,
            carrier,
            timing,
            hard,
            changes,
            leadership,
            disk,
            running: Mutex::new(Some(running)),
        })))
    }

    /// Hard state as this master knows it. Without a leader it stays as it was, and can be read.
    pub fn hard(&self) -> watch::Receiver<Arc<Hard>> {
        self.0.hard.clone()
    }

    /// The changes from now on, in order. Subscribe first, then take [`Consensus::hard`], then skip
    /// changes up to its revision. Whoever is too slow, or sees a gap in the revisions because this
    /// master took a snapshot, takes hard state anew.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.0.changes.subscribe()
    }

    /// Who leads.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// Founds a cluster with this node as its first and only master.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Refused`] if there is a cluster already.
    ///
    /// # Panics
    ///
    /// If the change is not a [`Change::Found`], or this node is not node 1.
    pub async fn found(&self, change: Change) -> Result<Applied, ProposeError> {
        assert!(
            matches!(change, Change::Found { .. }),
            "a cluster begins with a `Found`"
        );
        assert_eq!(
            self.0.me,
            NodeId(1),
            "the first node of a cluster is node 1"
        );
        let me = std::collections::BTreeMap::from([(self.0.me.0, ())]);
        match self.0.raft.initialize(me).await {
            // Initialized before: a crash may have come between that and the change.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(uncertain(error)),
        }
        self.propose(change).await
    }

    /// Proposes a change to the leader, and waits until it is applied there. During an election it
    /// waits for the new leader. If this is dropped, the change may be applied all the same.
    ///
    /// # Errors
    ///
    /// [`ProposeError`], which says whether something may have changed.
    pub async fn propose(&self, change: Change) -> Result<Applied, ProposeError> {
        // An older leader could not even read it.
        self.0.hard.borrow().admits(&change)?;
        let began = Instant::now();
        let deadline = began + self.0.timing.propose;
        let mut leadership = self.leadership();
        loop {
            let known = *leadership.borrow_and_update();
            let came = match known.leader {
                _ if known.i_lead => self.commit(&change, deadline).await?,
                Some(leader) => self.forward(leader, &change, deadline).await?,
                None => None,
            };
            if let Some(result) = came {
                return Ok(result?);
            }
            if began.elapsed() >= self.0.timing.leader {
                return Err(ProposeError::NoLeader);
            }
            let news = tokio::time::timeout(LOOK_AGAIN, leadership.changed()).await;
            if let Ok(Err(_stopped)) = news {
                return Err(ProposeError::NoLeader);
            }
        }
    }

    /// Puts a change into the log of this leader. None if it does not lead after all.
    async fn commit(
        &self,
        change: &Change,
        deadline: Instant,
    ) -> Result<Option<Result<Applied, Refusal>>, ProposeError> {
        if let Change::RevokeNode(node) = change {
            let (seen, hard) = (self.0.raft.metrics(), self.0.hard.borrow().clone());
            let patience = self.0.timing.patience.down_after;
            let seen = seen.borrow_watched();
            if !leadership::outlives(&seen, self.0.me, &hard.masters, *node, patience) {
                return Ok(Some(Err(Refusal::TooFewMasters(*node))));
            }
        }
        let write = self.0.raft.client_write(Proposal(change.clone()));
        let Ok(written) = tokio::time::timeout_at(deadline, write).await else {
            return Err(uncertain(
                "a majority of the masters did not answer in time",
            ));
        };
        match written {
            Ok(written) => Ok(written.data.0),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Ok(None),
            Err(error) => Err(uncertain(error)),
        }
    }

    /// Gives a change to the leader. None if that does not lead, or cannot be reached.
    async fn forward(
        &self,
        leader: NodeId,
        change: &Change,
        deadline: Instant,
    ) -> Result<Option<Result<Applied, Refusal>>, ProposeError> {
        let question = network::encode(&Question::Propose(change.clone()));
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = match self.0.carrier.ask(leader, question, left).await {
            Ok(answer) => answer,
            Err(CarryError::NotSent(_)) => return Ok(None),
            Err(error @ CarryError::NotAnswered(_)) => return Err(uncertain(error)),
        };
        match network::decode(&answer).map_err(uncertain)? {
            Answer::Proposed(result) => Ok(Some(result)),
            Answer::NotLeader => Ok(None),
            Answer::Failed(problem) => Err(uncertain(problem)),
            _ => Err(uncertain("the leader's answer does not fit")),
        }
    }

    /// Answers a question that a carrier brought from another node.
    pub async fn answer(&self, from: NodeId, question: &[u8]) -> Bytes {
        let answer = match network::decode(question) {
            Err(problem) => Answer::Failed(problem),
            Ok(_) if !self.may_ask(from) => Answer::Failed(format!("node {} is no master", from.0)),
            Ok(Question::Propose(change)) => self.answer_proposal(&change).await,
            Ok(question) => self.0.desk.answer(&self.0.raft, question).await,
        };
        network::encode(&answer)
    }

    /// Whether a node may take part: not if it is known not to have the role. This master may lag,
    /// so one that it does not know yet may.
    fn may_ask(&self, from: NodeId) -> bool {
        let hard = self.0.hard.borrow();
        let record = hard.nodes.get(&from);
        record.is_none_or(|record| record.roles.master && !record.revoked)
    }

    async fn answer_proposal(&self, change: &Change) -> Answer {
        // A new leader decides a moment after it was elected: the asker tries again.
        if !self.0.leadership.borrow().i_lead {
            return Answer::NotLeader;
        }
        let deadline = Instant::now() + self.0.timing.propose;
        match self.commit(change, deadline).await {
            Ok(Some(result)) => Answer::Proposed(result),
            Ok(None) => Answer::NotLeader,
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    /// Gives leadership away, so that the others need not miss this master to elect another.
    async fn hand_over(&self) {
        let mut leadership = self.leadership();
        if !leadership.borrow().i_lead {
            return;
        }
        // Who has just been sent something has it a moment later.
        let heir = tokio::time::timeout(2 * self.0.timing.heartbeat, self.heir()).await;
        let Ok(heir) = heir else {
            return;
        };
        if self.0.raft.trigger().transfer_leader(heir.0).await.is_ok() {
            let given = leadership.wait_for(|known| !known.i_lead);
            let patience = self.0.timing.patience.down_after;
            // Without it the others elect a little later.
            let _ = tokio::time::timeout(patience, given).await;
        }
    }

    /// The first other master of the list that has all that this one has, once there is one.
    async fn heir(&self) -> NodeId {
        let mut metrics = self.0.raft.metrics();
        loop {
            {
                let seen = metrics.borrow_watched();
                let caught_up = leadership::caught_up(&seen);
                let hard = self.0.hard.borrow();
                let mut masters = hard.masters.iter().copied();
                let heir = masters.find(|&node| node != self.0.me && caught_up.contains(&node));
                if let Some(heir) = heir {
                    return heir;
                }
            }
            if metrics.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends this master's part: hands leadership over, and returns when all that it wrote is on
    /// disk.
    pub async fn stop(&self) {
        let running = {
            let mut running = self
                .0
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            running.take()
        };
        let Some(running) = running else {
            return;
        };
        running.voters.abort();
        self.hand_over().await;
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "openraft did not end in order");
        }
        // It ends with openraft, after saying that nobody leads.
        if let Err(error) = running.watcher.await {
            tracing::warn!(%error, "the election did not end in order");
        }
        self.0.disk.stop();
        running.writer.stop().await;
    }
}

fn uncertain(problem: impl std::fmt::Display) -> ProposeError {
    ProposeError::Uncertain(problem.to_string().into())
}
