//! What a node shows: `/status`, `/healthz`, `/readyz`, `/metrics`, `/`, and over the control
//! socket `/why` and `/operate`. The pools are those of a real dispatcher.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use dispatch::{Assignment, Call, Caller, Dispatcher, Limits, Notice, Notices, Refused, Slots};
use faceplate::access::{Token, hash};
use faceplate::control;
use faceplate::control::Operator;
use futures_util::future::{BoxFuture, ready};
use manager::{ProgramState, ProgramStatus, WorkerState, WorkerStatus};
use pool::{
    CallId, Class, Description, Details, Epoch, Introduction, Program, SlotId, StopReason, WorkerId,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Client, Scene, Server, WORKER, stage, within};
use term::{Payload, Shape};
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Gives assignments to the test.
struct Seen(mpsc::UnboundedSender<Assignment>);

impl Slots for Seen {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        self.0.send(assignment).map_err(|_| Refused)
    }

    fn stop(&self, _call: CallId, _why: StopReason) {}
}

const SLOT: SlotId = SlotId {
    worker: WORKER,
    index: 0,
};

fn dispatcher() -> (Dispatcher, Notices) {
    let limits = Limits {
        timeout: Duration::from_secs(10),
        lobby_max: 10,
        lobby_bytes_max: 1 << 20,
    };
    let (run, dispatcher, notices) = dispatch::new(WORKER.node, &limits);
    tokio::spawn(run.run());
    notices.send(Notice::Program(parser()));
    (dispatcher, notices)
}

fn parser() -> Program {
    Program {
        name: "parser".into(),
        weight: 2,
        timeout: Duration::from_secs(10),
        queue_max: 7,
        queue_bytes_max: 1 << 20,
    }
}

fn introduce(notices: &Notices) -> mpsc::UnboundedReceiver<Assignment> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let description: Description = serde_json::from_str(
        r#"{"kind": "parse", "versions": {"grammar": "1.2"}, "tags": ["en"],
            "functions": [{"name": "linkage", "parameters": [{"name": "text"}]}]}"#,
    )
    .unwrap();
    let introduction = Introduction {
        worker: WORKER,
        program: "parser".into(),
        description: Arc::new(description),
        slots: 1,
        batch_max: 1,
    };
    let slots = Box::new(Seen(sender));
    notices.send(Notice::Introduced {
        introduction,
        program: parser(),
        pid: 4321,
        slots,
    });
    notices.send(Notice::Offered {
        slot: SLOT,
        epoch: Epoch(1),
    });
    receiver
}

fn program(state: ProgramState, ready: usize) -> ProgramStatus {
    let worker = |number: usize| WorkerStatus {
        id: WorkerId {
            number: number as u32,
            ..WORKER
        },
        pid: 100,
        state: WorkerState::Ready,
        age_s: 1.5,
        calls: 3,
        running: 1,
        memory_bytes: 1_000,
    };
    ProgramStatus {
        version: 1,
        name: "parser".into(),
        state,
        problem: None,
        workers_wanted: 2,
        spare_wanted: 0,
        workers_live: ready,
        starts: 5,
        failures: 2,
        retirements: 1,
        calls: 6,
        errors: 0,
        log_lines_dropped: 0,
        workers: (0..ready).map(worker).collect(),
        log: vec!["hello".to_owned()],
    }
}

fn scene(dispatcher: &Dispatcher, programs: Vec<ProgramStatus>) -> Scene {
    Scene {
        dispatcher: Some(dispatcher.clone()),
        programs: Mutex::new(programs),
        ..Scene::default()
    }
}

fn linkage(number: u64) -> Call {
    let payload = Payload::Json("[\"hi\"]".into());
    Call::new(
        number,
        Details::of_kind("parse"),
        "linkage",
        payload,
        Shape::Positional(1),
    )
}

/// Runs one call to its end.
async fn run_one(
    dispatcher: &Dispatcher,
    notices: &Notices,
    assignments: &mut mpsc::UnboundedReceiver<Assignment>,
    number: u64,
) {
    let work = async {
        let assignment = assignments.recv().await.unwrap();
        let call = assignment.calls[0].id;
        let result = Ok(Payload::Json("1".into()));
        let offer = Some(Epoch(assignment.epoch.0 + 1));
        notices.send(Notice::Ended {
            slot: SLOT,
            call,
            result,
            offer,
        });
    };
    let (reply, ()) = within(async { tokio::join!(dispatcher.call(linkage(number)), work) }).await;
    assert!(reply.result.is_ok());
}

#[tokio::test]
async fn status_shows_pools_and_programs() {
    let (dispatcher, notices) = dispatcher();
    let mut assignments = introduce(&notices);
    let scene = scene(&dispatcher, vec![program(ProgramState::Running, 1)]);
    let server = Server::start_with(scene, faceplate::Limits::default()).await;
    let busy = {
        let dispatcher = dispatcher.clone();
        tokio::spawn(async move { dispatcher.call(linkage(1)).await })
    };
    within(assignments.recv()).await.unwrap();
    let status = server.get("/status").await.json();
    assert_eq!(status["node"], "here");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_s"].is_f64());
    assert_eq!(
        (&status["calls_in_flight"], &status["connections"]),
        (&1.into(), &1.into())
    );
    let pool = &status["pools"][0];
    assert_eq!(
        (&pool["kind"], &pool["versions"]["grammar"]),
        (&"parse".into(), &"1.2".into())
    );
    assert_eq!(pool["functions"][0]["name"], "linkage");
    assert_eq!(pool["signatures"][0], "linkage(text)");
    assert_eq!(
        (&pool["slots"], &pool["free"], &pool["running"]),
        (&1.into(), &0.into(), &1.into())
    );
    assert_eq!(
        (&pool["weight"], &pool["queue_max"]),
        (&2.into(), &7.into())
    );
    assert_eq!(pool["programs"], serde_json::json!(["parser"]));
    assert_eq!(pool["waiting"]["normal"], 0);
    let program = &status["programs"][0];
    assert_eq!(
        (&program["state"], &program["workers_live"]),
        (&"running".into(), &1.into())
    );
    assert_eq!(program["workers"][0]["id"], "3-0");
    busy.abort();
}

#[tokio::test]
async fn ready_when_every_program_is_interrogated_and_every_pool_has_a_live_worker() {
    let (dispatcher, notices) = dispatcher();
    let starting = scene(&dispatcher, vec![program(ProgramState::Starting, 0)]);
    let server = Server::start_with(starting, faceplate::Limits::default()).await;
    let response = server.get("/readyz").await;
    assert_eq!(
        (response.status, &response.json()["ready"]),
        (503, &false.into())
    );
    assert_eq!(response.json()["reasons"][0], "program parser is starting");
    assert_eq!(
        server.get("/healthz").await.status,
        200,
        "not ready is not dead"
    );

    let running = scene(&dispatcher, vec![program(ProgramState::Running, 1)]);
    let server = Server::start_with(running, faceplate::Limits::default()).await;
    assert_eq!(
        server.get("/readyz").await.status,
        503,
        "the dispatcher waits for a program"
    );
    let mut assignments = introduce(&notices);
    assert_eq!(server.get("/readyz").await.status, 200);
    let busy = {
        let dispatcher = dispatcher.clone();
        tokio::spawn(async move { dispatcher.call(linkage(1)).await })
    };
    within(assignments.recv()).await.unwrap();
    assert_eq!(
        server.get("/readyz").await.status,
        200,
        "a busy pool is ready"
    );
    busy.abort();

    let looping = scene(&dispatcher, vec![program(ProgramState::CrashLooping, 0)]);
    let given_up = Server::start_with(looping, faceplate::Limits::default()).await;
    let response = given_up.get("/readyz").await;
    assert_eq!(response.status, 503, "its pools are gone, but it is missed");
    assert_eq!(
        response.json()["reasons"][0],
        "program parser is crash-looping"
    );

    server.stage.node.drain();
    let response = server.get("/readyz").await;
    assert_eq!(
        (response.status, response.text().contains("draining")),
        (503, true)
    );

    notices.send(Notice::Withdrawn(WORKER));
    let response = server.get("/readyz").await;
    assert!(
        response
            .text()
            .contains("pool parse of parser has no live worker")
    );
}

#[tokio::test]
async fn metrics_count_calls_pools_and_workers() {
    let (dispatcher, notices) = dispatcher();
    let mut assignments = introduce(&notices);
    for number in 0..3 {
        run_one(&dispatcher, &notices, &mut assignments, number).await;
    }
    let mut unknown = linkage(9);
    unknown.function = "nothing".into();
    assert!(dispatcher.call(unknown).await.result.is_err());
    let scene = scene(&dispatcher, vec![program(ProgramState::Running, 2)]);
    let server = Server::start_with(scene, faceplate::Limits::default()).await;
    let response = server.get("/metrics").await;
    assert!(
        response
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = response.text();
    for line in [
        r#"katamari_calls_total{kind="parse",function="linkage",code="ok"} 3"#,
        r#"katamari_call_ran_seconds_count{kind="parse",function="linkage"} 3"#,
        r#"katamari_call_queued_seconds_bucket{le="+Inf",kind="parse",function="linkage"} 3"#,
        r#"katamari_pool_slots{pool="parse grammar=1.2 +en #"#,
        r#"katamari_workers_live{program="parser"} 2"#,
        r#"katamari_worker_starts_total{program="parser"} 5"#,
        r#"katamari_worker_failures_total{program="parser"} 2"#,
        r#"katamari_worker_retirements_total{program="parser"} 1"#,
        r#"katamari_workers_memory_bytes{program="parser"} 2000"#,
        "katamari_connections 1",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|found| found.starts_with(line)),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.contains(r#"code="no_function"} 1"#), "{text}");
}

#[tokio::test]
async fn the_open_api_shows_a_token_the_kinds_that_it_is_for() {
    let (dispatcher, notices) = dispatcher();
    let _assignments = introduce(&notices);
    let scene = scene(&dispatcher, Vec::new());
    let server = Server::start_with(scene, faceplate::Limits::default()).await;
    let open = server.get("/openapi.json").await.json();
    assert!(open["paths"]["/call/parse/linkage"].is_object());
    assert_eq!(open.get("security"), None);
    for (kind, paths) in [("parse", 1), ("store", 0)] {
        server.stage.node.set_tokens(vec![Token {
            name: "ci".into(),
            hash: hash(b"kat_secret"),
            kinds: Some([kind.into()].into()),
            class_max: Class::Normal,
            rate: None,
            observe: false,
            expires_unix_s: None,
        }]);
        server
            .get("/openapi.json")
            .await
            .problem(401, "not_allowed");
        let head = "GET /openapi.json HTTP/1.1\r\nauthorization: Bearer kat_secret\r\n";
        let closed = server.request(head, "").await.json();
        assert_eq!(closed["paths"].as_object().unwrap().len(), paths, "{kind}");
        assert!(closed["security"].is_array());
    }
}

#[tokio::test]
async fn the_index_lists_the_routes_and_head_has_no_body() {
    let server = Server::start(faceplate::Limits::default()).await;
    let index = server.get("/").await;
    for route in [
        "/call/KIND/FUNCTION",
        "/rpc",
        "/status",
        "/metrics",
        "/openapi.json",
        "/healthz",
        "/readyz",
    ] {
        assert!(index.text().contains(route), "{route}");
    }
    let mut client = server.connect().await;
    client
        .write(b"HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(
        head.header("content-length"),
        Some(index.body.len().to_string().as_str())
    );
    client.send("GET /healthz HTTP/1.1\r\n", "").await;
    assert_eq!(client.receive().await.text(), "ok\n");
}

struct Script;

impl Operator for Script {
    fn operate(&self, what: &str, question: Bytes) -> Option<BoxFuture<'_, Result<Bytes, String>>> {
        match what {
            "echo" => Some(Box::pin(ready(Ok(question)))),
            "reload" => {
                let error = "katamari.toml:3: expected a number".to_owned();
                Some(Box::pin(ready(Err(error))))
            }
            _ => None,
        }
    }
}

#[tokio::test]
async fn the_control_socket_serves_the_same_and_more_without_a_door() {
    let (dispatcher, notices) = dispatcher();
    let mut assignments = introduce(&notices);
    run_one(&dispatcher, &notices, &mut assignments, 0x77).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let listener = UnixListener::bind(&path).unwrap();
    let stage = stage(scene(&dispatcher, vec![]));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(control::serve(
        listener,
        stage.node.clone(),
        faceplate::Limits::default(),
        Arc::new(Script),
        async move {
            let _ = stopped.await;
        },
    ));
    let mut client = Client(BufReader::new(UnixStream::connect(&path).await.unwrap()));

    client
        .send(
            "POST /call/k/echo HTTP/1.1\r\nhost: katamari.sock\r\n",
            "{\"a\":1}",
        )
        .await;
    assert_eq!(client.receive().await.text(), "{\"a\":1}");

    client
        .send("GET /why/0000000000000077 HTTP/1.1\r\n", "")
        .await;
    let why = client.receive().await.json();
    let attempt = &why["attempts"][0];
    assert_eq!(
        (&attempt["state"], &attempt["function"]),
        (&"answered".into(), &"linkage".into())
    );
    assert_eq!(attempt["assigned"]["worker"], "3-42");
    assert_eq!(attempt["assigned"]["pid"], 4321);
    assert!(attempt["ended_ms"].as_f64() >= attempt["assigned"]["after_ms"].as_f64());
    client
        .send("GET /why/0000000000000078 HTTP/1.1\r\n", "")
        .await;
    client.receive().await.problem(404, "bad_request");
    client.send("GET /why/77 HTTP/1.1\r\n", "").await;
    client.receive().await.problem(400, "bad_request");

    client
        .send("POST /operate/echo HTTP/1.1\r\n", r#"{"a":1}"#)
        .await;
    assert_eq!(client.receive().await.json()["a"], 1);
    client.send("POST /operate/nothing HTTP/1.1\r\n", "").await;
    client.receive().await.problem(404, "bad_request");
    client.send("POST /operate/reload HTTP/1.1\r\n", "").await;
    let detail = client.receive().await.problem(400, "bad_request");
    assert_eq!(detail, "katamari.toml:3: expected a number");
    client.send("GET /operate/echo HTTP/1.1\r\n", "").await;
    client.receive().await.problem(405, "bad_request");

    drop(stop);
    assert_eq!(client.rest().await, b"");
    within(task).await.unwrap();
}

#[tokio::test]
async fn load_balancers_count_the_live_workers_of_a_kind() {
    let (dispatcher, notices) = dispatcher();
    let _assignments = introduce(&notices);
    let scene = scene(&dispatcher, vec![program(ProgramState::Running, 1)]);
    let server = Server::start_with(scene, faceplate::Limits::default()).await;
    let kind = server.get("/status/parse").await;
    assert_eq!(kind.status, 200);
    let kind = kind.json();
    assert_eq!(
        (&kind["kind"], &kind["workers"]),
        (&"parse".into(), &1.into())
    );
    assert_eq!(kind["pools"][0]["signatures"][0], "linkage(text)");
    for (path, status) in [
        ("/status/parse/0", 200),
        ("/status/parse/1", 200),
        ("/status/parse/2", 500),
        ("/status/nothing/1", 500),
        ("/status/nothing/0", 200),
        ("/status/nothing", 404),
        ("/status/parse/-1", 400),
        ("/status/parse/many", 400),
        ("/status/parse/1/2", 400),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
    let nodes = server.get("/status/nodes").await.json();
    let here = serde_json::json!([{"name": "here", "state": "up", "workers": 1}]);
    assert_eq!(nodes, here);
}

#[tokio::test]
async fn the_first_katamaris_methods_are_answered() {
    let (dispatcher, notices) = dispatcher();
    let _assignments = introduce(&notices);
    let scene = scene(&dispatcher, vec![]);
    let server = Server::start_with(scene, faceplate::Limits::default()).await;
    let ask = async |method: &str, details: &str| {
        let params = match details {
            "" => String::new(),
            details => format!(r#""params": {{"details": {details}}}, "#),
        };
        let body = format!(r#"{{"jsonrpc": "2.0", "method": "{method}", {params}"id": 1}}"#);
        server.rpc(&body).await.json()
    };
    let found = serde_json::json!({
        "kind": "parse", "grammar": "1.2", "tags": ["en"], "roles": []
    });
    for (method, details, result) in [
        ("available_methods", "", serde_json::json!(["linkage"])),
        (
            "available_methods",
            r#"{"kind": "other"}"#,
            serde_json::json!([]),
        ),
        (
            "list_available_configurations",
            "",
            serde_json::json!([found]),
        ),
        (
            "configuration_for_details",
            r#"{"kind": "parse"}"#,
            found.clone(),
        ),
        (
            "nodes_in_pool",
            r#"{"tags": ["en"]}"#,
            serde_json::json!(["here"]),
        ),
        ("count_workers_in_pool", r#"{"kind": "parse"}"#, 1.into()),
    ] {
        let answer = ask(method, details).await;
        assert_eq!(answer["result"], result, "{method} {details}: {answer}");
    }
    for (method, details, code) in [
        ("count_workers_in_pool", "", "bad_arguments"),
        ("nodes_in_pool", r#"{"kind": "other"}"#, "no_pool"),
        (
            "configuration_for_details",
            r#"{"kind": 1}"#,
            "bad_arguments",
        ),
    ] {
        let answer = ask(method, details).await;
        assert_eq!(answer["error"]["data"]["code"], code, "{method} {details}");
    }
}
