//! Web pages of other sites may not call.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use support::Server;

async fn server() -> Server {
    Server::start(Limits::default()).await
}

fn post(headers: &str) -> String {
    format!("POST /call/k/echo HTTP/1.1\r\n{headers}")
}

#[tokio::test]
async fn a_rebound_name_is_not_served() {
    let mut server = server().await;
    for host in [
        "evil.example",
        "evil.example:7480",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
    ] {
        for request in ["GET /status", "GET /", "POST /rpc"] {
            let head =
                format!("{request} HTTP/1.1\r\ncontent-type: application/json\r\nhost: {host}\r\n");
            server.request(&head, "").await.problem(421, "not_allowed");
        }
    }
    let head = "GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\n";
    server.request(head, "").await.problem(421, "not_allowed");
    assert!(server.stage.calls.try_recv().is_err());
}

#[tokio::test]
async fn names_of_this_machine_are_served() {
    let server = server().await;
    let own = server.address.to_string();
    for host in [
        "localhost",
        "LocalHost:1234",
        "127.0.0.1",
        "[::1]:7480",
        "192.168.1.2:80",
        &own,
    ] {
        let response = server
            .request(&format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n"), "")
            .await;
        assert_eq!(response.status, 200, "{host}");
    }
    let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n";
    server.request(head, "").await.problem(400, "bad_request");
    let mut client = server.connect().await;
    client.write(b"GET /healthz HTTP/1.1\r\n\r\n").await;
    client.receive().await.problem(400, "bad_request");
    let mut client = server.connect().await;
    client.write(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(
        client.rest().await.starts_with(b"HTTP/1.0 200"),
        "HTTP/1.0 had no host header"
    );
}

#[tokio::test]
async fn another_origin_is_refused_and_the_own_one_is_not() {
    let mut server = server().await;
    let json = "content-type: application/json\r\nhost: localhost:7480\r\n";
    for origin in [
        "http://evil.example",
        "null",
        "https://localhost:7480",
        "http://localhost",
        "",
    ] {
        let head = post(&format!("{json}origin: {origin}\r\n"));
        server
            .request(&head, "{}")
            .await
            .problem(403, "not_allowed");
    }
    assert!(server.stage.calls.try_recv().is_err());
    let head = post(&format!("{json}origin: http://localhost:7480\r\n"));
    assert_eq!(server.request(&head, "{}").await.status, 200);
}

#[tokio::test]
async fn what_a_form_can_send_is_refused() {
    let mut server = server().await;
    for content_type in [
        "content-type: text/plain\r\n",
        "content-type: Text/Plain; charset=utf-8\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type: \r\n",
        "content-type: ; application/json\r\n",
        "",
    ] {
        for (path, body) in [("/call/k/echo", "{}"), ("/call/k/echo", ""), ("/rpc", "{}")] {
            let head = format!("POST {path} HTTP/1.1\r\n{content_type}");
            let detail = server
                .request(&head, body)
                .await
                .problem(415, "bad_request");
            assert!(detail.contains("application/json"), "{detail}");
        }
    }
    assert!(server.stage.calls.try_recv().is_err());
}
