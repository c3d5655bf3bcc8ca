//! The two kinds of load. In a closed loop every connection sends its next call when the last one
//! is answered: it shows how fast a server can be. In an open loop calls come when they come,
//! whatever the server does, as they do from the world: it shows what happens when it cannot cope.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::arrivals::Arrival;
use crate::client::{Call, Client, Ended};
use crate::http::Request;
use crate::tally::{Outcome, Tally};

/// How long a call of a closed loop may take. Long, because nothing there should take long.
const CLOSED_PATIENCE: Duration = Duration::from_secs(10);

/// When a closed loop ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time; calls in flight then do not count.
    Time(Duration),
    /// After so many calls.
    Calls(u64),
}

/// What a closed loop found.
pub struct Closed {
    /// The calls.
    pub tally: Tally,
    /// From the first call to the last answer.
    pub elapsed: Duration,
}

/// Runs `connections` connections that each send one call after the other.
pub fn closed(
    address: SocketAddr,
    request: Request,
    connections: u64,
    until: Until,
) -> Result<Closed> {
    let mut client = Client::new(address, vec![request], CLOSED_PATIENCE)?;
    let mut tally = Tally::default();
    let start = Instant::now();
    let (end, calls_max) = match until {
        Until::Time(length) => (start + length, u64::MAX),
        // The patience of each call bounds the whole.
        Until::Calls(calls) => (start + Duration::from_secs(24 * 3600), calls),
    };
    let mut started = connections.min(calls_max);
    for number in 0..started {
        client.start(Call {
            number,
            request: 0,
            meant_at: Instant::now(),
        });
    }
    let mut ended = Vec::new();
    while client.in_flight() > 0 || !ended.is_empty() {
        client.turn(end)?;
        client.take_ended(&mut ended);
        let now = Instant::now();
        if now >= end {
            break;
        }
        for call in ended.drain(..) {
            tally.add(call.outcome, call.latency);
            if started < calls_max {
                client.start(Call {
                    number: started,
                    request: 0,
                    meant_at: now,
                });
                started += 1;
            }
        }
        // A call that fails on the spot has ended already.
        client.take_ended(&mut ended);
    }
    Ok(Closed {
        tally,
        elapsed: start.elapsed(),
    })
}

/// What an open loop found.
pub struct Open {
    /// The calls, a tally for each request.
    pub tallies: Vec<Tally>,
    /// Answers that came before the last call was meant to start: what the server gave while it was
    /// under load, without what it still gave when no more calls came.
    pub answered_under_load: u64,
    /// How long the load lasted.
    pub elapsed: Duration,
}

/// Sends a call for every arrival, at its time, and gives each one up after `patience`.
pub fn open(
    address: SocketAddr,
    requests: Vec<Request>,
    arrivals: &[Arrival],
    patience: Duration,
) -> Result<Open> {
    let elapsed = arrivals.last().map_or(Duration::ZERO, |last| last.at);
    let tallies = vec![Tally::default(); requests.len()];
    let mut found = Open {
        tallies,
        answered_under_load: 0,
        elapsed,
    };
    let mut client = Client::new(address, requests, patience)?;
    let mut ended = Vec::new();
    let mut coming = (0..).zip(arrivals).peekable();
    let start = Instant::now();
    while coming.peek().is_some() || client.in_flight() > 0 {
        while let Some((number, arrival)) =
            coming.next_if(|(_, arrival)| start + arrival.at <= Instant::now())
        {
            let meant_at = start + arrival.at;
            client.start(Call {
                number,
                request: arrival.request,
                meant_at,
            });
        }
        let next = coming.peek().map(|(_, arrival)| start + arrival.at);
        client.turn(next.unwrap_or_else(|| Instant::now() + patience))?;
        client.take_ended(&mut ended);
        for Ended {
            call,
            outcome,
            latency,
        } in ended.drain(..)
        {
            found.tallies[call.request].add(outcome, latency);
            let under_load = call.meant_at + latency <= start + elapsed;
            found.answered_under_load += u64::from(under_load && outcome == Outcome::Answered);
        }
    }
    Ok(found)
}
