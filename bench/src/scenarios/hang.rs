//! Calls that never end, among many that do: how much do the others suffer?

use std::time::Duration;

use anyhow::Result;

use super::{Plan, figure, interleave, servers};
use crate::arrivals::{Arrival, ideal_fifo, poisson};
use crate::bare;
use crate::load;
use crate::peers::{Peer, Setup};
use crate::processes;
use crate::report::{Table, column};
use crate::tally::{Outcome, Tally};

const WORKERS: usize = 4;
const SPARE: usize = 2;
const CALLS_PER_SECOND: f64 = 100.0;
const HANGING: f64 = 0.01;
const DEADLINE: Duration = Duration::from_secs(1);

/// How far from the deadline the error of a hanging call may come.
const DEADLINE_TOLERANCE: Duration = Duration::from_millis(50);

/// Longer than the deadline, so that servers that notice late show how late.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(plan: &Plan) -> Result<Table> {
    let peers = [
        Peer::Katamari,
        Peer::Uwsgi,
        Peer::Gunicorn,
        Peer::Mosec,
        Peer::Haproxy,
        Peer::Granian,
    ];
    let setup = Setup {
        function: "work",
        katamari: "hang",
        workers: WORKERS,
        spare: SPARE,
        timeout: Some(DEADLINE),
        ..Setup::default()
    };
    let length = plan.length(20);
    let bare_loop = bare::calls_per_second(&plan.places, 1, Duration::from_secs(2))?;
    let services = [Duration::from_secs_f64(1.0 / bare_loop), DEADLINE];
    let contenders = servers(plan, &peers, &setup);
    let rows = interleave("hang", &contenders, plan.runs(3), |setting, run| {
        setting.measure(plan, |server| {
            let arrivals = poisson(CALLS_PER_SECOND, length, HANGING, plan.seed(run));
            let ideal_p99_ms = ideal_p99_ms(&arrivals, &services);
            let requests = vec![server.request(""), server.request(",\"hang\":true")];
            let found = load::open(server.address(), requests, &arrivals, PATIENCE)?;
            let (others, hung) = (&found.tallies[0], &found.tallies[1]);
            let p99_ms = others.quantile_ms(Outcome::Answered, 0.99);
            let (soonest_ms, latest_ms) = hung.lost_range_ms();
            Ok(vec![
                figure(others.lost() + others.count(Outcome::Answered)),
                figure(others.lost()),
                p99_ms,
                ideal_p99_ms,
                p99_ms / ideal_p99_ms,
                figure(hung.lost()),
                figure(errors_in_time(hung)),
                soonest_ms,
                latest_ms,
                figure(u64::try_from(processes::workers().len()).expect("a small number")),
            ])
        })
    });
    Ok(Table {
        title: format!("hang: 1% of {CALLS_PER_SECOND} calls/s never end, {WORKERS} workers"),
        notes: vec![format!(
            "{} s a run, deadline {} s, Katamari with {SPARE} spare workers. The ideal is one \
             first in, first out queue before {WORKERS} workers that loses no time, given the same \
             arrivals; a hanging call holds its worker for {} s.",
            length.as_secs(),
            DEADLINE.as_secs(),
            DEADLINE.as_secs()
        )],
        columns: vec![
            column("other calls", 0),
            column("lost", 0),
            column("p99 ms", 1),
            column("ideal p99 ms", 1),
            column("p99 / ideal", 2),
            column("hung calls", 0),
            column("their error at 1.0 s ± 50 ms", 0),
            column("soonest ms", 0),
            column("latest ms", 0),
            column("workers afterwards", 0),
        ],
        rows,
    })
}

/// The 99th percentile of the calls that do not hang, for the ideal server.
fn ideal_p99_ms(arrivals: &[Arrival], services: &[Duration]) -> f64 {
    let mut tally = Tally::default();
    for (arrival, time) in arrivals.iter().zip(ideal_fifo(arrivals, WORKERS, services)) {
        if arrival.request == 0 {
            tally.add(Outcome::Answered, time);
        }
    }
    tally.quantile_ms(Outcome::Answered, 0.99)
}

/// How many hanging calls were told so by the server at the deadline.
fn errors_in_time(hung: &Tally) -> u64 {
    let (from, to) = (DEADLINE - DEADLINE_TOLERANCE, DEADLINE + DEADLINE_TOLERANCE);
    let told = [Outcome::Failed, Outcome::Refused];
    told.iter()
        .map(|&outcome| hung.count_between(outcome, from, to))
        .sum()
}
