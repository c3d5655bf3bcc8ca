//! Routes of the configuration: paths to functions, whole requests, folders of files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::access::{Token, hash};
use faceplate::{Limits, Settings};
use manager::dialect::http::{CONTENT_TYPE, ResponseHead, pack};
use pool::Class;
use serde_json::{Value, json};
use std::fs;
use support::declared::declaring;
use support::{Response, Scene, Server, configured};
use term::Payload;

/// What the one pool declares.
const TYPED: &str = r#"{"kind": "k", "functions": [{"name": "echo", "parameters": [
    {"name": "lang", "type": "string"}, {"name": "n", "type": "integer"},
    {"name": "deep", "type": "boolean?"}, {"name": "tags", "type": "[string]"}
]}]}"#;

async fn server(routes: &[(&'static str, &'static str)]) -> Server {
    let pairs = routes.iter().map(|(route, to)| ("routes", *route, *to));
    let http = configured("http", [].into(), pairs.collect(), "/".into());
    Server::of(http, declaring(TYPED), Limits::default()).await
}

fn form(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\n")
}

fn values<'a>(response: &'a Response, name: &str) -> Vec<&'a str> {
    let headers = response.headers.iter().filter(|(other, _)| other == name);
    headers.map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn path_query_form_and_body_are_arguments_as_they_are_declared() {
    let server = server(&[("POST /parse/{lang}", "k.echo"), ("/any", "k.echo")]).await;
    let answer = server
        .request(&form("/parse/e%2Fn?n=5"), "deep=true&tags=a&tags=b+c")
        .await;
    let expected = json!({"lang": "e/n", "n": 5, "deep": true, "tags": ["a", "b c"]});
    assert_eq!(answer.json(), expected);
    let answer = server.post("/parse/en?tags=x", "", r#"{"n": 1}"#).await;
    assert_eq!(answer.json(), json!({"lang": "en", "n": 1, "tags": ["x"]}));
    let answer = server.get("/any?lang=5&n=five").await;
    assert_eq!(
        answer.json(),
        json!({"lang": "5", "n": "five"}),
        "the check of types names it"
    );
    let answer = server.post("/any", "", "[1, 2]").await;
    assert_eq!(answer.json(), json!([1, 2]), "as it came");
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let server = server(&[("POST /parse/{lang}", "k.echo"), ("/page", "k.http")]).await;
    let twice = server.post("/parse/en", "", r#"{"lang": "de"}"#).await;
    twice.problem(400, "bad_arguments");
    let twice = server.post("/parse/en?n=1&n=2", "", "{}").await;
    twice.problem(400, "bad_arguments");
    let positional = server.post("/parse/en", "", "[1]").await;
    positional.problem(400, "bad_request");
    let text = "POST /parse/en HTTP/1.1\r\ncontent-type: text/plain\r\n";
    server
        .request(text, "hello")
        .await
        .problem(415, "bad_request");
    let other = server.get("/parse/en").await;
    other.problem(405, "bad_request");
    assert_eq!(other.header("allow"), Some("POST"));
    let crowd = "a=1&".repeat(10_001);
    let crowd = server.request(&form("/parse/en"), &crowd).await;
    crowd.problem(413, "too_large");
    server.get("/parse").await.problem(404, "bad_request");
    let foreign = "POST /page HTTP/1.1\r\norigin: https://evil.example\r\n";
    server
        .request(foreign, "")
        .await
        .problem(403, "not_allowed");
}

#[tokio::test]
async fn whole_requests_pass_and_whole_responses_pass_back() {
    let mut server = server(&[("/app/{path*}", "k.http")]).await;
    let head = "PUT /app/a%20b?c=d HTTP/1.1\r\nx-own: \u{e9}\r\ncookie: a=b\r\nconnection: x\r\n\
                katamari-class: low\r\n";
    let answer = server.request(head, "body").await;
    assert_eq!(answer.status, 418);
    assert_eq!(values(&answer, "set-cookie"), ["a=1", "b=2"]);
    assert!(answer.header("katamari-id").is_some());
    assert_ne!(answer.header("katamari-worker"), Some("another"));
    assert_eq!(answer.header("transfer-encoding"), None);
    let seen = answer.json();
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["target"], "/app/a%20b?c=d");
    assert_eq!(
        (&seen["body"], &seen["scheme"]),
        (&"body".into(), &"http".into())
    );
    assert_eq!(seen["remote"], "127.0.0.1");
    let headers = seen["headers"].as_array().unwrap();
    let has = |name: &str| headers.iter().any(|header| header[0] == name);
    assert!(has("cookie") && has("x-own") && has("host"));
    assert!(!has("connection") && !has("katamari-class"));
    let call = server.stage.next_call().await;
    assert_eq!((call.class, call.idempotent), (Class::Low, None));
    for path in ["/app/../admin", "/app/a%2f%2E./../admin", "/app/..%5cadmin"] {
        server.get(path).await.problem(400, "bad_request");
    }
    for root in ["/app", "/app/"] {
        assert_eq!(server.get(root).await.json()["target"], root);
        assert_eq!(server.stage.next_call().await.idempotent, Some(true));
    }
}

#[tokio::test]
async fn what_shapes_calls_shapes_those_of_routes() {
    let mut server = server(&[("/app", "k.http"), ("GET /echo", "k.echo")]).await;
    let version = r#"katamari-details: {"grammar": "1.2"}"#;
    for path in ["/app", "/echo"] {
        let head = format!("GET {path} HTTP/1.1\r\n{version}\r\n");
        server.request(&head, "").await;
        let details = server.stage.next_call().await.details;
        assert_eq!(details.kind.as_deref(), Some("k"));
        assert_eq!(details.versions.len(), 1, "{path}");
    }
    let cast = "GET /app HTTP/1.1\r\nkatamari-cast: true\r\n";
    server.request(cast, "").await.problem(400, "bad_request");
    let mut client = server.connect().await;
    let absolute = b"GET http://127.0.0.1/app HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    client.write(absolute).await;
    let seen = client.receive().await.json();
    let headers = seen["headers"].as_array().unwrap();
    let mut hosts = headers.iter().filter(|header| header[0] == "host");
    assert_eq!(hosts.next().unwrap()[1], "127.0.0.1");
    assert_eq!(hosts.next(), None);
}

#[tokio::test]
async fn pages_of_other_sites_make_no_calls_but_may_be_followed_here() {
    let server = server(&[("GET /echo", "k.echo"), ("/app", "k.http")]).await;
    let get = |path: &str, site: &str, mode: &str| {
        let fetch = format!("sec-fetch-site: {site}\r\nsec-fetch-mode: {mode}");
        format!("GET {path} HTTP/1.1\r\n{fetch}\r\n")
    };
    for site in ["cross-site", "same-site"] {
        let image = server.request(&get("/echo?n=1", site, "no-cors"), "").await;
        image.problem(403, "not_allowed");
        let link = get("/echo?n=1", site, "navigate");
        assert_eq!(server.request(&link, "").await.json(), json!({"n": 1}));
        let image = server.request(&get("/app", site, "no-cors"), "").await;
        assert_eq!(
            image.status, 418,
            "whole requests are judged by the program"
        );
    }
    let own = get("/echo?n=1", "same-origin", "cors");
    assert_eq!(server.request(&own, "").await.status, 200);
}

#[tokio::test]
async fn own_paths_come_first_and_then_those_with_more_fixed_text() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("public/css")).unwrap();
    fs::write(folder.path().join("public/a.txt"), "a").unwrap();
    let pairs = vec![
        ("routes", "/{path*}", "k.http"),
        ("routes", "GET /echo/{n}", "k.echo"),
        ("folders", "/static", "public"),
    ];
    let http = configured("http", [].into(), pairs, folder.path().into());
    let server = Server::of(http, Scene::default(), Limits::default()).await;
    let called = server.post("/call/k/echo", "", r#"{"n": 1}"#).await;
    assert_eq!(called.json(), json!({"n": 1}));
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/callers").await.status, 418);
    assert_eq!(server.get("/echo/5").await.json(), json!({"n": "5"}));
    assert_eq!(server.get("/echo/5/6").await.status, 418);
    assert_eq!(server.get("/static/a.txt").await.text(), "a");
    for (path, location) in [
        ("/static", "./static/"),
        ("/static/css", "./css/"),
        ("/static//css", "./css/"),
    ] {
        let redirect = server.get(path).await;
        let to = redirect.header("location");
        assert_eq!((redirect.status, to), (307, Some(location)), "{path}");
    }
}

#[tokio::test]
async fn a_streamed_response_begins_with_its_head() {
    let pairs = vec![("routes", "/events", "k.http")];
    let http = configured("http", [].into(), pairs, "/".into());
    let mut server = Server::of(http, Scene::default(), Limits::default()).await;
    server.stage.stream_http();
    let mut client = server.connect().await;
    client.send("GET /events HTTP/1.1\r\n", "").await;
    let held = server.stage.next_held().await;
    let head = ResponseHead {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
    };
    held.send(Payload::new(CONTENT_TYPE, pack(&head, b"one")));
    let response = client.head().await;
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(client.chunk().await.unwrap(), b"one");
    held.send(Payload::new("application/octet-stream", "two".into()));
    assert_eq!(client.chunk().await.unwrap(), b"two", "before its end");
    held.end(Ok(()));
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn tokens_open_routes_and_are_not_told_to_programs() {
    let server = server(&[("/app/{path*}", "k.http")]).await;
    server.stage.node.set_tokens(vec![Token {
        name: "ci".into(),
        hash: hash(b"kat_1"),
        kinds: None,
        class_max: Class::Normal,
        rate: None,
        observe: false,
        expires_unix_s: None,
    }]);
    server.get("/app/").await.problem(401, "not_allowed");
    let head = "GET /app/ HTTP/1.1\r\nauthorization: Bearer kat_1\r\n";
    let seen = server.request(head, "").await.json();
    assert!(!seen.to_string().contains("kat_1"), "{seen}");
}

#[tokio::test]
async fn files_are_served_beside_and_nothing_above_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let public = folder.path().join("public");
    fs::create_dir_all(public.join("css")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(public.join("index.html"), "<p>hello").unwrap();
    fs::write(public.join("css/a b.css"), "body {}").unwrap();
    let pairs = vec![("folders", "/", "public"), ("routes", "GET /app", "k.http")];
    let http = configured(
        "http",
        [("only_routes", "true")].into(),
        pairs,
        folder.path().into(),
    );
    let settings = Settings::from(Limits::default());
    let server = Server::of(http, Scene::default(), settings).await;
    let page = server.get("/").await;
    assert_eq!(
        (page.status, page.body.as_slice()),
        (200, b"<p>hello".as_slice())
    );
    assert_eq!(page.header("content-type"), Some("text/html"));
    let style = server.get("/css/a%20b.css").await;
    assert_eq!(style.header("content-type"), Some("text/css"));
    let part = "GET /index.html HTTP/1.1\r\nrange: bytes=3-\r\n";
    let part = server.request(part, "").await;
    assert_eq!(
        (part.status, part.body.as_slice()),
        (206, b"hello".as_slice())
    );
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/css/%2e%2e/%2e%2e/secret",
        "/..%2fsecret",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    assert_eq!(server.get("/none").await.status, 404);
    assert_eq!(server.get("/app").await.status, 418, "a route beside them");
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/status").await.status, 404, "only routes");
    let posted: Value = server.post("/rpc", "", "{}").await.json();
    assert_eq!(posted["status"], 405, "files are read");
}
