//! The door of a node that wants tokens: holds the [`Access`] that is in force, the clocks that it
//! is asked with, and says what is denied in the words of HTTP and of calls.

pub(crate) use crate::access::Denied;

use crate::access::{Access, Grant, Token, bearer};
use crate::clock::unix_now;
use crate::http::problem::Problem;
use dispatch::{CallError, Code, Detail};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use pool::{Class, Details};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether a faceplate asks for tokens. `/healthz` and `/readyz` never need one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenPolicy {
    /// From the moment on at which the node has one, for as long as it runs: that the last one is
    /// revoked must not open the door.
    #[default]
    IfAny,
    /// Always.
    Required,
    /// Never, whatever tokens there are.
    Ignored,
}

/// What a node's faceplates share about tokens.
#[derive(Debug)]
pub(crate) struct Guard {
    access: watch::Sender<Access>,
    /// Whether there has ever been a token.
    any: AtomicBool,
    started: Instant,
    /// Requests and entries of batches that were denied.
    pub denied: AtomicU64,
}

/// Who makes a request: the holder of a token, or anyone where none is needed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Principal {
    grant: Option<Arc<Grant>>,
    /// What the access log calls it.
    name: Option<Arc<str>>,
}

impl Guard {
    pub fn new() -> Self {
        Self {
            access: watch::Sender::new(Access::default()),
            any: AtomicBool::new(false),
            started: Instant::now(),
            denied: AtomicU64::new(0),
        }
    }

    /// These tokens hold from now on, and no others.
    pub fn replace(&self, tokens: Vec<Token>) {
        self.access.send_modify(|access| {
            *access = Access::new(tokens, access);
            if !access.is_empty() {
                self.any.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Whether requests need a token.
    pub fn is_closed(&self, policy: TokenPolicy) -> bool {
        match policy {
            TokenPolicy::IfAny => self.any.load(Ordering::Relaxed),
            TokenPolicy::Required => true,
            TokenPolicy::Ignored => false,
        }
    }

    /// Finds out who has shown this secret, where one is needed.
    pub fn admit(&self, secret: Option<&[u8]>) -> Result<Principal, Denied> {
        let found = self.access.borrow().check(secret, unix_now);
        self.count(found).map(|grant| Principal {
            name: Some(grant.name().clone()),
            grant: Some(grant),
        })
    }

    /// As [`Guard::admit`], of the secret in the headers of a request.
    pub fn admit_request(&self, headers: &HeaderMap) -> Result<Principal, Denied> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let secret = match (values.next(), values.next()) {
            (_, Some(_)) => Err(Denied::Malformed),
            (None, None) => Ok(None),
            (Some(value), None) => bearer(value.as_bytes()).map(Some),
        };
        self.admit(self.count(secret)?)
    }

    fn count<T>(&self, result: Result<T, Denied>) -> Result<T, Denied> {
        if let Err(denied) = &result {
            self.denied.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(why = denied.message(), "denied");
        }
        result
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Principal {
    /// Whether this call may be made, and in which class.
    pub fn call(
        &self,
        guard: &Guard,
        details: &Details,
        class: Option<Class>,
    ) -> Result<Class, Denied> {
        match &self.grant {
            None => Ok(class.unwrap_or_default()),
            Some(grant) => guard.count(grant.call(details.kind.as_ref(), class, guard.now())),
        }
    }

    /// Whether the node's state may be read.
    pub fn observe(&self, guard: &Guard) -> Result<(), Denied> {
        match &self.grant {
            None => Ok(()),
            Some(grant) => guard.count(grant.observe(guard.now())),
        }
    }

    /// Whether the pools that may be called may be looked at now.
    pub fn look(&self, guard: &Guard) -> Result<(), Denied> {
        match &self.grant {
            None => Ok(()),
            Some(grant) => guard.count(grant.look(guard.now())),
        }
    }

    /// Whether pools of this kind may be known.
    pub fn knows(&self, kind: Option<&Arc<str>>) -> bool {
        self.grant.as_ref().is_none_or(|grant| grant.knows(kind))
    }

    /// Someone who may do everything here, and is known by a name.
    pub fn named(name: Arc<str>) -> Self {
        Self {
            grant: None,
            name: Some(name),
        }
    }

    /// The token's name, or another that it is known by.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// Whether this is the holder of a token.
    pub fn is_known(&self) -> bool {
        self.grant.is_some()
    }
}

impl Denied {
    /// The token that was shown, if it is known.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown => None,
            Self::Expired(name)
            | Self::Kind(name, _)
            | Self::Class(name, _)
            | Self::Observe(name)
            | Self::Rate(name, _) => Some(name),
        }
    }

    /// The code of a call that is denied.
    pub fn code(&self) -> Code {
        match self {
            Self::Rate(..) => Code::Busy,
            _ => Code::NotAllowed,
        }
    }

    /// What was expected, what came, what to do.
    pub fn message(&self) -> String {
        let class = |class: &Class| match class {
            Class::High => "high",
            Class::Normal => "normal",
            Class::Low => "low",
        };
        match self {
            Self::Missing => "expected authorization: Bearer SECRET; whoever runs the node makes \
                              one with `katamari token new`"
                .to_owned(),
            Self::Malformed => {
                "expected one header authorization: Bearer SECRET, got another scheme, or several"
                    .to_owned()
            }
            Self::Unknown => "the token is not known here; it may have been revoked".to_owned(),
            Self::Expired(name) => format!("the token {name} has expired; ask for a new one"),
            Self::Kind(name, Some(kind)) => {
                format!("the token {name} is not for calls of kind {kind}")
            }
            Self::Kind(name, None) => {
                format!("the token {name} is for certain kinds; expected the call to name one")
            }
            Self::Class(name, max) => format!(
                "the token {name} is for calls of class {} at the highest",
                class(max)
            ),
            Self::Observe(name) => {
                format!("the token {name} is for calls; to read this it needs observe = true")
            }
            Self::Rate(name, _) => {
                format!("the token {name} is used faster than its rate; come back later")
            }
        }
    }
}

impl From<Denied> for CallError {
    fn from(denied: Denied) -> Self {
        let error = Self::new(denied.code(), denied.message());
        match denied {
            Denied::Rate(_, retry_after) => error.with(Detail {
                retry_after: Some(retry_after),
                ..Detail::default()
            }),
            _ => error,
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        // What a client is to present, and whether it had one (RFC 6750, section 3).
        let challenge = match denied {
            Denied::Missing => Some("Bearer"),
            Denied::Malformed => Some("Bearer error=\"invalid_request\""),
            Denied::Unknown | Denied::Expired(_) => Some("Bearer error=\"invalid_token\""),
            _ => None,
        };
        let status = match denied {
            Denied::Rate(..) => StatusCode::TOO_MANY_REQUESTS,
            _ if challenge.is_some() => StatusCode::UNAUTHORIZED,
            _ => StatusCode::FORBIDDEN,
        };
        Self::from(CallError::from(denied)).under(status, challenge)
    }
}
