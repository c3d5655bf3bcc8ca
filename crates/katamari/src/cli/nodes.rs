//! The part of `katamari status` that shows the cluster: who leads, nodes, programs over all nodes.

use super::style::{self, Style};
use super::table::{Cell, Table, painted, plain};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The cluster as the node tells it, as far as people need it.
#[derive(Debug, Deserialize)]
pub struct Cluster {
    is_current: bool,
    leader: Option<String>,
    masters: Vec<Master>,
    nodes: Vec<Node>,
    programs: Vec<Program>,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Master {
    name: String,
    reached: bool,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: u32,
    name: String,
    roles: Vec<String>,
    labels: BTreeMap<String, String>,
    address: String,
    state: String,
    draining: bool,
    workers_live: Option<u32>,
    workers_wanted: Option<u32>,
    running: Option<u32>,
    waiting: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Program {
    name: String,
    version: u32,
    weight: u32,
    shadow_percent: Option<u32>,
    workers_live: Option<u32>,
    workers_wanted: u32,
    nodes: Option<u32>,
    problem: Option<String>,
}

/// The cluster, as text that ends in an empty line.
pub fn show(cluster: &Cluster, style: Style) -> String {
    let mut text = masters(cluster, style) + "\n";
    if !cluster.is_current {
        text += &style.yellow("no master is reached: this is what the node was told last\n");
    }
    for warning in &cluster.warnings {
        text += &format!("{} {}\n", style.yellow("warning:"), style::clean(warning));
    }
    text += "\n";
    text += &nodes(cluster).render(style);
    text += "\n";
    if !cluster.programs.is_empty() {
        text += &programs(cluster).render(style);
        text += "\n";
    }
    text
}

fn masters(cluster: &Cluster, style: Style) -> String {
    let leader = match &cluster.leader {
        Some(leader) => format!("leader {}", style.bold(&style::clean(leader))),
        None => style.yellow("no leader"),
    };
    let masters = cluster.masters.iter().map(|master| {
        let name = style::clean(&master.name);
        if master.reached {
            name
        } else {
            format!("{name} {}", style.yellow("(not reached)"))
        }
    });
    let masters: Vec<_> = masters.collect();
    format!("{leader}  masters {}", masters.join(", "))
}

fn nodes(cluster: &Cluster) -> Table {
    let headings = [
        "NODE", "ID", "STATE", "ROLES", "LABELS", "ADDRESS", "WORKERS", "CALLS", "WAITING",
    ];
    let mut table = Table::new(&headings);
    for node in &cluster.nodes {
        let labels = node.labels.iter();
        let labels: Vec<_> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        table.row([
            painted(&node.name, Style::bold),
            plain(node.id),
            state(node),
            plain(node.roles.join(",")),
            plain(or_dash((!labels.is_empty()).then(|| labels.join(",")))),
            plain(&node.address),
            plain(of(node.workers_live, node.workers_wanted)),
            plain(or_dash(node.running)),
            plain(or_dash(node.waiting)),
        ]);
    }
    table
}

fn state(node: &Node) -> Cell {
    match (node.state.as_str(), node.draining) {
        ("up", false) => painted("up", Style::green),
        ("up", true) => painted("draining", Style::yellow),
        ("down", _) => painted("down", Style::red),
        (state, _) => painted(state, Style::yellow),
    }
}

fn programs(cluster: &Cluster) -> Table {
    let headings = [
        "PROGRAM", "VERSION", "WEIGHT", "WORKERS", "NODES", "PROBLEM",
    ];
    let mut table = Table::new(&headings);
    for program in &cluster.programs {
        let problem = program.problem.as_deref().unwrap_or_default();
        let problem = style::clean(problem.lines().next().unwrap_or_default());
        table.row([
            painted(&program.name, Style::bold),
            plain(program.version),
            plain(match program.shadow_percent {
                Some(percent) => format!("shadow {percent}%"),
                None => program.weight.to_string(),
            }),
            plain(of(program.workers_live, Some(program.workers_wanted))),
            plain(or_dash(program.nodes)),
            painted(problem, Style::red),
        ]);
    }
    table
}

/// So many of so many; a dash for what is not known.
fn of(live: Option<u32>, wanted: Option<u32>) -> String {
    match (live, wanted) {
        (None, None) => "-".to_owned(),
        (live, wanted) => format!("{}/{}", or_dash(live), or_dash(wanted)),
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = r#""nodes": [
        {"id": 1, "name": "a", "roles": ["master"], "labels": {}, "address": "a:7400",
         "state": "up", "draining": false, "workers_live": 0, "workers_wanted": 0, "running": 3,
         "waiting": 7},
        {"id": 2, "name": "b", "roles": ["manager", "faceplate"],
         "labels": {"rack": "r1", "zone": "z"}, "address": "b:7400", "state": "up",
         "draining": true, "workers_live": 1, "workers_wanted": 2, "running": 0, "waiting": 0},
        {"id": 3, "name": "c", "roles": ["manager"], "labels": {}, "address": "c:7400",
         "state": "STATE", "draining": false}]"#;

    fn shown(head: &str, state: &str, programs: &str) -> String {
        let nodes = NODES.replace("STATE", state);
        let text = format!("{{{head}, {nodes}, \"programs\": {programs}}}");
        show(&serde_json::from_str(&text).unwrap(), Style::plain())
    }

    #[test]
    fn a_cluster_is_shown_as_tables() {
        let head = r#""is_current": true, "leader": "a", "warnings": [],
            "masters": [{"name": "a", "reached": true}, {"name": "d", "reached": false}]"#;
        let programs = r#"[{"name": "parse", "version": 4, "weight": 1, "workers_live": 1,
            "workers_wanted": 3, "nodes": 1, "problem": "no place for 2 workers: full\nmore"}]"#;
        let expected = "\
leader a  masters a, d (not reached)

NODE  ID  STATE     ROLES              LABELS          ADDRESS  WORKERS  CALLS  WAITING
a     1   up        master             -               a:7400   0/0      3      7
b     2   draining  manager,faceplate  rack=r1,zone=z  b:7400   1/2      0      0
c     3   down      manager            -               c:7400   -        -      -

PROGRAM  VERSION  WEIGHT  WORKERS  NODES  PROBLEM
parse    4        1       1/3      1      no place for 2 workers: full

";
        assert_eq!(shown(head, "down", programs), expected);
    }

    #[test]
    fn a_cluster_without_masters_is_shown_as_last_told() {
        let head = r#""is_current": false, "leader": null, "warnings": ["two masters"],
            "masters": [{"name": "a", "reached": false}]"#;
        let programs = r#"[{"name": "parse", "version": 4, "weight": 1, "workers_live": null,
            "workers_wanted": 3, "nodes": null}]"#;
        let text = shown(head, "unknown", programs);
        let begin = "no leader  masters a (not reached)\n\
                     no master is reached: this is what the node was told last\n\
                     warning: two masters\n";
        assert!(text.starts_with(begin), "{text}");
        assert!(
            text.contains("parse    4        1       -/3      -\n"),
            "{text}"
        );
        assert!(text.contains("c     3   unknown "), "{text}");
    }
}
