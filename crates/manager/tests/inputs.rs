//! Inputs of calls on their way to workers, which are real processes.

mod support;

use support::{Node, json, raw};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_worker_may_write_answers_before_it_reads_the_input_that_it_asked_for() {
    let node = Node::start();
    node.apply(vec![raw("a", "asks a lot")]);
    let mut answers = JoinSet::new();
    for _ in 0..8 {
        let (mut sender, input) = dispatch::input(None);
        let mut call = node.call("fill", serde_json::json!({}));
        call.input = Some(input);
        tokio::spawn(async move { sender.send(vec![0; 1 << 20].into()).await });
        let caller = node.caller.clone();
        answers.spawn(async move { json(caller.call(call).await) });
    }
    while let Some(answer) = answers.join_next().await {
        answer.unwrap().expect("an answer before the deadline");
    }
}
