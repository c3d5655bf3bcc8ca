//! Programs of dialect `http`: servers in different moods, and what callers see of them.

mod support;

use dispatch::{Answer, Call, CallError, Code, InputSender, Pieces, Reply, Unwanted, input};
use manager::dialect::http::{
    self, CONTENT_TYPE, FUNCTION, Health, Http, Request, RequestHead, ResponseHead,
};
use manager::dialect::template::Template;
use manager::{Dialect, Program, ProgramState};
use pool::{Description, Details, Function, Parameter, Type};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::{Node, kill, lives};
use term::{Payload, Shape};
use tokio::time::Instant;

fn function(name: &str, parameters: &[&str]) -> Function {
    let parameter = |name: &&str| Parameter {
        name: (*name).into(),
        r#type: Type::Any,
        required: true,
        doc: "".into(),
    };
    Function {
        name: name.into(),
        doc: "".into(),
        idempotent: false,
        stream: false,
        input: false,
        parameters: parameters.iter().map(parameter).collect(),
        result: Type::Any,
        examples: Vec::new(),
    }
}

/// A server in a mood, with functions that request what they are named for.
fn web(arguments: &[&str], slots: u16) -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/web.py");
    let mut program = support::program("web", &[&["python3", script], arguments].concat());
    let requests = [
        ("die-once", "GET /die-once", &[][..]),
        ("echo", "POST /echo/{place}", &["place", "value"][..]),
        ("flood", "GET /flood", &[][..]),
        ("hang", "GET /hang", &[][..]),
        ("status", "GET /status/{status}", &["status"][..]),
    ];
    let mut functions = vec![http::function()];
    let mut mapped = BTreeMap::new();
    for (name, request, parameters) in requests {
        functions.push(function(name, parameters));
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let request = Request {
            method: method.to_owned(),
            path: Template::parse(path, parameters).expect("a good template"),
        };
        mapped.insert(name.into(), request);
    }
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    program.process.dialect = Dialect::Http(Arc::new(Http {
        description: Arc::new(Description {
            details: Details::of_kind("raw"),
            terms: false,
            functions,
        }),
        slots,
        health: Health::Get("/health".to_owned()),
        functions: mapped,
    }));
    program
}

fn request(node: &Node, method: &str, target: &str, body: &[u8]) -> Call {
    let head = RequestHead {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: vec![
            ("x-there".to_owned(), "\u{e9}".to_owned()),
            ("connection".to_owned(), "close".to_owned()),
        ],
        ..RequestHead::default()
    };
    let payload = Payload::new(CONTENT_TYPE, http::pack(&head, body));
    let details = Details::of_kind("raw");
    Call::new(
        node.numbers.next(),
        details,
        FUNCTION,
        payload,
        Shape::Opaque,
    )
}

fn pieces(reply: Reply) -> Result<Pieces, CallError> {
    match reply.result? {
        Answer::Stream(pieces) => Ok(pieces),
        Answer::Whole(_) => panic!("expected a stream"),
    }
}

/// Head and body of a whole response.
async fn response(reply: Reply) -> Result<(ResponseHead, Vec<u8>), CallError> {
    let mut pieces = pieces(reply)?;
    let first = pieces.next().await.expect("a first piece")?;
    assert_eq!(first.content_type(), CONTENT_TYPE);
    let (head, begin) = http::unpack::<ResponseHead>(first.bytes()).expect("a packed response");
    let mut body = begin.to_vec();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(piece?.bytes());
    }
    Ok((head, body))
}

async fn get(node: &Node, target: &str) -> Result<(ResponseHead, Vec<u8>), CallError> {
    response(node.make(request(node, "GET", target, b"")).await).await
}

#[tokio::test]
async fn a_function_is_a_request_and_its_response_the_result() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    let call = node.call("echo", json!({"place": "a/b", "value": [1]}));
    let said = support::json(node.make(call).await).expect("an answer");
    assert_eq!(said["method"], "POST");
    assert_eq!(said["path"], "/echo/a%2Fb");
    assert_eq!(said["body"], "{\"value\":[1]}");
    assert_eq!(said["headers"]["content-type"], "application/json");
    assert!(said["headers"]["katamari-timeout-ms"].is_string(), "{said}");
}

#[tokio::test]
async fn a_status_is_an_error_of_a_function_and_an_answer_to_a_request() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    let call = node.call("status", json!([404]));
    let error = support::json(node.make(call).await).unwrap_err();
    assert_eq!(error.code, Code::WorkerError);
    assert!(error.message.contains("404"), "{error}");
    assert!(error.message.contains("as you like it"), "{error}");
    let (head, body) = get(&node, "/status/503").await.expect("an answer");
    assert_eq!(head.status, 503);
    assert_eq!(body, b"as you like it");
}

#[tokio::test]
async fn a_whole_request_goes_through_and_a_whole_response_comes_back() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    let call = request(&node, "PUT", "/any?where", b"\xff body");
    let (head, body) = response(node.make(call).await).await.expect("an answer");
    assert_eq!(head.status, 200);
    let header = |name: &str| {
        let found = head.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    };
    assert_eq!(header("x-back"), Some("yes"));
    assert_eq!(header("content-type"), Some("application/json"));
    let said: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(said["path"], "/any?where");
    assert_eq!(said["body"], "\u{ff} body");
    assert_eq!(said["headers"]["x-there"], "\u{e9}");
    assert_ne!(
        said["headers"]["connection"], "close",
        "that is not passed on"
    );
    let call = request(&node, "HEAD", "/any", b"");
    let (head, body) = response(node.make(call).await).await.expect("an answer");
    assert_eq!((head.status, &body[..]), (200, &b""[..]));
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let call = node.call("echo", json!(["x", 1]));
        let said = support::json(node.make(call).await).expect("an answer");
        clients.push(said["client"].clone());
    }
    assert_eq!(clients[0], clients[1]);
    assert_eq!(clients[1], clients[2]);
}

#[tokio::test]
async fn a_program_can_listen_on_a_socket() {
    let node = Node::start();
    let mut program = web(&["good"], 1);
    let socket = ("SOCKET".to_owned(), "unix:{socket}".to_owned());
    program.process.env.extend([socket]);
    node.apply(vec![program]);
    let call = node.call("echo", json!(["x", 1]));
    support::json(node.make(call).await).expect("an answer");
}

#[tokio::test]
async fn a_long_response_streams_and_waits_for_its_reader() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    // Far more than the credit of a stream.
    let (head, body) = get(&node, "/stream?700").await.expect("an answer");
    assert_eq!(head.status, 200);
    let lines = body.split(|&byte| byte == b'\n').count() - 1;
    assert_eq!(lines, 700 * 1000);
}

#[tokio::test]
async fn an_endless_response_of_a_function_is_too_large() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 2)]);
    let error = support::json(node.make(node.call("flood", json!({}))).await).unwrap_err();
    assert_eq!(error.code, Code::TooLarge);
    let (head, _) = get(&node, "/any").await.expect("it lives on");
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn a_death_in_mid_call_is_told_with_all_that_is_known() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    let error = get(&node, "/die").await.unwrap_err();
    assert_eq!(error.code, Code::WorkerDied);
    let detail = error.detail.expect("details of the death");
    assert_eq!(detail.signal, Some(9));
    assert_eq!(detail.stderr, ["about to fall over"]);
    assert_eq!(get(&node, "/any").await.expect("another one").0.status, 200);
}

#[tokio::test]
async fn an_idempotent_call_survives_a_death() {
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("marker");
    let node = Node::start();
    node.apply(vec![web(&["once", &marker.to_string_lossy()], 1)]);
    let mut call = node.call("die-once", json!({}));
    call.idempotent = Some(true);
    let said = support::json(node.make(call).await).expect("an answer of the second worker");
    assert_eq!(said["path"], "/die-once");
}

#[tokio::test]
async fn a_connection_that_breaks_while_the_process_lives_is_answered_for() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    let before = node.until("web", |p| p.workers_live == 1).await.workers[0].pid;
    let error = get(&node, "/drop").await.unwrap_err();
    assert_eq!(error.code, Code::WorkerDied);
    assert!(error.message.contains("did not answer"), "{error}");
    assert_eq!(get(&node, "/any").await.expect("it lives").0.status, 200);
    assert_eq!(node.program("web").await.workers[0].pid, before);
}

#[tokio::test]
async fn with_one_slot_a_call_that_overruns_costs_the_worker() {
    let node = Node::start();
    let mut program = web(&["good"], 1);
    program.timeouts.stop = Duration::from_millis(50);
    node.apply(vec![program]);
    let pid = node.until("web", |p| p.workers_live == 1).await.workers[0].pid;
    let mut call = node.call("hang", json!({}));
    call.deadline = Some(Instant::now() + Duration::from_millis(100));
    let error = support::json(node.make(call).await).unwrap_err();
    assert_eq!(error.code, Code::Deadline);
    node.until("web", |p| p.failures == 1 && p.workers_live == 1)
        .await;
    assert!(!lives(pid.into()));
}

#[tokio::test]
async fn with_several_slots_a_call_that_overruns_costs_its_connection() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 2)]);
    let pid = node.until("web", |p| p.workers_live == 1).await.workers[0].pid;
    let mut call = node.call("hang", json!({}));
    call.deadline = Some(Instant::now() + Duration::from_millis(100));
    let error = support::json(node.make(call).await).unwrap_err();
    assert_eq!(error.code, Code::Deadline);
    // The program sees that.
    while get(&node, "/closed").await.expect("an answer").1 != b"[\"/hang\"]" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = node.program("web").await;
    assert_eq!((status.failures, status.workers[0].pid), (0, pid));
    assert_eq!(status.workers[0].running, 0);
}

#[tokio::test]
async fn health_that_never_comes_is_a_failure_that_says_why() {
    let node = Node::start();
    let mut program = web(&["sick"], 1);
    program.timeouts.start = Duration::from_millis(700);
    node.apply(vec![program]);
    let status = node.until("web", |p| p.failures >= 1).await;
    let problem = status.problem.expect("a problem");
    assert!(problem.contains("was not well"), "{problem}");
    assert!(problem.contains("start_timeout"), "{problem}");
    assert_eq!(status.workers_live, 0);
}

#[tokio::test]
async fn a_worker_whose_port_is_taken_is_followed_by_one_with_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("marker");
    let node = Node::start();
    node.apply(vec![web(&["taken", &marker.to_string_lossy()], 1)]);
    node.until("web", |p| p.failures == 1 && p.workers_live == 1)
        .await;
    assert_eq!(get(&node, "/any").await.expect("an answer").0.status, 200);
}

#[tokio::test]
async fn an_idle_worker_that_answers_no_ping_is_replaced() {
    let node = Node::start();
    let mut program = web(&["good"], 1);
    program.timeouts.ping_every = Duration::from_millis(50);
    program.timeouts.ping = Duration::from_millis(300);
    node.apply(vec![program]);
    let pid = node.until("web", |p| p.workers_live == 1).await.workers[0].pid;
    support::stop(pid);
    let after = node
        .until("web", |p| p.failures == 1 && p.workers_live == 1)
        .await;
    assert_ne!(after.workers[0].pid, pid);
    assert_eq!(after.state, ProgramState::Running);
}

#[tokio::test]
async fn a_program_that_is_told_to_stop_ends_and_so_does_its_folder() {
    let node = Node::start();
    let mut program = web(&["good"], 1);
    let socket = ("SOCKET".to_owned(), "{socket}".to_owned());
    program.process.env.extend([socket]);
    node.apply(vec![program]);
    let pid = node.until("web", |p| p.workers_live == 1).await.workers[0].pid;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    let entries = environment.split(|&byte| byte == 0);
    let mut entries = entries.filter_map(|entry| std::str::from_utf8(entry).ok());
    let path = entries.find_map(|entry| entry.strip_prefix("SOCKET=").map(str::to_owned));
    let path = path.expect("its socket");
    assert!(std::path::Path::new(&path).exists());
    node.manager.stop().await;
    assert!(!lives(pid.into()));
    assert!(!std::path::Path::new(&path).exists());
}

#[tokio::test]
async fn a_kill_from_outside_while_idle_is_made_good() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 4)]);
    let pid = node.until("web", |p| p.workers_live == 1).await.workers[0].pid;
    kill(pid);
    node.until("web", |p| p.failures == 1 && p.workers_live == 1)
        .await;
    assert_eq!(get(&node, "/any").await.expect("an answer").0.status, 200);
}

/// A call of the function `http` with an input.
fn upload(node: &Node, target: &str, length: Option<usize>) -> (InputSender, Call) {
    let mut head = RequestHead {
        method: "POST".to_owned(),
        target: target.to_owned(),
        ..RequestHead::default()
    };
    let length = length.map(|length| ("content-length".to_owned(), length.to_string()));
    head.headers.extend(length);
    let mut call = request(node, "POST", target, b"");
    call.payload = Payload::new(CONTENT_TYPE, http::pack(&head, b""));
    let (sender, input) = input(None);
    call.input = Some(input);
    (sender, call)
}

#[tokio::test]
async fn a_body_comes_to_the_program_as_it_comes_from_the_client() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    for length in [None, Some(1_000_000)] {
        let (mut sender, call) = upload(&node, "/any", length);
        let send = async {
            for _ in 0..10 {
                sender.send(vec![b'x'; 100_000].into()).await?;
            }
            sender.end();
            Ok::<_, Unwanted>(())
        };
        let (reply, sent) = tokio::join!(node.make(call), send);
        assert_eq!(sent, Ok(()));
        let (_, body) = response(reply).await.expect("an answer");
        let said: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(said["body"].as_str().map(str::len), Some(1_000_000));
        let header = |name: &str| said["headers"][name].as_str();
        let expected = match length {
            None => (None, Some("chunked")),
            Some(_) => (Some("1000000"), None),
        };
        assert_eq!(
            (header("content-length"), header("transfer-encoding")),
            expected
        );
    }
}

#[tokio::test]
async fn a_program_may_answer_before_it_has_read_the_body() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 1)]);
    let (mut sender, call) = upload(&node, "/early", None);
    let (head, body) = response(node.make(call).await).await.expect("an answer");
    assert_eq!((head.status, &body[..]), (200, &b"enough"[..]));
    while sender.send(vec![b'x'; 100_000].into()).await.is_ok() {}
    assert_eq!(get(&node, "/any").await.expect("it lives").0.status, 200);
}

#[tokio::test]
async fn a_program_sees_that_its_client_left_in_the_middle() {
    let node = Node::start();
    node.apply(vec![web(&["good"], 2)]);
    let pid = node.until("web", |p| p.workers_live == 1).await.workers[0].pid;
    let (mut sender, call) = upload(&node, "/any?half", None);
    let send = async {
        let sent = sender.send(vec![b'x'; 100_000].into()).await;
        drop(sender);
        sent
    };
    let (reply, sent) = tokio::join!(node.make(call), send);
    assert_eq!(sent, Ok(()));
    assert_eq!(reply.result.expect_err("an error").code, Code::Cancelled);
    while get(&node, "/closed").await.expect("an answer").1 != b"[\"/any?half\"]" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = node.program("web").await;
    assert_eq!((status.failures, status.workers[0].pid), (0, pid));
}
