//! Dialect `classic` with real processes that break it: whatever they write, their own call fails with
//! a clear error, they are replaced, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dispatch::{CallError, Code};
use manager::{Dialect, Program};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Node, lives};
use tokio::time::Instant;

/// A program of one worker of 2008 that behaves in that way.
fn classic(name: &str, way: &str) -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/classic.py");
    let mut program = support::program(name, &["python3", script, way]);
    program.process.dialect = Dialect::Classic;
    program
}

/// Calls `raw.f`, which gives the pid of its worker unless the value asks for something else.
async fn ask(node: &Node, value: &str) -> Result<Value, CallError> {
    support::json(node.make(node.call("f", json!({ "value": value }))).await)
}

#[tokio::test]
async fn answers_that_break_the_protocol_fail_the_call_and_the_worker_but_nobody_else() {
    let node = Node::start();
    node.apply(vec![classic("a", "good")]);
    for (failures, (wish, problem)) in (1..).zip([
        ("not a term", "expected a term of Erlang at byte 1"),
        ("half a term", "expected a term of Erlang"),
        (
            "oversized",
            "expected a message of 2 to 16777216 bytes, got a length of 16777217",
        ),
        ("deep", "expected a term of Erlang"),
        ("promise", "expected a term of Erlang"),
        (
            "no word",
            "got a tuple of 2 elements that begins with the atom \"reply\"",
        ),
    ]) {
        let before = ask(&node, "pid").await.unwrap().as_u64().unwrap();
        let error = ask(&node, wish).await.unwrap_err();
        assert_eq!(error.code, Code::Protocol, "{wish}: {error}");
        assert!(error.message.contains(problem), "{wish}: {error}");
        let status = node
            .until("a", |program| program.failures == failures)
            .await;
        assert!(!lives(before), "{wish}: {status:?}");
        let after = ask(&node, "pid").await.unwrap().as_u64().unwrap();
        assert_ne!(before, after, "{wish}");
    }
}

#[tokio::test]
async fn a_result_that_is_no_json_fails_its_call_and_no_worker() {
    let node = Node::start();
    node.apply(vec![classic("a", "good")]);
    let before = ask(&node, "pid").await.unwrap();
    let error = ask(&node, "not text").await.unwrap_err();
    assert_eq!(error.code, Code::WorkerError, "{error}");
    assert!(error.message.contains("becomes JSON"), "{error}");
    assert_eq!(ask(&node, "pid").await.unwrap(), before, "it lives on");
}

#[tokio::test]
async fn an_answer_that_breaks_off_with_its_worker_is_a_death_in_mid_call() {
    let node = Node::start();
    node.apply(vec![classic("a", "good")]);
    ask(&node, "pid").await.unwrap();
    let error = ask(&node, "cut off").await.unwrap_err();
    assert_eq!(error.code, Code::WorkerDied, "{error}");
    assert_eq!(error.detail.unwrap().status, Some(7));
    assert!(ask(&node, "pid").await.is_ok(), "by its successor");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_ends_its_worker_and_no_call() {
    let node = Node::start();
    node.apply(vec![classic("a", "good")]);
    assert_eq!(
        ask(&node, "twice").await.unwrap(),
        1,
        "the first one counts"
    );
    // Not before: its worker could be given the call.
    node.apply(vec![classic("a", "good"), classic("b", "unasked")]);
    for name in ["a", "b"] {
        let status = node.until(name, |program| program.failures > 0).await;
        let problem = status.problem.unwrap_or_default();
        let said = problem + &status.log.join("\n");
        assert!(said.contains("nobody had called"), "{name}: {said}");
    }
}

#[tokio::test]
async fn interrogations_that_come_to_nothing_have_a_clear_state_and_harm_nobody() {
    let node = Node::start();
    let mut silent = classic("silent", "silent");
    silent.timeouts.start = Duration::from_millis(500);
    let cases = [
        ("deep api", "expected a term of Erlang"),
        ("large api", "expected a message of 2 to 4194304 bytes"),
        ("text", "as text: \"Traceback (most recent call last)"),
        ("cut api", "exited with status 3 during the interrogation"),
    ];
    let mut programs = vec![classic("good", "good"), silent];
    programs.extend(cases.iter().map(|(way, _)| classic(way, way)));
    node.apply(programs);
    for (name, problem) in cases
        .iter()
        .chain(&[("silent", "did not answer api and config")])
    {
        let status = node.until(name, |program| program.problem.is_some()).await;
        let said = status.problem.unwrap();
        assert!(said.contains(problem), "{name}: {said}");
    }
    assert!(ask(&node, "pid").await.is_ok());
}

#[tokio::test]
async fn one_that_ignores_sigterm_at_its_deadline_is_killed_and_replaced() {
    let node = Node::start();
    let mut program = classic("a", "stubborn");
    program.timeouts.terminate = Duration::from_millis(50);
    node.apply(vec![program]);
    let before = ask(&node, "pid").await.unwrap().as_u64().unwrap();
    let mut call = node.call("f", json!({ "value": "hang" }));
    call.deadline = Some(Instant::now() + Duration::from_millis(200));
    let error = node.make(call).await.result.unwrap_err();
    assert_eq!(error.code, Code::Deadline, "{error}");
    node.until("a", |program| program.failures == 1).await;
    assert!(!lives(before));
    assert_ne!(ask(&node, "pid").await.unwrap(), before);
}
