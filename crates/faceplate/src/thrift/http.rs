//! `POST /thrift`: one message in the body, its answer in that of the response.

use super::framing::Cutter;
use super::session::{Client, Session};
use crate::desk::Desk;
use crate::guard::Principal;
use crate::http::body::{self, Body};
use crate::http::incoming::Incoming;
use crate::http::problem::Problem;
use crate::wishes::Wishes;
use dispatch::{CallError, Code};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, request::Parts};
use std::sync::Arc;

/// What requests say that their bodies are, and answers.
const CONTENT: &str = "application/x-thrift";

/// Answers one message.
pub(crate) async fn serve(
    desk: &Arc<Desk>,
    principal: &Principal,
    parts: &Parts,
    incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let content_type = parts.headers.get(CONTENT_TYPE);
    if content_type.is_none_or(|content_type| content_type != CONTENT) {
        let message = format!("expected content-type: {CONTENT}");
        return Err(Problem::new(Code::BadRequest, message));
    }
    let wishes = Wishes::of(&parts.headers)?;
    if wishes.cast {
        let message = "katamari-cast: expected a oneway function instead, such as cast_json";
        return Err(Problem::new(Code::BadRequest, message));
    }
    let message = body::read(incoming, desk).await?;
    let length = Cutter::new(desk.limits.body_max).measure(&message);
    if length.map_err(CallError::from)? != Some(message.len()) {
        let message = "expected one whole message of Thrift, in the binary or compact protocol";
        return Err(Problem::new(Code::BadRequest, message));
    }
    let mut session = Session {
        desk: desk.clone(),
        kind: None,
        wishes,
        client: Client::Known(principal.clone()),
    };
    let answer = session.take(message).await;
    let mut response = Response::new(Body::whole(answer.unwrap_or_default()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
    Ok(response)
}
