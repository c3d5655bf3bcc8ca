//! Whole clusters of real processes, each in a network namespace of its own, under load while nodes
//! are killed, stopped, cut off, muted, slowed, and come back.
//!
//! The way through the code: a scenario (`scenarios`, `upgrade`, `storm`) starts a cluster (`town`, of `node`s on
//! a `network`), puts load on its faceplates (`load`), lets something befall it, reads what ran where
//! (`trace`), and says which promises held (`verdict`).

mod load;
mod network;
mod node;
mod scenarios;
mod storm;
mod town;
mod trace;
mod upgrade;
mod verdict;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::load::{Until, closed};
use crate::peers::Places;
use crate::tally::Outcome;
use verdict::{Run, Verdict};

/// What can befall a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The leader is killed, and comes back.
    Leader,
    /// All masters are killed, and come back.
    Masters,
    /// A node with workers is killed, and comes back.
    Manager,
    /// A rack is cut off, and connected again.
    Rack,
    /// A new version is rolled out.
    Deploy,
    /// A machine joins.
    Join,
    /// All nodes are upgraded, one after the other.
    Upgrade,
    /// All kinds of faults, drawn from a seed.
    Storm,
}

/// The command line of `katamari-bench cluster`.
#[derive(Args)]
pub struct Arguments {
    /// What is to befall the cluster; all of them if nothing is said.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// How often each.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Short runs that only tell whether the promises hold, of times generously; no figures are
    /// written.
    #[arg(long)]
    check: bool,
    /// How long a storm lasts, in seconds.
    #[arg(long)]
    storm_s: Option<u64>,
    /// What arrivals and storms are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program `katamari`.
    #[arg(long, default_value = "target/release/katamari")]
    pub katamari: PathBuf,
    /// An older `katamari`, from which `upgrade` is to start; else it is this one, held back.
    #[arg(long)]
    old: Option<PathBuf>,
}

/// How long things take.
pub struct Plan {
    /// Where things are.
    places: Places,
    /// The older `katamari` of `upgrade`.
    old: Option<PathBuf>,
    /// Between two things that befall the cluster.
    calm: Duration,
    /// How long a storm lasts.
    storm: Duration,
    /// Versions that are rolled out one after the other.
    deploys: u32,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Masters => "masters",
            Self::Manager => "manager",
            Self::Rack => "rack",
            Self::Deploy => "deploy",
            Self::Join => "join",
            Self::Upgrade => "upgrade",
            Self::Storm => "storm",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Leader => "cluster leader: the leader is killed, and comes back",
            Self::Masters => "cluster masters: all masters are killed, and come back",
            Self::Manager => "cluster manager: a node with workers is killed, and comes back",
            Self::Rack => "cluster rack: a rack of two nodes is cut off, and connected again",
            Self::Deploy => "cluster deploy: a new version, with workers that live for ten calls",
            Self::Join => "cluster join: a machine joins",
            Self::Upgrade => "cluster upgrade: each node is stopped, and started in a newer build",
            Self::Storm => "cluster storm: all kinds of faults, then none",
        }
    }

    fn run(self, plan: &Plan, seed: u64) -> Result<Run> {
        match self {
            Self::Leader => scenarios::leader(plan, seed),
            Self::Masters => scenarios::masters(plan, seed),
            Self::Manager => scenarios::manager(plan, seed),
            Self::Rack => scenarios::rack(plan, seed),
            Self::Deploy => scenarios::deploy(plan, seed),
            Self::Join => scenarios::join(plan, seed),
            Self::Upgrade => upgrade::upgrade(plan, seed),
            Self::Storm => storm::storm(plan, seed),
        }
    }
}

/// Runs what the command line asks for.
pub fn run(arguments: &Arguments, places: Places) -> Result<()> {
    if let Err(why) = network::is_possible() {
        println!("not run: {why}");
        ensure!(arguments.check, "nothing was measured");
        return Ok(());
    }
    ensure!(
        places.katamari.exists(),
        "there is no {}: build it, or name it with --katamari",
        places.katamari.display()
    );
    let s = Duration::from_secs;
    let (calm, storm, deploys) = if arguments.check {
        (s(1), s(15), 1)
    } else {
        (s(4), s(60), 2)
    };
    let old = arguments.old.as_ref().map(fs::canonicalize).transpose();
    let plan = Plan {
        places,
        old: old.context("there is no program at --old")?,
        calm,
        storm: arguments.storm_s.map_or(storm, s),
        deploys,
    };
    let chosen = match arguments.scenarios.as_slice() {
        [] => Scenario::value_variants(),
        some => some,
    };
    let mut broken = Vec::new();
    for &scenario in chosen {
        let mut runs = Vec::new();
        for run in 0..arguments.runs.max(1) {
            eprintln!("{}: run {} of {}", scenario.name(), run + 1, arguments.runs);
            runs.push(scenario.run(&plan, arguments.seed + run)?);
        }
        if !runs.iter().all(|run| run.holds(arguments.check)) {
            broken.push(scenario.name());
        }
        let verdict = Verdict {
            title: scenario.title().to_owned(),
            setting:
                "Nine processes in nine network namespaces of one machine: three masters, four \
                      managers in two racks, two faceplates; 16 Python workers; open load on both \
                      faceplates."
                    .to_owned(),
            runs,
        };
        println!("{}", verdict.markdown());
        if !arguments.check {
            save(&plan.places, scenario.name(), &verdict)?;
        }
    }
    ensure!(
        broken.is_empty(),
        "promises were broken: {}",
        broken.join(", ")
    );
    Ok(())
}

fn save(places: &Places, name: &str, verdict: &Verdict) -> Result<()> {
    let file = places
        .bench
        .join("results")
        .join(format!("cluster-{name}.md"));
    fs::write(&file, verdict.markdown())
        .with_context(|| format!("cannot write {}", file.display()))?;
    crate::write_json(&file.with_extension("json"), verdict)
}

/// Whether a faceplate answers a call.
fn first_call(address: SocketAddr) -> bool {
    let request = crate::http::Request::new(address, "/call/task/again", &[], "", true);
    let answered = closed(address, request, 1, Until::Calls(1));
    answered.is_ok_and(|closed| closed.tally.count(Outcome::Answered) == 1)
}

/// Lets time pass.
#[allow(
    clippy::disallowed_methods,
    reason = "what is measured is what goes on meanwhile"
)]
fn rest(time: Duration) {
    std::thread::sleep(time);
}
