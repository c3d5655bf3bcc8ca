//! Raw TCP: a port bound to one function. What comes in is its argument, what it answers goes out.
//! `docs/protocol/tcp.md` says what that means in detail.

use crate::arguments::{OCTETS, of_json};
use crate::conversation::{self, Manners, Outgoing};
use crate::desk::{Desk, Target};
use crate::exchange::{Answer, Pieces};
use crate::faceplate::{Faceplate, Kind};
use crate::frames::{Framed, Frames};
use crate::guard::{Denied, Principal};
use crate::receipt::Receipt;
use crate::server::Connection;
use crate::settings::Keys;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::CallError;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt, unfold};
use pool::Details;
use std::sync::Arc;
use term::{JSON, Payload, Shape};

/// Messages of one connection that wait for their answers.
const CALLS_MAX: usize = 100;

/// A port of one function.
#[derive(Debug)]
pub struct RawTcp {
    kind: String,
    function: String,
    content_type: String,
    framing: Frames,
    half_close: bool,
}

impl RawTcp {
    /// As the configuration knows it.
    pub const KIND: Kind = Kind {
        name: "tcp",
        port: 7482,
        read,
    };
}

fn read(keys: &mut dyn Keys) -> Option<Arc<dyn Faceplate>> {
    let words = ["lines", "lengths", "close"];
    let framing = match keys.choice("framing", &words) {
        Some(1) => Frames::Lengths,
        Some(2) => Frames::Close,
        _ => Frames::Lines,
    };
    let content_type = keys
        .text("content_type")
        .unwrap_or_else(|| OCTETS.to_owned());
    let half_close = keys.boolean("half_close").unwrap_or(true);
    if framing == Frames::Close && !half_close {
        let message = "expected true with framing \"close\", where a message ends with the last byte \
                       of its client";
        keys.report("half_close", message.to_owned());
    }
    let function = keys.text("function");
    let Some((kind, function)) = function.as_deref().and_then(|name| name.split_once('.')) else {
        let message = "expected the one function of this port, such as \"parse.linkage\"";
        keys.report("function", message.to_owned());
        return None;
    };
    Some(Arc::new(RawTcp {
        kind: kind.to_owned(),
        function: function.to_owned(),
        content_type,
        framing,
        half_close,
    }))
}

impl Faceplate for RawTcp {
    fn serve(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        let bytes_max = connection.desk.limits.body_max;
        let framing = Framed::new(self.framing, bytes_max, |error| failure(&error, None));
        let manners = Manners {
            calls_max: CALLS_MAX,
            in_order: true,
            half_close: self.half_close,
        };
        let desk = connection.desk.clone();
        let mut secret = None;
        Box::pin(conversation::converse(
            connection,
            framing,
            manners,
            move |message| {
                let first = self.admit(&desk, &mut secret, &message);
                let (faceplate, desk) = (self.clone(), desk.clone());
                async move {
                    match first {
                        Ok(Some(principal)) => faceplate.answer(&desk, &principal, message).await,
                        Ok(None) => Outgoing::Nothing,
                        Err(denied) => {
                            let failure = failure(&denied.into(), None);
                            Outgoing::Last(faceplate.framing.wrap(&failure))
                        }
                    }
                }
            },
        ))
    }
}

impl RawTcp {
    /// Who sends a message. Where a token is needed the first one is its secret, and no argument:
    /// then there is none to answer.
    fn admit(
        &self,
        desk: &Desk,
        secret: &mut Option<Bytes>,
        message: &Bytes,
    ) -> Result<Option<Principal>, Denied> {
        if !desk.is_closed() {
            return Ok(Some(Principal::default()));
        }
        if let Some(secret) = secret {
            return desk.admit(Some(secret)).map(Some);
        }
        desk.admit(Some(message))?;
        *secret = Some(message.clone());
        Ok(None)
    }

    async fn answer(&self, desk: &Desk, principal: &Principal, message: Bytes) -> Outgoing {
        let call = || {
            let details = Details::of_kind(&self.kind);
            let wishes = Wishes::default();
            let class = desk.permit(principal, &details, &wishes)?;
            let (payload, shape) = match self.content_type.as_str() {
                JSON => of_json(message)?,
                other => (Payload::new(other, message), Shape::Opaque),
            };
            let target = Target {
                details,
                function: &self.function,
                payload,
                shape,
            };
            Ok(desk.prepare(principal, class, target, &wishes))
        };
        let frames = self.framing;
        let call = match call() {
            Ok(call) => call,
            Err(error) => return Outgoing::Whole(frames.wrap(&failure(&error, None))),
        };
        let reply = desk.call(call).await;
        let receipt = reply.receipt;
        match reply.result {
            Ok(Answer::Whole(payload)) => Outgoing::Whole(frames.wrap(payload.bytes())),
            Ok(Answer::Stream(pieces)) => streamed(frames, pieces, receipt),
            Err(error) => Outgoing::Whole(frames.wrap(&failure(&error, Some(receipt)))),
        }
    }
}

/// Each piece in a frame of its own; an error in place of the next one ends them.
fn streamed(frames: Frames, pieces: Pieces, receipt: Receipt) -> Outgoing {
    let pieces = unfold(Some(pieces), move |pieces| async move {
        let mut pieces = pieces?;
        let (piece, pieces) = match pieces.next().await? {
            Ok(piece) => (frames.wrap(piece.bytes()), Some(pieces)),
            Err(error) => (frames.wrap(&failure(&error, Some(receipt))), None),
        };
        Some((Ok(piece), pieces))
    });
    Outgoing::Pieces(pieces.boxed())
}

/// An error in the place of an answer: `{"error": {"code": ..., "message": ..., "id": ...}}`.
fn failure(error: &CallError, receipt: Option<Receipt>) -> Vec<u8> {
    let mut members = serde_json::json!({"code": error.code, "message": error.message});
    if let Some(receipt) = receipt {
        members["id"] = receipt.id().into();
    }
    serde_json::json!({ "error": members })
        .to_string()
        .into_bytes()
}
