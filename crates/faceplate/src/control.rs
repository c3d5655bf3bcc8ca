//! The control socket: the routes of [`crate::http`] and those for whoever runs the node, over a
//! Unix socket. Its file's mode is its access control.

use crate::desk::Desk;
use crate::guard::TokenPolicy;
use crate::http::Http;
use crate::limits::Limits;
use crate::node::Node;
use crate::presence::Presence;
use crate::server;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::future::Future;
use std::sync::Arc;
use tokio::net::UnixListener;

/// What the binary lets the command line do.
pub trait Operator: Send + Sync + 'static {
    /// Does what is asked for, such as `reload`, with what came as JSON, and answers in JSON. The
    /// error says why it was not done. None if there is no such thing to do.
    fn operate(&self, what: &str, question: Bytes) -> Option<BoxFuture<'_, Result<Bytes, String>>>;
}

/// Serves until `shutdown` is ready, as [`crate::serve`] does.
pub async fn serve(
    listener: UnixListener,
    node: Arc<Node>,
    limits: Limits,
    operator: Arc<dyn Operator>,
    shutdown: impl Future<Output = ()>,
) {
    let desk = Desk {
        node,
        name: "control".into(),
        address: "the control socket".into(),
        limits: Arc::new(limits),
        tokens: TokenPolicy::Ignored,
        tls: None,
        rooms: Arc::default(),
        peer: None,
        presence: Arc::new(Presence::new()),
    };
    let faceplate = Arc::new(Http::control(operator));
    server::run(listener, faceplate, desk, shutdown).await;
}
