//! Dialect `http`: the program serves HTTP itself. What a call is as a request, and what a response
//! is as a result. The connections are kept by `worker::http`.
//!
//! There are two kinds of functions. One is configured with the request that it makes. The other,
//! [`FUNCTION`], is always there: its argument is a whole request and its result a whole response,
//! packed as [`CONTENT_TYPE`]. Workers of other dialects can offer it, too.

mod body;

pub(crate) use body::Body;

use super::arguments::{self, Named};
use super::template::Template;
use super::{Manners, PAYLOAD_MAX, excerpt};
use bytes::{BufMut, Bytes, BytesMut};
use dispatch::{BrokenInput, CallError, Code, Detail, Input};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use pool::{Description, Function, Parameter, Type};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use term::Payload;

/// The function that takes a whole request and gives back a whole response.
pub const FUNCTION: &str = "http";

/// The content type of a packed request or response.
pub const CONTENT_TYPE: &str = "application/vnd.katamari.http";

/// Bytes of a packed head: the longest that a faceplate takes, with room for what JSON adds.
pub const HEAD_MAX: usize = 2 * 1024 * 1024;

/// Bytes that say how long a packed head is.
const LENGTH: usize = 4;

/// Headers that are about one connection, not about what it carries (RFC 9110, section 7.6.1), or
/// that are made anew.
const OWN_HEADERS: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// A program of dialect `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// What its workers are, with [`FUNCTION`] among the functions.
    pub description: Arc<Description>,
    /// Calls that a worker takes at a time.
    pub slots: u16,
    /// How to see that it is well.
    pub health: Health,
    /// What the functions request that are not [`FUNCTION`], by their names.
    pub functions: BTreeMap<Arc<str>, Request>,
}

/// How to see that a program is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It answers GET of this path with a status below 500.
    Get(String),
    /// It takes connections.
    Connect,
}

/// What a function requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Such as `POST`.
    pub method: String,
    /// A path, perhaps with a query, with places for arguments.
    pub path: Template,
}

/// The head of a packed request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHead {
    /// Such as `GET`.
    pub method: String,
    /// Path and query, as they came, such as `/a%20b?c=d`.
    pub target: String,
    /// Names and values. A character of a value is one byte, as in Latin-1.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The client's address, without its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// What the client spoke: `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
}

/// The head of a packed response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHead {
    /// 200 to 599.
    pub status: u16,
    /// Names and values. A character of a value is one byte, as in Latin-1.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

/// Packs a head and what there is of the body.
pub fn pack(head: &impl Serialize, body: &[u8]) -> Bytes {
    let json = serde_json::to_vec(head).expect("a head has a form in JSON");
    let length = u32::try_from(json.len()).expect("a head is far shorter than 4 GiB");
    let mut packed = BytesMut::with_capacity(LENGTH + json.len() + body.len());
    packed.put_u32(length);
    packed.put_slice(&json);
    packed.put_slice(body);
    packed.freeze()
}

/// The head of a packed request or response, and what there is of the body.
pub fn unpack<T: DeserializeOwned>(packed: &Bytes) -> Result<(T, Bytes), String> {
    let length = packed.first_chunk::<LENGTH>();
    let length = length.map(|length| u32::from_be_bytes(*length) as usize);
    let end = length
        .filter(|length| *length <= HEAD_MAX)
        .map(|length| LENGTH + length)
        .filter(|end| *end <= packed.len());
    let Some(end) = end else {
        return Err(format!(
            "expected a length of 4 bytes, a head of so many, at most {HEAD_MAX}, and a body, got {}",
            excerpt(packed)
        ));
    };
    let head = serde_json::from_slice(&packed[LENGTH..end]).map_err(|error| {
        let head = excerpt(&packed[LENGTH..end]);
        format!("expected the head of an HTTP message as JSON, got {head}: {error}")
    })?;
    Ok((head, packed.slice(end..)))
}

/// The description of [`FUNCTION`].
pub fn function() -> Function {
    let parameter = Parameter {
        name: "request".into(),
        r#type: Type::Bytes,
        required: true,
        doc: "".into(),
    };
    Function {
        name: FUNCTION.into(),
        doc: "Answers an HTTP request.".into(),
        idempotent: false,
        stream: true,
        input: true,
        parameters: vec![parameter],
        result: Type::Bytes,
        examples: Vec::new(),
    }
}

/// A header's value with a character for each byte.
pub fn text_of(value: &HeaderValue) -> String {
    value
        .as_bytes()
        .iter()
        .map(|&byte| char::from(byte))
        .collect()
}

/// A value as bytes, if each of its characters is one.
pub fn value_of(text: &str) -> Option<HeaderValue> {
    let bytes: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(c).ok())
        .collect::<Option<_>>()?;
    HeaderValue::from_bytes(&bytes).ok()
}

/// Whether a header, by its name in small letters, is about one connection.
pub fn is_of_connection(name: &str) -> bool {
    OWN_HEADERS.contains(&name)
}

/// The headers of a message that go with what it carries.
pub fn end_to_end(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !is_of_connection(name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), text_of(value)))
        .collect()
}

/// The manners of a worker with so many slots.
pub(crate) fn manners(slots: u16) -> Manners {
    Manners {
        says_hello: true,
        answers_pings: true,
        hears_cancels: true,
        hears_quit: false,
        quits_by_signal: true,
        // To close the connection is all that can be done. With one slot it is kept open, to see
        // whether the worker ends the call in time: if not, it must not get another.
        cancels_at_once: slots > 1,
        own_descriptors: false,
        takes_terms: false,
        protocol: "http",
    }
}

/// A request to send.
pub(crate) type Outgoing = hyper::Request<Body>;

impl Http {
    /// What to send for a call.
    pub(crate) fn request(
        &self,
        function: &str,
        payload: &Payload,
        input: Option<&Input>,
    ) -> Result<Outgoing, CallError> {
        let bad = |message: String| CallError::new(Code::BadArguments, message);
        if function == FUNCTION {
            let (request, bytes) = whole(payload).map_err(bad)?;
            let Some(input) = input else {
                return Ok(request);
            };
            let input = input.read();
            let left = || CallError::new(Code::Cancelled, BrokenInput.to_string());
            let input = input.ok_or_else(left)?;
            return Ok(request.map(|body| body.followed_by(input, bytes)));
        }
        let known = self.description.function(function);
        let (Some(known), Some(request)) = (known, self.functions.get(function)) else {
            let message = format!("there is no function {function:?}");
            return Err(CallError::new(Code::NoFunction, message));
        };
        let (path, content_type, body) = match payload {
            Payload::Bytes {
                content_type,
                bytes,
            } => {
                let path = request.path.fill(|_| None);
                let path = path.filter(|_| takes_body(&request.method));
                let path = path.ok_or_else(|| {
                    bad("expected JSON: this function takes no bytes as its body".to_owned())
                })?;
                (path, content_type.to_string(), bytes.clone())
            }
            payload => {
                let named = arguments::named(known, payload)?;
                let (path, body) = fill(request, &named)?;
                (path, term::JSON.to_owned(), body)
            }
        };
        let head = RequestHead {
            method: request.method.clone(),
            target: path,
            headers: if takes_body(&request.method) {
                vec![("content-type".to_owned(), content_type)]
            } else {
                Vec::new()
            },
            ..RequestHead::default()
        };
        outgoing(&head, body).map_err(bad)
    }
}

fn takes_body(method: &str) -> bool {
    !["GET", "HEAD", "DELETE", "OPTIONS"].contains(&method)
}

/// The path with its arguments, and the others as body or query.
fn fill(request: &Request, named: &Named<'_>) -> Result<(String, Bytes), CallError> {
    let argument = |name: &str| {
        let text = arguments::text(named.get(name)?)?;
        Some(escape(&text))
    };
    let places: Vec<&str> = request.path.parameters().collect();
    let mut path = request.path.fill(argument).ok_or_else(|| {
        let message = format!("expected values for {}, got null", places.join(", "));
        CallError::new(Code::BadArguments, message)
    })?;
    // What is no more than dots would climb.
    let climbs = |segment: &str| segment == "." || segment == "..";
    if path.split(['/', '?']).any(climbs) {
        let message = format!("expected a path without . and .., got {path:?}");
        return Err(CallError::new(Code::BadArguments, message));
    }
    let others = named.iter().filter(|(name, _)| !places.contains(&&***name));
    if takes_body(&request.method) {
        let pairs = others.map(|(name, value)| {
            let name = serde_json::to_string(name).expect("a name has a form in JSON");
            format!("{name}:{}", value.get())
        });
        let body = format!("{{{}}}", pairs.collect::<Vec<_>>().join(","));
        return Ok((path, body.into()));
    }
    for (name, value) in others {
        if let Some(text) = arguments::text(value) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&escape(name));
            path.push('=');
            path.push_str(&escape(&text));
        }
    }
    Ok((path, Bytes::new()))
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to memory cannot fail");
        }
    }
    escaped
}

/// The request in the argument of [`FUNCTION`], and how long its client says that the body is.
fn whole(payload: &Payload) -> Result<(Outgoing, Option<u64>), String> {
    if payload.content_type() != CONTENT_TYPE {
        return Err(format!(
            "expected a request as {CONTENT_TYPE}, got {}",
            payload.content_type()
        ));
    }
    let (head, body) = unpack::<RequestHead>(payload.bytes())?;
    let is_length = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("content-length");
    let length = head.headers.iter().find(is_length);
    let length = length.and_then(|(_, value)| value.parse().ok());
    Ok((outgoing(&head, body)?, length))
}

fn outgoing(head: &RequestHead, body: Bytes) -> Result<Outgoing, String> {
    let method = Method::from_bytes(head.method.as_bytes())
        .map_err(|_| format!("expected a method, got {:?}", head.method))?;
    let target: Uri = head
        .target
        .parse()
        .ok()
        .filter(|_| head.target.starts_with('/'))
        .ok_or_else(|| format!("expected a path, got {:?}", head.target))?;
    let mut request = hyper::Request::new(Body::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = target;
    for (name, value) in &head.headers {
        let pair = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(value_of(value));
        let Some((name, value)) = pair else {
            return Err(format!("expected a header, got {name:?}: {value:?}"));
        };
        // The length is that of the body, which knows it.
        if !is_of_connection(name.as_str()) && name != "content-length" {
            request.headers_mut().append(name, value);
        }
    }
    request
        .headers_mut()
        .entry("host")
        .or_insert(HeaderValue::from_static("localhost"));
    Ok(request)
}

/// The result that the response to a configured function is.
pub(crate) fn result(
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Payload, CallError> {
    let content_type = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream");
    if !status.is_success() {
        let message = format!(
            "answered with status {status}: {}",
            excerpt(body.trim_ascii())
        );
        let detail = Detail {
            type_name: Some(format!("HTTP {}", status.as_u16())),
            ..Detail::default()
        };
        return Err(CallError::new(Code::WorkerError, message).with(detail));
    }
    if body.is_empty() {
        return Ok(Payload::Json(Bytes::from_static(b"null")));
    }
    let payload = Payload::new(content_type, body);
    if let Payload::Json(json) = &payload {
        serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|error| {
            let excerpt = excerpt(json.trim_ascii());
            let message = format!("answered {content_type} with {excerpt}: {error}");
            CallError::new(Code::WorkerError, message)
        })?;
    }
    Ok(payload)
}

/// The error of a response that does not fit into memory.
pub(crate) fn too_large() -> CallError {
    let message = format!("expected a response of at most {PAYLOAD_MAX} bytes");
    CallError::new(Code::TooLarge, message)
}

#[cfg(test)]
mod tests;
