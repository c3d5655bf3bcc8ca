//! Bodies that functions read while they come: streamed requests over HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use dispatch::{BrokenInput, Call, InputReader};
use faceplate::Limits;
use manager::dialect::http::{CONTENT_TYPE, RequestHead, ResponseHead, pack, unpack};
use serde_json::json;
use std::time::Duration;
use support::declared::{declaring, declaring_all};
use support::{Client, Server, configured, within};
use term::Payload;
use tokio::net::TcpStream;

/// What the one pool declares. What functions do is in the script.
const READERS: &str = r#"{"kind": "k", "functions": [
    {"name": "held", "input": true, "stream": true, "parameters": [
        {"name": "n", "type": "integer", "required": false}]},
    {"name": "null", "input": true},
    {"name": "echo"},
    {"name": "http", "input": true, "stream": true, "result": "bytes", "parameters": [
        {"name": "request", "type": "bytes"}]}
]}"#;

const OCTETS: &str = "content-type: application/octet-stream\r\n";

async fn server() -> Server {
    server_with(Limits::default()).await
}

async fn server_with(limits: Limits) -> Server {
    let routes = [("PUT /in/{n}", "k.held"), ("/app/{path*}", "k.http")];
    let routes = routes.map(|(route, to)| ("routes", route, to)).to_vec();
    let http = configured("http", [].into(), routes, "/".into());
    Server::of(http, declaring(READERS), limits).await
}

/// Sends a request as far as its headers.
async fn begin(server: &Server, head: &str) -> Client<TcpStream> {
    let mut client = server.connect().await;
    let head = format!("{head}host: localhost\r\n\r\n");
    client.write(head.as_bytes()).await;
    client
}

fn reader(call: &Call) -> InputReader {
    let input = call.input.as_ref().expect("the body is the input");
    input.read().expect("nobody else reads it")
}

async fn all(reader: &mut InputReader) -> Result<Vec<u8>, BrokenInput> {
    let mut bytes = Vec::new();
    while let Some(piece) = within(reader.next()).await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_body_comes_once_it_is_asked_for_while_the_answer_goes_out() {
    let mut server = server().await;
    let head = format!(
        "POST /call/k/held?n=5 HTTP/1.1\r\n{OCTETS}transfer-encoding: chunked\r\n\
         expect: 100-continue\r\n"
    );
    let mut client = begin(&server, &head).await;
    let call = server.stage.next_call().await;
    assert_eq!(call.payload, Payload::Json(r#"{"n":5}"#.into()));
    let input = call.input.as_ref().unwrap();
    assert_eq!(
        input.content_type().map(|it| &**it),
        Some("application/octet-stream")
    );
    let mut reader = reader(&call);
    let read = tokio::spawn(async move { all(&mut reader).await });
    let told = client.head().await;
    assert_eq!(told.status, 100, "only now is the client to send it");
    client.write(b"3\r\none\r\n").await;
    let answer = server.stage.next_held().await;
    answer.send(Payload::Json("1".into()));
    let mut response = client.head().await;
    assert_eq!(response.status, 200);
    response.body = client.chunk().await.expect("the first piece");
    assert_eq!(response.text(), "data: 1\n\n", "before the body has ended");
    client.write(b"4\r\n two\r\n0\r\n\r\n").await;
    assert_eq!(read.await.unwrap(), Ok(b"one two".to_vec()));
    answer.end(Ok(()));
    while client.chunk().await.is_some() {}
}

#[tokio::test]
async fn a_large_body_is_read_as_fast_as_the_function_reads() {
    let mut server = server().await;
    let body = "x".repeat(3_000_000);
    let mut client = server.connect().await;
    let sent = tokio::spawn(async move {
        client
            .send(&format!("PUT /in/7 HTTP/1.1\r\n{OCTETS}"), &body)
            .await;
        client
    });
    let call = server.stage.next_call().await;
    assert_eq!(call.payload, Payload::Json(r#"{"n":7}"#.into()));
    let mut reader = reader(&call);
    assert_eq!(all(&mut reader).await.unwrap().len(), 3_000_000);
    server.stage.next_held().await.end(Ok(()));
    assert_eq!(sent.await.unwrap().receive().await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_breaks_the_input() {
    let mut server = server().await;
    let head = format!("PUT /in/1 HTTP/1.1\r\n{OCTETS}content-length: 10\r\n");
    let mut client = begin(&server, &head).await;
    client.write(b"half").await;
    let call = server.stage.next_call().await;
    let _answer = server.stage.next_held().await;
    let mut reader = reader(&call);
    assert_eq!(
        within(reader.next()).await,
        Some(Ok(Bytes::from_static(b"half")))
    );
    drop(client);
    assert_eq!(within(reader.next()).await, Some(Err(BrokenInput)));
}

#[tokio::test]
async fn a_client_that_falls_silent_within_its_body_is_taken_for_one_that_left() {
    let mut server = server_with(Limits {
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let head = format!(
        "PUT /in/1 HTTP/1.1\r\n{OCTETS}content-length: 10\r\nkatamari-timeout-ms: 4000000000\r\n"
    );
    let mut client = begin(&server, &head).await;
    client.write(b"half").await;
    let call = server.stage.next_call().await;
    let _answer = server.stage.next_held().await;
    assert_eq!(all(&mut reader(&call)).await, Err(BrokenInput));
}

#[tokio::test]
async fn an_answer_need_not_wait_for_the_end_of_the_body() {
    let mut server = server().await;
    let head = format!("POST /call/k/null HTTP/1.1\r\n{OCTETS}content-length: 10\r\n");
    let mut client = begin(&server, &head).await;
    let response = client.receive().await;
    assert_eq!((response.status, response.text()), (200, "null"));
    drop(server.stage.next_call().await);
    client.rest().await;
}

#[tokio::test]
async fn who_writes_all_before_it_reads_gets_an_answer_that_came_early() {
    let mut server = server_with(Limits {
        body_max: 100_000,
        ..Limits::default()
    })
    .await;
    let body = "x".repeat(5_000_000);
    let mut client = server.connect().await;
    let path = ["POST /call/k/echo", "POST /nowhere", "POST /call/k/null"];
    let [too_large, nowhere, null] = path.map(|path| format!("{path} HTTP/1.1\r\n{OCTETS}"));
    client.send(&too_large, &body).await;
    client.receive().await.problem(413, "too_large");
    client.send(&nowhere, &body).await;
    client.receive().await.problem(404, "bad_request");
    let calling = tokio::spawn(async move {
        client.send(&null, &body).await;
        let response = client.receive().await;
        assert_eq!((response.status, response.text()), (200, "null"));
        client
    });
    drop(server.stage.next_call().await);
    let mut client = calling.await.unwrap();
    client.send("GET /healthz HTTP/1.1\r\n", "").await;
    assert_eq!(client.receive().await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_body_is_read_by_a_function_of_the_version_that_is_called() {
    let version = |version: u8| {
        let input = version == 2;
        json!({"kind": "k", "versions": {"v": version.to_string()},
            "functions": [{"name": "null", "input": input}]})
        .to_string()
    };
    let http = configured("http", [].into(), Vec::new(), "/".into());
    let scene = declaring_all(&[&version(1), &version(2)]);
    let mut server = Server::of(http, scene, Limits::default()).await;
    for (version, follows) in [("1", false), ("2", true)] {
        let details = json!({"v": version});
        let head = format!("POST /call/k/null HTTP/1.1\r\n{OCTETS}katamari-details: {details}\r\n");
        assert_eq!(server.request(&head, "bytes").await.text(), "null");
        let call = server.stage.next_call().await;
        assert_eq!(call.input.is_some(), follows, "{version}");
        let payload = if follows { "{}" } else { "bytes" };
        assert_eq!(call.payload.bytes(), payload, "{version}");
    }
}

#[tokio::test]
async fn arguments_are_arguments_still_and_bytes_for_others_come_whole() {
    let mut server = server().await;
    server.post("/call/k/null", "", r#"{"a": 1}"#).await;
    let call = server.stage.next_call().await;
    assert_eq!(call.payload, Payload::Json(r#"{"a": 1}"#.into()));
    assert!(call.input.is_none());
    server
        .request(&format!("POST /call/k/null HTTP/1.1\r\n{OCTETS}"), "")
        .await;
    assert!(
        server.stage.next_call().await.input.is_none(),
        "there is none"
    );
    let echo = format!("POST /call/k/echo HTTP/1.1\r\n{OCTETS}");
    let response = server.request(&echo, "bytes").await;
    assert_eq!(response.text(), "bytes");
    assert!(server.stage.next_call().await.input.is_none());
    let packed = format!("POST /call/k/http HTTP/1.1\r\ncontent-type: {CONTENT_TYPE}\r\n");
    let head = r#"{"method":"GET","target":"/","headers":[]}"#;
    let length = u32::try_from(head.len()).unwrap().to_be_bytes();
    let request = [std::str::from_utf8(&length).unwrap(), head].concat();
    server.request(&packed, &request).await;
    let call = server.stage.next_call().await;
    assert_eq!(call.payload.bytes(), request.as_bytes(), "its argument");
    assert!(call.input.is_none());
    let cast = format!("POST /call/k/null HTTP/1.1\r\n{OCTETS}katamari-cast: true\r\n");
    server.request(&cast, "x").await.problem(400, "bad_request");
}

#[tokio::test]
async fn of_a_whole_request_a_small_body_goes_along_and_a_large_one_follows() {
    let mut server = server().await;
    server.stage.stream_http();
    let response = || {
        let head = ResponseHead {
            status: 201,
            headers: Vec::new(),
        };
        Payload::new(CONTENT_TYPE, pack(&head, b"made"))
    };
    for (length, follows) in [(5, false), (64 * 1024, false), (64 * 1024 + 1, true)] {
        let mut client = server.connect().await;
        let body = "b".repeat(length);
        let post = tokio::spawn(async move {
            client
                .send("POST /app/x HTTP/1.1\r\ncontent-type: a/b\r\n", &body)
                .await;
            client.receive().await
        });
        let call = server.stage.next_call().await;
        let (head, body) = unpack::<RequestHead>(call.payload.bytes()).unwrap();
        assert_eq!((&*head.method, &*head.target), ("POST", "/app/x"));
        assert_eq!(call.input.is_some(), follows, "{length}");
        if follows {
            assert_eq!(body.len(), 0);
            assert_eq!(all(&mut reader(&call)).await.unwrap().len(), length);
        } else {
            assert_eq!(body.len(), length);
        }
        let answer = server.stage.next_held().await;
        answer.send(response());
        answer.end(Ok(()));
        let response = post.await.unwrap();
        assert_eq!((response.status, response.text()), (201, "made"));
    }
}

#[tokio::test]
async fn bytes_for_nobody_are_told_so() {
    let server = server().await;
    let text = server.request("PUT /app HTTP/1.1\r\ncontent-type: text/plain\r\n", "x");
    assert_eq!(text.await.status, 418, "a program takes anything");
    let wrong = format!(
        "PUT /in/1 HTTP/1.1\r\n{OCTETS}katamari-details: {}\r\n",
        json!({"kind": "x"})
    );
    server
        .request(&wrong, "x")
        .await
        .problem(400, "bad_request");
}
