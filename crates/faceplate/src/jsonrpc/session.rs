//! JSON-RPC on a connection of its own: who is at its other end, and what becomes of messages.

use super::answer::{self, Failure};
use super::request;
use crate::desk::Desk;
use crate::guard::Denied;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::CallError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// The request that shows a token, where one is needed: the first of its connection.
const AUTHENTICATE: &str = "katamari.authenticate";

/// Messages of one connection that may wait for their answers. A batch is one.
pub(crate) const CALLS_MAX: usize = 100;

/// One connection's client.
#[derive(Debug)]
pub(crate) struct Session {
    desk: Arc<Desk>,
    /// What it has shown. It is looked at again with each message, for it may be revoked.
    secret: Option<Bytes>,
    /// Whether it has said nothing yet.
    is_new: bool,
    wishes: Arc<Wishes>,
}

#[derive(Deserialize)]
struct Authenticate<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    params: Token,
    #[serde(borrow)]
    id: &'a RawValue,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Session {
    /// A client that may have shown a token already.
    pub fn new(desk: Arc<Desk>, secret: Option<Bytes>) -> Self {
        Self {
            desk,
            secret,
            is_new: true,
            wishes: Arc::default(),
        }
    }

    /// Takes one message. Who it comes from is found out at once; the answer takes as long as its
    /// calls.
    pub fn take(&mut self, message: Bytes) -> impl Future<Output = Option<Vec<u8>>> + use<> {
        let welcome = self.authenticate(&message);
        let admitted = match welcome {
            Some(_) => None,
            None => Some(self.desk.admit(self.secret.as_deref())),
        };
        let (desk, wishes) = (self.desk.clone(), self.wishes.clone());
        async move {
            let principal = match (welcome, admitted) {
                (Some(welcome), _) => return Some(welcome),
                (None, Some(Ok(principal))) => principal,
                (None, Some(Err(denied))) => return Some(refusal(request::id(&message), denied)),
                (None, None) => return None,
            };
            super::answer(&desk, &principal, &wishes, &message).await.0
        }
    }

    /// The answer to the request that shows a token; none to any other message. Where none is needed
    /// it is taken as well, if it comes first: a client need not know, and no worker is to see it.
    fn authenticate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let is_first = std::mem::replace(&mut self.is_new, false);
        if !is_first && !self.desk.is_closed() {
            return None;
        }
        let request: Authenticate<'_> = serde_json::from_slice(message).ok()?;
        if request.method != AUTHENTICATE {
            return None;
        }
        let secret = Bytes::from(request.params.token);
        Some(match self.desk.admit(Some(&secret)) {
            Ok(_) => {
                self.secret = Some(secret);
                answer::success(request.id, b"true")
            }
            Err(denied) => refusal(Some(request.id), denied),
        })
    }
}

fn refusal(id: Option<&RawValue>, denied: Denied) -> Vec<u8> {
    let mut error = CallError::from(denied.clone());
    if denied == Denied::Missing {
        error.message = format!(
            "expected {{\"jsonrpc\": \"2.0\", \"method\": \"{AUTHENTICATE}\", \"params\": \
             {{\"token\": SECRET}}, \"id\": 0}} first; whoever runs the node makes a token with \
             `katamari token new`"
        );
    }
    answer::failure(id, &Failure::of(error, None))
}
