//! JSON-RPC 2.0 over `POST /rpc`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use pool::Class;
use serde_json::{Value, json};
use support::{CASTS_MAX, Server, all_codes};
use term::{Payload, Shape};

async fn server() -> Server {
    Server::start(Limits::default()).await
}

/// Asserts an error response and gives its message.
fn error(response: &Value, number: i32, code: &str, id: &Value) -> String {
    assert_eq!(response["jsonrpc"], "2.0");
    assert_eq!(response["error"]["code"], number, "{response}");
    assert_eq!(response["error"]["data"]["code"], code, "{response}");
    assert_eq!(response.get("id"), Some(id), "{response}");
    assert!(response.get("result").is_none());
    response["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_by_name_and_one_by_position() {
    let mut server = server().await;
    let body = r#" {"jsonrpc": "2.0", "method": "parse.echo", "params": {"b": 1.0, "a": "\u00e9"}, "id": 7}"#;
    let response = server.rpc(body).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let expected = r#"{"jsonrpc":"2.0","result":{"b": 1.0, "a": "\u00e9"},"id":7}"#;
    assert_eq!(response.text(), expected, "values pass as they are");
    assert_eq!(response.header("katamari-id"), Some("00000abc00000001"));
    assert!(response.header("server-timing").is_some());
    let call = server.stage.next_call().await;
    assert_eq!(
        (call.details.kind.as_deref(), &*call.function),
        (Some("parse"), "echo")
    );

    server
        .rpc(r#"{"jsonrpc":"2.0","method":"parse.echo","params":[1,2],"id":1}"#)
        .await;
    assert_eq!(*server.stage.next_call().await.shape, Shape::Positional(2));
    let none = server
        .rpc(r#"{"jsonrpc":"2.0","method":"parse.echo","id":1}"#)
        .await;
    assert_eq!(
        none.json()["result"],
        json!({}),
        "no params are no arguments"
    );
}

#[tokio::test]
async fn ids_come_back_as_they_went() {
    let server = server().await;
    for id in [
        "1",
        "-0.50e1",
        "\"\"",
        "\"\\u0041\"",
        "null",
        "123456789012345678901234567890",
    ] {
        let body = format!(r#"{{"id":{id},"jsonrpc":"2.0","method":"k.null"}}"#);
        let expected = format!(r#"{{"jsonrpc":"2.0","result":null,"id":{id}}}"#);
        assert_eq!(server.rpc(&body).await.text(), expected);
    }
}

#[tokio::test]
async fn a_bare_function_takes_its_details_from_the_params() {
    let mut server = server().await;
    let body = r#"{"jsonrpc":"2.0","method":"echo","id":1,"params":
        {"x": [1, 2], "details": {"kind": "parse", "grammar": "1.2.3"}, "a\"b": 1.50}}"#;
    let response = server.rpc(body).await;
    assert_eq!(response.json()["result"], json!({"x": [1, 2], "a\"b": 1.5}));
    let call = server.stage.next_call().await;
    assert_eq!(
        call.payload,
        Payload::Json(r#"{"x":[1, 2],"a\"b":1.50}"#.into())
    );
    assert_eq!(call.details.kind.as_deref(), Some("parse"));
    assert_eq!(call.details.versions.len(), 1);

    let alone = r#"{"jsonrpc":"2.0","method":"echo","id":1,"params":{"details":{"kind":"k"}}}"#;
    assert_eq!(server.rpc(alone).await.json()["result"], json!({}));
    let neither = r#"{"jsonrpc":"2.0","method":"echo","id":1,"params":[1]}"#;
    error(
        &server.rpc(neither).await.json(),
        -32601,
        "no_function",
        &json!(1),
    );
    let bad = r#"{"jsonrpc":"2.0","method":"echo","id":1,"params":{"details":{"kind":1}}}"#;
    error(
        &server.rpc(bad).await.json(),
        -32602,
        "bad_arguments",
        &json!(1),
    );
}

#[tokio::test]
async fn with_a_kind_in_the_method_details_are_an_argument_like_any_other() {
    let mut server = server().await;
    let body = r#"{"jsonrpc":"2.0","method":"k.echo","id":1,"params":{"details":7}}"#;
    assert_eq!(
        server.rpc(body).await.json()["result"],
        json!({"details": 7})
    );
    assert_eq!(
        *server.stage.next_call().await.shape,
        Shape::Named(vec!["details".into()])
    );
}

#[tokio::test]
async fn headers_hold_for_every_entry() {
    let mut server = server().await;
    let headers = "katamari-class: low\r\nkatamari-key: u\r\nkatamari-timeout-ms: 900\r\n\
                   katamari-details: {\"kind\":\"other\",\"tags\":[\"t\"]}\r\n";
    let body = r#"[{"jsonrpc":"2.0","method":"k.null","id":1},
                   {"jsonrpc":"2.0","method":"null","params":[1],"id":2}]"#;
    assert_eq!(
        server
            .post("/rpc", headers, body)
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    for kind in ["k", "other"] {
        let call = server.stage.next_call().await;
        assert_eq!((call.class, call.key.as_deref()), (Class::Low, Some("u")));
        assert!(call.deadline.is_some());
        assert_eq!(
            call.details.kind.as_deref(),
            Some(kind),
            "the method's kind comes first"
        );
        assert_eq!(call.details.tags.len(), 1);
    }
    server
        .post("/rpc", "katamari-class: 1\r\n", body)
        .await
        .problem(400, "bad_request");
    server
        .post("/rpc", "katamari-cast: true\r\n", body)
        .await
        .problem(400, "bad_request");
}

#[tokio::test]
async fn what_is_no_json_is_a_parse_error() {
    let server = server().await;
    for body in [
        "",
        "{",
        "nul",
        "{} x",
        "[1,",
        "[1] 2",
        "{\"id\":1,}",
        "{\"jsonrpc\": 2.0, \"id\": 1, x}",
    ] {
        error(
            &server.rpc(body).await.json(),
            -32700,
            "bad_request",
            &Value::Null,
        );
    }
}

#[tokio::test]
async fn what_is_no_request_is_invalid() {
    let server = server().await;
    for (body, id, word) in [
        ("1", json!(null), "request"),
        ("\"text\"", json!(null), "request"),
        ("[]", json!(null), "batch"),
        ("{}", json!(null), "jsonrpc"),
        (r#"{"method":"k.null","id":1}"#, json!(1), "2.0"),
        (
            r#"{"jsonrpc":"1.0","method":"k.null","id":1}"#,
            json!(1),
            "2.0",
        ),
        (
            r#"{"jsonrpc":2.0,"method":"k.null","id":1}"#,
            json!(1),
            "2.0",
        ),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, json!("x"), "method"),
        (r#"{"jsonrpc":"2.0","method":1,"id":1}"#, json!(1), "method"),
        (
            r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#,
            json!(null),
            "method",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"k.null","params":"bar","id":1}"#,
            json!(1),
            "params",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"k.null","params":null,"id":1}"#,
            json!(1),
            "params",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"k.null","id":true}"#,
            json!(null),
            "id",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"k.null","id":[1]}"#,
            json!(null),
            "id",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"k.null","id":1,"id":1}"#,
            json!(null),
            "id",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"a","method":"b","id":1}"#,
            json!(null),
            "method",
        ),
    ] {
        let message = error(&server.rpc(body).await.json(), -32600, "bad_request", &id);
        assert!(message.contains(word), "{body}: {message}");
    }
}

#[tokio::test]
async fn every_code_has_its_number_and_its_facts() {
    let server = server().await;
    let numbers = [
        -32600, -32001, -32601, -32602, -32002, -32003, -32004, -32005, -32006, -32000, -32007,
        -32008, -32009, -32010, -32011,
    ];
    for (code, number) in all_codes().into_iter().zip(numbers) {
        let method = format!("k.{}", code.as_str());
        let body = json!({"jsonrpc": "2.0", "method": method, "id": 1}).to_string();
        let response = server.rpc(&body).await;
        error(&response.json(), number, code.as_str(), &json!(1));
        let id = response.json()["error"]["data"]["id"].clone();
        assert_eq!(id, response.header("katamari-id").unwrap());
    }
    let died = server
        .rpc(r#"{"jsonrpc":"2.0","method":"k.worker_died","id":1}"#)
        .await
        .json();
    assert_eq!(died["error"]["data"]["exit_status"], 3);
    assert_eq!(died["error"]["data"]["stderr"], json!(["one", "two"]));
}

#[tokio::test]
async fn arguments_are_checked_before_they_become_a_call() {
    let mut server = server().await;
    for params in [
        r#"{"a":1,"a":2}"#.to_owned(),
        format!("[{}1]", "1,".repeat(200)),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"k.echo","params":{params},"id":1}}"#);
        error(
            &server.rpc(&body).await.json(),
            -32602,
            "bad_arguments",
            &json!(1),
        );
    }
    assert!(server.stage.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_batch_runs_at_once_and_is_answered_in_order() {
    let server = server().await;
    // The example of the specification.
    let body = r#"[
        {"jsonrpc": "2.0", "method": "k.echo", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "k.null", "params": [7]},
        {"jsonrpc": "2.0", "method": "k.echo", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "k.null", "id": "9"},
        1
    ]"#;
    let answers = server.rpc(body).await.json();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 6);
    assert_eq!(
        answers[0],
        json!({"jsonrpc": "2.0", "result": [1, 2, 4], "id": "1"})
    );
    assert_eq!(
        answers[1],
        json!({"jsonrpc": "2.0", "result": [42, 23], "id": "2"})
    );
    error(&answers[2], -32600, "bad_request", &Value::Null);
    error(&answers[3], -32601, "no_function", &json!("5"));
    assert_eq!(
        answers[4],
        json!({"jsonrpc": "2.0", "result": null, "id": "9"})
    );
    error(&answers[5], -32600, "bad_request", &Value::Null);
}

#[tokio::test]
async fn entries_of_a_batch_do_not_wait_for_each_other() {
    let mut server = server().await;
    let entry =
        |function: &str| json!({"jsonrpc": "2.0", "method": format!("k.{function}"), "id": 1});
    let body = json!([entry("held"), entry("held"), entry("echo")]).to_string();
    let mut client = server.connect().await;
    client
        .send(
            "POST /rpc HTTP/1.1\r\ncontent-type: application/json\r\n",
            &body,
        )
        .await;
    let (first, second) = (
        server.stage.next_held().await,
        server.stage.next_held().await,
    );
    second.end(Ok(()));
    first.end(Ok(()));
    assert_eq!(client.receive().await.json().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn batches_are_limited_in_number_and_in_answers() {
    let limits = Limits {
        body_max: 10_000,
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    let entry = |id: usize| format!(r#"{{"jsonrpc":"2.0","method":"k.null","id":{id}}}"#);
    let batch = |count: usize| format!("[{}]", (0..count).map(entry).collect::<Vec<_>>().join(","));
    assert_eq!(
        server
            .rpc(&batch(100))
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        100
    );
    while server.stage.calls.try_recv().is_ok() {}
    error(
        &server.rpc(&batch(101)).await.json(),
        -32600,
        "bad_request",
        &Value::Null,
    );
    assert!(
        server.stage.calls.try_recv().is_err(),
        "none of its entries is called"
    );

    let large = [r#"{"jsonrpc":"2.0","method":"k.large","id":1}"#; 3].join(",");
    let answers = server.rpc(&format!("[{large}]")).await.json();
    assert!(answers[0]["result"].is_string() && answers[1]["result"].is_string());
    error(&answers[2], -32002, "too_large", &json!(1));
}

#[tokio::test]
async fn notifications_are_not_answered() {
    let mut server = server().await;
    let one = server.rpc(r#"{"jsonrpc":"2.0","method":"k.null"}"#).await;
    assert_eq!((one.status, one.body.len()), (204, 0));
    assert_eq!(&*server.stage.next_call().await.function, "null");
    let batch = r#"[{"jsonrpc":"2.0","method":"k.null"},{"jsonrpc":"2.0","method":"k.busy"},
                    {"jsonrpc":"2.0","method":"nowhere"}]"#;
    let all = server.rpc(batch).await;
    assert_eq!(
        (all.status, all.body.len()),
        (204, 0),
        "errors of notifications are not told"
    );
}

#[tokio::test]
async fn a_notification_goes_on_without_its_client() {
    let mut server = server().await;
    let hang = r#"{"jsonrpc":"2.0","method":"k.hang"}"#;
    for _ in 0..CASTS_MAX {
        assert_eq!(server.rpc(hang).await.status, 204);
        server.stage.next_call().await;
    }
    // Casts are bounded: this one is called on its client's connection, and ends with it.
    let mut client = server.connect().await;
    client
        .send(
            "POST /rpc HTTP/1.1\r\ncontent-type: application/json\r\n",
            hang,
        )
        .await;
    let number = server.stage.next_call().await.number;
    drop(client);
    assert_eq!(server.stage.next_dropped().await, number);
    assert!(server.stage.dropped.try_recv().is_err(), "the others go on");
}

#[tokio::test]
async fn answers_that_would_spoil_the_document_become_errors() {
    let server = server().await;
    let garbage = server
        .rpc(r#"{"jsonrpc":"2.0","method":"k.garbage","id":1}"#)
        .await
        .json();
    error(&garbage, -32007, "protocol", &json!(1));
    let png = server
        .rpc(r#"{"jsonrpc":"2.0","method":"k.png","id":1}"#)
        .await
        .json();
    assert!(error(&png, -32600, "bad_request", &json!(1)).contains("image/png"));
}
