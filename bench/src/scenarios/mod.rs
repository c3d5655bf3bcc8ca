//! The scenarios: one file each, with what it measures and under which load.

mod across;
mod crash;
mod echo;
mod faceplates;
mod floor;
mod hang;
mod idle;
mod memory;
mod overload;
mod web;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::faceplates::Protocol;
use crate::peers::{Peer, Places, Setup};
use crate::report::{Row, Table};
use crate::server::Server;

pub use memory::CALLS as MEMORY_CALLS;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// How fast it can be.
    Echo,
    /// More calls than it can answer.
    Overload,
    /// Workers that are killed.
    Crash,
    /// Calls that hang.
    Hang,
    /// Workers that leak.
    Memory,
    /// What the dispatcher adds to a bare loop.
    Floor,
    /// What it costs a call to run on another node.
    Across,
    /// Each protocol, next to an echo server on the same library.
    Faceplates,
    /// Connections that do nothing.
    Idle,
    /// A web application, fast and while its processes die.
    Web,
    /// Which slot gets which call across nodes, simulated.
    Routing,
    /// The same for a cluster of full size.
    RoutingScale,
    /// All of them.
    All,
}

/// What the command line asks for.
pub struct Plan {
    /// Where things are.
    pub places: Places,
    /// Runs of each server, if not the scenario's own number.
    pub runs: Option<usize>,
    /// Length of a run, if not the scenario's own.
    pub length: Option<Duration>,
    /// Calls of a run of `memory`.
    pub memory_calls: u64,
    /// The servers to measure; all if empty.
    pub peers: Vec<Peer>,
    /// The protocols to measure; all if empty.
    pub protocols: Vec<Protocol>,
    /// Whether all that matters is that it works.
    pub is_check: bool,
    /// What arrivals are drawn from.
    pub seed: u64,
}

impl Plan {
    /// How often everything is measured.
    pub fn runs(&self, default: usize) -> usize {
        self.runs.unwrap_or(default).max(1)
    }

    /// How long a run takes.
    pub fn length(&self, default_s: u64) -> Duration {
        self.length.unwrap_or(Duration::from_secs(default_s))
    }

    fn wants(&self, peer: Peer) -> bool {
        self.peers.is_empty() || self.peers.contains(&peer)
    }

    /// The protocols that are wanted.
    fn protocols(&self) -> Vec<Protocol> {
        let wanted =
            |protocol: &Protocol| self.protocols.is_empty() || self.protocols.contains(protocol);
        let all = Protocol::value_variants().iter().copied();
        all.filter(wanted).collect()
    }

    /// The arrivals differ from run to run, but not from server to server.
    pub fn seed(&self, run: usize) -> u64 {
        self.seed
            .wrapping_add(u64::try_from(run).expect("a small number"))
    }
}

impl Scenario {
    /// The scenarios that this one stands for.
    pub fn singles(self) -> Vec<Self> {
        match self {
            Self::All => {
                vec![
                    Self::Echo,
                    Self::Overload,
                    Self::Crash,
                    Self::Hang,
                    Self::Memory,
                    Self::Floor,
                    Self::Across,
                    Self::Faceplates,
                    Self::Idle,
                    Self::Web,
                    Self::Routing,
                    Self::RoutingScale,
                ]
            }
            single => vec![single],
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Overload => "overload",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Memory => "memory",
            Self::Floor => "floor",
            Self::Across => "across",
            Self::Faceplates => "faceplates",
            Self::Idle => "idle",
            Self::Web => "web",
            Self::Routing => "routing",
            Self::RoutingScale => "routing-scale",
            Self::All => "all",
        }
    }

    /// Measures all servers.
    pub fn run(self, plan: &Plan) -> Result<Table> {
        match self {
            Self::Echo => echo::run(plan),
            Self::Overload => overload::run(plan),
            Self::Crash => crash::run(plan),
            Self::Hang => hang::run(plan),
            Self::Memory => memory::run(plan),
            Self::Floor => floor::run(plan),
            Self::Across => across::run(plan),
            Self::Faceplates => faceplates::run(plan),
            Self::Idle => idle::run(plan),
            Self::Web => web::run(plan),
            Self::Routing => crate::routing::run(plan),
            Self::RoutingScale => crate::routing::run_scale(plan),
            Self::All => unreachable!("`singles` never gives it"),
        }
    }
}

/// One line of a table: a name, and what is measured under it.
struct Contender<What> {
    name: String,
    what: What,
}

/// A server in one setting.
struct Setting {
    peer: Peer,
    setup: Setup,
}

impl Setting {
    /// Starts the server, lets `measure` put load on it, and stops it.
    fn measure<Found>(
        &self,
        plan: &Plan,
        measure: impl FnOnce(&Server) -> Result<Found>,
    ) -> Result<Found> {
        let launch = self.peer.launch(&self.setup, &plan.places)?;
        let workers = self.setup.workers
            + if self.peer == Peer::Katamari {
                self.setup.spare
            } else {
                0
            };
        let server = Server::start(launch, self.setup.function, workers)?;
        let found = measure(&server)?;
        server.stop()?;
        Ok(found)
    }
}

/// The wanted ones of these servers, each in the same setting.
fn servers(plan: &Plan, peers: &[Peer], setup: &Setup) -> Vec<Contender<Setting>> {
    let contender = |&peer: &Peer| Contender {
        name: peer.name().to_owned(),
        what: Setting {
            peer,
            setup: setup.clone(),
        },
    };
    peers
        .iter()
        .filter(|&&peer| plan.wants(peer))
        .map(contender)
        .collect()
}

/// Measures all in turn, then all again: what else the machine does meets everyone alike. A server
/// that fails leaves a note in its row and does not stop the others.
fn interleave<What>(
    scenario: &str,
    contenders: &[Contender<What>],
    runs: usize,
    mut measure: impl FnMut(&What, usize) -> Result<Vec<f64>>,
) -> Vec<Row> {
    let empty = |contender: &Contender<What>| Row {
        server: contender.name.clone(),
        runs: Vec::new(),
        errors: Vec::new(),
    };
    let mut rows: Vec<Row> = contenders.iter().map(empty).collect();
    for run in 0..runs {
        for (contender, row) in contenders.iter().zip(&mut rows) {
            eprintln!("{scenario}: run {} of {runs}: {}", run + 1, contender.name);
            match measure(&contender.what, run) {
                Ok(figures) => row.runs.push(figures),
                Err(error) => {
                    eprintln!("  failed: {error:#}");
                    row.errors.push(format!("run {}: {error:#}", run + 1));
                }
            }
        }
    }
    rows
}

/// A count as a figure.
#[allow(clippy::cast_precision_loss, reason = "no run makes 2^52 calls")]
pub fn figure(count: u64) -> f64 {
    count as f64
}
