//! The conformance worker's calls: what it announces, values both ways, errors, what it prints.

use super::case::{Case, cases};
use super::launch::{Bench, PATIENCE, QUIET};
use super::verdict::{Trouble, Verdict, expect, shown, unexpected};
use super::worker::{End, Welcome, Worker, text};
use pool::Type;
use serde_json::{Value, json};
use std::time::Duration;
use term::Payload;
use tokio::time::Instant;

/// What must work: values of several MiB.
const BIG_BYTES: usize = 4 * 1024 * 1024;

/// How deep values must nest at least. Parsers stop at some depth; 128 is the lowest in wide use.
const DEPTH: usize = 100;

/// Bytes of an error's message.
const MESSAGE_MAX: usize = 8 * 1024;

/// The largest id that the protocol allows.
const ID_MAX: u64 = (1 << 53) - 1;

/// A frame_max below the default, for a case that exceeds it.
const SMALL_FRAME: usize = 100_000;

/// The cases.
pub const CASES: &[Case] = cases! {
    announcement => "announces the functions of the conformance worker, with names, types, doc",
    values => "takes and returns every kind of JSON value unchanged",
    positional => "binds positional and named arguments, in any order, with optional ones left out",
    white_space => "takes JSON with white space and escapes",
    big_value => "takes and returns 4 MiB",
    deep_value => "takes and returns values nested 100 deep",
    impossible_values => "answers numbers and text that cannot be represented, and lives on",
    raw_payload => "answers a payload that is not JSON, and lives on",
    one_answer => "answers a call exactly once",
    ids => "answers with the id of the call, from 0 to 2^53 - 1",
    many_calls => "answers a thousand calls in a row",
    unknown_keys_in_call => "ignores keys in the header of a call that it does not know",
    call_byte_by_byte => "understands a call that comes byte by byte",
    failure => "turns an exception into an error with its message and type, and lives on",
    long_message => "cuts a message that is too long, and lives on",
    prints => "prints on stdout and stderr without breaking the protocol",
    no_leak => "keeps descriptors 3 and 4 from the programs that it starts",
    frame_max => "fails a call whose answer would exceed frame_max, and lives on",
};

async fn announcement(bench: &Bench) -> Verdict {
    let worker = bench.worker().await?;
    let details = &worker.description.details;
    expect(
        details
            .versions
            .get("chassis")
            .is_some_and(|it| !it.is_empty()),
        "the version key \"chassis\"",
        format_args!("{:?}", details.versions),
    )?;
    expect(
        details.tags.contains("conformance"),
        "the tag \"conformance\"",
        format_args!("{:?}", details.tags),
    )?;
    expect(worker.slots == 1, "one slot", worker.slots)?;
    for (signature, idempotent, stream) in [
        ("echo(value: any)", true, false),
        ("add(a: integer, b: integer, c?: integer)", true, false),
        ("fail(message: string)", false, false),
        ("sleep(ms: integer)", false, false),
        ("remaining()", false, false),
        ("count(to: integer, size: integer)", false, true),
        (
            "nested(kind: string, function: string, arguments: object)",
            false,
            false,
        ),
        ("last(value: any)", false, false),
        ("print(text: string)", false, false),
        ("leak()", false, false),
        ("measure()", false, false),
    ] {
        let name = signature.split('(').next().unwrap_or_default();
        let Some(function) = worker.description.function(name) else {
            return unexpected(signature, "no such function");
        };
        let parameters = function.parameters.iter().map(|parameter| {
            // That it may be left out, or may be null too, are both an optional parameter.
            let (mark, value) = if parameter.required {
                ("", &parameter.r#type)
            } else {
                ("?", parameter.r#type.required().0)
            };
            // Chassis may know more of an object than that it is one.
            let value = match value {
                Type::Map(_) => &Type::Object,
                other => other,
            };
            format!("{}{mark}: {value}", parameter.name)
        });
        let got = format!("{name}({})", parameters.collect::<Vec<_>>().join(", "));
        expect(got == signature, signature, &got)?;
        let promise = |idempotent, stream| {
            format!("{name} with idempotent = {idempotent}, stream = {stream}")
        };
        expect(
            (function.idempotent, function.stream) == (idempotent, stream),
            promise(idempotent, stream),
            promise(function.idempotent, function.stream),
        )?;
        let reads = name == "measure";
        expect(
            function.input == reads,
            format_args!("{name} with input = {reads}"),
            function.input,
        )?;
    }
    let add = worker.description.function("add");
    let doc = add.map(|add| &*add.doc).unwrap_or_default();
    expect(
        doc == "Adds.",
        "the doc \"Adds.\" of add",
        format_args!("{doc:?}"),
    )
}

/// Echoes a value, which must come back as it is.
async fn echo(worker: &mut Worker, value: Value) -> Verdict {
    let got = worker.result("echo", json!({"value": value})).await?;
    expect(same(&got, &value), shown(&value), shown(&got))
}

/// Equal, where `1` and `1.0` are the same number: not every language tells them apart.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let equal = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(equal)
        }
        _ => a == b,
    }
}

/// The worker must still answer.
pub async fn alive(worker: &mut Worker) -> Verdict {
    echo(worker, json!("alive")).await
}

async fn values(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for value in [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(ID_MAX),
        json!(-9_007_199_254_740_991_i64),
        json!(0.1),
        json!(-2.5e-7),
        json!(1e300),
        json!(""),
        json!("plain"),
        json!("\"quotes\", back\\slash, /, tab\t, line\nbreak\r, \u{0} nul, \u{1f} and \u{7f}"),
        json!("gr\u{fc}\u{df} \u{4f60}\u{597d} \u{1f98a} \u{2028}\u{2029} e\u{301} \u{feff}"),
        json!([]),
        json!({}),
        json!([[], {}, [[]], {"a": {}}]),
        json!({"": 0, "\u{e9}\"\n": 1, "a b": [1, 2.5, "x", null, true, {"b": []}]}),
    ] {
        echo(&mut worker, value).await?;
    }
    Ok(())
}

async fn positional(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for (function, arguments, result) in [
        ("echo", json!(["one"]), json!("one")),
        ("add", json!([1, 2]), json!(3)),
        ("add", json!([1, 2, 4]), json!(7)),
        ("add", json!({"b": 2, "a": 1}), json!(3)),
        ("add", json!({"c": 4, "b": 2, "a": 1}), json!(7)),
        ("sleep", json!([0]), json!("slept")),
    ] {
        let got = worker.result(function, arguments.clone()).await?;
        let expected = format!("{result} from {function} {arguments}");
        expect(same(&got, &result), expected, shown(&got))?;
    }
    Ok(())
}

async fn white_space(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let arguments = b" {\r\n\t\"\\u0076alue\" : [ 1 , \"\\ud83e\\udd8a\\/\" ] }\n ";
    let call = worker.call_with("echo", arguments, json!({}));
    let got = worker.reply(call).await?;
    let expected = json!([1, "\u{1f98a}/"]);
    expect(same(&got, &expected), &expected, &got)
}

async fn big_value(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    echo(
        &mut worker,
        json!("0123456789abcdef".repeat(BIG_BYTES / 16)),
    )
    .await?;
    echo(
        &mut worker,
        json!(vec!["\u{e9}\n\u{1f98a}"; BIG_BYTES / 16]),
    )
    .await
}

async fn deep_value(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let value = serde_json::from_str(&text).map_err(|e| Trouble::Failed(e.to_string()))?;
        echo(&mut worker, value).await?;
    }
    Ok(())
}

async fn impossible_values(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for value in [
        "1e999",
        r#""\ud800""#,
        "1234567890123456789012345678901234567890",
    ] {
        let arguments = format!("{{\"value\":{value}}}");
        let call = worker.call_with("echo", arguments.as_bytes(), json!({}));
        worker.end(call).await?;
    }
    alive(&mut worker).await
}

async fn raw_payload(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let octets: Vec<u8> = (0..=255).collect();
    let more = json!({"content_type": "application/octet-stream"});
    let call = worker.call_with("echo", &octets, more);
    if let End::Reply { payload, .. } = worker.end(call).await?
        && !matches!(payload, Payload::Json(_))
    {
        let got = shown(text(&payload));
        expect(
            payload.bytes()[..] == octets,
            "the bytes as they were sent",
            got,
        )?;
    }
    alive(&mut worker).await
}

async fn one_answer(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    alive(&mut worker).await?;
    worker.silence(QUIET).await?;
    worker.ping().await
}

async fn ids(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for id in [0, ID_MAX, 1, 1 << 32] {
        let call = worker.call_with("echo", b"[1]", json!({"id": id}));
        worker.reply(call).await?;
    }
    Ok(())
}

async fn many_calls(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for number in 0..1000 {
        echo(&mut worker, json!(number)).await?;
    }
    Ok(())
}

async fn unknown_keys_in_call(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let more = json!({"key": "k", "news": {"id": 9, "function": ["fail"]}, "class": "high"});
    let call = worker.call_with("echo", b"[5]", more);
    let got = worker.reply(call).await?;
    expect(same(&got, &json!(5)), 5, shown(&got))
}

async fn call_byte_by_byte(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (frame, call) = worker.call_frame("add", b"{\"a\":1,\"b\":2}", json!({}));
    worker.launched.write_byte_by_byte(frame);
    let got = worker.reply(call).await?;
    expect(same(&got, &json!(3)), 3, shown(&got))
}

async fn failure(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let message = "on purpose: \"gr\u{fc}\u{df}\" \\ \u{1f98a}\nsecond line";
    let call = worker.call("fail", &json!({"message": message}));
    let (got, type_name) = worker.error(call).await?;
    let expected = format!("the message {message:?}");
    expect(got == message, expected, format_args!("{got:?}"))?;
    expect(
        type_name.is_some_and(|name| !name.is_empty()),
        "the exception's type",
        "none",
    )?;
    let call = worker.call("fail", &json!({"message": ""}));
    worker.error(call).await?;
    alive(&mut worker).await
}

async fn long_message(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for letter in ["x", "\u{e9}", "\u{1}"] {
        let message = letter.repeat(100_000);
        let call = worker.call("fail", &json!({"message": message}));
        let (got, _) = worker.error(call).await?;
        let bytes = got.len();
        expect(
            bytes <= MESSAGE_MAX,
            format_args!("a message of at most {MESSAGE_MAX} bytes"),
            format_args!("one of {bytes}"),
        )?;
        expect(
            got.starts_with(&letter.repeat(1000)),
            "the beginning of the message",
            format_args!("{:?}", shown(&got)),
        )?;
    }
    alive(&mut worker).await
}

async fn prints(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let text = "a line for the log, \u{1f98a}";
    let got = worker.result("print", json!({"text": text})).await?;
    expect(got.is_null(), "null", shown(&got))?;
    let long = "0123456789".repeat(100_000);
    worker.result("print", json!({"text": long})).await?;
    alive(&mut worker).await?;
    worker.send(b'Q', &json!({}), b"");
    worker.launched.exit_with(0).await?;
    let until = Instant::now() + PATIENCE;
    for (name, printed) in [
        ("stdout", &worker.launched.stdout),
        ("stderr", &bench.stderr),
    ] {
        // What was printed may still be on its way through the pipe.
        while !printed.text().contains(&long) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let got = printed.text();
        let expected = format!("the texts on {name}");
        let all = got.contains(text) && got.contains(&long);
        expect(all, expected, format_args!("{:?}", shown(&got)))?;
    }
    Ok(())
}

async fn no_leak(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let got = worker.result("leak", json!({})).await?;
    expect(got == json!(true), "true from leak", shown(&got))
}

async fn frame_max(bench: &Bench) -> Verdict {
    let welcome = Welcome {
        frame_max: SMALL_FRAME,
        ..Welcome::default()
    };
    let mut worker = bench.welcomed(welcome).await?;
    let call = worker.call("count", &json!({"to": 1, "size": SMALL_FRAME}));
    worker.error(call).await?;
    let call = worker.call("fail", &json!({"message": "x".repeat(SMALL_FRAME / 2)}));
    worker.error(call).await?;
    echo(&mut worker, json!("x".repeat(SMALL_FRAME / 2))).await
}
