//! Nothing that a worker sends reaches the cluster beyond what the rules of nested calls allow. The
//! worker is hostile and writes its frames by hand. What chassis can send as well is in `nested.rs`
//! (depth, deadlock) and `supervision.rs` (answers that are no JSON, or come twice).

mod support;

use dispatch::{CallError, Code};
use manager::Program;
use pool::Class;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Node, json as result, program};
use tokio::time::Instant;

/// A program of one worker of the kind of its name.
fn hostile(name: &str, attack: &str) -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/hostile.py");
    let mut program = program(name, &["python3", script, name, attack]);
    program.calls = vec!["victim".into()];
    program
}

/// A node with a victim, which all may call, and a secret, which nobody may.
fn node(attacks: &[&str]) -> Node {
    let node = Node::start();
    let attacks = attacks.iter().map(|attack| hostile(attack, attack));
    let victims = ["victim", "secret"].map(|name| hostile(name, "victim"));
    node.apply(attacks.chain(victims).collect());
    node
}

async fn call(node: &Node, kind: &str, function: &str) -> Result<Value, CallError> {
    result(node.make(node.call_kind(kind, function, json!({}))).await)
}

/// Nobody was harmed: the same two processes live, the secret was called by nobody but this test, and
/// the victim `calls` times by others.
async fn unharmed(node: &Node, before: &[Value; 2], calls: u64) {
    for (name, before, calls) in [("victim", &before[0], calls), ("secret", &before[1], 0)] {
        let after = call(node, name, "seen").await.expect("it lives");
        assert_eq!(after["pid"], before["pid"], "{name} was replaced");
        let more = after["calls"].as_u64().zip(before["calls"].as_u64());
        let more = more.map(|(after, before)| after - before - 1);
        assert_eq!(more, Some(calls), "calls of {name} that were not ours");
        assert_eq!(node.program(name).await.failures, 0);
    }
}

async fn victims(node: &Node) -> [Value; 2] {
    [
        call(node, "victim", "seen").await.expect("an answer"),
        call(node, "secret", "seen").await.expect("an answer"),
    ]
}

#[tokio::test]
async fn what_a_program_does_not_list_is_refused_and_never_reached() {
    let node = node(&["forbidden"]);
    let before = victims(&node).await;
    let told = call(&node, "forbidden", "attack").await.expect("it lives");
    assert_eq!(told, json!(["not_allowed"; 4].map(Value::from)));
    unharmed(&node, &before, 0).await;
}

#[tokio::test]
async fn nobody_gets_above_the_class_and_the_deadline_of_its_own_call() {
    let node = node(&["above"]);
    let before = victims(&node).await;
    let mut attack = node.call_kind("above", "attack", json!({}));
    attack.class = Class::Low;
    attack.deadline = Some(Instant::now() + Duration::from_secs(5));
    let told = result(node.make(attack).await).expect("it lives");
    for told in told.as_array().expect("two calls") {
        assert_eq!(told["class"], "low", "{told}");
        let left = told["timeout_ms"].as_u64().expect("a number");
        assert!(left <= 5_000, "{left} ms of 5 s");
    }
    unharmed(&node, &before, 2).await;
}

#[tokio::test]
async fn sixteen_nested_calls_are_in_flight_and_end_with_their_parent() {
    let node = node(&["many"]);
    let before = victims(&node).await;
    let told = call(&node, "many", "attack").await.expect("it lives");
    assert_eq!(told, json!(["not_allowed"; 4].map(Value::from)));
    let is_idle = |program: &manager::ProgramStatus| program.workers[0].running == 0;
    node.until("victim", is_idle).await;
    unharmed(&node, &before, 0).await;
}

#[tokio::test]
async fn one_that_asks_for_ever_and_never_listens_ends_with_its_deadline() {
    let node = node(&["flood"]);
    let before = victims(&node).await;
    let mut attack = node.call_kind("flood", "attack", json!({}));
    attack.deadline = Some(Instant::now() + Duration::from_millis(500));
    let error = result(node.make(attack).await).expect_err("it answers nothing");
    assert_eq!(error.code, Code::Deadline, "{error}");
    unharmed(&node, &before, 0).await;
}

#[tokio::test]
async fn a_breach_fails_its_own_call_and_ends_its_own_worker() {
    let breaches = [
        ("orphan", "which it does not hold"),
        ("stolen", "which it does not hold"),
        ("twins", "two nested calls with the number 1"),
        ("unknown", "got 'Z'"),
        ("oversized", "got a length of 1073741824"),
        ("foreign", "which it does not hold"),
        ("hello", "hello"),
    ];
    let node = node(&breaches.map(|(attack, _)| attack));
    // A call of another worker is there to be stolen.
    let before = victims(&node).await;
    let mut held = node.call_kind("victim", "hold", json!({}));
    held.deadline = Some(Instant::now() + Duration::from_secs(9));
    let caller = node.caller.clone();
    let held = tokio::spawn(async move { caller.call(held).await });
    for (attack, problem) in breaches {
        let error = call(&node, attack, "attack").await.expect_err(attack);
        assert_eq!(error.code, Code::Protocol, "{attack}: {error}");
        assert!(error.message.contains(problem), "{attack}: {error}");
        let hurt = node.until(attack, |program| program.failures > 0).await;
        assert_eq!(hurt.failures, 1, "{attack}");
        // And the next worker serves.
        node.until(attack, |program| program.workers_live == 1)
            .await;
    }
    unharmed(&node, &before, 0).await;
    assert!(!held.is_finished(), "somebody else answered or ended it");
    held.abort();
}
