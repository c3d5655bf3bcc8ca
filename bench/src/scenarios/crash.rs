//! Workers that are killed while they work: does a client notice?

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Contender, Plan, Setting, figure, interleave, servers};
use crate::arrivals::poisson;
use crate::load;
use crate::peers::{Peer, Setup};
use crate::processes;
use crate::report::{Table, column};
use crate::tally::Outcome;

const WORKERS: usize = 4;
const CALLS_PER_SECOND: f64 = 200.0;
const KILL_INTERVAL: Duration = Duration::from_secs(1);

/// Longer than any restart takes, so that only what the server loses counts.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(plan: &Plan) -> Result<Table> {
    let length = plan.length(20);
    let contenders = contenders(plan);
    let rows = interleave("crash", &contenders, plan.runs(3), |setting, run| {
        setting.measure(plan, |server| {
            let arrivals = poisson(CALLS_PER_SECOND, length, 0.0, plan.seed(run));
            let requests = vec![server.request("")];
            let (found, killed) = while_killing(plan.seed(run), length, || {
                load::open(server.address(), requests, &arrivals, PATIENCE)
            })?;
            let tally = &found.tallies[0];
            Ok(vec![
                figure(tally.lost() + tally.count(Outcome::Answered)),
                figure(killed),
                figure(tally.lost()),
                tally.quantile_ms(Outcome::Answered, 0.99),
            ])
        })
    });
    Ok(Table {
        title: format!(
            "crash: one of {WORKERS} workers killed every second, {CALLS_PER_SECOND} calls/s"
        ),
        notes: vec![format!(
            "{} s a run, 10 ms calls that are idempotent. Katamari is told so by a header of the \
             call, haproxy by `retry-on`; the others cannot be told. granian stops altogether when \
             one worker dies twice within 5.5 s.",
            length.as_secs()
        )],
        columns: vec![
            column("calls", 0),
            column("workers killed", 0),
            column("calls lost", 0),
            column("p99 ms", 0),
        ],
        rows,
    })
}

fn contenders(plan: &Plan) -> Vec<Contender<Setting>> {
    let peers = [
        Peer::Katamari,
        Peer::Haproxy,
        Peer::Gunicorn,
        Peer::Mosec,
        Peer::Uwsgi,
        Peer::Granian,
    ];
    let setup = Setup {
        function: "work",
        katamari: "crash",
        workers: WORKERS,
        idempotent: true,
        ..Setup::default()
    };
    let mut contenders = servers(plan, &peers, &setup);
    if plan.wants(Peer::Haproxy) {
        // Trying again is not its default, so it stands here both ways.
        let setup = Setup {
            idempotent: false,
            ..setup
        };
        let name = format!("{}, not trying again", Peer::Haproxy.name());
        contenders.push(Contender {
            name,
            what: Setting {
                peer: Peer::Haproxy,
                setup,
            },
        });
    }
    contenders
}

/// Kills a worker every second for as long as `length` while `work` runs, and says how many.
pub(super) fn while_killing<Found>(
    seed: u64,
    length: Duration,
    work: impl FnOnce() -> Result<Found>,
) -> Result<(Found, u64)> {
    let (stop, stopped) = mpsc::channel::<()>();
    let end = Instant::now() + length;
    thread::scope(|scope| {
        let killer = scope.spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut killed = 0;
            while stopped.recv_timeout(KILL_INTERVAL) == Err(RecvTimeoutError::Timeout)
                && Instant::now() < end
            {
                // None if all are restarting, or if the one chosen ends by itself just now.
                if let Some(&worker) = random.choice(&processes::workers()) {
                    killed += u64::from(processes::kill(worker).is_ok());
                }
            }
            killed
        });
        let found = work();
        drop(stop);
        let killed = killer
            .join()
            .ok()
            .context("the thread that kills workers failed")?;
        Ok((found?, killed))
    })
}
