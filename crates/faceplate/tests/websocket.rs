//! JSON-RPC over WebSockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::access::{Token, hash};
use faceplate::{Limits, Settings};
use futures_util::{SinkExt, StreamExt};
use pool::Class;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Scene, Server, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

type Socket = WebSocketStream<TcpStream>;

async fn connect(server: &Server, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut request = format!("ws://{}/rpc", server.address).into_client_request()?;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(*name, value);
    }
    Ok(within(client_async(request, stream)).await?.0)
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.expect("it listens");
}

async fn hear(socket: &mut Socket) -> Value {
    match within(socket.next()).await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("expected an answer, got {other:?}"),
    }
}

fn echo(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"k.echo","params":{{"n":{id}}},"id":{id}}}"#)
}

#[tokio::test]
async fn requests_run_side_by_side_and_the_rest_is_cancelled_when_the_client_leaves() {
    let mut server = Server::start(Limits::default()).await;
    let mut socket = connect(&server, &[]).await.unwrap();
    say(&mut socket, r#"{"jsonrpc":"2.0","method":"k.hang","id":1}"#).await;
    say(&mut socket, &format!("[{},{}]", echo(2), echo(3))).await;
    let answers = hear(&mut socket).await;
    assert_eq!(answers[1]["result"], json!({"n": 3}));
    let bytes = Message::binary(echo(4).into_bytes());
    socket.send(bytes).await.unwrap();
    assert_eq!(hear(&mut socket).await["id"], 4);
    let hanging = server.stage.next_call().await.number;
    drop(socket);
    assert_eq!(server.stage.next_dropped().await, hanging);
}

#[tokio::test]
async fn what_is_too_long_closes_with_its_code() {
    let limits = Limits {
        body_max: 1_024,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut socket = connect(&server, &[]).await.unwrap();
    say(&mut socket, "{\"nonsense").await;
    assert_eq!(hear(&mut socket).await["error"]["code"], -32700);
    say(&mut socket, &"x".repeat(1_025)).await;
    match within(socket.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Size),
        other => panic!("expected the end, got {other:?}"),
    }
}

#[tokio::test]
async fn who_sends_far_too_much_still_reads_why_the_connection_closes() {
    let limits = Limits {
        body_max: 1_024,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut socket = connect(&server, &[]).await.unwrap();
    // More than the sockets' buffers hold: the server has closed long before the last byte.
    say(&mut socket, &"x".repeat(16 * 1_024 * 1_024)).await;
    match within(socket.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Size),
        other => panic!("expected the end, got {other:?}"),
    }
}

#[tokio::test]
async fn a_message_that_does_not_come_whole_in_time_is_the_last() {
    let limits = Limits {
        body_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    let mut socket = connect(&server, &[]).await.unwrap();
    say(&mut socket, r#"{"jsonrpc":"2.0","method":"k.held","id":1}"#).await;
    let held = server.stage.next_held().await;
    // Two bytes of a text that is to go on, masked with nothing; then a ping.
    let torn = [0x01, 0x82, 0, 0, 0, 0, b'{', b'"', 0x89, 0x80, 0, 0, 0, 0];
    socket.get_mut().write_all(&torn).await.unwrap();
    match within(socket.next()).await {
        Some(Ok(Message::Pong(_))) => {}
        other => panic!("expected a pong, got {other:?}"),
    }
    held.end(Ok(()));
    assert_eq!(hear(&mut socket).await["result"], json!([]));
    match within(socket.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Policy),
        other => panic!("expected the end, got {other:?}"),
    }
}

#[tokio::test]
async fn a_stopping_node_answers_and_says_goodbye() {
    let mut server = Server::start(Limits::default()).await;
    let mut socket = connect(&server, &[]).await.unwrap();
    say(&mut socket, r#"{"jsonrpc":"2.0","method":"k.held","id":1}"#).await;
    let held = server.stage.next_held().await;
    drop(server.stop.take());
    held.end(Ok(()));
    assert_eq!(hear(&mut socket).await["result"], json!([]));
    match within(socket.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("expected the end, got {other:?}"),
    }
    within(server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn foreign_pages_and_odd_upgrades_are_turned_away() {
    let server = Server::start(Limits::default()).await;
    let status = |refused: Result<Socket, Error>| match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("expected a refusal, got {other:?}"),
    };
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(status(connect(&server, &foreign).await), 403);
    let old = [("sec-websocket-version", "8")];
    assert_eq!(status(connect(&server, &old).await), 400);
    let own = format!("http://{}", server.address);
    let protocol = [
        ("origin", own.as_str()),
        ("sec-websocket-protocol", "x, jsonrpc"),
    ];
    let mut socket = connect(&server, &protocol).await.unwrap();
    say(&mut socket, &echo(1)).await;
    assert_eq!(hear(&mut socket).await["id"], 1);
    let plain = server.get("/rpc").await;
    assert_eq!(plain.status, 405);
}

#[tokio::test]
async fn a_token_comes_in_the_headers_or_in_the_first_message() {
    let server = Server::start_with(Scene::default(), Settings::default()).await;
    server.stage.node.set_tokens(vec![Token {
        name: "ci".into(),
        hash: hash(b"kat_1"),
        kinds: None,
        class_max: Class::Normal,
        rate: None,
        observe: false,
        expires_unix_s: None,
    }]);
    let mut socket = connect(&server, &[("authorization", "Bearer kat_1")])
        .await
        .unwrap();
    say(&mut socket, &echo(1)).await;
    assert_eq!(hear(&mut socket).await["result"], json!({"n": 1}));
    let mut socket = connect(&server, &[]).await.unwrap();
    say(&mut socket, &echo(2)).await;
    let refused = hear(&mut socket).await;
    assert_eq!(refused["error"]["data"]["code"], "not_allowed");
    assert_eq!(refused["id"], 2, "so that a client knows what it is for");
    let show = json!({
        "jsonrpc": "2.0", "method": "katamari.authenticate", "params": {"token": "kat_1"}, "id": 0
    });
    say(&mut socket, &show.to_string()).await;
    assert_eq!(hear(&mut socket).await["result"], true);
    say(&mut socket, &echo(3)).await;
    assert_eq!(hear(&mut socket).await["result"], json!({"n": 3}));
}
