//! What a connection has of its listener and its node, and the one way in which calls are made.

use crate::access_log::{self, Line};
use crate::exchange::{Prepared, Reply};
use crate::guard::{Denied, Principal, TokenPolicy};
use crate::limits::Limits;
use crate::node::Node;
use crate::presence::Presence;
use crate::room::Rooms;
use crate::tls::Tls;
use crate::wishes::Wishes;
use dispatch::Call;
use futures_util::FutureExt;
use http::HeaderMap;
use pool::{Class, Details};
use std::net::IpAddr;
use std::sync::Arc;
use term::{Payload, Shape};

/// Where the requests of one connection are taken. All that a listener's connections share is
/// shared by their desks.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The node behind it.
    pub node: Arc<Node>,
    /// What the faceplate is called.
    pub(crate) name: Arc<str>,
    /// The address listened on.
    pub address: Arc<str>,
    /// What clients may take up.
    pub limits: Arc<Limits>,
    /// Whether they need tokens.
    pub(crate) tokens: TokenPolicy,
    /// What decrypts their connections; none: they are plain.
    pub(crate) tls: Option<Arc<Tls>>,
    /// What is left of the memory for messages that do not come in one piece.
    pub(crate) rooms: Arc<Rooms>,
    /// Where the connection comes from; none over a Unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// What the connection has been doing.
    pub(crate) presence: Arc<Presence>,
}

/// What is called, with what.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub details: Details,
    pub function: &'a str,
    pub payload: Payload,
    pub shape: Shape,
}

impl Desk {
    /// The desk of a connection that has just come in.
    pub(crate) fn of(&self, peer: Option<IpAddr>) -> Self {
        Self {
            peer,
            presence: Arc::new(Presence::new()),
            ..self.clone()
        }
    }

    /// Who has shown this secret, or none.
    pub(crate) fn admit(&self, secret: Option<&[u8]>) -> Result<Principal, Denied> {
        self.admit_by(|| self.node.guard.admit(secret))
    }

    /// As [`Desk::admit`], of the secret in the headers of a request.
    pub(crate) fn admit_request(&self, headers: &HeaderMap) -> Result<Principal, Denied> {
        self.admit_by(|| self.node.guard.admit_request(headers))
    }

    fn admit_by(
        &self,
        ask: impl FnOnce() -> Result<Principal, Denied>,
    ) -> Result<Principal, Denied> {
        if !self.is_closed() {
            return Ok(Principal::default());
        }
        let admitted = self.told(ask())?;
        self.presence.welcome();
        Ok(admitted)
    }

    /// A first message has come whole: where no token is needed, its sender is welcome.
    pub(crate) fn greet(&self) {
        if !self.is_closed() {
            self.presence.welcome();
        }
    }

    fn told<T>(&self, result: Result<T, Denied>) -> Result<T, Denied> {
        if let Err(denied) = &result {
            access_log::denied(self, denied);
        }
        result
    }

    /// Whether clients need a token.
    pub(crate) fn is_closed(&self) -> bool {
        self.node.guard.is_closed(self.tokens)
    }

    /// In which class a call of these details may be made. It counts as one use of a token.
    pub(crate) fn permit(
        &self,
        principal: &Principal,
        details: &Details,
        wishes: &Wishes,
    ) -> Result<Class, Denied> {
        self.told(principal.call(&self.node.guard, details, wishes.class))
    }

    /// A call of a class that was permitted, with a number of its own.
    pub(crate) fn prepare(
        &self,
        principal: &Principal,
        class: Class,
        target: Target<'_>,
        wishes: &Wishes,
    ) -> Prepared {
        let number = self.node.numbers.next();
        let Target {
            details,
            function,
            payload,
            shape,
        } = target;
        let mut call = Call::new(number, details, function, payload, shape);
        wishes.apply(&mut call, class);
        let token = principal.name().cloned();
        Prepared { call, token }
    }

    /// Makes a call. To drop the future is to leave, which cancels the call.
    pub(crate) async fn call(&self, prepared: Prepared) -> Reply {
        let busy = self.presence.busy();
        let line = Line::of(self, &prepared);
        let reply = self.node.caller.call(prepared.call).await;
        Reply::new(reply, line, Some(busy))
    }

    /// Lets a call go on without its client. Gives the call back if too many do so already.
    pub(crate) fn cast(&self, prepared: Prepared) -> Result<(), Box<Prepared>> {
        self.cast_then(prepared, |reply| reply.see_through().map(drop))
    }

    /// The same, with something to be done with the answer.
    pub(crate) fn cast_then<F>(
        &self,
        prepared: Prepared,
        then: impl FnOnce(Reply) -> F + Send + 'static,
    ) -> Result<(), Box<Prepared>>
    where
        F: Future<Output = ()> + Send,
    {
        let Some(cast) = self.node.may_cast() else {
            return Err(Box::new(prepared));
        };
        let line = Line::of(self, &prepared);
        let caller = self.node.caller.clone();
        tokio::spawn(async move {
            let reply = caller.call(prepared.call).await;
            then(Reply::new(reply, line, None)).await;
            drop(cast);
        });
        Ok(())
    }
}
