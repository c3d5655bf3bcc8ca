//! Membership: every node announces itself to the masters and follows what they say; masters listen
//! and pass on; the leader orders. The shell around `soft` and `placement`, over the links of a mesh.
//!
//! ```text
//!   Member::announce ──> announcer ══ link ══> soft (master) ──┬─> Living ══ link ══> knowledge ──> View
//!   consensus ── hard state ────────────────────────────────> │ ─> Snapshot, Patch ══>    │
//!                                     placement (the leader) ──┴─> Orders ═══════════>    └──> Orders
//! ```
//!
//! One task a node, in `shell`, owns all of it: it takes an event, lets the pure parts decide and
//! sends what they give out. `knowledge` is what a member knows, `announcer` what it says, `wanted`
//! whom it links with; `master` is what a master does besides, with `health` and, for the leader, `ordering`,
//! `handover` and the crate's `rollout`;
//! `upgrade` for the cluster's level; `patch` for hard state on its way; `message` is what they say to each other, `questions` what
//! they ask, and `renewals` how a node gets a new certificate.

mod announcer;
mod handover;
mod health;
mod knowledge;
mod master;
mod message;
pub(crate) mod ordering;
mod patch;
mod questions;
mod renewals;
mod shell;
mod upgrade;
mod wanted;

pub use health::Health;
pub use knowledge::View;
pub use master::{MasterSettings, Proposals};
pub use message::{Order, Orders, Status, Summary};
pub use renewals::Renewals;

use crate::consensus::ProposeError;
use crate::hard::{Applied, Change};
use crate::soft::Report;
use bytes::Bytes;
use pool::NodeId;
use shell::{Command, Shell};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use wire::Mesh;

/// Commands that wait for the task: it takes each at once, so few ever do.
const COMMANDS_MAX: usize = 64;

/// Bytes of what a node may note for others: a status has those of all nodes.
pub const NOTE_BYTES_MAX: usize = 16 << 10;

/// What a member is started with.
#[derive(Debug, Clone)]
pub struct MemberSettings {
    /// This node.
    pub me: NodeId,
    /// Which start of its process, as its links say.
    pub incarnation: u64,
    /// Masters to begin with, and their addresses as `host:port`; once hard state is known, that
    /// says who they are.
    pub masters: BTreeMap<NodeId, String>,
    /// What it says of itself at first. Its roles hold until hard state says others.
    pub report: Report,
}

/// A node's membership. Cheap to clone; it ends with the last clone, or with the mesh.
#[derive(Debug, Clone)]
pub struct Member {
    commands: mpsc::Sender<Command>,
    report: Arc<watch::Sender<Report>>,
    note: Arc<watch::Sender<Bytes>>,
    view: watch::Receiver<Arc<View>>,
    orders: watch::Receiver<Option<Orders>>,
}

impl Member {
    /// Starts to announce and to follow. Needs a tokio runtime.
    ///
    /// # Panics
    ///
    /// If the mesh has a subscriber of [`wire::Service::Members`] already.
    pub fn start(mesh: Mesh, settings: MemberSettings) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (report, reported) = watch::channel(settings.report.clone());
        let (note, noted) = watch::channel(Bytes::new());
        let (show, view) = watch::channel(Arc::default());
        let (order, orders) = watch::channel(None);
        let shell = Shell::new(mesh, settings, inbox, (reported, noted), show, order);
        tokio::spawn(shell.run());
        Self {
            commands,
            report: Arc::new(report),
            note: Arc::new(note),
            view,
            orders,
        }
    }

    /// The cluster as this node sees it.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// What the leader orders this node to run: none until a leader did, and the last ones as long
    /// as there is no leader.
    pub fn orders(&self) -> watch::Receiver<Option<Orders>> {
        self.orders.clone()
    }

    /// Says what this node says of itself from now on. Masters hear what changed with the next
    /// beacon, within 250 ms; roles, capacity and commands at once.
    pub fn announce(&self, report: Report) {
        self.report.send_if_modified(|known| {
            let is_news = *known != report;
            *known = report;
            is_news
        });
    }

    /// Says to the masters, from the next beacon on, what they keep beside the report and give to
    /// whoever asks for the status: opaque to them, not empty, and [`NOTE_BYTES_MAX`] at most; what
    /// is larger is not sent. Masters of version 1 of the link protocol ignore it.
    pub fn note(&self, note: Bytes) {
        self.note.send_if_modified(|known| {
            let is_news = *known != note && note.len() <= NOTE_BYTES_MAX;
            if is_news {
                *known = note;
            }
            is_news
        });
    }

    /// Proposes a change of hard state to the leader, over a master that this node reaches.
    ///
    /// # Errors
    ///
    /// [`ProposeError`], which says whether something may have changed.
    pub async fn propose(&self, change: Change) -> Result<Applied, ProposeError> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Propose(change, answer)).await;
        let gone = "the membership of this node has ended";
        let answered = answered.await;
        answered.unwrap_or_else(|_| Err(ProposeError::Uncertain(gone.into())))
    }

    /// What the leader, or else the first master that this node reaches, knows of nodes and
    /// programs; none if it reaches none.
    pub async fn status(&self) -> Option<Status> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Status(answer)).await;
        answered.await.ok().flatten()
    }

    /// Asks a master for a new certificate. What `question` says, and the answer, is known to the
    /// [`Renewals`] of the masters.
    ///
    /// # Errors
    ///
    /// Why no master gave one.
    pub async fn renew(&self, question: Vec<u8>) -> Result<Bytes, String> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Renew(question, answer)).await;
        let gone = |_| Err("the membership of this node has ended".to_owned());
        answered.await.unwrap_or_else(gone)
    }

    /// Does nothing if the task has ended: the answer's sender is dropped, which says so.
    async fn command(&self, command: Command) {
        drop(self.commands.send(command).await);
    }
}

/// What a master does besides being a member: it listens to all nodes, tells them what changed, and
/// orders while it leads.
#[derive(Debug)]
pub struct Master(Member);

impl Master {
    /// Makes a member a master. It knows the living nodes within two beacons of their links.
    pub async fn start(member: &Member, settings: MasterSettings) -> Self {
        member.command(Command::StartMaster(settings)).await;
        Self(member.clone())
    }

    /// Makes it a mere member again.
    pub async fn stop(self) {
        self.0.command(Command::StopMaster).await;
    }
}
