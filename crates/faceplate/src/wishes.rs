//! What shapes a call besides its arguments: `katamari-timeout-ms` and its kin. Over HTTP they are
//! headers; other protocols have a place of their own for the same words.

use crate::details;
use dispatch::{Call, CallError, Code, KEY_MAX};
use http::HeaderMap;
use pool::{Class, Details};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What all of Katamari's headers begin with; they are for the node. One that is not known is an
/// error: a misspelt timeout must not mean no timeout.
pub(crate) const PREFIX: &str = "katamari-";

/// The longest timeout: what `timeout-ms` can say, some seven weeks.
const TIMEOUT_MAX: Duration = Duration::from_millis(u32::MAX as u64);

/// What the caller wishes for its call, or for each call of its request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub details: Option<Details>,
    pub cast: bool,
    /// None: whatever is usual.
    pub class: Option<Class>,
    key: Option<Arc<str>>,
    deadline: Option<Instant>,
    idempotent: Option<bool>,
}

impl Wishes {
    /// Reads the headers; the error names the header, what was expected and what came.
    pub fn of(headers: &HeaderMap) -> Result<Self, CallError> {
        let mut wishes = Self::default();
        for (name, value) in headers {
            let Some(wish) = name.as_str().strip_prefix(PREFIX) else {
                continue;
            };
            let text = value
                .to_str()
                .map_err(|_| bad(wish, "visible ASCII", "other bytes"))?;
            if headers.get_all(name).iter().nth(1).is_some() {
                return Err(bad(wish, "one value", "more than one"));
            }
            wishes.set(wish, text)?;
        }
        Ok(wishes)
    }

    /// Takes one wish, by its name without the prefix, as text.
    pub fn set(&mut self, wish: &str, text: &str) -> Result<(), CallError> {
        match wish {
            "timeout-ms" => self.deadline = Some(Instant::now() + timeout(text)?),
            "class" => {
                self.class = Some(match text {
                    "high" => Class::High,
                    "normal" => Class::Normal,
                    "low" => Class::Low,
                    _ => return Err(bad(wish, "high, normal or low", text)),
                });
            }
            "details" => {
                let details = details::parse(text.as_bytes());
                self.details = Some(details.map_err(|error| bad(wish, "details", &error))?);
            }
            "key" => {
                if text.is_empty() || text.len() > KEY_MAX {
                    let came = format!("{} bytes", text.len());
                    return Err(bad(wish, &format!("1 to {KEY_MAX} bytes"), &came));
                }
                self.key = Some(text.into());
            }
            "idempotent" => self.idempotent = Some(boolean(wish, text)?),
            "cast" => self.cast = boolean(wish, text)?,
            _ => {
                let known = "timeout-ms, class, details, key, idempotent or cast";
                let message = format!("{PREFIX}{wish}: no such header; expected one of {known}");
                return Err(CallError::new(Code::BadRequest, message));
            }
        }
        Ok(())
    }

    /// These wishes with those of a JSON object: `{"timeout-ms": 500, "class": "high"}`.
    pub fn with(&self, json: &str) -> Result<Self, CallError> {
        let members: BTreeMap<&str, Value> = serde_json::from_str(json)
            .map_err(|error| CallError::new(Code::BadRequest, format!("katamari: {error}")))?;
        let mut wishes = self.clone();
        for (wish, value) in members {
            match (wish, value) {
                ("cast", _) => {
                    let message = "katamari: cast: expected a notification instead";
                    return Err(CallError::new(Code::BadRequest, message));
                }
                (wish, Value::String(text)) => wishes.set(wish, &text)?,
                (wish, value) => wishes.set(wish, &value.to_string())?,
            }
        }
        Ok(wishes)
    }

    /// Shortens the time for the call to this.
    pub fn within(&mut self, timeout: Duration) {
        let deadline = Instant::now() + timeout.min(TIMEOUT_MAX);
        self.deadline = Some(self.deadline.map_or(deadline, |known| known.min(deadline)));
    }

    /// The details that were wished for, if any, with the kind that the call names elsewhere.
    pub fn take_details(&mut self, kind: &str) -> Result<Details, CallError> {
        let Some(mut details) = self.details.take() else {
            return Ok(Details::of_kind(kind));
        };
        match &details.kind {
            Some(other) if **other != *kind => {
                let message =
                    format!("katamari-details: the kind is {other}, but {kind} in the path");
                Err(CallError::new(Code::BadRequest, message))
            }
            _ => {
                details.kind = Some(kind.into());
                Ok(details)
            }
        }
    }

    /// Passes the wishes on to a call, in the class that it was granted. The details are not among
    /// them: each protocol has its own way to say what a call asks for.
    pub fn apply(&self, call: &mut Call, class: Class) {
        call.class = class;
        call.key.clone_from(&self.key);
        call.deadline = self.deadline;
        call.idempotent = self.idempotent;
    }
}

fn timeout(text: &str) -> Result<Duration, CallError> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(ms) if ms > 0 && digits_only => Ok(Duration::from_millis(ms.into())),
        _ => Err(bad(
            "timeout-ms",
            &format!("an integer from 1 to {}", u32::MAX),
            text,
        )),
    }
}

fn boolean(wish: &str, text: &str) -> Result<bool, CallError> {
    text.parse().map_err(|_| bad(wish, "true or false", text))
}

fn bad(wish: &str, expected: &str, came: &str) -> CallError {
    let message = format!("{PREFIX}{wish}: expected {expected}, got {came}");
    CallError::new(Code::BadRequest, message)
}
