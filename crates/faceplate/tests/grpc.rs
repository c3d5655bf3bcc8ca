//! gRPC over a scripted caller: statuses, streams, cancellation, and whatever a hostile client sends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use dispatch::{CallError, Code};
use faceplate::{Grpc, KINDS, Limits};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pool::Class;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use support::declared::declaring;
use support::{Server, all_codes, within};
use term::Payload;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

const FUNCTIONS: [&str; 5] = ["echo", "hang", "held", "png", "garbage"];

/// A node that knows one kind, whose functions do what their names say.
async fn start(limits: Limits) -> Server {
    let scene = declaring(&description().to_string());
    Server::of(Arc::new(Grpc), scene, limits).await
}

fn description() -> Value {
    let codes = all_codes().map(Code::as_str);
    let function = |name: &str| {
        let result = if name == "png" { "bytes" } else { "any" };
        json!({"name": name, "parameters": [{"name": "text", "type": "string"}],
            "result": result, "stream": name == "held"})
    };
    let mut functions: Vec<&str> = FUNCTIONS.into_iter().chain(codes).collect();
    functions.sort_unstable();
    let functions: Vec<_> = functions.into_iter().map(function).collect();
    json!({"kind": "act", "functions": functions})
}

type Client = SendRequest<Full<Bytes>>;

async fn connect(server: &Server) -> Client {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// A message with its prefix.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn request(method: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://node/katamari.act.Act/{method}"))
        .header("content-type", "application/grpc")
        .body(Full::new(body.into()))
        .unwrap()
}

async fn send(client: &mut Client, request: Request<Full<Bytes>>) -> Response<Incoming> {
    within(client.send_request(request)).await.unwrap()
}

/// The status of a response, and what stands beside it: in headers, or in trailers.
async fn status(response: Response<Incoming>) -> (u8, HeaderMap, Bytes) {
    let (parts, body) = response.into_parts();
    assert_eq!(parts.status, 200);
    let whole = within(body.collect()).await.unwrap();
    let trailers = whole.trailers().cloned();
    let headers = match trailers {
        Some(trailers) => trailers,
        None => parts.headers,
    };
    let status = headers["grpc-status"].to_str().unwrap().parse().unwrap();
    (status, headers, whole.to_bytes())
}

async fn status_of(server: &Server, request: Request<Full<Bytes>>) -> u8 {
    let mut client = connect(server).await;
    status(send(&mut client, request).await).await.0
}

#[tokio::test]
async fn a_call_takes_its_wishes_from_metadata() {
    let mut server = start(Limits::default()).await;
    let mut client = connect(&server).await;
    let mut asked = request("Echo", frame(b"\n\x02hi"));
    let headers = asked.headers_mut();
    headers.insert("grpc-timeout", "5S".parse().unwrap());
    headers.insert("katamari-timeout-ms", "60000".parse().unwrap());
    headers.insert("katamari-class", "low".parse().unwrap());
    let before = Instant::now();
    let response = send(&mut client, asked).await;
    assert_eq!(response.headers()["katamari-worker"], "3-42");
    assert!(response.headers().contains_key("server-timing"));
    let call = server.stage.next_call().await;
    assert_eq!(call.payload, Payload::Json(r#"{"text":"hi"}"#.into()));
    assert_eq!((call.class, &*call.function), (Class::Low, "echo"));
    assert!(call.deadline.unwrap() <= before.max(Instant::now()) + Duration::from_secs(5));
    let (status, _, body) = status(response).await;
    // A Value with a Struct of one entry: what was echoed.
    assert_eq!(
        body,
        frame(b"\n\x10*\x0e\n\x0c\n\x04text\x12\x04\x1a\x02hi")
    );
    assert_eq!(status, 0);
}

#[tokio::test]
async fn every_code_has_its_status() {
    let server = start(Limits::default()).await;
    let mut client = connect(&server).await;
    let statuses = [3, 5, 12, 3, 8, 14, 4, 13, 13, 2, 13, 9, 7, 1, 14];
    for (code, expected) in all_codes().into_iter().zip(statuses) {
        let name: String = code.as_str().split('_').map(capital).collect();
        let response = send(&mut client, request(&name, frame(b""))).await;
        let (status, headers, _) = status(response).await;
        assert_eq!(status, expected, "{code:?}");
        assert!(headers.contains_key("katamari-id"), "{code:?}");
        assert!(headers.contains_key("grpc-status-details-bin"), "{code:?}");
        let pushback = headers.get("grpc-retry-pushback-ms");
        assert_eq!(pushback.is_some(), code == Code::Busy, "{code:?}");
    }
}

fn capital(part: &str) -> String {
    let (first, rest) = part.split_at(1);
    first.to_uppercase() + rest
}

#[tokio::test]
async fn results_that_do_not_fit_are_internal_errors() {
    let server = start(Limits::default()).await;
    let garbage = request("Garbage", frame(b""));
    assert_eq!(status_of(&server, garbage).await, 13);
    let mut client = connect(&server).await;
    let png = send(&mut client, request("Png", frame(b""))).await;
    assert_eq!(status(png).await.2, frame(b"\n\x04\x01png"));
}

#[tokio::test]
async fn a_client_that_resets_its_call_cancels_it() {
    let mut server = start(Limits::default()).await;
    let mut client = connect(&server).await;
    let waiting = tokio::spawn(client.send_request(request("Hang", frame(b""))));
    let call = server.stage.next_call().await;
    waiting.abort();
    assert_eq!(server.stage.next_dropped().await, call.number);
    let after = send(&mut client, request("Echo", frame(b""))).await;
    assert_eq!(status(after).await.0, 0);
}

#[tokio::test]
async fn pieces_are_messages_and_an_error_is_the_last_word() {
    let mut server = start(Limits::default()).await;
    let mut client = connect(&server).await;
    let mut response = send(&mut client, request("Held", frame(b""))).await;
    let sender = server.stage.next_held().await;
    for piece in ["true", "null"] {
        sender.send(Payload::Json(piece.into()));
        let data = within(response.body_mut().frame()).await.unwrap().unwrap();
        let expected: &[u8] = if piece == "true" {
            b"\n\x02 \x01"
        } else {
            b"\n\x02\x08\0"
        };
        assert_eq!(data.into_data().unwrap(), frame(expected));
    }
    sender.end(Err(CallError::new(Code::WorkerDied, "gone")));
    let (status, trailers, _) = status(response).await;
    assert_eq!(status, 13);
    assert_eq!(trailers["grpc-message"], "gone");
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let mut server = start(Limits {
        write_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = connect(&server).await;
    let _unread = send(&mut client, request("Held", frame(b""))).await;
    let sender = server.stage.next_held().await;
    let piece = Payload::Json(format!("\"{}\"", "x".repeat(1 << 20)).into());
    within(async {
        while sender.send(piece.clone()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn messages_that_are_none_are_refused() {
    let server = start(Limits {
        body_max: 1024,
        ..Limits::default()
    })
    .await;
    let corpus: [(&str, Vec<u8>, u8); 12] = [
        ("no message", vec![], 3),
        ("compressed", [&[1], &frame(b"")[1..]].concat(), 12),
        ("an unknown flag", [&[2], &frame(b"")[1..]].concat(), 3),
        ("half a prefix", vec![0, 0, 0], 3),
        (
            "a message that ends early",
            frame(b"\n\x02hi")[..7].to_vec(),
            3,
        ),
        ("two messages", [frame(b""), frame(b"")].concat(), 3),
        ("one byte too long", frame(&[0; 1025]), 8),
        ("the greatest length", vec![0, 255, 255, 255, 255], 8),
        ("a field without end", frame(b"\n\xff\xff\xff\xff\x0f"), 3),
        ("a varint without end", frame(&[0xff; 20]), 3),
        ("text that is not UTF-8", frame(b"\n\x01\xff"), 3),
        ("another wire type", frame(b"\x08\x01"), 3),
    ];
    for (what, body, expected) in corpus {
        assert_eq!(
            status_of(&server, request("Echo", body)).await,
            expected,
            "{what}"
        );
    }
    for (name, value, expected) in [
        ("grpc-encoding", "gzip", 12),
        ("grpc-encoding", "identity", 0),
        ("grpc-timeout", "soon", 3),
        ("katamari-tiemout-ms", "1", 3),
        ("katamari-details", r#"{"kind": "other"}"#, 3),
    ] {
        let mut asked = request("Echo", frame(b""));
        asked.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(status_of(&server, asked).await, expected, "{name}: {value}");
    }
    for path in [
        "/",
        "/katamari.act.Act",
        "/katamari.act.Act/None",
        "/grpc.health.v1.Health/None",
    ] {
        let mut asked = request("Echo", frame(b""));
        *asked.uri_mut() = format!("http://node{path}").parse().unwrap();
        assert_eq!(status_of(&server, asked).await, 12, "{path}");
    }
}

#[tokio::test]
async fn requests_that_are_not_of_grpc_are_told_so_by_http() {
    let server = start(Limits::default()).await;
    let mut client = connect(&server).await;
    let mut json = request("Echo", "{}");
    json.headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    assert_eq!(send(&mut client, json).await.status(), 415);
    let mut get = request("Echo", "");
    *get.method_mut() = http::Method::GET;
    assert_eq!(send(&mut client, get).await.status(), 405);
}

/// Frames of HTTP/2 that break its rules: length, type, flags, stream, payload.
#[tokio::test]
async fn connections_that_break_the_rules_are_closed() {
    let server = start(Limits {
        header_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let corpus: [(&str, &[u8]); 11] = [
        ("garbage", b"\x16\x03\x01\x02\0\x01\0\x01\xfc"),
        ("HTTP/1", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("half a preface", b"PRI * HTTP/2.0\r\n"),
        ("a frame that is too long", b"P\xff\xff\xff\0\0\0\0\0\x01"),
        ("no settings first", b"P\0\0\0\0\0\0\0\0\x01"),
        ("settings of five bytes", b"P\0\0\x05\x04\0\0\0\0\0abcde"),
        ("headers of stream 0", b"S\0\0\x01\x01\x05\0\0\0\0\x82"),
        ("data of a stream that is idle", b"S\0\0\x01\0\0\0\0\0\x05x"),
        (
            "a continuation of nothing",
            b"S\0\0\x01\x09\x04\0\0\0\x01\x82",
        ),
        ("a window of no size", b"S\0\0\x04\x08\0\0\0\0\0\0\0\0\0"),
        (
            "headers that cannot be decoded",
            b"S\0\0\x02\x01\x05\0\0\0\x01\xff\xff",
        ),
    ];
    for (what, bytes) in corpus {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let begin: &[u8] = match bytes[0] {
            b'P' if bytes[1] != b'R' => preface,
            b'S' => &[&preface[..], settings].concat(),
            _ => b"",
        };
        let bytes = if begin.is_empty() { bytes } else { &bytes[1..] };
        let mut client = server.connect().await;
        client.write(&[begin, bytes].concat()).await;
        let told = client.rest().await;
        assert_eq!(
            told.starts_with(b"HTTP/1.1 505"),
            matches!(what, "HTTP/1" | "garbage"),
            "{what}"
        );
    }
    assert_eq!(status_of(&server, request("Echo", frame(b""))).await, 0);
}

#[tokio::test]
async fn who_watches_does_not_keep_the_node_from_ending() {
    let mut server = start(Limits::default()).await;
    let mut client = connect(&server).await;
    let mut watch = request("Echo", frame(b""));
    *watch.uri_mut() = "http://node/grpc.health.v1.Health/Watch".parse().unwrap();
    let mut response = send(&mut client, watch).await;
    let first = within(response.body_mut().frame()).await.unwrap().unwrap();
    // The worker was introduced and takes calls, and nothing is starting.
    assert_eq!(first.into_data().unwrap(), frame(b"\x08\x01"));
    server.stop.take().unwrap().send(()).unwrap();
    assert_eq!(status(response).await.0, 14);
    drop(client);
    within(&mut server.task).await.unwrap().unwrap();
}

#[test]
fn it_has_a_port_of_its_own() {
    let port = |name| {
        KINDS
            .iter()
            .find(|kind| kind.name == name)
            .map(|kind| kind.port)
    };
    assert_eq!(port("grpc"), Some(7483));
    // 0 lets the system choose.
    let ports = KINDS.iter().map(|kind| kind.port);
    let mut ports: Vec<_> = ports.filter(|port| *port > 0).collect();
    let count = ports.len();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), count);
}
