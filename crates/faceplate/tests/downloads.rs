//! Responses of programs that pass back as they are, piece by piece, and how long they say they are.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use dispatch::PieceSender;
use faceplate::Limits;
use manager::dialect::http::{CONTENT_TYPE, ResponseHead, pack};
use support::{Client, Response, Scene, Server, configured, within};
use term::Payload;
use tokio::net::TcpStream;

async fn server() -> Server {
    let pairs = vec![("routes", "/file", "k.http")];
    let http = configured("http", [].into(), pairs, "/".into());
    let server = Server::of(http, Scene::default(), Limits::default()).await;
    server.stage.stream_http();
    server
}

/// A program's response as far as its first piece, with these lengths in its head.
async fn begin(
    server: &mut Server,
    client: &mut Client<TcpStream>,
    method: &str,
    status: u16,
    lengths: &[&str],
    body: &str,
) -> PieceSender {
    client
        .send(&format!("{method} /file HTTP/1.1\r\n"), "")
        .await;
    let held = server.stage.next_held().await;
    let headers = lengths
        .iter()
        .map(|it| ("content-length".to_owned(), (*it).to_owned()));
    let head = ResponseHead {
        status,
        headers: headers.collect(),
    };
    held.send(Payload::new(CONTENT_TYPE, pack(&head, body.as_bytes())));
    held
}

fn piece(text: &'static str) -> Payload {
    Payload::new(
        "application/octet-stream",
        Bytes::from_static(text.as_bytes()),
    )
}

fn length(response: &Response) -> Option<&str> {
    response.header("content-length")
}

/// Whether the connection takes another request.
async fn goes_on(client: &mut Client<TcpStream>) {
    client.send("GET /healthz HTTP/1.1\r\n", "").await;
    let response = client.receive().await;
    assert_eq!((response.status, response.text()), (200, "ok\n"));
}

#[tokio::test]
async fn a_streamed_response_is_as_long_as_the_program_says() {
    let mut server = server().await;
    let mut client = server.connect().await;
    let held = begin(&mut server, &mut client, "GET", 200, &["6"], "one").await;
    let head = client.head().await;
    assert_eq!(
        (length(&head), head.header("transfer-encoding")),
        (Some("6"), None)
    );
    held.send(piece("two"));
    held.end(Ok(()));
    let mut body = [0; 6];
    let read = tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut body);
    within(read).await.unwrap();
    assert_eq!(&body, b"onetwo");
    goes_on(&mut client).await;
    for lengths in [&["+6"][..], &["six"], &["3", "6"], &[""]] {
        let held = begin(&mut server, &mut client, "GET", 200, lengths, "one").await;
        held.end(Ok(()));
        let response = client.receive().await;
        assert_eq!(
            (length(&response), response.text()),
            (None, "one"),
            "{lengths:?}"
        );
    }
}

#[tokio::test]
async fn a_response_without_content_has_the_length_that_it_would_have() {
    let mut server = server().await;
    let mut client = server.connect().await;
    for (method, status, told) in [
        ("HEAD", 200, Some("9")),
        ("GET", 304, Some("9")),
        ("GET", 204, None),
    ] {
        let held = begin(&mut server, &mut client, method, status, &["9"], "").await;
        assert_eq!(length(&client.head().await), told, "{method} {status}");
        goes_on(&mut client).await;
        assert!(held.send(piece("")), "the call goes on to its end");
        held.end(Ok(()));
    }
}

#[tokio::test]
async fn a_client_that_has_all_that_was_announced_has_not_left() {
    let mut server = server().await;
    for (length, first, rest) in [("4", "made", ""), ("4", "ma", "de"), ("0", "", "")] {
        let mut client = server.connect().await;
        let held = begin(&mut server, &mut client, "GET", 200, &[length], first).await;
        held.send(piece(rest));
        let response = client.receive().await;
        assert_eq!(response.text(), [first, rest].concat());
        goes_on(&mut client).await;
        drop(client);
        assert!(held.send(piece("")), "the call goes on to its end");
        held.end(Ok(()));
    }
}

#[tokio::test]
async fn bytes_beyond_those_announced_are_for_nobody() {
    let mut server = server().await;
    let mut client = server.connect().await;
    let held = begin(&mut server, &mut client, "GET", 200, &["2"], "made").await;
    client.receive().await.problem(502, "protocol");
    drop(held);
    let held = begin(&mut server, &mut client, "GET", 200, &["4"], "made").await;
    assert_eq!(client.receive().await.text(), "made");
    within(async {
        while held.send(piece("more")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    goes_on(&mut client).await;
}

#[tokio::test]
async fn a_response_of_another_length_than_announced_breaks_off() {
    let mut server = server().await;
    for second in ["d", "de and more"] {
        let mut client = server.connect().await;
        let held = begin(&mut server, &mut client, "GET", 200, &["4"], "ma").await;
        assert_eq!(length(&client.head().await), Some("4"));
        held.send(piece(second));
        held.end(Ok(()));
        let came = client.rest().await;
        assert!(b"mad".starts_with(&came), "{came:?}");
    }
}
