//! What connections cost that do nothing, on each faceplate: the memory of the node, and what
//! others notice who make calls beside them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Contender, Plan, figure, interleave};
use crate::faceplates::Protocol;
use crate::faceplates::crowd::Crowd;
use crate::faceplates::side::Side;
use crate::load::Closed;
use crate::processes;
use crate::report::{Table, column};
use crate::tally::Outcome;

/// Connections that do nothing.
const IDLE: usize = 10_000;

/// The same where the figures are not kept.
const IDLE_CHECK: usize = 200;

/// Connections that make calls.
const ACTIVE: usize = 8;

/// Load before a run is measured, so that nothing is measured while it wakes up.
const WARM_UP: Duration = Duration::from_millis(500);

/// Load of a run whose figures are not kept.
const CHECK: Duration = Duration::from_millis(200);

/// Descriptors of a process beside those of the connections.
const DESCRIPTORS: u64 = 500;

pub fn run(plan: &Plan) -> Result<Table> {
    let (runs, idle, length) = match plan.is_check {
        true => (1, IDLE_CHECK, CHECK),
        false => (plan.runs(3), IDLE, plan.length(2)),
    };
    allow_descriptors(idle)?;
    let contenders: Vec<Contender<Protocol>> = plan
        .protocols()
        .into_iter()
        .map(|protocol| Contender {
            name: protocol.name().to_owned(),
            what: protocol,
        })
        .collect();
    let rows = interleave("idle", &contenders, runs, |&protocol, _| {
        measure(plan, protocol, idle, length)
    });
    Ok(Table {
        title: format!("idle: {idle} connections that do nothing"),
        notes: vec![format!(
            "Each has made one call. Resident memory of the node, before and after they came, per \
             connection; and {ACTIVE} other connections in a closed loop, {:.1} s before and {:.1} \
             s after that. In the end each idle connection makes another call, which is answered.",
            length.as_secs_f64(),
            length.as_secs_f64()
        )],
        columns: vec![
            column("KiB a connection", 1),
            column("node MiB before", 1),
            column("node MiB after", 1),
            column("calls/s alone", 0),
            column("calls/s beside them", 0),
            column("p99 µs alone", 0),
            column("p99 µs beside them", 0),
        ],
        rows,
    })
}

/// The node and its worker inherit it.
fn allow_descriptors(connections: usize) -> Result<()> {
    let needed = u64::try_from(connections).expect("a small number") + DESCRIPTORS;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        ensure!(
            limit.maximum.is_none_or(|maximum| maximum >= needed),
            "{connections} connections need {needed} descriptors: see `ulimit -Hn`"
        );
        limit.current = Some(needed);
        setrlimit(Resource::Nofile, limit).context("cannot have more descriptors")?;
    }
    Ok(())
}

fn measure(plan: &Plan, protocol: Protocol, idle: usize, length: Duration) -> Result<Vec<f64>> {
    let running = Side::Katamari.start(protocol, &plan.places)?;
    let node = running.server.process();
    let mut crowd = Crowd::new(protocol, running.address)?;
    crowd.grow(ACTIVE)?;
    if !plan.is_check {
        crowd.load(ACTIVE, WARM_UP)?;
    }
    let alone = crowd.load(ACTIVE, length)?;
    let before = figure(processes::resident_bytes(node));
    crowd.grow(idle)?;
    let after = figure(processes::resident_bytes(node));
    let beside = crowd.load(ACTIVE, length)?;
    crowd.call_each().context("not all idle connections live")?;
    running.server.stop()?;
    let connections = figure(u64::try_from(idle).expect("a small number"));
    let (kib, mib) = (1024.0, 1024.0 * 1024.0);
    Ok(vec![
        (after - before) / connections / kib,
        before / mib,
        after / mib,
        calls_per_second(&alone),
        calls_per_second(&beside),
        p99_us(&alone),
        p99_us(&beside),
    ])
}

fn calls_per_second(load: &Closed) -> f64 {
    figure(load.tally.count(Outcome::Answered)) / load.elapsed.as_secs_f64()
}

fn p99_us(load: &Closed) -> f64 {
    load.tally.quantile_ms(Outcome::Answered, 0.99) * 1e3
}
