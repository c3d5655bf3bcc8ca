//! Load on the faceplates of a cluster: an open loop on each, in a thread of its own, until it is
//! told to stop. Every call that gets no answer is kept, with when it was made and what it was told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::arrivals::poisson;
use crate::client::{Call, Client};
use crate::http::Request;
use crate::tally::{Outcome, Tally};

/// Longer than the timeout of a call, so that nothing is given up which would still be answered.
const PATIENCE: Duration = Duration::from_secs(12);

/// Arrivals are drawn for so long; no scenario lasts longer.
const LENGTH_MAX: Duration = Duration::from_secs(180);

/// How often a loop looks whether it is to stop.
const TURN_MAX: Duration = Duration::from_millis(20);

/// Failed calls of one loop whose answer is kept.
const TOLD_MAX: usize = 100_000;

/// Numbers of calls that one loop has for itself.
const NUMBERS: u64 = 1_000_000;

/// Faceplates that one load may have.
const LOOPS_MAX: u64 = 10;

/// The functions under load, by the number of their request.
pub const FUNCTIONS: [&str; 2] = ["again", "once"];

/// The request that is idempotent, and the one that is not.
pub const AGAIN: usize = 0;
/// See [`AGAIN`].
pub const ONCE: usize = 1;

/// How much load.
#[derive(Clone, Copy)]
pub struct Rate {
    /// Calls a second, over all faceplates.
    pub calls_per_s: f64,
    /// The share of those that are not idempotent.
    pub once: f64,
    /// How long `again` and `once` run.
    pub run_ms: [u32; 2],
}

/// A call without an answer.
pub struct Failed {
    /// The number that it carried.
    pub number: u64,
    /// Which function, see [`FUNCTIONS`].
    pub request: usize,
    /// When it was made.
    pub made_at: Instant,
    /// When it ended.
    pub ended_at: Instant,
    /// How it ended.
    pub outcome: Outcome,
    /// Status and body, if there was an answer.
    pub told: String,
}

impl Failed {
    /// Which of the load's loops made it: the number of its faceplate, from 0.
    pub fn loop_number(&self) -> usize {
        usize::try_from(self.number / NUMBERS % LOOPS_MAX).expect("a small number")
    }

    /// The code and the message of the answer.
    pub fn problem(&self) -> (String, String) {
        let body = self.told.split_once(' ').map_or("", |(_, body)| body);
        let problem: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        (text("code"), text("detail"))
    }
}

/// What became of the calls.
#[derive(Default)]
pub struct Found {
    /// By request.
    pub tallies: [Tally; 2],
    /// Those without an answer.
    pub failed: Vec<Failed>,
}

/// Load that goes on.
pub struct Load {
    stop: Arc<AtomicBool>,
    loops: Vec<JoinHandle<Result<Found>>>,
}

impl Load {
    /// Puts load on faceplates; `number` keeps the numbers of several loads on one cluster apart.
    pub fn start(faceplates: &[SocketAddr], rate: Rate, seed: u64, number: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let each = Rate {
            calls_per_s: rate.calls_per_s / f64::from(u32::try_from(faceplates.len()).unwrap_or(1)),
            ..rate
        };
        let loops = (0..).zip(faceplates).map(|(index, &address)| {
            let stop = stop.clone();
            let seed = seed
                .wrapping_mul(1_000)
                .wrapping_add(number * LOOPS_MAX + index);
            let first = (number * LOOPS_MAX + index) * NUMBERS;
            std::thread::spawn(move || run(address, each, seed, first, &stop))
        });
        Self {
            loops: loops.collect(),
            stop,
        }
    }

    /// Makes no more calls, and waits for those that were made.
    pub fn stop(self) -> Result<Found> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Found::default();
        for thread in self.loops {
            let found = thread.join().ok().context("a load generator failed")??;
            for (sum, tally) in all.tallies.iter_mut().zip(&found.tallies) {
                sum.merge(tally);
            }
            all.failed.extend(found.failed);
        }
        all.failed.sort_by_key(|failed| failed.made_at);
        Ok(all)
    }
}

fn run(address: SocketAddr, rate: Rate, seed: u64, first: u64, stop: &AtomicBool) -> Result<Found> {
    let requests = FUNCTIONS.iter().zip(rate.run_ms).map(|(function, ms)| {
        let (path, more) = (format!("/call/task/{function}"), format!(",\"ms\":{ms}"));
        Request::new(address, &path, &[], &more, false)
    });
    let mut client = Client::new(address, requests.collect(), PATIENCE)?.keep_told(TOLD_MAX);
    let arrivals = poisson(rate.calls_per_s, LENGTH_MAX, rate.once, seed);
    let mut coming = (first..).zip(arrivals).peekable();
    let (mut found, mut ended) = (Found::default(), Vec::new());
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) || !client.is_done() {
        let is_on = !stop.load(Ordering::Relaxed);
        let due = |at: Duration| is_on && start + at <= Instant::now();
        while let Some((number, arrival)) = coming.next_if(|(_, arrival)| due(arrival.at)) {
            client.start(Call {
                number,
                request: arrival.request,
                meant_at: start + arrival.at,
            });
        }
        let look = Instant::now() + TURN_MAX;
        let next = coming.peek().filter(|_| is_on);
        client.turn(next.map_or(look, |(_, arrival)| look.min(start + arrival.at)))?;
        client.take_ended(&mut ended);
        for end in ended.drain(..) {
            found.tallies[end.call.request].add(end.outcome, end.latency);
            if end.outcome != Outcome::Answered {
                found.failed.push(Failed {
                    number: end.call.number,
                    request: end.call.request,
                    made_at: end.call.meant_at,
                    ended_at: end.call.meant_at + end.latency,
                    outcome: end.outcome,
                    told: String::new(),
                });
            }
        }
    }
    let mut told: BTreeMap<u64, String> = client.into_told().into_iter().collect();
    for failed in &mut found.failed {
        failed.told = told.remove(&failed.number).unwrap_or_default();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    /// Answers every call with the same status and body, each on a connection of its own; says
    /// so of each.
    fn server(
        status: &'static str,
        body: &'static str,
    ) -> Result<(SocketAddr, mpsc::Receiver<()>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (answered, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                // A request of a load fits one segment.
                let _ = socket.read(&mut [0; 4096]);
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n");
                let _ =
                    socket.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes());
                let _ = answered.send(());
            }
        });
        Ok((address, answers))
    }

    #[test]
    fn a_failed_call_is_kept_with_what_it_was_told() -> Result<()> {
        let body = "{\"code\":\"worker_lost\",\"detail\":\"node n2 is gone\"}";
        let (wrong, answers_wrongly) = server("200 OK", "\"no number\"")?;
        let (failing, fails) = server("502 Bad", body)?;
        let rate = Rate {
            calls_per_s: 2_000.0,
            once: 0.0,
            run_ms: [0, 0],
        };
        let load = Load::start(&[wrong, failing], rate, 1, 0);
        let whole = |load: &Load| load.loops.iter().all(JoinHandle::is_finished);
        assert!(!whole(&load), "it goes on until it is told to stop");
        answers_wrongly.recv_timeout(PATIENCE)?;
        fails.recv_timeout(PATIENCE)?;
        let found = load.stop()?;
        let of = |number| {
            found
                .failed
                .iter()
                .find(|failed| failed.loop_number() == number)
        };
        let (wrong, failed) = (of(0).context("a call")?, of(1).context("a call")?);
        assert_eq!(wrong.outcome, Outcome::Wrong);
        let problem = ("worker_lost".to_owned(), "node n2 is gone".to_owned());
        assert_eq!(failed.problem(), problem);
        Ok(())
    }
}
