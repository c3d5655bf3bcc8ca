//! The loop with workers that are scripted: what callers get, what workers are told.

use dispatch::{
    Answer, Assignment, Call, CallError, Caller, Code, Credit, Dispatcher, Ended, Limits, Notice,
    Notices, Refused, Reply, Slots,
};
use pool::{
    CallId, Description, Details, Epoch, Function, Introduction, NodeId, Program, SlotId,
    StopReason, WorkerId,
};
use std::sync::Arc;
use std::time::Duration;
use term::{Payload, Shape};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What a worker is told.
#[derive(Debug)]
enum Told {
    Assigned(Assignment),
    Stop(CallId, StopReason),
}

struct Script {
    told: mpsc::UnboundedSender<Told>,
    refuses: bool,
}

impl Slots for Script {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        if self.refuses {
            return Err(Refused);
        }
        self.told
            .send(Told::Assigned(assignment))
            .map_err(|_| Refused)
    }

    fn stop(&self, call: CallId, why: StopReason) {
        self.told
            .send(Told::Stop(call, why))
            .expect("the test listens");
    }
}

/// A dispatcher with one program, `p`, of kind `k` with an idempotent function `f`.
struct Node {
    dispatcher: Dispatcher,
    notices: Notices,
    numbers: u64,
}

fn program() -> Program {
    Program {
        name: "p".into(),
        weight: 1,
        timeout: Duration::from_secs(2),
        queue_max: 2,
        queue_bytes_max: 1_000,
    }
}

/// A worker with one slot.
struct Worker {
    slot: SlotId,
    told: mpsc::UnboundedReceiver<Told>,
    epoch: Epoch,
}

impl Node {
    fn start() -> Self {
        let limits = Limits {
            timeout: Duration::from_secs(10),
            lobby_max: 10,
            lobby_bytes_max: 1_000,
        };
        let (event_loop, dispatcher, notices) = dispatch::new(NodeId(0), &limits);
        tokio::spawn(event_loop.run());
        notices.send(Notice::Program(program()));
        Self {
            dispatcher,
            notices,
            numbers: 0,
        }
    }

    fn worker(&self, number: u32, refuses: bool) -> Worker {
        let worker = WorkerId {
            node: NodeId(0),
            number,
        };
        let function = Function {
            name: "f".into(),
            doc: "".into(),
            idempotent: true,
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
        let introduction = Introduction {
            worker,
            program: "p".into(),
            description: Arc::new(description),
            slots: 1,
            batch_max: 1,
        };
        let slots = Box::new(Script {
            told: sender,
            refuses,
        });
        self.notices.send(Notice::Introduced {
            introduction,
            program: program(),
            pid: 1000 + number,
            slots,
        });
        let slot = SlotId { worker, index: 0 };
        self.notices.send(Notice::Offered {
            slot,
            epoch: Epoch(1),
        });
        Worker {
            slot,
            told,
            epoch: Epoch(1),
        }
    }

    fn call(&mut self) -> Call {
        self.numbers += 1;
        let payload = Payload::Json("{}".into());
        let shape = Shape::Named(Vec::new());
        Call::new(self.numbers, Details::of_kind("k"), "f", payload, shape)
    }

    /// Makes a call in a task of its own.
    fn make(&mut self) -> tokio::task::JoinHandle<Reply> {
        let (call, dispatcher) = (self.call(), self.dispatcher.clone());
        tokio::spawn(async move { dispatcher.call(call).await })
    }

    fn end(&self, worker: &mut Worker, call: CallId, result: Result<&'static str, CallError>) {
        worker.epoch.0 += 1;
        self.notices.send(Notice::Ended {
            slot: worker.slot,
            call,
            result: result.map(|json| Payload::Json(json.into())),
            offer: Some(worker.epoch),
        });
    }
}

impl Worker {
    async fn assigned(&mut self) -> CallId {
        match self.told.recv().await.expect("the loop runs") {
            Told::Assigned(assignment) => assignment.calls[0].id,
            other => panic!("expected an assignment, got {other:?}"),
        }
    }

    async fn stopped(&mut self) -> (CallId, StopReason) {
        match self.told.recv().await.expect("the loop runs") {
            Told::Stop(call, why) => (call, why),
            other => panic!("expected a stop, got {other:?}"),
        }
    }
}

fn text(reply: &Reply) -> &str {
    match &reply.result {
        Ok(Answer::Whole(payload)) => {
            std::str::from_utf8(payload.bytes()).expect("tests answer text")
        }
        other => panic!("expected an answer, got {other:?}"),
    }
}

fn code(reply: &Reply) -> Code {
    reply.result.as_ref().expect_err("an error").code
}

#[tokio::test(start_paused = true)]
async fn an_answer_tells_who_gave_it_and_how_long_it_took() {
    let mut node = Node::start();
    let made = node.make();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let mut worker = node.worker(1, false);
    let call = worker.assigned().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    node.end(&mut worker, call, Ok("42"));
    let reply = made.await.unwrap();
    assert_eq!(text(&reply), "42");
    assert_eq!(reply.worker, Some(worker.slot.worker));
    assert_eq!(reply.queued, Duration::from_millis(30));
    assert_eq!(reply.ran, Duration::from_millis(50));
    assert!(reply.idempotent, "the function says so");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_too_long_is_answered_at_its_deadline() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let running = node.make();
    let first = worker.assigned().await;
    let mut late = node.call();
    late.deadline = Some(Instant::now() + Duration::from_millis(500));
    let start = Instant::now();
    assert_eq!(code(&node.dispatcher.call(late).await), Code::Deadline);
    assert_eq!(start.elapsed().as_millis(), 500);
    node.end(&mut worker, first, Ok("1"));
    assert_eq!(text(&running.await.unwrap()), "1");
    assert!(
        worker.told.try_recv().is_err(),
        "the late one was never assigned"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_too_long_is_answered_and_its_worker_told() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let start = Instant::now();
    let made = node.make();
    let call = worker.assigned().await;
    assert_eq!(worker.stopped().await, (call, StopReason::Deadline));
    let reply = made.await.unwrap();
    assert_eq!(code(&reply), Code::Deadline);
    assert_eq!(start.elapsed().as_millis(), 2_000, "the program's timeout");
    assert_eq!(reply.result.unwrap_err().detail.unwrap().pid, Some(1001));
    node.end(&mut worker, call, Ok("too late"));
    let next = node.make();
    let call = worker.assigned().await;
    node.end(&mut worker, call, Ok("2"));
    assert_eq!(text(&next.await.unwrap()), "2", "the slot came back");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_forgotten_and_the_worker_told() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let running = node.make();
    let call = worker.assigned().await;
    let waiting = node.make();
    tokio::task::yield_now().await;
    waiting.abort();
    running.abort();
    assert_eq!(worker.stopped().await, (call, StopReason::ClientLeft));
    node.end(&mut worker, call, Ok("nobody listens"));
    let status = node.dispatcher.status().await.unwrap();
    assert_eq!((status.calls, status.pools[0].waiting.normal), (0, 0));
    assert_eq!(status.tallies[0].errors.get("cancelled"), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_goes_elsewhere_without_its_caller_noticing() {
    let mut node = Node::start();
    let _refuses = node.worker(1, true);
    let made = node.make();
    let mut worker = node.worker(2, false);
    let call = worker.assigned().await;
    node.end(&mut worker, call, Ok("1"));
    let reply = made.await.unwrap();
    assert_eq!(
        (text(&reply), reply.worker),
        ("1", Some(worker.slot.worker))
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_said_at_once_with_when_to_come_back() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let _running = node.make();
    worker.assigned().await;
    let _waiting = (node.make(), node.make());
    let call = node.call();
    tokio::task::yield_now().await;
    let error = node.dispatcher.call(call).await.result.unwrap_err();
    assert_eq!(error.code, Code::Busy);
    assert!(error.detail.unwrap().retry_after.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_input_that_lies_here_counts_with_the_bytes_that_wait() {
    let mut node = Node::start();
    let mut call = node.call();
    let bytes = vec![0; 1_001].into();
    call.input = Some(dispatch::whole_input(None, bytes));
    let error = node.dispatcher.call(call).await.result.unwrap_err();
    assert_eq!(error.code, Code::Busy, "while its program starts");
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_piece_by_piece_and_leaving_it_stops_the_worker() {
    struct Counted(mpsc::UnboundedSender<usize>);
    impl Credit for Counted {
        fn give(&self, bytes: usize) {
            self.0.send(bytes).expect("the test listens");
        }
    }
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let made = node.make();
    let call = worker.assigned().await;
    let (credit, mut given) = mpsc::unbounded_channel();
    let (sender, pieces) = dispatch::stream(Box::new(Counted(credit)));
    node.notices.send(Notice::Begun {
        slot: worker.slot,
        call,
        pieces,
    });
    assert!(sender.send(Payload::Json("1".into())));
    let reply = made.await.unwrap();
    let Ok(Answer::Stream(mut pieces)) = reply.result else {
        panic!("a stream")
    };
    assert_eq!(
        pieces.next().await.unwrap().unwrap(),
        Payload::Json("1".into())
    );
    assert_eq!(
        given.recv().await,
        Some(1),
        "what is taken is given back as credit"
    );
    drop(pieces);
    assert_eq!(worker.stopped().await, (call, StopReason::ClientLeft));
    assert!(
        !sender.send(Payload::Json("2".into())),
        "the sender learns that nobody listens"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_ends_in_an_error() {
    struct Nowhere;
    impl Credit for Nowhere {
        fn give(&self, _bytes: usize) {}
    }
    let (sender, mut pieces) = dispatch::stream(Box::new(Nowhere));
    sender.send(Payload::Json("1".into()));
    drop(sender);
    assert!(pieces.next().await.unwrap().is_ok());
    assert_eq!(
        pieces.next().await.unwrap().unwrap_err().code,
        Code::WorkerDied
    );
    assert!(pieces.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn draining_lets_those_in_flight_finish_and_turns_others_away() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let made = node.make();
    let call = worker.assigned().await;
    let dispatcher = node.dispatcher.clone();
    let drained = tokio::spawn(async move { dispatcher.drain().await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let refused = node.call();
    assert_eq!(code(&node.dispatcher.call(refused).await), Code::Stopping);
    let mut nested = node.call();
    nested.parent = Some(call);
    nested.deadline = Some(Instant::now() + Duration::from_millis(1));
    assert_eq!(
        code(&node.dispatcher.call(nested).await),
        Code::Deadlock,
        "taken, and judged"
    );
    assert!(!drained.is_finished());
    node.end(&mut worker, call, Ok("1"));
    assert_eq!(text(&made.await.unwrap()), "1");
    drained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_removed_program_are_served_before_it_ends() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let first = node.make();
    let call = worker.assigned().await;
    let second = node.make();
    tokio::task::yield_now().await;
    node.notices.send(Notice::Removed {
        program: "p".into(),
    });
    let notices = node.notices.clone();
    let served = tokio::spawn(async move { notices.served("p".into()).await });
    tokio::task::yield_now().await;
    let third = node.call();
    assert_eq!(code(&node.dispatcher.call(third).await), Code::NoPool);
    assert!(!served.is_finished());
    node.end(&mut worker, call, Ok("1"));
    assert_eq!(text(&first.await.unwrap()), "1");
    let call = worker.assigned().await;
    served.await.unwrap();
    node.notices.send(Notice::Withdrawn(worker.slot.worker));
    node.end(&mut worker, call, Ok("2"));
    assert_eq!(text(&second.await.unwrap()), "2");
}

#[tokio::test(start_paused = true)]
async fn why_tells_the_way_of_a_call() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let made = node.make();
    let call = worker.assigned().await;
    let running = node.dispatcher.why(call.number).await.unwrap();
    assert!(running[0].ended.is_none());
    tokio::time::sleep(Duration::from_millis(5)).await;
    node.end(
        &mut worker,
        call,
        Err(CallError::new(Code::WorkerError, "no such word")),
    );
    made.await.unwrap();
    let traces = node.dispatcher.why(call.number).await.unwrap();
    let [trace] = &traces[..] else {
        panic!("one attempt, got {traces:?}")
    };
    let (name, assigned) = trace.assigned.unwrap();
    assert_eq!((name.pid, assigned - trace.arrived), (1001, Duration::ZERO));
    let (ended, how) = trace.ended.clone().unwrap();
    assert_eq!(ended - assigned, Duration::from_millis(5));
    assert_eq!(how, Ended::Failed(Code::WorkerError, "no such word".into()));
    assert!(node.dispatcher.why(999).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_repetition_of_a_call_from_before_the_drain_goes_on() {
    let mut node = Node::start();
    let mut worker = node.worker(1, false);
    let _running = node.make();
    worker.assigned().await;
    let dispatcher = node.dispatcher.clone();
    let _drained = tokio::spawn(async move { dispatcher.drain().await });
    tokio::task::yield_now().await;
    let mut again = node.call();
    again.attempt = 1;
    again.deadline = Some(Instant::now() + Duration::from_millis(1));
    assert_eq!(
        code(&node.dispatcher.call(again).await),
        Code::Deadline,
        "it was let in to wait"
    );
}

#[tokio::test(start_paused = true)]
async fn names_that_callers_make_up_are_bounded() {
    let mut node = Node::start();
    let mut long_function = node.call();
    long_function.function = "f".repeat(101).into();
    let mut long_key = node.call();
    long_key.key = Some("k".repeat(1025).into());
    for call in [long_function, long_key] {
        let number = call.number;
        assert_eq!(code(&node.dispatcher.call(call).await), Code::BadRequest);
        assert!(
            node.dispatcher
                .why(number)
                .await
                .expect("the loop runs")
                .is_empty()
        );
    }
}
