//! How the tests write events down: a [`Script`] feeds them to a core, one at a time, and gives back
//! what the core commands. The invariants are asserted after each.
//!
//! `call(1)`, `program("p")` and `worker(1)` are plain ones that fit each other; a test changes
//! what it is about: `Call { class: Class::High, ..call(1) }`.

use pool::{
    Avoid, Call, CallId, Class, Command, Core, Description, Details, Epoch, Event, Function,
    Introduction, Lobby, NodeId, Parameter, Program, Rejection, SlotId, StopReason, Time,
    Withdrawal, WorkerId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use term::Shape;

/// How long a program of these tests lets a call wait and run.
pub const TIMEOUT_MS: u64 = 10_000;

/// How long calls wait in the lobby of these tests.
pub const LOBBY_TIMEOUT_MS: u64 = 5_000;

/// How many calls, and bytes of them, the lobby of these tests holds.
pub const LOBBY_MAX: usize = 3;
pub const LOBBY_BYTES_MAX: usize = 1_000;

/// A core, the time, and the epochs that its manager has counted.
pub struct Script {
    pub core: Core,
    now: Time,
    epochs: BTreeMap<SlotId, u64>,
}

impl Script {
    /// Nothing is configured.
    pub fn new() -> Self {
        let lobby = Lobby {
            timeout: Duration::from_millis(LOBBY_TIMEOUT_MS),
            queue_max: LOBBY_MAX,
            queue_bytes_max: LOBBY_BYTES_MAX,
        };
        Self {
            core: Core::new(lobby),
            now: Time::default(),
            epochs: BTreeMap::new(),
        }
    }

    /// Program `p` is configured and worker 1 is introduced, with so many slots. None is on offer.
    pub fn with_worker(slots: u16) -> Self {
        let mut script = Self::new();
        script.program(program("p"));
        script.introduce(Introduction { slots, ..worker(1) });
        script
    }

    /// The events that follow happen so many milliseconds after the start.
    pub fn at(&mut self, ms: u64) -> &mut Self {
        self.now = time(ms);
        self
    }

    pub fn feed(&mut self, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        self.core.handle(self.now, event, &mut commands);
        self.core.assert_invariants();
        commands
    }

    pub fn program(&mut self, program: Program) -> Vec<Command> {
        self.feed(Event::Program(program))
    }

    pub fn removed(&mut self, program: &str) -> Vec<Command> {
        self.feed(Event::Removed {
            program: program.into(),
        })
    }

    pub fn introduce(&mut self, introduction: Introduction) -> Vec<Command> {
        self.feed(Event::Introduced(introduction))
    }

    /// Offers a slot with its next epoch; the first is 1.
    pub fn offer(&mut self, slot: SlotId) -> Vec<Command> {
        let epoch = self.epochs.entry(slot).or_default();
        *epoch += 1;
        let epoch = *epoch;
        self.offer_epoch(slot, epoch)
    }

    pub fn offer_epoch(&mut self, slot: SlotId, epoch: u64) -> Vec<Command> {
        self.feed(Event::Offer {
            slot,
            epoch: Epoch(epoch),
        })
    }

    pub fn call(&mut self, call: Call) -> Vec<Command> {
        self.feed(Event::Call(call))
    }

    /// Makes a call that has to wait.
    pub fn call_waits(&mut self, call: Call) {
        let id = call.id;
        assert_eq!(self.call(call), [], "{id} should wait");
        assert_eq!(self.core.slot_of(id), None);
    }

    pub fn cancel(&mut self, number: u64) -> Vec<Command> {
        self.feed(Event::Cancel { call: id(number) })
    }

    pub fn accept(&mut self, slot: SlotId, epoch: u64) -> Vec<Command> {
        self.feed(Event::Accepted {
            slot,
            epoch: Epoch(epoch),
        })
    }

    pub fn refuse(&mut self, slot: SlotId, epoch: u64) -> Vec<Command> {
        self.feed(Event::Refused {
            slot,
            epoch: Epoch(epoch),
        })
    }

    pub fn placed(&mut self, from: SlotId, slot: SlotId, epoch: u64) -> Vec<Command> {
        let epoch = Epoch(epoch);
        self.feed(Event::Placed { from, slot, epoch })
    }

    pub fn outcome(&mut self, slot: SlotId, number: u64) -> Vec<Command> {
        self.feed(Event::Outcome {
            slot,
            call: id(number),
        })
    }

    pub fn lost(&mut self, slot: SlotId, number: u64) -> Vec<Command> {
        self.feed(Event::Lost {
            slot,
            call: id(number),
        })
    }

    pub fn withdraw_slot(&mut self, slot: SlotId) -> Vec<Command> {
        self.feed(Event::Withdraw(Withdrawal::Slot(slot)))
    }

    pub fn withdraw_worker(&mut self, number: u32) -> Vec<Command> {
        self.feed(Event::Withdraw(Withdrawal::Worker(worker_id(number))))
    }

    pub fn withdraw_node(&mut self, node: u32) -> Vec<Command> {
        self.feed(Event::Withdraw(Withdrawal::Node(NodeId(node))))
    }

    pub fn tick(&mut self) -> Vec<Command> {
        self.feed(Event::Tick)
    }
}

pub fn time(ms: u64) -> Time {
    Time::default().after(Duration::from_millis(ms))
}

pub fn id(number: u64) -> CallId {
    CallId { number, attempt: 0 }
}

/// A worker of node 0.
pub fn worker_id(number: u32) -> WorkerId {
    WorkerId {
        node: NodeId(0),
        number,
    }
}

/// A slot of a worker of node 0.
pub fn slot(worker: u32, index: u16) -> SlotId {
    SlotId {
        worker: worker_id(worker),
        index,
    }
}

/// The place ahead that is known by a worker of node 0.
pub fn ahead(worker: u32) -> SlotId {
    slot(worker, SlotId::AHEAD)
}

/// A slot of a worker of another node.
pub fn slot_on(node: u32, worker: u32, index: u16) -> SlotId {
    SlotId {
        worker: WorkerId {
            node: NodeId(node),
            number: worker,
        },
        index,
    }
}

pub fn program(name: &str) -> Program {
    Program {
        name: name.into(),
        weight: 1,
        timeout: Duration::from_millis(TIMEOUT_MS),
        queue_max: 100,
        queue_bytes_max: 1 << 20,
    }
}

/// A worker of program `p` on node 0, of kind `k` with the function `f(text, limit?)`, one slot.
pub fn worker(number: u32) -> Introduction {
    Introduction {
        worker: worker_id(number),
        program: "p".into(),
        description: describes(Details::of_kind("k"), &["f(text, limit?)"]),
        slots: 1,
        batch_max: 1,
    }
}

/// A description with functions that are written as signatures, sorted. `f(text) + input` reads an
/// input.
pub fn describes(details: Details, signatures: &[&str]) -> Arc<Description> {
    let functions = signatures
        .iter()
        .map(|signature| function(signature))
        .collect();
    Arc::new(Description {
        details,
        functions,
        terms: false,
    })
}

fn function(signature: &str) -> Function {
    let reads = signature.strip_suffix(" + input");
    let (name, parameters) = reads
        .unwrap_or(signature)
        .split_once('(')
        .expect("a signature is name(parameters)");
    let parameters = parameters
        .trim_end_matches(')')
        .split(", ")
        .filter(|name| !name.is_empty());
    let parameter = |text: &str| {
        let (name, of) = text.split_once(": ").unwrap_or((text, "any"));
        Parameter {
            name: name.trim_end_matches('?').into(),
            r#type: of.parse().expect("a type"),
            required: !name.ends_with('?'),
            doc: "".into(),
        }
    };
    Function {
        name: name.into(),
        doc: "".into(),
        idempotent: false,
        stream: false,
        input: reads.is_some(),
        parameters: parameters.map(parameter).collect(),
        result: pool::Type::Any,
        examples: Vec::new(),
    }
}

/// Details of kind `k` with one version key, `v`.
pub fn version(version: &str) -> Details {
    let mut details = Details::of_kind("k");
    details.versions.insert("v".into(), version.into());
    details
}

pub fn named(names: &[&str]) -> Arc<Shape> {
    Arc::new(Shape::Named(
        names.iter().map(|&name| name.into()).collect(),
    ))
}

/// A call of `k.f(text)` of class normal and 10 bytes.
pub fn call(number: u64) -> Call {
    Call {
        id: id(number),
        details: Arc::new(Details::of_kind("k")),
        function: "f".into(),
        shape: named(&["text"]),
        json: None,
        input: false,
        class: Class::Normal,
        key: None,
        seed: number,
        deadline: None,
        bytes: 10,
        avoid: Avoid::default(),
        only: None,
        parent: None,
    }
}

pub fn call_of_class(number: u64, class: Class) -> Call {
    Call {
        class,
        ..call(number)
    }
}

pub fn avoiding_workers(number: u64, workers: &[u32]) -> Call {
    let workers = workers.iter().map(|&number| worker_id(number)).collect();
    Call {
        avoid: Avoid {
            workers,
            ..Avoid::default()
        },
        ..call(number)
    }
}

pub fn nested_in(parent: u64, number: u64) -> Call {
    Call {
        parent: Some(id(parent)),
        ..call(number)
    }
}

pub fn assign(slot: SlotId, epoch: u64, calls: &[u64]) -> Command {
    Command::Assign {
        slot,
        epoch: Epoch(epoch),
        calls: calls.iter().map(|&n| id(n)).collect(),
    }
}

pub fn deliver(number: u64) -> Command {
    Command::Deliver { call: id(number) }
}

pub fn reject(number: u64, why: Rejection) -> Command {
    Command::Reject {
        call: id(number),
        why,
    }
}

/// The call expired in its queue.
pub fn expire_waiting(number: u64) -> Command {
    reject(number, Rejection::Deadline { running: None })
}

/// The call expired in that slot: its caller is answered.
pub fn expire_running(number: u64, slot: SlotId) -> Command {
    reject(
        number,
        Rejection::Deadline {
            running: Some(slot),
        },
    )
}

pub fn stop(slot: SlotId, number: u64, why: StopReason) -> Command {
    Command::Stop {
        slot,
        call: id(number),
        why,
    }
}
