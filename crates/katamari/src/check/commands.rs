//! Programs of dialect `exec`: a process for each call, which gets its input and ends.

use super::case::{Case, cases};
use super::launch::{Bench, Launched, QUIET, Read};
use super::verdict::{Trouble, Verdict, unexpected};
use manager::dialect::exec::{MANNERS, OUTPUT_MAX};
use tokio::time::Instant;

/// Without this there is nothing more to see.
pub const RUN: &[Case] = cases! {
    run => "exits with status 0 once its input has ended, and has written at most 16 MiB",
};

/// What else every command must do.
pub const CASES: &[Case] = cases! {
    again => "does so again, with nothing left of the time before",
    side_by_side => "runs beside another process of itself",
    terminate => "ends at SIGTERM",
};

fn start(bench: &Bench) -> Verdict<Launched> {
    let mut launched = bench.launch(MANNERS)?;
    launched.write(bench.asked.clone());
    launched.close_input();
    Ok(launched)
}

/// Reads what it writes, until it ends as it should.
async fn finish(bench: &Bench, launched: &mut Launched) -> Verdict {
    let until = Instant::now() + bench.start_max;
    let mut written = 0;
    loop {
        let read = launched.read_more(until).await;
        written += launched.read.split().len();
        if written > OUTPUT_MAX {
            return unexpected("an output of at most 16 MiB", "more");
        }
        match read {
            Read::Some => {}
            Read::End => return launched.exit_with(0).await,
            Read::Late => {
                let waited = bench.start_max;
                let why = format!("it lives on after {waited:?}: does it wait for more input?");
                return unexpected("the process to end", why);
            }
        }
    }
}

async fn run(bench: &Bench) -> Verdict {
    finish(bench, &mut start(bench)?).await
}

async fn again(bench: &Bench) -> Verdict {
    run(bench).await?;
    run(bench).await
}

async fn side_by_side(bench: &Bench) -> Verdict {
    let mut processes = [start(bench)?, start(bench)?];
    for process in &mut processes {
        finish(bench, process).await?;
    }
    Ok(())
}

async fn terminate(bench: &Bench) -> Verdict {
    // Its input stays open, so that most commands are still there.
    let mut launched = bench.launch(MANNERS)?;
    if launched.end_within(QUIET).await.is_some() {
        return Err(Trouble::Skipped("it ends before it can be told".to_owned()));
    }
    launched.terminate();
    launched.exit().await.map(drop)
}
