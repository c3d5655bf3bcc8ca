//! JSON-RPC over a connection of its own, with messages that end with a line, or begin with their
//! length. Requests of one connection run side by side, and are answered as they are done.

use super::answer::{self, Failure};
use super::session::{CALLS_MAX, Session};
use crate::conversation::{self, Framing, Manners, Outgoing};
use crate::faceplate::{Faceplate, Kind, Refusal};
use crate::frames::{Cut, Frames};
use crate::server::Connection;
use bytes::{Bytes, BytesMut};
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
            Some(Arc::new(Self { framing }))
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
        let framing = Cutter {
            cut: Cut::new(frames, connection.desk.limits.body_max),
            frames,
        };
        let manners = Manners {
            calls_max: CALLS_MAX,
            in_order: false,
            half_close: true,
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

/// Cuts messages, and says in JSON-RPC what is wrong with them.
struct Cutter {
    cut: Cut,
    frames: Frames,
}

impl Framing for Cutter {
    type Message = Bytes;

    fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        self.cut.take(read)
    }

    fn rest(&mut self, read: BytesMut) -> Option<Bytes> {
        self.cut.rest(read)
    }

    fn refuse(&self, error: CallError) -> Bytes {
        let answer = answer::failure(None, &Failure::of(error, None));
        self.frames.wrap(&answer)
    }
}
