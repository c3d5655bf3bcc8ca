//! One client's messages: who it is, which function each of them asks for, and what it is answered.

use super::answer::{INVALID_MESSAGE_TYPE, Place, UNKNOWN_METHOD};
use super::arguments::declared;
use super::codec::{Bad, Message};
use super::form::Form;
use super::framing::Style;
use super::generic::{self, AUTHENTICATE, Operation, SERVICE};
use super::reader::Reader;
use super::result::{self, Returns};
use super::services::{self, Found};
use crate::contract::thrift::Value;
use crate::desk::{Desk, Target};
use crate::exchange::Prepared;
use crate::guard::{Denied, Principal};
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::{CallError, Code};
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;

/// What a client's messages have in common.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub desk: Arc<Desk>,
    /// The kind whose functions are called by their bare names; without it these are those of the
    /// generic service.
    pub kind: Option<Arc<str>>,
    /// What it wishes for all its calls.
    pub wishes: Wishes,
    /// Who it is.
    pub client: Client,
}

/// Who a client is.
#[derive(Debug, Clone)]
pub(super) enum Client {
    /// Whoever has shown this. It is looked at again with each message, for it may be revoked.
    Secret(Option<Bytes>),
    /// It was asked already.
    Known(Principal),
}

/// What a message asks for.
enum Asked<'a> {
    Token,
    Generic(Operation),
    Function(&'a str, &'a str),
    Nothing,
}

impl Session {
    /// Takes one message. What concerns the messages behind it happens at once; the answer takes as
    /// long as its call. None if it is not to be answered.
    pub fn take(&mut self, message: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let style = Style::of(&message).ok().flatten();
        match (self.open(message), style) {
            (Ok(answer), _) => answer,
            // It was measured before, so that there is always a style.
            (Err(bad), style) => {
                let refusal = style.map(|style| super::answer::refusal(style, &bad.into()));
                Box::pin(ready(refusal))
            }
        }
    }

    fn open(&mut self, message: Bytes) -> Result<BoxFuture<'static, Option<Bytes>>, Bad> {
        let style = Style::of(&message)?.ok_or(Bad::Short)?;
        let mut reader = Reader::new(style.protocol, &message, style.start());
        let header = reader.header()?;
        let (service, name) = match header.name.rsplit_once(':') {
            Some((service, name)) => (Some(service), name),
            None => (None, header.name),
        };
        let place = Place {
            style,
            name: name.to_owned(),
            sequence: header.sequence,
        };
        if !matches!(header.message, Message::Call | Message::Oneway) {
            let told = place.exception(INVALID_MESSAGE_TYPE, "expected a call");
            return Ok(Box::pin(ready(Some(told))));
        }
        let asked = self.asked(service, name);
        let is_answered = header.message == Message::Call
            && !matches!(asked, Asked::Generic(Operation::CastJson));
        let answer: BoxFuture<'static, Bytes> = match asked {
            Asked::Token => Box::pin(ready(self.authenticate(&place, &mut reader))),
            Asked::Nothing => Box::pin(ready(place.exception(UNKNOWN_METHOD, &unknown(name)))),
            Asked::Generic(operation) => match self.generic(operation, &mut reader) {
                Err(error) => Box::pin(ready(place.error(&error, None))),
                Ok(call) if is_answered => {
                    let desk = self.desk.clone();
                    Box::pin(async move { make(&desk, &place, operation.returns(), call).await })
                }
                Ok(call) => {
                    cast(&self.desk, call);
                    return Ok(Box::pin(ready(None)));
                }
            },
            Asked::Function(kind, function) => {
                let admitted = self.admit(None);
                let function = Function {
                    session: self.clone(),
                    kind: kind.to_owned(),
                    name: function.to_owned(),
                    start: reader.position(),
                    message: message.clone(),
                };
                if is_answered {
                    Box::pin(function.call(admitted, place))
                } else {
                    // A client may leave behind a message that it wants no answer to.
                    let cast = tokio::spawn(function.cast(admitted));
                    return Ok(Box::pin(async move {
                        let _ = cast.await;
                        None
                    }));
                }
            }
        };
        Ok(Box::pin(async move {
            let answer = answer.await;
            is_answered.then_some(answer)
        }))
    }

    fn asked<'a>(&'a self, service: Option<&'a str>, name: &'a str) -> Asked<'a> {
        if name == AUTHENTICATE {
            return Asked::Token;
        }
        let kind = match service {
            Some(SERVICE) => None,
            Some(kind) => Some(kind),
            None => self.kind.as_deref(),
        };
        match (kind, Operation::of(name)) {
            (Some(kind), _) => Asked::Function(kind, name),
            (None, Some(operation)) => Asked::Generic(operation),
            (None, None) => Asked::Nothing,
        }
    }

    /// Who sends a message that shows this, or nothing.
    fn admit(&self, token: Option<&[u8]>) -> Result<Principal, CallError> {
        match &self.client {
            Client::Known(principal) => Ok(principal.clone()),
            Client::Secret(secret) => {
                let admitted = self.desk.admit(token.or(secret.as_deref()));
                admitted.map_err(|denied| {
                    let mut error = CallError::from(denied.clone());
                    if denied == Denied::Missing {
                        error.message = format!(
                            "expected {AUTHENTICATE}(token) first, or a token in the options; \
                             whoever runs the node makes one with `katamari token new`"
                        );
                    }
                    error
                })
            }
        }
    }

    fn authenticate(&mut self, place: &Place, reader: &mut Reader<'_>) -> Bytes {
        let shown = generic::token(reader);
        let admitted = shown.and_then(|token| {
            self.admit(token.as_deref())?;
            Ok(token)
        });
        match (admitted, &mut self.client) {
            (Err(error), _) => place.error(&error, None),
            (Ok(token), Client::Secret(secret)) => {
                *secret = token;
                place.done()
            }
            (Ok(_), Client::Known(_)) => place.done(),
        }
    }

    /// The call that a message of the generic service asks for.
    fn generic(
        &self,
        operation: Operation,
        reader: &mut Reader<'_>,
    ) -> Result<Prepared, CallError> {
        let request = generic::request(operation, reader, &self.wishes)?;
        let principal = self.admit(request.token.as_deref())?;
        let class = self
            .desk
            .permit(&principal, &request.details, &request.wishes)?;
        let target = Target {
            details: request.details,
            function: &request.function,
            payload: request.payload,
            shape: request.shape,
        };
        Ok(self
            .desk
            .prepare(&principal, class, target, &request.wishes))
    }
}

fn unknown(name: &str) -> String {
    format!(
        "there is no {name} in the service {SERVICE}; functions of a kind are called as kind:{name}, \
         with the kind as the name of a multiplexed service, or on a port of that kind"
    )
}

/// Makes a call, and writes what became of it.
async fn make(desk: &Desk, place: &Place, returns: Returns<'_>, call: Prepared) -> Bytes {
    let reply = desk.call(call).await;
    let receipt = reply.receipt;
    let answered = match reply.result {
        Ok(answer) => result::answer(place, returns, answer, desk.limits.body_max).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| place.error(&error, Some(&receipt.id())))
}

/// Lets a call go on by itself. Nobody can be told if that fails.
fn cast(desk: &Desk, call: Prepared) {
    if desk.cast(call).is_err() {
        tracing::debug!("too many casts are in flight: one was dropped");
    }
}

/// A message that asks for a function of a kind.
struct Function {
    session: Session,
    kind: String,
    name: String,
    message: Bytes,
    /// Where its arguments begin.
    start: usize,
}

impl Function {
    async fn call(self, admitted: Result<Principal, CallError>, place: Place) -> Bytes {
        match self.prepare(admitted).await {
            Ok((found, call)) => {
                let method = found.method();
                let value = match (&method.result, method.stream) {
                    (Value::List(piece), true) => &**piece,
                    (whole, _) => whole,
                };
                let returns = Returns {
                    form: Form::Declared(value, &found.schema.structs),
                    pieces: method.stream,
                };
                make(&self.session.desk, &place, returns, call).await
            }
            Err(error) if error.code == Code::NoFunction => {
                place.exception(UNKNOWN_METHOD, &error.message)
            }
            Err(error) => place.error(&error, None),
        }
    }

    async fn cast(self, admitted: Result<Principal, CallError>) {
        match self.prepare(admitted).await {
            Ok((_, call)) => cast(&self.session.desk, call),
            Err(error) => tracing::debug!(%error, "a cast was dropped"),
        }
    }

    async fn prepare(
        &self,
        admitted: Result<Principal, CallError>,
    ) -> Result<(Found, Prepared), CallError> {
        let principal = admitted?;
        let Session { desk, wishes, .. } = &self.session;
        let mut details = wishes.details.clone().unwrap_or_default();
        details.kind = Some(self.kind.as_str().into());
        let class = desk.permit(&principal, &details, wishes)?;
        let found = services::find(&desk.node, &self.kind, &self.name).await?;
        let style = Style::of(&self.message)?.ok_or(Bad::Short)?;
        let mut reader = Reader::new(style.protocol, &self.message, self.start);
        let (payload, shape) = declared(&mut reader, found.method(), &found.schema)?;
        let target = Target {
            details,
            function: &found.method().function,
            payload,
            shape,
        };
        let call = desk.prepare(&principal, class, target, wishes);
        Ok((found, call))
    }
}
