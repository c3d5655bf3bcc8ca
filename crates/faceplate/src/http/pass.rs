//! Requests that pass to a program as they are, and its responses that pass back: functions named
//! `http`, of programs that serve HTTP themselves or on a chassis.

use super::body::{self, Body};
use super::problem::Problem;
use super::upload::{self, Reader};
use crate::desk::{Desk, Target};
use crate::exchange::{Answer, Pieces};
use crate::guard::Principal;
use crate::receipt::Receipt;
use crate::wishes::{PREFIX, Wishes};
use bytes::Bytes;
use dispatch::{CallError, Code};
use futures_util::stream::{StreamExt, unfold};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use manager::dialect::http::{
    CONTENT_TYPE, RequestHead, ResponseHead, end_to_end, is_of_connection, pack, unpack, value_of,
};
use std::io;
use std::net::IpAddr;
use term::{Payload, Shape};

pub(super) use manager::dialect::http::FUNCTION;

/// Bytes of a body that goes with its request, as a form that people fill in does.
const WHOLE_MAX: u64 = 64 * 1024;

/// Passes a request to a kind's function `http`.
pub(super) async fn serve(
    desk: &Desk,
    principal: &Principal,
    peer: Option<IpAddr>,
    parts: &Parts,
    kind: &str,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    if climbs(parts.uri.path()) {
        let message = "expected a path without .. in it";
        return Err(Problem::new(Code::BadRequest, message));
    }
    let mut wishes = Wishes::of(&parts.headers)?;
    if wishes.cast {
        let message = "katamari-cast: expected a function that takes arguments, not whole requests";
        return Err(Problem::new(Code::BadRequest, message));
    }
    let details = wishes.take_details(kind)?;
    let class = desk.permit(principal, &details, &wishes)?;
    let reader = Reader {
        kind,
        function: FUNCTION,
        whole_max: WHOLE_MAX,
        has_head: true,
        is_cast: false,
    };
    let (input, bytes) = match upload::read_by(reader, desk, &parts.headers, body).await? {
        Ok(input) => (Some(input), Bytes::new()),
        Err(body) => (None, body::read(body, desk).await?),
    };
    let packed = pack(&head(desk, peer, parts), &bytes);
    let target = Target {
        details,
        function: FUNCTION,
        payload: Payload::new(CONTENT_TYPE, packed),
        shape: Shape::Opaque,
    };
    let mut prepared = desk.prepare(principal, class, target, &wishes);
    let call = &mut prepared.call;
    call.input = input;
    if call.idempotent.is_none() && is_safe(&parts.method) {
        call.idempotent = Some(true);
    }
    let reply = desk.call(prepared).await;
    let receipt = reply.receipt;
    let answered = match reply.result {
        Ok(Answer::Whole(payload)) => whole(&payload, &receipt),
        Ok(Answer::Stream(pieces)) => streamed(pieces, &receipt).await,
        Err(error) => Err(error),
    };
    Ok(answered.unwrap_or_else(|error| Problem::from(error).into_response(Some(&receipt))))
}

/// Whether a program that makes a path shorter could find itself outside of the route's.
fn climbs(path: &str) -> bool {
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let mut parts = bytes.split(|byte| matches!(byte, b'/' | b'\\'));
    parts.any(|part| part == b"..")
}

/// Whether a method asks for nothing to be changed (RFC 9110, section 9.2.1).
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn head(desk: &Desk, peer: Option<IpAddr>, parts: &Parts) -> RequestHead {
    let mut headers = end_to_end(&parts.headers);
    // The secret that opens this door is not for programs.
    let is_closed = desk.is_closed();
    let is_secret = |name: &str| is_closed && name == AUTHORIZATION.as_str();
    headers.retain(|(name, _)| !name.starts_with(PREFIX) && !is_secret(name));
    // A request for `http://name/path` is for that name, whatever the header says.
    if let Some(authority) = parts.uri.authority() {
        headers.retain(|(name, _)| name != HOST.as_str());
        headers.push((HOST.to_string(), authority.to_string()));
    }
    let target = parts.uri.path_and_query();
    RequestHead {
        method: parts.method.to_string(),
        target: target.map_or("/", |target| target.as_str()).to_owned(),
        headers,
        remote: peer.map(|peer| peer.to_string()),
        scheme: Some(if desk.tls.is_some() { "https" } else { "http" }.to_owned()),
    }
}

fn whole(payload: &Payload, receipt: &Receipt) -> Result<Response<Body>, CallError> {
    let (mut response, body) = begin(payload)?;
    *response.body_mut() = Body::whole(body);
    receipt.write(response.headers_mut());
    Ok(response)
}

/// A response whose first piece has the head.
async fn streamed(mut pieces: Pieces, receipt: &Receipt) -> Result<Response<Body>, CallError> {
    let first = pieces.next().await.transpose()?;
    let first = first.ok_or_else(|| protocol("the program's response has no head"))?;
    let (mut response, body) = begin(&first)?;
    receipt.write(response.headers_mut());
    let rest = unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        Some(match pieces.next().await? {
            Ok(piece) => (Ok(piece.bytes().clone()), Some(pieces)),
            // The response breaks off, which a client can tell from its end.
            Err(error) => (Err(io::Error::other(error)), None),
        })
    });
    let all = futures_util::stream::iter([Ok(body)]).chain(rest);
    let frames = all.map(|bytes| bytes.map(Frame::data));
    *response.body_mut() = Body::Other(StreamBody::new(frames).boxed_unsync());
    Ok(response)
}

/// A response without its body, and what there is of that.
fn begin(payload: &Payload) -> Result<(Response<Body>, Bytes), CallError> {
    if payload.content_type() != CONTENT_TYPE {
        let came = payload.content_type();
        return Err(protocol(&format!("expected {CONTENT_TYPE}, got {came}")));
    }
    let (head, body) = unpack::<ResponseHead>(payload.bytes()).map_err(|why| protocol(&why))?;
    let status = StatusCode::from_u16(head.status).ok();
    let status = status.filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| protocol(&format!("{} is no status", head.status)))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    for (name, value) in &head.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(value_of(value));
        let Some((name, value)): Option<(HeaderName, HeaderValue)> = header else {
            return Err(protocol(&format!("{name}: {value} is no header")));
        };
        // How long it is, is seen; and the connection is not the program's, nor what Katamari says.
        let is_ours = is_of_connection(name.as_str()) || name.as_str().starts_with(PREFIX);
        if name != CONTENT_LENGTH && !is_ours {
            response.headers_mut().append(name, value);
        }
    }
    Ok((response, body))
}

fn protocol(why: &str) -> CallError {
    CallError::new(Code::Protocol, why)
}
