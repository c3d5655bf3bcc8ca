//! Connections: limits of size, number and time; malformed HTTP; pipelining; clients that leave;
//! an orderly end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use std::time::Duration;
use support::{Server, within};

/// Short enough to wait for, long enough for everything that should come in time.
const SHORT: Duration = Duration::from_millis(300);

const POST: &str = "POST /call/k/echo HTTP/1.1\r\ncontent-type: application/json\r\n";

async fn server() -> Server {
    Server::start(Limits::default()).await
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits {
        body_max: 100_000,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let fits = format!("[\"{}\"]", "x".repeat(100_000 - 4));
    let response = server.post("/call/k/echo", "", &fits).await;
    assert_eq!((response.status, response.body.len()), (200, 100_000));
    assert_eq!(response.text(), fits, "pieces are put together in order");
    let detail = server
        .post("/call/k/echo", "", &format!("{fits} "))
        .await
        .problem(413, "too_large");
    assert!(detail.contains("100000"), "{detail}");
}

#[tokio::test]
async fn a_chunked_body_is_put_together_and_limited_too() {
    let limits = Limits {
        body_max: 10,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let head = format!("{POST}host: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut client = server.connect().await;
    client
        .write(format!("{head}3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n").as_bytes())
        .await;
    assert_eq!(client.receive().await.text(), "[1,2]");
    client
        .write(format!("{head}8\r\n[1,2,3,4\r\n8\r\n,5,6,7,8\r\n").as_bytes())
        .await;
    client.receive().await.problem(413, "too_large");
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_sent() {
    let server = server().await;
    let mut client = server.connect().await;
    let length = Limits::default().body_max + 1;
    let rest =
        format!("host: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    client.write(format!("{POST}{rest}").as_bytes()).await;
    client.receive().await.problem(413, "too_large");
}

#[tokio::test]
async fn headers_are_limited_in_size_and_number() {
    let server = server().await;
    let mut client = server.connect().await;
    let head = format!(
        "{POST}host: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    // The server may answer and close while this is still being sent.
    let _ = tokio::io::AsyncWriteExt::write_all(client.0.get_mut(), head.as_bytes()).await;
    let answer = client.rest().await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{answer:?}"
    );

    let many = (0..200)
        .map(|n| format!("x-{n}: 1\r\n"))
        .collect::<String>();
    let mut client = server.connect().await;
    client
        .write(format!("{POST}host: localhost\r\n{many}\r\n").as_bytes())
        .await;
    let answer = client.rest().await;
    assert!(
        answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(
        server.post("/call/k/echo", "", "{}").await.status,
        200,
        "others are served"
    );
}

#[tokio::test]
async fn a_head_that_trickles_ends_the_connection() {
    let limits = Limits {
        header_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write(b"POST /call/k/echo HTTP/1.1\r\nhost:").await;
    assert_eq!(slow.rest().await, b"");
    assert_eq!(
        silent.rest().await,
        b"",
        "nor may a connection be held without any request"
    );
}

#[tokio::test]
async fn a_body_that_trickles_is_told_so() {
    let limits = Limits {
        body_timeout: SHORT,
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    let mut client = server.connect().await;
    client
        .write(format!("{POST}host: localhost\r\ncontent-length: 10\r\n\r\n[1").as_bytes())
        .await;
    let detail = client.receive().await.problem(408, "bad_request");
    assert!(detail.contains("300ms"), "{detail}");
    assert!(
        server.stage.calls.try_recv().is_err(),
        "half a body is no call"
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_and_closed() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for client in [&mut first, &mut second] {
        client.send(POST, "[]").await;
        assert_eq!(client.receive().await.status, 200);
    }
    let mut third = server.connect().await;
    let answer = third.rest().await;
    assert!(answer.starts_with(b"HTTP/1.1 503"), "{answer:?}");
    first.send("GET /metrics HTTP/1.1\r\n", "").await;
    let metrics = first.receive().await;
    assert!(
        metrics.text().contains("\nkatamari_connections 2\n"),
        "{}",
        metrics.text()
    );
    assert!(
        metrics
            .text()
            .contains("\nkatamari_connections_refused_total 1\n")
    );

    drop(second);
    within(async {
        // The place is free as soon as the server has seen the client leave.
        loop {
            let mut again = server.connect().await;
            again.send(POST, "[]").await;
            if again.head().await.status == 200 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_http_gets_400_and_harms_nobody() {
    let server = server().await;
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "hello\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET  \r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client.write(garbage.as_bytes()).await;
        assert!(
            client.rest().await.starts_with(b"HTTP/1.1 400"),
            "{garbage:?}"
        );
    }
    let lengths = "content-length: 2\r\ncontent-length: 3\r\n";
    let mut client = server.connect().await;
    client
        .write(format!("{POST}host: localhost\r\n{lengths}\r\n[]").as_bytes())
        .await;
    assert!(
        client.rest().await.starts_with(b"HTTP/1.1 400"),
        "two lengths could smuggle"
    );
    assert_eq!(server.post("/call/k/echo", "", "{}").await.status, 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = server().await;
    let mut client = server.connect().await;
    let one = |n: usize| {
        let body = format!("[{n}]");
        format!(
            "{POST}host: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    client
        .write((0..20).map(one).collect::<String>().as_bytes())
        .await;
    for n in 0..20 {
        assert_eq!(client.receive().await.text(), format!("[{n}]"));
    }
}

#[tokio::test]
async fn half_a_request_does_not_hold_back_the_answer_before_it() {
    let server = server().await;
    let mut client = server.connect().await;
    let whole = format!("{POST}host: localhost\r\ncontent-length: 2\r\n\r\n[]");
    client
        .write(format!("{whole}POST /call/k/ec").as_bytes())
        .await;
    assert_eq!(client.receive().await.text(), "[]");
}

#[tokio::test]
async fn a_client_that_leaves_drops_its_call() {
    let mut server = server().await;
    for path in ["/call/k/hang", "/rpc"] {
        let mut client = server.connect().await;
        let body = r#"{"jsonrpc":"2.0","method":"k.hang","id":1}"#;
        let body = if path == "/rpc" { body } else { "{}" };
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n");
        client.send(&head, body).await;
        let number = server.stage.next_call().await.number;
        drop(client);
        assert_eq!(server.stage.next_dropped().await, number, "{path}");
    }
}

#[tokio::test]
async fn a_shutdown_answers_what_is_asked_and_closes_what_is_idle() {
    let mut server = server().await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    idle.send(POST, "[]").await;
    assert_eq!(idle.receive().await.status, 200);
    let mut busy = server.connect().await;
    busy.send(
        "POST /call/k/held HTTP/1.1\r\ncontent-type: application/json\r\n",
        "",
    )
    .await;
    let held = server.stage.next_held().await;

    server.stop.take().unwrap().send(()).unwrap();
    assert_eq!(idle.rest().await, b"");
    assert_eq!(silent.rest().await, b"");
    assert!(
        !server.task.is_finished(),
        "a request is still being answered"
    );
    assert!(held.send(term::Payload::Json("1".into())));
    held.end(Ok(()));
    assert_eq!(
        busy.receive().await.text(),
        "data: 1\n\nevent: end\ndata:\n\n"
    );
    assert_eq!(busy.rest().await, b"", "closed after the answer");
    within(server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let limits = Limits {
        write_timeout: SHORT,
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    let mut client = server.connect().await;
    client
        .send(
            "POST /call/k/held HTTP/1.1\r\ncontent-type: application/json\r\n",
            "",
        )
        .await;
    let held = server.stage.next_held().await;
    let piece = term::Payload::Json(format!("\"{}\"", "x".repeat(100_000)).into());
    within(async {
        // Until the socket's buffers are full and the connection is given up.
        while held.send(piece.clone()) {
            tokio::task::yield_now().await;
            if server.stage.taken.load(std::sync::atomic::Ordering::SeqCst) == 0 {
                continue;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
