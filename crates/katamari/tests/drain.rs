//! SIGTERM: the node refuses what is new, finishes what it has, and ends.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use support::{Http, Node, eventually, is_alive};

const PROGRAMS: &str = "[program.basic]\ncommand = [\"python3\", \"basic.py\"]\nworkers = 2\n";

fn wait_for_calls(node: &Node, count: u64) {
    eventually("calls in flight", || {
        (node.status()["calls_in_flight"].as_u64() == Some(count)).then_some(())
    });
}

#[test]
fn running_and_waiting_calls_finish_and_new_ones_are_refused() {
    let mut node = Node::running(PROGRAMS);
    let pids = node.pids("basic", "ready");
    // Two run, two wait.
    let mut clients: Vec<_> = (0..4).map(|_| Http::connect(node.http)).collect();
    let json = [("content-type", "application/json")];
    for client in &mut clients {
        client.start("POST", "/call/basic/sleep", &json, b"[700]");
    }
    wait_for_calls(&node, 4);
    node.signal("TERM");
    node.wait_log("SIGTERM");
    let ready = node.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    let refused = node.call("basic/echo", "[\"a\"]");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["code"], "stopping");
    for client in &mut clients {
        let response = client.response();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "\"slept\"")
        );
    }
    assert_eq!(node.wait_exit().code(), Some(0));
    assert!(
        pids.iter().all(|pid| !is_alive(*pid)),
        "the workers have ended"
    );
}

#[test]
fn under_load_no_call_is_lost() {
    let mut node = Node::running(PROGRAMS);
    let answered = AtomicU64::new(0);
    let address = node.http;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Http::connect(address);
                    // Ends when the node refuses calls or closes the connection between two.
                    while let Some(response) = client.call_unless_closed("basic/echo", "[\"a\"]") {
                        if response.status != 200 {
                            assert_eq!(response.json()["code"], "stopping");
                            return;
                        }
                        assert_eq!(response.text(), "\"a\"");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        eventually("a thousand answers", || {
            (answered.load(Ordering::Relaxed) > 1_000).then_some(())
        });
        node.signal("TERM");
        assert_eq!(node.wait_exit().code(), Some(0));
        for client in clients {
            client.join().expect("every call was answered or refused");
        }
    });
}

#[test]
fn calls_that_take_too_long_are_cut_off() {
    let programs = format!("[node]\ndrain_timeout = \"100ms\"\n{PROGRAMS}timeout = \"10m\"\n");
    let mut node = Node::running(&programs);
    let mut client = Http::connect(node.http);
    let json = [("content-type", "application/json")];
    client.start("POST", "/call/basic/sleep", &json, b"[600000]");
    wait_for_calls(&node, 1);
    node.signal("TERM");
    let response = client.response();
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(response.json()["code"], "worker_died");
    assert_eq!(node.wait_exit().code(), Some(0));
    let log = node.log();
    assert!(
        log.contains("calls still run after 0.1 s: killing all workers"),
        "{log}"
    );
}

#[test]
fn a_second_signal_stops_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut node = Node::running(PROGRAMS);
        let pids = node.pids("basic", "ready");
        let mut client = Http::connect(node.http);
        let json = [("content-type", "application/json")];
        client.start("POST", "/call/basic/sleep", &json, b"[60000]");
        wait_for_calls(&node, 1);
        node.signal("TERM");
        node.wait_log("SIGTERM");
        node.signal(signal);
        assert_eq!(node.wait_exit().code(), Some(code));
        eventually("the workers to be gone", || {
            pids.iter().all(|pid| !is_alive(*pid)).then_some(())
        });
        assert!(!node.path("katamari.sock").exists());
    }
}

#[test]
fn a_second_signal_does_not_wait_for_workers_that_will_not_stop() {
    let mut node = Node::running(
        r#"
[program.stubborn]
command = ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]
dialect = "lines"
kind = "stubborn"
stop_timeout = "10m"
[program.stubborn.functions.f]
"#,
    );
    let pids = node.pids("stubborn", "ready");
    node.signal("TERM");
    // No call runs, so the node is through with draining when the old port is closed.
    eventually("the port to be closed", || {
        std::net::TcpStream::connect(node.http)
            .is_err()
            .then_some(())
    });
    assert!(is_alive(pids[0]), "the worker does as it likes");
    node.signal("TERM");
    assert_eq!(node.wait_exit().code(), Some(143));
    eventually("the worker to be gone", || {
        (!is_alive(pids[0])).then_some(())
    });
}
