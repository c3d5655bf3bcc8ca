//! What each faceplate can do, next to an echo server on the same library, called by the same
//! client in the same run.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;

use super::{Contender, Plan, figure, interleave};
use crate::faceplates::Protocol;
use crate::faceplates::crowd::Crowd;
use crate::faceplates::erl::Caller;
use crate::faceplates::side::{Running, Side};
use crate::load::Closed;
use crate::processes;
use crate::report::{Table, column};
use crate::tally::Outcome;

/// Clients, each with one call at a time.
const CONNECTIONS: usize = 64;

/// Load before a run is measured, so that nothing is measured while it wakes up.
const WARM_UP: Duration = Duration::from_millis(500);

/// Load of a run whose figures are not kept.
const CHECK: Duration = Duration::from_millis(200);

pub fn run(plan: &Plan) -> Result<Table> {
    let (runs, warm_up, length) = match plan.is_check {
        true => (1, Duration::ZERO, CHECK),
        false => (plan.runs(5), WARM_UP, plan.length(3)),
    };
    let sides = [Side::Peer, Side::Katamari];
    let contenders: Vec<Contender<(Protocol, Side)>> = plan
        .protocols()
        .into_iter()
        .flat_map(|protocol| sides.map(|side| contender(protocol, side)))
        .collect();
    // What the peer did just before.
    let (peer_rate, peer_cpu) = (Cell::new(f64::NAN), Cell::new(f64::NAN));
    let rows = interleave("faceplates", &contenders, runs, |&(protocol, side), _| {
        if side == Side::Peer {
            peer_rate.set(f64::NAN);
        }
        let found = measure(plan, protocol, side, warm_up, length)?;
        let answered = figure(found.closed.tally.count(Outcome::Answered));
        let elapsed_s = found.closed.elapsed.as_secs_f64();
        let (rate, cpu) = (answered / elapsed_s, found.cpu_s / answered * 1e3);
        let (times_rate, times_cpu) = match side {
            Side::Peer => {
                peer_rate.set(rate);
                peer_cpu.set(cpu);
                (f64::NAN, f64::NAN)
            }
            Side::Katamari => (rate / peer_rate.get(), cpu / peer_cpu.get()),
        };
        Ok(vec![
            rate,
            times_rate,
            cpu,
            times_cpu,
            found.closed.tally.quantile_ms(Outcome::Answered, 0.5) * 1e3,
            found.closed.tally.quantile_ms(Outcome::Answered, 0.99) * 1e3,
            found.client_cpu_s / elapsed_s,
        ])
    });
    Ok(Table {
        title: "faceplates: each protocol, next to an echo server on the same library".to_owned(),
        notes: vec![format!(
            "{CONNECTIONS} connections, closed loop, {:.1} s a run. Behind the faceplate is a \
             worker in Rust with 8 slots; the CPU time is that of all processes of a server. \
             Client and server share the cores. Erlang: {CONNECTIONS} processes of one node.",
            length.as_secs_f64()
        )],
        columns: vec![
            column("calls/s", 0),
            column("of the peer's", 2),
            column("CPU s per 1,000 calls", 4),
            column("times the peer's", 2),
            column("p50 µs", 0),
            column("p99 µs", 0),
            column("cores the client took", 2),
        ],
        rows,
    })
}

fn contender(protocol: Protocol, side: Side) -> Contender<(Protocol, Side)> {
    let name = match side {
        Side::Peer => format!("{}: {}", protocol.name(), protocol.peer_name()),
        Side::Katamari => format!("{}: **Katamari**", protocol.name()),
    };
    Contender {
        name,
        what: (protocol, side),
    }
}

/// What one run has found.
struct Found {
    closed: Closed,
    /// CPU seconds of the server.
    cpu_s: f64,
    /// CPU seconds of the client.
    client_cpu_s: f64,
}

fn measure(
    plan: &Plan,
    protocol: Protocol,
    side: Side,
    warm_up: Duration,
    length: Duration,
) -> Result<Found> {
    let running = side.start(protocol, &plan.places)?;
    let found = match protocol {
        Protocol::Erlang => called_by_erl(plan, &running, warm_up, length)?,
        _ => called_by_us(protocol, &running, warm_up, length)?,
    };
    running.server.stop()?;
    Ok(found)
}

fn called_by_us(
    protocol: Protocol,
    running: &Running,
    warm_up: Duration,
    length: Duration,
) -> Result<Found> {
    let mut crowd = Crowd::new(protocol, running.address)?;
    crowd.grow(CONNECTIONS)?;
    crowd.load(CONNECTIONS, warm_up)?;
    let (before_s, client_before_s) = (processes::cpu_seconds(), processes::own_cpu_seconds());
    let closed = crowd.load(CONNECTIONS, length)?;
    Ok(Found {
        closed,
        cpu_s: processes::cpu_seconds() - before_s,
        client_cpu_s: processes::own_cpu_seconds() - client_before_s,
    })
}

fn called_by_erl(
    plan: &Plan,
    running: &Running,
    warm_up: Duration,
    length: Duration,
) -> Result<Found> {
    let epmd = running.epmd.expect("servers of Erlang have one");
    let mut caller = Caller::start(&plan.places, epmd, CONNECTIONS)?;
    caller.load(warm_up)?;
    // The caller is one of our descendants as well.
    let (before_s, client_before_s) = (processes::cpu_seconds(), caller.cpu_seconds());
    let closed = caller.load(length)?;
    let client_cpu_s = caller.cpu_seconds() - client_before_s;
    Ok(Found {
        closed,
        cpu_s: processes::cpu_seconds() - before_s - client_cpu_s,
        client_cpu_s,
    })
}
