//! The conformance worker's streamed replies, and what it does without credit.

use super::case::{Case, cases};
use super::launch::{Bench, QUIET};
use super::verdict::{Verdict, expect, shown, unexpected};
use super::worker::{End, Welcome, Worker};
use serde_json::{Value, json};

/// What these streams start with.
const CREDIT: usize = 1000;

/// Letters of a piece that is 400 bytes long, with its quotes.
const LETTERS: usize = 398;

/// The cases.
pub const CASES: &[Case] = cases! {
    stream => "streams the pieces of an answer in their order, then ends it",
    empty_stream => "ends a stream that has no pieces",
    long_stream => "streams on as credit comes, over 8 MiB",
    credit_used_up => "sends pieces while it has credit, and none without",
    piece_above_credit => "sends a piece that is larger than its credit",
    cancel_without_credit => "sees a cancel while it waits for credit",
    ping_without_credit => "answers a ping while it waits for credit",
    quit_without_credit => "told to quit while it waits for credit, finishes the stream",
    credit_of_its_own => "gives each stream credit of its own",
};

async fn with_little_credit(bench: &Bench) -> Verdict<Worker> {
    let welcome = Welcome {
        stream_credit: CREDIT,
        ..Welcome::default()
    };
    bench.welcomed(welcome).await
}

/// Receives the end of a stream: a reply without a last value.
async fn finished(worker: &mut Worker, call: u64) -> Verdict {
    match worker.end(call).await? {
        End::Reply { payload, .. } => {
            let bytes = payload.bytes().len();
            expect(bytes == 0, "an empty reply", format_args!("{bytes} bytes"))
        }
        End::Error { message, .. } => unexpected("an empty reply", shown(message)),
    }
}

async fn pieces(worker: &mut Worker, call: u64, count: usize) -> Verdict {
    for _ in 0..count {
        let piece = worker.piece(call).await?;
        let right = piece.as_str().is_some_and(|text| text.len() == LETTERS);
        expect(right, format_args!("{LETTERS} letters x"), shown(&piece))?;
    }
    Ok(())
}

async fn stream(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = worker.call("count", &json!({"to": 5, "size": 0}));
    for number in 1..=5 {
        let piece = worker.piece(call).await?;
        expect(piece.as_u64() == Some(number), number, shown(&piece))?;
    }
    finished(&mut worker, call).await?;
    worker.silence(QUIET).await?;
    let call = worker.call("count", &json!([2, 3]));
    for _ in 0..2 {
        let piece = worker.piece(call).await?;
        expect(piece == json!("xxx"), "\"xxx\"", shown(&piece))?;
    }
    finished(&mut worker, call).await
}

async fn empty_stream(bench: &Bench) -> Verdict {
    let mut worker = bench.worker().await?;
    let call = worker.call("count", &json!({"to": 0, "size": 0}));
    finished(&mut worker, call).await
}

async fn long_stream(bench: &Bench) -> Verdict {
    const COUNT: usize = 128;
    const SIZE: usize = 64 * 1024;
    let mut worker = bench.worker().await?;
    let call = worker.call("count", &json!({"to": COUNT, "size": SIZE}));
    for _ in 0..COUNT {
        let piece = worker.piece(call).await?;
        let letters = piece.as_str().map_or(0, str::len);
        expect(letters == SIZE, format_args!("{SIZE} letters"), letters)?;
        worker.flow(call, SIZE + 2);
    }
    finished(&mut worker, call).await
}

async fn credit_used_up(bench: &Bench) -> Verdict {
    let mut worker = with_little_credit(bench).await?;
    let call = worker.call("count", &json!({"to": 6, "size": LETTERS}));
    // 1000, 600, 200: three pieces, and 200 less than nothing is left.
    pieces(&mut worker, call, 3).await?;
    worker.silence(QUIET).await?;
    worker.flow(call, 200);
    worker.silence(QUIET).await?;
    worker.flow(call, 401);
    pieces(&mut worker, call, 2).await?;
    worker.silence(QUIET).await?;
    worker.flow(call, 1_000_000);
    pieces(&mut worker, call, 1).await?;
    finished(&mut worker, call).await
}

async fn piece_above_credit(bench: &Bench) -> Verdict {
    let mut worker = with_little_credit(bench).await?;
    let call = worker.call("count", &json!({"to": 1, "size": CREDIT * 5}));
    let piece = worker.piece(call).await?;
    let letters = piece.as_str().map_or(0, str::len);
    expect(
        letters == CREDIT * 5,
        format_args!("{} letters", CREDIT * 5),
        letters,
    )?;
    finished(&mut worker, call).await
}

/// Starts a stream that stands still after its third piece.
async fn stuck(worker: &mut Worker) -> Verdict<u64> {
    let call = worker.call("count", &json!({"to": 4, "size": LETTERS}));
    pieces(worker, call, 3).await?;
    Ok(call)
}

async fn cancel_without_credit(bench: &Bench) -> Verdict {
    let mut worker = with_little_credit(bench).await?;
    let call = stuck(&mut worker).await?;
    worker.cancel(call, "client_left");
    worker.end(call).await?;
    let got: Value = worker.result("echo", json!([1])).await?;
    expect(got == json!(1), 1, shown(&got))
}

async fn ping_without_credit(bench: &Bench) -> Verdict {
    let mut worker = with_little_credit(bench).await?;
    let call = stuck(&mut worker).await?;
    worker.ping().await?;
    worker.flow(call, 1000);
    pieces(&mut worker, call, 1).await?;
    finished(&mut worker, call).await
}

async fn quit_without_credit(bench: &Bench) -> Verdict {
    let mut worker = with_little_credit(bench).await?;
    let call = stuck(&mut worker).await?;
    worker.send(b'Q', &json!({}), b"");
    worker.silence(QUIET).await?;
    worker.flow(call, 1000);
    pieces(&mut worker, call, 1).await?;
    finished(&mut worker, call).await?;
    worker.launched.exit_with(0).await
}

async fn credit_of_its_own(bench: &Bench) -> Verdict {
    let mut worker = with_little_credit(bench).await?;
    for _ in 0..2 {
        let call = stuck(&mut worker).await?;
        worker.silence(QUIET).await?;
        worker.flow(call, 1_000_000);
        pieces(&mut worker, call, 1).await?;
        finished(&mut worker, call).await?;
        // Credit that crosses the end of its stream is nobody's.
        worker.flow(call, 1_000_000);
    }
    Ok(())
}
