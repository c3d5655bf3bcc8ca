//! The parts of a node and how they are joined.

use crate::config::Config;
use anyhow::Context;
use dispatch::{Caller, Dispatcher, Numbers, Retry};
use faceplate::control::Operator;
use faceplate::{CASTS_MAX, Local};
use manager::{Manager, Sentinel};
use pool::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The number of a node that is alone.
const ONLY_NODE: NodeId = NodeId(0);

/// Calls that may wait for programs to start, and bytes of their arguments: as many as those of a
/// busy program.
const LOBBY_MAX: usize = 1_000;
const LOBBY_BYTES_MAX: usize = 64 << 20;

/// How long clients may take to read the last answers when the node stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A running node.
pub struct Node {
    /// Who runs the workers.
    pub manager: Manager,
    dispatcher: Dispatcher,
    shared: Arc<faceplate::Node>,
    dispatch: JoinHandle<()>,
    faceplates: JoinSet<()>,
    /// Dropped, it tells the faceplates to close.
    closing: watch::Sender<()>,
}

impl Node {
    /// Joins the parts and begins to serve. Needs the tokio runtime; programs are yet to come.
    pub fn start(
        config: &Config,
        http: TcpListener,
        control: UnixListener,
        operator: Arc<dyn Operator>,
    ) -> anyhow::Result<Self> {
        let limits = dispatch::Limits {
            timeout: config.timeout,
            lobby_max: LOBBY_MAX,
            lobby_bytes_max: LOBBY_BYTES_MAX,
        };
        let (dispatch_loop, dispatcher, notices) = dispatch::new(ONLY_NODE, &limits);
        let dispatch = tokio::spawn(dispatch_loop.run());
        let caller: Arc<dyn Caller> = Arc::new(Retry::new(Arc::new(dispatcher.clone())));
        let seed = getrandom::u32().context("cannot draw a random number")?;
        let numbers = Arc::new(Numbers::new(seed));
        let executable = std::env::current_exe().context("cannot find the own program")?;
        let sentinel = Sentinel::start(&executable).context("cannot start the sentinel")?;
        let manager = Manager::new(
            ONLY_NODE,
            notices,
            caller.clone(),
            numbers.clone(),
            sentinel,
        );
        let observer = Arc::new(Local {
            dispatcher: dispatcher.clone(),
            manager: manager.clone(),
        });
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let shared = Arc::new(faceplate::Node::new(
            name, caller, observer, numbers, CASTS_MAX,
        ));
        let (closing, closed) = watch::channel(());
        let mut faceplates = JoinSet::new();
        let limits = config.http.limits.clone();
        faceplates.spawn({
            let serve =
                faceplate::http::serve(http, shared.clone(), limits.clone(), until(closed.clone()));
            async move {
                if let Err(error) = serve.await {
                    tracing::error!("the HTTP faceplate ended: {error}");
                }
            }
        });
        let serve =
            faceplate::control::serve(control, shared.clone(), limits, operator, until(closed));
        faceplates.spawn(serve);
        Ok(Self {
            manager,
            dispatcher,
            shared,
            dispatch,
            faceplates,
            closing,
        })
    }

    /// Comes back if a part has ended by itself, which is a bug, and says which. A node that only
    /// looks alive is worse than one that ends and is started again.
    pub async fn broken(&mut self) -> anyhow::Error {
        let (what, ended) = tokio::select! {
            ended = &mut self.dispatch => ("dispatch loop", ended),
            Some(ended) = self.faceplates.join_next() => ("faceplate", ended),
        };
        let why = ended.err().map(|error| format!(": {error}"));
        anyhow::anyhow!("a {what} has ended by itself{}", why.unwrap_or_default())
    }

    /// Refuses new calls, lets those that run finish, then closes the faceplates and stops the
    /// workers. What still runs after `drain_timeout` is killed.
    pub async fn stop(mut self, drain_timeout: Duration) {
        self.shared.drain();
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
    }
}

/// Ready once the sender is gone.
async fn until(mut closed: watch::Receiver<()>) {
    while closed.changed().await.is_ok() {}
}
