//! What the conformance worker's running functions see: time, cancellation, and the end.

use super::calls::{alive, same};
use super::case::{Case, cases};
use super::launch::{Bench, PATIENCE, QUIET};
use super::verdict::{Verdict, expect, shown, unexpected};
use super::worker::{End, Worker, describe, json_value};
use manager::dialect::FromWorker;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How soon a cancelled call must end: `stop_timeout`'s default.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Milliseconds for a call that must not end by itself.
const FOR_EVER_MS: u64 = 3_600_000;

/// The cases.
pub const CASES: &[Case] = cases! {
    sleeping => "takes the time that a function takes",
    remaining_time => "tells a function the time that remains",
    cancelled => "lets a running function see that it was cancelled, in time",
    cancel_reasons => "knows every reason for a cancel",
    late_cancel => "ignores a cancel for a call that has ended",
    quit_while_running => "told to quit while a function runs, finishes it and exits with status 0",
    end_while_running => "at the end of descriptor 3, finishes the running function, then exits with 0",
    last_answer => "exits with status 0 after an answer with `last`",
    quit_after_last => "is not disturbed by a quit after an answer with `last`",
};

async fn sleeping(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let start = Instant::now();
    let got = worker.result("sleep", json!({"ms": 200})).await?;
    expect(got == json!("slept"), "\"slept\"", shown(&got))?;
    let took = start.elapsed();
    let expected = "an answer after 200 ms";
    expect(
        took >= Duration::from_millis(200),
        expected,
        format_args!("one after {took:?}"),
    )
}

async fn remaining_time(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for timeout_ms in [60_000, 20_000, 7_000] {
        let call = worker.call_with("remaining", b"{}", json!({"timeout_ms": timeout_ms}));
        let got = worker.reply(call).await?;
        let lowest = timeout_ms - PATIENCE.as_millis() as u64;
        expect(
            got.as_u64()
                .is_some_and(|ms| (lowest..=timeout_ms).contains(&ms)),
            format_args!("an integer from {lowest} to {timeout_ms}"),
            shown(&got),
        )?;
    }
    Ok(())
}

/// Starts a sleep that only a cancel ends.
async fn sleep_for_ever(worker: &mut Worker) -> Verdict<u64> {
    let call = worker.call("sleep", &json!({"ms": FOR_EVER_MS}));
    // Most of this time the function runs, which is the point; nothing depends on how much.
    worker.silence(QUIET / 3).await?;
    Ok(call)
}

/// Cancels a sleep, which must end in time.
async fn cancel_sleep(worker: &mut Worker, call: u64, reason: &str) -> Verdict {
    worker.cancel(call, reason);
    let expected = format!("the error \"cancelled\" to call {call} after a cancel ({reason})");
    match worker.receive_within(&expected, STOP_MAX).await? {
        FromWorker::Error { id, message, .. } if id == Some(call) && message == "cancelled" => {
            Ok(())
        }
        other => unexpected(expected, describe(&other)),
    }
}

async fn cancelled(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = sleep_for_ever(&mut worker).await?;
    cancel_sleep(&mut worker, call, "deadline").await?;
    alive(&mut worker).await
}

async fn cancel_reasons(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for reason in ["client_left", "shutdown", "some_news"] {
        // Without a wait: the cancel may be there before the function runs.
        let call = worker.call("sleep", &json!({"ms": FOR_EVER_MS}));
        cancel_sleep(&mut worker, call, reason).await?;
    }
    alive(&mut worker).await
}

async fn late_cancel(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = worker.call("echo", &json!([1]));
    worker.reply(call).await?;
    worker.cancel(call, "client_left");
    worker.flow(call, 1000);
    let got = worker.result("sleep", json!({"ms": 50})).await?;
    expect(got == json!("slept"), "\"slept\"", shown(&got))?;
    worker.silence(QUIET).await
}

async fn quit_while_running(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = worker.call("sleep", &json!({"ms": 300}));
    worker.send(b'Q', &json!({}), b"");
    let got = worker.reply(call).await?;
    expect(got == json!("slept"), "\"slept\"", shown(&got))?;
    worker.launched.exit_with(0).await
}

async fn end_while_running(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = worker.call("sleep", &json!({"ms": 300}));
    worker.launched.close_input();
    let got = worker.reply(call).await?;
    expect(got == json!("slept"), "\"slept\"", shown(&got))?;
    worker.launched.exit_with(0).await
}

/// Lets the worker give its last answer.
async fn last(bench: &Bench) -> Verdict<Worker> {
    let mut worker = bench.worker().await?;
    let call = worker.call("last", &json!({"value": {"bye": 1}}));
    match worker.end(call).await? {
        End::Reply {
            payload,
            last: true,
        } => {
            let got = json_value(&payload)?;
            expect(same(&got, &json!({"bye": 1})), "{\"bye\":1}", shown(&got))?;
            Ok(worker)
        }
        End::Reply { .. } => unexpected("a reply with \"last\": true", "one without"),
        End::Error { message, .. } => unexpected("a reply", shown(message)),
    }
}

async fn last_answer(bench: &Bench) -> Verdict {
    last(bench).await?.launched.exit_with(0).await
}

async fn quit_after_last(bench: &Bench) -> Verdict {
    let mut worker = last(bench).await?;
    worker.send(b'Q', &json!({}), b"");
    worker.launched.exit_with(0).await
}
