//! Programs of dialect `exec`: a process for each call, friendly and hostile ones.

mod support;

use dispatch::Code;
use manager::dialect::Exec;
use manager::dialect::exec::{Output, Run, Stdin};
use manager::dialect::template::Template;
use manager::{Dialect, Program, ProgramState};
use pool::{Description, Details, Function, Parameter, Type};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::{Node, lives};
use tokio::time::Instant;

/// A program that runs a script in sh, with the argument `a` as `$1` and `text` on stdin.
fn shell(script: &str, output: Output) -> Program {
    let mut program = support::program("shell", &["sh", "-c", script, "sh"]);
    let names = ["text", "a"];
    let parameter = |name: &str| Parameter {
        name: name.into(),
        r#type: Type::Any,
        required: false,
        doc: "".into(),
    };
    let function = Function {
        name: "run".into(),
        doc: "".into(),
        idempotent: false,
        stream: false,
        input: false,
        parameters: names.map(parameter).to_vec(),
        result: Type::Any,
        examples: Vec::new(),
    };
    let run = Run {
        arguments: vec![Template::parse("{a}", &names).expect("a good template")],
        stdin: Stdin::Parameter("text".to_owned()),
        output,
    };
    program.process.dialect = Dialect::Exec(Arc::new(Exec {
        description: Arc::new(Description {
            details: Details::of_kind("raw"),
            terms: false,
            functions: vec![function],
        }),
        functions: BTreeMap::from([("run".into(), run)]),
    }));
    program
}

async fn ask(node: &Node, arguments: Value) -> Result<Value, dispatch::CallError> {
    support::json(node.make(node.call("run", arguments)).await)
}

#[tokio::test]
async fn a_process_gets_its_arguments_and_its_output_is_the_result() {
    let node = Node::start();
    node.apply(vec![shell(r#"printf '%s|' "$#" "$1"; cat"#, Output::Text)]);
    let told = ask(&node, json!({"a": "$(id); x", "text": "in\n"})).await;
    assert_eq!(told, Ok(json!("1|$(id); x|in\n")));
    let told = ask(&node, json!({})).await;
    assert_eq!(told, Ok(json!("0||")), "an absent argument is left out");
}

#[tokio::test]
async fn output_can_be_json() {
    let node = Node::start();
    node.apply(vec![shell("cat", Output::Json)]);
    assert_eq!(ask(&node, json!(["[1, 2]"])).await, Ok(json!([1, 2])));
    let error = ask(&node, json!(["[1, 2"])).await.unwrap_err();
    assert_eq!(error.code, Code::WorkerError);
    assert!(error.message.contains("expected one JSON value"), "{error}");
}

#[tokio::test]
async fn another_status_than_0_is_an_error_with_what_was_said() {
    let node = Node::start();
    node.apply(vec![shell("echo no such thing >&2; exit 3", Output::Text)]);
    let error = ask(&node, json!({})).await.unwrap_err();
    assert_eq!(error.code, Code::WorkerError);
    assert_eq!(error.message, "exited with status 3: no such thing");
    let detail = error.detail.expect("details");
    assert_eq!(detail.status, Some(3));
    assert_eq!(detail.stderr, ["no such thing"]);
    assert_eq!(
        node.program("shell").await.failures,
        0,
        "that is no failure"
    );
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let node = Node::start();
    node.apply(vec![shell("echo $$ >&2; exec yes", Output::Text)]);
    let error = ask(&node, json!({})).await.unwrap_err();
    assert_eq!(error.code, Code::TooLarge);
    let pid = error.detail.expect("details").pid.expect("a pid");
    assert!(!lives(pid.into()));
}

#[tokio::test]
async fn a_process_need_not_read_its_input() {
    let node = Node::start();
    node.apply(vec![shell("echo done", Output::Text)]);
    node.until("shell", |p| p.workers_live == 1).await;
    let told = ask(&node, json!({"text": "x".repeat(8 << 20)})).await;
    assert_eq!(told, Ok(json!("done\n")));
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_at_its_deadline() {
    let node = Node::start();
    let script = r#"if [ "$1" ]; then trap '' TERM; while :; do sleep 0.05; done; fi; echo fine"#;
    let mut program = shell(script, Output::Text);
    program.timeouts.terminate = Duration::from_millis(50);
    node.apply(vec![program]);
    let mut call = node.call("run", json!({"a": "hang"}));
    call.deadline = Some(Instant::now() + Duration::from_millis(300));
    let mut made = Box::pin(node.make(call));
    let busy = tokio::select! {
        status = node.until("shell", |p| p.workers.iter().any(|w| w.pid != 0)) => status,
        _ = &mut made => panic!("it hangs until its deadline"),
    };
    let error = support::json(made.await).unwrap_err();
    assert_eq!(error.code, Code::Deadline);
    assert_eq!(ask(&node, json!({})).await, Ok(json!("fine\n")));
    let pid = busy.workers.iter().map(|w| w.pid).max().expect("a pid");
    assert!(!lives(pid.into()), "its slot was free only after its end");
}

#[tokio::test]
async fn what_a_process_leaves_behind_neither_holds_its_answer_up_nor_lives_on() {
    let node = Node::start();
    node.apply(vec![shell("sleep 1000 & echo $!", Output::Json)]);
    let pid = ask(&node, json!({})).await.expect("at once");
    let pid = pid.as_u64().expect("a pid");
    let start = Instant::now();
    while lives(pid) {
        assert!(start.elapsed() < Duration::from_secs(10), "it was killed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn no_more_processes_run_than_there_are_workers() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let node = Node::start();
    let mut program = shell(
        r#"echo + >> "$1"; sleep 0.05; echo - >> "$1""#,
        Output::Text,
    );
    program.workers = 2;
    node.apply(vec![program]);
    let ask = || ask(&node, json!({"a": log.to_string_lossy()}));
    let (a, b, c, d, e) = tokio::join!(ask(), ask(), ask(), ask(), ask());
    for told in [a, b, c, d, e] {
        assert_eq!(told, Ok(json!("")));
    }
    let (mut running, mut most) = (0, 0);
    for line in std::fs::read_to_string(&log).expect("the log").lines() {
        running += if line == "+" { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!((running, most), (0, 2));
}

#[tokio::test]
async fn a_signal_is_a_death_and_an_idempotent_call_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("marker");
    let node = Node::start();
    let script = r#"mkdir "$1" && kill -KILL $$; echo again"#;
    node.apply(vec![shell(script, Output::Text)]);
    let arguments = json!({"a": marker.to_string_lossy()});
    let mut call = node.call("run", arguments.clone());
    call.idempotent = Some(true);
    assert_eq!(support::json(node.make(call).await), Ok(json!("again\n")));
    std::fs::remove_dir(&marker).expect("made above");
    let error = ask(&node, arguments).await.unwrap_err();
    assert_eq!(error.code, Code::WorkerDied);
    assert_eq!(error.detail.expect("details").signal, Some(9));
}

#[tokio::test]
async fn a_process_above_its_memory_is_killed_and_not_tried_again() {
    let node = Node::start();
    let script = r#"exec python3 -c 'import time; x = "x" * (200 << 20); time.sleep(60)'"#;
    let mut program = shell(script, Output::Text);
    program.limits.memory_max = Some(100 << 20);
    node.apply(vec![program]);
    let mut call = node.call("run", json!({}));
    call.idempotent = Some(true);
    let error = support::json(node.make(call).await).unwrap_err();
    assert_eq!(error.code, Code::WorkerDied);
    assert!(error.message.contains("memory_max of 100 MiB"), "{error}");
    assert!(error.detail.expect("details").poisonous);
}

#[tokio::test]
async fn a_missing_command_is_told_at_the_start() {
    let node = Node::start();
    let mut program = shell("", Output::Text);
    program.process.command[0] = "/no/such/program".to_owned();
    node.apply(vec![program]);
    let status = node.until("shell", |p| p.problem.is_some()).await;
    let problem = status.problem.expect("just seen");
    assert_eq!(problem, "there is no program /no/such/program");
    assert_eq!(status.workers_live, 0);
    assert_ne!(status.state, ProgramState::Running);
}

#[tokio::test]
async fn a_program_that_stops_finishes_its_calls_first() {
    let node = Node::start();
    node.apply(vec![shell("sleep 0.3; echo done", Output::Text)]);
    let call = ask(&node, json!({}));
    let stop = async {
        node.until("shell", |p| p.workers.iter().any(|w| w.pid != 0))
            .await;
        node.manager.stop().await;
    };
    let (told, ()) = tokio::join!(call, stop);
    assert_eq!(told, Ok(json!("done\n")));
}

#[tokio::test]
async fn a_program_that_is_killed_leaves_no_process() {
    let node = Node::start();
    node.apply(vec![shell("exec sleep 1000", Output::Text)]);
    let call = ask(&node, json!({}));
    let end = async {
        let is_busy = |w: &manager::WorkerStatus| w.pid != 0;
        let busy = node.until("shell", |p| p.workers.iter().any(is_busy)).await;
        node.manager.kill().await;
        busy.workers
            .into_iter()
            .find(is_busy)
            .expect("just seen")
            .pid
    };
    let (told, pid) = tokio::join!(call, end);
    assert_eq!(told.unwrap_err().code, Code::WorkerDied);
    assert!(!lives(pid.into()));
}
