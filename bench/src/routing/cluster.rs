//! Katamari's own routing: real pool cores as dispatchers, a real exchange on each manager's node,
//! and in between what the shells do, over links that take their time.

use super::Outcome;
use super::agenda::{Agenda, Nanos};
use super::network::{Delay, Way};
use super::workload::{self, nanos};
use pool::exchange::{Command as Decision, Event as Happening, Exchange, Want};
use pool::{
    Avoid, Call, CallId, Class, Command, Core, Description, Details, Epoch, Event, Function,
    Introduction, Lobby, NodeId, PoolWant, Program, SlotId, Time, Withdrawal, WorkerId,
};
use std::sync::Arc;
use std::time::Duration;
use term::Shape;

/// How often at the most a dispatcher says to managers what it waits for, if nothing else goes
/// there and somebody waited before, too.
const WANTS_INTERVAL_MS: f64 = 0.5;

/// To how many managers it says so: with a thousand nodes nobody tells all.
const WANTS_MANAGERS: usize = 16;

/// Longer than any simulation.
const TIMEOUT: Duration = Duration::from_hours(1_000);

/// The measures of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Nodes with workers.
    pub nodes: usize,
    /// Workers of each.
    pub workers: usize,
    /// Slots of each worker.
    pub slots: u16,
    /// Nodes with dispatchers; none has workers.
    pub dispatchers: usize,
}

/// What can be left out, to see what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    /// A call may wait ahead at a node.
    pub ahead: bool,
    /// Each free slot has a dispatcher that takes it first.
    pub turns: bool,
}

#[derive(Debug, Clone, Copy)]
enum Down {
    Offer(SlotId, Epoch, bool),
    Withdraw(SlotId),
    Refuse(SlotId, Epoch),
    Outcome(SlotId, u64),
    Placed(SlotId, SlotId, Epoch),
}

#[derive(Debug, Clone, Copy)]
enum Up {
    Assign(SlotId, Epoch, u64),
    Release(SlotId, Epoch),
    Want(Want),
}

#[derive(Debug, Clone, Copy)]
enum What {
    Arrives(usize),
    Down(u32, u32, Down),
    Up(u32, u32, Up),
    Ends(SlotId),
    SayWants(usize),
}

struct Dispatcher {
    core: Core,
    want: PoolWant,
    /// Managers that know of the want, and whether what they know is out of date.
    told: Vec<(usize, bool)>,
    /// From where on the next ones are chosen.
    turn: usize,
    is_planned: bool,
    down: Vec<Way>,
    up: Vec<Way>,
}

impl Dispatcher {
    /// Tells the next ones in turn, besides those that know already.
    fn choose_managers(&mut self) {
        let managers = self.up.len();
        for manager in self.turn..self.turn + WANTS_MANAGERS.min(managers) {
            let manager = manager % managers;
            if !self.told.iter().any(|(known, _)| *known == manager) {
                self.told.push((manager, true));
            }
        }
        self.turn = (self.turn + WANTS_MANAGERS) % managers;
    }
}

struct Cluster<'a> {
    calls: &'a [workload::Call],
    now: Nanos,
    agenda: Agenda<What>,
    delay: Delay,
    managers: Vec<Exchange>,
    dispatchers: Vec<Dispatcher>,
    /// Whose call each slot holds, by node, worker and index.
    holds: Vec<(usize, u64)>,
    size: Size,
    /// What waits ahead at each node, and whose it is.
    waits_ahead: Vec<(usize, u64)>,
    details: Arc<Details>,
    shape: Arc<Shape>,
    commands: Vec<Command>,
    decisions: Vec<Decision>,
    outcome: Outcome,
    events: u64,
}

/// Runs the calls, and counts the events that cores and exchanges handled.
pub fn run(calls: &[workload::Call], size: Size, ways: Ways, seed: u64) -> (Outcome, u64) {
    let mut cluster = Cluster::new(calls, size, seed);
    for manager in &mut cluster.managers {
        manager.set_ahead(ways.ahead);
    }
    if ways.turns {
        let of = short(size.dispatchers);
        for (rank, dispatcher) in (0..of).zip(&mut cluster.dispatchers) {
            dispatcher.core.set_turn(rank, of);
        }
    }
    cluster.start();
    // What all are told before the first call is not a matter of calls.
    (cluster.outcome.messages, cluster.outcome.frames) = (0, 0);
    while let Some((now, what)) = cluster.agenda.next() {
        cluster.now = now;
        cluster.happen(what);
    }
    let left: usize = cluster
        .dispatchers
        .iter()
        .map(|at| at.core.calls_len())
        .sum();
    assert_eq!(left, 0, "calls were never answered");
    (cluster.outcome, cluster.events)
}

impl<'a> Cluster<'a> {
    fn new(calls: &'a [workload::Call], size: Size, seed: u64) -> Self {
        let lobby = Lobby {
            timeout: TIMEOUT,
            queue_max: 0,
            queue_bytes_max: 0,
        };
        let dispatcher = |number: usize| Dispatcher {
            core: Core::new(lobby.clone()),
            want: PoolWant {
                pool: 0,
                class: Class::Normal,
                since: Time::default(),
                waiting: 0,
            },
            told: Vec::new(),
            // Spread from the start.
            turn: number * WANTS_MANAGERS,
            is_planned: false,
            down: vec![Way::default(); size.nodes],
            up: vec![Way::default(); size.nodes],
        };
        let slots = size.nodes * size.workers * usize::from(size.slots);
        Self {
            calls,
            now: 0,
            agenda: Agenda::default(),
            delay: Delay::new(seed),
            managers: (0..size.nodes).map(|_| Exchange::default()).collect(),
            dispatchers: (0..size.dispatchers).map(dispatcher).collect(),
            holds: vec![(0, 0); slots],
            size,
            waits_ahead: vec![(0, 0); size.nodes],
            details: Arc::new(Details::of_kind("k")),
            shape: Arc::new(Shape::Positional(0)),
            commands: Vec::new(),
            decisions: Vec::new(),
            outcome: Outcome {
                waits: vec![0; calls.len()],
                messages: 0,
                frames: 0,
            },
            events: 0,
        }
    }

    /// All know all workers, and every slot is free.
    fn start(&mut self) {
        let function = Function {
            name: "f".into(),
            doc: "".into(),
            idempotent: false,
            stream: false,
            input: false,
            parameters: Vec::new(),
            result: pool::Type::Any,
            examples: Vec::new(),
        };
        let description = Arc::new(Description {
            details: Details::of_kind("k"),
            terms: false,
            functions: vec![function],
        });
        let program = Program {
            name: "p".into(),
            weight: 1,
            timeout: TIMEOUT,
            queue_max: usize::MAX,
            queue_bytes_max: usize::MAX,
        };
        for at in 0..self.size.dispatchers {
            self.feed(at, Event::Program(program.clone()));
        }
        let pool = pool::stable_hash(&*description);
        for node in 0..self.size.nodes {
            for at in 0..self.size.dispatchers {
                self.decide(node, Happening::Joined(node_id(at)));
            }
            for number in 1..=self.size.workers {
                let worker = WorkerId {
                    node: node_id(node),
                    number: u32::try_from(number).expect("few"),
                };
                let introduction = Introduction {
                    worker,
                    program: "p".into(),
                    description: description.clone(),
                    slots: self.size.slots,
                    batch_max: 1,
                };
                for at in 0..self.size.dispatchers {
                    self.feed(at, Event::Introduced(introduction.clone()));
                }
                let slots = self.size.slots;
                self.decide(
                    node,
                    Happening::Introduced {
                        worker,
                        pool,
                        slots,
                    },
                );
                for index in 0..slots {
                    let slot = SlotId { worker, index };
                    self.decide(node, Happening::Free { slot });
                }
            }
        }
        if let Some(first) = self.calls.first() {
            self.agenda.plan(first.at, What::Arrives(0));
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrives(index) => {
                if let Some(next) = self.calls.get(index + 1) {
                    self.agenda.plan(next.at, What::Arrives(index + 1));
                }
                let call = self.call(index);
                self.feed(self.calls[index].dispatcher, Event::Call(call));
            }
            What::Ends(slot) => {
                let (at, call) = self.holds[self.place(slot)];
                let node = slot.worker.node.0 as usize;
                self.decide(node, Happening::Ended { slot });
                self.send_down(node, at, Down::Outcome(slot, call));
                self.decide(node, Happening::Free { slot });
            }
            What::Down(node, at, message) => self.hear(node as usize, at as usize, message),
            What::Up(node, at, message) => self.answer(node as usize, at as usize, message),
            What::SayWants(at) => {
                self.dispatchers[at].is_planned = false;
                self.say_wants(at, |_| true);
            }
        }
    }

    fn call(&self, index: usize) -> Call {
        Call {
            id: id(index as u64),
            details: self.details.clone(),
            function: "f".into(),
            shape: self.shape.clone(),
            json: None,
            input: false,
            class: Class::Normal,
            key: None,
            seed: index as u64,
            deadline: None,
            bytes: 1,
            only: None,
            avoid: Avoid::default(),
            parent: None,
        }
    }

    /// A message of a manager reaches a dispatcher.
    fn hear(&mut self, node: usize, at: usize, message: Down) {
        match message {
            Down::Outcome(slot, call) => {
                let call = id(call);
                self.feed(at, Event::Outcome { slot, call });
            }
            Down::Placed(from, slot, epoch) => self.feed(at, Event::Placed { from, slot, epoch }),
            Down::Withdraw(slot) => self.feed(at, Event::Withdraw(Withdrawal::Slot(slot))),
            Down::Refuse(slot, epoch) => self.feed(at, Event::Refused { slot, epoch }),
            Down::Offer(slot, epoch, sole) => {
                self.feed(at, Event::Offer { slot, epoch });
                if sole && self.dispatchers[at].core.is_free(slot) {
                    self.feed(at, Event::Withdraw(Withdrawal::Slot(slot)));
                    self.say_wants(at, |manager| manager == node);
                    self.send_up(node, at, Up::Release(slot, epoch));
                }
            }
        }
    }

    /// A message of a dispatcher reaches a manager.
    fn answer(&mut self, node: usize, at: usize, message: Up) {
        let dispatcher = node_id(at);
        match message {
            Up::Want(want) => self.decide(node, Happening::Want { dispatcher, want }),
            Up::Release(slot, epoch) => {
                let event = Happening::Release {
                    dispatcher,
                    slot,
                    epoch,
                };
                self.decide(node, event);
            }
            Up::Assign(slot, epoch, call) => {
                let event = Happening::Assign {
                    dispatcher,
                    slot,
                    epoch,
                };
                if slot.is_ahead() {
                    self.waits_ahead[node] = (at, call);
                    self.decide(node, event);
                    return;
                }
                // What is taken is taken in this event.
                let place = self.place(slot);
                let before = std::mem::replace(&mut self.holds[place], (at, call));
                if !self.decide_taken(node, event) {
                    self.holds[place] = before;
                }
            }
        }
    }

    fn feed(&mut self, at: usize, event: Event) {
        self.events += 1;
        let mut commands = std::mem::take(&mut self.commands);
        let time = Time(self.now / 1_000);
        self.dispatchers[at].core.handle(time, event, &mut commands);
        for command in commands.drain(..) {
            match command {
                Command::Assign { slot, epoch, calls } => {
                    let node = slot.worker.node.0 as usize;
                    self.send_up(node, at, Up::Assign(slot, epoch, calls[0].number));
                }
                Command::Deliver { .. } => {}
                Command::Reject { .. } | Command::Stop { .. } => {
                    unreachable!("queues and deadlines have no bounds here: {command:?}")
                }
            }
        }
        self.commands = commands;
        self.look_at_wants(at);
    }

    /// Says at once that somebody waits; what changes then goes along with other messages, or
    /// waits for its time.
    fn look_at_wants(&mut self, at: usize) {
        let mut wants = Vec::new();
        let dispatcher = &mut self.dispatchers[at];
        dispatcher.core.take_wants(&mut wants);
        let Some(want) = wants.pop() else {
            return;
        };
        let waited = dispatcher.want.waiting > 0;
        dispatcher.want = want;
        if !waited && want.waiting > 0 {
            dispatcher.choose_managers();
        }
        for (_, stale) in &mut dispatcher.told {
            *stale = true;
        }
        if !waited {
            self.say_wants(at, |_| true);
            return;
        }
        let now = self.now;
        let used: Vec<bool> = dispatcher.up.iter().map(|way| way.is_used(now)).collect();
        self.say_wants(at, |manager| used[manager]);
        let dispatcher = &mut self.dispatchers[at];
        if !dispatcher.is_planned && dispatcher.told.iter().any(|(_, stale)| *stale) {
            dispatcher.is_planned = true;
            let then = self.now + nanos(WANTS_INTERVAL_MS);
            self.agenda.plan(then, What::SayWants(at));
        }
    }

    fn say_wants(&mut self, at: usize, to: impl Fn(usize) -> bool) {
        let dispatcher = &mut self.dispatchers[at];
        let want = Want {
            pool: dispatcher.want.pool,
            class: dispatcher.want.class,
            age: Time(self.now / 1_000).since(dispatcher.want.since),
            waiting: dispatcher.want.waiting,
        };
        let mut told = std::mem::take(&mut dispatcher.told);
        told.retain_mut(|(manager, stale)| {
            if *stale && to(*manager) {
                *stale = false;
                self.send_up(*manager, at, Up::Want(want));
            }
            *stale || want.waiting > 0
        });
        self.dispatchers[at].told = told;
    }

    fn decide(&mut self, node: usize, event: Happening) {
        self.decide_taken(node, event);
    }

    /// Something happens to an exchange. True if an assignment was taken.
    fn decide_taken(&mut self, node: usize, event: Happening) -> bool {
        self.events += 1;
        let mut decisions = std::mem::take(&mut self.decisions);
        let time = Time(self.now / 1_000);
        self.managers[node].handle(time, event, &mut decisions);
        let mut taken = false;
        for decision in decisions.drain(..) {
            match decision {
                Decision::Offer {
                    dispatcher,
                    slot,
                    epoch,
                    sole,
                } => self.send_down(node, number(dispatcher), Down::Offer(slot, epoch, sole)),
                Decision::Withdraw { dispatcher, slot } => {
                    self.send_down(node, number(dispatcher), Down::Withdraw(slot));
                }
                Decision::Refuse {
                    dispatcher,
                    slot,
                    epoch,
                } => self.send_down(node, number(dispatcher), Down::Refuse(slot, epoch)),
                Decision::Place {
                    dispatcher,
                    from,
                    slot,
                    epoch,
                } => {
                    let place = self.place(slot);
                    self.holds[place] = self.waits_ahead[node];
                    self.begin(slot);
                    self.send_down(node, number(dispatcher), Down::Placed(from, slot, epoch));
                }
                Decision::Take { slot, .. } => {
                    taken = true;
                    self.begin(slot);
                }
                // All are introduced at the start, and nobody leaves.
                Decision::Introduce { .. } | Decision::Retire { .. } => {}
                Decision::Abandoned { .. } => unreachable!("nobody leaves"),
            }
        }
        self.decisions = decisions;
        taken
    }

    /// The worker begins what the slot holds.
    fn begin(&mut self, slot: SlotId) {
        let index = self.holds[self.place(slot)].1 as usize;
        let call = &self.calls[index];
        self.outcome.waits[index] = self.now - call.at;
        self.agenda.plan(self.now + call.run, What::Ends(slot));
    }

    fn send_down(&mut self, node: usize, at: usize, message: Down) {
        let (then, is_frame) = self.dispatchers[at].down[node].send(self.now, &mut self.delay);
        self.count(is_frame);
        let what = What::Down(short(node), short(at), message);
        self.agenda.plan(then, what);
    }

    fn send_up(&mut self, node: usize, at: usize, message: Up) {
        let (then, is_frame) = self.dispatchers[at].up[node].send(self.now, &mut self.delay);
        self.count(is_frame);
        self.agenda
            .plan(then, What::Up(short(node), short(at), message));
    }

    fn count(&mut self, is_frame: bool) {
        self.outcome.messages += 1;
        self.outcome.frames += u64::from(is_frame);
    }

    fn place(&self, slot: SlotId) -> usize {
        let worker =
            slot.worker.node.0 as usize * self.size.workers + slot.worker.number as usize - 1;
        worker * usize::from(self.size.slots) + usize::from(slot.index)
    }
}

fn id(number: u64) -> CallId {
    CallId { number, attempt: 0 }
}

fn short(number: usize) -> u32 {
    u32::try_from(number).expect("a thousand nodes at the most")
}

fn node_id(number: usize) -> NodeId {
    NodeId(short(number))
}

fn number(node: NodeId) -> usize {
    node.0 as usize
}
