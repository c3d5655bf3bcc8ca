//! Protocols of messages on a connection of their own: JSON-RPC over TCP, and raw TCP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::access::{Token, hash};
use faceplate::{Faceplate, Limits};
use pool::Class;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use support::{Scene, Server, faceplate, within};
use term::Payload;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

async fn serve(faceplate: Arc<dyn Faceplate>, limits: Limits) -> Server {
    Server::of(faceplate, Scene::default(), limits).await
}

/// A client of lines.
struct Lines(BufReader<TcpStream>);

impl Lines {
    async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await;
        Self(BufReader::new(stream.expect("it listens")))
    }

    async fn say(&mut self, line: &str) {
        let bytes = format!("{line}\n");
        let written = self.0.get_mut().write_all(bytes.as_bytes()).await;
        written.expect("it listens");
    }

    async fn hear(&mut self) -> String {
        let mut line = String::new();
        let read = within(self.0.read_line(&mut line)).await;
        read.expect("it answers");
        line.trim_end().to_owned()
    }

    async fn hear_json(&mut self) -> Value {
        let line = self.hear().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// What comes until the other end closes.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let read = within(self.0.read_to_string(&mut rest)).await;
        read.expect("it closes in good order");
        rest
    }
}

fn echo(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"k.echo","params":{{"n":{id}}},"id":{id}}}"#)
}

fn token(name: &str, secret: &str) -> Token {
    Token {
        name: name.into(),
        hash: hash(secret.as_bytes()),
        kinds: Some([Arc::from("k")].into()),
        class_max: Class::Normal,
        rate: None,
        observe: false,
        expires_unix_s: None,
    }
}

#[tokio::test]
async fn requests_of_a_connection_run_side_by_side() {
    let mut server = serve(faceplate("jsonrpc", []), Limits::default()).await;
    let mut client = Lines::connect(&server).await;
    client
        .say(r#"{"jsonrpc":"2.0","method":"k.hang","id":1}"#)
        .await;
    client.say(&echo(2)).await;
    let answer = client.hear_json().await;
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "result": {"n": 2}, "id": 2})
    );
    let hanging = server.stage.next_call().await.number;
    drop(client);
    // A client that only says no more still waits; one that is gone is found out by what is sent.
    let stop = server.stop.take();
    drop(stop);
    server.task.abort();
    assert_eq!(server.stage.next_dropped().await, hanging);
}

/// What hangs, in the words of a faceplate.
fn hanging(name: &str) -> &'static str {
    match name {
        "jsonrpc" => r#"{"jsonrpc":"2.0","method":"k.hang","id":1}"#,
        _ => "anything",
    }
}

#[tokio::test]
async fn who_breaks_a_connection_off_cancels_its_calls() {
    for name in ["jsonrpc", "tcp"] {
        let keys = [("function", "k.hang")];
        let mut server = serve(faceplate(name, keys), Limits::default()).await;
        for half_closed in [false, true] {
            let mut client = Lines::connect(&server).await;
            client.say(hanging(name)).await;
            let hanging = server.stage.next_call().await.number;
            if half_closed {
                client.0.get_mut().shutdown().await.expect("it listens");
            }
            // Closing it now sends a reset.
            client.0.get_ref().set_zero_linger().expect("a socket");
            drop(client);
            assert_eq!(server.stage.next_dropped().await, hanging);
        }
    }
}

#[tokio::test]
async fn who_has_more_calls_in_flight_than_are_read_can_break_off_too() {
    let mut server = serve(
        faceplate("tcp", [("function", "k.hang")]),
        Limits::default(),
    )
    .await;
    let mut client = Lines::connect(&server).await;
    client.say(&"x\n".repeat(150)).await;
    for _ in 0..100 {
        server.stage.next_call().await;
    }
    client.0.get_ref().set_zero_linger().expect("a socket");
    drop(client);
    for _ in 0..100 {
        server.stage.next_dropped().await;
    }
}

#[tokio::test]
async fn where_nobody_half_closes_the_last_byte_is_the_end_of_calls() {
    for name in ["jsonrpc", "tcp"] {
        let keys = [("function", "k.hang"), ("half_close", "false")];
        let mut server = serve(faceplate(name, keys), Limits::default()).await;
        let mut client = Lines::connect(&server).await;
        client.say(hanging(name)).await;
        let hanging = server.stage.next_call().await.number;
        drop(client);
        assert_eq!(server.stage.next_dropped().await, hanging);
    }
}

#[tokio::test]
async fn a_token_may_be_shown_where_none_is_needed() {
    let mut server = serve(faceplate("jsonrpc", []), Limits::default()).await;
    let mut client = Lines::connect(&server).await;
    let show = json!({
        "jsonrpc": "2.0", "method": "katamari.authenticate", "params": {"token": "kat_1"}, "id": 0
    });
    client.say(&show.to_string()).await;
    assert_eq!(client.hear_json().await["result"], true);
    client.say(&echo(2)).await;
    assert_eq!(client.hear_json().await["result"], json!({"n": 2}));
    let first = server.stage.next_call().await;
    assert_eq!(&*first.function, "echo", "the token is not passed on");
}

#[tokio::test]
async fn what_a_web_page_sends_is_no_call() {
    let raw = faceplate("tcp", [("function", "k.echo")]);
    for faceplate in [faceplate("jsonrpc", []), raw] {
        let mut server = serve(faceplate, Limits::default()).await;
        let mut client = Lines::connect(&server).await;
        let body = echo(1);
        let request = format!("POST / HTTP/1.1\r\nhost: {}\r\n\r\n{body}", server.address);
        client.say(&request).await;
        let answer = client.hear_json().await.to_string();
        assert!(answer.contains("not_allowed"), "{answer}");
        let mut client = Lines::connect(&server).await;
        client.say(&echo(2)).await;
        client.hear_json().await;
        let payload = server.stage.next_call().await.payload;
        let seen = String::from_utf8_lossy(payload.bytes()).into_owned();
        assert!(
            seen.contains('2'),
            "the first call is of the second client: {seen}"
        );
    }
}

#[tokio::test]
async fn messages_may_come_in_any_pieces_and_end_without_a_line_feed() {
    let server = serve(faceplate("jsonrpc", []), Limits::default()).await;
    let mut client = Lines::connect(&server).await;
    let both = format!("\n{}\r\n[{},{}]", echo(1), echo(2), echo(3));
    for piece in both.as_bytes().chunks(7) {
        let stream = client.0.get_mut();
        stream.write_all(piece).await.expect("it listens");
        stream.flush().await.expect("it listens");
        tokio::task::yield_now().await;
    }
    client.0.get_mut().shutdown().await.expect("it listens");
    let mut answers: Vec<_> = client.rest().await.lines().map(str::to_owned).collect();
    answers.sort_unstable();
    let answer = |id| format!(r#"{{"jsonrpc":"2.0","result":{{"n":{id}}},"id":{id}}}"#);
    let batch = format!("[{},{}]", answer(2), answer(3));
    assert_eq!(answers, [batch, answer(1)]);
}

#[tokio::test]
async fn lengths_frame_both_ways() {
    let server = serve(
        faceplate("jsonrpc", [("framing", "lengths")]),
        Limits::default(),
    )
    .await;
    let mut client = Lines::connect(&server).await.0;
    let request = echo(5);
    let length = u32::try_from(request.len()).unwrap().to_be_bytes();
    client.get_mut().write_all(&length).await.unwrap();
    client
        .get_mut()
        .write_all(request.as_bytes())
        .await
        .unwrap();
    let length = within(client.read_u32()).await.unwrap();
    let mut answer = vec![0; length as usize];
    within(client.read_exact(&mut answer)).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["result"], json!({"n": 5}));
}

#[tokio::test]
async fn wishes_stand_in_a_member_of_their_own() {
    let mut server = serve(faceplate("jsonrpc", []), Limits::default()).await;
    let mut client = Lines::connect(&server).await;
    let wish = |wishes: &str| {
        format!(r#"{{"jsonrpc":"2.0","method":"k.echo","katamari":{wishes},"id":1}}"#)
    };
    client
        .say(&wish(
            r#"{"timeout-ms": 500, "class": "low", "key": "ada", "idempotent": true}"#,
        ))
        .await;
    assert_eq!(client.hear_json().await["result"], json!({}));
    let call = server.stage.next_call().await;
    assert_eq!(call.class, Class::Low);
    assert_eq!(
        (call.key.as_deref(), call.idempotent),
        (Some("ada"), Some(true))
    );
    assert!(call.deadline.is_some());
    for bad in [
        r#"{"timeout-ms": -1}"#,
        r#"{"tiemout-ms": 1}"#,
        r#"{"cast": true}"#,
        "[]",
    ] {
        client.say(&wish(bad)).await;
        let answer = client.hear_json().await;
        assert_eq!(
            answer["error"]["data"]["code"], "bad_request",
            "{bad}: {answer}"
        );
    }
}

#[tokio::test]
async fn what_is_no_message_is_told_and_ends_the_connection() {
    let limits = Limits {
        body_max: 1_024,
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = serve(faceplate("jsonrpc", []), limits).await;
    let mut client = Lines::connect(&server).await;
    client.say("{\"jsonrpc\": nonsense").await;
    assert_eq!(client.hear_json().await["error"]["code"], -32700);
    client.say(&echo(1)).await;
    assert_eq!(client.hear_json().await["id"], 1, "it is still there");
    client.say(&"x".repeat(1_025)).await;
    let told: Value = serde_json::from_str(&client.rest().await).expect("one answer");
    assert_eq!(told["error"]["data"]["code"], "too_large");
    let mut slow = Lines::connect(&server).await;
    slow.0.get_mut().write_all(b"{\"json").await.unwrap();
    let told: Value = serde_json::from_str(&slow.rest().await).expect("one answer");
    assert_eq!(told["error"]["data"]["code"], "bad_request");
}

#[tokio::test]
async fn a_token_is_shown_first_and_looked_at_each_time() {
    let server = serve(faceplate("jsonrpc", []), Limits::default()).await;
    server.stage.node.set_tokens(vec![token("ci", "kat_1")]);
    let mut client = Lines::connect(&server).await;
    let show = |secret: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"katamari.authenticate","params":{{"token":"{secret}"}},"id":0}}"#
        )
    };
    client.say(&echo(1)).await;
    let refused = client.hear_json().await;
    assert_eq!(refused["error"]["data"]["code"], "not_allowed");
    client.say(&show("kat_2")).await;
    assert_eq!(
        client.hear_json().await["error"]["data"]["code"],
        "not_allowed"
    );
    client.say(&show("kat_1")).await;
    assert_eq!(client.hear_json().await["result"], true);
    client.say(&echo(2)).await;
    assert_eq!(client.hear_json().await["result"], json!({"n": 2}));
    server.stage.node.set_tokens(vec![token("other", "kat_3")]);
    client.say(&echo(3)).await;
    assert_eq!(
        client.hear_json().await["error"]["data"]["code"],
        "not_allowed"
    );
}

#[tokio::test]
async fn one_connection_too_many_is_told() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let server = serve(faceplate("jsonrpc", []), limits).await;
    let mut first = Lines::connect(&server).await;
    first.say(&echo(1)).await;
    first.hear().await;
    let mut second = Lines::connect(&server).await;
    let told: Value = serde_json::from_str(&second.rest().await).expect("one answer");
    assert_eq!(told["error"]["data"]["code"], "busy");
}

#[tokio::test]
async fn raw_lines_are_arguments_and_answers() {
    let mut server = serve(
        faceplate("tcp", [("function", "k.echo")]),
        Limits::default(),
    )
    .await;
    let mut client = Lines::connect(&server).await;
    client.say("one").await;
    client.say("two\r").await;
    assert_eq!(
        (client.hear().await, client.hear().await),
        ("one".into(), "two".into())
    );
    let call = server.stage.next_call().await;
    assert_eq!(
        call.payload,
        Payload::new("application/octet-stream", "one".into())
    );
}

#[tokio::test]
async fn raw_streams_come_piece_by_piece_and_in_their_place() {
    let mut server = serve(
        faceplate("tcp", [("function", "k.held")]),
        Limits::default(),
    )
    .await;
    let mut client = Lines::connect(&server).await;
    client.say("first").await;
    client.say("second").await;
    let first = server.stage.next_held().await;
    let second = server.stage.next_held().await;
    second.send(Payload::new("text/plain", "2a".into()));
    second.end(Ok(()));
    first.send(Payload::new("text/plain", "1a".into()));
    assert_eq!(client.hear().await, "1a", "before its end");
    first.send(Payload::new("text/plain", "1b".into()));
    first.end(Ok(()));
    assert_eq!(client.hear().await, "1b");
    assert_eq!(client.hear().await, "2a");
}

#[tokio::test]
async fn raw_bytes_up_to_the_end_are_one_argument() {
    let keys = [("function", "k.echo"), ("framing", "close")];
    let server = serve(faceplate("tcp", keys), Limits::default()).await;
    let mut client = Lines::connect(&server).await;
    client.say("one\ntwo").await;
    client.0.get_mut().shutdown().await.unwrap();
    assert_eq!(client.rest().await, "one\ntwo\n");
}

#[tokio::test]
async fn raw_errors_are_json_in_the_place_of_the_answer() {
    let keys = [
        ("function", "k.deadline"),
        ("content_type", "application/json"),
    ];
    let server = serve(faceplate("tcp", keys), Limits::default()).await;
    let mut client = Lines::connect(&server).await;
    client.say("{}").await;
    let error = client.hear_json().await;
    assert_eq!(error["error"]["code"], "deadline");
    assert_eq!(error["error"]["message"], "scripted");
    client.say("[1").await;
    assert_eq!(client.hear_json().await["error"]["code"], "bad_request");
}

#[tokio::test]
async fn over_raw_tcp_the_first_message_is_the_token() {
    let server = serve(
        faceplate("tcp", [("function", "k.echo")]),
        Limits::default(),
    )
    .await;
    server.stage.node.set_tokens(vec![token("ci", "kat_1")]);
    let mut client = Lines::connect(&server).await;
    client.say("kat_1").await;
    client.say("hello").await;
    assert_eq!(
        client.hear().await,
        "hello",
        "the token itself is not answered"
    );
    let mut stranger = Lines::connect(&server).await;
    stranger.say("hello").await;
    let told: Value = serde_json::from_str(&stranger.rest().await).expect("one answer");
    assert_eq!(told["error"]["code"], "not_allowed");
}
