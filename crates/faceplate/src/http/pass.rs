//! Requests that pass to a program as they are, and its responses that pass back: functions named
//! `http`, of programs that serve HTTP themselves or on a chassis.

use super::body::{self, Body};
use super::incoming::Incoming;
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
use hyper::body::Frame;
use manager::dialect::http::{
    CONTENT_TYPE, RequestHead, ResponseHead, end_to_end, is_of_connection, pack, unpack, value_of,
};
use std::io;
use std::net::IpAddr;
use term::{Payload, Shape};
use tokio::runtime::Handle;

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
        details: &details,
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
        Ok(Answer::Whole(payload)) => whole(&payload, &parts.method, &receipt),
        Ok(Answer::Stream(pieces)) => streamed(pieces, &parts.method, &receipt).await,
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

/// What a program said of its response before its body.
struct Begun {
    response: Response<Body>,
    /// What there is of its body.
    body: Bytes,
    /// How long that will be, if the program says it.
    length: Option<u64>,
}

impl Begun {
    /// Whether nothing follows the head, whatever the program sends (RFC 9112, section 6.3).
    fn is_bare(&self, method: &Method) -> bool {
        let status = self.response.status();
        *method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// Says how long the body will be; one without content has no length.
    fn announce(&mut self) {
        if let Some(length) = self.length
            && self.response.status() != StatusCode::NO_CONTENT
        {
            let headers = self.response.headers_mut();
            headers.insert(CONTENT_LENGTH, length.into());
        }
    }
}

fn whole(
    payload: &Payload,
    method: &Method,
    receipt: &Receipt,
) -> Result<Response<Body>, CallError> {
    let mut begun = begin(payload)?;
    if *method == Method::HEAD && begun.length.is_some() {
        begun.announce();
    } else {
        *begun.response.body_mut() = Body::whole(begun.body);
    }
    receipt.write(begun.response.headers_mut());
    Ok(begun.response)
}

/// A response whose first piece has the head.
async fn streamed(
    mut pieces: Pieces,
    method: &Method,
    receipt: &Receipt,
) -> Result<Response<Body>, CallError> {
    let first = pieces.next().await.transpose()?;
    let first = first.ok_or_else(|| protocol("the program's response has no head"))?;
    let mut begun = begin(&first)?;
    begun.announce();
    let is_bare = begun.is_bare(method);
    let mut rest = Rest {
        left: if is_bare { Some(0) } else { begun.length },
        pieces: Some(pieces),
    };
    if !is_bare {
        rest.take(&begun.body).map_err(protocol)?;
    }
    let mut response = begun.response;
    receipt.write(response.headers_mut());
    let rest = unfold(rest, Rest::next);
    let all = futures_util::stream::iter([Ok(begun.body)]).chain(rest);
    let frames = all.map(|bytes| bytes.map(Frame::data));
    *response.body_mut() = Body::Other(StreamBody::new(frames).boxed_unsync());
    Ok(response)
}

/// What is to come of a streamed response.
struct Rest {
    /// None once there is no more.
    pieces: Option<Pieces>,
    /// How many bytes, if that is known.
    left: Option<u64>,
}

impl Rest {
    /// The next bytes. An error breaks the response off, which a client can tell from its end; so
    /// does an end that comes too soon.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let next = self.pieces.as_mut()?.next().await;
        let taken = match next {
            Some(Ok(piece)) => {
                let taken = self.take(piece.bytes()).map_err(io::Error::other);
                taken.map(|()| piece.bytes().clone())
            }
            Some(Err(error)) => Err(io::Error::other(error)),
            None => {
                self.pieces = None;
                return None;
            }
        };
        if taken.is_err() {
            self.pieces = None;
        }
        Some((taken, self))
    }

    /// These bytes go out.
    fn take(&mut self, bytes: &Bytes) -> Result<(), &'static str> {
        if let Some(left) = &mut self.left {
            let after = left.checked_sub(bytes.len() as u64);
            *left = after.ok_or("the program's response is longer than its content-length")?;
        }
        Ok(())
    }
}

impl Drop for Rest {
    /// A response that is complete is not asked for its end. That is still to come, and until then
    /// the call would be one whose client has left.
    fn drop(&mut self) {
        if self.left == Some(0)
            && let Some(mut pieces) = self.pieces.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                // More bytes than announced are for nobody.
                while let Some(Ok(piece)) = pieces.next().await
                    && piece.bytes().is_empty()
                {}
            });
        }
    }
}

/// A response without its body, and what there is of that.
fn begin(payload: &Payload) -> Result<Begun, CallError> {
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
    let mut lengths = Vec::new();
    for (name, value) in &head.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(value_of(value));
        let Some((name, value)): Option<(HeaderName, HeaderValue)> = header else {
            return Err(protocol(&format!("{name}: {value} is no header")));
        };
        // The connection is not the program's, nor what Katamari says.
        let is_ours = is_of_connection(name.as_str()) || name.as_str().starts_with(PREFIX);
        if name == CONTENT_LENGTH {
            lengths.push(length(&value));
        } else if !is_ours {
            response.headers_mut().append(name, value);
        }
    }
    // Of several nobody knows which is meant.
    let length = match lengths[..] {
        [length] => length,
        _ => None,
    };
    Ok(Begun {
        response,
        body,
        length,
    })
}

/// A length that is digits and nothing else.
fn length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn protocol(why: &str) -> CallError {
    CallError::new(Code::Protocol, why)
}
