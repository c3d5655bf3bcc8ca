//! What the tests share: meshes on loopback or on a scripted network, and waiting for events.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod fabric;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pool::NodeId;
use wire::{
    Frame, Link, LinkTiming, Me, Mesh, MeshEvent, MeshEvents, MeshSettings, Network, PROTOCOL_MAX,
    PROTOCOL_MIN, Peer, Security, Service, Tcp,
};

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn me(node: u32, incarnation: u64) -> Me {
    let name = format!("n{node}").into();
    Me {
        node: NodeId(node),
        name,
        incarnation,
        cluster: "test".into(),
    }
}

pub fn settings(seed: u64) -> MeshSettings {
    MeshSettings {
        seed,
        ..MeshSettings::default()
    }
}

/// Timing for tests with real sockets on a busy machine: slow to take a pause for a death.
pub fn patient(seed: u64) -> MeshSettings {
    let silence = Duration::from_secs(30);
    let timing = LinkTiming {
        silence,
        handshake: silence,
        connect: silence,
        ..LinkTiming::default()
    };
    MeshSettings {
        timing,
        versions: PROTOCOL_MIN..=PROTOCOL_MAX,
        seed,
    }
}

/// A mesh that listens on loopback, and its events of [`Service::Calls`].
pub async fn tcp_mesh(me: Me, security: Security, settings: MeshSettings) -> (Mesh, MeshEvents) {
    let network = Arc::new(Tcp);
    let listener = network
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("listens");
    let mesh = Mesh::start(me, network, listener, security, settings).expect("starts");
    let events = mesh.subscribe(Service::Calls);
    (mesh, events)
}

pub fn want(mesh: &Mesh, others: &[(u32, String)]) {
    let nodes = others
        .iter()
        .map(|(node, address)| (NodeId(*node), address.clone()));
    mesh.want(nodes.collect::<BTreeMap<_, _>>());
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens in time")
}

pub async fn event(events: &mut MeshEvents) -> MeshEvent {
    within(events.recv()).await.expect("the mesh is there")
}

pub async fn up(events: &mut MeshEvents) -> Link {
    match event(events).await {
        MeshEvent::Up(link) => link,
        other => panic!("expected a link to come up, got {other:?}"),
    }
}

pub async fn frame(events: &mut MeshEvents) -> (Link, Frame) {
    match event(events).await {
        MeshEvent::Frame(link, frame) => (link, frame),
        other => panic!("expected a frame, got {other:?}"),
    }
}

pub async fn down(events: &mut MeshEvents) -> (Peer, Arc<str>) {
    match event(events).await {
        MeshEvent::Down(peer, why) => (peer, why),
        other => panic!("expected a link to go down, got {other:?}"),
    }
}

/// The next link to go down, whatever comes before.
pub async fn next_down(events: &mut MeshEvents) -> (Peer, Arc<str>) {
    loop {
        if let MeshEvent::Down(peer, why) = event(events).await {
            return (peer, why);
        }
    }
}

/// Waits until dialing `node` fails with a problem that contains `part`.
pub async fn problem(mesh: &Mesh, node: u32, part: &str) {
    within(async {
        while !mesh
            .problem(NodeId(node))
            .is_some_and(|problem| problem.contains(part))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Answers each request with twice its number and the same payload, until the mesh is gone.
pub fn serve_doubles(mut events: MeshEvents) {
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while events.recv_many(&mut batch, 256).await > 0 {
            for event in batch.drain(..) {
                if let MeshEvent::Frame(link, frame) = event {
                    let number: u64 = frame.message().expect("a number");
                    frame.answer(&link, &(number * 2), frame.payload().clone());
                }
            }
        }
    });
}

/// Asks for the double of `number`.
pub async fn double(link: &Link, number: u64, payload: Bytes) -> (u64, Bytes) {
    let answer = link
        .request(Service::Calls, &number, payload, PATIENCE)
        .await;
    answer.expect("an answer")
}
