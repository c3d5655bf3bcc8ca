//! Streamed answers: framing, errors, credit, clients that leave.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use dispatch::{CallError, Code, PieceSender};
use faceplate::Limits;
use std::sync::atomic::Ordering;
use support::{Client, Response, Server, within};
use term::Payload;
use tokio::net::TcpStream;

/// A stream that has begun, from the worker's end to the client's.
async fn begin(server: &mut Server) -> (Client<TcpStream>, PieceSender) {
    let mut client = server.connect().await;
    client
        .send(
            "POST /call/k/held HTTP/1.1\r\ncontent-type: application/json\r\n",
            "",
        )
        .await;
    let held = server.stage.next_held().await;
    (client, held)
}

async fn server() -> Server {
    Server::start(Limits::default()).await
}

fn json(text: &str) -> Payload {
    Payload::Json(Bytes::copy_from_slice(text.as_bytes()))
}

async fn collect(rpc: &mut Server, pieces: &[&str], end: Result<(), CallError>) -> Response {
    let mut client = rpc.connect().await;
    let body = r#"{"jsonrpc":"2.0","method":"k.held","id":1}"#;
    client
        .send(
            "POST /rpc HTTP/1.1\r\ncontent-type: application/json\r\n",
            body,
        )
        .await;
    let held = rpc.stage.next_held().await;
    for piece in pieces {
        held.send(json(piece));
    }
    held.end(end);
    client.receive().await
}

#[tokio::test]
async fn pieces_are_events_as_they_come_and_the_end_is_one_too() {
    let mut server = server().await;
    let (mut client, held) = begin(&mut server).await;
    held.send(json("{\"n\": 1}"));
    let head = client.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(head.header("katamari-worker"), Some("3-42"));
    assert_eq!(client.chunk().await.unwrap(), b"data: {\"n\": 1}\n\n");
    held.send(json("[\n1,\r\n2]"));
    let lines = client.chunk().await.unwrap();
    assert_eq!(
        lines, b"data: [\ndata: 1,\ndata: 2]\n\n",
        "CR LF is one line break"
    );
    held.end(Ok(()));
    assert_eq!(client.chunk().await.unwrap(), b"event: end\ndata:\n\n");
    assert_eq!(client.chunk().await, None);
    client.send("GET /healthz HTTP/1.1\r\n", "").await;
    assert_eq!(client.receive().await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_stream_without_pieces_has_an_end() {
    let mut server = server().await;
    let (mut client, held) = begin(&mut server).await;
    held.end(Ok(()));
    assert_eq!(client.receive().await.text(), "event: end\ndata:\n\n");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_the_error() {
    let mut server = server().await;
    let (mut client, held) = begin(&mut server).await;
    held.send(json("1"));
    held.end(Err(CallError::new(Code::WorkerDied, "it died")));
    let response = client.receive().await;
    let text = response.text();
    let error = text
        .strip_prefix("data: 1\n\nevent: error\ndata: ")
        .expect(text);
    let problem: serde_json::Value = serde_json::from_str(error.trim_end()).unwrap();
    assert_eq!(
        (&problem["code"], &problem["status"]),
        (&"worker_died".into(), &502.into())
    );
    assert_eq!(problem["id"], response.header("katamari-id").unwrap());
}

#[tokio::test]
async fn an_error_before_the_first_piece_is_a_problem_like_any_other() {
    let mut server = server().await;
    let (mut client, held) = begin(&mut server).await;
    held.end(Err(CallError::new(Code::Deadline, "late")));
    client.receive().await.problem(504, "deadline");
    let (mut client, held) = begin(&mut server).await;
    drop(held);
    client.receive().await.problem(502, "worker_died");
}

#[tokio::test]
async fn pieces_that_are_not_json_go_out_as_they_are() {
    let mut server = server().await;
    let wav = |bytes: &'static [u8]| Payload::new("audio/wav", Bytes::from_static(bytes));
    let (mut client, held) = begin(&mut server).await;
    held.send(wav(b"\x00\x01"));
    held.send(wav(b"\n\n"));
    held.end(Ok(()));
    let response = client.receive().await;
    assert_eq!(response.header("content-type"), Some("audio/wav"));
    assert_eq!(response.body, b"\x00\x01\n\n");

    let (mut client, held) = begin(&mut server).await;
    held.send(wav(b"a"));
    client.head().await;
    assert_eq!(client.chunk().await.unwrap(), b"a");
    held.end(Err(CallError::new(Code::WorkerDied, "it died")));
    assert_eq!(client.rest().await, b"", "cut off without a last chunk");
}

#[tokio::test]
async fn a_piece_of_another_type_breaks_the_stream() {
    let mut server = server().await;
    let (mut client, held) = begin(&mut server).await;
    held.send(json("1"));
    held.send(Payload::new("image/png", Bytes::new()));
    let response = client.receive().await;
    assert!(
        response.text().starts_with("data: 1\n\nevent: error\n"),
        "{}",
        response.text()
    );
    assert!(response.text().contains("\"protocol\""));
}

#[tokio::test]
async fn a_reader_that_stops_takes_no_more_pieces() {
    let mut server = server().await;
    let (mut client, held) = begin(&mut server).await;
    // More than all buffers between here and there can hold.
    let (pieces, size) = (400, 100_000);
    for _ in 0..pieces {
        held.send(json(&format!("\"{}\"", "x".repeat(size))));
    }
    held.end(Ok(()));
    client.head().await;
    let all = pieces * (size + 2);
    // Other requests are answered after the stalled stream has had its turn, again and again.
    for _ in 0..100 {
        assert_eq!(server.get("/healthz").await.status, 200);
    }
    let taken = server.stage.taken.load(Ordering::SeqCst);
    assert!(
        taken < all / 2,
        "{taken} of {all} bytes were taken for a client that reads nothing"
    );
    within(async { while client.chunk().await.is_some() {} }).await;
    assert_eq!(
        server.stage.taken.load(Ordering::SeqCst),
        all,
        "and all of them once it reads"
    );
}

#[tokio::test]
async fn a_client_that_leaves_drops_the_stream() {
    let mut server = server().await;
    let (mut client, held) = begin(&mut server).await;
    held.send(json("1"));
    client.head().await;
    drop(client);
    within(async {
        while held.send(json("2")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn json_rpc_gets_the_pieces_as_an_array() {
    let mut server = server().await;
    let response = collect(&mut server, &["1", "{\"a\": 2}"], Ok(())).await;
    assert_eq!(
        response.text(),
        r#"{"jsonrpc":"2.0","result":[1,{"a": 2}],"id":1}"#
    );
    assert_eq!(
        collect(&mut server, &[], Ok(())).await.json()["result"],
        serde_json::json!([])
    );
    let broken = Err(CallError::new(Code::WorkerDied, "it died"));
    let response = collect(&mut server, &["1"], broken).await;
    assert_eq!(response.json()["error"]["code"], -32005);
    let garbage = collect(&mut server, &["1", "}"], Ok(())).await;
    assert_eq!(garbage.json()["error"]["data"]["code"], "protocol");
}

#[tokio::test]
async fn an_array_that_grows_too_long_is_an_error() {
    let limits = Limits {
        body_max: 1_000,
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    let piece = format!("\"{}\"", "x".repeat(400));
    let response = collect(&mut server, &[&piece, &piece], Ok(())).await;
    assert_eq!(response.json()["result"].as_array().unwrap().len(), 2);
    let response = collect(&mut server, &[&piece, &piece, &piece], Ok(())).await;
    assert_eq!(response.json()["error"]["code"], -32002);
}
