//! Faceplates: servers that turn a wire protocol into calls.
//!
//! [`http`] serves JSON-RPC, plain calls, status and metrics over TCP; [`control`] serves the same
//! routes, and a few more, over the node's Unix socket. A faceplate holds no cluster state of its
//! own: it makes calls through the [`Node`]'s `Caller` and observes through its [`Observer`].
//!
//! A request's way: `server` accepts and bounds connections, `tls` decrypts them, `door` turns
//! foreign web pages away, `guard` asks for a token, `router` finds the route, `wishes` reads the headers that shape a call, `call` or `jsonrpc`
//! makes it, and `body` and `stream` carry the answer out. Whatever goes wrong becomes a `problem`.

pub mod access;
pub mod control;
pub mod http;

mod body;
mod call;
mod details;
mod door;
mod errors;
mod guard;
mod jsonrpc;
mod limits;
mod metrics;
mod node;
mod observer;
mod overview;
mod patient;
mod problem;
mod receipt;
mod router;
mod server;
mod status;
mod stream;
mod tls;
mod why;
mod wishes;

pub use guard::TokenPolicy;
pub use limits::HttpLimits;
pub use node::{CASTS_MAX, Node};
pub use observer::{Local, Observer, Place};
pub use overview::{
    ClusterView, MasterView, NodeReport, NodeState, NodeView, ProgramView, Standing, advice,
};
pub use tls::{Tls, TlsError, Trust};
