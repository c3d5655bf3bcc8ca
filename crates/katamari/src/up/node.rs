//! The parts of a node and how they are joined.

use super::follow::Follower;
use super::intake::Intake;
use super::operator::Desk;
use super::programs;
use super::reload::Request;
use super::report::Reporter;
use super::tokens::Tokens;
use crate::config::{Config, Faceplate, Program};
use crate::membership::{Itself, Membership};
use anyhow::Context;
use cluster::files::Files;
use dispatch::{Caller, Dispatcher, Numbers, Retry, Shadow, Shadows};
use faceplate::{CASTS_MAX, Limits, Local, Place, Settings, Tls};
use manager::{Changes, Manager, Sentinel};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Calls that may wait for programs to start, and bytes of their arguments: as many as those of a
/// busy program.
const LOBBY_MAX: usize = 1_000;
const LOBBY_BYTES_MAX: usize = 64 << 20;

/// How long clients wait at the door of a node that does not know its cluster's programs yet. Any
/// master tells it within a moment; without masters it says what it knows, which is nothing.
const KNOW_TIMEOUT: Duration = Duration::from_secs(5);

/// How long clients may take to read the last answers when the node stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A running node.
pub struct Node {
    membership: Membership,
    /// Files of programs; none on a machine that is alone.
    files: Option<Files>,
    /// The revision of the orders that this node follows.
    followed: watch::Receiver<u64>,
    /// Who runs the workers.
    pub manager: Manager,
    dispatcher: Dispatcher,
    shadows: Shadows,
    shared: Arc<faceplate::Node>,
    tokens: Arc<Tokens>,
    /// Those of the faceplates that have some.
    tls: Vec<Arc<Tls>>,
    dispatch: JoinHandle<()>,
    /// What keeps this node and the cluster informed of each other.
    conduct: JoinSet<()>,
    faceplates: JoinSet<()>,
    /// Dropped, it tells the faceplates to close.
    closing: watch::Sender<()>,
}

/// What the outside world comes in by.
pub struct Doors {
    /// For the configured faceplates, in their order; none on a node that takes no calls in.
    pub listeners: Vec<TcpListener>,
    /// For the command line.
    pub control: UnixListener,
    /// For requests to read the configuration again.
    pub reloads: mpsc::Sender<Request>,
}

impl Node {
    /// Joins the parts and begins to serve.
    pub async fn start(config: &Config, doors: Doors) -> anyhow::Result<Self> {
        let mut membership = Membership::start(config).await?;
        let member = membership.member.clone();
        let limits = dispatch::Limits {
            timeout: config.cluster.timeout,
            lobby_max: LOBBY_MAX,
            lobby_bytes_max: LOBBY_BYTES_MAX,
        };
        let (dispatch_loop, dispatcher, notices) = dispatch::new(membership.me, &limits);
        let links = membership.calls.take().expect("nobody took it before");
        let dispatch_loop = dispatch_loop.linked(links, membership.roles.faceplate);
        let dispatch = tokio::spawn(dispatch_loop.run());
        let seed = getrandom::u32().context("cannot draw a random number")?;
        let numbers = Arc::new(Numbers::new(seed));
        let shadows = Shadows::new(numbers.clone(), u64::from(seed));
        let caller = caller(&dispatcher, &shadows);
        let executable = std::env::current_exe().context("cannot find the own program")?;
        let sentinel = Sentinel::start(&executable).context("cannot start the sentinel")?;
        let manager = Manager::new(
            membership.me,
            notices.clone(),
            caller.clone(),
            numbers.clone(),
            sentinel,
        );
        let mut conduct = JoinSet::new();
        let reporter = Reporter {
            member: member.clone(),
            manager: manager.clone(),
            dispatcher: dispatcher.clone(),
            shadows: shadows.clone(),
            roles: membership.roles,
        };
        conduct.spawn(reporter.run());
        let observer = Arc::new(Local {
            dispatcher: dispatcher.clone(),
            manager: manager.clone(),
            shadows: shadows.clone(),
            place: place(&membership),
        });
        let name = membership.name.to_string();
        let shared = Arc::new(faceplate::Node::new(
            name, caller, observer, numbers, CASTS_MAX,
        ));
        if config.node.access_log {
            shared.log_access();
        }
        if let Some(statsd) = config.statsd.clone() {
            conduct.spawn(statsd.push(shared.clone()));
        }
        // Before anybody can ask.
        let tokens = Arc::new(Tokens::new(shared.clone(), config.tokens.clone()));
        let files = files(&membership)?;
        let (followed_sender, followed) = watch::channel(0);
        let (knows_sender, knows) = watch::channel(false);
        let itself = membership.state.as_ref();
        let follower = Follower {
            me: membership.me,
            itself: itself.map(|_| Itself::new(membership.me, &config.node)),
            member: member.clone(),
            manager: manager.clone(),
            notices,
            shadows: shadows.clone(),
            tokens: tokens.clone(),
            state: membership.state.clone(),
            followed: followed_sender,
            knows: knows_sender,
            files: files.clone(),
        };
        conduct.spawn(follower.run());
        let desk = Desk {
            reloads: doors.reloads,
            me: membership.me,
            credentials: membership.credentials.clone(),
            shadows: shadows.clone(),
            files: Intake {
                files: files.clone(),
                member: member.clone(),
            },
            member,
        };
        let (closing, closed) = watch::channel(());
        let mut faceplates = JoinSet::new();
        let mut tls = Vec::new();
        for (faceplate, listener) in config.faceplates.iter().zip(doors.listeners) {
            let settings = settings(faceplate)?;
            tls.extend(settings.tls.clone());
            let server = faceplate.server.clone();
            let (early, until) = (until(closed.clone()), until(closed.clone()));
            let serve = faceplate::serve(listener, server, shared.clone(), settings, until);
            let (name, mut knows) = (faceplate.name.clone(), knows.clone());
            faceplates.spawn(async move {
                // Earlier it would say of every program that there is none.
                tokio::select! {
                    _ = knows.wait_for(|knows| *knows) => {}
                    () = tokio::time::sleep(KNOW_TIMEOUT) => {}
                    () = early => {}
                }
                logged(name, serve).await;
            });
        }
        let mut limits = config.http().limits.clone();
        // Who runs the node may bring files, however little strangers may bring.
        limits.body_max = limits.body_max.max(Limits::default().body_max);
        let (control, desk) = (doors.control, Arc::new(desk));
        let serve = faceplate::control::serve(control, shared.clone(), limits, desk, until(closed));
        faceplates.spawn(serve);
        Ok(Self {
            membership,
            files,
            followed,
            manager,
            dispatcher,
            shadows,
            shared,
            tokens,
            tls,
            dispatch,
            conduct,
            faceplates,
            closing,
        })
    }

    /// Whether no other machine is part of this cluster, or can be.
    pub fn is_alone(&self) -> bool {
        self.membership.state.is_none()
    }

    /// Whether the configuration's programs are to become those of the cluster.
    pub fn is_new(&self) -> bool {
        self.membership.is_new
    }

    /// The cluster has its first programs.
    pub fn founded(&mut self) -> anyhow::Result<()> {
        self.membership.founded()
    }

    /// Makes these the programs of the cluster, and comes back when this node knows of them.
    pub async fn apply(&self, programs: &[Program]) -> anyhow::Result<Changes> {
        let (member, files) = (&self.membership.member, self.files.as_ref());
        programs::apply(member, files, self.followed.clone(), programs).await
    }

    /// Takes up who may call from a configuration that was read again: its tokens, and the
    /// certificate that is in the files now.
    pub fn renew_access(&self, config: &Config) {
        self.tokens.set_file(config.tokens.clone());
        for tls in &self.tls {
            if let Err(error) = tls.reload() {
                tracing::error!("a certificate stays as it was: {error}");
            }
        }
    }

    /// Comes back if a part has ended by itself, which is a bug, and says which. A node that only
    /// looks alive is worse than one that ends and is started again.
    pub async fn broken(&mut self) -> anyhow::Error {
        let (what, ended) = tokio::select! {
            ended = &mut self.dispatch => ("dispatch loop", ended),
            Some(ended) = self.conduct.join_next() => ("follower of the cluster", ended),
            Some(ended) = self.faceplates.join_next() => ("faceplate", ended),
        };
        let why = ended.err().map(|error| format!(": {error}"));
        anyhow::anyhow!("a {what} has ended by itself{}", why.unwrap_or_default())
    }

    /// Refuses new calls, lets those that run finish, then closes the faceplates and stops the
    /// workers. What still runs after `drain_timeout` is killed.
    pub async fn stop(mut self, drain_timeout: Duration) {
        self.shared.drain();
        self.shadows.stop();
        let drained = tokio::time::timeout(drain_timeout, self.dispatcher.drain()).await;
        let workers = async {
            if drained.is_ok() {
                self.manager.stop().await;
            } else {
                let seconds = drain_timeout.as_secs_f64();
                tracing::warn!("calls still run after {seconds} s: killing all workers");
                self.manager.kill().await;
            }
        };
        drop(self.closing);
        let faceplates = async {
            let all = async { while self.faceplates.join_next().await.is_some() {} };
            if tokio::time::timeout(CLOSE_TIMEOUT, all).await.is_err() {
                tracing::warn!("some clients have not read their answers");
            }
        };
        tokio::join!(faceplates, workers);
        self.conduct.shutdown().await;
        self.membership.stop().await;
    }
}

/// Who answers calls: the dispatcher, tried again, and copied to versions that shadow.
fn caller(dispatcher: &Dispatcher, shadows: &Shadows) -> Arc<dyn Caller> {
    let dispatcher = Arc::new(dispatcher.clone());
    let retry = Retry::new(dispatcher.clone());
    Arc::new(Shadow::new(Arc::new(retry), dispatcher, shadows.clone()))
}

fn settings(faceplate: &Faceplate) -> anyhow::Result<Settings> {
    let alpn = faceplate.server.alpn();
    let tls = match &faceplate.tls {
        Some(files) => Some(Arc::new(Tls::load(&files.certificate, &files.key, alpn)?)),
        None => None,
    };
    Ok(Settings {
        name: faceplate.name.clone(),
        limits: faceplate.limits.clone(),
        tls,
        tokens: faceplate.tokens,
        accepted: faceplate.accepted,
    })
}

/// The node's files of programs, in its state folder.
fn files(membership: &Membership) -> anyhow::Result<Option<Files>> {
    let Some(state) = &membership.state else {
        return Ok(None);
    };
    let files = Files::start(membership.me, membership.mesh.clone(), state.folder())?;
    // Only root can have workers of other users.
    if rustix::process::geteuid().is_root() {
        state.let_workers_through()?;
    }
    Ok(Some(files))
}

/// Where the node is in its cluster. Alone, there is nothing to show of one.
fn place(membership: &Membership) -> Option<Place> {
    membership.state.as_ref().map(|_| Place {
        me: membership.me,
        member: membership.member.clone(),
        mesh: membership.mesh.clone(),
    })
}

async fn logged<E: std::fmt::Display>(name: String, serve: impl Future<Output = Result<(), E>>) {
    if let Err(error) = serve.await {
        tracing::error!("the faceplate {name} ended: {error}");
    }
}

/// Ready once the sender is gone.
async fn until(mut closed: watch::Receiver<()>) {
    while closed.changed().await.is_ok() {}
}
