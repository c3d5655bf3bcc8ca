//! What the conformance worker leaves out: errors and panics, bytes, options of nested calls, what
//! a call says of itself, descriptions.

mod support;

use katamari_worker::{
    Call, Class, Error, Failure, Function, Payload, Result, SendError, Stream, Worker,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::process::{ExitCode, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use support::{Manager, worker_command};

#[derive(Debug)]
struct Refusal;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no, today not")
    }
}

impl std::error::Error for Refusal {}

#[derive(Deserialize)]
struct Sized {
    size: usize,
}

fn about(call: &Call, (): ()) -> Result<Value> {
    // The call can be shared with threads of the function's own.
    let key = thread::scope(|scope| {
        let thread = scope.spawn(|| call.key().map(str::to_owned));
        thread.join().expect("it does not panic")
    });
    Ok(json!({"id": call.id(), "key": key, "class": call.class()}))
}

fn ask(call: &Call, (): ()) -> Result<Value> {
    let nested = call
        .nested("parse.linkage")
        .version("grammar", "5.12.0")
        .tag("en")
        .timeout(Duration::from_millis(250))
        .key("user-7")
        .class(Class::Low)
        .idempotent();
    Ok(nested.call(json!({"text": "hi"}))?)
}

fn shrinking(stream: &Stream, Sized { size }: Sized) -> Result<()> {
    match stream.send("x".repeat(size)) {
        Err(SendError::TooLarge(_)) => Ok(stream.send("it was too large")?),
        other => Ok(other?),
    }
}

fn reverse(_: &Call, payload: Payload) -> Result<Payload, Failure> {
    let Some(content_type) = payload.content_type().map(str::to_owned) else {
        return Err(Failure::new("NoBytes", "expected bytes"));
    };
    let mut bytes = payload.into_bytes();
    bytes.reverse();
    Ok(Payload::bytes(bytes, &content_type))
}

/// Not a test of its own: what the others start. It exits with the status of the worker.
#[test]
#[allow(clippy::disallowed_methods)]
fn worker() {
    if std::env::var_os("WORKER").is_none() {
        return;
    }
    let slots = std::env::var("SLOTS").map_or(1, |it| it.parse().expect("a number"));
    let meeting = Barrier::new(slots);
    let status = Worker::new("features")
        .version("style", "1.0")
        .tag("en")
        .role("test")
        .slots(slots)
        .function(Function::new("about"), about)
        .function(Function::new("ask"), ask)
        .function(
            Function::new("size")
                .doc("A string of a size.")
                .parameter_doc("size", "in letters")
                .idempotent()
                .result("string"),
            |_: &Call, Sized { size }| -> Result<String> { Ok("x".repeat(size)) },
        )
        .function(Function::new("refuse"), |_: &Call, (): ()| {
            Err::<(), _>(Refusal)
        })
        .function(Function::new("no_map"), |_: &Call, (): ()| {
            Ok::<_, Error>(BTreeMap::from([((1, 2), 3)]))
        })
        .function(
            Function::new("panic"),
            |_: &Call, Sized { size }| -> Result<()> { panic!("size {size}") },
        )
        .function(
            Function::new("last_fail"),
            |call: &Call, (): ()| -> Result<()> {
                call.last();
                Err("worn out".into())
            },
        )
        .function(
            Function::new("values")
                .parameter("a", "any")
                .optional("b", "any"),
            |_: &Call, values: BTreeMap<String, Value>| -> Result<Value> { Ok(json!(values)) },
        )
        .function(
            Function::new("meet"),
            move |_: &Call, (): ()| -> Result<()> {
                meeting.wait();
                Ok(())
            },
        )
        .function(Function::new("look"), |call: &Call, (): ()| -> Result<()> {
            loop {
                call.check_cancelled()?;
            }
        })
        .payload_function(
            Function::new("reverse")
                .parameter("bytes", "bytes")
                .result("bytes"),
            reverse,
        )
        .stream(Function::new("shrinking").result("string"), shrinking)
        .run();
    let mut statuses = [0, 64, 76].into_iter();
    let status = statuses.find(|it| ExitCode::from(*it) == status);
    let status = status.expect("one of these");
    std::process::exit(status.into());
}

fn start(slots: usize) -> Manager {
    Manager::introduced(slots, &json!({})).0
}

#[test]
fn the_hello_says_what_was_defined() {
    let (_manager, hello) = Manager::introduced(3, &json!({}));
    assert_eq!(hello["kind"], "features");
    assert_eq!(hello["versions"], json!({"style": "1.0"}));
    assert_eq!(
        (&hello["tags"], &hello["roles"]),
        (&json!(["en"]), &json!(["test"]))
    );
    assert_eq!(hello["slots"], 3);
    let functions = hello["functions"].as_array().expect("a list");
    let named = |name: &str| {
        functions
            .iter()
            .find(|it| it["name"] == name)
            .expect("it is there")
    };
    assert_eq!(
        *named("size"),
        json!({"name": "size", "doc": "A string of a size.", "idempotent": true, "stream": false,
            "parameters": [{"name": "size", "type": "integer", "doc": "in letters", "required": true}],
            "result": "string"})
    );
    assert_eq!(named("shrinking")["stream"], true);
    assert_eq!(named("values")["parameters"][1]["required"], false);
    assert_eq!(named("about")["parameters"], json!([]));
}

#[test]
fn errors_keep_their_type_and_the_worker_lives_on() {
    let mut manager = start(1);
    for (function, arguments, message, type_name) in [
        ("refuse", json!({}), "no, today not", "Refusal"),
        (
            "no_map",
            json!({}),
            "the result has no form in JSON",
            "JsonError",
        ),
        ("size", json!({}), "missing field `size`", "ArgumentError"),
        (
            "size",
            json!(["x"]),
            "invalid type: string",
            "ArgumentError",
        ),
        (
            "size",
            json!([1, 2]),
            "expected at most 1 arguments, came 2",
            "ArgumentError",
        ),
        (
            "size",
            json!(7),
            "the arguments: invalid type",
            "ArgumentError",
        ),
        (
            "nope",
            json!({}),
            "there is no function `nope`",
            "ArgumentError",
        ),
        (
            "size",
            json!([20_000_000]),
            "do not fit into a frame",
            "TooLarge",
        ),
    ] {
        let end = manager.call(function, &arguments);
        assert_eq!(end.letter, 'E', "{end:?}");
        assert!(end.message().contains(message), "{end:?}");
        assert_eq!(end.header["type"], type_name);
    }
    assert_eq!(manager.call("size", &json!([2])).value(), "xx");
}

#[test]
fn a_panic_is_an_error_that_says_where() {
    let mut manager = start(2);
    for _ in 0..4 {
        let end = manager.call("panic", &json!({"size": 5}));
        assert_eq!((end.letter, end.message()), ('E', "size 5"));
        assert_eq!(end.header["type"], "Panic");
        let place = String::from_utf8(end.payload).expect("text");
        assert!(
            place.starts_with("at ") && place.contains("worker.rs"),
            "{place}"
        );
    }
    assert_eq!(manager.call("size", &json!([2])).value(), "xx");
}

#[test]
fn a_call_says_what_it_is() {
    let mut manager = start(1);
    manager.send_call("about", b"{}", &json!({"key": "k", "class": "high"}));
    let expected = json!({"id": "0000000000000001", "key": "k", "class": "high"});
    assert_eq!(manager.receive().value(), expected);
}

#[test]
fn a_map_takes_declared_parameters_by_position() {
    let mut manager = start(1);
    let end = manager.call("values", &json!([1, [2]]));
    assert_eq!(end.value(), json!({"a": 1, "b": [2]}));
}

#[test]
fn bytes_travel_as_they_are() {
    let mut manager = start(1);
    manager.send_call(
        "reverse",
        b"\x01\x02\xff",
        &json!({"content_type": "image/png"}),
    );
    let end = manager.receive();
    assert_eq!((end.letter, &*end.payload), ('R', &b"\xff\x02\x01"[..]));
    assert_eq!(end.header["content_type"], "image/png");
    manager.send_call("size", b"\x01", &json!({"content_type": "image/png"}));
    assert!(manager.receive().message().contains("came image/png"));
    assert_eq!(
        manager.call("reverse", &json!({})).header["type"],
        "NoBytes"
    );
}

#[test]
fn a_nested_call_says_all_that_was_chosen() {
    let mut manager = start(1);
    let parent = manager.send_call("ask", b"{}", &json!({}));
    let asked = manager.receive();
    let id = asked.header["id"].clone();
    assert_eq!(
        asked.header,
        json!({"id": id, "parent": parent, "function": "linkage", "timeout_ms": 250,
            "details": {"kind": "parse", "grammar": "5.12.0", "tags": ["en"]},
            "key": "user-7", "class": "low", "idempotent": true})
    );
    assert_eq!(asked.value(), json!({"text": "hi"}));
    manager.send(
        'B',
        &json!({"id": id, "code": "busy", "message": "later"}),
        b"",
    );
    let end = manager.receive();
    assert_eq!(
        (end.message(), &end.header["type"]),
        ("busy: later", &json!("CallError"))
    );
}

#[test]
fn a_piece_that_is_too_large_leaves_the_stream_alive() {
    let (mut manager, _) = Manager::introduced(1, &json!({"frame_max": 1000}));
    manager.send_call("shrinking", br#"{"size":2000}"#, &json!({}));
    assert_eq!(manager.receive().value(), "it was too large");
    assert_eq!(manager.receive().letter, 'R');
}

#[test]
fn every_slot_runs_at_the_same_time() {
    const SLOTS: usize = 8;
    let mut manager = start(SLOTS);
    for _ in 0..20 {
        for _ in 0..SLOTS {
            manager.send_call("meet", b"{}", &json!({}));
        }
        for _ in 0..SLOTS {
            assert_eq!(manager.receive().letter, 'R');
        }
    }
}

#[test]
fn an_error_can_be_the_last_answer() {
    let mut manager = start(1);
    let end = manager.call("last_fail", &json!({}));
    assert_eq!(
        (end.message(), &end.header["last"]),
        ("worn out", &json!(true))
    );
    assert_eq!(manager.wait().code(), Some(0));
}

#[test]
fn a_manager_that_vanishes_fails_nested_calls() {
    let mut manager = start(2);
    manager.send_call("ask", b"{}", &json!({}));
    manager.receive();
    manager.hang_up();
    assert!(manager.receive().message().starts_with("stopping: "));
    assert_eq!(manager.wait().code(), Some(0));
}

#[test]
fn a_manager_that_breaks_the_protocol_ends_the_worker() {
    for slots in [1, 3] {
        let mut manager = start(slots);
        manager.send('Z', &json!({}), b"");
        assert_eq!(manager.wait().code(), Some(76));
    }
}

#[test]
fn started_by_hand_it_explains_itself() {
    for (protocol, why) in [
        (None, "KATAMARI_PROTOCOL is not set"),
        (Some("2,lines"), "\"2,lines\""),
    ] {
        let mut command = worker_command();
        if let Some(protocol) = protocol {
            command.env("KATAMARI_PROTOCOL", protocol);
        }
        let output = command.stderr(Stdio::piped()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(why) && said.contains("katamari check"),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(64));
    }
}

#[test]
fn calls_that_look_around_and_calls_that_wait_leave_each_other_alone() {
    const SLOTS: usize = 3;
    let mut manager = start(SLOTS);
    for _ in 0..200 {
        // One looks all the time, so that it reads for the others; they wait for answers.
        let looking = manager.send_call("look", b"{}", &json!({}));
        let asked: Vec<u64> = (1..SLOTS)
            .map(|_| {
                manager.send_call("ask", b"{}", &json!({}));
                manager.receive().header["id"].as_u64().expect("a number")
            })
            .collect();
        for id in asked {
            manager.send('A', &json!({"id": id}), b"1");
            assert_eq!(manager.receive().value(), 1);
        }
        manager.send('X', &json!({"id": looking, "reason": "deadline"}), b"");
        assert_eq!(manager.receive().message(), "cancelled");
    }
}
