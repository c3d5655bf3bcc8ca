//! The loop: receives, lets the core decide, carries out.
//!
//! It owns the core and everything that belongs to a call in flight: its arguments, and the way its
//! answer goes. Handing the answer's sender to the worker's task instead would save a hop, but then
//! a call could be answered from two sides at once; here the core's one `Deliver` or `Reject` is
//! the only way to an answer.

use crate::call::{Answer, Call, Reply};
use crate::dispatcher::{Message, Status};
use crate::error::{CallError, Code, Detail};
use crate::history::{Ended, History, Trace};
use crate::slots::{Assigned, Assignment, Notice, Slots, WorkerName};
use crate::stream::Pieces;
use crate::tally::Tally;
use pool::{
    CallId, Calls, Command, Core, Epoch, Event, Lobby, PoolId, PoolView, Rejection, SlotId, Time,
    Withdrawal, WorkerId, stable_hash,
};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use term::Payload;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Messages taken at a time, before timers get their turn.
const MESSAGES_AT_ONCE: usize = 256;

/// Functions that are tallied one by one; the rest are tallied together.
const TALLIES_MAX: usize = 10_000;

/// When a caller that was turned away may try again: a queue that is full now is served within
/// about that time, or the pool is too small.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Kinds that an error lists.
const KINDS_NAMED_MAX: usize = 20;

/// In place of a moment that clocks do not reach.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// The loop of one dispatcher.
pub struct Loop {
    core: Core,
    messages: mpsc::UnboundedReceiver<Message>,
    origin: Instant,
    /// Kept between events for its memory.
    commands: Vec<Command>,
    /// What follows from carrying out commands, for the core to know next.
    pending: VecDeque<Event>,
    calls: FxHashMap<CallId, InFlight>,
    workers: BTreeMap<WorkerId, Process>,
    history: History,
    tallies: BTreeMap<(Arc<str>, Arc<str>), Tally>,
    drained: Vec<oneshot::Sender<()>>,
    served: Vec<(Arc<str>, oneshot::Sender<()>)>,
    draining: bool,
}

/// A call that has not been answered, or is answered and still streams.
struct InFlight {
    call: Box<Call>,
    /// None once answered.
    answer: Option<oneshot::Sender<Reply>>,
    idempotent: bool,
    pool: Option<PoolId>,
    trace: Trace,
}

struct Process {
    pid: u32,
    slots: Box<dyn Slots>,
}

/// What came with the notice that is being handled, for the `Deliver` that follows from it.
type Outcome = Option<Result<Payload, CallError>>;

impl Loop {
    pub(crate) fn new(lobby: Lobby, messages: mpsc::UnboundedReceiver<Message>) -> Self {
        Self {
            core: Core::new(lobby),
            messages,
            origin: Instant::now(),
            commands: Vec::new(),
            pending: VecDeque::new(),
            calls: FxHashMap::default(),
            workers: BTreeMap::new(),
            history: History::default(),
            tallies: BTreeMap::new(),
            drained: Vec::new(),
            served: Vec::new(),
            draining: false,
        }
    }

    /// Runs until every handle is dropped.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(MESSAGES_AT_ONCE);
        // Armed for the first deadline; a call answered in time leaves it to fire in vain, which
        // is cheaper than to set it anew with every call.
        let alarm = tokio::time::sleep_until(self.origin);
        tokio::pin!(alarm);
        loop {
            tokio::select! {
                count = self.messages.recv_many(&mut batch, MESSAGES_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    for message in batch.drain(..) {
                        self.message(message);
                    }
                }
                () = &mut alarm => self.feed(Event::Tick, None),
            }
            let next = self.core.next_deadline().map(|time| self.instant(time));
            // Once it has fired it is set for whatever comes next, if anything does.
            if let Some(next) = next
                && (next < alarm.deadline() || alarm.is_elapsed())
            {
                alarm.as_mut().reset(next);
            } else if next.is_none() && alarm.is_elapsed() {
                alarm
                    .as_mut()
                    .reset(Instant::now() + Duration::from_secs(3600));
            }
            self.tell_those_who_wait();
        }
    }

    fn tell_those_who_wait(&mut self) {
        // In both cases whoever asked may have stopped waiting.
        if self.draining && self.calls.is_empty() {
            for drained in self.drained.drain(..) {
                let _ = drained.send(());
            }
        }
        let core = &self.core;
        for (_, served) in self
            .served
            .extract_if(.., |(name, _)| !core.has_waiting(name))
        {
            let _ = served.send(());
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Call(call, answer) => self.call(call, answer),
            Message::Cancel(id) => {
                if let Some(mut flight) = self.calls.remove(&id) {
                    flight.trace.ended = Some((Instant::now(), Ended::Cancelled));
                    self.tally(&flight, Some(Code::Cancelled));
                    self.history.push(flight.trace);
                }
                self.feed(Event::Cancel { call: id }, None);
            }
            Message::Notice(notice) => self.notice(notice),
            // Whoever asked may have stopped waiting; that holds for the three that follow.
            Message::Status(answer) => drop(answer.send(self.status())),
            Message::Why(number, answer) => drop(answer.send(self.why(number))),
            Message::Drain(drained) => {
                self.draining = true;
                self.drained.push(drained);
            }
            Message::Served(program, served) => self.served.push((program, served)),
        }
    }

    fn call(&mut self, call: Box<Call>, answer: oneshot::Sender<Reply>) {
        let id = call.id();
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
            class: call.class,
            key: call.key.as_ref().map(stable_hash),
            seed: id.number,
            deadline: call.deadline.map(|deadline| self.time(deadline)),
            bytes: call.payload.size(),
            avoid: call.avoid.clone(),
            parent: call.parent,
        };
        // Those that were taken before the drain go on: their nested calls, their repetitions.
        let goes_on = call.parent.is_some() || call.attempt > 0;
        self.calls.insert(
            id,
            InFlight {
                call,
                answer: Some(answer),
                idempotent,
                pool: None,
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

    /// Notes what the core found out about a call that it took in.
    fn learn(&mut self, id: CallId) {
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

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Program(program) => self.feed(Event::Program(program), None),
            Notice::Removed { program } => self.feed(Event::Removed { program }, None),
            Notice::Introduced {
                introduction,
                pid,
                slots,
            } => {
                self.workers
                    .insert(introduction.worker, Process { pid, slots });
                self.feed(Event::Introduced(introduction), None);
            }
            Notice::Offered { slot, epoch } => {
                self.feed(Event::Offer { slot, epoch }, None);
            }
            Notice::Withdrawn(withdrawal) => {
                self.feed(Event::Withdraw(withdrawal), None);
                match withdrawal {
                    Withdrawal::Slot(_) => {}
                    Withdrawal::Worker(worker) => self.dismiss(worker),
                    Withdrawal::Node(node) => self.workers.retain(|id, _| id.node != node),
                }
            }
            Notice::Refused { slot, epoch } => {
                self.feed(Event::Refused { slot, epoch }, None);
                self.dismiss(slot.worker);
            }
            Notice::Begun { slot, call, pieces } => self.begun(slot, call, pieces),
            Notice::Ended {
                slot,
                call,
                result,
                offer,
            } => {
                self.feed(Event::Outcome { slot, call }, Some(result));
                self.dismiss(slot.worker);
                if let Some(epoch) = offer {
                    self.feed(Event::Offer { slot, epoch }, None);
                }
            }
            Notice::Lost { slot, call, error } => {
                self.feed(Event::Lost { slot, call }, Some(Err(error)));
                self.dismiss(slot.worker);
            }
        }
    }

    /// Forgets the handle of a worker that the core has forgotten. One that retires still needs to
    /// hear of stops, until its last call has ended.
    fn dismiss(&mut self, worker: WorkerId) {
        if !self.core.knows(worker) {
            self.workers.remove(&worker);
        }
    }

    /// Lets the core decide and carries its commands out, and those that follow from that.
    fn feed(&mut self, event: Event, mut outcome: Outcome) {
        let now = self.time(Instant::now());
        let mut commands = std::mem::take(&mut self.commands);
        self.core.handle(now, event, &mut commands);
        loop {
            for command in commands.drain(..) {
                self.carry_out(command, &mut outcome);
            }
            let Some(event) = self.pending.pop_front() else {
                break;
            };
            self.core.handle(now, event, &mut commands);
        }
        self.commands = commands;
    }

    fn carry_out(&mut self, command: Command, outcome: &mut Outcome) {
        match command {
            Command::Assign { slot, epoch, calls } => self.assign(slot, epoch, &calls),
            Command::Deliver { call } => {
                let result = outcome
                    .take()
                    .expect("the core delivers only what was reported");
                self.answer(call, result.map(Answer::Whole));
            }
            Command::Reject { call, why } => {
                let error = self.explain(why);
                self.answer(call, Err(error));
            }
            Command::Stop { slot, call, why } => {
                if let Some(process) = self.workers.get(&slot.worker) {
                    process.slots.stop(call, why);
                }
            }
        }
    }

    fn assign(&mut self, slot: SlotId, epoch: Epoch, calls: &Calls) {
        let now = Instant::now();
        let mut assigned = Vec::with_capacity(calls.len());
        for id in calls {
            let deadline = self
                .core
                .deadline(*id)
                .map_or(now, |time| self.instant(time));
            self.learn(*id);
            let flight = self
                .calls
                .get_mut(id)
                .expect("a call waits as long as it is in flight");
            let pid = self
                .workers
                .get(&slot.worker)
                .map_or(0, |process| process.pid);
            flight.trace.assigned = Some((
                WorkerName {
                    id: slot.worker,
                    pid,
                },
                now,
            ));
            flight.trace.deadline = Some(deadline);
            assigned.push(Assigned {
                id: *id,
                function: flight.call.function.clone(),
                payload: flight.call.payload.clone(),
                key: flight.call.key.clone(),
                class: flight.call.class,
                deadline,
                depth: flight.call.depth,
            });
        }
        let process = self.workers.get(&slot.worker);
        let assignment = Assignment {
            slot,
            epoch,
            calls: assigned,
        };
        // What is taken is not known to be accepted until the worker answers for it.
        if process.is_none_or(|process| process.slots.assign(assignment).is_err()) {
            self.pending.push_back(Event::Refused { slot, epoch });
        }
    }

    fn begun(&mut self, slot: SlotId, call: CallId, pieces: Pieces) {
        if self.core.slot_of(call) != Some(slot) {
            return;
        }
        let Some(flight) = self.calls.get_mut(&call) else {
            return;
        };
        if let Some(answer) = flight.answer.take() {
            let reply = reply(flight, Ok(Answer::Stream(pieces)));
            // If the caller has left, the pieces are dropped and the worker is told.
            let _ = answer.send(reply);
        }
    }

    /// Answers a call, unless it was answered by a stream, and closes its record.
    fn answer(&mut self, id: CallId, result: Result<Answer, CallError>) {
        let Some(mut flight) = self.calls.remove(&id) else {
            return;
        };
        let (code, ended) = match &result {
            Ok(_) => (None, Ended::Answered),
            Err(error) => (Some(error.code), Ended::failed(error)),
        };
        flight.trace.ended = Some((Instant::now(), ended));
        self.tally(&flight, code);
        if let Some(answer) = flight.answer.take() {
            // If the caller has left, there is nobody to tell.
            let _ = answer.send(reply(&flight, result));
        }
        self.history.push(flight.trace);
    }

    fn tally(&mut self, flight: &InFlight, code: Option<Code>) {
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
        let tally = self.tallies.entry(key).or_default();
        tally.count(code, queued, ran);
    }

    fn explain(&self, why: Rejection) -> CallError {
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
                let pid = self.workers.get(&slot.worker).map(|process| process.pid);
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
            Rejection::Lost { slot } => CallError::new(
                Code::WorkerDied,
                format!("node {} is gone", slot.worker.node.0),
            )
            .with(Detail {
                worker: Some(slot.worker),
                ..Detail::default()
            }),
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

    fn status(&self) -> Status {
        Status {
            pools: self.core.pools().collect(),
            lobby: self.core.lobby_len(),
            starting: self.core.waits_for_programs(),
            calls: self.calls.len(),
            tallies: self
                .tallies
                .iter()
                .map(|((kind, function), tally)| Tally {
                    kind: kind.clone(),
                    function: function.clone(),
                    ..tally.clone()
                })
                .collect(),
        }
    }

    fn why(&self, number: u64) -> Vec<Trace> {
        let mut traces = self.history.find(number);
        let flying = self
            .calls
            .values()
            .filter(|flight| flight.call.number == number);
        traces.extend(flying.map(|flight| flight.trace.clone()));
        traces.sort_by_key(|trace| trace.id);
        traces
    }

    fn time(&self, instant: Instant) -> Time {
        Time::default().after(instant.saturating_duration_since(self.origin))
    }

    fn instant(&self, time: Time) -> Instant {
        let since_origin = time.since(Time::default());
        self.origin
            .checked_add(since_origin)
            .unwrap_or_else(|| Instant::now() + FAR_AWAY)
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
        queued: started.unwrap_or(now) - trace.arrived,
        ran: started.map_or(Duration::ZERO, |started| now - started),
        deadline: trace.deadline,
        idempotent: flight.idempotent,
        result,
    }
}
