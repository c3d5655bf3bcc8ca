//! Shadow copies among scripted callers: what is copied, what is counted, and that nobody waits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dispatch::{
    Answer, Call, CallError, Caller, Code, Counts, Credit, Numbers, Reply, Shadow, Shadows, Target,
    stream,
};
use pool::{Class, Details, NodeId, WorkerId};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use term::{Payload, Shape};
use tokio::sync::Semaphore;
use tokio::time::Instant;

const OLD: &str = "p";
const NEW: &str = "p@1~shadow";

/// How a version answers.
#[derive(Clone)]
enum Way {
    Json(&'static str),
    Error(Code),
    Stream,
}

/// Answers in one way, and keeps the calls it saw.
struct Version {
    way: Mutex<Way>,
    idempotent: bool,
    program: &'static str,
    ran: Duration,
    /// One permit for each answer.
    answers: Semaphore,
    seen: Mutex<Vec<Call>>,
}

struct NoCredit;

impl Credit for NoCredit {
    fn give(&self, _bytes: usize) {}
}

impl Caller for Version {
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(async move {
            let (number, deadline) = (call.number, call.deadline);
            self.seen.lock().unwrap().push(call);
            self.answers.acquire().await.unwrap().forget();
            let result = match self.way.lock().unwrap().clone() {
                Way::Json(text) => Ok(Answer::Whole(Payload::Json(text.into()))),
                Way::Error(code) => Err(CallError::new(code, "scripted")),
                Way::Stream => Ok(Answer::Stream(stream(Box::new(NoCredit)).1)),
            };
            let worker = WorkerId {
                node: NodeId(1),
                number: 1,
            };
            Reply {
                number,
                pool: None,
                worker: Some(worker),
                program: Some(self.program.into()),
                queued: Duration::ZERO,
                ran: self.ran,
                deadline,
                idempotent: self.idempotent,
                result,
            }
        })
    }
}

fn version(way: Way, program: &'static str, ran_ms: u64) -> Version {
    Version {
        way: Mutex::new(way),
        idempotent: true,
        program,
        ran: Duration::from_millis(ran_ms),
        answers: Semaphore::new(1_000_000),
        seen: Mutex::default(),
    }
}

fn target(percent: u32) -> Target {
    Target {
        program: "p".into(),
        version: 2,
        percent,
        old: OLD.into(),
        new: NEW.into(),
    }
}

struct Case {
    old: Arc<Version>,
    new: Arc<Version>,
    shadows: Shadows,
    caller: Arc<Shadow>,
    made: u64,
}

impl Case {
    fn new(old: Way, new: Way, percent: u32) -> Self {
        let (old, new) = (version(old, OLD, 10), version(new, NEW, 14));
        Self::of(old, new, percent, (100, 1_000))
    }

    fn of(old: Version, new: Version, percent: u32, limits: (usize, usize)) -> Self {
        let (old, new) = (Arc::new(old), Arc::new(new));
        let numbers = Arc::new(Numbers::new(9));
        let shadows = Shadows::with_limits(numbers, 1, limits.0, limits.1);
        shadows.set(vec![target(percent)]);
        let caller = Shadow::new(old.clone(), new.clone(), shadows.clone());
        Self {
            old,
            new,
            shadows,
            caller: Arc::new(caller),
            made: 0,
        }
    }

    fn next(&mut self) -> Call {
        self.made += 1;
        let payload = Payload::Json("[]".into());
        let shape = Shape::Positional(0);
        let mut call = Call::new(self.made, Details::of_kind("k"), "f", payload, shape);
        call.deadline = Some(Instant::now() + Duration::from_secs(5));
        call
    }

    /// Makes a call, and gives the copies time to end.
    async fn call(&mut self) -> Result<String, Code> {
        let call = self.next();
        let reply = self.caller.call(call).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        match reply.result {
            Ok(Answer::Whole(payload)) => Ok(String::from_utf8(payload.bytes().to_vec()).unwrap()),
            Ok(Answer::Stream(_)) => Ok("a stream".to_owned()),
            Err(error) => Err(error.code),
        }
    }

    fn counts(&self) -> Counts {
        let comparisons = self.shadows.comparisons();
        let functions = comparisons
            .iter()
            .flat_map(|known| known.functions.values());
        functions.fold(Counts::default(), |mut sum, counts| {
            sum.add(counts);
            sum
        })
    }

    fn copies(&self) -> usize {
        self.new.seen.lock().unwrap().len()
    }
}

/// What is counted of one call that is copied.
async fn one(old: Way, new: Way) -> Counts {
    let mut case = Case::new(old, new, 100);
    let _ = case.call().await;
    let counts = case.counts();
    Counts {
        old_us: 0,
        new_us: 0,
        ..counts
    }
}

#[tokio::test]
async fn outcomes_are_told_apart() {
    use Way::{Error, Json, Stream};
    let none = Counts::default();
    let same = Counts { same: 1, ..none };
    let different = Counts {
        different: 1,
        ..none
    };
    let failed_new = Counts {
        failed_new: 1,
        ..none
    };
    let failed_old = Counts {
        failed_old: 1,
        ..none
    };
    let failed_both = Counts {
        failed_both: 1,
        ..none
    };
    let dropped = Counts { dropped: 1, ..none };
    assert_eq!(one(Json("[1]"), Json("[1.0]")).await, same);
    assert_eq!(one(Json("[1]"), Json("[2]")).await, different);
    assert_eq!(one(Json("[1]"), Stream).await, different);
    for code in [
        Code::WorkerError,
        Code::WorkerDied,
        Code::Deadline,
        Code::NoFunction,
    ] {
        assert_eq!(one(Json("1"), Error(code)).await, failed_new, "{code:?}");
    }
    assert_eq!(one(Error(Code::WorkerError), Json("1")).await, failed_old);
    let both = one(Error(Code::WorkerError), Error(Code::WorkerDied)).await;
    assert_eq!(both, failed_both);
    let early = one(Json("1"), Error(Code::NoPool)).await;
    assert_eq!(early, none, "no worker was ready yet");
    for code in [Code::Busy, Code::WorkerLost, Code::Stopping] {
        assert_eq!(one(Json("1"), Error(code)).await, dropped, "{code:?}");
        assert_eq!(one(Error(code), Json("1")).await, none, "{code:?}");
    }
}

#[tokio::test]
async fn the_caller_has_the_old_answer_and_an_example_says_where_the_new_one_differs() {
    let mut case = Case::new(
        Way::Json(r#"{"n":[1,2]}"#),
        Way::Json(r#"{"n":[1,3]}"#),
        100,
    );
    assert_eq!(case.call().await.as_deref(), Ok(r#"{"n":[1,2]}"#));
    assert_eq!(case.call().await.as_deref(), Ok(r#"{"n":[1,2]}"#));
    let counts = case.counts();
    assert_eq!((counts.different, counts.compared()), (2, 2));
    assert_eq!((counts.old_us, counts.new_us), (20_000, 28_000));
    assert_eq!(counts.slowdown(), Some(1.4));
    let examples = &case.shadows.comparisons()[0].examples;
    let [example] = &examples[..] else {
        panic!("one of its kind is kept: {examples:?}");
    };
    assert_eq!(example.call, "0000000000000002", "the last one");
    assert_eq!(example.copy, "0000000900000002");
    let parts = [&*example.function, &example.at, &example.old, &example.new];
    assert_eq!(parts, ["f", "$.n[1]", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_a_low_call_for_one_program_with_the_time_that_the_original_had() {
    let mut case = Case::new(Way::Json("1"), Way::Json("1"), 100);
    let mut call = case.next();
    call.class = Class::High;
    call.attempt = 1;
    call.key = Some("ada".into());
    let caller = case.caller.clone();
    let _ = caller.call(call).await;
    tokio::time::advance(Duration::from_secs(3)).await;
    let before = Instant::now();
    let _ = case.call().await;
    let seen = case.new.seen.lock().unwrap();
    let copy = &seen[0];
    assert_eq!((copy.class, copy.attempt), (Class::Low, 0));
    assert_eq!(copy.only.as_deref(), Some(NEW));
    assert_eq!(copy.key.as_deref(), Some("ada"));
    assert_eq!(copy.payload, Payload::Json("[]".into()));
    assert_ne!(copy.number, 1, "it is another call");
    assert_eq!(seen[1].deadline, Some(before + Duration::from_secs(5)));
}

#[tokio::test]
async fn what_may_not_run_twice_and_what_streams_is_not_copied_but_counted() {
    let old = Version {
        idempotent: false,
        ..version(Way::Json("1"), OLD, 1)
    };
    let mut case = Case::of(old, version(Way::Json("1"), NEW, 1), 100, (10, 100));
    assert_eq!(case.call().await.as_deref(), Ok("1"));
    assert_eq!((case.copies(), case.counts().not_idempotent), (0, 1));
    let mut case = Case::new(Way::Stream, Way::Stream, 100);
    assert_eq!(case.call().await.as_deref(), Ok("a stream"));
    assert_eq!((case.copies(), case.counts().streamed), (0, 1));
}

#[tokio::test]
async fn calls_that_another_program_answers_are_not_copied() {
    let old = version(Way::Json("1"), "another", 1);
    let mut case = Case::of(old, version(Way::Json("1"), NEW, 1), 100, (10, 100));
    assert_eq!(case.call().await.as_deref(), Ok("1"));
    assert_eq!((case.copies(), case.counts()), (0, Counts::default()));
}

#[tokio::test]
async fn of_many_calls_the_percent_is_copied_exactly() {
    for percent in [1, 10, 33] {
        let mut case = Case::new(Way::Json("1"), Way::Json("1"), percent);
        for _ in 0..1_000 {
            let _ = case.call().await;
        }
        assert_eq!(case.copies(), 10 * percent as usize);
        assert_eq!(case.counts().same, 10 * u64::from(percent));
    }
}

#[tokio::test]
async fn nobody_waits_for_copies_and_beyond_the_limits_they_are_dropped() {
    let stuck = || Version {
        answers: Semaphore::new(0),
        ..version(Way::Json("1"), NEW, 1)
    };
    // Two at a time; or of 2 bytes of arguments and 1 of the answer each, as many as fit in 7.
    for limits in [(2, 1_000), (100, 7)] {
        let old = version(Way::Json("1"), OLD, 1);
        let mut case = Case::of(old, stuck(), 100, limits);
        for _ in 0..5 {
            assert_eq!(case.call().await.as_deref(), Ok("1"));
        }
        assert_eq!((case.copies(), case.counts().dropped), (2, 3));
        case.new.answers.add_permits(100);
        let _ = case.call().await;
        let counts = case.counts();
        let _ = case.call().await;
        assert_eq!(
            (counts.same, counts.dropped),
            (2, 4),
            "the room was taken until now"
        );
        assert_eq!(case.counts().same, 3, "there is room again");
    }
}

#[tokio::test]
async fn a_call_whose_client_leaves_is_not_copied() {
    let old = Version {
        answers: Semaphore::new(0),
        ..version(Way::Json("1"), OLD, 1)
    };
    let mut case = Case::of(old, version(Way::Json("1"), NEW, 1), 100, (10, 100));
    let (call, caller) = (case.next(), case.caller.clone());
    let client = tokio::spawn(async move { caller.call(call).await });
    while case.old.seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    case.old.answers.add_permits(100);
    assert_eq!(case.copies(), 0);
    let _ = case.call().await;
    assert_eq!(case.copies(), 1, "the next one is");
}

#[tokio::test]
async fn counts_are_kept_as_long_as_the_version_shadows() {
    let mut case = Case::new(Way::Json("1"), Way::Json("1"), 100);
    let _ = case.call().await;
    case.shadows.set(vec![target(50)]);
    assert_eq!(case.counts().same, 1, "another percent is no other shadow");
    let next = Target {
        version: 3,
        ..target(100)
    };
    case.shadows.set(vec![next]);
    assert_eq!(case.counts().same, 0);
    case.shadows.set(Vec::new());
    let _ = case.call().await;
    assert!(case.shadows.comparisons().is_empty());
    assert_eq!(case.copies(), 1, "nothing shadows any more");
}

#[tokio::test]
async fn a_node_that_stops_leaves_its_copies() {
    let new = Version {
        answers: Semaphore::new(0),
        ..version(Way::Json("1"), NEW, 1)
    };
    let mut case = Case::of(version(Way::Json("1"), OLD, 1), new, 100, (10, 100));
    let _ = case.call().await;
    assert_eq!(Arc::strong_count(&case.new), 3, "a task waits for the copy");
    case.shadows.stop();
    while Arc::strong_count(&case.new) > 2 {
        tokio::task::yield_now().await;
    }
}
