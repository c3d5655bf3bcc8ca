//! Nodes with exchanges and dispatchers with real cores, joined by links that keep the order of
//! what passes over one, and no order between two. What the shells of both sides are to do stands
//! here in its shortest form.

mod manager;

use pool::exchange::{Event as Happening, Exchange, Standing, Want};
use pool::{
    Avoid, Call, CallId, Calls, Class, Command, Core, Description, Details, Epoch, Event, Function,
    Introduction, Lobby, NodeId, Program, Rejection, SlotId, Time, Withdrawal, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use term::Shape;

#[derive(Debug)]
enum Down {
    Introduce(WorkerId),
    Retire(WorkerId),
    Offer(SlotId, Epoch, bool),
    Withdraw(SlotId),
    Refuse(SlotId, Epoch),
    Outcome(SlotId, Calls),
    Placed(SlotId, SlotId, Epoch),
}

#[derive(Debug)]
enum Up {
    Assign(SlotId, Epoch, Calls),
    Release(SlotId, Epoch),
    Want(Want),
}

#[derive(Default)]
struct Link {
    down: VecDeque<Down>,
    up: VecDeque<Up>,
}

#[derive(Default)]
struct Node {
    exchange: Exchange,
    workers: u32,
    /// What the workers hold, and whose it is.
    running: BTreeMap<SlotId, (Option<usize>, Calls)>,
    /// What waits ahead, and whose it is.
    ahead: BTreeMap<SlotId, (usize, Epoch, Calls)>,
    /// Assignments on their way here, or waiting ahead.
    coming: BTreeSet<(usize, SlotId, Epoch)>,
}

pub struct Network {
    now: Time,
    nodes: Vec<Node>,
    /// None while it is away.
    dispatchers: Vec<Option<Core>>,
    /// Of each node with each dispatcher.
    links: Vec<Vec<Link>>,
    /// For each message on its way the link, and whether it goes to the dispatcher.
    in_flight: Vec<(usize, usize, bool)>,
    description: Arc<Description>,
    details: Arc<Details>,
    pool: u64,
    slots: u16,
    calls: u64,
    started: BTreeSet<CallId>,
    waits: BTreeMap<CallId, usize>,
    /// Messages, events and commands so far.
    pub events: u64,
    pub delivered: u64,
    pub refused: u64,
    pub placed: u64,
    /// Whether everything is looked through after each event.
    checks: bool,
}

/// The element at `pick`, round and round.
fn pick<T: Copy>(all: &[T], pick: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[pick % all.len()])
}

impl Network {
    /// Nodes with workers of so many slots, all free, and dispatchers.
    pub fn new(nodes: usize, workers: u32, slots: u16, dispatchers: usize, checks: bool) -> Self {
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
        let node = || {
            let mut node = Node::default();
            node.exchange.set_ahead(true);
            node
        };
        let row = |_| (0..dispatchers).map(|_| Link::default()).collect();
        let links = (0..nodes).map(row);
        let mut network = Self {
            now: Time::default(),
            nodes: (0..nodes).map(|_| node()).collect(),
            dispatchers: (0..dispatchers).map(|_| None).collect(),
            links: links.collect(),
            in_flight: Vec::new(),
            pool: pool::stable_hash(&*description),
            details: Arc::new(Details::of_kind("k")),
            description,
            slots,
            calls: 0,
            started: BTreeSet::new(),
            waits: BTreeMap::new(),
            events: 0,
            delivered: 0,
            refused: 0,
            placed: 0,
            checks,
        };
        (0..dispatchers).for_each(|dispatcher| network.toggle(dispatcher));
        for node in 0..nodes {
            (0..workers).for_each(|_| network.add_worker(node));
        }
        network
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// A dispatcher leaves, or comes back with nothing in its memory.
    pub fn toggle(&mut self, pick: usize) {
        let at = pick % self.dispatchers.len();
        let id = NodeId(u32::try_from(at).expect("few"));
        if self.dispatchers[at].take().is_some() {
            self.waits.retain(|_, of| *of != at);
            for node in 0..self.nodes.len() {
                self.links[node][at] = Link::default();
                self.in_flight.retain(|(_, of, _)| *of != at);
                self.nodes[node].coming.retain(|(of, ..)| *of != at);
                self.decide(node, Happening::Left(id), Calls::new());
            }
            return;
        }
        let lobby = Lobby {
            timeout: Duration::from_secs(5),
            queue_max: 10,
            queue_bytes_max: 1_000,
        };
        let mut core = Core::new(lobby);
        let of = u32::try_from(self.dispatchers.len()).expect("few");
        core.set_turn(id.0, of);
        self.dispatchers[at] = Some(core);
        let program = Program {
            name: "p".into(),
            weight: 1,
            timeout: Duration::from_secs(3_600),
            queue_max: 100_000,
            queue_bytes_max: usize::MAX,
        };
        self.feed(at, Event::Program(program));
        for node in 0..self.nodes.len() {
            self.decide(node, Happening::Joined(id), Calls::new());
        }
    }

    pub fn add_worker(&mut self, pick: usize) {
        let node = pick % self.nodes.len();
        self.nodes[node].workers += 1;
        let worker = WorkerId {
            node: NodeId(u32::try_from(node).expect("few")),
            number: self.nodes[node].workers,
        };
        let (pool, slots) = (self.pool, self.slots);
        let introduced = Happening::Introduced {
            worker,
            pool,
            slots,
        };
        self.decide(node, introduced, Calls::new());
        for index in 0..slots {
            let slot = SlotId { worker, index };
            self.decide(node, Happening::Free { slot }, Calls::new());
        }
    }

    pub fn withdraw_worker(&mut self, pick: usize, number: u32) {
        let node = pick % self.nodes.len();
        let worker = WorkerId {
            node: NodeId(u32::try_from(node).expect("few")),
            number: 1 + number % self.nodes[node].workers,
        };
        self.decide(node, Happening::Withdrawn(worker), Calls::new());
    }

    /// A call that may avoid the workers of one number.
    pub fn call(&mut self, pick: usize, class: Class, avoid: Option<u32>) {
        let at = pick % self.dispatchers.len();
        if self.dispatchers[at].is_none() {
            return;
        }
        self.calls += 1;
        let id = CallId {
            number: self.calls,
            attempt: 0,
        };
        let nodes = 0..u32::try_from(self.nodes.len()).expect("few");
        let avoided = |number| {
            let worker = move |node| WorkerId {
                node: NodeId(node),
                number,
            };
            nodes.clone().map(worker)
        };
        let avoid = Avoid {
            workers: avoid.into_iter().flat_map(avoided).collect(),
            ..Avoid::default()
        };
        let call = Call {
            id,
            details: self.details.clone(),
            function: "f".into(),
            shape: Arc::new(Shape::Positional(0)),
            json: None,
            input: false,
            class,
            key: None,
            seed: self.calls,
            deadline: None,
            bytes: 1,
            avoid,
            only: None,
            parent: None,
        };
        self.waits.insert(id, at);
        self.feed(at, Event::Call(call));
    }

    pub fn cancel(&mut self, at: usize) {
        if let Some((&call, &of)) = self.waits.iter().nth(at % self.waits.len().max(1)) {
            self.waits.remove(&call);
            self.feed(of, Event::Cancel { call });
        }
    }

    /// One message arrives, of any link the oldest.
    pub fn deliver(&mut self, pick: usize) -> bool {
        if self.in_flight.is_empty() {
            return false;
        }
        let pick = pick % self.in_flight.len();
        let (node, at, is_down) = self.in_flight.swap_remove(pick);
        let link = &mut self.links[node][at];
        if is_down {
            let message = link.down.pop_front().expect("counted");
            self.receive(node, at, message);
        } else {
            let message = link.up.pop_front().expect("counted");
            self.receive_up(node, at, message);
        }
        true
    }

    /// A worker ends what it holds, or declines it.
    pub fn end(&mut self, at: usize, declines: bool) -> bool {
        let node = at % self.nodes.len();
        let running: Vec<SlotId> = self.nodes[node].running.keys().copied().collect();
        let Some(slot) = pick(&running, at / self.nodes.len()) else {
            return false;
        };
        let (holder, calls) = self.nodes[node].running.remove(&slot).expect("listed");
        if declines {
            calls.iter().for_each(|call| _ = self.started.remove(call));
            self.decide(node, Happening::Declined { slot }, Calls::new());
        } else {
            self.decide(node, Happening::Ended { slot }, Calls::new());
            if let Some(at) = holder {
                self.send(node, at, Down::Outcome(slot, calls));
            }
        }
        self.decide(node, Happening::Free { slot }, Calls::new());
        true
    }

    /// A dispatcher says what it waits for.
    pub fn say_wants(&mut self, pick: usize) {
        let at = pick % self.dispatchers.len();
        let mut wants = Vec::new();
        if let Some(core) = &mut self.dispatchers[at] {
            core.take_wants(&mut wants);
        }
        for want in wants {
            let want = Want {
                pool: want.pool,
                class: want.class,
                age: self.now.since(want.since),
                waiting: want.waiting,
            };
            (0..self.nodes.len()).for_each(|node| self.send_up(node, at, Up::Want(want)));
        }
    }

    fn send(&mut self, node: usize, at: usize, message: Down) {
        self.links[node][at].down.push_back(message);
        self.in_flight.push((node, at, true));
    }

    fn send_up(&mut self, node: usize, at: usize, message: Up) {
        self.links[node][at].up.push_back(message);
        self.in_flight.push((node, at, false));
    }

    fn receive(&mut self, node: usize, at: usize, message: Down) {
        match message {
            Down::Introduce(worker) => self.feed_quietly(
                at,
                Event::Introduced(Introduction {
                    worker,
                    program: "p".into(),
                    description: self.description.clone(),
                    slots: self.slots,
                    batch_max: 1,
                }),
            ),
            Down::Retire(worker) => {
                self.feed_quietly(at, Event::Withdraw(Withdrawal::Worker(worker)));
            }
            Down::Withdraw(slot) => self.feed_quietly(at, Event::Withdraw(Withdrawal::Slot(slot))),
            Down::Placed(from, slot, epoch) => {
                self.feed_quietly(at, Event::Placed { from, slot, epoch });
            }
            Down::Refuse(slot, epoch) => self.feed_quietly(at, Event::Refused { slot, epoch }),
            Down::Outcome(slot, calls) => {
                for call in calls {
                    self.feed(at, Event::Outcome { slot, call });
                }
            }
            Down::Offer(slot, epoch, sole) => {
                let commands = self.feed(at, Event::Offer { slot, epoch });
                let taken = commands.iter().any(|command| {
                    matches!(command, Command::Assign { slot: to, epoch: of, .. }
                        if *to == slot && *of == epoch)
                });
                if sole && !taken {
                    self.feed(at, Event::Withdraw(Withdrawal::Slot(slot)));
                    self.say_wants(at);
                    self.send_up(node, at, Up::Release(slot, epoch));
                }
            }
        }
    }

    fn feed_quietly(&mut self, at: usize, event: Event) {
        self.feed(at, event);
    }

    /// Something happens to a dispatcher.
    fn feed(&mut self, at: usize, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        let core = self.dispatchers[at].as_mut().expect("it is there");
        core.handle(self.now, event, &mut commands);
        if self.checks {
            core.assert_invariants();
        }
        self.events += 1;
        for command in &commands {
            match command {
                Command::Assign { slot, epoch, calls } => {
                    let node = slot.worker.node.0 as usize;
                    let is_new = self.nodes[node].coming.insert((at, *slot, *epoch));
                    assert!(is_new, "one offer is taken up twice");
                    self.send_up(node, at, Up::Assign(*slot, *epoch, calls.clone()));
                }
                Command::Deliver { call } => {
                    self.delivered += 1;
                    let awaited = self.waits.remove(call).is_some();
                    assert!(awaited, "{call} is answered twice");
                }
                // All workers may be gone, or all that are left avoided.
                Command::Reject { call, why } => {
                    assert!(
                        !matches!(why, Rejection::Lost { .. }),
                        "{call} is lost and no node is"
                    );
                    self.waits.remove(call);
                }
                Command::Stop { .. } => {}
            }
        }
        commands
    }

    /// All messages arrive, all workers end what they hold, until nothing happens any more. Then
    /// every call is answered, and every free slot is on offer to all.
    pub fn come_to_rest(&mut self) {
        for at in 0..self.dispatchers.len() {
            if self.dispatchers[at].is_none() {
                self.toggle(at);
            }
        }
        (0..self.nodes.len()).for_each(|node| self.add_worker(node));
        loop {
            while self.deliver(0) {}
            (0..self.dispatchers.len()).for_each(|at| self.say_wants(at));
            let mut moved = !self.in_flight.is_empty();
            for node in 0..self.nodes.len() {
                while self.end(node, false) {
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        assert_eq!(self.waits.len(), 0, "calls wait while slots are free");
        for node in &self.nodes {
            assert!(node.coming.is_empty() && node.ahead.is_empty());
            let lost = node
                .exchange
                .slots()
                .find(|(_, is)| *is != Standing::Shared);
            assert_eq!(lost, None, "free and on offer to nobody");
        }
    }
}
