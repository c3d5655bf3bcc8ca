//! Tokens over real connections: who may do what, how fast, until when; and where none is needed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use faceplate::access::{Rate, Token, hash};
use faceplate::control::{self, Operator};
use faceplate::http::Http;
use faceplate::{Limits, Risk, Settings, TokenPolicy};
use futures_util::future::{BoxFuture, ready};
use pool::Class;
use serde_json::json;
use std::num::NonZeroU32;
use std::sync::Arc;
use support::{Client, Scene, Server, stage, within};
use tokio::io::BufReader;
use tokio::net::{TcpListener, UnixListener, UnixStream};

const JSON: &str = "content-type: application/json\r\n";

/// The header of one who knows the secret that all tokens here have unless they say otherwise.
const KNOWN: &str = "authorization: Bearer kat_secret\r\n";

fn token() -> Token {
    Token {
        name: "ci".into(),
        hash: hash(b"kat_secret"),
        kinds: None,
        class_max: Class::Normal,
        rate: None,
        observe: false,
        expires_unix_s: None,
    }
}

fn rate(calls_per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate {
        calls_per_second: NonZeroU32::new(calls_per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    })
}

async fn server(tokens: Vec<Token>) -> Server {
    let server = Server::start(Limits::default()).await;
    server.stage.node.set_tokens(tokens);
    server
}

#[tokio::test]
async fn without_a_token_there_is_health_and_nothing_else() {
    let mut server = server(vec![token()]).await;
    for path in ["/", "/status", "/metrics", "/why/0000000000000001", "/no"] {
        let response = server.get(path).await;
        let detail = response.problem(401, "not_allowed");
        assert!(detail.contains("authorization: Bearer"), "{detail}");
        assert_eq!(
            response.header("www-authenticate"),
            Some("Bearer"),
            "{path}"
        );
    }
    for path in ["/call/k/echo", "/rpc"] {
        let response = server.post(path, "", "{}").await;
        response.problem(401, "not_allowed");
        assert_eq!(
            response.header("www-authenticate"),
            Some("Bearer"),
            "{path}"
        );
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    // There is no dispatch loop behind this node, and that is what it says.
    assert_eq!(server.get("/readyz").await.status, 503);
    assert!(server.stage.calls.try_recv().is_err(), "nothing was called");
}

#[tokio::test]
async fn a_bad_token_is_none() {
    let expired = Token {
        name: "old".into(),
        hash: hash(b"kat_old"),
        expires_unix_s: Some(1),
        ..token()
    };
    let mut server = server(vec![token(), expired]).await;
    for (header, challenge, words) in [
        ("Bearer kat_secre", "invalid_token", "not known"),
        ("Bearer kat_old", "invalid_token", "old has expired"),
        ("Basic a2F0", "invalid_request", "another scheme"),
        (
            "Bearer kat_secret\r\nauthorization: Bearer kat_secret",
            "invalid_request",
            "several",
        ),
    ] {
        let headers = format!("authorization: {header}\r\n");
        let response = server.post("/call/k/echo", &headers, "{}").await;
        let detail = response.problem(401, "not_allowed");
        assert!(detail.contains(words), "{detail}");
        assert_eq!(
            response.header("www-authenticate"),
            Some(format!("Bearer error=\"{challenge}\"").as_str())
        );
    }
    assert!(server.stage.calls.try_recv().is_err(), "nothing was called");
    let observing = Token {
        observe: true,
        ..token()
    };
    server.stage.node.set_tokens(vec![observing]);
    let head = format!("GET /metrics HTTP/1.1\r\n{KNOWN}");
    let metrics = server.request(&head, "").await;
    assert!(
        metrics.text().contains("katamari_denied_total 4\n"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn a_good_token_may_call_and_needs_observe_to_see() {
    let server = server(vec![token()]).await;
    let answer = server.post("/call/k/echo", KNOWN, "{\"a\":1}").await;
    assert_eq!((answer.status, answer.text()), (200, "{\"a\":1}"));
    let body = r#"{"jsonrpc":"2.0","method":"k.echo","params":[1],"id":1}"#;
    let answer = server.post("/rpc", KNOWN, body).await;
    assert_eq!(answer.json()["result"], json!([1]));
    let get = async |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\n{KNOWN}");
        server.request(&head, "").await
    };
    assert_eq!(get("/").await.status, 200);
    for path in ["/status", "/metrics", "/why/0000000000000001"] {
        let detail = get(path).await.problem(403, "not_allowed");
        assert!(detail.contains("observe"), "{detail}");
    }
    get("/apply").await.problem(404, "bad_request");
    server.stage.node.set_tokens(vec![Token {
        observe: true,
        ..token()
    }]);
    // There is no dispatch loop behind this node.
    get("/status").await.problem(503, "stopping");
    assert_eq!(get("/metrics").await.status, 200);
    let detail = get("/why/0000000000000001")
        .await
        .problem(404, "bad_request");
    assert!(detail.contains("is not known"), "{detail}");
}

#[tokio::test]
async fn kinds_and_classes_are_held_for_each_call() {
    let mut server = server(vec![Token {
        kinds: Some(["parse".into()].into()),
        class_max: Class::Low,
        ..token()
    }])
    .await;
    let call = async |path: &str, headers: &str| {
        let headers = format!("{KNOWN}{headers}");
        server.post(path, &headers, "{}").await
    };
    let detail = call("/call/store/echo", "")
        .await
        .problem(403, "not_allowed");
    assert!(
        detail.contains("ci") && detail.contains("store"),
        "{detail}"
    );
    let detail = call("/call/parse/echo", "katamari-class: normal\r\n")
        .await
        .problem(403, "not_allowed");
    assert!(detail.contains("class low"), "{detail}");
    call("/call/store/echo", "katamari-cast: true\r\n")
        .await
        .problem(403, "not_allowed");
    assert_eq!(call("/call/parse/echo", "").await.status, 200);
    let made = server.stage.next_call().await;
    assert_eq!(made.class, Class::Low, "what is not said fits the grant");
    assert!(
        server.stage.calls.try_recv().is_err(),
        "the others were not made"
    );
}

#[tokio::test]
async fn each_entry_of_a_batch_is_judged_by_itself() {
    let mut server = server(vec![Token {
        kinds: Some(["parse".into()].into()),
        ..token()
    }])
    .await;
    let body = json!([
        {"jsonrpc": "2.0", "method": "parse.echo", "params": [1], "id": 1},
        {"jsonrpc": "2.0", "method": "store.echo", "params": [2], "id": 2},
        {"jsonrpc": "2.0", "method": "store.echo", "params": [3]},
        {"jsonrpc": "2.0", "method": "echo", "params": {"details": {"tags": ["a"]}}, "id": 4},
        {"jsonrpc": "2.0", "method": "echo", "params": {"details": {"kind": "store"}}, "id": 5},
        {"jsonrpc": "2.0", "method": "echo", "params": {"details": {"kind": "parse"}}, "id": 6},
    ]);
    let answers = server.post("/rpc", KNOWN, &body.to_string()).await;
    assert_eq!(answers.status, 200);
    let answers = answers.json();
    let outcome = |answer: &serde_json::Value| {
        let error = &answer["error"];
        (
            answer["id"].as_u64().unwrap(),
            error["code"].as_i64(),
            error["data"]["code"].as_str().map(str::to_owned),
        )
    };
    let outcomes: Vec<_> = answers.as_array().unwrap().iter().map(outcome).collect();
    let denied = |id| (id, Some(-32009), Some("not_allowed".to_owned()));
    assert_eq!(
        outcomes,
        [
            (1, None, None),
            denied(2),
            denied(4),
            denied(5),
            (6, None, None)
        ]
    );
    for _ in 0..2 {
        let kind = server.stage.next_call().await.details.kind.clone();
        assert_eq!(kind.as_deref(), Some("parse"));
    }
    assert!(
        server.stage.calls.try_recv().is_err(),
        "the notification was not called either"
    );
}

#[tokio::test]
async fn beyond_the_rate_is_429_and_says_when_to_come_back() {
    let server = server(vec![Token {
        rate: rate(1, 1),
        ..token()
    }])
    .await;
    let post = format!(
        "POST /call/k/echo HTTP/1.1\r\n{JSON}{KNOWN}host: localhost\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let mut client = server.connect().await;
    // In one go, so that no second passes between them.
    client.write(format!("{post}{post}").as_bytes()).await;
    assert_eq!(client.receive().await.status, 200);
    let response = client.receive().await;
    let detail = response.problem(429, "busy");
    assert!(detail.contains("ci"), "{detail}");
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.json()["retry_after_s"], 1);
}

#[tokio::test]
async fn a_batch_is_no_way_around_the_rate() {
    let server = server(vec![Token {
        rate: rate(1, 2),
        ..token()
    }])
    .await;
    let entry = |id| json!({"jsonrpc": "2.0", "method": "k.echo", "id": id});
    let body = json!([entry(1), entry(2), entry(3), entry(4)]);
    let answers = server.post("/rpc", KNOWN, &body.to_string()).await.json();
    assert!(answers[0]["result"].is_object() && answers[1]["result"].is_object());
    for late in [&answers[2], &answers[3]] {
        assert_eq!(late["error"]["code"], -32003);
        assert_eq!(late["error"]["data"]["retry_after_s"], 1);
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_on_an_open_connection() {
    let server = server(vec![token()]).await;
    let head = format!("POST /call/k/echo HTTP/1.1\r\n{JSON}{KNOWN}");
    let mut client = server.connect().await;
    client.send(&head, "").await;
    assert_eq!(client.receive().await.status, 200);
    let other = Token {
        name: "other".into(),
        hash: hash(b"kat_other"),
        ..token()
    };
    server.stage.node.set_tokens(vec![other]);
    client.send(&head, "").await;
    client.receive().await.problem(401, "not_allowed");
    server.stage.node.set_tokens(vec![]);
    let without = server.post("/call/k/echo", "", "{}").await;
    without.problem(401, "not_allowed");
    server.stage.node.set_tokens(vec![token()]);
    let again = server.post("/call/k/echo", KNOWN, "{}").await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn each_of_ten_thousand_tokens_is_let_in() {
    let name = |number: u32| format!("kat_{number}");
    let tokens = (0..10_000).map(|number| Token {
        name: name(number).into(),
        hash: hash(name(number).as_bytes()),
        ..token()
    });
    let server = server(tokens.collect()).await;
    for number in [0, 1, 4_999, 9_999] {
        let header = format!("authorization: Bearer {}\r\n", name(number));
        let response = server.post("/call/k/echo", &header, "{}").await;
        assert_eq!(response.status, 200, "{number}");
    }
    let header = "authorization: Bearer kat_10000\r\n";
    let response = server.post("/call/k/echo", header, "{}").await;
    response.problem(401, "not_allowed");
}

#[tokio::test]
async fn the_policy_decides_whether_a_token_is_needed() {
    for (tokens, policy, open) in [
        (vec![], TokenPolicy::IfAny, true),
        (vec![token()], TokenPolicy::IfAny, false),
        (vec![], TokenPolicy::Required, false),
        (vec![token()], TokenPolicy::Ignored, true),
    ] {
        let settings = Settings {
            tokens: policy,
            ..Settings::default()
        };
        let server = Server::start_with(Scene::default(), settings).await;
        server.stage.node.set_tokens(tokens);
        let response = server.post("/call/k/echo", "", "{}").await;
        if open {
            assert_eq!(response.status, 200, "{policy:?}");
        } else {
            response.problem(401, "not_allowed");
        }
    }
}

#[tokio::test]
async fn other_machines_come_in_only_if_the_settings_accept_it() {
    for (tokens, accepted, serves) in [
        (vec![], None, false),
        (vec![], Some(Risk::AnyoneCanRead), false),
        (vec![], Some(Risk::AnyoneCanCall), true),
        (vec![token()], None, false),
        (vec![token()], Some(Risk::AnyoneCanCall), false),
        (vec![token()], Some(Risk::AnyoneCanRead), true),
    ] {
        let stage = stage(Scene::default());
        stage.node.set_tokens(tokens);
        let settings = Settings {
            accepted,
            ..Settings::default()
        };
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let http = Arc::new(Http::new(Vec::new()));
        let serve = faceplate::serve(listener, http, stage.node.clone(), settings, ready(()));
        let served = within(serve).await;
        assert_eq!(served.is_ok(), serves, "{accepted:?}");
    }
}

#[tokio::test]
async fn a_configured_name_is_served() {
    let http = Http::new(vec!["api.example.org".to_owned()]);
    let server = Server::of(Arc::new(http), Scene::default(), Settings::default()).await;
    let get = async |host: &str| {
        let head = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n");
        server.request(&head, "").await
    };
    for host in ["api.example.org", "Api.Example.org:7480", "localhost"] {
        assert_eq!(get(host).await.status, 200, "{host}");
    }
    for host in [
        "example.org",
        "evil.example",
        "api.example.org.evil.example",
    ] {
        get(host).await.problem(421, "not_allowed");
    }
}

struct Echo;

impl Operator for Echo {
    fn operate(&self, _: &str, body: Bytes) -> Option<BoxFuture<'_, Result<Bytes, String>>> {
        Some(Box::pin(ready(Ok(body))))
    }
}

#[tokio::test]
async fn the_control_socket_asks_for_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let listener = UnixListener::bind(&path).unwrap();
    let stage = stage(Scene::default());
    stage.node.set_tokens(vec![token()]);
    let serve = control::serve(
        listener,
        stage.node.clone(),
        Limits::default(),
        Arc::new(Echo),
        std::future::pending(),
    );
    tokio::spawn(serve);
    let mut client = Client(BufReader::new(UnixStream::connect(&path).await.unwrap()));
    client
        .send("POST /call/k/echo HTTP/1.1\r\nkatamari-class: high\r\n", "")
        .await;
    assert_eq!(client.receive().await.status, 200);
    client.send("POST /operate/echo HTTP/1.1\r\n", "").await;
    assert_eq!(client.receive().await.status, 200);
}
