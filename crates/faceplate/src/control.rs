//! The control socket: the routes of [`crate::http`] and those for whoever runs the node, over a
//! Unix socket. Its file's mode is its access control.

use crate::body::Bodies;
use crate::limits::HttpLimits;
use crate::node::Node;
use crate::router::{Door, Router};
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

/// Serves until `shutdown` is ready, as [`crate::http::serve`] does.
pub async fn serve(
    listener: UnixListener,
    node: Arc<Node>,
    limits: HttpLimits,
    operator: Arc<dyn Operator>,
    shutdown: impl Future<Output = ()>,
) {
    let router = Router {
        node,
        limits,
        door: Door::Control { operator },
        bodies: Bodies::default(),
    };
    server::run(listener, router, shutdown).await;
}
