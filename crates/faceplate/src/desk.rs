//! What all connections of one listener share, and the one way in which they make calls.

use crate::guard::{Denied, Principal, TokenPolicy};
use crate::limits::Limits;
use crate::node::Node;
use crate::room::Rooms;
use crate::tls::Tls;
use crate::wishes::Wishes;
use dispatch::Call;
use pool::{Class, Details};
use std::sync::Arc;
use term::{Payload, Shape};

/// A listener's share of its node.
#[derive(Debug)]
pub struct Desk {
    /// The node behind it.
    pub node: Arc<Node>,
    /// The address listened on.
    pub address: String,
    /// What clients may take up.
    pub limits: Limits,
    /// Whether they need tokens.
    pub(crate) tokens: TokenPolicy,
    /// What decrypts their connections; none: they are plain.
    pub(crate) tls: Option<Arc<Tls>>,
    /// What is left of the memory for messages that do not come in one piece.
    pub(crate) rooms: Rooms,
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
    /// Who has shown this secret, or none.
    pub(crate) fn admit(&self, secret: Option<&[u8]>) -> Result<Principal, Denied> {
        if self.is_closed() {
            self.node.guard.admit(secret)
        } else {
            Ok(Principal::default())
        }
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
        principal.call(&self.node.guard, details, wishes.class)
    }

    /// A call of a class that was permitted, with a number of its own.
    pub(crate) fn prepare(
        &self,
        principal: &Principal,
        class: Class,
        target: Target<'_>,
        wishes: &Wishes,
    ) -> Call {
        let number = self.node.numbers.next();
        let Target {
            details,
            function,
            payload,
            shape,
        } = target;
        let mut call = Call::new(number, details, function, payload, shape);
        wishes.apply(&mut call, class);
        principal.trace(number);
        call
    }
}
