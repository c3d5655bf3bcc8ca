//! Keeps links to all wanted nodes, and hands what comes in on them to those who serve it.
//!
//! A node starts one [`Mesh`]; `cluster` says whom it wants, and services subscribe. `accept` is
//! about connections from others, `dial` about those this node makes, `events` about subscribers.

mod accept;
mod dial;
mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use pool::NodeId;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use crate::hello::{HandshakeError, Hello, Me};
use crate::join::{Joining, Joins};
use crate::link::drive::drive;
use crate::link::{Link, LinkTiming};
use crate::network::{Listener, Network, Stream};
use crate::security::Security;
use crate::{PROTOCOL_MAX, PROTOCOL_MIN, Service};
use events::Subscribers;
pub use events::{MeshEvent, MeshEvents};

/// Most bytes of a cluster's id and of a node's name: both go into each hello.
const NAME_MAX: usize = 256;

/// What a mesh can be told beside who it is.
#[derive(Debug, Clone)]
pub struct MeshSettings {
    /// How long things may take.
    pub timing: LinkTiming,
    /// The versions of the link protocol to speak.
    pub versions: RangeInclusive<u16>,
    /// For the jitter of redialing; another one on each node.
    pub seed: u64,
}

impl Default for MeshSettings {
    /// What this build speaks, the default timing, seed 0.
    fn default() -> Self {
        let versions = PROTOCOL_MIN..=PROTOCOL_MAX;
        Self {
            timing: LinkTiming::default(),
            versions,
            seed: 0,
        }
    }
}

/// Why a mesh did not start.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The listener does not say where it listens.
    #[error("the listener has no address: {0}")]
    Listener(#[from] io::Error),
    /// Plain text would leave this machine.
    #[error(transparent)]
    PlainText(#[from] HandshakeError),
    /// The id of the cluster or the name of the node is too long.
    #[error("expected at most {NAME_MAX} bytes, got {bytes} in {name:?}; choose a shorter one")]
    NameTooLong {
        /// How long it is.
        bytes: usize,
        /// Its beginning.
        name: String,
    },
}

/// The links of a node. Cheap to clone; it works until [`Mesh::stop`].
#[derive(Clone)]
pub struct Mesh(Arc<Shared>);

struct Shared {
    me: Me,
    address: SocketAddr,
    network: Arc<dyn Network>,
    security: Security,
    settings: MeshSettings,
    subscribers: Subscribers,
    /// Who answers those who want to join.
    joining: Joining,
    /// A mutex, and not a task with an inbox: `link` must answer at once.
    state: Mutex<State>,
    /// Links came or went.
    changed: Notify,
}

#[derive(Default)]
struct State {
    wanted: BTreeMap<NodeId, Wanted>,
    refused: BTreeSet<NodeId>,
    /// Below this version nobody gets a link.
    level: u16,
    /// One for each node. It leaves when its last frame was delivered.
    links: BTreeMap<NodeId, Link>,
    /// Why the last attempt to dial a node failed.
    problems: BTreeMap<NodeId, Arc<str>>,
    /// Connections dialed.
    attempts: u64,
    /// Accepting, dialing, greeting: may be aborted.
    tasks: JoinSet<()>,
    /// Links: must end by themselves.
    drivers: JoinSet<()>,
    is_stopped: bool,
}

struct Wanted {
    address: Arc<str>,
    /// None if the other node is the one to dial.
    dialer: Option<AbortHandle>,
}

impl Mesh {
    /// Starts to accept links. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`MeshError`], above all if security is [`Security::Plain`] and the listener is not on
    /// loopback.
    pub fn start(
        me: Me,
        network: Arc<dyn Network>,
        listener: Box<dyn Listener>,
        security: Security,
        settings: MeshSettings,
    ) -> Result<Self, MeshError> {
        for name in [&me.cluster, &me.name] {
            if name.len() > NAME_MAX {
                let (bytes, name) = (name.len(), name.chars().take(32).collect());
                return Err(MeshError::NameTooLong { bytes, name });
            }
        }
        let address = listener.local_addr()?;
        security.check(address, network.is_simulated())?;
        let shared = Arc::new(Shared {
            me,
            address,
            network,
            security,
            settings,
            subscribers: Subscribers::default(),
            joining: Joining::default(),
            state: Mutex::default(),
            changed: Notify::new(),
        });
        shared.spawn(accept::accept(Arc::clone(&shared), listener));
        Ok(Self(shared))
    }

    /// Where this node listens for links.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The nodes to keep links with, with their addresses as `host:port`. Those with smaller ids
    /// than this node's are dialed, again and again after 50 ms to 1 s; the others will dial. A
    /// link that this node dialed and that is wanted no longer is closed.
    ///
    /// Others with a good identity may dial, too, and get a link.
    pub fn want(&self, nodes: BTreeMap<NodeId, String>) {
        let mut state = self.0.state();
        if state.is_stopped {
            return;
        }
        let old = std::mem::take(&mut state.wanted);
        for (node, wanted) in &old {
            if !nodes.contains_key(node) {
                if let Some(dialer) = &wanted.dialer {
                    dialer.abort();
                }
                state.problems.remove(node);
                if let Some(link) = state.links.get(node)
                    && link.is_dialed()
                {
                    link.close("the link is no longer wanted");
                }
            }
        }
        for (node, address) in nodes {
            let is_mine = node < self.0.me.node;
            let dialer = match old.get(&node) {
                Some(wanted) => wanted.dialer.clone(),
                None if is_mine => Some(state.spawn(dial::keep(Arc::clone(&self.0), node))),
                None => None,
            };
            let address = address.into();
            state.wanted.insert(node, Wanted { address, dialer });
        }
    }

    /// The nodes that were revoked, all of them: their links are closed, their hellos refused.
    pub fn refuse(&self, nodes: BTreeSet<NodeId>) {
        let mut state = self.0.state();
        for node in &nodes {
            if let Some(link) = state.links.get(node) {
                link.close("the node was revoked");
            }
        }
        state.refused = nodes;
    }

    /// Nobody gets a link any more in a version of the protocol below `level`: such links are closed,
    /// such hellos and joins refused. It never goes down. A node that does not speak `level` itself
    /// says what it speaks, and is refused by others.
    pub fn raise(&self, level: u16) {
        let mut state = self.0.state();
        state.level = state.level.max(level);
        for link in state.links.values() {
            if link.peer().version < state.level {
                link.close(&below(link, state.level).to_string());
            }
        }
    }

    /// The versions of the protocol that this node speaks, whatever the level.
    pub fn speaks(&self) -> RangeInclusive<u16> {
        self.0.settings.versions.clone()
    }

    /// The link to a node, if there is one.
    pub fn link(&self, node: NodeId) -> Option<Link> {
        let link = self.0.state().links.get(&node).cloned();
        link.filter(|link| link.close_reason().is_none())
    }

    /// All links, by node.
    pub fn links(&self) -> Vec<Link> {
        let state = self.0.state();
        state
            .links
            .values()
            .filter(|link| link.close_reason().is_none())
            .cloned()
            .collect()
    }

    /// Why there is no link to a node that this node dials: what became of the last attempt.
    pub fn problem(&self, node: NodeId) -> Option<Arc<str>> {
        self.0.state().problems.get(&node).cloned()
    }

    /// All events of one service. Of each link: first its `Up`, also if it was there before, then
    /// its frames in order, then its `Down`. Until somebody subscribes, messages of the service
    /// are dropped and requests refused.
    ///
    /// A link is read no further while 8 MiB of its frames are not taken, so a subscriber that is
    /// slow holds up the link's other services, and one that is gone for good should be dropped.
    ///
    /// # Panics
    ///
    /// If the service has a subscriber: there is one for each.
    pub fn subscribe(&self, service: Service) -> MeshEvents {
        // Under the lock: no link may come or go meanwhile.
        let state = self.0.state();
        self.0.subscribers.subscribe(service, state.links.values())
    }

    /// Processes that ask to become nodes. Until somebody takes this, they are turned away.
    ///
    /// # Panics
    ///
    /// If somebody took it before.
    pub fn joins(&self) -> Joins {
        self.0.joining.open()
    }

    /// Closes the listener and all links, and waits until their goodbyes are written or cannot be.
    pub async fn stop(self) {
        let (mut tasks, mut drivers) = {
            let mut state = self.0.state();
            state.is_stopped = true;
            state.wanted.clear();
            for link in state.links.values() {
                link.close("the node stops");
            }
            (
                std::mem::take(&mut state.tasks),
                std::mem::take(&mut state.drivers),
            )
        };
        tasks.shutdown().await;
        while drivers.join_next().await.is_some() {}
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the state")
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        if !state.is_stopped {
            state.spawn(task);
        }
    }

    /// What this node says on a connection.
    fn hello(&self, attempt: u64) -> Hello {
        Hello::new(&self.me, &self.versions(), attempt)
    }

    /// The versions that this node speaks now.
    fn versions(&self) -> RangeInclusive<u16> {
        let (least, greatest) = self.settings.versions.clone().into_inner();
        least.max(self.state().level).min(greatest)..=greatest
    }

    /// Makes `link` the link to its peer, after the one that it replaces is down for everybody.
    async fn admit(
        self: &Arc<Self>,
        link: &Link,
        stream: Box<dyn Stream>,
    ) -> Result<(), HandshakeError> {
        let node = link.peer().node;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if link.peer().version < state.level {
                    return Err(below(link, state.level));
                }
                state.judge(node, link.peer().incarnation, link.attempt())?;
                let Some(old) = state.links.get(&node) else {
                    state.links.insert(node, link.clone());
                    state.problems.remove(&node);
                    self.subscribers.up(link);
                    let (shared, link) = (Arc::clone(self), link.clone());
                    while state.drivers.try_join_next().is_some() {}
                    state.drivers.spawn(shared.run(link, stream));
                    return Ok(());
                };
                old.close("a newer connection of the same node replaces this one");
            }
            changed.await;
        }
    }

    /// The task of a link.
    async fn run(self: Arc<Self>, link: Link, stream: Box<dyn Stream>) {
        tracing::info!(peer = %link.peer(), version = link.peer().version, "link up");
        let down = || self.down(&link);
        drive(&link, stream, self.settings.timing, &self.subscribers, down).await;
    }

    fn down(&self, link: &Link) {
        let why = link.why();
        tracing::info!(peer = %link.peer(), %why, "link down");
        let mut state = self.state();
        state.links.remove(&link.peer().node);
        self.subscribers.down(link.peer(), &why);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until there is no link to `node`.
    async fn gone(&self, node: NodeId) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.state().links.contains_key(&node) {
                return;
            }
            changed.await;
        }
    }
}

/// Why a link in an old version is none.
fn below(link: &Link, level: u16) -> HandshakeError {
    let version = link.peer().version;
    HandshakeError::Below { version, level }
}

impl State {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task)
    }

    /// Whether a connection of this node and process may become its link. The links of one process
    /// are numbered; those of different processes are not, so the later one to arrive is taken for
    /// the later one to start.
    fn judge(&self, node: NodeId, incarnation: u64, attempt: u64) -> Result<(), HandshakeError> {
        if self.is_stopped {
            return Err(HandshakeError::Refused("this node stops".to_owned()));
        }
        if self.refused.contains(&node) {
            return Err(HandshakeError::Revoked(node));
        }
        let newer = self.links.get(&node).is_some_and(|link| {
            link.peer().incarnation == incarnation && link.attempt() >= attempt
        });
        if newer {
            Err(HandshakeError::Duplicate(node))
        } else {
            Ok(())
        }
    }
}
