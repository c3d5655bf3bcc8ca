//! Whatever is posted to `/rpc`, a well-formed answer comes back on a connection that goes on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use proptest::prelude::*;
use serde_json::Value;
use support::{Client, Server};
use tokio::net::TcpStream;

/// Text that is nearly a request: members in any order, present or not, right or wrong.
fn nearly_a_request() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "1",
        "-1.5e3",
        "null",
        "true",
        "\"2.0\"",
        "\"k.echo\"",
        "\"null\"",
        "\"k.garbage\"",
        "[]",
        "[1,[2]]",
        "{}",
        "{\"details\":{\"kind\":\"k\"}}",
        "{\"a\":1,\"a\":2}",
        "\"\\ud800\"",
        "nul",
        "\"",
        "{\"details\":1}",
        "{\"details\":{\"kind\":\"k\"},\"\\u0000\":1}",
    ]);
    let name = prop::sample::select(vec!["jsonrpc", "method", "params", "id", "x", "\\u0069d"]);
    let member = (name, value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let free = prop::collection::vec(member, 0..6).prop_map(|members| members.join(","));
    let good = Just(r#""jsonrpc":"2.0","method":"k.echo""#.to_owned());
    (good.clone(), free.clone(), any::<bool>()).prop_map(|(good, free, start)| {
        if start {
            format!("{{{good},{free}}}")
        } else {
            format!("{{{free}}}")
        }
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let batch = prop::collection::vec(nearly_a_request(), 0..4)
        .prop_map(|entries| format!("[{}]", entries.join(",")));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        nearly_a_request().prop_map(String::into_bytes),
        batch.prop_map(String::into_bytes),
        "[\\[\\]{}\",:0-9a-z\\\\ ]{0,40}".prop_map(String::into_bytes),
    ]
}

fn check_one(answer: &Value) {
    assert_eq!(answer["jsonrpc"], "2.0");
    let id = answer.get("id").expect("an id, null at the least");
    assert!(id.is_null() || id.is_string() || id.is_number(), "{answer}");
    let members = answer.as_object().unwrap();
    assert_eq!(members.len(), 3, "either a result or an error: {answer}");
    if let Some(error) = members.get("error") {
        assert!(
            error["code"].is_i64() && error["message"].is_string(),
            "{answer}"
        );
        assert!(error["data"]["code"].is_string(), "{answer}");
    } else {
        assert!(members.contains_key("result"), "{answer}");
    }
}

async fn post(client: &mut Client<TcpStream>, body: &[u8]) {
    let head = format!(
        "POST /rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    client.write(&[head.as_bytes(), body].concat()).await;
    let response = client.receive().await;
    match response.status {
        204 => assert!(response.body.is_empty()),
        200 => match response.json() {
            Value::Array(answers) => {
                assert!(!answers.is_empty(), "an empty array is no answer");
                answers.iter().for_each(check_one);
            }
            answer => check_one(&answer),
        },
        status => panic!("HTTP status {status}"),
    }
}

#[test]
fn every_body_gets_a_well_formed_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::start(Limits::default()));
    let client = std::cell::RefCell::new(runtime.block_on(server.connect()));
    let config = ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..Default::default()
    };
    proptest!(config, |(body in body())| {
        runtime.block_on(post(&mut client.borrow_mut(), &body));
    });
}
