//! Clusters of several nodes on loopback, each a process, and a master as well.

use super::{Node, Setup, eventually, stderr, stdout};
use serde_json::Value;
use std::net::TcpListener;

/// Nodes n1, n2 and so on.
pub struct Cluster {
    pub nodes: Vec<Node>,
    token: String,
}

impl Cluster {
    /// Founds a cluster and lets others join it.
    pub fn of(count: usize) -> Self {
        let first = Setup::new(&head("n1"));
        let init = first.run(&["init"]);
        assert!(init.status.success(), "{}", stderr(&init));
        let said = stdout(&init);
        let token = said
            .split_whitespace()
            .find(|word| word.starts_with("katamari-"));
        let mut cluster = Self {
            token: token.expect("init prints a token").to_owned(),
            nodes: vec![first.up()],
        };
        for _ in 1..count {
            cluster.join();
        }
        cluster
    }

    /// Lets another node join.
    pub fn join(&mut self) {
        let count = self.nodes.len() + 1;
        let setup = Setup::new(&head(&format!("n{count}")));
        let address = self.seen()["nodes"][0]["address"].clone();
        let address = address.as_str().expect("the first node's").to_owned();
        self.nodes.push(setup.join(&address, &self.token));
        eventually("all masters", || {
            let seen = self.seen();
            let masters = seen["masters"].as_array()?;
            let are_reached = masters.iter().all(|master| master["reached"] == true);
            (masters.len() == count && are_reached).then_some(())
        });
    }

    /// The cluster as its first node sees it.
    pub fn seen(&self) -> Value {
        let status = self.nodes[0].katamari(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        status["cluster"].clone()
    }
}

/// The first lines of a node's configuration.
pub fn head(name: &str) -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let free = free.expect("the system has a free port");
    format!("[node]\nname = \"{name}\"\nlisten = \"{free}\"\n")
}
