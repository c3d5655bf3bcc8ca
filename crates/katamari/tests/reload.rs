//! SIGHUP and `katamari reload`: the file is applied without losing a call.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use support::{Http, Node, SHOUT, eventually, stderr, stdout};

fn basic(edition: &str, rest: &str) -> String {
    format!(
        "[program.basic]\ncommand = [\"python3\", \"basic.py\"]\nworkers = 2\n\
         env = {{ EDITION = \"{edition}\" }}\n{rest}"
    )
}

fn reload(node: &Node) -> Value {
    let output = node.katamari(&["reload", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn under_load_new_workers_take_over_without_a_failed_call() {
    let node = Node::running(&basic("1", ""));
    let (answered, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let edition = || node.call("basic/edition", "[]").json();
    assert_eq!(edition(), "1");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Http::connect(node.http);
                while !done.load(Ordering::Relaxed) {
                    let response = client.call("basic/echo", "[\"a\"]", &[]);
                    assert_eq!(response.status, 200, "{}", response.text());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for next in ["2", "3"] {
            let before = answered.load(Ordering::Relaxed);
            eventually("calls to flow", || {
                (answered.load(Ordering::Relaxed) > before + 100).then_some(())
            });
            node.configure(&basic(next, ""));
            node.signal("HUP");
            // Both workers are of the new edition when the old pool is gone.
            eventually("the new edition alone", || {
                let status = node.status();
                let pools = status["pools"].as_array()?;
                let live: Vec<_> = pools
                    .iter()
                    .filter(|pool| pool["slots"] != json!(0))
                    .collect();
                let is_new = live.len() == 1
                    && live[0]["versions"]["edition"] == next
                    && live[0]["slots"] == 2;
                is_new.then_some(())
            });
            assert_eq!(edition(), next);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(
        node.log().contains("katamari.toml: replaced basic"),
        "{}",
        node.log()
    );
}

#[test]
fn programs_come_change_and_go() {
    let node = Node::running(&basic("1", ""));
    let none: [&str; 0] = [];
    node.configure(&basic("1", SHOUT));
    assert_eq!(
        reload(&node),
        json!({"added": ["shout"], "replaced": none, "adjusted": none, "removed": none})
    );
    node.wait_ready();
    assert_eq!(node.call("shout/upper", "[\"a\"]").json(), json!("A"));
    let pids = node.pids("basic", "ready");

    node.configure(&basic("1", &format!("timeout = \"1s\"\n{SHOUT}")));
    let output = node.katamari(&["reload"]);
    assert_eq!(stdout(&output), "adjusted: basic\n");
    assert_eq!(
        node.pids("basic", "ready"),
        pids,
        "an adjusted program keeps its workers"
    );
    assert_eq!(
        node.call("basic/sleep", "[5000]").json()["code"],
        "deadline"
    );

    assert_eq!(
        stdout(&node.katamari(&["reload"])),
        "no program has changed\n"
    );

    node.configure(SHOUT);
    assert_eq!(reload(&node)["removed"], json!(["basic"]));
    eventually("the program to be gone", || {
        (node.call("basic/echo", "[\"a\"]").json()["code"] == "no_pool").then_some(())
    });
    assert_eq!(node.call("shout/upper", "[\"a\"]").json(), json!("A"));
}

#[test]
fn a_bad_file_changes_nothing() {
    let node = Node::running(&basic("1", ""));
    node.configure(&basic("2", "workers = 3"));
    let output = node.katamari(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("katamari.toml:7:1: not TOML: duplicate key"),
        "{said}"
    );
    node.signal("HUP");
    eventually("two log lines about it", || {
        (node
            .log()
            .matches("the configuration stays as it was")
            .count()
            == 2)
            .then_some(())
    });
    assert_eq!(node.call("basic/edition", "[]").json(), json!("1"));
}

#[test]
fn settings_that_need_a_restart_are_named() {
    let node = Node::running(&basic("1", ""));
    node.configure(&format!(
        "[faceplate.http]\nlisten = \"127.0.0.1:1\"\n{}",
        basic("1", "")
    ));
    reload(&node);
    let expected = "[faceplate.http] has changed in the file; it takes effect at the next start";
    eventually("the log to name it", || {
        node.log().contains(expected).then_some(())
    });
    assert_eq!(
        node.call("basic/edition", "[]").json(),
        json!("1"),
        "the old address still serves"
    );
}
