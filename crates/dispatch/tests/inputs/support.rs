//! Nodes with loops and real links on loopback, and workers that are scripted. A call comes in on
//! one node; its worker is there, or on the other one.

use dispatch::{
    Assigned, Assignment, Call, CallError, Caller, Dispatcher, InputSender, Limits, Notice,
    Notices, Refused, Reply, Slots, input,
};
use pool::{
    CallId, Description, Details, Epoch, Function, Introduction, NodeId, Program, SlotId,
    StopReason, WorkerId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use term::{Payload, Shape};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::{Me, Mesh, MeshSettings, Network, Security, Service, Tcp};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker is told.
#[derive(Debug)]
pub enum Told {
    Assigned(Assignment),
    Stop(CallId, StopReason),
}

struct Script(mpsc::UnboundedSender<Told>);

impl Slots for Script {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        self.0.send(Told::Assigned(assignment)).map_err(|_| Refused)
    }

    fn stop(&self, call: CallId, why: StopReason) {
        // The test may look no more.
        let _ = self.0.send(Told::Stop(call, why));
    }
}

/// A node with a loop and links.
pub struct Node {
    id: NodeId,
    pub dispatcher: Dispatcher,
    notices: Notices,
    mesh: Mesh,
    run: JoinHandle<()>,
}

impl Node {
    pub async fn start(id: u32) -> Self {
        let id = NodeId(id);
        let me = Me {
            node: id,
            name: format!("n{}", id.0).into(),
            incarnation: 1,
            cluster: "test".into(),
        };
        let network: Arc<dyn Network> = Arc::new(Tcp);
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = network.listen(any).await.expect("a port");
        let settings = MeshSettings::default();
        let mesh = Mesh::start(me, network, listener, Security::Plain, settings).expect("a mesh");
        let limits = Limits {
            timeout: Duration::from_secs(10),
            lobby_max: 100,
            lobby_bytes_max: 1 << 20,
        };
        let (event_loop, dispatcher, notices) = dispatch::new(id, &limits);
        let events = mesh.subscribe(Service::Calls);
        let run = tokio::spawn(event_loop.linked(events, true).run());
        notices.send(Notice::Program(program()));
        Self {
            id,
            dispatcher,
            notices,
            mesh,
            run,
        }
    }

    pub fn worker(&self, number: u32) -> Worker {
        let id = WorkerId {
            node: self.id,
            number,
        };
        let function = Function {
            name: "f".into(),
            doc: "".into(),
            idempotent: true,
            stream: true,
            input: true,
            parameters: Vec::new(),
            result: pool::Type::Any,
            examples: Vec::new(),
        };
        let description = Description {
            details: Details::of_kind("k"),
            terms: false,
            functions: vec![function],
        };
        let (sender, told) = mpsc::unbounded_channel();
        self.notices.send(Notice::Introduced {
            introduction: Introduction {
                worker: id,
                program: "p".into(),
                description: Arc::new(description),
                slots: 1,
                batch_max: 1,
            },
            program: program(),
            pid: 1000 + number,
            slots: Box::new(Script(sender)),
        });
        let slot = SlotId {
            worker: id,
            index: 0,
        };
        let notices = self.notices.clone();
        let epoch = Epoch(1);
        notices.send(Notice::Offered { slot, epoch });
        Worker {
            slot,
            told,
            epoch,
            notices,
        }
    }

    /// Makes a call with an input in a task of its own.
    pub fn make(&self) -> (InputSender, JoinHandle<Reply>) {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let payload = Payload::Json("{}".into());
        let shape = Shape::Named(Vec::new());
        let mut call = Call::new(number, Details::of_kind("k"), "f", payload, shape);
        let (sender, input) = input(Some("text/x"));
        call.input = Some(input);
        let dispatcher = self.dispatcher.clone();
        let made = tokio::spawn(async move { dispatcher.call(call).await });
        (sender, made)
    }

    /// As if the machine were gone: no goodbye but the closing of the link.
    pub async fn die(self) {
        self.run.abort();
        self.mesh.stop().await;
    }
}

fn program() -> Program {
    Program {
        name: "p".into(),
        weight: 1,
        timeout: Duration::from_secs(60),
        queue_max: 100,
        queue_bytes_max: 1 << 20,
    }
}

/// Where calls come in, and where workers are: one node or two.
pub struct Place {
    pub face: Node,
    other: Option<Node>,
}

impl Place {
    /// Both on one node.
    pub async fn near() -> Self {
        let face = Node::start(1).await;
        Self { face, other: None }
    }

    pub async fn far() -> Self {
        let (manager, face) = (Node::start(1).await, Node::start(2).await);
        for (node, peer) in [(&face, &manager), (&manager, &face)] {
            let there = (peer.id, peer.mesh.address().to_string());
            node.mesh.want(BTreeMap::from([there]));
        }
        let other = Some(manager);
        Self { face, other }
    }

    pub fn manager(&self) -> &Node {
        self.other.as_ref().unwrap_or(&self.face)
    }

    /// The node where calls come in, and the other.
    pub fn apart(self) -> (Node, Node) {
        (self.face, self.other.expect("two nodes"))
    }
}

/// A worker with one slot.
pub struct Worker {
    slot: SlotId,
    told: mpsc::UnboundedReceiver<Told>,
    epoch: Epoch,
    notices: Notices,
}

impl Worker {
    pub async fn told(&mut self) -> Told {
        let told = tokio::time::timeout(PATIENCE, self.told.recv()).await;
        told.expect("the worker is told something")
            .expect("the loop runs")
    }

    pub async fn assigned(&mut self) -> Assigned {
        match self.told().await {
            Told::Assigned(mut assignment) => assignment.calls.remove(0),
            other @ Told::Stop(..) => panic!("expected an assignment, got {other:?}"),
        }
    }

    pub async fn stopped(&mut self) -> (CallId, StopReason) {
        match self.told().await {
            Told::Stop(call, why) => (call, why),
            other @ Told::Assigned(_) => panic!("expected a stop, got {other:?}"),
        }
    }

    /// Takes no assignment of its last offer, and offers its slot again.
    pub fn refuse(&mut self) {
        let (slot, epoch) = (self.slot, self.epoch);
        self.notices.send(Notice::Refused { slot, epoch });
        self.epoch.0 += 1;
        let epoch = self.epoch;
        self.notices.send(Notice::Offered { slot, epoch });
    }

    pub fn end(&mut self, call: CallId, result: Result<&'static str, CallError>) {
        self.epoch.0 += 1;
        self.notices.send(Notice::Ended {
            slot: self.slot,
            call,
            result: result.map(|json| Payload::Json(json.into())),
            offer: Some(self.epoch),
        });
    }

    pub fn die(self, call: CallId, error: CallError) {
        self.notices.send(Notice::Withdrawn(self.slot.worker));
        self.notices.send(Notice::Lost {
            slot: self.slot,
            call,
            error,
        });
    }
}
