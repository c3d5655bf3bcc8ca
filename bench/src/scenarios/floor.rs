//! What a call costs on its way through Katamari, HTTP and all, next to a loop that speaks to the
//! same Python worker over a socket pair and does nothing else.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Contender, Plan, Setting, figure, interleave};
use crate::bare::BareWorker;
use crate::load::{self, Until};
use crate::peers::{Peer, Setup};
use crate::processes;
use crate::report::{Table, column};
use crate::tally::Outcome;

/// The core that both ends share when they are pinned.
const PINNED_CORE: usize = 0;

/// What a row stands for.
enum What {
    /// The bare loop; `pinned` puts both ends on one core, which saves the wake-ups across cores.
    Loop { pinned: bool },
    /// Katamari with one worker, called over so many connections.
    Katamari { setting: Setting, connections: u64 },
}

pub fn run(plan: &Plan) -> Result<Table> {
    let length = plan.length(5);
    // CPU seconds for each call of the two loops in this round.
    let (free_s, pinned_s) = (Cell::new(f64::NAN), Cell::new(f64::NAN));
    let rows = interleave("floor", &contenders(plan), plan.runs(5), |what, _| {
        let (calls, elapsed, cpu_s) = match what {
            What::Loop { pinned } => bare_loop(plan, *pinned, length)?,
            What::Katamari {
                setting,
                connections,
            } => katamari(plan, setting, *connections, length)?,
        };
        let each_s = cpu_s / figure(calls);
        let (times_free, times_pinned) = match what {
            What::Loop { pinned } => {
                let floor_s = if *pinned { &pinned_s } else { &free_s };
                floor_s.set(each_s);
                (f64::NAN, f64::NAN)
            }
            What::Katamari { .. } => (each_s / free_s.get(), each_s / pinned_s.get()),
        };
        Ok(vec![
            figure(calls) / elapsed.as_secs_f64(),
            each_s * 1e3,
            times_free,
            times_pinned,
        ])
    });
    Ok(Table {
        title: "floor: the dispatcher's own cost, one worker".to_owned(),
        notes: vec![format!(
            "{} s a run. The CPU time of the loop is that of both its ends; that of Katamari is \
             the node, HTTP included, and its worker, without the client.",
            length.as_secs()
        )],
        columns: vec![
            column("calls/s", 0),
            column("CPU s per 1,000 calls", 4),
            column("times the loop", 2),
            column("times the pinned loop", 2),
        ],
        rows,
    })
}

fn contenders(plan: &Plan) -> Vec<Contender<What>> {
    let contender = |name: &str, what| Contender {
        name: name.to_owned(),
        what,
    };
    let mut contenders = vec![
        // First the loops: the ratios of the round need them.
        contender("bare loop", What::Loop { pinned: false }),
        contender(
            "bare loop, both ends on one core",
            What::Loop { pinned: true },
        ),
    ];
    if plan.wants(Peer::Katamari) {
        for connections in [1, 64] {
            let setup = Setup {
                function: "echo",
                katamari: "floor",
                workers: 1,
                ..Setup::default()
            };
            let setting = Setting {
                peer: Peer::Katamari,
                setup,
            };
            let name = format!("Katamari, connections: {connections}");
            contenders.push(contender(
                &name,
                What::Katamari {
                    setting,
                    connections,
                },
            ));
        }
    }
    contenders
}

/// Calls, time and CPU seconds of both ends.
fn bare_loop(plan: &Plan, pinned: bool, length: Duration) -> Result<(u64, Duration, f64)> {
    let all = sched_getaffinity(None).context("cannot ask for the cores")?;
    if pinned {
        let mut one = CpuSet::new();
        one.set(PINNED_CORE);
        // The worker inherits it.
        sched_setaffinity(None, &one).context("cannot pin to one core")?;
    }
    let measured = measure_loop(plan, length);
    sched_setaffinity(None, &all).context("cannot undo the pinning")?;
    measured
}

fn measure_loop(plan: &Plan, length: Duration) -> Result<(u64, Duration, f64)> {
    let mut worker = BareWorker::start(&plan.places)?;
    worker
        .echo(Duration::from_millis(300))
        .context("the warm-up failed")?;
    let cpu_s = || processes::cpu_seconds() + processes::own_cpu_seconds();
    let cpu_before_s = cpu_s();
    let (calls, elapsed) = worker.echo(length)?;
    let cpu_s = cpu_s() - cpu_before_s;
    worker.stop()?;
    Ok((calls, elapsed, cpu_s))
}

fn katamari(
    plan: &Plan,
    setting: &Setting,
    connections: u64,
    length: Duration,
) -> Result<(u64, Duration, f64)> {
    setting.measure(plan, |server| {
        let cpu_before_s = processes::cpu_seconds();
        let until = Until::Time(length);
        let run = load::closed(server.address(), server.request(""), connections, until)?;
        let cpu_s = processes::cpu_seconds() - cpu_before_s;
        Ok((run.tally.count(Outcome::Answered), run.elapsed, cpu_s))
    })
}
