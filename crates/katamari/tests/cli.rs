//! The command line against a running node: what it prints and how it ends.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::process::Output;
use support::{Node, SHOUT, Setup, stderr, stdout};

/// A node with two programs, of which `basic` may call `shout`.
fn node() -> Node {
    let basic = r#"command = ["python3", "basic.py"]
calls = ["shout"]"#;
    Node::running(&format!("[program.basic]\n{basic}\n{SHOUT}"))
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("not JSON: {output:?}"))
}

#[test]
fn calls_print_their_results() {
    let node = node();
    fs::write(node.path("arguments.json"), r#"{"value": "from a file"}"#).unwrap();
    for (arguments, expected) in [
        (&["basic.echo", r#"{"value": "a"}"#][..], "\"a\"\n"),
        (&["basic.echo", r#"["a"]"#], "\"a\"\n"),
        (&["basic.echo", "@arguments.json"], "\"from a file\"\n"),
        (&["basic.edition"], "\"1\"\n"),
        (
            &["basic.edition", "--details", r#"{"edition": "1"}"#],
            "\"1\"\n",
        ),
        (&["basic.count", r#"{"to": 3}"#], "1\n2\n3\n"),
        (&["basic.shout", r#"{"text": "nested"}"#], "\"NESTED\"\n"),
        (
            &[
                "shout.upper",
                r#"["x"]"#,
                "--timeout",
                "9s",
                "--key",
                "k",
                "--class",
                "high",
                "--idempotent",
            ],
            "\"X\"\n",
        ),
    ] {
        let output = node.katamari(&[&["call"], arguments].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), expected, "{arguments:?}");
    }
}

#[test]
fn calls_print_json_for_programs() {
    let node = node();
    let line = json_of(&node.katamari(&["call", "basic.echo", r#"["a"]"#, "--json"]));
    assert_eq!(line["result"], "a");
    assert_eq!(line["id"].as_str().map(str::len), Some(16));
    let streamed = stdout(&node.katamari(&["call", "basic.count", "[2]", "--json"]));
    let pieces: Vec<Value> = streamed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["piece"].take())
        .collect();
    assert_eq!(pieces, [json!(1), json!(2)]);
    let failed = node.katamari(&["call", "basic.fail", r#"["boo"]"#, "--json"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(json_of(&failed)["error"]["code"], "worker_error");
    let cast = json_of(&node.katamari(&["call", "basic.echo", r#"["a"]"#, "--cast", "--json"]));
    assert_eq!(cast["id"].as_str().map(str::len), Some(16));
}

#[test]
fn failed_calls_are_explained_on_stderr() {
    let node = node();
    for (arguments, expected) in [
        (
            &["basic.fail", r#"["boo"]"#][..],
            "error: worker_error: ValueError: boo\n  Traceback",
        ),
        (&["basic.none"], "error: no_function: "),
        (&["nobody.f"], "error: no_pool: "),
        (
            &["basic.echo"],
            "error: bad_arguments: expected echo(value); missing: value\n",
        ),
        (&["basic.echo", "{"], "error: bad_request: "),
        (
            &["basic.sleep", "[5000]", "--timeout", "50ms"],
            "error: deadline: ",
        ),
    ] {
        let output = node.katamari(&[&["call"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        let said = stderr(&output);
        assert!(said.starts_with(expected), "{arguments:?}: {said}");
        // A request that could not be read never became a call.
        let is_call = !said.contains("bad_request");
        assert_eq!(said.contains("see: katamari why "), is_call, "{said}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_status_2() {
    let setup = Setup::new("");
    for arguments in [
        &["call", "upper"][..],
        &["call", "shout.upper", "{}", "--timeout", "fast"],
        &["call", "shout.upper", "{}", "--class", "urgent"],
        &["stauts"],
        &["up", "--bogus"],
    ] {
        let output = setup.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn without_a_node_every_command_says_what_to_do() {
    let setup = Setup::new("");
    for arguments in [
        &["status"][..],
        &["why", "5f3c2a9e00000007"],
        &["reload"],
        &["call", "a.b"],
    ] {
        let output = setup.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(
            stderr(&output),
            "error: no node runs here: there is no katamari.sock; start one with `katamari up`, or \
             name its socket with --control PATH or KATAMARI_CONTROL\n"
        );
    }
}

#[test]
fn status_shows_programs_pools_and_workers() {
    let node = node();
    let output = node.katamari(&["status", "--workers"]);
    let text = stdout(&output);
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no row {name} in:\n{text}"));
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(row("basic  "), ["basic", "running", "1/1", "1", "0", "0"]);
    assert_eq!(row("shout  "), ["shout", "running", "1/1", "1", "0", "0"]);
    assert_eq!(
        row("shout  -"),
        ["shout", "-", "1", "1", "1", "0", "0/100", "upper(text)"]
    );
    assert!(text.contains("edition=1"), "{text}");
    let pid = node.pids("basic", "ready")[0].to_string();
    assert!(text.contains(&pid), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe");
    let status = json_of(&node.katamari(&["status", "--json"]));
    assert_eq!(status["programs"][0]["name"], "basic");
}

#[test]
fn why_tells_what_happened_to_a_call() {
    let node = node();
    let id = |response: &support::Response| response.header("katamari-id").unwrap().to_owned();
    let answered = id(&node.call("basic/echo", r#"["a"]"#));
    let failed = id(&node.call("basic/fail", r#"["boo"]"#));
    let pid = node.pids("basic", "ready")[0];
    let told = stdout(&node.katamari(&["why", &answered]));
    assert!(
        told.starts_with(&format!("call {answered}  basic.echo  ")),
        "{told}"
    );
    assert!(told.contains("arrived, deadline in 10000.0 ms\n"), "{told}");
    assert!(told.contains(&format!(", pid {pid}\n")), "{told}");
    assert!(told.contains("answered after running "), "{told}");
    let told = stdout(&node.katamari(&["why", &failed]));
    assert!(told.contains(": worker_error: boo\n"), "{told}");
    let story = json_of(&node.katamari(&["why", &answered, "--json"]));
    assert_eq!(story["attempts"][0]["state"], "answered");
    let unknown = node.katamari(&["why", "0000000000000001"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).starts_with("error: call 0000000000000001 is not known"));
}

#[test]
fn the_control_socket_can_be_named() {
    let node = Node::up("[node]\ncontrol = \"other.sock\"");
    assert_eq!(node.katamari(&["status"]).status.code(), Some(1));
    assert!(
        node.katamari(&["status", "--control", "other.sock"])
            .status
            .success()
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let node = Node::up("");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = node.command(&["status"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "");
}
