//! `POST /call/KIND/FUNCTION`: answers, errors, headers, casts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use pool::Class;
use std::time::Duration;
use support::{CASTS_MAX, Server, all_codes};
use term::{Payload, Shape};
use tokio::time::Instant;

async fn server() -> Server {
    Server::start(Limits::default()).await
}

#[tokio::test]
async fn arguments_go_in_and_the_bare_result_comes_out() {
    let mut server = server().await;
    let response = server
        .post("/call/parse/echo", "", "{\"text\": \"hi\",\"n\":1}")
        .await;
    assert_eq!(
        (response.status, response.text()),
        (200, "{\"text\": \"hi\",\"n\":1}")
    );
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("katamari-id"), Some("00000abc00000001"));
    assert_eq!(response.header("katamari-worker"), Some("3-42"));
    assert_eq!(
        response.header("server-timing"),
        Some("queue;dur=1.250, run;dur=20.000")
    );
    let call = server.stage.next_call().await;
    assert_eq!(call.details.kind.as_deref(), Some("parse"));
    assert_eq!(&*call.function, "echo");
    assert_eq!(*call.shape, Shape::Named(vec!["text".into(), "n".into()]));
    assert_eq!(
        (call.class, call.deadline, call.idempotent),
        (Class::Normal, None, None)
    );

    server.post("/call/parse/echo", "", "[1,2]").await;
    assert_eq!(*server.stage.next_call().await.shape, Shape::Positional(2));
}

#[tokio::test]
async fn no_body_means_no_arguments() {
    let mut server = server().await;
    assert_eq!(server.post("/call/parse/echo", "", "").await.text(), "{}");
    assert_eq!(*server.stage.next_call().await.shape, Shape::Named(vec![]));
}

#[tokio::test]
async fn other_content_types_pass_unread_both_ways() {
    let mut server = server().await;
    let head = "POST /call/image/echo HTTP/1.1\r\ncontent-type: image/gif; x=1\r\n";
    let response = server.request(head, "{not json").await;
    assert_eq!((response.status, response.text()), (200, "{not json"));
    assert_eq!(response.header("content-type"), Some("image/gif; x=1"));
    let call = server.stage.next_call().await;
    assert_eq!(*call.shape, Shape::Opaque);
    assert_eq!(
        call.payload,
        Payload::new("image/gif; x=1", "{not json".into())
    );
    let bad = server.post("/call/image/control_character", "", "").await;
    bad.problem(502, "protocol");
}

#[tokio::test]
async fn every_error_has_its_status() {
    let server = server().await;
    let statuses = [
        400, 404, 404, 400, 413, 503, 504, 502, 502, 500, 502, 508, 403, 499, 503,
    ];
    for (code, status) in all_codes().into_iter().zip(statuses) {
        let response = server
            .post(&format!("/call/k/{}", code.as_str()), "", "")
            .await;
        response.problem(status, code.as_str());
        assert_eq!(
            response.json()["id"],
            response.header("katamari-id").unwrap()
        );
        assert!(
            response.header("server-timing").is_some(),
            "errors have times too"
        );
    }
}

#[tokio::test]
async fn a_death_is_told_with_all_that_is_known() {
    let server = server().await;
    let problem = server.post("/call/k/worker_died", "", "").await.json();
    assert_eq!(problem["pid"], 99);
    assert_eq!(problem["program"], "parse");
    assert_eq!(
        (&problem["exit_status"], &problem["status"]),
        (&3.into(), &502.into())
    );
    assert_eq!(problem["signal"], 9);
    assert_eq!(problem["stderr"], serde_json::json!(["one", "two"]));
    assert_eq!(problem["error_type"], "ValueError");
    assert_eq!(problem["backtrace"], "line 1");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let server = server().await;
    let response = server.post("/call/k/busy", "", "").await;
    assert_eq!(
        response.header("retry-after"),
        Some("2"),
        "1.5 s in whole seconds"
    );
    assert_eq!(response.json()["retry_after_s"], 2);
}

#[tokio::test]
async fn headers_shape_the_call() {
    let mut server = server().await;
    let headers = "katamari-timeout-ms: 1500\r\nKatamari-Class: high\r\nkatamari-key: user 7\r\n\
                   katamari-idempotent: true\r\n\
                   katamari-details: {\"grammar\":\"1.2.3\",\"tags\":[\"a\"]}\r\n";
    let before = Instant::now();
    assert_eq!(
        server.post("/call/parse/echo", headers, "{}").await.status,
        200
    );
    let call = server.stage.next_call().await;
    let timeout = call.deadline.unwrap() - before;
    assert!(timeout >= Duration::from_millis(1_500) && timeout < Duration::from_secs(20));
    assert_eq!((call.class, call.idempotent), (Class::High, Some(true)));
    assert_eq!(call.key.as_deref(), Some("user 7"));
    assert_eq!(
        call.details.kind.as_deref(),
        Some("parse"),
        "the path names the kind"
    );
    assert_eq!(call.details.versions.len(), 1);
    assert_eq!(call.details.tags.len(), 1);
}

#[tokio::test]
async fn bad_headers_are_named_with_what_was_expected_and_what_came() {
    let mut server = server().await;
    for (header, expected, came) in [
        ("katamari-timeout-ms: 0", "integer", "0"),
        ("katamari-timeout-ms: +5", "integer", "+5"),
        (
            "katamari-timeout-ms: 4294967296",
            "4294967295",
            "4294967296",
        ),
        ("katamari-timeout-ms: soon", "integer", "soon"),
        ("katamari-class: urgent", "high, normal or low", "urgent"),
        ("katamari-details: [", "details", "column"),
        ("katamari-details: {\"kind\":\"other\"}", "parse", "other"),
        ("katamari-idempotent: yes", "true or false", "yes"),
        ("katamari-cast: 1", "true or false", "1"),
        ("katamari-key: ", "1 to 1024", "0 bytes"),
        (
            "katamari-key: a\r\nkatamari-key: b",
            "one value",
            "more than one",
        ),
        ("katamari-timeout: 5", "timeout-ms", "no such header"),
    ] {
        let response = server
            .post("/call/parse/echo", &format!("{header}\r\n"), "{}")
            .await;
        let detail = response.problem(400, "bad_request");
        assert!(
            detail.starts_with(header.split(':').next().unwrap()),
            "{detail}"
        );
        assert!(
            detail.contains(expected) && detail.contains(came),
            "{header}: {detail}"
        );
    }
    assert!(
        server.stage.calls.try_recv().is_err(),
        "none of them became a call"
    );
}

#[tokio::test]
async fn bodies_that_are_no_arguments_are_turned_away() {
    let mut server = server().await;
    for (body, code) in [
        ("{", "bad_request"),
        ("{} {}", "bad_request"),
        ("nul", "bad_request"),
        ("\"text\"", "bad_arguments"),
        ("{\"a\":1,\"a\":2}", "bad_arguments"),
        (&"[".repeat(200), "bad_request"),
    ] {
        server
            .post("/call/k/echo", "", body)
            .await
            .problem(400, code);
    }
    let mut client = server.connect().await;
    let head =
        b"POST /call/k/echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client
        .write(&[&head[..], b"content-length: 6\r\n\r\n{\"\xff\":1"].concat())
        .await;
    client.receive().await.problem(400, "bad_request");
    assert!(
        server.stage.calls.try_recv().is_err(),
        "none of them became a call"
    );
}

#[tokio::test]
async fn a_cast_is_taken_at_once_and_goes_on_without_its_client() {
    let mut server = server().await;
    for _ in 0..CASTS_MAX {
        let response = server
            .post("/call/k/hang", "katamari-cast: true\r\n", "{}")
            .await;
        assert_eq!(response.status, 202);
        let call = server.stage.next_call().await;
        let id = format!("{:016x}", call.number);
        assert_eq!(response.header("katamari-id"), Some(id.as_str()));
        assert_eq!(response.json()["id"], id);
    }
    let refused = server
        .post("/call/k/echo", "katamari-cast: true\r\n", "{}")
        .await;
    refused.problem(503, "busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(server.stage.dropped.try_recv().is_err(), "the casts go on");
    assert_eq!(
        server.post("/call/k/echo", "", "{}").await.status,
        200,
        "calls are not casts"
    );
}

#[tokio::test]
async fn a_cast_makes_room_when_it_ends() {
    let mut server = server().await;
    for _ in 0..CASTS_MAX * 3 {
        // Each of these ends at once; the next request can only be read after that.
        let response = server
            .post("/call/k/null", "katamari-cast: true\r\n", "{}")
            .await;
        assert_eq!(response.status, 202);
        server.stage.next_call().await;
    }
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist() {
    let server = server().await;
    for path in ["/call/k", "/call/k/", "/call//f", "/call/k/f/g", "/call/"] {
        server
            .post(path, "", "{}")
            .await
            .problem(404, "bad_request");
    }
    for path in ["/nowhere", "/rpc/", "/why/0000000000000001", "/apply"] {
        server.get(path).await.problem(404, "bad_request");
    }
    for (request, allow) in [
        ("GET /call/k/f", "POST"),
        ("DELETE /rpc", "POST"),
        ("PUT /status", "GET, HEAD"),
        ("OPTIONS /metrics", "GET, HEAD"),
    ] {
        let response = server.request(&format!("{request} HTTP/1.1\r\n"), "").await;
        response.problem(405, "bad_request");
        assert_eq!(response.header("allow"), Some(allow), "{request}");
    }
}
