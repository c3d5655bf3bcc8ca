//! Calls from inside calls, made by a worker on the Python chassis.

mod support;

use manager::Program;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Node, json as result, raw};

/// A program of workers of kind `conformance`, which may call their own kind and `raw`.
fn conformance(workers: usize) -> Program {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../chassis/python/tests/conformance.py"
    );
    let mut program = support::program("conformance", &["python3", script]);
    program.workers = workers;
    program.calls = vec!["conformance".into(), "raw".into()];
    program
}

/// The arguments of `nested`, for a call of one function.
fn nested(kind: &str, function: &str, arguments: &Value) -> Value {
    json!({ "kind": kind, "function": function, "arguments": arguments })
}

async fn ask(node: &Node, function: &str, arguments: Value) -> Value {
    result(
        node.make(node.call_kind("conformance", function, arguments))
            .await,
    )
    .expect("an answer")
}

#[tokio::test]
async fn a_worker_calls_another_and_sees_its_answer_or_its_error() {
    let node = Node::start();
    node.apply(vec![conformance(1), raw("raw", "good")]);
    let answer = ask(&node, "nested", nested("raw", "once", &json!({}))).await;
    assert!(answer["result"]["pid"].is_number(), "{answer}");
    let misfit = ask(
        &node,
        "nested",
        nested("raw", "once", &json!({ "valu": 1 })),
    )
    .await;
    assert_eq!(misfit, json!({ "error": "bad_arguments" }));
    let unknown = ask(&node, "nested", nested("raw", "none", &json!({}))).await;
    assert_eq!(unknown, json!({ "error": "no_function" }));
}

#[tokio::test]
async fn a_program_calls_only_what_it_lists() {
    let node = Node::start();
    let mut program = conformance(1);
    program.calls.clear();
    node.apply(vec![program, raw("raw", "good")]);
    let answer = ask(&node, "nested", nested("raw", "once", &json!({}))).await;
    assert_eq!(answer, json!({ "error": "not_allowed" }));
}

#[tokio::test]
async fn a_call_that_could_only_wait_for_itself_is_told_at_once() {
    let node = Node::start();
    node.apply(vec![conformance(1)]);
    let echo = json!({ "value": 1 });
    let answer = ask(&node, "nested", nested("conformance", "echo", &echo)).await;
    assert_eq!(answer, json!({ "error": "deadlock" }));
}

#[tokio::test]
async fn calls_nest_eight_deep() {
    let node = Node::start();
    node.apply(vec![conformance(11)]);
    node.until("conformance", |program| program.workers_live == 11)
        .await;
    let chain = |depth: usize| {
        let mut arguments = json!({ "value": "bottom" });
        let mut function = "echo";
        for _ in 0..depth {
            arguments = nested("conformance", function, &arguments);
            function = "nested";
        }
        arguments
    };
    let deep = ask(&node, "nested", chain(8)).await.to_string();
    assert!(deep.contains("bottom"), "{deep}");
    let too_deep = ask(&node, "nested", chain(9)).await.to_string();
    assert!(too_deep.contains("not_allowed"), "{too_deep}");
}

#[tokio::test]
async fn a_nested_call_inherits_the_deadline() {
    let node = Node::start();
    let mut program = conformance(2);
    program.timeouts.call = Duration::from_secs(20);
    node.apply(vec![program]);
    node.until("conformance", |program| program.workers_live == 2)
        .await;
    let arguments = nested("conformance", "remaining", &json!({}));
    let mut call = node.call_kind("conformance", "nested", arguments);
    call.deadline = Some(tokio::time::Instant::now() + Duration::from_secs(5));
    let answer = result(node.make(call).await).unwrap();
    let remaining = answer["result"].as_u64().unwrap();
    assert!((1..=5_000).contains(&remaining), "{remaining} ms of 5 s");
}

#[tokio::test]
async fn a_stream_without_pieces_is_a_stream() {
    let node = Node::start();
    node.apply(vec![conformance(1)]);
    let arguments = json!({ "to": 0, "size": 0 });
    let reply = node
        .make(node.call_kind("conformance", "count", arguments))
        .await;
    let Ok(dispatch::Answer::Stream(mut pieces)) = reply.result else {
        panic!("expected a stream, got {reply:?}")
    };
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn nested_calls_end_with_their_parent() {
    let node = Node::start();
    node.apply(vec![conformance(2)]);
    node.until("conformance", |program| program.workers_live == 2)
        .await;
    let sleep = json!({ "ms": 60_000 });
    let arguments = nested("conformance", "sleep", &sleep);
    let mut call = node.call_kind("conformance", "nested", arguments);
    call.deadline = Some(tokio::time::Instant::now() + Duration::from_millis(300));
    assert!(node.make(call).await.result.is_err());
    // The sleeper sees its cancellation and lives on.
    node.until("conformance", |p| p.workers.iter().any(|w| w.running == 0))
        .await;
    let echo = ask(&node, "echo", json!({ "value": 1 })).await;
    assert_eq!(echo, 1);
}
