//! How fast a server can be: a handler that does nothing, and connections that never pause.

use anyhow::Result;

use super::{Plan, figure, interleave, servers};
use crate::load::{self, Until};
use crate::peers::{Peer, Setup};
use crate::processes;
use crate::report::{Table, column};
use crate::tally::Outcome;

const WORKERS: usize = 2;
const CONNECTIONS: u64 = 64;

pub fn run(plan: &Plan) -> Result<Table> {
    let peers = [
        Peer::Katamari,
        Peer::Uwsgi,
        Peer::UwsgiSocket,
        Peer::Gunicorn,
        Peer::Mosec,
        Peer::Haproxy,
        Peer::Granian,
    ];
    let setup = Setup {
        function: "echo",
        katamari: "echo",
        workers: WORKERS,
        ..Setup::default()
    };
    let length = plan.length(5);
    let contenders = servers(plan, &peers, &setup);
    let rows = interleave("echo", &contenders, plan.runs(5), |setting, _| {
        setting.measure(plan, |server| {
            let client_before_s = processes::own_cpu_seconds();
            let cpu_before_s = processes::cpu_seconds();
            let request = server.request("");
            let run = load::closed(server.address(), request, CONNECTIONS, Until::Time(length))?;
            let cpu_s = processes::cpu_seconds() - cpu_before_s;
            let client_s = processes::own_cpu_seconds() - client_before_s;
            let answered = figure(run.tally.count(Outcome::Answered));
            Ok(vec![
                answered / run.elapsed.as_secs_f64(),
                run.tally.quantile_ms(Outcome::Answered, 0.5),
                run.tally.quantile_ms(Outcome::Answered, 0.99),
                cpu_s / answered * 1e3,
                client_s / answered * 1e3,
                figure(run.tally.lost()),
            ])
        })
    });
    Ok(Table {
        title: format!("echo: {CONNECTIONS} connections, {WORKERS} workers, nothing to do"),
        notes: vec![format!(
            "{} s a run. gunicorn's sync workers and uWSGI without its router take a new \
             connection for each call; granian runs the handler inside the server, unisolated.",
            length.as_secs()
        )],
        columns: vec![
            column("calls/s", 0),
            column("p50 ms", 2),
            column("p99 ms", 2),
            column("server CPU s per 1,000 calls", 4),
            column("client CPU s per 1,000 calls", 4),
            column("lost", 0),
        ],
        rows,
    })
}
