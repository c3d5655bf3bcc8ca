//! Inputs of calls, with workers that read them frame by frame.

mod support;

use bytes::Bytes;
use dispatch::{Call, Code, InputSender, Unwanted, input};
use manager::{OnDisconnect, Program};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use support::{Node, json as result, raw};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A program of one worker with two slots.
fn reader() -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/reader.py");
    support::program("reader", &["python3", script])
}

fn started() -> Arc<Node> {
    let node = Node::start();
    node.apply(vec![reader()]);
    Arc::new(node)
}

/// A call that does with its input what `value` says.
fn call(node: &Node, value: &str) -> (InputSender, Call) {
    let (sender, input) = input(Some("text/x"));
    let mut call = node.call("read", json!({ "value": value }));
    call.input = Some(input);
    (sender, call)
}

fn bytes(count: usize) -> Bytes {
    (0..count).map(|at| (at * 7 % 251) as u8).collect()
}

/// Sends an input and ends it.
async fn send(mut sender: InputSender, data: Bytes) -> Result<(), Unwanted> {
    for part in data.chunks(1_000_000) {
        sender.send(Bytes::copy_from_slice(part)).await?;
    }
    sender.end();
    Ok(())
}

/// What a worker makes of so many bytes.
async fn measured(node: &Node, count: usize) -> Value {
    let (sender, call) = call(node, "all");
    let sent = tokio::spawn(send(sender, bytes(count)));
    let got = result(node.make(call).await).expect("an answer");
    sent.await.expect("no panic").expect("all was read");
    assert_eq!(got["bytes"], count);
    got
}

#[tokio::test]
async fn an_input_comes_whole_and_within_its_credit() {
    let node = started();
    let got = measured(&node, 3_000_000).await;
    assert_eq!(got["content_type"], "text/x");
    assert_eq!(got["largest"], 65_536);
    let least = got["least"].as_i64().expect("a number");
    assert!((-65_535..=262_144).contains(&least), "{got}");
    let other = measured(&node, 3_000_000).await;
    assert_eq!(got["sha256"], other["sha256"]);
    assert_ne!(got["sha256"], measured(&node, 2_999_999).await["sha256"]);
    assert_eq!(measured(&node, 0).await["largest"], 0);
}

#[tokio::test]
async fn a_call_without_an_input_is_told_so() {
    let node = started();
    let got = node.ask("read", "all").await.expect("an answer");
    assert_eq!(got["why"], "at once");
}

#[tokio::test]
async fn an_answer_may_come_before_the_end_of_the_input() {
    let node = started();
    let (mut sender, call) = call(&node, "none");
    let got = result(node.make(call).await).expect("an answer");
    assert_eq!(got["bytes"], 0);
    assert_eq!(sender.ready().await, Err(Unwanted));
    assert_eq!(measured(&node, 10).await["pid"], got["pid"]);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_cancels_the_call_and_no_more() {
    let node = started();
    let pid = measured(&node, 10).await["pid"].clone();
    let (mut sender, call) = call(&node, "wait");
    let number = call.number;
    let made = tokio::spawn({
        let node = node.clone();
        async move { node.make(call).await }
    });
    sender.send(bytes(1_000)).await.expect("it is read");
    drop(sender);
    let reply = made.await.expect("no panic");
    assert_eq!(reply.result.expect_err("an error").code, Code::Cancelled);
    let why = node.dispatcher.why(number).await.expect("it runs");
    assert_eq!(why.len(), 1);
    // The worker ends the call, though the program lets others finish, and goes on.
    node.until("reader", |p| p.workers[0].running == 0).await;
    assert_eq!(measured(&node, 10).await["pid"], pid);
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_is_not_tried_again() {
    let node = started();
    let (mut sender, call) = call(&node, "die");
    let number = call.number;
    let made = tokio::spawn({
        let node = node.clone();
        async move { node.make(call).await }
    });
    while sender.send(bytes(1_000)).await.is_ok() {}
    let reply = made.await.expect("no panic");
    assert!(reply.idempotent, "the function says so");
    assert_eq!(reply.result.expect_err("an error").code, Code::WorkerDied);
    let why = node.dispatcher.why(number).await.expect("it runs");
    assert_eq!(why.len(), 1, "{why:?}");
    measured(&node, 10).await;
}

#[tokio::test]
async fn the_deadline_covers_the_input() {
    let node = Node::start();
    let mut program = reader();
    program.on_disconnect = OnDisconnect::Kill;
    node.apply(vec![program]);
    let pid = measured(&node, 10).await["pid"].clone();
    let (mut sender, mut call) = call(&node, "wait");
    call.deadline = Some(Instant::now() + Duration::from_millis(100));
    let (reply, sent) = tokio::join!(node.make(call), async {
        while sender.send(bytes(1_000)).await.is_ok() {}
        sender.ready().await
    });
    assert_eq!(reply.result.expect_err("an error").code, Code::Deadline);
    assert_eq!(sent, Err(Unwanted));
    assert_eq!(measured(&node, 10).await["pid"], pid);
}

#[tokio::test]
async fn who_asks_for_too_much_breaks_the_protocol() {
    let node = started();
    let (_sender, call) = call(&node, "greedy");
    let error = node.make(call).await.result.expect_err("an error");
    assert_eq!(error.code, Code::Protocol);
    assert!(error.message.contains("262144"), "{error}");
    let error = node.ask("read", "blind").await.expect_err("an error");
    assert_eq!(error.code, Code::Protocol);
    assert!(error.message.contains("no input"), "{error}");
}

#[tokio::test]
async fn a_call_that_does_not_read_stalls_its_own_client_alone() {
    let node = started();
    let (mut held, call) = call(&node, "hold");
    let made = tokio::spawn({
        let node = node.clone();
        async move { node.make(call).await }
    });
    node.until("reader", |p| {
        p.workers.first().is_some_and(|it| it.running == 1)
    })
    .await;
    for _ in 0..3 {
        measured(&node, 1_000_000).await;
    }
    assert!(ready(&mut held).is_pending(), "nothing was asked for");
    drop(held);
    let reply = made.await.expect("no panic");
    assert_eq!(reply.result.expect_err("an error").code, Code::Cancelled);
}

#[tokio::test]
async fn a_worker_may_write_answers_before_it_reads_the_input_that_it_asked_for() {
    let node = Node::start();
    node.apply(vec![raw("a", "asks a lot")]);
    let mut answers = JoinSet::new();
    for _ in 0..8 {
        let (mut sender, input) = input(None);
        let mut call = node.call("fill", json!({}));
        call.input = Some(input);
        tokio::spawn(async move { sender.send(vec![0; 1 << 20].into()).await });
        let caller = node.caller.clone();
        answers.spawn(async move { result(caller.call(call).await) });
    }
    while let Some(answer) = answers.join_next().await {
        answer
            .expect("no panic")
            .expect("an answer before the deadline");
    }
}

/// Whether an input may be sent now.
fn ready(sender: &mut InputSender) -> std::task::Poll<Result<(), Unwanted>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(sender.ready()).poll(&mut context)
}
