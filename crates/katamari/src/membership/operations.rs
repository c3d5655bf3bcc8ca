//! What the command line asks of a node, over its control socket: `POST /operate/cluster` and
//! `POST /operate/propose`. Both ends are here.

use cluster::hard::Hard;
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The cluster as one of its nodes sees it. Answer of `cluster`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen {
    /// The node that was asked.
    pub me: NodeId,
    /// Who leads, if the node reaches a master that knows.
    pub leader: Option<NodeId>,
    /// The masters that it reaches, itself included.
    pub masters: BTreeSet<NodeId>,
    /// Who is up.
    pub up: BTreeSet<NodeId>,
    /// The SHA-256 of the authority's certificate; none on a machine that is alone.
    pub fingerprint: Option<[u8; 32]>,
    /// What the masters agreed on, as far as this node may know it.
    pub hard: Hard,
}

impl Seen {
    /// The node of a name, or of an id.
    pub fn node(&self, name: &str) -> anyhow::Result<NodeId> {
        let mut nodes = self.hard.members();
        let by_name = nodes.find(|(_, record)| &*record.name == name);
        let by_id = || {
            let id = NodeId(name.parse().ok()?);
            self.hard.member(id).map(|_| id)
        };
        by_name.map(|(id, _)| id).or_else(by_id).ok_or_else(|| {
            let names = self.hard.members().map(|(_, record)| &*record.name);
            let names: Vec<&str> = names.collect();
            anyhow::anyhow!("expected a node, one of {}; got {name:?}", names.join(", "))
        })
    }
}
