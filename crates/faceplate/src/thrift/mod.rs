//! Thrift: calls as functions of services, over a connection of its own or in the body of a request.
//! docs/protocol/thrift.md says what that means in detail.
//!
//! A message's way: `framing` cuts it out and `scan` checks all of it, `session` finds out who asks
//! for what, `generic` or `services` and `arguments` read the arguments, `result` or `answer` write what comes back.

mod answer;
mod arguments;
mod codec;
mod form;
mod framing;
mod generic;
pub(crate) mod http;
mod reader;
mod result;
mod scan;
mod services;
mod session;
mod writer;

#[cfg(test)]
mod tests;

use crate::conversation::{self, Manners, Outgoing};
use crate::faceplate::{Faceplate, Kind};
use crate::server::Connection;
use crate::wishes::Wishes;
use framing::Cutter;
use futures_util::future::BoxFuture;
use session::{Client, Session};
use std::sync::Arc;

/// Messages of one connection that wait for their answers.
const CALLS_MAX: usize = 100;

/// Thrift on a connection of its own.
#[derive(Debug)]
pub struct Thrift {
    kind: Option<Arc<str>>,
}

impl Thrift {
    /// As the configuration knows it.
    pub const KIND: Kind = Kind {
        name: "thrift",
        port: 7485,
        read: |keys| {
            Some(Arc::new(Self {
                kind: keys.text("kind").map(Arc::from),
            }))
        },
    };
}

impl Faceplate for Thrift {
    fn serve(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        let framing = Cutter::new(connection.desk.limits.body_max);
        let manners = Manners {
            calls_max: CALLS_MAX,
            in_order: true,
            half_close: false,
        };
        let mut session = Session {
            desk: connection.desk.clone(),
            kind: self.kind.clone(),
            wishes: Wishes::default(),
            client: Client::Secret(None),
        };
        Box::pin(conversation::converse(
            connection,
            framing,
            manners,
            move |message| {
                let answer = session.take(message);
                async move { answer.await.map_or(Outgoing::Nothing, Outgoing::Whole) }
            },
        ))
    }
}
