//! Calls in flight: what the loop keeps of a call besides what the core knows of it, from its
//! arrival to its answer.

use crate::call::{Answer, Call, Reply};
use crate::error::{CallError, Code, Detail};
use crate::history::{Ended, Trace};
use crate::input::{BadCredit, BrokenInput, Grant, Input};
use crate::peer::inputs::LinkSink;
use crate::shell::Loop;
use crate::slots::WorkerName;
use crate::stream::Pieces;
use crate::tally::Tally;
use pool::{CallId, Event, NodeId, PoolId, PoolView, Rejection, SlotId, stable_hash};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use term::Payload;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wire::Link;

/// Functions that are tallied one by one; the rest are tallied together.
const TALLIES_MAX: usize = 10_000;

/// When a caller that was turned away may try again: a queue that is full now is served within
/// about that time, or the pool is too small.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Kinds that an error lists.
const KINDS_NAMED_MAX: usize = 20;

/// A call that has not been answered, or is answered and still streams.
pub(crate) struct InFlight {
    pub call: Box<Call>,
    /// None once answered.
    answer: Option<Origin>,
    /// The node of the worker that made it, if that is another one.
    from: Option<NodeId>,
    idempotent: bool,
    pool: Option<PoolId>,
    /// That of the worker it was given to.
    program: Option<Arc<str>>,
    /// While its input goes to another node.
    grant: Option<Grant>,
    pub trace: Trace,
}

impl InFlight {
    /// The node that runs it asks for more of its input. With the first word it begins to go there:
    /// what was refused there before is still whole here.
    pub fn grant(&mut self, bytes: u32, link: &Link) -> Result<(), BadCredit> {
        if self.grant.is_none()
            && let Some(input) = &self.call.input
        {
            let (call, link) = (self.call.id(), link.clone());
            self.grant = input.open(Box::new(LinkSink { call, link }));
        }
        match &self.grant {
            Some(grant) => grant.give(bytes as usize),
            // Its client has left, which it is about to hear.
            None => Ok(()),
        }
    }

    /// Whether a worker of that node made it.
    pub fn is_from(&self, node: NodeId) -> bool {
        self.from == Some(node)
    }
}

/// Where a call came from, and its answer goes.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A caller on this node.
    Caller(oneshot::Sender<Reply>),
    /// A worker of that node, in a call that was dispatched here.
    Node(NodeId),
}

impl Loop {
    /// Whether a call of this id is here, be it only in a worker that has not let go of it.
    pub(crate) fn knows(&self, id: CallId) -> bool {
        self.calls.contains_key(&id) || self.core.deadline(id).is_some()
    }

    pub(crate) fn call(&mut self, call: Box<Call>, origin: Origin) {
        let id = call.id();
        if self.knows(id) {
            // Ids are drawn at random, and other nodes bring theirs.
            let error = CallError::new(Code::BadRequest, "a call of this id runs already");
            self.reply(id, origin, Reply::unanswered(id.number, error));
            return;
        }
        let trace = Trace {
            id,
            details: call.details.clone(),
            function: call.function.clone(),
            arrived: Instant::now(),
            assigned: None,
            deadline: None,
            ended: None,
        };
        let idempotent = call.idempotent.unwrap_or(false);
        let event = pool::Call {
            id,
            details: call.details.clone(),
            function: call.function.clone(),
            shape: call.shape.clone(),
            json: match &call.payload {
                Payload::Json(json) => Some(json.clone()),
                _ => None,
            },
            input: call.input.is_some(),
            class: call.class,
            key: call.key.as_ref().map(stable_hash),
            seed: id.number,
            deadline: call.deadline.map(|deadline| self.time(deadline)),
            bytes: call.payload.size() + call.input.as_ref().map_or(0, Input::held),
            avoid: call.avoid.clone(),
            only: call.only.clone(),
            parent: call.parent,
        };
        // Those that were taken before the drain go on: their nested calls, their repetitions.
        let goes_on = call.parent.is_some() || call.attempt > 0;
        let from = match origin {
            Origin::Caller(_) => None,
            Origin::Node(node) => Some(node),
        };
        self.calls.insert(
            id,
            InFlight {
                call,
                answer: Some(origin),
                from,
                idempotent,
                pool: None,
                program: None,
                grant: None,
                trace,
            },
        );
        if self.draining && !goes_on {
            let error = CallError::new(Code::Stopping, "the node is draining; call another one");
            self.answer(id, Err(error));
            return;
        }
        self.feed(Event::Call(event), None);
        self.learn(id);
    }

    /// Forgets a call that nobody waits for any more.
    pub(crate) fn cancel(&mut self, id: CallId) {
        if let Some(mut flight) = self.calls.remove(&id) {
            flight.trace.ended = Some((Instant::now(), Ended::Cancelled));
            self.tally(&flight, Some(Code::Cancelled));
            if let Some(Origin::Caller(sender)) = flight.answer.take() {
                // Whoever cancelled by leaving does not hear it; whoever's input broke does.
                let error = CallError::new(Code::Cancelled, BrokenInput.to_string());
                let _ = sender.send(reply(&flight, Err(error)));
            }
            self.history.push(flight.trace);
        }
        self.feed(Event::Cancel { call: id }, None);
    }

    /// Notes what the core found out about a call that it took in.
    pub(crate) fn learn(&mut self, id: CallId) {
        let Some(flight) = self.calls.get_mut(&id) else {
            return;
        };
        flight.pool = self.core.pool_of(id);
        if flight.call.idempotent.is_none()
            && let Some(description) = flight.pool.and_then(|pool| self.core.description(pool))
        {
            let function = description.function(&flight.call.function);
            flight.idempotent = function.is_some_and(|function| function.idempotent);
        }
    }

    /// Notes where calls are to run: when they are given to a slot, and again when those that were
    /// kept ahead have got theirs.
    pub(crate) fn placed(&mut self, slot: SlotId, calls: &[CallId]) {
        let (id, now) = (slot.worker, Instant::now());
        let pid = self.pid_of(id).unwrap_or(0);
        let program = self.core.program_of(id);
        for call in calls {
            if let Some(flight) = self.calls.get_mut(call) {
                flight.trace.assigned = Some((WorkerName { id, pid }, now));
                flight.program = program.cloned();
            }
        }
    }

    /// Answers a call with a stream that has begun.
    pub(crate) fn begun(&mut self, slot: SlotId, call: CallId, pieces: Pieces) {
        if self.core.slot_of(call) != Some(slot) {
            return;
        }
        let Some(flight) = self.calls.get_mut(&call) else {
            return;
        };
        if let Some(origin) = flight.answer.take() {
            let reply = reply(flight, Ok(Answer::Stream(pieces)));
            self.reply(call, origin, reply);
        }
    }

    /// Answers a call, unless it was answered by a stream, and closes its record.
    pub(crate) fn answer(&mut self, id: CallId, result: Result<Answer, CallError>) {
        let Some(mut flight) = self.calls.remove(&id) else {
            return;
        };
        let (code, ended) = match &result {
            Ok(_) => (None, Ended::Answered),
            Err(error) => (Some(error.code), Ended::failed(error)),
        };
        flight.trace.ended = Some((Instant::now(), ended));
        self.tally(&flight, code);
        if let Some(origin) = flight.answer.take() {
            self.reply(id, origin, reply(&flight, result));
        }
        self.history.push(flight.trace);
    }

    fn reply(&mut self, call: CallId, origin: Origin, reply: Reply) {
        match origin {
            // If the caller has left, there is nobody to tell; the pieces of a stream are dropped
            // with the reply then, and the worker is told.
            Origin::Caller(sender) => drop(sender.send(reply)),
            Origin::Node(node) => self.reply_to(node, call, reply),
        }
    }

    fn tally(&mut self, flight: &InFlight, code: Option<Code>) {
        // A copy is no call that anybody made.
        if flight.call.only.is_some() {
            return;
        }
        let trace = &flight.trace;
        let ended = trace
            .ended
            .as_ref()
            .map_or(trace.arrived, |(ended, _)| *ended);
        let started = trace.assigned.map(|(_, at)| at);
        let queued = started.unwrap_or(ended) - trace.arrived;
        let ran = started.map(|started| ended - started);
        // Without a pool the names are whatever a caller made up.
        let mut key = match flight.pool {
            Some(_) => (
                trace.details.kind.clone().unwrap_or_default(),
                trace.function.clone(),
            ),
            None => Default::default(),
        };
        if self.tallies.len() >= TALLIES_MAX && !self.tallies.contains_key(&key) {
            key = Default::default();
        }
        let tally: &mut Tally = self.tallies.entry(key).or_default();
        tally.count(code, queued, ran);
    }

    pub(crate) fn explain(&self, why: Rejection) -> CallError {
        match why {
            Rejection::NoPool => {
                let kinds = self.known(|pool| pool.description.details.kind.clone());
                CallError::new(Code::NoPool, format!("no pool matches; there are: {kinds}"))
            }
            Rejection::NoFunction => CallError::new(
                Code::NoFunction,
                "pools match, but none has this function; `katamari status` lists functions",
            ),
            Rejection::BadArguments(misfit) => {
                CallError::new(Code::BadArguments, misfit.to_string())
            }
            Rejection::Busy { waiting, .. } => {
                let message = format!("the queue is full: {waiting} calls wait");
                let retry_after = Some(RETRY_AFTER);
                CallError::new(Code::Busy, message).with(Detail {
                    retry_after,
                    ..Detail::default()
                })
            }
            Rejection::Deadline { running: None } => {
                CallError::new(Code::Deadline, "the deadline passed while the call waited")
            }
            Rejection::Deadline {
                running: Some(slot),
            } => {
                let worker = Some(slot.worker);
                let pid = self.pid_of(slot.worker);
                CallError::new(Code::Deadline, "the deadline passed while the call ran").with(
                    Detail {
                        worker,
                        pid,
                        ..Detail::default()
                    },
                )
            }
            Rejection::Deadlock => CallError::new(
                Code::Deadlock,
                "every slot of the pool is held by calls that wait for this one",
            ),
            Rejection::Removed => CallError::new(
                Code::Stopping,
                "the program was removed while the call waited",
            ),
            Rejection::Lost { slot } => {
                let node = slot.worker.node;
                let message = format!("node {} is gone, with the call on it", self.name_of(node));
                CallError::new(Code::WorkerLost, message).with(Detail {
                    worker: Some(slot.worker),
                    ..Detail::default()
                })
            }
        }
    }

    fn known(&self, name: impl Fn(&PoolView) -> Option<Arc<str>>) -> String {
        let names: BTreeSet<_> = self.core.pools().filter_map(|pool| name(&pool)).collect();
        if names.is_empty() {
            return "none".to_owned();
        }
        names
            .iter()
            .take(KINDS_NAMED_MAX)
            .map(|name| &**name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn reply(flight: &InFlight, result: Result<Answer, CallError>) -> Reply {
    let trace = &flight.trace;
    let now = trace
        .ended
        .as_ref()
        .map_or_else(Instant::now, |(ended, _)| *ended);
    let started = trace.assigned.map(|(_, at)| at);
    Reply {
        number: flight.call.number,
        pool: flight.pool,
        worker: trace.assigned.map(|(worker, _)| worker.id),
        program: flight.program.clone(),
        queued: started.unwrap_or(now) - trace.arrived,
        ran: started.map_or(Duration::ZERO, |started| now - started),
        deadline: trace.deadline,
        idempotent: flight.idempotent,
        result,
    }
}
