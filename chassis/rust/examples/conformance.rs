//! The conformance worker, by which `katamari check` tests this chassis in full. Its functions are
//! those of the table in `docs/protocol/worker.md`.

use katamari_worker::{Call, Cancelled, Failure, Function, RawValue, Result, Stream, Worker};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Between two looks at the cancellation.
const STEP: Duration = Duration::from_millis(10);

#[derive(Deserialize)]
struct Echo {
    value: Box<RawValue>,
}

fn echo(_: &Call, arguments: Echo) -> Result<Box<RawValue>> {
    Ok(arguments.value)
}

#[derive(Deserialize)]
struct Add {
    a: i64,
    b: i64,
    c: Option<i64>,
}

fn add(_: &Call, Add { a, b, c }: Add) -> Result<i64> {
    let sum = a
        .checked_add(b)
        .and_then(|it| it.checked_add(c.unwrap_or(0)));
    sum.ok_or_else(|| "the sum is too large".into())
}

#[derive(Deserialize)]
struct Fail {
    message: String,
}

fn fail(_: &Call, arguments: Fail) -> Result<(), Failure> {
    Err(Failure::new("OnPurpose", arguments.message))
}

#[derive(Deserialize)]
struct Sleep {
    ms: u64,
}

fn sleep(call: &Call, arguments: Sleep) -> Result<&'static str, Cancelled> {
    let end = Instant::now() + Duration::from_millis(arguments.ms);
    // Nobody sends anything here: it is a wait with an end.
    let (_sender, never) = channel::<()>();
    loop {
        call.check_cancelled()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok("slept");
        }
        assert_eq!(
            never.recv_timeout(left.min(STEP)),
            Err(RecvTimeoutError::Timeout)
        );
    }
}

fn remaining(call: &Call, (): ()) -> Result<u64> {
    Ok(u64::try_from(call.remaining().as_millis())?)
}

#[derive(Deserialize)]
struct Count {
    to: u64,
    size: usize,
}

fn count(stream: &Stream, Count { to, size }: Count) -> Result<()> {
    let letters = "x".repeat(size);
    for number in 1..=to {
        if size > 0 {
            stream.send(&letters)?;
        } else {
            stream.send(number)?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Nested {
    kind: String,
    function: String,
    arguments: serde_json::Map<String, Value>,
}

fn nested(call: &Call, asked: Nested) -> Result<Value> {
    let target = format!("{}.{}", asked.kind, asked.function);
    Ok(
        match call.cluster::<Box<RawValue>>(&target, asked.arguments) {
            Ok(result) => json!({"result": result}),
            Err(error) => json!({"error": error.code}),
        },
    )
}

fn last(call: &Call, arguments: Echo) -> Result<Box<RawValue>> {
    call.last();
    Ok(arguments.value)
}

#[derive(Deserialize)]
struct Print {
    text: String,
}

fn print(_: &Call, arguments: Print) -> Result<()> {
    println!("{}", arguments.text);
    eprintln!("{}", arguments.text);
    Ok(())
}

#[derive(Serialize)]
struct Measured {
    bytes: usize,
    sha256: String,
}

fn measure(call: &Call, (): ()) -> Result<Measured> {
    let mut bytes = 0;
    let mut sum = Sha256::new();
    for piece in call.input() {
        let piece = piece?;
        bytes += piece.len();
        sum.update(piece);
    }
    let sum = sum.finalize();
    let sha256 = sum.iter().map(|it| format!("{it:02x}")).collect();
    Ok(Measured { bytes, sha256 })
}

fn leak(_: &Call, (): ()) -> Result<bool> {
    let script = "test ! -e /proc/self/fd/3 && test ! -e /proc/self/fd/4";
    Ok(Command::new("sh").args(["-c", script]).status()?.success())
}

fn main() -> ExitCode {
    let slots = std::env::var("KATAMARI_CONFORMANCE_SLOTS");
    let slots = slots.map_or(1, |slots| slots.parse().expect("a number of slots"));
    Worker::new("conformance")
        .version("chassis", "rust")
        .tag("conformance")
        .slots(slots)
        .function(Function::new("echo").idempotent(), echo)
        .function(
            Function::new("add")
                .doc("Adds.")
                .idempotent()
                .result("integer"),
            add,
        )
        .function(Function::new("fail"), fail)
        .function(Function::new("sleep").result("string"), sleep)
        .function(Function::new("remaining").result("integer"), remaining)
        .stream(Function::new("count"), count)
        .function(Function::new("nested").result("object"), nested)
        .function(Function::new("last"), last)
        .function(Function::new("print"), print)
        .function(Function::new("measure").input().result("object"), measure)
        .function(Function::new("leak").result("boolean"), leak)
        .run()
}
