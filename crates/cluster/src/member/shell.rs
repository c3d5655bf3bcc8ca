//! The task of a node's membership: the one owner of its links, its knowledge and its master part.

use super::MemberSettings;
use super::announcer::Announcer;
use super::knowledge::{Knowledge, View};
use super::master::{MasterPart, MasterSettings};
use super::message::{Message, Orders, Status};
use super::patch::Patched;
use super::wanted::{refused, wanted};
use crate::consensus::ProposeError;
use crate::hard::grown::Grown;
use crate::hard::{Applied, Change};
use crate::soft::{Announcement, BEACON, Report};
use bytes::Bytes;
use pool::{NodeId, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use wire::{Link, Mesh, MeshEvent, MeshEvents, Service};

/// How often a master looks for silent nodes: they are seen within this time after they are due.
const TICK: Duration = Duration::from_millis(50);

/// Events taken from the mesh in one go, before timers are looked at.
const EVENTS_MAX: usize = 256;

/// What the handles ask of the task.
#[derive(Debug)]
pub enum Command {
    StartMaster(MasterSettings),
    StopMaster,
    Propose(Change, oneshot::Sender<Result<Applied, ProposeError>>),
    Status(oneshot::Sender<Option<Status>>),
    Renew(Vec<u8>, oneshot::Sender<Result<Bytes, String>>),
}

/// See the module. Links come and go by events of the mesh; no other task sees them here, so that
/// what a master sends a node stands in one order.
pub struct Shell {
    pub(super) settings: MemberSettings,
    mesh: Mesh,
    events: MeshEvents,
    commands: mpsc::Receiver<Command>,
    report: watch::Receiver<Report>,
    note: watch::Receiver<Bytes>,
    view: watch::Sender<Arc<View>>,
    orders: watch::Sender<Option<Orders>>,
    pub(super) links: BTreeMap<NodeId, Link>,
    pub(super) knowledge: Knowledge,
    announcer: Announcer,
    pub(super) master: Option<MasterPart>,
    pub(super) questions: JoinSet<()>,
    started: Instant,
    beacon: Instant,
    tick: Instant,
    /// The revision that the mesh's wanted nodes are of.
    wanted: Option<u64>,
    /// The level that the mesh was told.
    level: u16,
}

impl Shell {
    pub fn new(
        mesh: Mesh,
        settings: MemberSettings,
        commands: mpsc::Receiver<Command>,
        (report, note): (watch::Receiver<Report>, watch::Receiver<Bytes>),
        view: watch::Sender<Arc<View>>,
        orders: watch::Sender<Option<Orders>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            announcer: Announcer::new(settings.incarnation),
            events: mesh.subscribe(Service::Members),
            settings,
            mesh,
            commands,
            report,
            note,
            view,
            orders,
            links: BTreeMap::new(),
            knowledge: Knowledge::default(),
            master: None,
            questions: JoinSet::new(),
            started: now,
            beacon: now + BEACON,
            tick: now + TICK,
            wanted: None,
            level: 0,
        }
    }

    /// Runs until the mesh or the last handle is gone.
    pub async fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        self.refresh();
        loop {
            let due = self.master.as_ref().and_then(MasterPart::due);
            tokio::select! {
                // In this order: a flood of events must not keep the node silent.
                biased;
                () = sleep_until(self.beacon) => self.beacon(),
                () = sleep_until(self.tick), if self.master.is_some() => self.tick(),
                () = sleep_until(due.unwrap_or(self.beacon)), if due.is_some() => {
                    let now = self.now();
                    self.with_master(|master| master.tell(now));
                }
                () = changed(&mut self.master) => self.with_master(MasterPart::look),
                Ok(()) = self.report.changed() => self.reported(),
                Some(_) = self.questions.join_next() => {}
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                count = self.events.recv_many(&mut events, EVENTS_MAX) => {
                    if count == 0 {
                        return;
                    }
                    events.drain(..).for_each(|event| self.event(event));
                }
            }
            self.refresh();
        }
    }

    fn now(&self) -> Time {
        Time::default().after(self.started.elapsed())
    }

    fn event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Up(link) => {
                let peer = link.peer();
                let (node, incarnation, version) = (peer.node, peer.incarnation, peer.version);
                self.links.insert(node, link);
                let now = self.now();
                self.with_master(|master| master.link_up(now, node, incarnation, version));
                self.tell_masters();
            }
            MeshEvent::Down(peer, why) => {
                self.links.remove(&peer.node);
                self.announcer.lost(peer.node);
                self.knowledge.lost(peer.node);
                let now = self.now();
                self.with_master(|master| master.link_down(now, peer.node, why));
            }
            MeshEvent::Frame(link, frame) if frame.is_request() => self.question(&link, frame),
            MeshEvent::Frame(link, frame) => match frame.message() {
                Ok(message) => self.hear(link.peer().node, message, frame.payload()),
                Err(error) => link.close(&format!("a message to members is garbled: {error}")),
            },
        }
    }

    /// Takes a message of a node, perhaps of this one.
    fn hear(&mut self, from: NodeId, message: Message, payload: &Bytes) {
        let is_for_master = matches!(message, Message::Announce(_) | Message::AskHard);
        if !is_for_master && from != self.settings.me && !self.knowledge.may_teach(from) {
            tracing::warn!(node = from.0, "ignored what a node says that is no master");
            return;
        }
        match message {
            Message::Announce(announcement) => {
                let now = self.now();
                self.with_master(|master| master.announced(now, from, announcement));
                if !payload.is_empty() {
                    self.with_master(|master| master.noted(from, payload.clone()));
                }
            }
            Message::AskHard => self.with_master(|master| master.send_hard(from)),
            Message::AskReport => {
                self.report_to(from);
            }
            Message::Snapshot => {
                if let Some(hard) = self.decode(from, payload) {
                    self.knowledge.snapshot(Arc::new(hard));
                }
            }
            Message::Patch => {
                let patch = self.decode(from, payload);
                let patched = patch.map(|patch| self.knowledge.patch(patch));
                if patched == Some(Patched::Gap) {
                    self.send(from, &Message::AskHard, Bytes::new());
                }
            }
            Message::Living(living) => self.knowledge.living(from, living),
            Message::Leads(leads) => self.knowledge.leads(from, leads),
            Message::Orders(orders) => {
                let number = orders.number;
                if self.knowledge.order(orders) {
                    self.orders.send_replace(self.knowledge.orders().cloned());
                } else {
                    tracing::debug!(node = from.0, ?number, "refused orders that are not newer");
                }
            }
        }
    }

    /// Hard state in a payload; a master that sends anything else loses its link.
    fn decode<T: Grown>(&self, from: NodeId, payload: &[u8]) -> Option<T> {
        match T::decode(payload) {
            Ok(value) => Some(value),
            Err(error) => {
                if let Some(link) = self.links.get(&from) {
                    link.close(&format!("hard state for members is garbled: {error}"));
                }
                None
            }
        }
    }

    fn send(&self, to: NodeId, message: &Message, payload: Bytes) {
        if let Some(link) = self.links.get(&to)
            && let Err(error) = link.send(Service::Members, message, payload)
        {
            // A peer that missed something is told all again over its next link.
            link.close(&format!("cannot be told what members are: {error}"));
        }
    }

    /// Lets the master part do something, if there is one, and sends what comes of it.
    fn with_master(&mut self, act: impl FnOnce(&mut MasterPart)) {
        let Some(master) = &mut self.master else {
            return;
        };
        act(master);
        let (letters, hard) = (master.letters(), Arc::clone(master.hard()));
        for change in master.changes() {
            let proposed = master.proposals().propose(change);
            // What did not come to be is proposed again, if it is still wanted.
            self.questions.spawn(async move { drop(proposed.await) });
        }
        self.knowledge.snapshot(hard);
        for letter in letters {
            for to in letter.to {
                if to == self.settings.me {
                    self.hear(to, letter.message.clone(), &letter.payload);
                } else {
                    self.send(to, &letter.message, letter.payload.clone());
                }
            }
        }
    }

    /// From now on nobody gets a link who does not speak the cluster's level.
    fn raise(&mut self, level: u16) {
        if level <= self.level {
            return;
        }
        self.level = level;
        let speaks = *self.mesh.speaks().end();
        if speaks < level {
            tracing::error!(
                "this node speaks link protocol {speaks}, its cluster needs {level} from now on and \
                 lets it in no more; start it with a newer build, and without `protocol` in [node]"
            );
        }
        self.mesh.raise(level);
    }

    fn tick(&mut self) {
        self.tick = Instant::now() + TICK;
        let now = self.now();
        self.with_master(|master| master.tick(now));
    }

    fn reported(&mut self) {
        let is_urgent = self.announcer.is_urgent(&self.report.borrow_and_update());
        if is_urgent {
            self.beacon();
        }
    }

    /// Says what changed to all masters that know the rest.
    fn beacon(&mut self) {
        self.beacon = Instant::now() + BEACON;
        let mut report = self.report.borrow().clone();
        report.orders = self.knowledge.orders().map(|orders| orders.number);
        let announcement = self.announcer.beacon(&report);
        let is_noted = self.note.has_changed().unwrap_or(false);
        let note = self.note.borrow_and_update().clone();
        let note = if is_noted { note } else { Bytes::new() };
        let told = self.linked_masters();
        let told = told
            .into_iter()
            .filter(|node| self.announcer.has_told(*node));
        for master in told.collect::<Vec<_>>() {
            self.announce_to(master, announcement.clone(), note.clone());
        }
    }

    /// Reports in full to masters that know nothing of this node.
    fn tell_masters(&mut self) {
        let mut untold = self.linked_masters();
        untold.retain(|master| !self.announcer.has_told(*master));
        if !untold.is_empty() {
            // What changed since the last beacon goes to the others first: a full report is what
            // was said until now.
            self.beacon();
            for master in untold {
                self.report_to(master);
            }
        }
    }

    /// The masters with a link, and this node if it is one. Without hard state all may be masters.
    fn linked_masters(&self) -> Vec<NodeId> {
        let hard = self.knowledge.hard();
        let linked = self.links.keys().copied();
        let mut masters: Vec<NodeId> = linked
            .filter(|node| !hard.is_founded() || hard.masters.contains(node))
            .collect();
        masters.extend(self.master.is_some().then_some(self.settings.me));
        masters
    }

    /// Says all to a master that this node says of itself.
    fn report_to(&mut self, master: NodeId) {
        let (full, note) = (self.announcer.full(master), self.note.borrow().clone());
        self.announce_to(master, full, note);
    }

    fn announce_to(&mut self, master: NodeId, announcement: Announcement, note: Bytes) {
        let message = Message::Announce(announcement);
        if master == self.settings.me {
            self.hear(master, message, &note);
        } else {
            self.send(master, &message, note);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::StartMaster(settings) => self.start_master(settings),
            Command::StopMaster => {
                self.master = None;
                self.announcer.lost(self.settings.me);
                self.knowledge.lost(self.settings.me);
            }
            Command::Propose(change, answer) => self.propose(change, answer),
            Command::Status(answer) => self.status(answer),
            Command::Renew(ask, answer) => self.renew(ask, answer),
        }
    }

    fn start_master(&mut self, settings: MasterSettings) {
        let me = self.settings.me;
        self.announcer.lost(me);
        self.master = Some(MasterPart::new(me, settings));
        let now = self.now();
        let mine = (me, self.settings.incarnation, *self.mesh.speaks().end());
        let links = self.links.values().map(Link::peer);
        let links = links.map(|peer| (peer.node, peer.incarnation, peer.version));
        for (node, incarnation, version) in links.chain([mine]).collect::<Vec<_>>() {
            self.with_master(|master| master.link_up(now, node, incarnation, version));
        }
        self.with_master(MasterPart::look);
        self.tell_masters();
    }

    /// Sees to it that the rest of the node, the mesh and new masters know what this one knows.
    fn refresh(&mut self) {
        if let Some(view) = self.knowledge.news() {
            self.view.send_if_modified(|known| {
                let is_news = **known != view;
                if is_news {
                    *known = Arc::new(view);
                }
                is_news
            });
        }
        let hard = Arc::clone(self.knowledge.hard());
        if self.wanted != Some(hard.revision) {
            self.wanted = Some(hard.revision);
            let MemberSettings {
                me,
                masters,
                report,
                ..
            } = &self.settings;
            self.mesh.refuse(refused(&hard));
            self.mesh.want(wanted(*me, report.roles, masters, &hard));
            self.raise(hard.level);
            self.tell_masters();
        }
    }
}

/// Waits until the master part is to look at something.
async fn changed(master: &mut Option<MasterPart>) {
    match master {
        Some(master) => master.changed().await,
        None => std::future::pending().await,
    }
}
