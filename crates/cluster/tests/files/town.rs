//! Nodes with meshes on loopback, each with a folder of its own.

use cluster::files::{ContentHash, Entry, Files, Manifest, Store, Unpacking, Wants};
use pool::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wire::{LinkTiming, Me, Mesh, MeshSettings, Network, Security, Tcp};

/// How long a test waits for what must happen before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    pub id: NodeId,
    pub mesh: Mesh,
    pub folder: TempDir,
}

impl Node {
    /// A node that serves no files yet.
    pub async fn new(id: u32) -> Self {
        Self::speaking(id, 2).await
    }

    /// A node of a build that speaks this version of the link protocol at most.
    pub async fn speaking(id: u32, version: u16) -> Self {
        let me = Me {
            node: NodeId(id),
            name: format!("n{id}").into(),
            incarnation: u64::from(id),
            cluster: "test".into(),
        };
        let network = Arc::new(Tcp);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = network.listen(any).await.expect("a port");
        let settings = MeshSettings {
            // Slow to take a pause of a busy machine for a death.
            timing: LinkTiming {
                silence: PATIENCE,
                ..LinkTiming::default()
            },
            versions: 1..=version,
            seed: u64::from(id),
        };
        let mesh = Mesh::start(me, network, listener, Security::Plain, settings);
        Self {
            id: NodeId(id),
            mesh: mesh.expect("it starts"),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Serves and fetches.
    pub fn files(&self) -> Files {
        Files::start(self.id, self.mesh.clone(), self.folder.path()).expect("a good folder")
    }

    /// The path of a content in its store.
    pub fn content(&self, content: ContentHash) -> PathBuf {
        self.folder.path().join("files").join(content.to_string())
    }

    /// Puts the contents of a program straight into its store.
    pub fn has(&self, program: &Program) {
        let store = Store::open(self.folder.path()).expect("a good folder");
        for text in program.texts.iter().chain([&program.manifest.encode()]) {
            store.put(text).expect("a good disk");
        }
    }
}

/// Links all nodes.
pub async fn link(nodes: &[&Node]) {
    let addresses = nodes
        .iter()
        .map(|node| (node.id, node.mesh.address().to_string()));
    let addresses: BTreeMap<NodeId, String> = addresses.collect();
    for node in nodes {
        let mut others = addresses.clone();
        others.remove(&node.id);
        node.mesh.want(others);
    }
    let are_linked = || {
        nodes
            .iter()
            .all(|node| node.mesh.links().len() == nodes.len() - 1)
    };
    eventually("all links", || are_linked().then_some(())).await;
}

pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Files of a program.
#[derive(Clone)]
pub struct Program {
    pub manifest: Manifest,
    pub texts: Vec<Vec<u8>>,
}

/// Files by path; the first may be run.
pub fn program(files: &[(&str, &[u8])]) -> Program {
    let entries = files.iter().enumerate().map(|(index, (path, text))| Entry {
        path: (*path).to_owned(),
        executable: index == 0,
        size: text.len() as u64,
        content: ContentHash::of(text),
    });
    Program {
        manifest: Manifest::new(entries.collect()).expect("a good one"),
        texts: files.iter().map(|(_, text)| text.to_vec()).collect(),
    }
}

/// Bytes that are not all the same.
pub fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

/// Wants to unpack programs, with these masters as sources.
pub fn unpack(programs: &[&Program], masters: &[u32]) -> Wants {
    Wants {
        unpack: programs
            .iter()
            .map(|program| program.manifest.hash())
            .collect(),
        masters: masters.iter().copied().map(NodeId).collect(),
        ..Wants::default()
    }
}

/// Wants to keep programs, with these masters.
pub fn keep(programs: &[&Program], masters: &[u32]) -> Wants {
    let wants = unpack(programs, masters);
    Wants {
        keep: wants.unpack,
        unpack: Default::default(),
        masters: wants.masters,
    }
}

/// Waits until a program is unpacked, and gives its folder.
pub async fn unpacked(files: &Files, program: &Program) -> PathBuf {
    let name = program.manifest.hash();
    let mut unpacked = files.unpacked();
    let ready = unpacked.wait_for(|all| matches!(all.get(&name), Some(Unpacking::Ready(_))));
    let ready = tokio::time::timeout(PATIENCE, ready).await;
    let ready = ready
        .expect("it is unpacked in time")
        .expect("the node is there");
    match &ready[&name] {
        Unpacking::Ready(folder) => folder.clone(),
        Unpacking::Fetching { .. } => unreachable!("it was waited for"),
    }
}

/// Waits until an attempt has failed, and gives why.
pub async fn problem(files: &Files, program: &Program) -> String {
    let name = program.manifest.hash();
    let why = |unpacking: &Unpacking| match unpacking {
        Unpacking::Fetching { problem, .. } => problem.as_deref().map(str::to_owned),
        Unpacking::Ready(_) => None,
    };
    let mut unpacked = files.unpacked();
    let failed = unpacked.wait_for(|all| all.get(&name).and_then(why).is_some());
    let failed = tokio::time::timeout(PATIENCE, failed).await;
    let failed = failed
        .expect("it fails in time")
        .expect("the node is there");
    why(&failed[&name]).expect("it was waited for")
}
