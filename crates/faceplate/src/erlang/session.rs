//! What becomes of a connected node's signals: calls through the names that we have, answers, and
//! as much of a process's manners as lets monitors and links work.

use super::Erlang;
use super::handshake::Peer;
use super::request::{self, Request};
use super::signal::{self, Signal};
use crate::conversation::Outgoing;
use crate::desk::{Desk, Target};
use crate::guard::Principal;
use bytes::Bytes;
use dispatch::{Call, CallError, Code};
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture, ready};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use term::etf::{self, EncodeError, Limits, Tags};
use term::{Atom, Term};

/// The names that are there for others.
const KATAMARI: &str = "katamari";
const REX: &str = "rex";
const NET_KERNEL: &str = "net_kernel";

/// Calls of one node that may run or wait at a time: all its processes share the connection.
const CALLS_MAX: usize = 10_000;

/// A frame that is on its way, or none.
type Answer = BoxFuture<'static, Outgoing>;

/// One connected node.
#[derive(Debug)]
pub(super) struct Session {
    erlang: Arc<Erlang>,
    desk: Arc<Desk>,
    peer: Arc<Peer>,
    pid: Term,
    running: Running,
}

impl Session {
    pub fn new(erlang: Arc<Erlang>, desk: Arc<Desk>, peer: Arc<Peer>) -> Self {
        Self {
            pid: erlang.pid(),
            erlang,
            desk,
            peer,
            running: Running::default(),
        }
    }

    /// Takes one frame. What is no signal ends the connection: nothing says whose it was.
    pub fn take(&mut self, frame: &Bytes) -> Answer {
        if frame.is_empty() {
            return nothing();
        }
        let signal = match signal::read(frame, &Limits::default()) {
            Ok(signal) => signal,
            Err(error) => {
                tracing::warn!(peer = ?self.peer.name, %error, "a node of Erlang is disconnected");
                return ready(Outgoing::Last(Bytes::new())).boxed();
            }
        };
        match signal {
            Signal::Send { to, message } => self.message(&to, message),
            Signal::Demonitor { reference } => {
                self.running.cancel(reference.bytes());
                nothing()
            }
            Signal::Monitor { process, .. } | Signal::Link { to: process, .. }
                if self.is_there(&process) =>
            {
                nothing()
            }
            Signal::Monitor {
                from,
                process,
                reference,
            } => at_once(signal::down(process, from, reference)),
            Signal::Link { from, to } => at_once(signal::exit(to, from)),
            Signal::Unlink { id, from, to } => at_once(signal::unlinked(id, to, from)),
            Signal::Other => nothing(),
        }
    }

    fn is_there(&self, process: &Term) -> bool {
        match process {
            Term::Atom(name) => [KATAMARI, REX, NET_KERNEL]
                .iter()
                .any(|known| name.is(known)),
            pid => *pid == self.pid,
        }
    }

    /// A message to a name: a call or a cast of `gen_server`, or something that we do not hear.
    fn message(&self, to: &Atom, message: Term) -> Answer {
        let Term::Tuple(parts) = message else {
            return nothing();
        };
        let mut parts = parts.into_iter();
        let (mark, first, second) = (parts.next(), parts.next(), parts.next());
        match (mark, first, second) {
            (Some(mark), Some(Term::Tuple(from)), Some(request)) if mark.is_atom("$gen_call") => {
                match Waiter::of(from) {
                    Some(waiter) => self.call(to, waiter, request),
                    None => nothing(),
                }
            }
            (Some(mark), Some(request), None) if mark.is_atom("$gen_cast") => {
                self.cast(to, request);
                nothing()
            }
            _ => nothing(),
        }
    }

    fn call(&self, to: &Atom, waiter: Waiter, request: Term) -> Answer {
        let manner = match to.as_str() {
            KATAMARI => Manner::Katamari,
            REX => Manner::Rex,
            NET_KERNEL => {
                let answer = match tuple(&request, "is_auth") {
                    Some([_]) => Term::atom("yes"),
                    _ => Term::pair(
                        Term::atom("error"),
                        request::failure(request::bad("expected {is_auth, Node}")),
                    ),
                };
                return at_once(self.answer(&waiter, answer));
            }
            _ => return nothing(),
        };
        let prepared = read(manner, request, "call").and_then(|request| {
            let call = self.prepare(request)?;
            Ok((call, self.running.begin(waiter.key()?)?))
        });
        let (call, (turn, registration)) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return at_once(self.answer(&waiter, manner.wrap(Err(error)))),
        };
        let (desk, pid, peer) = (self.desk.clone(), self.pid.clone(), self.peer.clone());
        let answering = async move {
            let reply = desk.node.caller.call(call).await;
            let result = request::result(reply, desk.limits.body_max).await;
            let answer = manner.wrap(result);
            let frame = reply_frame(&pid, &peer, &waiter, answer).or_else(|error| {
                let error = CallError::new(Code::TooLarge, format!("the answer: {error}"));
                reply_frame(&pid, &peer, &waiter, manner.wrap(Err(error)))
            });
            outgoing(frame)
        };
        Box::pin(async move {
            let _turn = turn;
            // Whoever gave up gets no answer.
            let answered = Abortable::new(answering, registration).await;
            answered.unwrap_or(Outgoing::Nothing)
        })
    }

    /// Nobody waits, so that nobody is told what is wrong, either.
    fn cast(&self, to: &Atom, request: Term) {
        let manner = match to.as_str() {
            KATAMARI => Manner::Katamari,
            REX => Manner::Rex,
            _ => return,
        };
        let cast = read(manner, request, "cast").and_then(|request| {
            let call = self.prepare(request)?;
            let full = |_| CallError::new(Code::Busy, "too many casts are in flight");
            self.desk.node.cast(call).map_err(full)
        });
        if let Err(error) = cast {
            tracing::debug!(peer = ?self.peer.name, %error, "a cast came to nothing");
        }
    }

    /// The call, if it may be made: the cookie is the token of this door.
    fn prepare(&self, request: Request) -> Result<Call, CallError> {
        let Request {
            details,
            function,
            payload,
            shape,
            wishes,
        } = request;
        let kind = details.kind.as_deref();
        if let Some(kinds) = &self.erlang.kinds
            && !kind.is_some_and(|kind| kinds.contains(kind))
        {
            let denied = &self.desk.node.guard.denied;
            denied.fetch_add(1, Ordering::Relaxed);
            let message = match kind {
                Some(kind) => format!("nodes of Erlang may not make calls of kind {kind} here"),
                None => "nodes of Erlang may call certain kinds here; expected the call to name \
                         one"
                .to_owned(),
            };
            return Err(CallError::new(Code::NotAllowed, message));
        }
        let principal = Principal::default();
        let class = self.desk.permit(&principal, &details, &wishes)?;
        let target = Target {
            details,
            function: &function,
            payload,
            shape,
        };
        Ok(self.desk.prepare(&principal, class, target, &wishes))
    }

    fn answer(&self, waiter: &Waiter, answer: Term) -> Result<Bytes, EncodeError> {
        reply_frame(&self.pid, &self.peer, waiter, answer)
    }
}

/// How a name is called and answers.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// `{call, Details, Function, Args}`, answered with `{ok, Result}` or `{error, Reason}`.
    Katamari,
    /// `{call, Module, Function, Args, GroupLeader}`, answered with the bare result, or
    /// `{badrpc, Reason}`.
    Rex,
}

impl Manner {
    fn wrap(self, result: Result<Term, CallError>) -> Term {
        match (self, result) {
            (Self::Katamari, Ok(result)) => Term::pair(Term::atom("ok"), result),
            (Self::Rex, Ok(result)) => result,
            (Self::Katamari, Err(error)) => {
                Term::pair(Term::atom("error"), request::failure(error))
            }
            (Self::Rex, Err(error)) => Term::pair(Term::atom("badrpc"), request::failure(error)),
        }
    }
}

/// The call in a request that begins with `mark`.
fn read(manner: Manner, request: Term, mark: &str) -> Result<Request, CallError> {
    match manner {
        Manner::Katamari => match request {
            Term::Tuple(mut parts) if parts.first().is_some_and(|first| first.is_atom(mark)) => {
                Request::of(parts.split_off(1))
            }
            other => Err(request::bad(format!(
                "expected {{{mark}, Details, Function, Args}}, got {}",
                other.describe()
            ))),
        },
        Manner::Rex => {
            let parts = tuple(&request, mark).or_else(|| tuple(&request, "block_call"));
            match parts {
                Some([module, function, arguments, _]) => {
                    Request::remote(module, function, arguments)
                }
                _ => Err(request::bad(format!(
                    "expected {{{mark}, Module, Function, Args, GroupLeader}}, got {}",
                    request.describe()
                ))),
            }
        }
    }
}

/// What follows the mark in such a tuple.
fn tuple<'t>(term: &'t Term, mark: &str) -> Option<&'t [Term]> {
    match term {
        Term::Tuple(parts) => match &parts[..] {
            [first, rest @ ..] if first.is_atom(mark) => Some(rest),
            _ => None,
        },
        _ => None,
    }
}

/// Who waits for an answer, as `gen_server` says it.
#[derive(Debug)]
struct Waiter {
    pid: Term,
    tag: Term,
}

impl Waiter {
    /// The one in `{Pid, Tag}`. It is copied, as it would keep the memory of the whole message.
    fn of(from: Vec<Term>) -> Option<Self> {
        let copy = etf::encode(&Term::Tuple(from), Tags::Modern).ok()?;
        let Ok(Term::Tuple(from)) = etf::decode(&copy.into(), &Limits::default()) else {
            return None;
        };
        let [pid, tag] = <[Term; 2]>::try_from(from).ok()?;
        Some(Self { pid, tag })
    }

    /// What tells this call from others: the reference of the caller's monitor if it has one, as
    /// that is what ends when the caller gives up.
    fn key(&self) -> Result<Bytes, CallError> {
        match alias(&self.tag).unwrap_or(&self.tag) {
            Term::Reference(reference) => Ok(reference.bytes().clone()),
            other => etf::encode(other, Tags::Modern)
                .map(Bytes::from)
                .map_err(|error| request::bad(format!("the tag of the call: {error}"))),
        }
    }
}

/// The alias in a tag: `[alias|Alias]` or `[[alias|Alias]|Label]`.
fn alias(tag: &Term) -> Option<&Term> {
    let inner = match tag {
        Term::List(elements) => elements.first()?,
        Term::ImproperList(elements, tail) => match (&elements[..], &**tail) {
            ([mark], Term::Reference(_)) if mark.is_atom("alias") => return Some(tail),
            (elements, _) => elements.first()?,
        },
        _ => return None,
    };
    match inner {
        Term::ImproperList(elements, tail) => match (&elements[..], &**tail) {
            ([mark], Term::Reference(_)) if mark.is_atom("alias") => Some(tail),
            _ => None,
        },
        _ => None,
    }
}

/// `{Tag, Answer}`, to the alias in the tag if the peer has those, so that it is dropped there if
/// it comes too late.
fn reply_frame(
    from: &Term,
    peer: &Peer,
    waiter: &Waiter,
    answer: Term,
) -> Result<Bytes, EncodeError> {
    let message = Term::pair(waiter.tag.clone(), answer);
    match alias(&waiter.tag).filter(|_| peer.has_aliases()) {
        Some(alias) => signal::send_alias(from.clone(), alias, &message),
        None => signal::send(&waiter.pid, &message),
    }
}

fn nothing() -> Answer {
    ready(Outgoing::Nothing).boxed()
}

fn at_once(frame: Result<Bytes, EncodeError>) -> Answer {
    ready(outgoing(frame)).boxed()
}

/// What cannot be written was beyond the limits when it came, or is an error in these modules.
fn outgoing(frame: Result<Bytes, EncodeError>) -> Outgoing {
    match frame {
        Ok(frame) => Outgoing::Whole(frame),
        Err(error) => {
            tracing::warn!(%error, "an answer cannot be written");
            Outgoing::Nothing
        }
    }
}

/// The calls of a connection, by the key of whoever waits.
#[derive(Debug, Clone, Default)]
struct Running(Arc<Mutex<BTreeMap<Bytes, AbortHandle>>>);

impl Running {
    /// Notes a call until what is given back is dropped.
    fn begin(
        &self,
        key: Bytes,
    ) -> Result<(Turn, futures_util::future::AbortRegistration), CallError> {
        let mut calls = self.calls();
        if calls.len() >= CALLS_MAX {
            let message = format!("{CALLS_MAX} calls of this node are in flight already");
            return Err(CallError::new(Code::Busy, message));
        }
        if calls.contains_key(&key) {
            return Err(request::bad(
                "a call with this reference is in flight already",
            ));
        }
        let (handle, registration) = AbortHandle::new_pair();
        calls.insert(key.clone(), handle);
        let running = self.clone();
        Ok((Turn { running, key }, registration))
    }

    fn cancel(&self, key: &Bytes) {
        if let Some(handle) = self.calls().get(key) {
            handle.abort();
        }
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<Bytes, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place among those that run.
#[derive(Debug)]
struct Turn {
    running: Running,
    key: Bytes,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.running.calls().remove(&self.key);
    }
}
