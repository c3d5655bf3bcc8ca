//! Streamed requests: what is granted, how an input is read, and its ends.

mod support;

use katamari_worker::{Call, Function, Result, Stream, Worker};
use serde_json::{Value, json};
use std::io::{BufRead, Read};
use std::process::ExitCode;
use support::{Frame, Manager};

/// Small, so that a test can use it up.
const CREDIT: usize = 4096;

fn pieces(call: &Call, (): ()) -> Result<Value> {
    let mut input = call.input();
    let mut pieces = Vec::new();
    for piece in &mut input {
        pieces.push(piece?);
    }
    Ok(json!([pieces, input.content_type()]))
}

#[derive(serde::Deserialize)]
struct Sizes {
    sizes: Vec<usize>,
}

fn read_sizes(call: &Call, Sizes { sizes }: Sizes) -> Result<()> {
    let mut input = call.input();
    for size in sizes {
        input.read_exact(&mut vec![0; size])?;
    }
    Ok(())
}

fn like_a_file(call: &Call, (): ()) -> Result<Value> {
    let mut input = call.input();
    let mut first = [0; 1];
    input.read_exact(&mut first)?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    let rest = input.next().transpose()?;
    let mut all = String::new();
    input.read_to_string(&mut all)?;
    let end = input.next().transpose()?;
    Ok(json!([first, line, rest, all, end]))
}

fn ask_then_read(call: &Call, (): ()) -> Result<String> {
    call.cluster::<()>("other.thing", ())?;
    let mut all = String::new();
    call.input().read_to_string(&mut all)?;
    Ok(all)
}

fn upper(stream: &Stream, (): ()) -> Result<()> {
    for piece in stream.input() {
        stream.send(String::from_utf8(piece?)?.to_uppercase())?;
    }
    Ok(())
}

/// Not a test of its own: what the others start. It exits with the status of the worker.
#[test]
#[allow(clippy::disallowed_methods)]
fn worker() {
    if std::env::var_os("WORKER").is_none() {
        return;
    }
    let slots = std::env::var("SLOTS").map_or(1, |it| it.parse().expect("a number"));
    let status = Worker::new("inputs")
        .slots(slots)
        .function(Function::new("pieces").input(), pieces)
        .function(Function::new("read_sizes").input(), read_sizes)
        .function(Function::new("like_a_file").input(), like_a_file)
        .function(Function::new("ask_then_read").input(), ask_then_read)
        .stream(Function::new("upper").input(), upper)
        .function(Function::new("other"), |_: &Call, (): ()| -> Result<()> {
            Ok(())
        })
        .run();
    std::process::exit(i32::from(status != ExitCode::SUCCESS));
}

fn start(slots: usize) -> Manager {
    Manager::introduced(slots, &json!({"stream_credit": CREDIT})).0
}

fn begin(manager: &mut Manager, function: &str, arguments: &Value) -> u64 {
    let arguments = arguments.to_string();
    manager.send_call(function, arguments.as_bytes(), &json!({"input": true}))
}

fn send_piece(manager: &mut Manager, id: u64, piece: &[u8]) {
    manager.send('I', &json!({"id": id}), piece);
}

fn send_end(manager: &mut Manager, id: u64, piece: &[u8]) {
    manager.send('I', &json!({"id": id, "end": true}), piece);
}

fn assert_grant(frame: &Frame, id: u64, bytes: usize) {
    assert_eq!(frame.letter, 'G', "{frame:?}");
    assert_eq!(frame.header, json!({"id": id, "bytes": bytes}));
}

fn assert_silent(manager: &mut Manager) {
    manager.send('P', &json!({}), b"");
    assert_eq!(manager.receive().letter, 'O');
}

#[test]
fn it_is_announced_where_it_is_declared() {
    let (_manager, hello) = Manager::introduced(1, &json!({}));
    let functions = hello["functions"].as_array().expect("a list");
    for function in functions {
        let declared = function["name"] != "other";
        assert_eq!(function.get("input").is_some(), declared, "{function}");
    }
}

#[test]
fn pieces_come_as_they_are_sent() {
    for slots in [1, 2] {
        let mut manager = start(slots);
        let id = begin(&mut manager, "pieces", &json!({}));
        assert_grant(&manager.receive(), id, CREDIT);
        let first = json!({"id": id, "content_type": "image/png"});
        manager.send('I', &first, b"\0\xff");
        send_piece(&mut manager, id, b"");
        send_end(&mut manager, id, b"end");
        let expected = json!([[[0, 255], [101, 110, 100]], "image/png"]);
        assert_eq!(manager.receive().value(), expected);
    }
}

#[test]
fn without_an_input_it_has_ended() {
    let mut manager = start(1);
    let end = manager.call("pieces", &json!({}));
    assert_eq!(end.value(), json!([[], null]));
}

#[test]
fn what_was_taken_is_granted_again() {
    let mut manager = start(1);
    let portion = CREDIT / 8;
    let id = begin(&mut manager, "read_sizes", &json!([[portion, CREDIT]]));
    assert_grant(&manager.receive(), id, CREDIT);
    send_piece(&mut manager, id, &vec![0; portion - 1]);
    assert_silent(&mut manager);
    send_piece(&mut manager, id, &[0]);
    assert_grant(&manager.receive(), id, portion);
    send_piece(&mut manager, id, &vec![0; CREDIT]);
    assert_grant(&manager.receive(), id, CREDIT);
    assert_eq!(manager.receive().letter, 'R');
}

#[test]
fn nothing_is_granted_before_it_reads() {
    let mut manager = start(1);
    let id = begin(&mut manager, "ask_then_read", &json!({}));
    let nested = manager.receive().header["id"].clone();
    assert_silent(&mut manager);
    manager.send('A', &json!({"id": nested}), b"null");
    assert_grant(&manager.receive(), id, CREDIT);
    send_end(&mut manager, id, b"abc");
    assert_eq!(manager.receive().value(), "abc");
}

#[test]
fn it_is_read_like_a_file() {
    let mut manager = start(2);
    let id = begin(&mut manager, "like_a_file", &json!({}));
    assert_grant(&manager.receive(), id, CREDIT);
    for piece in ["ab", "c\nde", "fg"] {
        send_piece(&mut manager, id, piece.as_bytes());
    }
    send_end(&mut manager, id, b"hi");
    let expected = json!([[97], "bc\n", [100, 101], "fghi", null]);
    assert_eq!(manager.receive().value(), expected);
}

#[test]
fn an_early_end_drops_what_is_left() {
    let mut manager = start(1);
    let id = begin(&mut manager, "read_sizes", &json!([[1]]));
    assert_grant(&manager.receive(), id, CREDIT);
    send_piece(&mut manager, id, b"xyz");
    assert_eq!(manager.receive().letter, 'R');
    send_piece(&mut manager, id, b"too late");
    send_end(&mut manager, id, b"");
    assert_eq!(manager.call("other", &json!({})).letter, 'R');
}

#[test]
fn a_stream_answers_a_stream() {
    let mut manager = start(1);
    let id = begin(&mut manager, "upper", &json!({}));
    assert_grant(&manager.receive(), id, CREDIT);
    for (piece, answer) in [("a", "A"), ("b", "B")] {
        send_piece(&mut manager, id, piece.as_bytes());
        let frame = manager.receive();
        assert_eq!((frame.letter, frame.value()), ('S', json!(answer)));
    }
    send_end(&mut manager, id, b"");
    assert_eq!(manager.receive().letter, 'R');
}

#[test]
fn a_cancel_wakes_it() {
    for slots in [1, 2] {
        for function in ["pieces", "read_sizes"] {
            let mut manager = start(slots);
            let id = begin(&mut manager, function, &json!({"sizes": [1]}));
            assert_grant(&manager.receive(), id, CREDIT);
            manager.send('X', &json!({"id": id, "reason": "client_left"}), b"");
            let end = manager.receive();
            assert_eq!((end.letter, end.message()), ('E', "cancelled"));
        }
    }
}

#[test]
fn the_end_of_descriptor_3_wakes_it() {
    let mut manager = start(2);
    let id = begin(&mut manager, "pieces", &json!({}));
    assert_grant(&manager.receive(), id, CREDIT);
    manager.hang_up();
    let end = manager.receive();
    assert_eq!((end.letter, end.message()), ('E', "cancelled"));
    assert_eq!(manager.wait().code(), Some(0));
}

#[test]
fn inputs_side_by_side_are_told_apart() {
    const SLOTS: usize = 4;
    let mut manager = start(SLOTS);
    for _ in 0..50 {
        let ids: Vec<u64> = (0..SLOTS)
            .map(|_| begin(&mut manager, "pieces", &json!({})))
            .collect();
        for _ in 0..SLOTS {
            assert_eq!(manager.receive().letter, 'G');
        }
        for id in &ids {
            send_piece(&mut manager, *id, id.to_string().as_bytes());
        }
        for id in ids.iter().rev() {
            send_end(&mut manager, *id, b"");
            let end = manager.receive();
            assert_eq!(end.header["id"], *id);
            assert_eq!(end.value(), json!([[id.to_string().as_bytes()], null]));
        }
    }
}
