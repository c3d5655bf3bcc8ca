//! Workers that leak: does the limit hold, and does anybody notice the restarts?

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Plan, figure, interleave, servers};
use crate::load::{self, Until};
use crate::peers::{Peer, Setup};
use crate::processes;
use crate::report::{Table, column};
use crate::tally::Outcome;

/// Calls of a run, unless the command line says otherwise.
pub const CALLS: u64 = 60_000;

const WORKERS: usize = 2;
const CONNECTIONS: u64 = 8;
const MEMORY_MAX_MIB: usize = 200;
const MIB: f64 = 1024.0 * 1024.0;

/// How often the memory of the workers is read. A worker leaks a few MiB in this time.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

pub fn run(plan: &Plan) -> Result<Table> {
    // mosec has no limit that would keep it within the memory of the machine.
    let peers = [
        Peer::Katamari,
        Peer::Uwsgi,
        Peer::Gunicorn,
        Peer::Haproxy,
        Peer::Granian,
    ];
    let setup = Setup {
        function: "leak",
        katamari: "memory",
        workers: WORKERS,
        memory_max_mib: Some(MEMORY_MAX_MIB),
        ..Setup::default()
    };
    let contenders = servers(plan, &peers, &setup);
    let rows = interleave("memory", &contenders, plan.runs(1), |setting, _| {
        setting.measure(plan, |server| {
            let until = Until::Calls(plan.memory_calls);
            let (run, largest) = while_watching(|| {
                load::closed(server.address(), server.request(""), CONNECTIONS, until)
            })?;
            Ok(vec![
                figure(run.tally.lost() + run.tally.count(Outcome::Answered)),
                figure(run.tally.lost()),
                figure(largest) / MIB,
                figure(run.tally.count(Outcome::Answered)) / run.elapsed.as_secs_f64(),
                run.tally.quantile_ms(Outcome::Answered, 0.99),
            ])
        })
    });
    Ok(Table {
        title: format!(
            "memory: each call leaks 1 MiB, {WORKERS} workers, at most {MEMORY_MAX_MIB} MiB"
        ),
        notes: vec![format!(
            "{CONNECTIONS} connections; the bench reads the workers' resident size every {} ms. \
             gunicorn has no limit of memory and is given one of calls; mosec has neither.",
            SAMPLE_INTERVAL.as_millis()
        )],
        columns: vec![
            column("calls", 0),
            column("lost", 0),
            column("largest worker MiB", 1),
            column("calls/s", 0),
            column("p99 ms", 1),
        ],
        rows,
    })
}

/// Runs `work` and gives back the largest resident size of any worker meanwhile, in bytes.
fn while_watching<Found>(work: impl FnOnce() -> Result<Found>) -> Result<(Found, u64)> {
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watcher = scope.spawn(move || {
            let mut largest = 0;
            while stopped.recv_timeout(SAMPLE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let sizes = processes::workers()
                    .into_iter()
                    .map(processes::resident_bytes);
                largest = sizes.fold(largest, u64::max);
            }
            largest
        });
        let found = work();
        drop(stop);
        let largest = watcher
            .join()
            .ok()
            .context("the thread that reads memory failed")?;
        Ok((found?, largest))
    })
}
