//! Calls from inside a call: what is allowed, and making them.

use super::port::{Inbox, Message};
use super::running::{NestedTask, Running};
use crate::dialect::{Nested, PAYLOAD_MAX};
use crate::program::Program;
use bytes::{BufMut, BytesMut};
use dispatch::{Answer, Call, CallError, Caller, Code, Numbers};
use std::sync::Arc;
use term::{Payload, Shape};
use tokio::time::Instant;

/// How many calls may be above one another.
const DEPTH_MAX: u8 = 8;

/// Nested calls in flight of one parent.
const IN_FLIGHT_MAX: usize = 16;

/// What workers need in order to call the cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub caller: Arc<dyn Caller>,
    pub numbers: Arc<Numbers>,
}

/// Turns a nested call of a running one into a call of its own, if the rules allow it.
pub(crate) fn admit(
    nested: &Nested,
    parent: &Running,
    program: &Program,
    cluster: &Cluster,
) -> Result<Call, CallError> {
    let allowed = nested
        .details
        .kind
        .as_ref()
        .is_some_and(|kind| program.calls.contains(kind));
    if !allowed {
        let kind = nested.details.kind.as_deref().unwrap_or("(none)");
        let name = &program.name;
        let message = format!(
            "program {name:?} may not call kind {kind:?}; list it in its `calls` to allow that"
        );
        return Err(CallError::new(Code::NotAllowed, message));
    }
    if parent.depth + 1 > DEPTH_MAX {
        let message = format!("calls may be nested {DEPTH_MAX} deep");
        return Err(CallError::new(Code::NotAllowed, message));
    }
    if parent.nested.len() >= IN_FLIGHT_MAX {
        let message = format!("one call may have {IN_FLIGHT_MAX} nested calls in flight");
        return Err(CallError::new(Code::NotAllowed, message));
    }
    let shape = match &nested.payload {
        Payload::Json(json) => Shape::of_json(json)
            .map_err(|error| CallError::new(Code::BadRequest, error.to_string()))?,
        _ => Shape::Opaque,
    };
    let asked = nested
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let deadline = asked.map_or(parent.deadline, |asked| asked.min(parent.deadline));
    let payload = nested.payload.clone();
    let number = cluster.numbers.next();
    let mut call = Call::new(
        number,
        nested.details.clone(),
        &nested.function,
        payload,
        shape,
    );
    call.class = nested.class.unwrap_or(parent.class).max(parent.class);
    call.key = nested.key.as_deref().map(Arc::from);
    call.deadline = Some(deadline);
    call.idempotent = nested.idempotent;
    call.parent = Some(parent.call);
    call.depth = parent.depth + 1;
    Ok(call)
}

/// Makes the call in a task of its own; the answer comes to the worker's inbox.
pub(crate) fn make(
    call: Call,
    id: u64,
    parent: u64,
    cluster: &Cluster,
    inbox: &Inbox,
) -> NestedTask {
    let (caller, inbox) = (cluster.caller.clone(), inbox.clone());
    let task = tokio::spawn(async move {
        let result = match caller.call(call).await.result {
            Ok(answer) => whole(answer).await,
            Err(error) => Err(error),
        };
        // If the worker is gone there is nobody to tell.
        let _ = inbox.send(Message::NestedDone { id, parent, result });
    });
    NestedTask(task.abort_handle())
}

/// The whole of an answer: of a stream, an array of its pieces.
async fn whole(answer: Answer) -> Result<Payload, CallError> {
    let mut pieces = match answer {
        Answer::Whole(payload) => return Ok(payload),
        Answer::Stream(pieces) => pieces,
    };
    let mut array = BytesMut::from("[");
    while let Some(piece) = pieces.next().await {
        let Payload::Json(json) = piece? else {
            let message = "a nested call takes streams of JSON only";
            return Err(CallError::new(Code::NotAllowed, message));
        };
        if array.len() > 1 {
            array.put_u8(b',');
        }
        array.put_slice(&json);
        if array.len() > PAYLOAD_MAX {
            let message = format!("the pieces of the stream exceed {PAYLOAD_MAX} bytes");
            return Err(CallError::new(Code::TooLarge, message));
        }
    }
    array.put_u8(b']');
    Ok(Payload::Json(array.freeze()))
}
