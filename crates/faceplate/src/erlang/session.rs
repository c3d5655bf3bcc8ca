//! What becomes of a connected node's signals: calls through the names that we have, answers, and
//! as much of a process's manners as lets monitors and links work.

use super::Erlang;
use super::handshake::Peer;
use super::request::{self, Request};
use super::signal::{self, Signal, Spawn};
use super::waiter::{Manner, Remote, Waiter, own, reply, tuple};
use crate::conversation::Outgoing;
use crate::desk::{Desk, Target};
use crate::errors::too_many_casts;
use crate::exchange::Prepared;
use crate::guard::Principal;
use bytes::Bytes;
use dispatch::{CallError, Code};
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture, ready};
use pool::Class;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use term::etf::EncodeError;
use term::{Atom, Term};

/// The name that is asked whether we are there; beside those that answer calls.
const NET_KERNEL: &str = "net_kernel";

/// Calls of one node that may run or wait at a time: all its processes share the connection.
const CALLS_MAX: usize = 10_000;

/// The process that has our names.
const PROCESS: u32 = 1;

/// The first that is spawned.
pub(super) const FIRST_PROCESS: u32 = 2;

/// What has come from a peer.
#[derive(Debug)]
pub(super) enum Message {
    /// Anything but a request to spawn.
    Signal(Signal),
    /// A process is to begin, of that number; that is answered before it does anything.
    Spawn(Arc<Spawn>, u32),
    /// It is to run.
    Run(Arc<Spawn>, u32),
}

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
            pid: erlang.pid(PROCESS),
            erlang,
            desk,
            peer,
            running: Running::default(),
        }
    }

    /// Takes what has come. The answer to a call takes as long as that.
    pub fn take(&mut self, message: Message) -> Answer {
        let signal = match message {
            Message::Signal(signal) => signal,
            Message::Spawn(spawn, number) => return self.spawn(&spawn, number),
            Message::Run(spawn, number) => return self.run(&spawn, number),
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
            } => at_once(signal::down(process, from, reference, Term::atom("noproc"))),
            Signal::Link { from, to } => at_once(signal::exit(to, from)),
            Signal::Unlink { id, from, to } => at_once(signal::unlinked(id, to, from)),
            Signal::Spawn(_) | Signal::Other => nothing(),
        }
    }

    /// Says that a process has begun, if it is one that makes a call.
    fn spawn(&self, spawn: &Spawn, number: u32) -> Answer {
        let (reference, from) = (spawn.reference.clone(), spawn.from.clone());
        at_once(match Remote::of(spawn) {
            Some(remote) => {
                let process = self.erlang.pid(number);
                signal::spawned(reference, from, remote.is_monitored, process)
            }
            None => signal::spawned(reference, from, false, Term::atom("notsup")),
        })
    }

    /// Makes the call that such a process is for, and lets it end with the answer, as `erpc` does.
    fn run(&self, spawn: &Spawn, number: u32) -> Answer {
        let Some(remote) = Remote::of(spawn) else {
            return nothing();
        };
        let request = Request::remote(remote.module, remote.function, remote.arguments);
        let Some(mark) = remote.mark else {
            return self.cast(request);
        };
        let kept = own(vec![
            spawn.from.clone(),
            spawn.reference.clone(),
            mark.clone(),
        ]);
        let Some([from, reference, mark]) = kept else {
            return nothing();
        };
        let process = self.erlang.pid(number);
        let waiter = Waiter::Spawner {
            process,
            from,
            reference,
            mark,
        };
        self.call(waiter, request)
    }

    fn is_there(&self, process: &Term) -> bool {
        match process {
            Term::Atom(name) => Manner::of(name).is_some() || name.is(NET_KERNEL),
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
                match own(from) {
                    Some([pid, tag]) => self.ask(to, pid, tag, request),
                    None => nothing(),
                }
            }
            (Some(mark), Some(request), None) if mark.is_atom("$gen_cast") => {
                match Manner::of(to) {
                    Some(manner) => self.cast(manner.read(request, "cast")),
                    None => nothing(),
                }
            }
            _ => nothing(),
        }
    }

    /// A call of `gen_server`.
    fn ask(&self, to: &Atom, pid: Term, tag: Term, request: Term) -> Answer {
        if let Some(manner) = Manner::of(to) {
            let waiter = Waiter::Client { pid, tag, manner };
            return self.call(waiter, manner.read(request, "call"));
        }
        if !to.is(NET_KERNEL) {
            return nothing();
        }
        let answer = match tuple(&request, "is_auth") {
            Some([_]) => Term::atom("yes"),
            _ => Manner::Katamari.wrap(Err(request::bad("expected {is_auth, Node}"))),
        };
        at_once(reply(&self.pid, &self.peer, &pid, tag, answer))
    }

    fn call(&self, waiter: Waiter, request: Result<Request, CallError>) -> Answer {
        let asked = request.and_then(|request| {
            let asked = self.permit(request)?;
            Ok((asked, self.running.begin(waiter.key()?)?))
        });
        let (pid, peer) = (self.pid.clone(), self.peer.clone());
        let (asked, (turn, registration)) = match asked {
            Ok(asked) => asked,
            Err(error) => return at_once(waiter.answer(&pid, &peer, Err(error))),
        };
        let desk = self.desk.clone();
        let answering = async move {
            let result = match asked.prepare(&desk).await {
                Ok(call) => {
                    let reply = desk.call(call).await;
                    request::result(reply, desk.limits.body_max).await
                }
                Err(error) => Err(error),
            };
            outgoing(waiter.answer(&pid, &peer, result).or_else(|error| {
                let error = CallError::new(Code::TooLarge, format!("the answer: {error}"));
                waiter.answer(&pid, &peer, Err(error))
            }))
        };
        Box::pin(async move {
            let _turn = turn;
            // Whoever gave up gets no answer.
            let answered = Abortable::new(answering, registration).await;
            answered.unwrap_or(Outgoing::Nothing)
        })
    }

    /// Nobody waits, so that nobody is told what is wrong, either.
    fn cast(&self, request: Result<Request, CallError>) -> Answer {
        let asked = request.and_then(|request| self.permit(request));
        let (desk, peer) = (self.desk.clone(), self.peer.clone());
        // It is made even if its node is gone by now.
        let casting = tokio::spawn(async move {
            let cast = async {
                let call = asked?.prepare(&desk).await?;
                desk.cast(call).map_err(|_| too_many_casts())
            };
            if let Err(error) = cast.await {
                tracing::debug!(peer = ?peer.name, %error, "a cast came to nothing");
            }
        });
        casting.map(|_| Outgoing::Nothing).boxed()
    }

    /// The call, if it may be made: the cookie is the token of this door.
    fn permit(&self, request: Request) -> Result<Asked, CallError> {
        let kind = request.details.kind.as_deref();
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
        let principal = Principal::named(self.peer.name.clone());
        let class = self
            .desk
            .permit(&principal, &request.details, &request.wishes)?;
        Ok(Asked {
            principal,
            class,
            request,
        })
    }
}

/// A call that is permitted.
struct Asked {
    principal: Principal,
    class: Class,
    request: Request,
}

impl Asked {
    /// The call, with terms as they came if its program takes those.
    async fn prepare(self, desk: &Desk) -> Result<Prepared, CallError> {
        let Request {
            details,
            function,
            arguments,
            wishes,
        } = self.request;
        let kind = details.kind.as_deref().unwrap_or_default();
        // What is not there, or on a node that stops, the call is told.
        let takes_terms = desk.node.catalogue.takes_terms(kind).await.unwrap_or(false);
        let (payload, shape) = if takes_terms {
            arguments.into_terms()?
        } else {
            arguments.to_json()?
        };
        let target = Target {
            details,
            function: &function,
            payload,
            shape,
        };
        Ok(desk.prepare(&self.principal, self.class, target, &wishes))
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
