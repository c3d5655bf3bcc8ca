//! What a protocol is to the rest of the house: the one trait that each implements, and the list of
//! them.
//!
//! A protocol is a module of this crate that implements [`Faceplate`], and a line in [`KINDS`].
//! Listening, TLS, tokens, limits and closing are not its business; it turns a connection's bytes
//! into calls, and answers into bytes.

use crate::bert::BertRpc;
use crate::erlang::Erlang;
use crate::grpc::Grpc;
use crate::http::Http;
use crate::jsonrpc::JsonRpc;
use crate::server::Connection;
use crate::settings::Keys;
use crate::tcp::RawTcp;
use crate::thrift::Thrift;
use futures_util::future::{BoxFuture, ready};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A server of one protocol with its own settings, which its `Debug` shows whole: two of equal text
/// serve alike.
pub trait Faceplate: fmt::Debug + Send + Sync + 'static {
    /// The protocols behind TLS that it speaks (ALPN, RFC 7301), the best first; none if clients do
    /// not ask.
    fn alpn(&self) -> &'static [&'static [u8]] {
        &[]
    }

    /// What a client that is not served is told in the words of the protocol, if it has some.
    fn refusal(&self, _: Refusal) -> &'static [u8] {
        &[]
    }

    /// Runs beside the connections of a listener at this address, until the listener closes: it is
    /// dropped then. For protocols whose clients find the port elsewhere.
    fn accompany(self: Arc<Self>, _: SocketAddr) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }

    /// Serves one connection to its end. When its listener closes it reads no more, and ends once
    /// what was read is answered. To drop the future is to cut the connection off.
    fn serve(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()>;
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are too many already.
    Full,
    /// It is plain where TLS is expected.
    NotTls,
}

/// A protocol as the configuration knows it.
pub struct Kind {
    /// Its name: `[faceplate.NAME]`, or `protocol = "NAME"` in a table of another name.
    pub name: &'static str,
    /// Where it listens unless told otherwise: this port of 127.0.0.1.
    pub port: u16,
    /// Reads the keys of its own. None if one of them is wrong, which is then noted there.
    pub read: fn(&mut dyn Keys) -> Option<Arc<dyn Faceplate>>,
}

/// All of them.
pub const KINDS: &[Kind] = &[
    Http::KIND,
    JsonRpc::KIND,
    RawTcp::KIND,
    Grpc::KIND,
    Thrift::KIND,
    Erlang::KIND,
    BertRpc::KIND,
];
