//! One connection's client: what it has said for its next request, and what becomes of requests.

use super::answer;
use super::berp::{self, Message};
use super::callback::Callback;
use super::info::{Cache, Notes};
use super::request::{self, Request, Spoken};
use crate::arguments::{OCTETS, of_json, of_term, of_terms};
use crate::contract::catalogue::Declarations;
use crate::conversation::Outgoing;
use crate::desk::{Desk, Target};
use crate::errors::too_many_casts;
use crate::exchange::Prepared;
use crate::guard::{Denied, Principal};
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::{CallError, Code};
use pool::{Class, Details};
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
    Make(Box<Asked>, Given),
}

/// A call or cast that is permitted. How it gets its arguments depends on what it is made to.
struct Asked {
    principal: Principal,
    class: Class,
    details: Details,
    function: String,
    wishes: Wishes,
    then: Then,
}

/// What becomes of the answer.
enum Then {
    Reply(Cache),
    Cast(Option<Callback>),
}

/// What came with a request.
struct Given {
    arguments: Term,
    /// All that was streamed beside them.
    body: Option<Bytes>,
}

impl Asked {
    /// The call: with terms as they came if its program takes those, and with what was streamed as the
    /// input of a function that declares one, else as an argument.
    async fn prepare(self, desk: &Desk, given: Given) -> Result<(Prepared, Then), CallError> {
        let Given { arguments, body } = given;
        let kind = self.details.kind.as_deref().unwrap_or_default();
        let catalogue = &desk.node.catalogue;
        // What is not there, or on a node that stops, the call is told.
        let takes_terms = catalogue.takes_terms(kind).await.unwrap_or(false);
        let (body, input) = match body {
            Some(body) => {
                let input = |all: &Declarations| {
                    let declared = all.function_for(&self.details, &self.function)?;
                    Some(declared.input)
                };
                let found = catalogue.find(input).await;
                if found.is_ok_and(|(input, _)| input.unwrap_or(false)) {
                    (None, Some(body))
                } else {
                    (Some(body), None)
                }
            }
            None => (None, None),
        };
        let (payload, shape) = if takes_terms {
            as_terms(arguments, body)?
        } else {
            as_json(&arguments, body)?
        };
        let target = Target {
            details: self.details,
            function: &self.function,
            payload,
            shape,
        };
        let mut call = desk.prepare(&self.principal, self.class, target, &self.wishes);
        if let Some(body) = input {
            call.call.input = Some(dispatch::whole_input(Some(OCTETS), body));
        }
        Ok((call, self.then))
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
            match step {
                Step::Nothing => Outgoing::Nothing,
                Step::Say(bytes) => Outgoing::Whole(bytes.into()),
                Step::Make(asked, given) => go(desk, *asked, given)
                    .await
                    .unwrap_or_else(|error| Outgoing::Whole(answer::failure(&error, None).into())),
            }
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
        let asked = match request::read(&term) {
            Ok(Spoken::Info(command, options)) => {
                let secret = self.notes.take(&command, options);
                self.secret = secret.or_else(|| self.secret.take());
                return Step::Nothing;
            }
            Ok(Spoken::Request(request)) => self.request(request),
            Err(error) => {
                self.notes = Notes::default();
                Err(error)
            }
        };
        match asked {
            Ok(asked) => {
                let given = Given {
                    arguments: request::into_arguments(term),
                    body: message.body,
                };
                Step::Make(Box::new(asked), given)
            }
            Err(error) => Step::Say(answer::failure(&error, None)),
        }
    }

    /// Whether a request may be made, with what was said before it.
    fn request(&mut self, request: Request) -> Result<Asked, CallError> {
        let notes = std::mem::take(&mut self.notes);
        let desk = &self.desk;
        let principal = desk.admit(self.secret.as_deref()).map_err(denied)?;
        if let Some(problem) = notes.problem {
            return Err(problem);
        }
        if let Some(callback) = &notes.callback {
            self.allow(&request, callback)?;
        }
        let mut wishes = notes.wishes;
        let details = details(wishes.details.take(), &request.module)?;
        let class = desk.permit(&principal, &details, &wishes)?;
        let then = if request.is_cast {
            Then::Cast(notes.callback)
        } else {
            Then::Reply(notes.cache)
        };
        Ok(Asked {
            principal,
            class,
            details,
            function: request.function,
            wishes,
            then,
        })
    }

    /// Whether a result may go where the client wants it. Otherwise anyone could make the node
    /// connect to whatever it reaches.
    fn allow(&self, request: &Request, callback: &Callback) -> Result<(), CallError> {
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

/// Makes a call, and gives its answer; or lets a cast go on by itself.
async fn go(desk: Arc<Desk>, asked: Asked, given: Given) -> Result<Outgoing, CallError> {
    if matches!(asked.then, Then::Reply(_)) {
        return make(&desk, asked, given).await;
    }
    // It is made even if its client is gone by now.
    let casting = tokio::spawn(async move { make(&desk, asked, given).await });
    casting.await.unwrap_or(Ok(Outgoing::Nothing))
}

async fn make(desk: &Desk, asked: Asked, given: Given) -> Result<Outgoing, CallError> {
    let (call, then) = asked.prepare(desk, given).await?;
    Ok(match then {
        Then::Reply(cache) => answer::reply(desk.call(call).await, &cache).await,
        Then::Cast(callback) => Outgoing::Whole(cast(desk, call, callback).into()),
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

/// Arguments as the terms that they are: a list by position, what was streamed before the others; a
/// dictionary in its place by name.
fn as_terms(arguments: Term, body: Option<Bytes>) -> Result<(Payload, Shape), CallError> {
    match (arguments, body) {
        (Term::List(rest), body) => {
            let body = body.map(Term::Binary).into_iter();
            of_terms(body.chain(rest).collect())
        }
        (arguments, None) => of_term(arguments, Style::Bert),
        (other, Some(_)) => Err(no_list(&other)),
    }
}

/// A stream stands in a list.
fn no_list(got: &Term) -> CallError {
    let got = got.describe();
    let message = format!("expected a list of arguments beside a stream, got {got}");
    CallError::new(Code::BadArguments, message)
}

/// Arguments as JSON: a list by position, a dictionary in its place by name. What was streamed is
/// all there is, as the bytes that it came in, or one more binary before the others.
fn as_json(arguments: &Term, body: Option<Bytes>) -> Result<(Payload, Shape), CallError> {
    let json = match (arguments, body) {
        (Term::List(rest), Some(body)) if rest.is_empty() => {
            return Ok((Payload::new(OCTETS, body), Shape::Opaque));
        }
        (Term::List(rest), Some(body)) => {
            let all = [&[Term::Binary(body)], &rest[..]].concat();
            to_json(&Term::List(all), Style::Bert)
        }
        (other, Some(_)) => return Err(no_list(other)),
        (arguments, None) => to_json(arguments, Style::Bert),
    };
    let json = json.map_err(|error| {
        let hint = match error {
            ToJsonError::NoForm { expected, .. } if expected.contains("UTF-8") => {
                "; other bytes can be streamed to a function without other arguments"
            }
            _ => "",
        };
        CallError::new(Code::BadArguments, format!("{error}{hint}"))
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
