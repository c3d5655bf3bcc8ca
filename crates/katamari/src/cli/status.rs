//! `katamari status`: the cluster, programs, pools, and with `--workers` each worker.

use super::nodes::{self, Cluster};
use super::style::{self, Style};
use super::table::{Cell, Table, painted, plain};
use super::{NodeArgs, client, say};
use http::Method;
use serde::Deserialize;
use std::process::ExitCode;

/// Characters of a pool's functions; `--json` has all of them.
const FUNCTIONS_SHOWN_MAX: usize = 60;

const EXAMPLES: &str = "\
Examples:
  katamari status
  katamari status --workers
  katamari status --json | jq '.programs[] | select(.state != \"running\")'";

/// The arguments of `katamari status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Show each worker and the last log lines as well
    #[arg(long, short)]
    workers: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// What the node tells, as far as people need it.
#[derive(Debug, Deserialize)]
struct Status {
    node: String,
    version: String,
    uptime_s: f64,
    draining: bool,
    calls_in_flight: usize,
    calls_waiting_for_programs: usize,
    pools: Vec<Pool>,
    programs: Vec<Program>,
    /// None on a machine that is alone.
    cluster: Option<Cluster>,
}

#[derive(Debug, Deserialize)]
struct Pool {
    kind: Option<String>,
    #[serde(default)]
    versions: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    signatures: Vec<String>,
    weight: u32,
    #[serde(default)]
    shadow: bool,
    slots: usize,
    free: usize,
    running: usize,
    waiting: Waiting,
    queue_max: usize,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    high: usize,
    normal: usize,
    low: usize,
}

#[derive(Debug, Deserialize)]
struct Program {
    name: String,
    version: u32,
    state: String,
    problem: Option<String>,
    workers_wanted: usize,
    workers_live: usize,
    starts: u64,
    failures: u64,
    retirements: u64,
    log_lines_dropped: u64,
    workers: Vec<Worker>,
    log: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Worker {
    id: String,
    pid: u32,
    state: String,
    age_s: f64,
    calls: u64,
    running: usize,
    memory_bytes: u64,
}

/// Asks the node and prints how it is doing.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let bytes = args
        .node
        .connect()
        .await?
        .ask(Method::GET, "/status")
        .await?;
    if args.node.json {
        say(&String::from_utf8_lossy(&bytes))?;
    } else {
        say(&show(
            &client::parse(&bytes)?,
            args.workers,
            style::of_stdout(),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(status: &Status, workers: bool, style: Style) -> String {
    let mut text = format!(
        "{}  version {}, up {}, {} calls in flight",
        style.bold(&status.node),
        status.version,
        shown_age(status.uptime_s),
        status.calls_in_flight,
    );
    if status.calls_waiting_for_programs > 0 {
        text += &format!(
            ", {} waiting for programs",
            status.calls_waiting_for_programs
        );
    }
    if status.draining {
        text += &style.yellow(", draining");
    }
    text += "\n\n";
    if let Some(cluster) = &status.cluster {
        text += &nodes::show(cluster, style);
        text += &format!("on {}\n", style.bold(&style::clean(&status.node)));
    }
    text += &programs(status).render(style);
    text += "\n";
    text += &pools(status).render(style);
    if workers {
        for program in &status.programs {
            text += &format!("\n{}\n", style.bold(&name_of(program, &status.programs)));
            let node = status.cluster.as_ref().map(|_| status.node.as_str());
            text += &worker_table(program, node).render(style);
            for line in &program.log {
                text += &format!("  {}\n", style.dim(&style::clean(line)));
            }
            if program.log_lines_dropped > 0 {
                text += &format!("  {} log lines dropped\n", program.log_lines_dropped);
            }
        }
    }
    text
}

/// Of two versions side by side the name says which is which.
fn name_of(program: &Program, all: &[Program]) -> String {
    let same = all.iter().filter(|other| other.name == program.name);
    if same.count() > 1 {
        format!("{} version {}", program.name, program.version)
    } else {
        program.name.clone()
    }
}

fn programs(status: &Status) -> Table {
    let headings = [
        "PROGRAM", "STATE", "WORKERS", "STARTS", "FAILURES", "RETIRED", "PROBLEM",
    ];
    let mut table = Table::new(&headings);
    for program in &status.programs {
        let problem = program.problem.as_deref().unwrap_or_default();
        let problem = style::clean(problem.lines().next().unwrap_or_default());
        table.row([
            painted(name_of(program, &status.programs), Style::bold),
            state(&program.state),
            plain(format!(
                "{}/{}",
                program.workers_live, program.workers_wanted
            )),
            plain(program.starts),
            plain(program.failures),
            plain(program.retirements),
            painted(problem, Style::red),
        ]);
    }
    table
}

fn pools(status: &Status) -> Table {
    let headings = [
        "POOL",
        "DETAILS",
        "WEIGHT",
        "SLOTS",
        "FREE",
        "RUNNING",
        "WAITING",
        "FUNCTIONS",
    ];
    let mut table = Table::new(&headings);
    for pool in &status.pools {
        let Waiting { high, normal, low } = pool.waiting;
        table.row([
            painted(pool.kind.as_deref().unwrap_or("-"), Style::bold),
            plain(details(pool)),
            plain(if pool.shadow {
                "shadow".to_owned()
            } else {
                pool.weight.to_string()
            }),
            plain(pool.slots),
            plain(pool.free),
            plain(pool.running),
            plain(format!("{}/{}", high + normal + low, pool.queue_max)),
            painted(functions(pool), Style::dim),
        ]);
    }
    table
}

fn functions(pool: &Pool) -> String {
    let all = pool.signatures.join(" ");
    if all.chars().count() <= FUNCTIONS_SHOWN_MAX {
        return all;
    }
    all.chars()
        .take(FUNCTIONS_SHOWN_MAX)
        .chain("...".chars())
        .collect()
}

fn details(pool: &Pool) -> String {
    let versions = pool
        .versions
        .iter()
        .map(|(key, version)| format!("{key}={version}"));
    let tags = pool.tags.iter().map(|tag| format!("#{tag}"));
    let roles = pool.roles.iter().map(|role| format!("@{role}"));
    let all: Vec<_> = versions.chain(tags).chain(roles).collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(" ")
    }
}

/// Workers, with the name of their node where there may be others.
fn worker_table(program: &Program, node: Option<&str>) -> Table {
    let mut headings = vec![
        "WORKER", "PID", "STATE", "AGE", "CALLS", "RUNNING", "MEMORY",
    ];
    if node.is_some() {
        headings.insert(1, "NODE");
    }
    let mut table = Table::new(&headings);
    for worker in &program.workers {
        let mut row = vec![
            plain(&worker.id),
            plain(worker.pid),
            state(&worker.state),
            plain(shown_age(worker.age_s)),
            plain(worker.calls),
            plain(worker.running),
            plain(format!(
                "{:.1} MiB",
                worker.memory_bytes as f64 / f64::from(1 << 20)
            )),
        ];
        if let Some(node) = node {
            row.insert(1, plain(node));
        }
        table.row(row);
    }
    table
}

fn state(state: &str) -> Cell {
    let paint = match state {
        "running" | "ready" | "standby" => Style::green,
        "crash_looping" => Style::red,
        _ => Style::yellow,
    };
    painted(state.replace('_', " "), paint)
}

fn shown_age(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_in_two_units() {
        for (seconds, shown) in [
            (0.9, "0s"),
            (59.0, "59s"),
            (61.0, "1m01s"),
            (7_260.0, "2h01m"),
            (90_000.0, "1d01h"),
        ] {
            assert_eq!(shown_age(seconds), shown);
        }
    }

    #[test]
    fn status_is_shown_as_tables() {
        let status = r#"{"node": "laptop", "version": "0.1.0", "uptime_s": 61.0,
            "draining": false, "calls_in_flight": 2, "calls_waiting_for_programs": 0,
            "pools": [{"kind": "parse", "versions": {"grammar": "5"}, "tags": ["en"],
                "functions": [], "signatures": ["linkage(text, limit?)"], "programs": ["parse"],
                "weight": 1, "slots": 2, "free": 0, "running": 2,
                "waiting": {"high": 0, "normal": 3, "low": 0, "bytes": 90}, "queue_max": 100}],
            "programs": [
                {"name": "parse", "version": 3, "state": "running", "workers_wanted": 2, "spare_wanted": 0,
                 "workers_live": 2, "starts": 5, "failures": 2, "retirements": 1,
                 "log_lines_dropped": 0, "log": ["1234: hello"], "workers": [{"id": "0-1",
                 "pid": 1234, "state": "ready", "age_s": 3.0, "calls": 7, "running": 1,
                 "memory_bytes": 5242880}]},
                {"name": "broken", "version": 1, "state": "crash_looping", "problem": "exit status 1\nmore",
                 "workers_wanted": 1, "spare_wanted": 0, "workers_live": 0, "starts": 9,
                 "failures": 9, "retirements": 0, "log_lines_dropped": 4, "log": [], "workers": []}
            ]}"#;
        let expected = "\
laptop  version 0.1.0, up 1m01s, 2 calls in flight

PROGRAM  STATE          WORKERS  STARTS  FAILURES  RETIRED  PROBLEM
parse    running        2/2      5       2         1
broken   crash looping  0/1      9       9         0        exit status 1

POOL   DETAILS        WEIGHT  SLOTS  FREE  RUNNING  WAITING  FUNCTIONS
parse  grammar=5 #en  1       2      0     2        3/100    linkage(text, limit?)

parse
WORKER  PID   STATE  AGE  CALLS  RUNNING  MEMORY
0-1     1234  ready  3s   7      1        5.0 MiB
  1234: hello

broken
WORKER  PID  STATE  AGE  CALLS  RUNNING  MEMORY
  4 log lines dropped
";
        assert_eq!(
            show(&serde_json::from_str(status).unwrap(), true, Style::plain()),
            expected
        );
    }
}
