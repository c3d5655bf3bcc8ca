//! Faceplates: servers that turn a wire protocol into calls.
//!
//! A protocol is a module that implements [`Faceplate`], and a line in [`KINDS`]: [`http`] has
//! JSON-RPC, plain calls, status and metrics; [`JsonRpc`] has JSON-RPC over a connection of its own,
//! [`RawTcp`] a port for one function, [`Grpc`] and [`Thrift`] a service for each kind, [`Erlang`] a
//! node among nodes of Erlang, [`BertRpc`] calls in terms of Erlang. [`control`] serves HTTP, and a
//! few routes more, over the node's Unix socket. A faceplate holds no cluster state of its own: it
//! makes calls through the [`Node`]'s `Caller` and observes through its [`Observer`]; what pools
//! declare is looked at once for all of them, in the catalogue of [`contract`].
//!
//! A request's way: `server` accepts and bounds connections, `tls` decrypts them, the protocol cuts
//! requests out of their bytes (`conversation`, if it has none of its own for that), `guard` asks for
//! a token, `wishes` are what shapes a call, `desk` makes it. What can go wrong is in `errors`.

pub mod access;
pub mod clock;
pub mod contract;
pub mod control;
pub mod http;

mod access_log;
mod arguments;
mod bert;
mod conversation;
mod desk;
mod details;
mod erlang;
mod errors;
mod exchange;
mod faceplate;
mod frames;
mod grpc;
mod guard;
mod jsonrpc;
mod limits;
mod metrics;
mod node;
mod observer;
mod overview;
mod presence;
mod receipt;
mod risk;
mod room;
mod server;
mod settings;
mod socket;
mod statsd;
mod status;
mod tcp;
mod thrift;
mod tls;
mod why;
mod wishes;

pub use access_log::TARGET as ACCESS_LOG;
pub use bert::BertRpc;
pub use desk::Desk;
pub use erlang::Erlang;
pub use faceplate::{Faceplate, KINDS, Kind, Refusal};
pub use grpc::Grpc;
pub use guard::TokenPolicy;
pub use jsonrpc::JsonRpc;
pub use limits::Limits;
pub use node::{CASTS_MAX, Node};
pub use observer::{Local, Observer, Place};
pub use overview::{
    ClusterView, MasterView, NodeReport, NodeState, NodeView, ProgramView, Standing, advice,
};
pub use risk::Risk;
pub use server::{Closing, Connection, Ending, Settings, serve};
pub use settings::Keys;
pub use socket::Socket;
pub use statsd::Statsd;
pub use tcp::RawTcp;
pub use thrift::Thrift;
pub use tls::{Tls, TlsError, Trust};
