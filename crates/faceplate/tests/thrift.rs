//! Thrift, byte by byte: what goes over the wire, in each protocol and transport, and what becomes of
//! bytes that are no messages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::access::{Token, hash};
use faceplate::{Faceplate, KINDS, Keys, Limits};
use pool::{Class, Description, Epoch, Introduction, Program, SlotId, StopReason};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use support::{Scene, Server, WORKER, all_codes, within};
use term::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CALL: u8 = 1;
const REPLY: u8 = 2;
const EXCEPTION: u8 = 3;
const ONEWAY: u8 = 4;

/// A table of at most one key, `kind`.
struct Table(Option<&'static str>);

impl Keys for Table {
    fn has(&mut self, _: &'static str) -> bool {
        self.0.is_some()
    }

    fn text(&mut self, _: &'static str) -> Option<String> {
        self.0.map(str::to_owned)
    }

    fn texts(
        &mut self,
        _: &'static str,
        _: &str,
        _: usize,
        _: &dyn Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        None
    }

    fn pairs(
        &mut self,
        _: &'static str,
        _: usize,
        _: &mut dyn FnMut(&str, &str) -> Result<(), String>,
    ) {
    }

    fn path(&self, text: &str) -> PathBuf {
        text.into()
    }

    fn integer(&mut self, _: &'static str, _: u64, _: u64) -> Option<u64> {
        None
    }

    fn boolean(&mut self, _: &'static str) -> Option<bool> {
        None
    }

    fn choice(&mut self, _: &'static str, _: &[&str]) -> Option<usize> {
        None
    }

    fn report(&mut self, key: &'static str, message: String) {
        panic!("{key}: {message}");
    }
}

fn faceplate(kind: Option<&'static str>) -> Arc<dyn Faceplate> {
    let thrift = KINDS.iter().find(|kind| kind.name == "thrift").unwrap();
    (thrift.read)(&mut Table(kind)).unwrap()
}

async fn serve(limits: Limits) -> Server {
    Server::of(faceplate(None), Scene::default(), limits).await
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Protocol {
    Strict,
    Old,
    Compact,
}
use Protocol::{Compact, Old, Strict};

/// A message in the making; small ones only, so that compact lengths take one byte.
struct Message(Protocol, Vec<u8>, u8);

fn message(protocol: Protocol, kind: u8, name: &str, sequence: u8) -> Message {
    let mut bytes = Vec::new();
    let long = (name.len() as u32).to_be_bytes();
    match protocol {
        Strict => {
            bytes.extend_from_slice(&[0x80, 1, 0, kind]);
            bytes.extend_from_slice(&long);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[0, 0, 0, sequence]);
        }
        Old => {
            bytes.extend_from_slice(&long);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[kind, 0, 0, 0, sequence]);
        }
        Compact => {
            bytes.extend_from_slice(&[0x82, kind << 5 | 1, sequence, name.len() as u8]);
            bytes.extend_from_slice(name.as_bytes());
        }
    }
    Message(protocol, bytes, 0)
}

impl Message {
    fn head(mut self, id: u8, binary: u8, compact: u8) -> Self {
        match (self.0, id.checked_sub(self.2)) {
            (Compact, Some(step @ 1..)) => self.1.push(step << 4 | compact),
            (Compact, _) => self.1.extend_from_slice(&[compact, id * 2]),
            _ => self.1.extend_from_slice(&[binary, 0, id]),
        }
        self.2 = id;
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.1.extend_from_slice(bytes);
        self
    }

    fn text(self, id: u8, text: &str) -> Self {
        let protocol = self.0;
        let this = self.head(id, 11, 8);
        let this = match protocol {
            Compact => this.raw(&[text.len() as u8]),
            _ => this.raw(&(text.len() as u32).to_be_bytes()),
        };
        this.raw(text.as_bytes())
    }

    fn end(self, framed: bool) -> Vec<u8> {
        let bytes = self.raw(&[0]).1;
        if framed {
            [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
        } else {
            bytes
        }
    }
}

fn asks(protocol: Protocol, kind: u8, name: &str, sequence: u8, function: &str) -> Message {
    message(protocol, kind, name, sequence)
        .text(1, "k")
        .text(2, function)
        .text(3, "{\"n\": 1}")
}

/// `call_json` of a function of kind `k`, framed and strict.
fn call(function: &str, sequence: u8) -> Vec<u8> {
    asks(Strict, CALL, "call_json", sequence, function).end(true)
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

async fn frame(client: &mut TcpStream) -> Vec<u8> {
    let length = within(client.read_u32()).await.unwrap();
    let mut frame = vec![0; length as usize];
    within(client.read_exact(&mut frame)).await.unwrap();
    frame
}

async fn ask(client: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    client.write_all(message).await.unwrap();
    frame(client).await
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// That an answer is `KatamariError` of this code.
fn is_error(answer: &[u8], code: &str) {
    assert_eq!(answer[3], REPLY, "{}", String::from_utf8_lossy(answer));
    // Field 1 is a struct, whose field 1 is the code.
    let head = [
        &[12, 0, 1, 11, 0, 1, 0, 0, 0, code.len() as u8],
        code.as_bytes(),
    ]
    .concat();
    assert!(
        holds(answer, &head),
        "{code}: {}",
        String::from_utf8_lossy(answer)
    );
}

/// That an answer is Thrift's own exception of this number.
fn is_exception(answer: &[u8], number: u8) {
    assert_eq!(answer[3], EXCEPTION, "{}", String::from_utf8_lossy(answer));
    assert!(
        answer.ends_with(&[8, 0, 2, 0, 0, 0, number, 0]),
        "{answer:?}"
    );
}

#[tokio::test]
async fn each_protocol_is_spoken_with_and_without_frames() {
    let server = serve(Limits::default()).await;
    for protocol in [Strict, Old, Compact] {
        for framed in [false, true] {
            let mut client = connect(&server).await;
            for sequence in 1..3 {
                let bytes = asks(protocol, CALL, "call_json", sequence, "echo").end(framed);
                // However it is torn.
                for piece in bytes.chunks(5) {
                    client.write_all(piece).await.unwrap();
                    client.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
                let expected = message(protocol, REPLY, "call_json", sequence)
                    .text(0, "{\"n\": 1}")
                    .end(framed);
                let mut answer = vec![0; expected.len()];
                within(client.read_exact(&mut answer)).await.unwrap();
                assert_eq!(answer, expected, "{protocol:?} {framed}");
            }
        }
    }
}

#[tokio::test]
async fn messages_are_answered_in_order_and_oneway_ones_not_at_all() {
    let mut server = serve(Limits::default()).await;
    let mut client = connect(&server).await;
    let all = [
        call("held", 1),
        asks(Strict, ONEWAY, "cast_json", 2, "null").end(true),
        asks(Strict, CALL, "Katamari:call_json", 3, "echo").end(true),
        call("null", 4),
    ];
    client.write_all(&all.concat()).await.unwrap();
    let held = server.stage.next_held().await;
    held.send(Payload::Json("1".into()));
    held.end(Ok(()));
    let expected = |sequence, text| {
        let answer = message(Strict, REPLY, "call_json", sequence).text(0, text);
        answer.end(false)
    };
    assert_eq!(frame(&mut client).await, expected(1, "[1]"));
    assert_eq!(frame(&mut client).await, expected(3, "{\"n\": 1}"));
    assert_eq!(frame(&mut client).await, expected(4, "null"));
}

#[tokio::test]
async fn a_cast_that_its_client_leaves_behind_is_made() {
    let mut server = serve(Limits::default()).await;
    let mut client = connect(&server).await;
    let cast = asks(Compact, ONEWAY, "cast_json", 0, "echo").end(true);
    client.write_all(&cast).await.unwrap();
    drop(client);
    assert_eq!(&*server.stage.next_call().await.function, "echo");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call() {
    let mut server = serve(Limits::default()).await;
    let mut client = connect(&server).await;
    client.write_all(&call("hang", 1)).await.unwrap();
    let hanging = server.stage.next_call().await.number;
    drop(client);
    assert_eq!(server.stage.next_dropped().await, hanging);
}

#[tokio::test]
async fn every_error_is_the_declared_exception() {
    let server = serve(Limits::default()).await;
    let mut client = connect(&server).await;
    for code in all_codes() {
        is_error(
            &ask(&mut client, &call(code.as_str(), 1)).await,
            code.as_str(),
        );
    }
    let died = ask(&mut client, &call("worker_died", 2)).await;
    assert!(holds(&died, b"ValueError") && holds(&died, b"line 1"));
    let busy = ask(&mut client, &call("busy", 2)).await;
    assert!(
        holds(&busy, &[10, 0, 6, 0, 0, 0, 0, 0, 0, 0, 2]),
        "two seconds"
    );
    is_error(&ask(&mut client, &call("garbage", 3)).await, "protocol");
    is_error(&ask(&mut client, &call("png", 3)).await, "bad_request");
    let no_json = message(Strict, CALL, "call_json", 3)
        .text(1, "k")
        .text(2, "echo")
        .text(3, "{");
    is_error(&ask(&mut client, &no_json.end(true)).await, "bad_request");
    let wrong_type = message(Strict, CALL, "call_json", 3)
        .head(1, 2, 1)
        .raw(&[1]);
    is_error(
        &ask(&mut client, &wrong_type.end(true)).await,
        "bad_request",
    );
}

#[tokio::test]
async fn what_is_no_function_is_thrifts_own_exception() {
    let server = serve(Limits::default()).await;
    let mut client = connect(&server).await;
    let unknown = message(Strict, CALL, "call_jsn", 1).end(true);
    is_exception(&ask(&mut client, &unknown).await, 1);
    let reply = message(Strict, REPLY, "call_json", 1).end(true);
    is_exception(&ask(&mut client, &reply).await, 2);
    is_error(&ask(&mut client, &call("deadline", 1)).await, "deadline");
}

#[tokio::test]
async fn options_shape_a_call() {
    let mut server = serve(Limits::default()).await;
    let mut client = connect(&server).await;
    let with = |options: &[u8]| {
        let call = asks(Strict, CALL, "call_json", 1, "echo").head(4, 12, 12);
        call.raw(options).raw(&[0]).end(true)
    };
    let timeout = [&[10, 0, 2][..], &500_i64.to_be_bytes()].concat();
    let class = [11, 0, 3, 0, 0, 0, 3, b'l', b'o', b'w'];
    let idempotent = [2, 0, 5, 1];
    let unknown = [3, 0, 99, 1];
    let all = [&timeout[..], &class, &idempotent, &unknown].concat();
    ask(&mut client, &with(&all)).await;
    let call = server.stage.next_call().await;
    assert_eq!(call.class, Class::Low);
    assert_eq!(call.idempotent, Some(true));
    assert!(call.deadline.is_some());
    let never = [&[10, 0, 2][..], &0_i64.to_be_bytes()].concat();
    is_error(&ask(&mut client, &with(&never)).await, "bad_request");
    let wrong = [8, 0, 2, 0, 0, 0, 1];
    is_error(&ask(&mut client, &with(&wrong)).await, "bad_request");
}

#[tokio::test]
async fn a_token_is_shown_once_or_with_each_message() {
    let server = serve(Limits::default()).await;
    let token = |secret: &str| Token {
        name: "ci".into(),
        hash: hash(secret.as_bytes()),
        kinds: Some([Arc::from("k")].into()),
        class_max: Class::Normal,
        rate: None,
        observe: false,
        expires_unix_s: None,
    };
    server.stage.node.set_tokens(vec![token("kat_1")]);
    let mut client = connect(&server).await;
    is_error(&ask(&mut client, &call("echo", 1)).await, "not_allowed");
    let shown = asks(Strict, CALL, "call_json", 1, "echo")
        .head(4, 12, 12)
        .raw(&[11, 0, 6, 0, 0, 0, 5])
        .raw(b"kat_1\0")
        .end(true);
    assert!(holds(&ask(&mut client, &shown).await, b"{\"n\": 1}"));
    is_error(&ask(&mut client, &call("echo", 1)).await, "not_allowed");
    let show = |name: &str, secret: &str| message(Strict, CALL, name, 1).text(1, secret).end(true);
    let refused = ask(&mut client, &show("katamari_authenticate", "kat_2")).await;
    is_error(&refused, "not_allowed");
    let welcome = ask(&mut client, &show("k:katamari_authenticate", "kat_1")).await;
    assert_eq!(
        welcome,
        message(Strict, REPLY, "katamari_authenticate", 1).end(false)
    );
    assert!(holds(
        &ask(&mut client, &call("echo", 1)).await,
        b"{\"n\": 1}"
    ));
    server.stage.node.set_tokens(vec![token("kat_3")]);
    is_error(&ask(&mut client, &call("echo", 1)).await, "not_allowed");
}

/// Has no slots to give.
struct Nothing;

impl dispatch::Slots for Nothing {
    fn assign(&self, _: dispatch::Assignment) -> Result<(), dispatch::Refused> {
        Err(dispatch::Refused)
    }

    fn stop(&self, _: pool::CallId, _: StopReason) {}
}

/// A node that knows a pool of kind `k`; its calls are acted out as everywhere here.
async fn typed(kind: Option<&'static str>) -> Server {
    let limits = dispatch::Limits {
        timeout: Duration::from_secs(10),
        lobby_max: 10,
        lobby_bytes_max: 1 << 20,
    };
    let (run, dispatcher, notices) = dispatch::new(WORKER.node, &limits);
    tokio::spawn(run.run());
    let program = Program {
        name: "k".into(),
        weight: 1,
        timeout: Duration::from_secs(10),
        queue_max: 7,
        queue_bytes_max: 1 << 20,
    };
    notices.send(dispatch::Notice::Program(program.clone()));
    let description: Description = serde_json::from_str(
        r#"{"kind": "k", "functions": [
            {"name": "bad_request", "result": "string"},
            {"name": "echo", "result": "object", "parameters": [
                {"name": "text", "type": "string"}, {"name": "list", "type": "[integer]"},
                {"name": "maybe", "type": "number?"},
                {"name": "flag", "type": "boolean", "required": false}]},
            {"name": "held", "result": "integer", "stream": true},
            {"name": "large", "result": "integer"},
            {"name": "null", "result": "integer?"},
            {"name": "png", "result": "bytes", "parameters": [{"name": "data", "type": "bytes"}]}
        ]}"#,
    )
    .unwrap();
    notices.send(dispatch::Notice::Introduced {
        introduction: Introduction {
            worker: WORKER,
            program: "k".into(),
            description: Arc::new(description),
            slots: 1,
            batch_max: 1,
        },
        program,
        pid: 1,
        slots: Box::new(Nothing),
    });
    notices.send(dispatch::Notice::Offered {
        slot: SlotId {
            worker: WORKER,
            index: 0,
        },
        epoch: Epoch(1),
    });
    let scene = Scene {
        dispatcher: Some(dispatcher),
        ..Scene::default()
    };
    Server::of(faceplate(kind), scene, Limits::default()).await
}

#[tokio::test]
async fn functions_are_called_as_they_are_declared() {
    for (kind, prefix) in [(None, "k:"), (Some("k"), "")] {
        let mut server = typed(kind).await;
        let mut client = connect(&server).await;
        let name = |name: &str| format!("{prefix}{name}");
        let echo = message(Strict, CALL, &name("echo"), 1)
            .text(1, "é\"")
            .head(2, 15, 9)
            .raw(&[10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7])
            .head(101, 12, 12)
            .raw(&[2, 0, 4, 1, 0]);
        let answer = ask(&mut client, &echo.end(true)).await;
        let json = r#"{"text":"é\"","list":[7],"flag":true,"maybe":null}"#;
        assert_eq!(
            answer,
            message(Strict, REPLY, "echo", 1).text(0, json).end(false)
        );
        let null = ask(
            &mut client,
            &message(Strict, CALL, &name("null"), 2).end(true),
        )
        .await;
        let empty = message(Strict, REPLY, "null", 2).head(0, 12, 12).raw(&[0]);
        assert_eq!(null, empty.end(false), "a wrapper without its field");
        let png = message(Strict, CALL, &name("png"), 3)
            .text(1, "\u{1}")
            .end(true);
        let png = ask(&mut client, &png).await;
        assert_eq!(
            png,
            message(Strict, REPLY, "png", 3)
                .text(0, "\u{1}png")
                .end(false)
        );
        while &*server.stage.next_call().await.function != "png" {}

        client
            .write_all(&message(Strict, CALL, &name("held"), 4).end(true))
            .await
            .unwrap();
        let held = server.stage.next_held().await;
        for piece in ["1", "-1"] {
            held.send(Payload::Json(piece.into()));
        }
        held.end(Ok(()));
        let numbers = [1_i64.to_be_bytes(), (-1_i64).to_be_bytes()].concat();
        let pieces = message(Strict, REPLY, "held", 4)
            .head(0, 15, 9)
            .raw(&[10, 0, 0, 0, 2]);
        assert_eq!(frame(&mut client).await, pieces.raw(&numbers).end(false));
    }
}

#[tokio::test]
async fn declared_functions_fail_in_the_words_of_thrift() {
    let server = typed(Some("k")).await;
    let mut client = connect(&server).await;
    let plain = |name: &str| message(Strict, CALL, name, 1).end(true);
    is_exception(&ask(&mut client, &plain("nothing")).await, 1);
    is_exception(&ask(&mut client, &plain("call_json")).await, 1);
    is_error(&ask(&mut client, &plain("other:echo")).await, "no_pool");
    is_error(
        &ask(&mut client, &plain("bad_request")).await,
        "bad_request",
    );
    is_error(&ask(&mut client, &plain("large")).await, "protocol");
    let wrong = message(Strict, CALL, "echo", 1)
        .head(1, 2, 1)
        .raw(&[1])
        .end(true);
    is_error(&ask(&mut client, &wrong).await, "bad_arguments");
    let generic = asks(Strict, CALL, "Katamari:call_json", 1, "echo").end(true);
    assert!(holds(&ask(&mut client, &generic).await, b"{\"n\": 1}"));
}

#[tokio::test]
async fn over_http_a_body_is_a_message() {
    let server = Server::start(Limits::default()).await;
    let post = |body: Vec<u8>, head: &'static str| {
        let server = &server;
        async move {
            let mut client = connect(server).await;
            let head = format!(
                "POST /thrift HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            client
                .write_all(&[head.as_bytes(), &body].concat())
                .await
                .unwrap();
            let mut answer = Vec::new();
            within(client.read_to_end(&mut answer)).await.unwrap();
            answer
        }
    };
    const THRIFT: &str = "content-type: application/x-thrift\r\n";
    for protocol in [Strict, Compact] {
        let body = asks(protocol, CALL, "call_json", 1, "echo").end(false);
        let answer = post(body, THRIFT).await;
        let expected = message(protocol, REPLY, "call_json", 1)
            .text(0, "{\"n\": 1}")
            .end(false);
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(&expected));
    }
    let cast = asks(Strict, ONEWAY, "cast_json", 1, "echo").end(false);
    let answer = post(cast, THRIFT).await;
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"\r\n\r\n"));
    let short = asks(Strict, CALL, "call_json", 1, "echo").1;
    assert!(post(short, THRIFT).await.starts_with(b"HTTP/1.1 400"));
    let body = asks(Strict, CALL, "call_json", 1, "echo").end(false);
    let answer = post(body, "content-type: application/json\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 400"));
}

/// What is sent, and what each of them is: bytes that never become a call.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let strict = |fields: &[u8]| message(Strict, CALL, "call_json", 1).raw(fields).1;
    let compact = |fields: &[u8]| message(Compact, CALL, "call_json", 1).raw(fields).1;
    let framed = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let mut deep_lists = vec![15, 0, 9];
    deep_lists.extend([15, 0, 0, 0, 1].repeat(1_000));
    vec![
        ("another version", vec![0x80, 2, 0, 1, 0, 0, 0, 0]),
        ("another compact version", vec![0x82, 0x22, 0, 0]),
        ("another protocol", vec![0xff; 8]),
        (
            "a frame beyond the limit",
            vec![0x7f, 0xff, 0xff, 0xff, 0x80, 1],
        ),
        ("an empty frame", vec![0, 0, 0, 0, 0, 0, 0, 0]),
        (
            "a name below zero",
            vec![0x80, 1, 0, 1, 0xff, 0xff, 0xff, 0xff],
        ),
        ("a name beyond all names", vec![0x80, 1, 0, 1, 0, 1, 0, 0]),
        (
            "a name of other bytes",
            vec![0x80, 1, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 1, 0],
        ),
        ("no kind of message", message(Strict, 9, "x", 1).1),
        ("an unknown kind of field", strict(&[5, 0, 1])),
        ("a boolean of three", strict(&[2, 0, 1, 3])),
        (
            "a string beyond the limit",
            strict(&[11, 0, 1, 0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a string below zero", strict(&[11, 0, 1, 0x80, 0, 0, 0])),
        (
            "a list beyond the limit",
            strict(&[15, 0, 1, 10, 0x7f, 0xff, 0xff, 0xff]),
        ),
        (
            "a map beyond the limit",
            strict(&[13, 0, 1, 11, 11, 0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a list of nothing", strict(&[15, 0, 1, 0, 0, 0, 0, 1, 0])),
        ("structs without end", strict(&[12, 0, 1].repeat(1_000))),
        ("lists without end", strict(&deep_lists)),
        (
            "compact structs without end",
            compact(&[0x1c].repeat(1_000)),
        ),
        (
            "compact lists without end",
            compact(&[&[0x19][..], &[0x19].repeat(1_000)].concat()),
        ),
        (
            "a compact list beyond the limit",
            compact(&[0x19, 0xf6, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        (
            "an integer without end",
            compact(&[&[0x16][..], &[0xff; 12]].concat()),
        ),
        (
            "a field beyond 16 bits",
            compact(&[0x08, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        (
            "a frame that is too short",
            framed(&strict(&[11, 0, 1, 0, 0, 0, 9, b'k'])),
        ),
        ("a frame that goes on", framed(&strict(&[0, 0]))),
        (
            "a request of HTTP",
            b"POST /thrift HTTP/1.1\r\n\r\n".to_vec(),
        ),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ]
}

#[tokio::test]
async fn what_is_no_message_ends_its_connection_and_no_other() {
    let limits = Limits {
        body_max: 64 * 1024,
        ..Limits::default()
    };
    let server = serve(limits).await;
    let mut other = connect(&server).await;
    for (what, bytes) in corpus() {
        let mut client = connect(&server).await;
        client.write_all(&bytes).await.unwrap();
        let mut told = Vec::new();
        // It may close with bytes of ours unread, which cuts the connection off.
        let _ = within(client.read_to_end(&mut told)).await;
        assert!(told.len() < 1_024, "{what}: {told:?}");
        assert!(
            holds(&ask(&mut other, &call("echo", 1)).await, b"{\"n\": 1}"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn slow_messages_and_endless_ones_are_told_so() {
    let limits = Limits {
        body_max: 1_024,
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = serve(limits).await;
    let mut slow = connect(&server).await;
    slow.write_all(&[0x80, 1, 0, 1]).await.unwrap();
    let mut told = Vec::new();
    within(slow.read_to_end(&mut told)).await.unwrap();
    is_exception(&told, 7);
    let mut endless = connect(&server).await;
    let fields = [2, 0, 1, 1].repeat(512);
    endless
        .write_all(&message(Strict, CALL, "call_json", 1).raw(&fields).1)
        .await
        .unwrap();
    told.clear();
    let _ = within(endless.read_to_end(&mut told)).await;
    is_exception(&told, 7);
    assert!(holds(&told, b"too_large"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_disturb_others(
        noise in prop::collection::vec(any::<u8>(), 0..64),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        protocol in prop::sample::select(vec![Strict, Old, Compact]),
        framed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let limits = Limits {
                body_timeout: Duration::from_millis(20),
                ..Limits::default()
            };
            let server = serve(limits).await;
            let mut changed = asks(protocol, CALL, "call_json", 1, "echo").end(framed);
            for (place, byte) in &changes {
                *place.get_mut(&mut changed) = *byte;
            }
            for bytes in [&noise, &changed] {
                let mut client = connect(&server).await;
                client.write_all(bytes).await.unwrap();
                let _ = client.shutdown().await;
                let mut told = Vec::new();
                let _ = within(client.read_to_end(&mut told)).await;
                assert!(told.len() < 4_096);
            }
            let mut other = connect(&server).await;
            assert!(holds(&ask(&mut other, &call("echo", 1)).await, b"{\"n\": 1}"));
        });
    }
}
