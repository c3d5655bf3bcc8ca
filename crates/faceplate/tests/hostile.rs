//! What an attacker sends over WebSockets, raw TCP, HTTP and HTTP/2: malformed, endless, enormous.
//! Nothing of it troubles other clients. Protocols with messages of their own have their corpus
//! beside their tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;
use support::speak::{echo, scene, speaker};
use support::{Client, Scene, Server, configured, faceplate, within};
use term::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes that a message may have here.
const BODY_MAX: usize = 1_024;

fn limits() -> Limits {
    Limits {
        body_max: BODY_MAX,
        body_timeout: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// Writes until all is out or the other end has had enough, and reads what it says to the end. What
/// it says is not read before: it may not wait for that.
async fn flood(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = within(stream.write_all(bytes)).await;
    let _ = stream.shutdown().await;
    let mut told = Vec::new();
    let _ = within(stream.read_to_end(&mut told)).await;
    told
}

/// That others are served meanwhile.
async fn others_are_served(protocol: &str, server: &Server) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    echo(protocol, stream, 3).await;
}

// WebSockets

const UPGRADE: &str = "GET /rpc HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
    dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn websocket(server: &Server) -> Client<TcpStream> {
    let mut client = server.connect().await;
    client.write(UPGRADE.as_bytes()).await;
    assert_eq!(client.head().await.status, 101);
    client
}

/// A frame of a client, masked with nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The code with which the other end closes, if it says one.
fn close_code(told: &[u8]) -> Option<u16> {
    let at = told.iter().rposition(|byte| *byte == 0x88)?;
    let code = told.get(at + 2..at + 4)?;
    Some(u16::from_be_bytes(code.try_into().unwrap()))
}

#[tokio::test]
async fn frames_that_break_the_rules_of_websockets_end_their_connection_alone() {
    let server = Server::start(limits()).await;
    let corpus: [(&str, Vec<u8>); 13] = [
        ("no mask", b"\x81\x02{}".to_vec()),
        ("a reserved bit", frame(0xc1, b"{}")),
        ("an unknown opcode", frame(0x83, b"{}")),
        ("an unknown control frame", frame(0x8b, b"")),
        ("a ping in parts", frame(0x09, b"x")),
        ("a ping that is too long", frame(0x89, &[b'x'; 126])),
        ("a continuation of nothing", frame(0x80, b"x")),
        (
            "a text in a text",
            [frame(0x01, b"{"), frame(0x81, b"}")].concat(),
        ),
        ("a text that is not UTF-8", frame(0x81, b"\xff\xfe")),
        ("a goodbye of one byte", frame(0x88, b"x")),
        (
            "the greatest length",
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(),
        ),
        (
            "four gigabytes",
            b"\x82\xff\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec(),
        ),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        ),
    ];
    for (what, bytes) in corpus {
        let mut client = websocket(&server).await;
        client.write(&bytes).await;
        // Closing is the answer; a text that came before would be another.
        assert!(!client.rest().await.starts_with(b"\x81"), "{what}");
        others_are_served("http", &server).await;
    }
}

#[tokio::test]
async fn a_message_without_end_is_too_long_even_if_nothing_is_in_it() {
    let server = Server::start(Limits {
        body_timeout: Duration::from_secs(1_000),
        ..limits()
    })
    .await;
    let mut client = websocket(&server).await;
    let endless = [frame(0x01, b"["), frame(0x00, b"").repeat(100_000)].concat();
    let _ = within(client.0.get_mut().write_all(&endless)).await;
    let told = client.rest().await;
    assert!(
        told.is_empty() || close_code(&told) == Some(1009),
        "{told:?}"
    );
    others_are_served("http", &server).await;
}

#[tokio::test]
async fn a_websocket_that_is_idle_hears_goodbye() {
    let server = Server::start(Limits {
        idle_timeout: Duration::from_millis(300),
        ..limits()
    })
    .await;
    let mut client = websocket(&server).await;
    assert_eq!(close_code(&client.rest().await), Some(1001));
}

#[tokio::test]
async fn bytes_that_never_pause_do_not_outlast_the_time_for_a_message() {
    let server = Server::start(Limits {
        body_timeout: Duration::ZERO,
        ..limits()
    })
    .await;
    let mut client = websocket(&server).await;
    let slow = [frame(0x01, b"["), frame(0x00, b" ")].concat();
    let _ = within(client.0.get_mut().write_all(&slow)).await;
    assert_eq!(close_code(&client.rest().await), Some(1008));
}

#[tokio::test]
async fn pings_that_nobody_reads_the_answers_to_are_no_burden() {
    let server = Server::start(limits()).await;
    let mut client = websocket(&server).await;
    // More than the sockets hold: in the end it is not read any more.
    let pings = frame(0x89, &[b'x'; 100]).repeat(100_000);
    let writing = client.0.get_mut().write_all(&pings);
    let _ = tokio::time::timeout(Duration::from_millis(300), writing).await;
    others_are_served("http", &server).await;
}

/// Answers of a MiB each, that nobody reads.
#[tokio::test]
async fn what_a_client_leaves_unread_is_bounded() {
    for protocol in ["jsonrpc", "http"] {
        let mut server = Server::of(speaker(protocol), Scene::default(), Limits::default()).await;
        let call = r#"{"jsonrpc":"2.0","method":"k.held","id":1}"#;
        let mut client = if protocol == "http" {
            let mut client = websocket(&server).await;
            let frame = frame(0x81, call.as_bytes());
            client.write(&frame.repeat(100)).await;
            client
        } else {
            let mut client = server.connect().await;
            client
                .write(format!("{call}\n").repeat(100).as_bytes())
                .await;
            client
        };
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(server.stage.next_held().await);
        }
        let megabyte = Payload::Json(format!("\"{}\"", "x".repeat(1 << 20)).into());
        let last = held.split_off(90);
        for sender in held {
            sender.send(megabyte.clone());
            sender.end(Ok(()));
        }
        // Those that still run are cancelled with it.
        within(async {
            while last
                .iter()
                .any(|sender| sender.send(Payload::Json("1".into())))
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let came = client.rest().await.len();
        assert!(came < 64 << 20, "{protocol}: {came} bytes");
    }
}

// Raw TCP

fn port(framing: &'static str) -> std::sync::Arc<dyn faceplate::Faceplate> {
    let keys = [
        ("function", "act.echo"),
        ("content_type", "application/json"),
        ("framing", framing),
    ];
    faceplate("tcp", keys)
}

#[tokio::test]
async fn a_million_tiny_messages_and_lengths_of_four_gigabytes_are_nothing() {
    let server = Server::of(port("lines"), scene(), limits()).await;
    assert_eq!(flood(&server, &b"\n \r\n".repeat(500_000)).await, b"");
    let told = flood(&server, &[b'x'; 10 * BODY_MAX]).await;
    assert!(told.is_empty() || told.starts_with(b"{\"error\":{\"code\":\"too_large\""));
    others_are_served("tcp", &server).await;
    let server = Server::of(port("lengths"), scene(), limits()).await;
    let told = flood(&server, b"\xff\xff\xff\xffx").await;
    assert!(
        told[4..].starts_with(b"{\"error\":{\"code\":\"too_large\""),
        "{told:?}"
    );
    // Each is a call, whose answer is as small.
    let told = flood(&server, &b"\0\0\0\x01x".repeat(10_000)).await;
    assert!(told.len() >= 10_000 * 5, "{}", told.len());
}

// HTTP

async fn routes(limits: Limits) -> Server {
    let routes = vec![
        ("routes", "POST /p/{a}", "k.echo"),
        ("routes", "GET /p/{a}", "k.echo"),
        ("routes", "/w/{rest*}", "k.http"),
    ];
    let faceplate = configured("http", Default::default(), routes, PathBuf::new());
    Server::of(faceplate, Scene::default(), limits).await
}

#[tokio::test]
async fn arguments_without_end_are_too_many() {
    let server = routes(Limits {
        header_max: 1 << 20,
        ..Limits::default()
    })
    .await;
    let many = "a=1&".repeat(15_000);
    let response = server.get(&format!("/p/x?{many}")).await;
    response.problem(413, "too_large");
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let many = "a=1&".repeat(100_000);
    let head = format!("POST /p/x HTTP/1.1\r\n{form}");
    server.request(&head, &many).await.problem(413, "too_large");
    let longer = server.get(&format!("/p/x?{many}")).await;
    assert!(matches!(longer.status, 414 | 431), "{}", longer.status);
}

#[tokio::test]
async fn odd_paths_and_queries_are_answered() {
    let server = routes(Limits::default()).await;
    for odd in [
        "%",
        "%z",
        "%zz",
        "%00",
        "%ff",
        "%c0%af",
        "%2e%2e%2f",
        "a%2fb",
        "%25%30%30",
        "a?%",
        "a?%ff=%fe",
        "a?=&==&&",
        "a?a=%00",
        "a?%61=1&a=2",
        "a?a[]=1",
        "a;b",
        "a?\u{7f}",
        "a??",
        "a?a=+%2B",
    ] {
        let response = server.get(&format!("/p/{odd}")).await;
        assert!(response.status < 500, "{odd}: {}", response.status);
        let response = server.get(&format!("/w/{odd}")).await;
        assert!(response.status < 500, "{odd}: {}", response.status);
    }
}

#[tokio::test]
async fn bodies_of_many_parts_are_bytes() {
    let server = routes(limits()).await;
    let parts = "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n\r\n".repeat(10);
    let endless = format!("--x\r\na: {}", "b".repeat(900));
    for (what, boundary, body) in [
        ("many parts", "; boundary=x", parts.as_str()),
        ("headers without end", "; boundary=x", &endless),
        ("no boundary", "", "--\r\n\r\n"),
    ] {
        let head = |path: &str| {
            format!("POST {path} HTTP/1.1\r\ncontent-type: multipart/form-data{boundary}\r\n")
        };
        let whole = server.request(&head("/w/x"), body).await;
        assert_eq!(whole.status, 418, "{what}");
        let function = server.request(&head("/p/x"), body).await;
        assert!(
            (400..500).contains(&function.status),
            "{what}: {}",
            function.status
        );
    }
}

#[tokio::test]
async fn chunks_of_one_byte_are_put_together_and_their_extensions_end() {
    let server = routes(limits()).await;
    let head = "POST /call/act/echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\
        \r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = server.connect().await;
    let spaces = "1\r\n \r\n".repeat(BODY_MAX - 2);
    client
        .write(format!("{head}{spaces}2\r\n[]\r\n0\r\n\r\n").as_bytes())
        .await;
    assert_eq!(client.receive().await.status, 200);
    for (what, bytes) in [
        (
            "an extension without end",
            format!("1;a={}", "b".repeat(100_000)),
        ),
        (
            "trailers without end",
            format!("0\r\n{}", "a: b\r\n".repeat(100_000)),
        ),
        ("a length without end", "0".repeat(100_000)),
        ("more than 64 bits", "fffffffffffffffff\r\n".to_owned()),
        ("one byte too many", "1\r\n \r\n".repeat(BODY_MAX + 1)),
    ] {
        let told = flood(&server, format!("{head}{bytes}").as_bytes()).await;
        let told = String::from_utf8_lossy(&told);
        assert!(
            !told.contains(" 200 ") && !told.contains(" 500 "),
            "{what}: {told}"
        );
        others_are_served("http", &server).await;
    }
}

// HTTP/2

/// A frame: type, flags, stream, payload.
fn h2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head[..], payload].concat()
}

#[tokio::test]
async fn floods_of_frames_end_their_connection_alone() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;
    // POST, https, and a path, in the static table of HPACK.
    let head = [0x83, 0x87, 0x84, 0x41, 1, b'n'];
    let resets = (0..50_000).flat_map(|number| {
        let stream = 2 * number + 1;
        [
            h2(HEADERS, 5, stream, &head),
            h2(RESET, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    });
    let endless = h2(CONTINUATION, 0, 1, &[b'\0'; 1_000]).repeat(5_000);
    let floods: [(&str, Vec<u8>); 5] = [
        ("rapid resets", resets.collect()),
        (
            "settings",
            h2(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).repeat(200_000),
        ),
        ("pings", h2(PING, 0, 0, &[0; 8]).repeat(200_000)),
        (
            "continuations",
            [h2(HEADERS, 1, 1, &head), endless].concat(),
        ),
        ("empty data", h2(0, 0, 1, &[]).repeat(200_000)),
    ];
    let server = Server::of(speaker("grpc"), scene(), limits()).await;
    for (what, bytes) in floods {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let begin = [&preface[..], &h2(SETTINGS, 0, 0, &[])].concat();
        let mut client = server.connect().await;
        client.write(&begin).await;
        let writing = client.0.get_mut().write_all(&bytes);
        // It is cut off, or not read any more until it reads itself.
        let written = tokio::time::timeout(Duration::from_millis(500), writing).await;
        others_are_served("grpc", &server).await;
        if what == "rapid resets" || what == "continuations" {
            let _ = written;
            client.rest().await;
        }
    }
}

// By chance

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Frames of a WebSocket, right or nearly so, with a few bytes changed.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let text = r#"{"jsonrpc":"2.0","method":"k.echo","id":1}"#;
    let payload = prop_oneof![
        Just(text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..150),
    ];
    let one = (any::<u8>(), payload).prop_map(|(first, payload)| {
        // Most of them are of opcodes that there are.
        let first = if first < 200 {
            [0x81, 0x01, 0x80, 0x89][first as usize % 4]
        } else {
            first
        };
        frame(first, &payload)
    });
    changed(prop::collection::vec(one, 0..6).prop_map(|frames| frames.concat()))
}

/// Requests of HTTP, right or nearly so, with a few bytes changed.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "POST /p/a?b=%20 HTTP/1.1",
        "GET /w/x HTTP/1.1",
        "POST /call/k/echo HTTP/1.1",
        "POST /rpc HTTP/1.0",
        "GET /rpc HTTP/1.1",
    ]);
    let header = prop::sample::select(vec![
        "host: localhost",
        "content-type: application/json",
        "content-type: application/x-www-form-urlencoded",
        "content-length: 5",
        "transfer-encoding: chunked",
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: x",
        "expect: 100-continue",
        "katamari-details: {}",
    ]);
    let body = prop::sample::select(vec!["", "[1,2]", "a=b&c", "5\r\n[1,2]\r\n0\r\n\r\n"]);
    let one = (line, prop::collection::vec(header, 0..6), body);
    let one = one.prop_map(|(line, headers, body)| {
        let headers = headers.join("\r\n");
        format!("{line}\r\nhost: localhost\r\n{headers}\r\n\r\n{body}").into_bytes()
    });
    changed(prop::collection::vec(one, 0..4).prop_map(|all| all.concat()))
}

fn changed(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (bytes, changes).prop_map(|(mut bytes, changes)| {
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes
    })
}

fn brief() -> Limits {
    Limits {
        body_timeout: Duration::from_millis(2),
        header_timeout: Duration::from_millis(50),
        ..limits()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn whatever_comes_over_a_websocket_troubles_nobody_else(bytes in frames()) {
        runtime().block_on(async {
            let server = Server::start(brief()).await;
            let mut client = websocket(&server).await;
            let _ = client.0.get_mut().write_all(&bytes).await;
            let _ = client.0.get_mut().shutdown().await;
            client.rest().await;
            others_are_served("http", &server).await;
            assert!(!server.task.is_finished());
        });
    }

    #[test]
    fn whatever_comes_over_raw_tcp_troubles_nobody_else(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        framing in prop::sample::select(vec!["lines", "lengths", "close"]),
    ) {
        runtime().block_on(async {
            let server = Server::of(port(framing), scene(), brief()).await;
            flood(&server, &bytes).await;
            if framing == "lines" {
                others_are_served("tcp", &server).await;
            }
            assert!(!server.task.is_finished());
        });
    }

    #[test]
    fn whatever_comes_over_http_troubles_nobody_else(bytes in requests()) {
        runtime().block_on(async {
            let server = routes(brief()).await;
            flood(&server, &bytes).await;
            others_are_served("http", &server).await;
            assert!(!server.task.is_finished());
        });
    }
}
