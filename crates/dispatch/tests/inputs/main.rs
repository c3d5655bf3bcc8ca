//! Inputs of calls on their way to workers, on one node and from one to another.

mod support;

use bytes::Bytes;
use dispatch::{
    Answer, BadCredit, BrokenInput, CREDIT, CallError, Code, INPUT_PIECE_MAX, Input, InputSender,
    InputSink, Reply, Unwanted,
};
use pool::StopReason;
use std::task::{Context, Poll, Waker};
use support::{PATIENCE, Place};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Runs a test on one node and on two.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod near {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Place::near().await).await;
            })*
        }
        mod far {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Place::far().await).await;
            })*
        }
    };
}

on_both! {
    an_input_comes_whole,
    no_more_comes_than_was_asked_for,
    a_refused_call_has_its_input_whole,
    a_client_that_leaves_in_the_middle_cancels_its_call,
    a_client_that_leaves_in_the_queue_cancels_its_call,
    a_worker_that_dies_in_the_middle_ends_the_input,
    an_answer_before_the_end_ends_the_input,
    who_does_not_read_stalls_its_own_client_alone,
}

fn data(count: usize) -> Bytes {
    (0..count).map(|at| (at * 7 % 251) as u8).collect()
}

/// Sends all of an input.
fn send(mut sender: InputSender, data: Bytes) -> JoinHandle<Result<(), Unwanted>> {
    tokio::spawn(async move {
        sender.send(data).await?;
        sender.end();
        Ok(())
    })
}

/// Reads all of an input.
async fn read(input: &Input) -> Result<Vec<u8>, BrokenInput> {
    let mut reader = input.read().expect("nobody has read it before");
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await {
        let piece = piece?;
        assert!((1..=INPUT_PIECE_MAX).contains(&piece.len()));
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Whether bytes may be sent now.
fn ready(sender: &mut InputSender) -> Poll<Result<(), Unwanted>> {
    let mut context = Context::from_waker(Waker::noop());
    std::pin::pin!(sender.ready()).poll(&mut context)
}

async fn reply(made: JoinHandle<Reply>) -> Result<String, Code> {
    let reply = tokio::time::timeout(PATIENCE, made).await;
    match reply.expect("an answer in time").expect("no panic").result {
        Ok(Answer::Whole(payload)) => Ok(String::from_utf8_lossy(payload.bytes()).into_owned()),
        Ok(Answer::Stream(_)) => panic!("expected a whole answer"),
        Err(error) => Err(error.code),
    }
}

async fn an_input_comes_whole(place: Place) {
    let mut worker = place.manager().worker(1);
    for count in [3 * 1024 * 1024 + 1, CREDIT, 1, 0] {
        let (sender, made) = place.face.make();
        let sent = send(sender, data(count));
        let call = worker.assigned().await;
        let input = call.input.expect("an input");
        assert_eq!(input.content_type().map(|text| &**text), Some("text/x"));
        assert_eq!(read(&input).await, Ok(data(count).to_vec()));
        assert_eq!(sent.await.expect("no panic"), Ok(()));
        assert!(input.read().is_none(), "it was read");
        worker.end(call.id, Ok("1"));
        assert_eq!(reply(made).await.as_deref(), Ok("1"));
    }
}

/// Passes pieces on.
struct Sink(mpsc::UnboundedSender<Option<usize>>);

impl InputSink for Sink {
    fn piece(&mut self, piece: Bytes) {
        self.0.send(Some(piece.len())).expect("the test listens");
    }

    fn end(&mut self) {
        self.0.send(None).expect("the test listens");
    }
}

async fn no_more_comes_than_was_asked_for(place: Place) {
    let mut worker = place.manager().worker(1);
    let (mut sender, made) = place.face.make();
    let call = worker.assigned().await;
    assert!(ready(&mut sender).is_pending(), "nobody has asked");
    let (sink, mut pieces) = mpsc::unbounded_channel();
    let input = call.input.expect("an input");
    let grant = input.open(Box::new(Sink(sink))).expect("it is whole");
    assert!(ready(&mut sender).is_pending(), "nobody has asked");
    grant.give(100).expect("credit");
    sender.send(data(INPUT_PIECE_MAX)).await.expect("wanted");
    assert_eq!(pieces.recv().await, Some(Some(INPUT_PIECE_MAX)));
    assert!(ready(&mut sender).is_pending(), "it was overdrawn");
    grant.give(INPUT_PIECE_MAX - 100).expect("what came");
    grant.give(1).expect("credit for one more");
    sender.send(data(2)).await.expect("wanted");
    assert_eq!(pieces.recv().await, Some(Some(2)));
    assert!(ready(&mut sender).is_pending());
    assert_eq!(grant.give(CREDIT + 2), Err(BadCredit));
    grant
        .give(CREDIT + 1)
        .expect("with what was overdrawn, all there may be");
    sender.end();
    assert_eq!(pieces.recv().await, Some(None));
    worker.end(call.id, Ok("1"));
    assert!(reply(made).await.is_ok());
}

async fn a_refused_call_has_its_input_whole(place: Place) {
    let mut worker = place.manager().worker(1);
    let (sender, made) = place.face.make();
    let sent = send(sender, data(1_000_000));
    let (later, made_later) = place.face.make();
    let sent_later = send(later, data(10));
    for _ in 0..3 {
        drop(worker.assigned().await);
        worker.refuse();
    }
    let call = worker.assigned().await;
    let input = call.input.expect("an input");
    assert_eq!(read(&input).await, Ok(data(1_000_000).to_vec()));
    sent.await.expect("no panic").expect("all of it was read");
    worker.end(call.id, Ok("\"first\""));
    assert_eq!(reply(made).await.as_deref(), Ok("\"first\""));
    let call = worker.assigned().await;
    let input = call.input.expect("an input");
    assert_eq!(read(&input).await.map(|all| all.len()), Ok(10));
    sent_later.await.expect("no panic").expect("it was read");
    worker.end(call.id, Ok("2"));
    assert!(reply(made_later).await.is_ok());
}

async fn a_client_that_leaves_in_the_middle_cancels_its_call(place: Place) {
    let mut worker = place.manager().worker(1);
    let (mut sender, made) = place.face.make();
    let call = worker.assigned().await;
    let input = call.input.expect("an input");
    let mut reader = input.read().expect("it is whole");
    let (sent, piece) = tokio::join!(sender.send(data(1_000)), reader.next());
    assert_eq!((sent, piece), (Ok(()), Some(Ok(data(1_000)))));
    drop(sender);
    assert_eq!(reply(made).await, Err(Code::Cancelled));
    assert_eq!(worker.stopped().await, (call.id, StopReason::ClientLeft));
    assert_eq!(reader.next().await, Some(Err(BrokenInput)));
    assert_eq!(reader.next().await, None);
    worker.end(call.id, Err(CallError::new(Code::WorkerError, "cancelled")));
    let (sender, made) = place.face.make();
    sender.end();
    let call = worker.assigned().await;
    worker.end(call.id, Ok("the slot came back"));
    assert!(reply(made).await.is_ok());
}

async fn a_client_that_leaves_in_the_queue_cancels_its_call(place: Place) {
    let (sender, made) = place.face.make();
    drop(sender);
    assert_eq!(reply(made).await, Err(Code::Cancelled));
    let mut worker = place.manager().worker(1);
    let (sender, made) = place.face.make();
    sender.end();
    let call = worker.assigned().await;
    worker.end(call.id, Ok("1"));
    assert!(reply(made).await.is_ok(), "the other one was not assigned");
}

async fn a_worker_that_dies_in_the_middle_ends_the_input(place: Place) {
    let mut worker = place.manager().worker(1);
    let (sender, made) = place.face.make();
    let sent = send(sender, data(10_000_000));
    let call = worker.assigned().await;
    let input = call.input.expect("an input");
    let mut reader = input.read().expect("it is whole");
    assert!(reader.next().await.is_some());
    drop((reader, input));
    worker.die(call.id, CallError::new(Code::WorkerDied, "in the middle"));
    assert_eq!(reply(made).await, Err(Code::WorkerDied));
    assert_eq!(sent.await.expect("no panic"), Err(Unwanted));
}

async fn an_answer_before_the_end_ends_the_input(place: Place) {
    let mut worker = place.manager().worker(1);
    let (mut sender, made) = place.face.make();
    let call = worker.assigned().await;
    drop(call.input);
    worker.end(call.id, Ok("1"));
    assert_eq!(reply(made).await.as_deref(), Ok("1"));
    assert_eq!(sender.ready().await, Err(Unwanted));
    drop(sender);
    let status = place.face.dispatcher.status().await.expect("it runs");
    assert!(status.tallies[0].errors.is_empty(), "nothing was cancelled");
}

async fn who_does_not_read_stalls_its_own_client_alone(place: Place) {
    let mut worker = place.manager().worker(1);
    let mut other = place.manager().worker(2);
    let (stalled, made) = place.face.make();
    let stalled = send(stalled, data(10_000_000));
    let (sender, made_other) = place.face.make();
    let sent = send(sender, data(5_000_000));
    let (first, second) = (worker.assigned().await, other.assigned().await);
    // Which worker has which does not matter.
    let length = |input: &Input| {
        let input = input.clone();
        async move { read(&input).await.map(|all| all.len()) }
    };
    let (one, two) = (first.input.expect("one"), second.input.expect("one"));
    let mut reader = one.read().expect("it is whole");
    assert!(reader.next().await.is_some());
    let whole = length(&two).await.expect("it comes whole");
    assert!([5_000_000, 10_000_000].contains(&whole));
    let mut rest = reader
        .next()
        .await
        .expect("it goes on")
        .expect("it is whole")
        .len();
    while let Some(piece) = reader.next().await {
        rest += piece.expect("it is whole").len();
    }
    assert!(rest > 0);
    for sent in [stalled, sent] {
        assert_eq!(sent.await.expect("no panic"), Ok(()));
    }
    worker.end(first.id, Ok("1"));
    other.end(second.id, Ok("1"));
    for made in [made, made_other] {
        assert!(reply(made).await.is_ok());
    }
}

#[tokio::test]
async fn a_link_that_is_cut_ends_call_and_input() {
    let place = Place::far().await;
    let mut worker = place.manager().worker(1);
    let (sender, made) = place.face.make();
    let sent = send(sender, data(10_000_000));
    let call = worker.assigned().await;
    let mut reader = call.input.expect("an input").read().expect("whole");
    assert!(reader.next().await.is_some());
    let (_face, manager) = place.apart();
    manager.die().await;
    assert_eq!(reply(made).await, Err(Code::WorkerLost));
    assert_eq!(sent.await.expect("no panic"), Err(Unwanted));
}

#[tokio::test]
async fn a_node_of_a_client_that_is_gone_breaks_its_input() {
    let place = Place::far().await;
    let mut worker = place.manager().worker(1);
    let (sender, _made) = place.face.make();
    let _sent = send(sender, data(10_000_000));
    let call = worker.assigned().await;
    let mut reader = call.input.expect("an input").read().expect("whole");
    assert!(reader.next().await.is_some());
    let (face, _manager) = place.apart();
    face.die().await;
    assert_eq!(worker.stopped().await, (call.id, StopReason::ClientLeft));
    let broken = async {
        while let Some(piece) = reader.next().await {
            if piece.is_err() {
                return true;
            }
        }
        false
    };
    assert!(
        tokio::time::timeout(PATIENCE, broken)
            .await
            .expect("in time")
    );
}
