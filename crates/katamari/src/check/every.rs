//! What every worker of dialect `json` must do, whatever it is for.

use super::case::{Case, cases};
use super::launch::{Bench, QUIET};
use super::verdict::{Trouble, Verdict, expect, shown, unexpected};
use super::worker::{Worker, describe, frame};
use bytes::BytesMut;
use manager::dialect::{Codec, FromWorker, Json};
use pool::{Function, Type};
use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The status of a worker that was started by hand: EX_USAGE of sysexits.h.
const EXIT_USAGE: i32 = 64;

/// The flag for close-on-exec in `/proc/PID/fdinfo`, as in open(2).
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// A number that no call of a case has.
const UNUSED_ID: u64 = 77_777;

/// The case without which no other makes sense.
pub const HELLO: &[Case] = cases! {
    hello => "says hello first and in time, within the limits of the protocol",
};

/// The case without which those in [`PINGED`] make no sense.
pub const PING: &[Case] = cases! {
    ping => "answers each ping with a pong",
};

/// The cases in which a ping is the message, or shows that the worker lives on.
pub const PINGED: &[Case] = cases! {
    ping_before_welcome => "answers a ping that comes before the welcome",
    single_bytes => "understands a frame that comes byte by byte",
    several_frames => "understands several frames that come at once",
    unknown_keys => "ignores keys in headers that it does not know",
    stray_cancel => "ignores a cancel and credit for a call that it does not have",
};

/// The others.
pub const CASES: &[Case] = cases! {
    offered_versions => "picks a version that is offered, of several",
    by_hand => "started without KATAMARI_PROTOCOL, exits with status 64 and says why on stderr",
    close_on_exec => "sets close-on-exec on descriptors 3 and 4",
    idle => "says nothing when nobody asks",
    unusable_arguments => "answers arguments of the wrong types exactly once, and lives on",
    quit => "exits with status 0 when told to quit",
    quit_before_welcome => "exits with status 0 when told to quit before the welcome",
    quit_after_call => "told to quit, finishes the call that came before",
    end_of_input => "exits with status 0 at the end of descriptor 3",
    end_after_call => "at the end of descriptor 3, finishes the call that came before",
};

async fn hello(bench: &Bench) -> Verdict {
    let mut worker = bench.hello("1").await?;
    worker.silence(QUIET).await
}

async fn offered_versions(bench: &Bench) -> Verdict {
    bench.hello("99,1").await?;
    Ok(())
}

async fn by_hand(bench: &Bench) -> Verdict {
    let mut launched = bench.launch_by_hand(Json::default().manners())?;
    launched.exit_with(EXIT_USAGE).await?;
    let said = bench.stderr.last_text().await;
    expect(!said.trim().is_empty(), "a message on stderr", "none")
}

async fn close_on_exec(bench: &Bench) -> Verdict {
    let worker = bench.worker().await?;
    let folder = format!("/proc/{}/fd", worker.launched.pid());
    let unreadable = |error| Trouble::Failed(format!("cannot read {folder}: {error}"));
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // A descriptor that was closed meanwhile needs no flag.
        let Ok(status) = fs::metadata(&path) else {
            continue;
        };
        let descriptor = path.file_name().unwrap_or_default().to_string_lossy();
        if worker.launched.pipes.contains(&status.ino())
            && !closes_on_exec(worker.launched.pid(), &descriptor)
        {
            let name = process_name(worker.launched.pid());
            return unexpected(
                format_args!("close-on-exec on descriptor {descriptor} of process {name}"),
                "a descriptor that its children inherit",
            );
        }
    }
    Ok(())
}

fn closes_on_exec(pid: u32, descriptor: &str) -> bool {
    let Ok(info) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")) else {
        return true;
    };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOSE_ON_EXEC != 0)
}

/// So that a shell which was started in place of the worker is seen.
fn process_name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{pid} ({})", name.trim())
}

async fn idle(bench: &Bench) -> Verdict {
    bench.worker().await?.silence(QUIET).await
}

async fn ping(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    worker.ping().await?;
    worker.ping().await?;
    worker.silence(QUIET).await
}

async fn ping_before_welcome(bench: &Bench) -> Verdict {
    bench.hello("1").await?.ping().await
}

async fn single_bytes(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let ping = frame(b'P', &json!({"padding": "in two parts"}), b"");
    worker.launched.write_byte_by_byte(ping);
    worker.pong().await?;
    worker.ping().await
}

async fn several_frames(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let ping = frame(b'P', &json!({}), b"");
    worker.launched.write(ping.repeat(5));
    for _ in 0..5 {
        worker.pong().await?;
    }
    worker.silence(QUIET).await
}

async fn unknown_keys(bench: &Bench) -> Verdict {
    let mut worker = bench.hello("1").await?;
    let news = json!({"frame_max": 1 << 20, "stream_credit": 1 << 18, "worker": "1",
        "motto": "h\u{e9}llo \"you\"", "id": UNUSED_ID, "more": {"deep": [1, null, {"id": true}]}});
    for letter in [b'W', b'P', b'P'] {
        worker.send(letter, &news, b"");
    }
    worker.pong().await?;
    worker.pong().await?;
    worker.silence(QUIET).await
}

async fn stray_cancel(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for reason in ["deadline", "client_left", "shutdown"] {
        worker.cancel(UNUSED_ID, reason);
        worker.flow(UNUSED_ID, 1);
    }
    worker.ping().await
}

async fn unusable_arguments(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (function, arguments) = wrong_call(&worker)?;
    // The second call shows that the worker has survived the first.
    for _ in 0..2 {
        let call = worker.call(&function, &arguments);
        let expected = format!("a reply or an error to call {call} of {function:?}");
        loop {
            match worker.receive(&expected).await? {
                FromWorker::Piece { id, .. } if id == call => {}
                FromWorker::Reply { id, .. } | FromWorker::Error { id, .. } if id == Some(call) => {
                    break;
                }
                other => return unexpected(expected, describe(&other)),
            }
        }
        worker.silence(QUIET).await?;
    }
    Ok(())
}

async fn quit(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    worker.send(b'Q', &json!({}), b"");
    worker.launched.exit_with(0).await
}

async fn quit_before_welcome(bench: &Bench) -> Verdict {
    let mut worker = bench.hello("1").await?;
    worker.send(b'Q', &json!({}), b"");
    worker.launched.exit_with(0).await
}

async fn quit_after_call(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let mut frames = BytesMut::from(&call_with_wrong_types(&mut worker)?[..]);
    frames.extend_from_slice(&frame(b'Q', &json!({}), b""));
    worker.launched.write(frames);
    answered(&mut worker).await?;
    worker.launched.exit_with(0).await
}

async fn end_of_input(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    worker.launched.close_input();
    worker.launched.exit_with(0).await
}

async fn end_after_call(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = call_with_wrong_types(&mut worker)?;
    worker.launched.write(call);
    worker.launched.close_input();
    answered(&mut worker).await?;
    worker.launched.exit_with(0).await
}

/// Waits for some answer; which, is judged elsewhere.
async fn answered(worker: &mut Worker) -> Verdict {
    let expected = "an answer to the call";
    loop {
        match worker.receive(expected).await? {
            FromWorker::Piece { .. } => {}
            FromWorker::Reply { .. } | FromWorker::Error { .. } => return Ok(()),
            other => return unexpected(expected, describe(&other)),
        }
    }
}

fn call_with_wrong_types(worker: &mut Worker) -> Verdict<bytes::Bytes> {
    let (function, arguments) = wrong_call(worker)?;
    let payload = arguments.to_string();
    Ok(worker
        .call_frame(&function, payload.as_bytes(), json!({}))
        .0)
}

/// A call that can do no harm in a chassis that checks types, and little in another: an idempotent
/// function is taken if there is one, and one that answers in one piece.
fn wrong_call(worker: &Worker) -> Verdict<(String, Value)> {
    let functions = worker.description.functions.iter();
    let calls = functions.filter_map(|function| Some((function, wrong_arguments(function)?)));
    let best = calls.max_by_key(|(function, _)| (function.idempotent, !function.stream));
    best.map(|(function, arguments)| (function.name.to_string(), arguments))
        .ok_or_else(|| {
            let names = worker.description.functions.iter().map(Function::signature);
            let names = shown(names.collect::<Vec<_>>().join(", "));
            Trouble::Skipped(format!(
                "no function has a parameter whose type could be wrong: {names}"
            ))
        })
}

/// Arguments of the wrong types; none if no value would be wrong.
fn wrong_arguments(function: &Function) -> Option<Value> {
    let mut arguments = Map::new();
    let mut wrong = false;
    for parameter in &function.parameters {
        let value = wrong_value(&parameter.r#type);
        wrong |= value.is_some();
        if parameter.required || value.is_some() {
            arguments.insert(parameter.name.to_string(), value.unwrap_or_default());
        }
    }
    wrong.then_some(Value::Object(arguments))
}

fn wrong_value(expected: &Type) -> Option<Value> {
    match expected.required().0 {
        Type::Any => None,
        Type::String => Some(json!({"unusable": [1]})),
        _ => Some(json!("unusable")),
    }
}
