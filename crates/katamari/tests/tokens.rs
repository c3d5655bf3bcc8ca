//! Access tokens of a cluster: made, listed and revoked through a node, beside those of its file.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use serde_json::Value;
use std::net::TcpListener;
use support::{Http, Node, SHOUT, Setup, eventually, stderr, stdout};

/// A node of a cluster of its own.
fn node() -> (Node, String) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let free = free.expect("the system has a free port");
    let config = format!("[node]\nlisten = \"{free}\"\n{SHOUT}");
    let setup = Setup::new(&config);
    let init = setup.run(&["init"]);
    assert!(init.status.success(), "{}", stderr(&init));
    let node = setup.up();
    node.wait_ready();
    (node, config)
}

fn new_token(node: &Node, arguments: &[&str]) -> (String, String) {
    let made = node.katamari(&[&["token", "new"], arguments].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    (stdout(&made).trim().to_owned(), stderr(&made))
}

fn call(node: &Node, secret: Option<&str>) -> u16 {
    let bearer = secret.map(|secret| format!("Bearer {secret}"));
    let headers: Vec<_> = bearer
        .iter()
        .map(|text| ("authorization", &**text))
        .collect();
    let mut http = Http::connect(node.http);
    http.call("shout/upper", r#"{"text": "a"}"#, &headers)
        .status
}

/// The masters have agreed when the command ends; the node follows at once.
fn becomes(node: &Node, secret: &str, status: u16) {
    let what = format!("{status} for a token");
    eventually(&what, || (call(node, Some(secret)) == status).then_some(()));
}

#[test]
fn tokens_of_the_cluster_and_of_the_file_hold_beside_each_other() {
    let (node, config) = node();
    assert_eq!(call(&node, None), 200, "there is no token yet");
    let (of_cluster, _) = new_token(
        &node,
        &["ci", "--cluster", "--kinds", "shout", "--rate", "1000"],
    );
    becomes(&node, &of_cluster, 200);
    assert_eq!(call(&node, None), 401);
    let twin = node.katamari(&["token", "new", "ci", "--cluster"]);
    assert!(!twin.status.success(), "a name is not taken twice");

    let (of_file, table) = new_token(&node, &["local"]);
    assert_eq!(call(&node, Some(&of_file)), 401, "nobody knows it");
    node.configure(&format!("{config}\n{table}"));
    let reload = node.katamari(&["reload"]);
    assert!(reload.status.success(), "{}", stderr(&reload));
    assert_eq!(call(&node, Some(&of_file)), 200);
    assert_eq!(call(&node, Some(&of_cluster)), 200);

    let listed = node.katamari(&["token", "list", "--json"]);
    let listed: Value = serde_json::from_str(&stdout(&listed)).expect("JSON");
    assert_eq!(listed[0]["name"], "ci");
    assert_eq!(listed[0]["kinds"], serde_json::json!(["shout"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "not the file's");

    let revoked = node.katamari(&["token", "revoke", "ci"]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    becomes(&node, &of_cluster, 401);
    assert_eq!(call(&node, Some(&of_file)), 200);
    let again = node.katamari(&["token", "revoke", "ci"]);
    assert!(stderr(&again).contains("got \"ci\""), "{}", stderr(&again));
}

#[test]
fn a_machine_that_is_alone_keeps_its_tokens_in_its_file() {
    let node = Node::up(SHOUT);
    let made = node.katamari(&["token", "new", "ci", "--cluster"]);
    assert!(!made.status.success());
    assert_eq!(
        stdout(&made),
        "",
        "a secret that opens nothing is not shown"
    );
    assert!(
        stderr(&made).contains("this machine is alone"),
        "{}",
        stderr(&made)
    );
}
