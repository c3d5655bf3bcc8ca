//! `katamari up`: what it needs to start, and what it leaves behind.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use support::{Node, SHOUT, Setup, eventually, is_alive, stderr, stdout};

const BASIC: &str = "[program.basic]\ncommand = [\"python3\", \"basic.py\"]\n";

#[test]
fn a_node_says_where_it_listens_and_answers_calls_of_both_dialects() {
    let node = Node::running(&format!("{BASIC}{SHOUT}"));
    let ready: Value =
        serde_json::from_str(&fs::read_to_string(node.path("ready.json")).unwrap()).unwrap();
    let control = node.path("katamari.sock");
    assert_eq!(
        ready,
        json!({"http": node.http.to_string(), "control": control, "pid": node.pid()})
    );
    assert_eq!(
        node.call("basic/echo", r#"{"value": "a"}"#).json(),
        json!("a")
    );
    assert_eq!(
        node.call("shout/upper", r#"{"text": "a"}"#).json(),
        json!("A")
    );
}

#[test]
fn the_control_socket_is_for_its_owner_alone() {
    let node = Node::up("");
    let mode = fs::metadata(node.path("katamari.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_node_that_ends_leaves_nothing_behind() {
    let mut node = Node::running(BASIC);
    let pids = node.pids("basic", "ready");
    assert_eq!(pids.len(), 1);
    node.signal("INT");
    assert_eq!(node.wait_exit().code(), Some(0));
    for name in ["ready.json", "katamari.sock"] {
        assert!(!node.path(name).exists(), "{name} is gone");
    }
    assert!(!is_alive(pids[0]), "the worker has ended");
}

#[test]
fn the_socket_of_a_dead_node_is_replaced() {
    let setup = Setup::new("");
    drop(UnixListener::bind(setup.path("katamari.sock")).unwrap());
    let node = setup.up();
    assert!(node.katamari(&["status"]).status.success());
}

#[test]
fn the_socket_of_a_live_node_is_an_error() {
    let node = Node::up("");
    let second = node.katamari(&["up"]);
    assert_eq!(second.status.code(), Some(1));
    let said = stderr(&second);
    assert!(
        said.starts_with("error: already running: a node answers on "),
        "{said}"
    );
    assert!(
        node.katamari(&["status"]).status.success(),
        "the first one goes on"
    );
}

#[test]
fn a_file_in_the_sockets_place_is_not_removed() {
    let setup = Setup::new("");
    fs::write(setup.path("katamari.sock"), "mine").unwrap();
    let output = setup.run(&["up"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("exists and is no socket"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        fs::read_to_string(setup.path("katamari.sock")).unwrap(),
        "mine"
    );
}

#[test]
fn a_port_in_use_is_an_error_before_any_process_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup = Setup::new(&format!(
        "[faceplate.http]\nlisten = \"{address}\"\n[program.p]\ncommand = [\"touch\", \"started\"]"
    ));
    let output = setup.run(&["up"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    let expected = format!(
        "error: cannot listen on {address}; stop what uses that port, or set [faceplate.http] \
         listen to another one: Address already in use (os error 98)\n"
    );
    assert_eq!(said, expected);
    assert!(!setup.path("started").exists(), "no process was started");
    assert!(!setup.path("katamari.sock").exists());
}

#[test]
fn a_bad_configuration_ends_with_its_problems_and_status_1() {
    let setup = Setup::new("[program.p]\ncommand = [\"sh\"]\nworker = 2\n");
    for arguments in [&["up"][..], &["up", "--dry-run"]] {
        let output = setup.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            stderr(&output),
            "error: the configuration cannot be used\n\
             katamari.toml:5:1: program.p.worker: unknown key; did you mean workers?\n  \
             5 | worker = 2\n    | ^\n"
        );
    }
}

#[test]
fn a_dry_run_checks_and_starts_nothing() {
    let setup = Setup::new("[program.p]\ncommand = [\"touch\", \"started\"]");
    let output = setup.run(&["up", "--dry-run"]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), "katamari.toml is fine; programs: p\n");
    assert!(!setup.path("started").exists());
}

#[test]
fn relative_paths_start_at_the_file_wherever_katamari_is_run() {
    let setup = Setup::new(SHOUT);
    fs::create_dir(setup.path("elsewhere")).unwrap();
    let output = setup
        .command(&["up", "--dry-run", "../katamari.toml"])
        .current_dir(setup.path("elsewhere"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let node = setup.up();
    node.wait_ready();
    assert_eq!(node.call("shout/upper", r#"["x"]"#).json(), json!("X"));
}

#[test]
fn workers_do_not_outlive_a_node_that_is_killed() {
    let mut node = Node::running(&format!("{BASIC}{SHOUT}"));
    let pids = [node.pids("basic", "ready"), node.pids("shout", "ready")].concat();
    assert_eq!(pids.len(), 2);
    node.signal("KILL");
    node.wait_exit();
    eventually("the workers to be gone", || {
        pids.iter().all(|pid| !is_alive(*pid)).then_some(())
    });
}

#[test]
fn a_ready_file_is_left_alone_by_a_node_that_does_not_start() {
    let setup = Setup::new("");
    fs::write(setup.path("ready.json"), "of another node").unwrap();
    fs::create_dir(setup.path("katamari.sock")).unwrap();
    for arguments in [&["--dry-run"][..], &[]] {
        setup.run(&[&["up", "--ready-file", "ready.json"], arguments].concat());
        assert_eq!(
            fs::read_to_string(setup.path("ready.json")).unwrap(),
            "of another node"
        );
    }
}

#[test]
fn an_old_ready_file_that_cannot_be_removed_is_an_error() {
    let setup = Setup::new("");
    fs::create_dir(setup.path("ready.json")).unwrap();
    let output = setup.run(&["up", "--ready-file", "ready.json"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.starts_with("error: cannot remove the old ready file ready.json: "),
        "{said}"
    );
}
