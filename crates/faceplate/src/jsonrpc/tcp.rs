//! JSON-RPC over a connection of its own, with messages that end with a line, or begin with their
//! length. Requests of one connection run side by side, and are answered as they are done.

use super::answer::{self, Failure};
use super::session::{CALLS_MAX, Session};
use crate::conversation::{self, Manners, Outgoing};
use crate::faceplate::{Faceplate, Kind, Refusal};
use crate::frames::{Framed, Frames};
use crate::server::Connection;
use dispatch::CallError;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// What a connection beyond the limit is told; the end of the line does no harm behind a length.
const FULL: &[u8] = b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32003,\"message\":\"too many \
connections\",\"data\":{\"code\":\"busy\"}},\"id\":null}\n";

/// JSON-RPC 2.0 over TCP.
#[derive(Debug)]
pub struct JsonRpc {
    framing: Frames,
    half_close: bool,
}

impl JsonRpc {
    /// As the configuration knows it.
    pub const KIND: Kind = Kind {
        name: "jsonrpc",
        port: 7481,
        read: |keys| {
            let words = ["lines", "lengths"];
            let framing = match keys.choice("framing", &words) {
                Some(1) => Frames::Lengths,
                _ => Frames::Lines,
            };
            let half_close = keys.boolean("half_close").unwrap_or(true);
            Some(Arc::new(Self {
                framing,
                half_close,
            }))
        },
    };
}

impl Faceplate for JsonRpc {
    fn refusal(&self, refusal: Refusal) -> &'static [u8] {
        match (refusal, self.framing) {
            (Refusal::Full, Frames::Lines) => FULL,
            _ => &[],
        }
    }

    fn serve(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        let frames = self.framing;
        let framing = Framed::new(frames, connection.desk.limits.body_max, refuse);
        let manners = Manners {
            calls_max: CALLS_MAX,
            in_order: false,
            half_close: self.half_close,
        };
        let mut session = Session::new(connection.desk.clone(), None);
        Box::pin(conversation::converse(
            connection,
            framing,
            manners,
            move |message| {
                let answer = session.take(message);
                async move {
                    match answer.await {
                        Some(answer) => Outgoing::Whole(frames.wrap(&answer)),
                        None => Outgoing::Nothing,
                    }
                }
            },
        ))
    }
}

/// The answer to what is no message.
fn refuse(error: CallError) -> Vec<u8> {
    answer::failure(None, &Failure::of(error, None))
}
