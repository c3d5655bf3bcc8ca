//! Errors over HTTP: problem details (RFC 9457).

use super::body::Body;
use crate::errors::{Facts, http_status, retry_after_s, title};
use crate::receipt::Receipt;
use bytes::Bytes;
use dispatch::{CallError, Code, Detail};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use std::borrow::Cow;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Code,
    message: String,
    detail: Option<Box<Detail>>,
    /// The methods that the path has, after another one was used.
    allow: Option<Cow<'static, str>>,
    /// How the client is to say who it is, after it did not.
    challenge: Option<&'static str>,
}

#[derive(Serialize)]
struct Fields<'a> {
    #[serde(rename = "type")]
    uri: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    facts: Facts<'a>,
}

impl Problem {
    /// A problem of a code, under the status that belongs to it.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::with_status(http_status(code), code, message)
    }

    /// A problem that HTTP has a status of its own for.
    pub fn with_status(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            detail: None,
            allow: None,
            challenge: None,
        }
    }

    /// The path exists, but not for this method.
    pub fn method(allow: impl Into<Cow<'static, str>>) -> Self {
        let allow = allow.into();
        let message = format!("expected {allow} for this path");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self {
            allow: Some(allow),
            ..Self::with_status(status, Code::BadRequest, message)
        }
    }

    /// The same problem under another status, and with a challenge if the client is unknown.
    pub fn under(self, status: StatusCode, challenge: Option<&'static str>) -> Self {
        Self {
            status,
            challenge,
            ..self
        }
    }

    /// The problem as one JSON object.
    pub fn to_json(&self, receipt: Option<&Receipt>) -> Vec<u8> {
        let fields = Fields {
            uri: format!("urn:katamari:error:{}", self.code.as_str()),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: &self.message,
            code: self.code,
            id: receipt.map(Receipt::id),
            facts: Facts::of(self.detail.as_deref()),
        };
        serde_json::to_vec(&fields).expect("strings and numbers are JSON")
    }

    pub fn into_response(self, receipt: Option<&Receipt>) -> Response<Body> {
        let mut response = Response::new(Body::whole(Bytes::from(self.to_json(receipt))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = self.detail.as_deref().and_then(retry_after_s) {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow {
            let allow = HeaderValue::try_from(&*allow).expect("methods are letters");
            headers.insert(ALLOW, allow);
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(receipt) = receipt {
            receipt.write(headers);
        }
        response
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self {
            detail: error.detail,
            ..Self::new(error.code, error.message)
        }
    }
}
