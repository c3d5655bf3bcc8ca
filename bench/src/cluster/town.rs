//! The cluster under test: three masters, four managers in two racks, two faceplates, each a process
//! in a namespace of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::network::Network;
use super::node::{Build, Kind, Node};
use crate::peers::Places;
use crate::processes;

/// The nodes that take calls.
pub const FACEPLATES: [&str; 2] = ["faceplate1", "faceplate2"];

/// Workers of the program in all.
pub const WORKERS: u64 = 16;

/// How long a step of the start may take, on a machine that has other things to do.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Lines of a node's log that are shown when the cluster does not start.
const LOG_LINES_SHOWN: usize = 8;

const fn kind(name: &'static str, roles: &'static str, rack: &'static str) -> Kind {
    Kind { name, roles, rack }
}

/// The nodes. The first founds the cluster, so it is the first of the masters.
pub const KINDS: [Kind; 9] = [
    kind("master1", "\"master\"", "r1"),
    kind("master2", "\"master\"", "r2"),
    kind("master3", "\"master\"", "r3"),
    kind("manager1", "\"manager\"", "r1"),
    kind("manager2", "\"manager\"", "r1"),
    kind("manager3", "\"manager\"", "r2"),
    kind("manager4", "\"manager\"", "r2"),
    kind("faceplate1", "\"faceplate\"", "r1"),
    kind("faceplate2", "\"faceplate\"", "r2"),
];

/// A cluster that runs.
pub struct Town {
    nodes: BTreeMap<&'static str, Node>,
    token: String,
    python: String,
    places: Places,
    /// What new nodes run.
    build: Build,
    /// Configurations, states, sockets, logs, traces.
    folder: TempDir,
    /// Dropped after the processes in it.
    network: Network,
}

impl Town {
    /// Starts a cluster with the program of a file of `katamari/`, and waits until it is whole.
    pub fn start(places: &Places, file: &str) -> Result<Self> {
        Self::start_in(places, file, &Build::new(&places.katamari))
    }

    /// The same, of nodes of a build.
    pub fn start_in(places: &Places, file: &str, build: &Build) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kt").tempdir();
        let folder = folder.context("cannot make a folder")?;
        fs::create_dir(folder.path().join("trace")).context("cannot make a folder")?;
        let network = Network::new()?;
        let mut town = Self {
            nodes: BTreeMap::new(),
            token: String::new(),
            python: python()?,
            places: places.clone(),
            build: build.clone(),
            folder,
            network,
        };
        match town.begin(file) {
            Ok(()) => Ok(town),
            Err(error) => Err(error.context(town.logs())),
        }
    }

    fn begin(&mut self, file: &str) -> Result<()> {
        for kind in KINDS {
            self.found(kind)?;
        }
        let said = self.node("master1").run(&["init"])?;
        let token = said.split_once("--token ").map(|(_, rest)| rest);
        let token = token.and_then(|rest| rest.split_whitespace().next());
        self.token = token.context("init printed no token")?.to_owned();
        self.node_mut("master1").start(&["up"])?;
        self.wait("master1 leads", STEP_TIMEOUT, |town| {
            town.leader_of("master1") == Some("master1")
        })?;
        // All at once: newcomers must not get into each other's way.
        for kind in &KINDS[1..] {
            self.join(kind.name)?;
        }
        self.wait(
            "all nodes are up, and three are masters",
            STEP_TIMEOUT,
            |town| town.up().len() == KINDS.len() && town.masters() == 3,
        )?;
        self.apply(file, 1)?;
        self.wait("all workers are live", STEP_TIMEOUT, Town::is_whole)
    }

    /// A node that is yet to be started.
    pub fn found(&mut self, kind: Kind) -> Result<()> {
        let port = self.network.add(kind.name)?;
        let node = Node::new(kind, port, self.folder.path(), &self.build)?;
        self.nodes.insert(kind.name, node);
        Ok(())
    }

    /// Starts a node by `katamari join`.
    pub fn join(&mut self, name: &str) -> Result<()> {
        let (master, token) = (self.node("master1").link().to_string(), self.token.clone());
        self.node_mut(name)
            .start(&["join", &master, "--token", &token])
    }

    /// Makes a file of `katamari/` the cluster's programs.
    pub fn apply(&self, file: &str, version: u32) -> Result<()> {
        let path = |parts: &[&str]| {
            parts
                .iter()
                .fold(self.places.bench.clone(), |a, b| a.join(b))
        };
        let master = self.node("master2");
        let output = Command::new(master.katamari())
            .arg("apply")
            .arg("--control")
            .arg(master.control())
            .arg(path(&["katamari", file]))
            .env("BENCH_PYTHON", &self.python)
            .env("BENCH_HANDLERS", path(&["handlers"]))
            .env("BENCH_CHASSIS", path(&["..", "chassis", "python"]))
            .env("BENCH_TRACE", self.trace())
            .env("BENCH_VERSION", version.to_string())
            .stdin(Stdio::null())
            .output()
            .context("cannot start katamari")?;
        if !output.status.success() {
            bail!("apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// The node of a name.
    pub fn node(&self, name: &str) -> &Node {
        &self.nodes[name]
    }

    /// The node of a name.
    pub fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes
            .get_mut(name)
            .expect("scenarios know their nodes")
    }

    /// Where the faceplates listen.
    pub fn faceplates(&self) -> [SocketAddr; 2] {
        FACEPLATES.map(|name| self.node(name).http())
    }

    /// Where the workers' records are.
    pub fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// Who leads, as one node sees it.
    pub fn leader_of(&self, name: &str) -> Option<&'static str> {
        let seen = self.node(name).ask("POST", "/operate/cluster").ok()?;
        let leader = name_in(&seen, &seen["leader"])?;
        KINDS
            .iter()
            .map(|kind| kind.name)
            .find(|&name| name == leader)
    }

    /// Who leads, if all masters that are not struck agree.
    pub fn leader(&self) -> Option<&'static str> {
        let masters = ["master1", "master2", "master3"].into_iter();
        let mut masters = masters.filter(|name| self.node(name).struck().is_none());
        let leader = self.leader_of(masters.next()?)?;
        let agree = masters.all(|name| self.leader_of(name) == Some(leader));
        (agree && self.node(leader).struck().is_none()).then_some(leader)
    }

    /// How many masters there are, as the first one sees it.
    fn masters(&self) -> usize {
        let seen = self.node("master1").ask("POST", "/operate/cluster");
        let seen = seen.unwrap_or_default();
        seen["hard"]["masters"].as_array().map_or(0, Vec::len)
    }

    /// The level of the cluster, as the first master sees it; builds that know of none are at 1.
    pub fn level(&self) -> u64 {
        let seen = self.node("master1").ask("POST", "/operate/cluster");
        seen.unwrap_or_default()["hard"]["level"]
            .as_u64()
            .unwrap_or(1)
    }

    /// The names of those who are up, as the first master sees it that answers.
    pub fn up(&self) -> Vec<String> {
        let masters = ["master1", "master2", "master3"].into_iter();
        let mut seen = masters.filter_map(|name| {
            let seen = self.node(name).ask("POST", "/operate/cluster").ok()?;
            let up = seen["up"].as_array()?.iter();
            Some(up.filter_map(|id| name_in(&seen, id)).collect())
        });
        seen.next().unwrap_or_default()
    }

    /// How many workers take calls on these nodes, by their version.
    pub fn live_by_version(&self, names: &[&str]) -> BTreeMap<u64, u64> {
        let mut live = BTreeMap::new();
        for name in names {
            // A node that says nothing has no workers that anybody can use.
            let status = self.node(name).ask("GET", "/status").unwrap_or_default();
            for program in status["programs"].as_array().into_iter().flatten() {
                let count = |key: &str| program[key].as_u64().unwrap_or(0);
                *live.entry(count("version")).or_default() += count("workers_live");
            }
        }
        live.retain(|_, workers| *workers > 0);
        live
    }

    /// How many workers take calls on these nodes.
    pub fn live(&self, names: &[&str]) -> u64 {
        self.live_by_version(names).values().sum()
    }

    /// Whether all workers take calls, spread evenly over all managers, and no more.
    pub fn is_whole(&self) -> bool {
        let all = &KINDS.map(|kind| kind.name);
        let managers = all.iter().filter(|name| name.starts_with("manager"));
        let mut live = managers.map(|name| self.live(&[name]));
        live.all(|workers| workers == WORKERS / 4)
    }

    /// Waits until something is so, and says how long that took.
    pub fn wait_for(&self, patience: Duration, is_so: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = Instant::now();
        loop {
            if is_so(self) {
                return Some(start.elapsed());
            }
            if start.elapsed() > patience {
                return None;
            }
            crate::pause();
        }
    }

    fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        match self.wait_for(patience, is_so) {
            Some(_) => Ok(()),
            None => bail!("after {patience:?} it is still not so that {what}"),
        }
    }

    /// The last lines of all nodes.
    pub fn logs(&self) -> String {
        let mut text = String::from("the last lines of the nodes:");
        for (name, node) in &self.nodes {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                text += &format!("\n  {name}: {line}");
            }
        }
        text
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        if let Some(keep) = std::env::var_os("BENCH_KEEP_LOGS") {
            for (name, node) in &self.nodes {
                // For whoever looks for the reason of a failure; nothing depends on it.
                let _ = fs::create_dir_all(&keep);
                let _ = fs::write(Path::new(&keep).join(name), node.log());
            }
        }
        for node in self.nodes.values_mut() {
            node.bury();
        }
        processes::kill_descendants();
        processes::bury_orphans();
    }
}

/// The name of the node with an id.
fn name_in(seen: &Value, id: &Value) -> Option<String> {
    let record = &seen["hard"]["nodes"][id.as_u64()?.to_string()];
    record["name"].as_str().map(str::to_owned)
}

/// The interpreter itself: what stands in the path may be a script that looks for it, each time.
fn python() -> Result<String> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .context("cannot start python3")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
