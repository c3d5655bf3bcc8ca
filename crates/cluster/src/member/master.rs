//! What a master does besides being a member.
//!
//! Listens to announcements (`soft`), tells members of hard state, of who lives and who leads, and
//! lets `ordering` place while it leads. The shell feeds it and sends its [`Letter`]s.

use super::NOTE_BYTES_MAX;
use super::health::Health;
use super::message::{Leads, Living, Message, Orders, Status, Summary};
use super::ordering::Ordering;
use super::patch::{Patch, visible};
use super::renewals::Renewals;
use super::upgrade::Versions;
use crate::consensus::{Consensus, Leadership, ProposeError};
use crate::hard::grown::Grown;
use crate::hard::{Applied, Change, Hard};
use crate::rollout::Rollouts;
use crate::soft::{Announcement, Event, News, Node, Output, Soft};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use pool::{NodeId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long changes are gathered before members are told and workers are placed: a rack that goes
/// is one change, and nobody notices the delay.
const GATHER: Duration = Duration::from_millis(20);

/// After how long a master that starts takes nodes that it has not heard of for down: the longest
/// pause of a dialer, and as long again for the handshake and the first report.
const SETTLE: Duration = Duration::from_secs(2);

/// How soon a level is proposed again that has not come to be.
const RAISE_AGAIN: Duration = Duration::from_secs(1);

/// Who changes hard state: [`Consensus`], or a script in tests.
pub trait Proposals: Send + Sync + 'static {
    /// Proposes a change to the leader, and waits for what becomes of it.
    fn propose(&self, change: Change) -> BoxFuture<'static, Result<Applied, ProposeError>>;
}

impl Proposals for Consensus {
    fn propose(&self, change: Change) -> BoxFuture<'static, Result<Applied, ProposeError>> {
        let consensus = self.clone();
        Box::pin(async move { Self::propose(&consensus, change).await })
    }
}

/// What a master is started with.
#[derive(Clone)]
pub struct MasterSettings {
    /// Hard state as it is committed.
    pub hard: watch::Receiver<Arc<Hard>>,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Where members' proposals go.
    pub proposals: Arc<dyn Proposals>,
    /// Who signs for members; none on a master that does not.
    pub renewals: Option<Arc<dyn Renewals>>,
}

impl MasterSettings {
    /// Those of a running consensus, on a master that does not sign.
    pub fn of(consensus: &Consensus) -> Self {
        Self {
            hard: consensus.hard(),
            leadership: consensus.leadership(),
            proposals: Arc::new(consensus.clone()),
            renewals: None,
        }
    }
}

impl fmt::Debug for MasterSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterSettings").finish_non_exhaustive()
    }
}

/// Something to send to nodes, this one perhaps among them.
#[derive(Debug)]
pub struct Letter {
    pub to: Vec<NodeId>,
    pub message: Message,
    pub payload: Bytes,
}

/// The master part of a node.
#[derive(Debug)]
pub struct MasterPart {
    me: NodeId,
    settings: MasterSettings,
    soft: Soft,
    started: Instant,
    is_settled: bool,
    /// What members were told of last.
    hard: Arc<Hard>,
    /// The snapshot of that for those who see no access tokens, and for those who do.
    snapshots: [Option<Bytes>; 2],
    /// Nodes that came, changed or went, of which members were not told.
    news: BTreeSet<NodeId>,
    /// How programs are doing, as members were told.
    health: Health,
    /// Whether reports may have changed that.
    is_health_stale: bool,
    /// Of the term in which this master leads, or led last.
    ordering: Option<Ordering>,
    rollouts: Rollouts,
    /// What nodes noted for whoever asks.
    notes: BTreeMap<NodeId, Bytes>,
    versions: Versions,
    /// Who is too old for the cluster to rise, as the log has said.
    behind: Vec<NodeId>,
    /// When this master proposed a higher level.
    raised: Option<Instant>,
    /// What to propose.
    changes: Vec<Change>,
    /// When to tell members and to place.
    due: Option<Instant>,
    /// What to send.
    letters: Vec<Letter>,
}

impl MasterPart {
    pub fn new(me: NodeId, mut settings: MasterSettings) -> Self {
        let hard = settings.hard.borrow_and_update().clone();
        Self {
            me,
            settings,
            soft: Soft::default(),
            started: Instant::now(),
            is_settled: false,
            hard,
            snapshots: [None, None],
            news: BTreeSet::new(),
            health: Health::default(),
            is_health_stale: false,
            ordering: None,
            rollouts: Rollouts::default(),
            notes: BTreeMap::new(),
            versions: Versions::default(),
            behind: Vec::new(),
            raised: None,
            changes: Vec::new(),
            due: None,
            letters: Vec::new(),
        }
    }

    pub fn hard(&self) -> &Arc<Hard> {
        &self.hard
    }

    pub fn proposals(&self) -> Arc<dyn Proposals> {
        Arc::clone(&self.settings.proposals)
    }

    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    pub fn renewals(&self) -> Option<&Arc<dyn Renewals>> {
        self.settings.renewals.as_ref()
    }

    /// When [`MasterPart::tell`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be sent.
    pub fn letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.letters)
    }

    /// What is to be proposed.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Waits until hard state or the leader changes.
    pub async fn changed(&mut self) {
        // With consensus gone nothing changes any more.
        let (hard, leadership) = (&mut self.settings.hard, &mut self.settings.leadership);
        let gone = tokio::select! {
            biased;
            changed = hard.changed() => changed.is_err(),
            changed = leadership.changed() => changed.is_err(),
        };
        if gone {
            std::future::pending::<()>().await;
        }
    }

    /// Looks at hard state and the leader, and tells members if they changed.
    pub fn look(&mut self) {
        let hard = self.settings.hard.borrow_and_update().clone();
        let leadership = *self.settings.leadership.borrow_and_update();
        if hard.revision > self.hard.revision {
            self.publish(hard);
            self.gather();
        }
        let term = self.ordering.as_ref().map(Ordering::term);
        // In a term nobody else leads, so a break in it changes nothing.
        if term.is_some_and(|term| term != leadership.term) {
            self.ordering = None;
            self.rollouts = Rollouts::default();
        }
        self.send(self.everybody(), Message::Leads(leads(leadership)));
        self.gather();
    }

    /// A node has a link in a version of the link protocol; or it is this one.
    pub fn link_up(&mut self, now: Time, node: NodeId, incarnation: u64, version: u16) {
        self.versions.up(node, version);
        self.feed(now, Event::LinkUp { node, incarnation });
        self.send_hard(node);
        let up = self.soft.up().map(|(id, node, _)| (id, summary(node)));
        let living = Living {
            is_full: true,
            is_settled: self.is_settled,
            up: up.collect(),
            down: BTreeSet::new(),
            health: Some(self.health.clone()),
        };
        self.send(vec![node], Message::Living(living));
        let leadership = *self.settings.leadership.borrow();
        self.send(vec![node], Message::Leads(leads(leadership)));
    }

    pub fn link_down(&mut self, now: Time, node: NodeId, why: Arc<str>) {
        self.versions.down(node);
        self.notes.remove(&node);
        self.feed(now, Event::LinkDown(node, why));
    }

    pub fn announced(&mut self, now: Time, node: NodeId, announcement: Announcement) {
        self.is_health_stale |= match &announcement.news {
            News::Nothing => false,
            News::Delta(delta) => !delta.programs.is_empty(),
            News::Full(_) => true,
        };
        self.feed(now, Event::Announced(node, announcement));
    }

    /// Keeps what a node with a link noted.
    pub fn noted(&mut self, node: NodeId, note: Bytes) {
        if self.soft.nodes().contains_key(&node) && note.len() <= NOTE_BYTES_MAX {
            self.notes.insert(node, note);
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now: Time) {
        self.feed(now, Event::Tick);
        if self.is_settled != self.is_settled() {
            self.gather();
        }
        if std::mem::take(&mut self.is_health_stale)
            && Health::of(&self.hard, &self.soft) != self.health
        {
            self.gather();
        }
        if self.settings.leadership.borrow().i_lead
            && let Some(ordering) = &mut self.ordering
        {
            let orders = ordering.hand_over(now, &self.soft);
            self.changes = self.rollouts.look(now, &self.hard, &self.soft);
            self.order(orders);
        }
        self.raise();
    }

    /// Proposes a higher level once all speak it, and says who does not yet.
    fn raise(&mut self) {
        if !self.settings.leadership.borrow().i_lead || !self.is_settled {
            return;
        }
        let behind = self.versions.behind();
        if behind != self.behind && !behind.is_empty() {
            let (nodes, level) = (&behind, self.hard.level);
            tracing::info!(
                ?nodes,
                level,
                "these nodes keep the cluster's level; upgrade them"
            );
        }
        self.behind = behind;
        let waits = self.raised.is_some_and(|at| at.elapsed() < RAISE_AGAIN);
        if let Some(level) = self.versions.higher_level(&self.hard).filter(|_| !waits) {
            tracing::info!(
                level,
                "all speak a later link protocol: raising the cluster's level"
            );
            self.raised = Some(Instant::now());
            self.changes.push(Change::Raise(level));
        }
    }

    /// Tells members who lives, and places if this master leads.
    pub fn tell(&mut self, now: Time) {
        self.due = None;
        let was_settled = self.is_settled;
        self.is_settled = self.is_settled();
        let mut living = Living {
            is_settled: self.is_settled,
            ..Living::default()
        };
        for id in std::mem::take(&mut self.news) {
            match self.soft.nodes().get(&id).filter(|node| node.is_up) {
                Some(node) => drop(living.up.insert(id, summary(node))),
                None => drop(living.down.insert(id)),
            }
        }
        let health = Health::of(&self.hard, &self.soft);
        if health != self.health {
            self.health = health.clone();
            living.health = Some(health);
        }
        let is_news = !living.up.is_empty() || !living.down.is_empty() || living.health.is_some();
        if is_news || self.is_settled != was_settled {
            self.send(self.everybody(), Message::Living(living));
        }
        let leadership = *self.settings.leadership.borrow();
        // Not before all have reported: it would take their workers for lost.
        if !leadership.i_lead || !self.is_settled {
            return;
        }
        let soft = &self.soft;
        let ordering = self.ordering.get_or_insert_with(|| {
            tracing::info!(term = leadership.term, "takes over the orders");
            Ordering::take_over(leadership.term, soft)
        });
        let orders = ordering.place(now, &self.hard, soft);
        self.order(orders);
    }

    fn order(&mut self, orders: Vec<(NodeId, Orders)>) {
        for (node, orders) in orders {
            self.send(vec![node], Message::Orders(orders));
        }
    }

    /// Sends a node all of hard state that it may see.
    pub fn send_hard(&mut self, node: NodeId) {
        if node == self.me || !self.hard.is_founded() {
            return;
        }
        let sees_tokens = sees_tokens(&self.hard, node);
        let hard = &self.hard;
        let snapshot = &mut self.snapshots[usize::from(sees_tokens)];
        let snapshot = snapshot.get_or_insert_with(|| visible(hard, sees_tokens).encode().into());
        self.letters.push(Letter {
            to: vec![node],
            message: Message::Snapshot,
            payload: snapshot.clone(),
        });
    }

    pub fn status(&self) -> Status {
        let reports = self.soft.up();
        let reports = reports.map(|(id, _, report)| (id, report.clone()));
        let i_lead = self.settings.leadership.borrow().i_lead;
        let unplaced = self.ordering.as_ref().filter(|_| i_lead);
        Status {
            reports: reports.collect(),
            unplaced: unplaced.map_or_else(BTreeMap::new, |o| o.unplaced().clone()),
            notes: self.notes.clone(),
        }
    }

    fn feed(&mut self, now: Time, event: Event) {
        let mut outputs = Vec::new();
        self.soft.handle(now, event, &mut outputs);
        for output in outputs {
            let node = match output {
                Output::Ask(node) => {
                    self.send(vec![node], Message::AskReport);
                    continue;
                }
                Output::Changed(node) => node,
                Output::Up(node) => {
                    tracing::info!(node = node.0, "node up");
                    node
                }
                Output::Down(node, why) => {
                    tracing::warn!(node = node.0, %why, "node down");
                    node
                }
            };
            self.news.insert(node);
            if let Some(ordering) = &mut self.ordering {
                ordering.forget(node);
            }
            self.gather();
        }
    }

    /// Whether it knows who is down: all nodes were up, or it has waited for them long enough.
    fn is_settled(&self) -> bool {
        let nodes = self.hard.nodes.iter().filter(|(_, node)| !node.revoked);
        let is_up = |id: &NodeId| self.soft.nodes().get(id).is_some_and(|node| node.is_up);
        let mut ids = nodes.map(|(id, _)| id);
        let waited = self.started.elapsed() >= SETTLE;
        self.is_settled || waited || (self.hard.is_founded() && ids.all(is_up))
    }

    /// Tells members of a new hard state.
    fn publish(&mut self, hard: Arc<Hard>) {
        let old = std::mem::replace(&mut self.hard, Arc::clone(&hard));
        self.snapshots = [None, None];
        let mut readers: [Vec<NodeId>; 2] = [Vec::new(), Vec::new()];
        let me = self.me;
        for node in self.everybody().into_iter().filter(|node| *node != me) {
            let sees = sees_tokens(&hard, node);
            if old.is_founded() && sees == sees_tokens(&old, node) {
                readers[usize::from(sees)].push(node);
            } else {
                self.send_hard(node);
            }
        }
        for (sees, to) in [false, true].into_iter().zip(readers) {
            if !to.is_empty() {
                let patch = Patch::between(&visible(&old, sees), &visible(&hard, sees));
                self.letters.push(Letter {
                    to,
                    message: Message::Patch,
                    payload: patch.encode().into(),
                });
            }
        }
    }

    /// All nodes with a link, and this one.
    fn everybody(&self) -> Vec<NodeId> {
        self.soft.nodes().keys().copied().collect()
    }

    /// Sees to it that [`MasterPart::tell`] is called soon.
    fn gather(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
    }

    fn send(&mut self, to: Vec<NodeId>, message: Message) {
        self.letters.push(Letter {
            to,
            message,
            payload: Bytes::new(),
        });
    }
}

fn leads(leadership: Leadership) -> Leads {
    Leads {
        term: leadership.term,
        leader: leadership.leader,
    }
}

fn summary(node: &Node) -> Summary {
    let report = node.report.as_ref();
    Summary {
        incarnation: node.incarnation,
        roles: report.map(|report| report.roles).unwrap_or_default(),
        capacity: report.map(|report| report.capacity).unwrap_or_default(),
    }
}

/// Who takes calls in, checks access tokens.
fn sees_tokens(hard: &Hard, node: NodeId) -> bool {
    let record = hard.nodes.get(&node);
    record.is_some_and(|record| record.roles.faceplate && !record.revoked)
}
