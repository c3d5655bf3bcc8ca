//! Bodies that a function reads while they come: the input of its call.
//!
//! Nothing is read from the client before a worker has taken the call and asks for it, so a client
//! that sent `expect: 100-continue` is told to go on only then.

use super::incoming::Incoming;
use super::problem::Problem;
use crate::contract::catalogue::Declarations;
use crate::desk::Desk;
use crate::errors::busy;
use dispatch::{Code, Input, InputSender, input};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use hyper::body::Body;
use pool::{Details, Function, Type};
use std::time::Duration;
use tokio::time::sleep;

/// What a body goes to.
pub(super) struct Reader<'a> {
    pub details: &'a Details,
    pub function: &'a str,
    /// A body of at most so many bytes is read before the call queues, though the function would
    /// read it itself: then a slow client holds no slot for it.
    pub whole_max: u64,
    /// Whether its arguments are bytes besides: the head of a request, and not the body.
    pub has_head: bool,
    /// Whether nobody waits for the call.
    pub is_cast: bool,
}

impl Reader<'_> {
    /// Whether a function like this takes a body as its input. One that takes bytes as an argument
    /// gets them so from those who give it nothing else.
    fn reads(&self, declared: &Function) -> bool {
        let first = declared.parameters.first();
        let takes_bytes = first.is_some_and(|first| first.r#type == Type::Bytes);
        declared.input && takes_bytes == self.has_head
    }
}

/// Gives a body to a call as its input, if the function declares that it reads one. Otherwise the
/// body comes back.
pub(super) async fn read_by(
    reader: Reader<'_>,
    desk: &Desk,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Result<Input, Incoming>, Problem> {
    let size = body.size_hint().exact();
    if size.is_some_and(|size| size <= reader.whole_max) {
        return Ok(Err(body));
    }
    let catalogue = &desk.node.catalogue;
    let (details, function) = (reader.details, reader.function);
    let reads = |all: &Declarations| {
        let declared = all.function_for(details, function)?;
        Some(reader.reads(declared))
    };
    let found = catalogue.find(reads);
    // What is not there, or on a node that stops, the call is told.
    let Ok((reads, look)) = found.await else {
        return Ok(Err(body));
    };
    let is_long = size.is_none_or(|size| size > desk.limits.body_max as u64);
    if reads.is_none() && look.starting && is_long {
        let kind = details.kind.as_deref().unwrap_or_default();
        return Err(busy(format!("{kind}.{function} may still be starting")).into());
    }
    if !reads.unwrap_or(false) {
        return Ok(Err(body));
    }
    if reader.is_cast {
        let message = "katamari-cast: expected a function without an input; nobody would send it";
        return Err(Problem::new(Code::BadRequest, message));
    }
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let (sender, input) = input(content_type);
    tokio::spawn(send(body, sender, desk.limits.body_timeout));
    Ok(Ok(input))
}

/// Sends a body until its end, or until nobody wants more of it. A body that breaks off is a client
/// that has left: the sender says so when it is dropped. So is one of which nothing comes for so
/// long: it holds a slot, and may have asked for weeks of time.
async fn send(mut body: Incoming, mut sender: InputSender, patience: Duration) {
    while sender.ready().await.is_ok() {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = sender.unwanted() => return,
            () = sleep(patience) => return,
        };
        match frame {
            None => return sender.end(),
            Some(Err(_)) => return,
            // Trailers mean nothing here.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && sender.send(data).await.is_err()
                {
                    return;
                }
            }
        }
    }
}
