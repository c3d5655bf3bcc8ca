//! Twice as many calls as the workers can answer, from clients that give up: a server that lets
//! them wait too long answers only those who have left.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Contender, Plan, Setting, figure, interleave};
use crate::arrivals::poisson;
use crate::bare;
use crate::load;
use crate::peers::{Peer, Setup};
use crate::report::{Table, column};
use crate::tally::Outcome;

const WORKERS: usize = 4;
const CALLS_PER_SECOND: f64 = 800.0;
const PATIENCE: Duration = Duration::from_secs(1);

/// The bound of every queue that can be bounded: eight calls for each worker.
const QUEUE_MAX: usize = 32;

/// What a row stands for.
enum What {
    BareLoops,
    Server(Setting),
}

pub fn run(plan: &Plan) -> Result<Table> {
    let length = plan.length(10);
    // Each round measures the ceiling first, for the servers that follow.
    let ceiling = Cell::new(f64::NAN);
    let rows = interleave(
        "overload",
        &contenders(plan),
        plan.runs(3),
        |what, run| match what {
            What::BareLoops => {
                ceiling.set(bare::calls_per_second(&plan.places, WORKERS, length)?);
                Ok(vec![
                    ceiling.get(),
                    100.0,
                    f64::NAN,
                    f64::NAN,
                    f64::NAN,
                    f64::NAN,
                    f64::NAN,
                    f64::NAN,
                ])
            }
            What::Server(setting) => setting.measure(plan, |server| {
                let arrivals = poisson(CALLS_PER_SECOND, length, 0.0, plan.seed(run));
                let requests = vec![server.request("")];
                let found = load::open(server.address(), requests, &arrivals, PATIENCE)?;
                let tally = &found.tallies[0];
                let offered = u64::try_from(arrivals.len()).expect("a small number");
                let total = tally.lost() + tally.count(Outcome::Answered);
                ensure!(total == offered, "{total} calls ended of {offered}");
                let goodput = figure(found.answered_under_load) / found.elapsed.as_secs_f64();
                let others = [Outcome::Failed, Outcome::Wrong, Outcome::Broken];
                Ok(vec![
                    goodput,
                    goodput / ceiling.get() * 100.0,
                    tally.quantile_ms(Outcome::Answered, 0.99),
                    figure(tally.count(Outcome::Refused)),
                    tally.quantile_ms(Outcome::Refused, 0.99),
                    tally.quantile_ms(Outcome::Refused, 1.0),
                    figure(tally.count(Outcome::GivenUp)),
                    figure(others.iter().map(|&outcome| tally.count(outcome)).sum()),
                ])
            }),
        },
    );
    Ok(Table {
        title: format!("overload: {CALLS_PER_SECOND} calls/s, 10 ms each, {WORKERS} workers"),
        notes: vec![format!(
            "{} s a run, Poisson arrivals, clients give up after {} s. \"Bounded\" servers may \
             keep {QUEUE_MAX} calls waiting; the others have their defaults.",
            length.as_secs(),
            PATIENCE.as_secs()
        )],
        columns: vec![
            column("answered/s", 1),
            column("% of bare loops", 1),
            column("p99 ms", 0),
            column("refused", 0),
            column("refusal p99 ms", 1),
            column("slowest refusal ms", 1),
            column("given up", 0),
            column("failed otherwise", 0),
        ],
        rows,
    })
}

fn contenders(plan: &Plan) -> Vec<Contender<What>> {
    let peers = [
        Peer::Katamari,
        Peer::Mosec,
        Peer::Haproxy,
        Peer::Gunicorn,
        Peer::Uwsgi,
        Peer::Granian,
    ];
    let default = Setup {
        function: "work",
        katamari: "overload-default",
        workers: WORKERS,
        ..Setup::default()
    };
    let bounded = Setup {
        katamari: "overload",
        queue_max: Some(QUEUE_MAX),
        ..default.clone()
    };
    let mut contenders = vec![Contender {
        name: "four bare loops".to_owned(),
        what: What::BareLoops,
    }];
    for (setup, suffix) in [(bounded, "bounded"), (default, "default")] {
        for peer in peers.into_iter().filter(|&peer| plan.wants(peer)) {
            let what = What::Server(Setting {
                peer,
                setup: setup.clone(),
            });
            contenders.push(Contender {
                name: format!("{}, {suffix}", peer.name()),
                what,
            });
        }
    }
    contenders
}
