//! One connection's client: what it has said for its next request, and what becomes of requests.

use super::answer;
use super::berp::{self, Message};
use super::callback::Callback;
use super::info::{Cache, Notes};
use super::request::{self, Request, Spoken};
use crate::arguments::{OCTETS, of_json};
use crate::conversation::Outgoing;
use crate::desk::{Desk, Target};
use crate::errors::too_many_casts;
use crate::exchange::Prepared;
use crate::guard::Denied;
use bytes::Bytes;
use dispatch::{Call, CallError, Code};
use pool::Details;
use std::sync::Arc;
use term::{Payload, Shape, Style, Term, ToJsonError, to_json};

/// A connection's client.
#[derive(Debug)]
pub(super) struct Session {
    desk: Arc<Desk>,
    /// The services that results may be sent to.
    callbacks: Arc<[String]>,
    /// What it has shown. It is looked at again with each request, for it may be revoked.
    secret: Option<Bytes>,
    notes: Notes,
}

/// What is to be done about a message.
enum Step {
    Nothing,
    Say(Vec<u8>),
    Call(Prepared, Option<Streamed>, Cache),
    Cast(Prepared, Option<Streamed>, Option<Callback>),
}

/// What was streamed beside a request, whole; and the call's arguments, with and without it.
struct Streamed {
    body: Bytes,
    with: Result<(Payload, Shape), CallError>,
    without: Result<(Payload, Shape), CallError>,
}

impl Streamed {
    /// Gives it to the call: as the input of a function that declares one, else as an argument.
    async fn give(self, desk: &Desk, call: &mut Call) -> Result<(), CallError> {
        let kind = call.details.kind.as_deref().unwrap_or_default();
        let declared = desk.node.catalogue.function(kind, &call.function).await;
        // What is not there, or on a node that stops, the call is told.
        let reads = declared.ok().flatten().is_some_and(|it| it.input);
        let (payload, shape) = if reads { self.without } else { self.with }?;
        call.payload = payload;
        call.shape = Arc::new(shape);
        if reads {
            let (mut sender, input) = dispatch::input(Some(OCTETS));
            call.input = Some(input);
            tokio::spawn(async move {
                if sender.send(self.body).await.is_ok() {
                    sender.end();
                }
            });
        }
        Ok(())
    }
}

impl Session {
    /// A client that has said nothing yet.
    pub fn new(desk: Arc<Desk>, callbacks: Arc<[String]>) -> Self {
        Self {
            desk,
            callbacks,
            secret: None,
            notes: Notes::default(),
        }
    }

    /// Takes one message. What it means is found out at once; the answer takes as long as the call.
    pub fn take(&mut self, message: Message) -> impl Future<Output = Outgoing> + use<> {
        let step = self.step(message);
        let desk = self.desk.clone();
        async move {
            go(&desk, step)
                .await
                .unwrap_or_else(|error| Outgoing::Whole(answer::failure(&error, None).into()))
        }
    }

    fn step(&mut self, message: Message) -> Step {
        let term = match berp::read(&message.term, self.desk.limits.body_max) {
            Ok(term) => term,
            Err(error) => {
                self.notes = Notes::default();
                return Step::Say(answer::not_a_term(&error));
            }
        };
        let made = match request::read(&term) {
            Ok(Spoken::Info(command, options)) => {
                let secret = self.notes.take(&command, options);
                self.secret = secret.or_else(|| self.secret.take());
                return Step::Nothing;
            }
            Ok(Spoken::Request(request)) => self.request(&request, message.body),
            Err(error) => {
                self.notes = Notes::default();
                Err(error)
            }
        };
        made.unwrap_or_else(|error| Step::Say(answer::failure(&error, None)))
    }

    /// Makes a call of a request and of what was said before it.
    fn request(&mut self, request: &Request<'_>, body: Option<Bytes>) -> Result<Step, CallError> {
        let notes = std::mem::take(&mut self.notes);
        let desk = &self.desk;
        let principal = desk.admit(self.secret.as_deref()).map_err(denied)?;
        if let Some(problem) = notes.problem {
            return Err(problem);
        }
        if let Some(callback) = &notes.callback {
            self.allow(request, callback)?;
        }
        let mut wishes = notes.wishes;
        let details = details(wishes.details.take(), &request.module)?;
        let class = desk.permit(&principal, &details, &wishes)?;
        let streamed = body.map(|body| Streamed {
            with: arguments(request.arguments, Some(body.clone())),
            without: arguments(request.arguments, None),
            body,
        });
        let (payload, shape) = match &streamed {
            None => arguments(request.arguments, None)?,
            // They are given once it is known what the function declares.
            Some(_) => (Payload::Json(Bytes::new()), Shape::Opaque),
        };
        let target = Target {
            details,
            function: &request.function,
            payload,
            shape,
        };
        let call = desk.prepare(&principal, class, target, &wishes);
        Ok(if request.is_cast {
            Step::Cast(call, streamed, notes.callback)
        } else {
            Step::Call(call, streamed, notes.cache)
        })
    }

    /// Whether a result may go where the client wants it. Otherwise anyone could make the node
    /// connect to whatever it reaches.
    fn allow(&self, request: &Request<'_>, callback: &Callback) -> Result<(), CallError> {
        if !request.is_cast {
            let message = "callback: expected a cast to follow; a call is answered here";
            return Err(CallError::new(Code::BadRequest, message));
        }
        let service = &callback.service;
        if self.callbacks.contains(service) {
            return Ok(());
        }
        let message = format!("callback: {service:?} is not among the callbacks of this faceplate");
        Err(CallError::new(Code::NotAllowed, message))
    }
}

/// Does what is to be done about a message.
async fn go(desk: &Desk, step: Step) -> Result<Outgoing, CallError> {
    Ok(match step {
        Step::Nothing => Outgoing::Nothing,
        Step::Say(bytes) => Outgoing::Whole(bytes.into()),
        Step::Call(mut call, streamed, cache) => {
            if let Some(streamed) = streamed {
                streamed.give(desk, &mut call.call).await?;
            }
            answer::reply(desk.call(call).await, &cache).await
        }
        Step::Cast(mut call, streamed, callback) => {
            if let Some(streamed) = streamed {
                streamed.give(desk, &mut call.call).await?;
            }
            Outgoing::Whole(cast(desk, call, callback).into())
        }
    })
}

/// The details that were wished for, with the module as their kind.
fn details(wished: Option<Details>, module: &str) -> Result<Details, CallError> {
    let Some(mut details) = wished else {
        return Ok(Details::of_kind(module));
    };
    match &details.kind {
        Some(other) if **other != *module => {
            let message = format!("details: the kind is {other}, but the module {module}");
            Err(CallError::new(Code::BadRequest, message))
        }
        _ => {
            details.kind = Some(module.into());
            Ok(details)
        }
    }
}

/// Arguments as JSON: a list by position, a dictionary in its place by name. What was streamed is
/// all there is, as the bytes that it came in, or one more binary before the others.
fn arguments(arguments: &Term, body: Option<Bytes>) -> Result<(Payload, Shape), CallError> {
    let bad = |message: String| CallError::new(Code::BadArguments, message);
    let json = match (arguments, body) {
        (Term::List(rest), Some(body)) if rest.is_empty() => {
            return Ok((Payload::new(OCTETS, body), Shape::Opaque));
        }
        (Term::List(rest), Some(body)) => {
            let all = [&[Term::Binary(body)], &rest[..]].concat();
            to_json(&Term::List(all), Style::Bert)
        }
        (other, Some(_)) => {
            let other = other.describe();
            let message = format!("expected a list of arguments beside a stream, got {other}");
            return Err(bad(message));
        }
        (arguments, None) => to_json(arguments, Style::Bert),
    };
    let json = json.map_err(|error| {
        let hint = match error {
            ToJsonError::NoForm { expected, .. } if expected.contains("UTF-8") => {
                "; other bytes can be streamed to a function without other arguments"
            }
            _ => "",
        };
        bad(format!("{error}{hint}"))
    })?;
    of_json(json.into())
}

/// What a client hears that has no token, or not the right one.
fn denied(denied: Denied) -> CallError {
    let is_missing = denied == Denied::Missing;
    let mut error = CallError::from(denied);
    if is_missing {
        "expected {info, katamari, [{token, <<\"SECRET\">>}]} first; whoever runs the node makes a \
         token with `katamari token new`"
            .clone_into(&mut error.message);
    }
    error
}

/// Lets a call go on by itself, and says so.
fn cast(desk: &Desk, call: Prepared, callback: Option<Callback>) -> Vec<u8> {
    let bytes_max = desk.limits.body_max;
    let taken = match callback {
        None => desk.cast(call),
        Some(callback) => desk.cast_then(call, move |reply| callback.deliver(reply, bytes_max)),
    };
    match taken {
        Ok(()) => answer::noreply(),
        Err(_) => answer::failure(&too_many_casts(), None),
    }
}
