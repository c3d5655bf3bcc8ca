//! The conformance worker's calls of the cluster, which is this file.

use super::case::{Case, cases};
use super::launch::{Bench, QUIET};
use super::verdict::{Verdict, expect, shown};
use super::worker::{Worker, json_value};
use manager::dialect::Nested;
use serde_json::{Value, json};

/// Bytes of a big answer.
const BIG_BYTES: usize = 1024 * 1024;

/// The cases.
pub const CASES: &[Case] = cases! {
    nested_call => "calls the cluster from inside a function, and gets the result",
    nested_error => "gets the code of a nested call that failed",
    nested_twice => "makes one nested call after another",
    nested_big => "takes a nested answer of 1 MiB",
    nested_unknown_keys => "ignores keys of a nested answer that it does not know",
    nested_byte_by_byte => "understands a nested answer that comes byte by byte",
    ping_while_nested => "answers a ping while it waits for a nested answer",
    cancel_while_nested => "survives a cancel while it waits for a nested answer",
    quit_while_nested => "told to quit while it waits for a nested answer, finishes the call",
};

/// Lets the worker make a nested call, with this as the only argument. Gives both numbers.
async fn ask(worker: &mut Worker, argument: &Value) -> Verdict<(u64, Nested)> {
    let arguments = json!({"text": argument});
    let call = json!({"kind": "other", "function": "think", "arguments": arguments});
    let call = worker.call("nested", &call);
    let nested = worker.nested(call).await?;
    let kind = nested.details.kind.as_deref().unwrap_or_default();
    expect(
        kind == "other",
        "the kind \"other\" in the details",
        format_args!("{kind:?}"),
    )?;
    expect(
        nested.function == "think",
        "the function \"think\"",
        format_args!("{:?}", nested.function),
    )?;
    let got = json_value(&nested.payload)?;
    expect(got == arguments, shown(&arguments), shown(&got))?;
    Ok((call, nested))
}

/// The nested call's result must be what the function returns.
async fn passed_on(worker: &mut Worker, call: u64, result: &Value) -> Verdict {
    let got = worker.reply(call).await?;
    let expected = json!({"result": result});
    expect(got == expected, shown(&expected), shown(&got))
}

async fn nested_call(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (call, nested) = ask(&mut worker, &json!("h\u{e9} \u{1f98a}")).await?;
    worker.silence(QUIET).await?;
    let result = json!({"thoughts": ["\u{e9}", 1, null]});
    worker.answer(nested.id, &result);
    passed_on(&mut worker, call, &result).await?;
    worker.ping().await
}

async fn nested_error(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for code in ["no_pool", "deadline", "not_allowed", "worker_error"] {
        let (call, nested) = ask(&mut worker, &json!(1)).await?;
        worker.refuse(nested.id, code);
        let got = worker.reply(call).await?;
        let expected = json!({"error": code});
        expect(got == expected, &expected, shown(&got))?;
    }
    Ok(())
}

async fn nested_twice(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for number in 0..20 {
        let (call, nested) = ask(&mut worker, &json!(number)).await?;
        worker.answer(nested.id, &json!([number]));
        passed_on(&mut worker, call, &json!([number])).await?;
    }
    Ok(())
}

async fn nested_big(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let big = json!("x".repeat(BIG_BYTES));
    let (call, nested) = ask(&mut worker, &big).await?;
    worker.answer(nested.id, &big);
    passed_on(&mut worker, call, &big).await
}

async fn nested_unknown_keys(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (call, nested) = ask(&mut worker, &json!(1)).await?;
    let header = json!({"news": [{"id": 5}], "id": nested.id, "worker": "w"});
    worker.send(b'A', &header, b"2");
    passed_on(&mut worker, call, &json!(2)).await
}

async fn nested_byte_by_byte(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (call, nested) = ask(&mut worker, &json!(1)).await?;
    let answer = super::worker::frame(b'A', &json!({"id": nested.id}), b"[1, 2]");
    worker.launched.write_byte_by_byte(answer);
    passed_on(&mut worker, call, &json!([1, 2])).await
}

async fn ping_while_nested(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (call, nested) = ask(&mut worker, &json!(1)).await?;
    worker.ping().await?;
    worker.answer(nested.id, &json!(2));
    passed_on(&mut worker, call, &json!(2)).await
}

async fn cancel_while_nested(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (call, nested) = ask(&mut worker, &json!(1)).await?;
    worker.cancel(call, "deadline");
    // The nested call has the same deadline, so its error is on the way too.
    worker.refuse(nested.id, "deadline");
    worker.end(call).await?;
    let got = worker.result("echo", json!([1])).await?;
    expect(got == json!(1), 1, shown(&got))
}

async fn quit_while_nested(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let (call, nested) = ask(&mut worker, &json!(1)).await?;
    worker.send(b'Q', &json!({}), b"");
    worker.answer(nested.id, &json!(2));
    passed_on(&mut worker, call, &json!(2)).await?;
    worker.launched.exit_with(0).await
}
