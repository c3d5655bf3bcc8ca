//! The conformance worker with several slots: calls that run side by side leave each other alone.
//!
//! It is started with [`SLOTS_VARIABLE`], which is all that makes it another worker than before.

use super::calls::same;
use super::case::{Case, cases};
use super::launch::{Bench, QUIET};
use super::verdict::{Verdict, expect, shown, unexpected};
use super::worker::{End, Welcome, Worker, describe, json_value};
use manager::dialect::FromWorker;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Tells the conformance worker how many slots to announce.
pub const SLOTS_VARIABLE: &str = "KATAMARI_CONFORMANCE_SLOTS";

/// How many these are. Enough for two calls that wait, one that runs, and a free one.
pub const SLOTS: u16 = 4;

/// Milliseconds for a call that must not end by itself.
const FOR_EVER_MS: u64 = 3_600_000;

/// Calls that keep all slots busy one after another.
const MANY: u64 = 1000;

/// Bytes of answers that cannot be written at once, so that a second may get in between.
const BIG_BYTES: usize = 1024 * 1024;

/// What streams start with where a case is about credit: room for one of [`LETTERS`].
const CREDIT: usize = 300;

/// Letters of a piece.
const LETTERS: usize = 398;

/// The cases.
pub const CASES: &[Case] = cases! {
    slots_announced => "announces the slots that it is told",
    slots_out_of_order => "answers a call while others that came before it run",
    slots_full => "keeps every slot busy, and answers a thousand calls once each",
    slots_cancel => "lets a cancel reach the one call it is for",
    slots_remaining => "tells each of several calls its own remaining time",
    slots_ping => "answers a ping while calls run",
    slots_failure => "fails one call, and finishes the others",
    slots_big => "never mixes the frames of answers that are 1 MiB long",
    slots_credit => "keeps the credit of several streams apart",
    slots_nested => "brings each nested answer to the call that asked",
    slots_last => "goes on after an answer with `last`, until it is told to quit",
    slots_quit => "told to quit, finishes every call that it has",
    slots_end_of_input => "at the end of descriptor 3, finishes every call that it has",
};

/// Whether the worker takes its number of slots from the environment.
pub async fn are_taken(bench: &Bench) -> bool {
    let worker = bench.hello("1").await;
    // One that says no hello now fails the first case, which says more.
    worker.map_or(true, |worker| worker.slots > 1)
}

async fn slots_announced(bench: &Bench) -> Verdict {
    let worker = bench.worker().await?;
    let expected = format!("{SLOTS} slots with {SLOTS_VARIABLE}={SLOTS}");
    expect(worker.slots == SLOTS, expected, worker.slots)
}

/// Starts sleeps that only a cancel ends.
fn sleep_for_ever(worker: &mut Worker, count: u16) -> Vec<u64> {
    let arguments = json!({"ms": FOR_EVER_MS});
    (0..count)
        .map(|_| worker.call("sleep", &arguments))
        .collect()
}

/// Cancels a sleep, which must end and be the next to do so.
async fn cancel_sleep(worker: &mut Worker, call: u64) -> Verdict {
    worker.cancel(call, "deadline");
    let (message, _) = worker.error(call).await?;
    let expected = format!("the error \"cancelled\" to call {call}");
    expect(message == "cancelled", expected, shown(message))
}

/// An echo, whose answer must come next.
async fn echo(worker: &mut Worker, value: Value) -> Verdict {
    let got = worker.result("echo", json!({"value": value})).await?;
    expect(same(&got, &value), shown(&value), shown(&got))
}

/// The replies to these calls, in whatever order they come.
async fn replies(worker: &mut Worker, calls: &[u64]) -> Verdict<BTreeMap<u64, Value>> {
    let mut got = BTreeMap::new();
    while got.len() < calls.len() {
        let left = calls.iter().filter(|call| !got.contains_key(*call));
        let expected = format!("a reply to one of the calls {:?}", left.collect::<Vec<_>>());
        match worker.receive(&expected).await? {
            FromWorker::Reply {
                id: Some(id),
                payload,
                ..
            } if calls.contains(&id) && !got.contains_key(&id) => {
                got.insert(id, json_value(&payload)?);
            }
            other => return unexpected(expected, describe(&other)),
        }
    }
    Ok(got)
}

async fn slots_out_of_order(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let sleeps = sleep_for_ever(&mut worker, SLOTS - 1);
    for number in 0..3 {
        echo(&mut worker, json!(number)).await?;
    }
    for call in sleeps.into_iter().rev() {
        cancel_sleep(&mut worker, call).await?;
    }
    echo(&mut worker, json!("alive")).await
}

async fn slots_full(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let mut running = BTreeMap::new();
    for number in 0..MANY + u64::from(SLOTS) {
        if running.len() == usize::from(SLOTS) || number >= MANY {
            let expected = format!("a reply to one of the calls {:?}", running.keys());
            let (id, payload) = match worker.receive(&expected).await? {
                FromWorker::Reply {
                    id: Some(id),
                    payload,
                    ..
                } => (id, payload),
                other => return unexpected(expected, describe(&other)),
            };
            let Some(value) = running.remove(&id) else {
                return unexpected(expected, format_args!("one to call {id}"));
            };
            let got = json_value(&payload)?;
            expect(same(&got, &value), shown(&value), shown(&got))?;
        }
        if number < MANY {
            let value = json!({"number": number});
            running.insert(worker.call("echo", &json!([value])), value);
        }
    }
    worker.silence(QUIET).await
}

async fn slots_cancel(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let sleeps = sleep_for_ever(&mut worker, SLOTS);
    let (last, others) = sleeps.split_last().expect("there are several slots");
    cancel_sleep(&mut worker, *last).await?;
    worker.silence(QUIET).await?;
    // Its slot is free, and what takes it is not cancelled.
    let call = worker.call("sleep", &json!({"ms": 50}));
    worker.cancel(*last, "deadline");
    let got = worker.reply(call).await?;
    expect(got == json!("slept"), "\"slept\"", shown(&got))?;
    for call in others {
        cancel_sleep(&mut worker, *call).await?;
    }
    Ok(())
}

async fn slots_remaining(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    sleep_for_ever(&mut worker, SLOTS - 2);
    let times = [50_000, 20_000].map(|timeout_ms| {
        let more = json!({"timeout_ms": timeout_ms});
        (
            worker.call_with("remaining", b"{}", more),
            timeout_ms - 10_000..=timeout_ms,
        )
    });
    let calls = times.clone().map(|(call, _)| call);
    let got = replies(&mut worker, &calls).await?;
    for (call, range) in times {
        let got = &got[&call];
        expect(
            got.as_u64().is_some_and(|ms| range.contains(&ms)),
            format_args!("an integer from {} to {}", range.start(), range.end()),
            shown(got),
        )?;
    }
    Ok(())
}

async fn slots_ping(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let sleeps = sleep_for_ever(&mut worker, SLOTS - 1);
    worker.ping().await?;
    for call in sleeps {
        cancel_sleep(&mut worker, call).await?;
    }
    worker.ping().await
}

async fn slots_failure(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let sleeps = sleep_for_ever(&mut worker, SLOTS - 1);
    for _ in 0..2 * SLOTS {
        let call = worker.call("fail", &json!({"message": "on purpose"}));
        worker.error(call).await?;
    }
    for call in sleeps {
        cancel_sleep(&mut worker, call).await?;
    }
    Ok(())
}

async fn slots_big(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let values = ["a", "b", "c", "d"].map(|letter| json!(letter.repeat(BIG_BYTES)));
    let calls = values
        .clone()
        .map(|value| worker.call("echo", &json!([value])));
    let got = replies(&mut worker, &calls).await?;
    for (call, value) in calls.iter().zip(&values) {
        expect(got[call] == *value, shown(value), shown(&got[call]))?;
    }
    Ok(())
}

async fn slots_credit(bench: &Bench) -> Verdict {
    let welcome = Welcome {
        stream_credit: CREDIT,
        ..Welcome::default()
    };
    let mut worker = bench.welcomed(welcome).await?;
    let arguments = json!({"to": 2, "size": LETTERS});
    let mut streams = Vec::new();
    for _ in 0..2 {
        let call = worker.call("count", &arguments);
        worker.piece(call).await?;
        streams.push(call);
    }
    worker.silence(QUIET).await?;
    echo(&mut worker, json!("alive")).await?;
    for call in streams.into_iter().rev() {
        worker.flow(call, 1000);
        worker.piece(call).await?;
        match worker.end(call).await? {
            End::Reply { .. } => {}
            End::Error { message, .. } => return unexpected("a reply", shown(message)),
        }
        worker.silence(QUIET).await?;
    }
    Ok(())
}

async fn slots_nested(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let arguments = json!({"kind": "other", "function": "think", "arguments": {}});
    let mut asked = Vec::new();
    for _ in 0..SLOTS - 1 {
        let call = worker.call("nested", &arguments);
        asked.push((call, worker.nested(call).await?.id));
    }
    echo(&mut worker, json!("alive")).await?;
    for (call, nested) in asked.into_iter().rev() {
        worker.answer(nested, &json!(call));
        let got = worker.reply(call).await?;
        let expected = json!({"result": call});
        expect(got == expected, shown(&expected), shown(&got))?;
    }
    Ok(())
}

async fn slots_last(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let sleeps = sleep_for_ever(&mut worker, 2);
    let call = worker.call("last", &json!({"value": 1}));
    match worker.end(call).await? {
        End::Reply { last: true, .. } => {}
        End::Reply { .. } => return unexpected("a reply with \"last\": true", "one without"),
        End::Error { message, .. } => return unexpected("a reply", shown(message)),
    }
    // This one was assigned before the manager read of it.
    echo(&mut worker, json!("on its way")).await?;
    for call in sleeps {
        cancel_sleep(&mut worker, call).await?;
    }
    worker.silence(QUIET).await?;
    worker.send(b'Q', &json!({}), b"");
    worker.launched.exit_with(0).await
}

/// Sleeps that end by themselves, the last to come first.
fn sleep(worker: &mut Worker) -> Vec<u64> {
    let times = (1..=u64::from(SLOTS)).rev();
    times
        .map(|number| worker.call("sleep", &json!({"ms": number * 100})))
        .collect()
}

/// All of them must have slept.
async fn slept(worker: &mut Worker, calls: &[u64]) -> Verdict {
    let got = replies(worker, calls).await?;
    match got.values().find(|value| **value != json!("slept")) {
        Some(value) => unexpected("\"slept\"", shown(value)),
        None => Ok(()),
    }
}

async fn slots_quit(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let calls = sleep(&mut worker);
    worker.send(b'Q', &json!({}), b"");
    slept(&mut worker, &calls).await?;
    worker.launched.exit_with(0).await
}

async fn slots_end_of_input(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let calls = sleep(&mut worker);
    worker.launched.close_input();
    slept(&mut worker, &calls).await?;
    worker.launched.exit_with(0).await
}
