//! Thrift, byte by byte: what goes over the wire, in each protocol and transport.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use faceplate::access::{Token, hash};
use pool::Class;
use std::sync::Arc;
use support::declared::declaring;
use support::thrift::{
    CALL, Compact, ONEWAY, Old, REPLY, Strict, ask, asks, call, connect, faceplate, frame, holds,
    is_error, is_exception, message, serve,
};
use support::{Server, all_codes, within};
use term::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

/// What the one pool declares.
const DECLARED: &str = r#"{"kind": "k", "functions": [
            {"name": "bad_request", "result": "string"},
            {"name": "echo", "result": "object", "parameters": [
                {"name": "text", "type": "string"}, {"name": "list", "type": "[integer]"},
                {"name": "maybe", "type": "number?"},
                {"name": "flag", "type": "boolean", "required": false}]},
            {"name": "held", "result": "integer", "stream": true},
            {"name": "large", "result": "integer"},
            {"name": "null", "result": "integer?"},
            {"name": "png", "result": "bytes", "parameters": [{"name": "data", "type": "bytes"}]}
        ]}"#;

/// A node that knows a pool of kind `k`; its calls are acted out as everywhere here.
async fn typed(kind: Option<&'static str>) -> Server {
    Server::of(faceplate(kind), declaring(DECLARED), Limits::default()).await
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
