//! The conformance worker's inputs: what it asks for, what it makes of what comes, and what it does
//! while nothing comes.

use super::calls::alive;
use super::case::{Case, cases};
use super::launch::{Bench, QUIET};
use super::verdict::{Verdict, expect, shown, unexpected};
use super::worker::{CREDIT, Welcome, Worker, describe, json_value};
use manager::dialect::FromWorker;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The function that reads.
const FUNCTION: &str = "measure";

/// Bytes of the largest piece that a manager sends.
const PIECE_MAX: usize = 64 * 1024;

/// Bytes of an input that takes many times its credit.
const LONG: usize = 8 * 1024 * 1024 + 1;

/// The credit of a case where it is smaller than a piece.
const LITTLE_CREDIT: usize = 10_000;

/// The cases.
pub const CASES: &[Case] = cases! {
    input => "reads an input of 8 MiB as it comes, and never asks for more than its credit",
    input_of_single_bytes => "puts together an input that comes byte by byte",
    input_little_credit => "asks for no more than the credit that the welcome allows",
    input_empty => "sees the end of an input that is empty",
    input_absent => "sees an empty input where none comes with the call, and asks for none",
    input_not_read => "ends a call without its input, and ignores what crosses that",
    input_cancel => "sees a cancel while it waits for input, and lives on",
    input_ping => "answers a ping while it waits for input",
    input_quit => "told to quit while it reads, finishes the call",
};

/// Those with several slots.
pub const SLOTS: &[Case] = cases! {
    slots_inputs => "keeps the inputs of several calls apart",
    slots_input_waits => "answers calls while another one waits for its input",
};

/// An input on its way, strictly within its credit.
struct Feed {
    call: u64,
    data: Vec<u8>,
    sent: usize,
    piece_max: usize,
    credit: i64,
    credit_max: i64,
    ended: bool,
}

impl Feed {
    /// Begins a call that reads so many bytes, which differ from those of other calls.
    fn start(worker: &mut Worker, length: usize) -> Self {
        let call = worker.call_with(FUNCTION, b"{}", json!({"input": true}));
        let data = (0..length)
            .map(|at| (at as u64 * 31 + call) as u8)
            .collect();
        Self {
            call,
            data,
            sent: 0,
            piece_max: PIECE_MAX,
            credit: 0,
            credit_max: CREDIT as i64,
            ended: false,
        }
    }

    /// The worker asks for more.
    fn granted(&mut self, bytes: usize) -> Verdict {
        self.credit = self.credit.saturating_add_unsigned(bytes as u64);
        let (call, max) = (self.call, self.credit_max);
        let expected = format!("credit of at most {max} for call {call}");
        expect(self.credit <= max, expected, self.credit)
    }

    /// Sends as much as there is credit for, then the end.
    fn send(&mut self, worker: &Worker) {
        while self.credit > 0 && self.sent < self.data.len() {
            let left = &self.data[self.sent..];
            let piece = &left[..left.len().min(self.piece_max)];
            worker.send(b'I', &json!({"id": self.call}), piece);
            self.sent += piece.len();
            self.credit = self.credit.saturating_sub_unsigned(piece.len() as u64);
        }
        if self.sent == self.data.len() && !self.ended {
            self.ended = true;
            worker.send(b'I', &json!({"id": self.call, "end": true}), b"");
        }
    }
}

/// What the function is to make of an input.
fn result_of(data: &[u8]) -> Value {
    let mut hash = String::new();
    for byte in Sha256::digest(data) {
        write!(hash, "{byte:02x}").expect("writing to memory cannot fail");
    }
    json!({"bytes": data.len(), "sha256": hash})
}

/// Feeds calls until each has ended with what it was to make of its input.
async fn measured(worker: &mut Worker, mut feeds: Vec<Feed>) -> Verdict {
    loop {
        for feed in &mut feeds {
            feed.send(worker);
        }
        if feeds.is_empty() {
            return Ok(());
        }
        let expected = "a grant, or the reply to a call whose input has ended";
        match worker.receive(expected).await? {
            FromWorker::Grant { id, bytes } => {
                if let Some(feed) = feeds.iter_mut().find(|feed| feed.call == id) {
                    feed.granted(bytes)?;
                }
            }
            FromWorker::Reply {
                id: Some(id),
                payload,
                ..
            } if feeds.iter().any(|feed| feed.call == id && feed.ended) => {
                let got = json_value(&payload)?;
                for feed in feeds.extract_if(.., |feed| feed.call == id) {
                    let right = result_of(&feed.data);
                    expect(got == right, shown(&right), shown(&got))?;
                }
            }
            other => return unexpected(expected, describe(&other)),
        }
    }
}

/// Waits until a call asks for input.
async fn asks(worker: &mut Worker, feed: &mut Feed) -> Verdict {
    let expected = format!("a grant to call {}", feed.call);
    match worker.receive(&expected).await? {
        FromWorker::Grant { id, bytes } if id == feed.call => feed.granted(bytes),
        other => unexpected(expected, describe(&other)),
    }
}

async fn input(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for length in [LONG, 1, CREDIT] {
        let feed = Feed::start(&mut worker, length);
        measured(&mut worker, vec![feed]).await?;
    }
    alive(&mut worker).await
}

async fn input_of_single_bytes(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let mut feed = Feed::start(&mut worker, 3_000);
    feed.piece_max = 1;
    measured(&mut worker, vec![feed]).await
}

async fn input_little_credit(bench: &Bench) -> Verdict {
    let welcome = Welcome {
        stream_credit: LITTLE_CREDIT,
        ..Welcome::default()
    };
    let mut worker = bench.welcomed(welcome).await?;
    let mut feed = Feed::start(&mut worker, 1024 * 1024);
    feed.credit_max = LITTLE_CREDIT as i64;
    measured(&mut worker, vec![feed]).await
}

async fn input_empty(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for _ in 0..2 {
        let feed = Feed::start(&mut worker, 0);
        measured(&mut worker, vec![feed]).await?;
    }
    Ok(())
}

async fn input_absent(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = worker.call(FUNCTION, &json!({}));
    let (got, right) = (worker.reply(call).await?, result_of(b""));
    expect(got == right, shown(&right), shown(&got))?;
    worker.silence(QUIET).await
}

async fn input_not_read(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let more = json!({"input": true});
    let call = worker.call_with(FUNCTION, br#"{"no": "such parameter"}"#, more);
    let expected = format!("an error to call {call}, or a grant of one who looks at no names");
    match worker.receive(&expected).await? {
        FromWorker::Error { id: Some(id), .. } if id == call => {}
        FromWorker::Grant { id, .. } if id == call => {
            worker.cancel(call, "client_left");
            worker.error(call).await?;
        }
        other => return unexpected(expected, describe(&other)),
    }
    // It crossed the end of the call.
    worker.send(b'I', &json!({"id": call, "end": true}), b"");
    alive(&mut worker).await?;
    let feed = Feed::start(&mut worker, 100);
    measured(&mut worker, vec![feed]).await
}

async fn input_cancel(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    for reason in ["client_left", "deadline"] {
        let mut feed = Feed::start(&mut worker, 100);
        asks(&mut worker, &mut feed).await?;
        worker.send(b'I', &json!({"id": feed.call}), &feed.data[..10]);
        worker.cancel(feed.call, reason);
        let (message, _) = worker.error(feed.call).await?;
        expect(
            message == "cancelled",
            "the error \"cancelled\"",
            shown(message),
        )?;
        worker.send(b'I', &json!({"id": feed.call}), &feed.data[10..]);
    }
    alive(&mut worker).await?;
    let feed = Feed::start(&mut worker, 100);
    measured(&mut worker, vec![feed]).await
}

async fn input_ping(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let mut feed = Feed::start(&mut worker, 100);
    asks(&mut worker, &mut feed).await?;
    worker.ping().await?;
    worker.silence(QUIET).await?;
    measured(&mut worker, vec![feed]).await
}

async fn input_quit(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let mut feed = Feed::start(&mut worker, 1024 * 1024);
    asks(&mut worker, &mut feed).await?;
    worker.send(b'Q', &json!({}), b"");
    worker.silence(QUIET).await?;
    measured(&mut worker, vec![feed]).await?;
    worker.launched.exit_with(0).await
}

async fn slots_inputs(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let mut feeds = Vec::new();
    for length in [LONG, 1024 * 1024, 0, 500_000] {
        feeds.push(Feed::start(&mut worker, length));
    }
    measured(&mut worker, feeds).await?;
    alive(&mut worker).await
}

async fn slots_input_waits(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let mut waiting = Feed::start(&mut worker, 100);
    asks(&mut worker, &mut waiting).await?;
    for _ in 0..2 {
        alive(&mut worker).await?;
        let feed = Feed::start(&mut worker, 1024 * 1024);
        measured(&mut worker, vec![feed]).await?;
    }
    let mut cancelled = Feed::start(&mut worker, 100);
    asks(&mut worker, &mut cancelled).await?;
    worker.cancel(cancelled.call, "client_left");
    worker.error(cancelled.call).await?;
    measured(&mut worker, vec![waiting]).await
}
