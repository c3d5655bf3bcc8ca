//! Loops of several nodes, joined by real links on loopback, with workers that are scripted: calls
//! come in on one node and run on another.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dispatch::{
    Answer, Assignment, Call, CallError, Caller, Code, Credit, Dispatcher, Limits, Notice, Notices,
    Refused, Reply, Slots,
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

/// What a worker is told.
#[derive(Debug)]
enum Told {
    Assigned(Assignment),
    Stop(CallId, StopReason),
}

struct Script(mpsc::UnboundedSender<Told>);

impl Slots for Script {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        self.0.send(Told::Assigned(assignment)).map_err(|_| Refused)
    }

    fn stop(&self, call: CallId, why: StopReason) {
        let _ = self.0.send(Told::Stop(call, why));
    }
}

/// A node with a loop and links.
struct Node {
    id: NodeId,
    dispatcher: Dispatcher,
    notices: Notices,
    mesh: Mesh,
    run: JoinHandle<()>,
}

impl Node {
    async fn start(id: u32, dispatches: bool) -> Self {
        let id = NodeId(id);
        let me = Me {
            node: id,
            name: format!("n{}", id.0).into(),
            incarnation: 1,
            cluster: "test".into(),
        };
        let network: Arc<dyn Network> = Arc::new(Tcp);
        let listener = network
            .listen("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let settings = MeshSettings::default();
        let mesh = Mesh::start(me, network, listener, Security::Plain, settings).unwrap();
        let limits = Limits {
            timeout: Duration::from_secs(10),
            lobby_max: 100,
            lobby_bytes_max: 1 << 20,
        };
        let (event_loop, dispatcher, notices) = dispatch::new(id, &limits);
        let events = mesh.subscribe(Service::Calls);
        let run = tokio::spawn(event_loop.linked(events, dispatches).run());
        notices.send(Notice::Program(program()));
        Self {
            id,
            dispatcher,
            notices,
            mesh,
            run,
        }
    }

    fn link_to(&self, others: &[&Node]) {
        let address = |node: &Node| (node.id, node.mesh.address().to_string());
        let nodes: BTreeMap<NodeId, String> = others.iter().map(|node| address(node)).collect();
        self.mesh.want(nodes);
    }

    fn worker(&self, number: u32) -> Worker {
        self.worker_of(number, "p")
    }

    fn worker_of(&self, number: u32, name: &str) -> Worker {
        let id = WorkerId {
            node: self.id,
            number,
        };
        let function = Function {
            name: "f".into(),
            doc: "".into(),
            idempotent: false,
            stream: true,
            input: false,
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
                program: name.into(),
                description: Arc::new(description),
                slots: 1,
                batch_max: 1,
            },
            program: Program {
                name: name.into(),
                ..program()
            },
            pid: 1000 + number,
            slots: Box::new(Script(sender)),
        });
        let slot = SlotId {
            worker: id,
            index: 0,
        };
        let epoch = Epoch(1);
        self.notices.send(Notice::Offered { slot, epoch });
        Worker {
            slot,
            told,
            epoch,
            notices: self.notices.clone(),
        }
    }

    /// Makes a call in a task of its own.
    fn make(&self, call: Call) -> JoinHandle<Reply> {
        let dispatcher = self.dispatcher.clone();
        tokio::spawn(async move { dispatcher.call(call).await })
    }

    /// As if the machine were gone: no goodbye but the closing of the link.
    async fn die(self) {
        self.run.abort();
        self.mesh.stop().await;
    }
}

fn program() -> Program {
    Program {
        name: "p".into(),
        weight: 1,
        timeout: Duration::from_secs(5),
        queue_max: 100,
        queue_bytes_max: 1 << 20,
    }
}

/// A worker with one slot.
struct Worker {
    slot: SlotId,
    told: mpsc::UnboundedReceiver<Told>,
    epoch: Epoch,
    notices: Notices,
}

impl Worker {
    async fn told(&mut self) -> Told {
        let told = tokio::time::timeout(Duration::from_secs(5), self.told.recv()).await;
        told.expect("the worker is told something")
            .expect("the loop runs")
    }

    async fn assigned(&mut self) -> CallId {
        match self.told().await {
            Told::Assigned(assignment) => assignment.calls[0].id,
            other @ Told::Stop(..) => panic!("expected an assignment, got {other:?}"),
        }
    }

    async fn stopped(&mut self) -> (CallId, StopReason) {
        match self.told().await {
            Told::Stop(call, why) => (call, why),
            other @ Told::Assigned(_) => panic!("expected a stop, got {other:?}"),
        }
    }

    fn end(&mut self, call: CallId, result: &'static str) {
        self.epoch.0 += 1;
        self.notices.send(Notice::Ended {
            slot: self.slot,
            call,
            result: Ok(Payload::Json(result.into())),
            offer: Some(self.epoch),
        });
    }
}

fn call() -> Call {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let payload = Payload::Json("{}".into());
    let shape = Shape::Named(Vec::new());
    Call::new(number, Details::of_kind("k"), "f", payload, shape)
}

fn text(reply: &Reply) -> &str {
    match &reply.result {
        Ok(Answer::Whole(payload)) => std::str::from_utf8(payload.bytes()).unwrap(),
        other => panic!("expected an answer, got {other:?}"),
    }
}

/// A manager, node 1, and a node that dispatches, node 2.
async fn pair() -> (Node, Node) {
    let manager = Node::start(1, false).await;
    let face = Node::start(2, true).await;
    face.link_to(&[&manager]);
    manager.link_to(&[&face]);
    (manager, face)
}

#[tokio::test]
async fn a_call_runs_on_another_node() {
    let (manager, face) = pair().await;
    let mut worker = manager.worker(1);
    let made = face.make(call());
    let id = worker.assigned().await;
    worker.end(id, "42");
    let reply = made.await.unwrap();
    assert_eq!(
        (text(&reply), reply.worker),
        ("42", Some(worker.slot.worker))
    );
}

#[tokio::test]
async fn two_dispatchers_share_a_slot_and_lose_no_call() {
    let (manager, first) = pair().await;
    let second = Node::start(3, true).await;
    second.link_to(&[&manager]);
    for (node, rank) in [(&first, 0), (&second, 1), (&manager, 0)] {
        node.notices.send(Notice::Turn { rank, of: 2 });
    }
    let mut worker = manager.worker(1);
    // So many that some of them wait ahead at the manager's node.
    for _ in 0..20 {
        let made: Vec<_> = (0..50)
            .map(|n| if n % 2 == 0 { &first } else { &second }.make(call()))
            .collect();
        for _ in 0..50 {
            let id = worker.assigned().await;
            worker.end(id, "1");
        }
        for reply in made {
            let reply = reply.await.unwrap();
            assert_eq!(text(&reply), "1");
            assert_eq!(reply.worker, Some(worker.slot.worker));
        }
    }
    assert!(worker.told.try_recv().is_err(), "no call came twice");
}

#[tokio::test]
async fn what_is_set_apart_on_another_node_gets_its_own_calls_alone_also_in_a_backlog() {
    let (manager, face) = pair().await;
    let second = Node::start(3, true).await;
    second.link_to(&[&manager]);
    for (node, rank) in [(&face, 0), (&second, 1), (&manager, 0)] {
        node.notices.send(Notice::Turn { rank, of: 2 });
    }
    let mut plain = manager.worker(1);
    let mut apart = manager.worker_of(2, "p@1~shadow");
    let only = |mut call: Call| {
        call.only = Some("p@1~shadow".into());
        call
    };
    let here = |n| if n % 2 == 0 { &face } else { &second };
    let calls: Vec<_> = (0..50).map(|n| here(n).make(call())).collect();
    for _ in 0..50 {
        let id = plain.assigned().await;
        plain.end(id, "plain");
    }
    let copies: Vec<_> = (0..50).map(|n| here(n).make(only(call()))).collect();
    for _ in 0..50 {
        let id = apart.assigned().await;
        apart.end(id, "apart");
    }
    for (made, from) in [(calls, "plain"), (copies, "apart")] {
        for reply in made {
            assert_eq!(text(&reply.await.unwrap()), from);
        }
    }
    let reply = face.make(only(call()));
    let id = apart.assigned().await;
    apart.end(id, "1");
    assert_eq!(reply.await.unwrap().program.as_deref(), Some("p@1~shadow"));
    assert!(plain.told.try_recv().is_err(), "no copy came to it");
}

#[tokio::test]
async fn a_node_that_is_gone_is_named_to_those_whose_calls_it_ran() {
    let (manager, face) = pair().await;
    let mut worker = manager.worker(1);
    let made = face.make(call());
    worker.assigned().await;
    manager.die().await;
    let error = made.await.unwrap().result.unwrap_err();
    assert_eq!(error.code, Code::WorkerLost);
    assert!(error.message.contains("n1"), "{}", error.message);
}

#[tokio::test]
async fn calls_wait_for_a_node_that_comes_back() {
    let (manager, face) = pair().await;
    let mut worker = manager.worker(1);
    let first = face.make(call());
    let id = worker.assigned().await;
    worker.end(id, "1");
    first.await.unwrap();
    manager.die().await;
    let made = face.make(call());
    let manager = Node::start(1, false).await;
    face.link_to(&[&manager]);
    let mut worker = manager.worker(1);
    let id = worker.assigned().await;
    worker.end(id, "2");
    assert_eq!(text(&made.await.unwrap()), "2");
}

#[tokio::test]
async fn the_calls_of_a_dispatcher_that_is_gone_are_stopped() {
    let (manager, face) = pair().await;
    let mut worker = manager.worker(1);
    let _made = face.make(call());
    let id = worker.assigned().await;
    face.die().await;
    assert_eq!(worker.stopped().await, (id, StopReason::ClientLeft));
    worker.end(id, "nobody listens");
    let face = Node::start(3, true).await;
    face.link_to(&[&manager]);
    let made = face.make(call());
    let id = worker.assigned().await;
    worker.end(id, "2");
    assert_eq!(text(&made.await.unwrap()), "2");
}

#[tokio::test]
async fn a_caller_that_leaves_is_told_to_the_worker() {
    let (manager, face) = pair().await;
    let mut worker = manager.worker(1);
    let made = face.make(call());
    let id = worker.assigned().await;
    made.abort();
    assert_eq!(worker.stopped().await, (id, StopReason::ClientLeft));
}

struct Counted(mpsc::UnboundedSender<usize>);

impl Credit for Counted {
    fn give(&self, bytes: usize) {
        let _ = self.0.send(bytes);
    }
}

#[tokio::test]
async fn a_stream_crosses_nodes_and_its_credit_comes_back() {
    let (manager, face) = pair().await;
    let mut worker = manager.worker(1);
    let made = face.make(call());
    let id = worker.assigned().await;
    let (credits, mut credit) = mpsc::unbounded_channel();
    let (sender, pieces) = dispatch::stream(Box::new(Counted(credits)));
    manager.notices.send(Notice::Begun {
        slot: worker.slot,
        call: id,
        pieces,
    });
    let Ok(Answer::Stream(mut pieces)) = made.await.unwrap().result else {
        panic!("expected a stream");
    };
    // More than the window: it goes on only because the reader's credit comes back.
    let piece = vec![b'1'; 100 * 1024];
    for _ in 0..8 {
        sender.send(Payload::Json(piece.clone().into()));
        let payload = pieces.next().await.unwrap().unwrap();
        assert_eq!(payload.size(), piece.len());
        assert_eq!(credit.recv().await, Some(piece.len()));
    }
    sender.end(Err(CallError::new(Code::WorkerError, "enough")));
    worker.end(id, "null");
    let error = pieces.next().await.unwrap().unwrap_err();
    assert_eq!((error.code, &*error.message), (Code::WorkerError, "enough"));
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn a_reader_that_leaves_a_stream_stops_the_worker() {
    let (manager, face) = pair().await;
    let mut worker = manager.worker(1);
    let made = face.make(call());
    let id = worker.assigned().await;
    let (credits, _credit) = mpsc::unbounded_channel();
    let (_sender, pieces) = dispatch::stream(Box::new(Counted(credits)));
    manager.notices.send(Notice::Begun {
        slot: worker.slot,
        call: id,
        pieces,
    });
    drop(made.await.unwrap());
    assert_eq!(worker.stopped().await, (id, StopReason::ClientLeft));
}

fn nested_in(parent: CallId) -> Call {
    let mut nested = call();
    nested.parent = Some(parent);
    nested.depth = 1;
    nested
}

#[tokio::test]
async fn a_nested_call_goes_to_the_dispatcher_of_its_parent() {
    let (manager, face) = pair().await;
    let mut outer = manager.worker(1);
    let made = face.make(call());
    let parent = outer.assigned().await;
    let mut inner = manager.worker(2);
    let nested = manager.make(nested_in(parent));
    let id = inner.assigned().await;
    inner.end(id, "7");
    let reply = nested.await.unwrap();
    assert_eq!((text(&reply), reply.worker), ("7", Some(inner.slot.worker)));
    outer.end(parent, "8");
    assert_eq!(text(&made.await.unwrap()), "8");
}

#[tokio::test]
async fn a_nested_call_that_could_only_wait_for_its_ancestors_is_a_deadlock() {
    let (manager, face) = pair().await;
    let mut outer = manager.worker(1);
    let _made = face.make(call());
    let parent = outer.assigned().await;
    let reply = manager.make(nested_in(parent)).await.unwrap();
    assert_eq!(reply.result.unwrap_err().code, Code::Deadlock);
}

#[tokio::test]
async fn a_nested_call_ends_when_its_caller_leaves() {
    let (manager, face) = pair().await;
    let mut outer = manager.worker(1);
    let _made = face.make(call());
    let parent = outer.assigned().await;
    let mut inner = manager.worker(2);
    let nested = manager.make(nested_in(parent));
    let id = inner.assigned().await;
    nested.abort();
    assert_eq!(inner.stopped().await, (id, StopReason::ClientLeft));
}
