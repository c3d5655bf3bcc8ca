//! What it costs a call to run on another node: one machine alone, next to two nodes joined by TLS, of
//! which one takes calls in and the other runs the worker.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Contender, Plan, figure, interleave};
use crate::load::{self, Until};
use crate::peers::{Peer, Places, Setup};
use crate::processes;
use crate::report::{Table, column};
use crate::server::{Address, Launch, Server};
use crate::tally::Outcome;

/// How the worker is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodes {
    One,
    Two,
}

pub fn run(plan: &Plan) -> Result<Table> {
    let length = plan.length(5);
    let mut contenders = Vec::new();
    for connections in [1, 64] {
        for (nodes, name) in [(Nodes::One, "one node"), (Nodes::Two, "two nodes, TLS")] {
            contenders.push(Contender {
                name: format!("{name}, connections: {connections}"),
                what: (nodes, connections),
            });
        }
    }
    let rows = interleave("across", &contenders, plan.runs(5), |what, _| {
        let (nodes, connections) = *what;
        let server = start(nodes, plan)?;
        let cpu_before_s = processes::cpu_seconds();
        let until = Until::Time(length);
        let run = load::closed(server.address(), server.request(""), connections, until)?;
        let cpu_s = processes::cpu_seconds() - cpu_before_s;
        server.stop()?;
        let answered = figure(run.tally.count(Outcome::Answered));
        Ok(vec![
            answered / run.elapsed.as_secs_f64(),
            run.tally.quantile_ms(Outcome::Answered, 0.5) * 1e3,
            run.tally.quantile_ms(Outcome::Answered, 0.99) * 1e3,
            cpu_s / answered * 1e6,
        ])
    });
    Ok(Table {
        title: "across: a call that runs on another node".to_owned(),
        notes: vec![format!(
            "{} s a run. A Python worker that gives back its argument; client, nodes and worker \
             share the cores.",
            length.as_secs()
        )],
        columns: vec![
            column("calls/s", 0),
            column("p50 µs", 0),
            column("p99 µs", 0),
            column("CPU µs a call", 1),
        ],
        rows,
    })
}

fn start(nodes: Nodes, plan: &Plan) -> Result<Server> {
    let setup = Setup {
        function: "echo",
        katamari: "floor",
        workers: 1,
        ..Setup::default()
    };
    let launch = match nodes {
        Nodes::One => Peer::Katamari.launch(&setup, &plan.places)?,
        Nodes::Two => two_nodes(&plan.places)?,
    };
    Server::start(launch, setup.function, setup.workers)
}

/// A master that runs the worker, and a node that takes calls in.
fn two_nodes(places: &Places) -> Result<Launch> {
    let folder = tempfile::Builder::new()
        .prefix("katamari-bench-")
        .tempdir()?;
    let manager = node(folder.path(), "manager", r#"["master", "manager"]"#, places)?;
    node(folder.path(), "face", r#"["faceplate"]"#, places)?;
    let init = command(places, &folder.path().join("manager"))
        .arg("init")
        .output()
        .context("cannot run katamari init")?;
    let said = String::from_utf8_lossy(&init.stdout);
    ensure!(
        init.status.success(),
        "katamari init failed: {}",
        String::from_utf8_lossy(&init.stderr)
    );
    let token = said
        .split_whitespace()
        .find(|word| word.starts_with("katamari-"))
        .context("katamari init printed no join token")?;
    let ready_file = folder.path().join("ready");
    let mut up = command(places, &folder.path().join("manager"));
    up.arg("up");
    let mut join = command(places, &folder.path().join("face"));
    join.args(["join", &manager, "--token", token, "--ready-file"])
        .arg(&ready_file);
    Ok(Launch {
        commands: vec![up, join],
        address: Address::InFile(ready_file),
        keep_alive: true,
        headers: Vec::new(),
        folder,
    })
}

/// Writes a node's configuration, and gives the address of its links.
fn node(folder: &Path, name: &str, roles: &str, places: &Places) -> Result<String> {
    // Links need an address that others are told before the node starts.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let folder = folder.join(name);
    fs::create_dir(&folder)?;
    let mut text = format!(
        "[node]\nname = \"{name}\"\nlisten = \"{address}\"\nroles = {roles}\n\
         [faceplate.http]\nlisten = \"127.0.0.1:0\"\n"
    );
    if name == "manager" {
        text += &format!(
            "[program.bench]\ncommand = [{:?}, {:?}]\ndialect = \"json\"\nenv = {{ PYTHONPATH = {:?} }}\n",
            places.python(),
            places.handlers().join("katamari_worker.py"),
            places.chassis()
        );
    }
    fs::write(folder.join("katamari.toml"), text)?;
    Ok(address.to_string())
}

fn command(places: &Places, folder: &Path) -> Command {
    let mut command = Command::new(&places.katamari);
    command.current_dir(folder);
    command
}
