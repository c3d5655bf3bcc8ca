//! The loop: receives, lets the core decide, carries out.
//!
//! It owns the core and everything that belongs to a call in flight: its arguments, and the way its
//! answer goes. Handing the answer's sender to the worker's task instead would save a hop, but then
//! a call could be answered from two sides at once; here the core's one `Deliver` or `Reject` is
//! the only way to an answer.

use crate::call::Answer;
use crate::dispatcher::{Message, Status};
use crate::error::CallError;
use crate::far::{Far, Peer};
use crate::flight::{InFlight, Origin};
use crate::history::{History, Trace};
use crate::near::{Kept, Lent, Near};
use crate::peer::message as peer;
use crate::slots::Assigned;
use crate::tally::Tally;
use pool::exchange::{self, Exchange};
use pool::{
    CallId, Calls, Command, Core, Epoch, Event, Lobby, NodeId, PoolWant, Program, SlotId, Time,
    Withdrawal, WorkerId,
};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use term::Payload;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wire::{MeshEvent, MeshEvents};

/// Messages taken at a time, before timers get their turn.
const MESSAGES_AT_ONCE: usize = 256;

/// In place of a moment that clocks do not reach.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// The loop of one node. `near` has what it does for the workers here, `far` what it does with other
/// nodes, `flight` the way of a call.
pub struct Loop {
    pub(crate) here: NodeId,
    pub(crate) core: Core,
    /// Whose the slots of this node's workers are.
    pub(crate) exchange: Exchange,
    messages: mpsc::UnboundedReceiver<Message>,
    links: Option<MeshEvents>,
    /// Whether calls come in here, so that the slots of other nodes are of interest.
    pub(crate) dispatches: bool,
    origin: Instant,
    /// Kept between events for its memory, as the two that follow.
    commands: Vec<Command>,
    pub(crate) trades: Vec<exchange::Command>,
    wants: Vec<PoolWant>,
    /// What follows from carrying out commands.
    pub(crate) pending: VecDeque<Step>,
    pub(crate) calls: FxHashMap<CallId, InFlight>,
    /// Calls of other nodes that workers here hold.
    pub(crate) lent: FxHashMap<CallId, Lent>,
    /// Calls that wait here for whichever slot of their pool becomes free next.
    pub(crate) ahead: FxHashMap<SlotId, Kept>,
    /// Counts the managers that were told of queues.
    pub(crate) told: usize,
    /// The workers of this node.
    pub(crate) near: BTreeMap<WorkerId, Near>,
    /// The pools of workers here that read inputs, by what nodes call them that know of none.
    pub(crate) pools_of_older: BTreeMap<u64, u64>,
    /// The workers of other nodes.
    pub(crate) far: BTreeMap<WorkerId, Far>,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    /// What nodes are called, also those that are gone.
    pub(crate) names: BTreeMap<NodeId, Arc<str>>,
    /// As configured.
    pub(crate) programs: BTreeMap<Arc<str>, Program>,
    /// Known from workers only: their configuration is on its way, or they are about to end.
    pub(crate) unconfigured: BTreeSet<Arc<str>>,
    pub(crate) history: History,
    pub(crate) tallies: BTreeMap<(Arc<str>, Arc<str>), Tally>,
    drained: Vec<oneshot::Sender<()>>,
    served: Vec<(Arc<str>, oneshot::Sender<()>)>,
    pub(crate) draining: bool,
}

/// What is still to be done after an event.
#[derive(Debug)]
pub(crate) enum Step {
    /// The core is to know.
    Core(Event),
    /// The exchange is to know.
    Trade(exchange::Event),
    /// A slot is offered to this node's core.
    Offer {
        slot: SlotId,
        epoch: Epoch,
        /// To nobody else: if it is not taken up it goes back.
        sole: bool,
    },
}

/// What came with the notice that is being handled, for the `Deliver` that follows from it.
type Outcome = Option<Result<Payload, CallError>>;

impl Loop {
    pub(crate) fn new(
        here: NodeId,
        lobby: Lobby,
        messages: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let mut exchange = Exchange::default();
        let joined = exchange::Event::Joined(here);
        exchange.handle(Time::default(), joined, &mut Vec::new());
        Self {
            here,
            core: Core::new(lobby),
            exchange,
            messages,
            links: None,
            dispatches: false,
            origin: Instant::now(),
            commands: Vec::new(),
            trades: Vec::new(),
            wants: Vec::new(),
            pending: VecDeque::new(),
            calls: FxHashMap::default(),
            lent: FxHashMap::default(),
            ahead: FxHashMap::default(),
            told: 0,
            near: BTreeMap::new(),
            pools_of_older: BTreeMap::new(),
            far: BTreeMap::new(),
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            programs: BTreeMap::new(),
            unconfigured: BTreeSet::new(),
            history: History::default(),
            tallies: BTreeMap::new(),
            drained: Vec::new(),
            served: Vec::new(),
            draining: false,
        }
    }

    /// The same loop, in a cluster. With `dispatches`, calls that come in here may run on other
    /// nodes; without, only calls of others run here.
    #[must_use]
    pub fn linked(mut self, links: MeshEvents, dispatches: bool) -> Self {
        self.links = Some(links);
        self.dispatches = dispatches;
        self
    }

    /// Runs until every handle is dropped.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(MESSAGES_AT_ONCE);
        let mut events = Vec::with_capacity(MESSAGES_AT_ONCE);
        let mut links = self.links.take();
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
                () = received(&mut links, &mut events) => {
                    for event in events.drain(..) {
                        self.mesh(event);
                    }
                }
                () = &mut alarm => {
                    self.feed(Event::Tick, None);
                    self.trade(exchange::Event::Tick);
                }
            }
            self.say_wants();
            let next = [self.core.next_deadline(), self.exchange.next_deadline()];
            let next = next
                .into_iter()
                .flatten()
                .min()
                .map(|time| self.instant(time));
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
        let (core, exchange, near) = (&self.core, &self.exchange, &self.near);
        let is_served = |name: &Arc<str>| {
            let mut pools = near.values().filter_map(|near| near.feeds(name));
            !core.has_waiting(name) && !pools.any(|pool| exchange.is_wanted(pool))
        };
        for (_, served) in self.served.extract_if(.., |(name, _)| is_served(name)) {
            let _ = served.send(());
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Call(call, answer) => {
                let parent = call.parent.and_then(|id| Some((id, self.lent.get(&id)?)));
                match parent.map(|(id, lent)| (id, lent.dispatcher)) {
                    Some((id, node)) => self.send_nested(node, id, &call, answer),
                    None => self.call(call, Origin::Caller(answer)),
                }
            }
            Message::Cancel(id) => {
                if self.calls.contains_key(&id) || !self.cancel_nested(id) {
                    self.cancel(id);
                }
            }
            Message::Notice(notice) => self.notice(notice),
            // Whoever asked may have stopped waiting; that holds for the three that follow.
            Message::Status(answer) => drop(answer.send(self.status())),
            Message::Why(number, answer) => drop(answer.send(self.why(number))),
            Message::Drain(drained) => {
                self.draining = true;
                self.drained.push(drained);
            }
            Message::Served(program, served) => {
                if self.unconfigured.remove(&program) {
                    let program = program.clone();
                    self.feed(Event::Removed { program }, None);
                }
                self.served.push((program, served));
            }
        }
    }

    /// Lets the core decide and carries its commands out, and what follows from that.
    pub(crate) fn feed(&mut self, event: Event, outcome: Outcome) {
        self.decide(event, outcome);
        self.carry_on();
    }

    /// Lets the exchange decide and carries its commands out, and what follows from that.
    pub(crate) fn trade(&mut self, event: exchange::Event) {
        self.pending.push_back(Step::Trade(event));
        self.carry_on();
    }

    /// Does what is still to be done, until nothing is.
    pub(crate) fn carry_on(&mut self) {
        while let Some(step) = self.pending.pop_front() {
            match step {
                Step::Core(event) => self.decide(event, None),
                Step::Trade(event) => self.bargain(event),
                Step::Offer { slot, epoch, sole } => self.consider(slot, epoch, sole),
            }
        }
    }

    fn decide(&mut self, event: Event, mut outcome: Outcome) {
        let now = self.now();
        let mut commands = std::mem::take(&mut self.commands);
        self.core.handle(now, event, &mut commands);
        for command in commands.drain(..) {
            self.carry_out(command, &mut outcome);
        }
        self.commands = commands;
    }

    fn bargain(&mut self, event: exchange::Event) {
        let now = self.now();
        let mut commands = std::mem::take(&mut self.trades);
        self.exchange.handle(now, event, &mut commands);
        for command in commands.drain(..) {
            self.settle(command);
        }
        self.trades = commands;
    }

    /// Takes an offer to the core, and gives it back if nobody waits for it and nobody else has it.
    fn consider(&mut self, slot: SlotId, epoch: Epoch, sole: bool) {
        self.decide(Event::Offer { slot, epoch }, None);
        if !sole || !self.core.is_free(slot) {
            return;
        }
        self.decide(Event::Withdraw(Withdrawal::Slot(slot)), None);
        // What waits has been told before, so that the slot does not come back in vain.
        self.say_wants();
        if slot.worker.node == self.here {
            let dispatcher = self.here;
            self.pending
                .push_back(Step::Trade(exchange::Event::Release {
                    dispatcher,
                    slot,
                    epoch,
                }));
        } else {
            self.say_to(slot.worker.node, peer::ToManager::Release { slot, epoch });
        }
    }

    /// Tells those who have slots of them of the queues that changed.
    fn say_wants(&mut self) {
        let mut wants = std::mem::take(&mut self.wants);
        self.core.take_wants(&mut wants);
        for want in wants.drain(..) {
            self.say_want(&want);
        }
        self.wants = wants;
        self.carry_on();
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
            Command::Stop { slot, call, why } if slot.worker.node == self.here => {
                self.stop_near(slot, call, why);
            }
            Command::Stop { slot, call, why } => {
                self.say_to(slot.worker.node, peer::ToManager::Stop { call, why });
            }
        }
    }

    fn assign(&mut self, slot: SlotId, epoch: Epoch, calls: &Calls) {
        let now = Instant::now();
        self.placed(slot, calls);
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
            flight.trace.deadline = Some(deadline);
            assigned.push(Assigned {
                id: *id,
                function: flight.call.function.clone(),
                payload: flight.call.payload.clone(),
                input: flight.call.input.clone(),
                key: flight.call.key.clone(),
                class: flight.call.class,
                deadline,
                depth: flight.call.depth,
            });
        }
        // What is taken is not known to be accepted until the worker answers for it.
        if slot.worker.node == self.here {
            self.take_up(self.here, slot, epoch, assigned);
        } else {
            self.assign_far(slot, epoch, &assigned);
        }
    }

    /// The process of a worker, near or far.
    pub(crate) fn pid_of(&self, worker: WorkerId) -> Option<u32> {
        if worker.node == self.here {
            self.near.get(&worker).map(|near| near.pid)
        } else {
            self.far.get(&worker).map(|far| far.pid)
        }
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

    pub(crate) fn now(&self) -> Time {
        self.time(Instant::now())
    }

    pub(crate) fn time(&self, instant: Instant) -> Time {
        Time::default().after(instant.saturating_duration_since(self.origin))
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        let since_origin = time.since(Time::default());
        self.origin
            .checked_add(since_origin)
            .unwrap_or_else(|| Instant::now() + FAR_AWAY)
    }
}

/// Ready with what came over links; never, where there are none, or once the mesh has ended: then
/// the node stops.
async fn received(links: &mut Option<MeshEvents>, events: &mut Vec<MeshEvent>) {
    if let Some(links) = links
        && links.recv_many(events, MESSAGES_AT_ONCE).await > 0
    {
        return;
    }
    std::future::pending::<()>().await;
}
