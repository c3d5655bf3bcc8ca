//! Side-by-side measurements of Katamari and the servers that do a part of its work.
//!
//! `bench/README.md` says what is measured and why it is fair. The way through the code: a scenario
//! (`scenarios/`) names its servers (`peers`), starts them one after the other, again and again
//! (`server`), puts load on each (`load` on top of `client`), and makes a table (`report`).

mod arrivals;
mod bare;
mod client;
mod cluster;
mod faceplates;
mod http;
mod load;
mod peers;
mod processes;
mod report;
mod routing;
mod scenarios;
mod server;
mod tally;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use faceplates::Protocol;
use peers::{Peer, Places};
use report::Table;
use scenarios::{Plan, Scenario};

/// How often we look again when waiting for another process.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Compares Katamari with its peers on this machine.
#[derive(Parser)]
#[command(name = "katamari-bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    scenario: Scenario,
    /// How often each server is measured; each scenario has its own default.
    #[arg(long)]
    runs: Option<usize>,
    /// How long each run takes, in seconds; each scenario has its own default.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many calls a run of `memory` makes.
    #[arg(long, default_value_t = scenarios::MEMORY_CALLS)]
    calls: u64,
    /// Only these servers.
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Only these protocols, in `faceplates` and `idle`.
    #[arg(long, value_enum, value_delimiter = ',')]
    protocols: Vec<Protocol>,
    /// See whether `faceplates` and `idle` still work: short, with few connections; the figures
    /// mean nothing and are not kept.
    #[arg(long)]
    check: bool,
    /// Also write all figures of all runs to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The program `katamari`.
    #[arg(long, default_value = "target/release/katamari")]
    katamari: PathBuf,
    /// What the arrivals are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what clusters of real processes promise while nodes die, hang and lose each other.
    Cluster(cluster::Arguments),
    /// Serves a protocol without Katamari, for `faceplates`.
    EchoServer(faceplates::echo::Arguments),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let bench = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    ensure!(
        bench.is_dir(),
        "{} is gone; build the bench again",
        bench.display()
    );
    let places = |katamari: &Path| Places {
        bench: bench.clone(),
        // Relative to the tree; what is absolute stays as it is.
        katamari: bench.join("..").join(katamari),
    };
    processes::adopt_orphans()?;
    match &arguments.command {
        Some(Command::Cluster(arguments)) => {
            return cluster::run(arguments, places(&arguments.katamari));
        }
        Some(Command::EchoServer(arguments)) => return faceplates::echo::run(arguments),
        None => {}
    }
    let plan = Plan {
        places: places(&arguments.katamari),
        runs: arguments.runs,
        length: arguments.seconds.map(Duration::from_secs),
        memory_calls: arguments.calls,
        peers: arguments.peers,
        protocols: arguments.protocols,
        is_check: arguments.check,
        seed: arguments.seed,
    };
    let mut tables = Vec::new();
    for scenario in arguments.scenario.singles() {
        let table = scenario.run(&plan)?;
        println!("{}", table.markdown());
        if !arguments.check {
            save(&bench.join("results"), scenario.name(), &table)?;
        }
        tables.push(table);
    }
    if let Some(file) = arguments.json {
        write_json(&file, &tables)?;
    }
    let failed = tables
        .iter()
        .flat_map(|table| &table.rows)
        .any(|row| !row.errors.is_empty());
    ensure!(
        !failed,
        "not every server could be measured; the tables say why"
    );
    Ok(())
}

fn save(folder: &Path, name: &str, table: &Table) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{name}.md"));
    fs::write(&file, table.markdown())
        .with_context(|| format!("cannot write {}", file.display()))?;
    write_json(&folder.join(format!("{name}.json")), table)
}

fn write_json(file: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("figures are always JSON")?;
    fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// Waits a moment for another process, which has no way to tell us.
#[allow(
    clippy::disallowed_methods,
    reason = "a server starts or stops; there is no event to wait for"
)]
fn pause() {
    std::thread::sleep(POLL_INTERVAL);
}
