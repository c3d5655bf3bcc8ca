//! Members over real consensus: from the founding of a cluster to orders.

use crate::cluster::MANAGER;
use crate::fabric::{Fabric, address};
use bytes::Bytes;
use cluster::consensus::{Consensus, Memory, MeshCarrier, Place, Settings, Timing};
use cluster::hard::{Change, Digest, JoinToken, Labels, Pace, Placement, Roles};
use cluster::member::{Master, MasterSettings, Member, MemberSettings};
use cluster::soft::{Capacity, Report};
use pool::NodeId;
use std::sync::Arc;
use std::time::Duration;
use wire::{Me, Mesh, MeshSettings, Security};

async fn node(fabric: &Fabric, node: u32, roles: Roles) -> (Mesh, Member) {
    let me = Me {
        node: NodeId(node),
        name: format!("n{node}").into(),
        incarnation: node.into(),
        cluster: "test".into(),
    };
    let network = fabric.node(node);
    let listener = network.listen(address(node)).await.expect("a free address");
    let settings = MeshSettings::default();
    let mesh = Mesh::start(me, network, listener, Security::Plain, settings).expect("simulated");
    let settings = MemberSettings {
        me: NodeId(node),
        incarnation: node.into(),
        masters: [(NodeId(1), address(1).to_string())].into(),
        report: Report {
            roles,
            capacity: Capacity {
                cores: 4,
                memory: 0,
            },
            ..Report::default()
        },
    };
    (mesh.clone(), Member::start(mesh, settings))
}

#[tokio::test(start_paused = true)]
async fn what_a_member_proposes_becomes_orders() {
    let fabric = Fabric::default();
    let (mesh, first) = node(&fabric, 1, Roles::ALL).await;
    let consensus = Consensus::start(Settings {
        me: NodeId(1),
        carrier: Arc::new(MeshCarrier(mesh)),
        place: Place::Memory(Memory::default()),
        timing: Timing::default(),
    });
    let consensus = consensus.await.expect("an empty place");
    let _master = Master::start(&first, MasterSettings::of(&consensus)).await;
    let founded = Change::Found {
        cluster: Default::default(),
        name: "n1".into(),
        address: address(1).to_string().into(),
        roles: Roles::ALL,
        labels: Labels::new(),
        request: Digest::of(b"1"),
        timeout: Duration::from_secs(10),
    };
    consensus.found(founded).await.expect("a new cluster");
    let secret = Digest::of(b"secret");
    let token = JoinToken {
        secret,
        roles: MANAGER,
        expires_unix_s: 1_000,
    };
    let invite = Change::PutJoinToken {
        name: "t".into(),
        token,
        now_unix_s: 1,
    };
    first.propose(invite).await.expect("a token");
    let join = Change::AddNode {
        name: "n2".into(),
        address: address(2).to_string().into(),
        roles: MANAGER,
        labels: Labels::new(),
        request: Digest::of(b"2"),
        secret,
        now_unix_s: 1,
    };
    let joined = first.propose(join).await.expect("it may join");
    assert_eq!(joined.node, Some(NodeId(2)));
    let (_mesh, second) = node(&fabric, 2, MANAGER).await;
    let mut view = second.view();
    let sees_all = view.wait_for(|view| view.up.len() == 2 && view.leader == Some(NodeId(1)));
    drop(sees_all.await.expect("the member runs"));
    let wants = Placement {
        workers: 4,
        ..Placement::default()
    };
    let apply = Change::Apply {
        expected: None,
        programs: [("p".into(), Some((Bytes::from_static(b"spec"), wants)))].into(),
        pace: Pace::Steps,
    };
    second.propose(apply).await.expect("a program");
    for member in [&first, &second] {
        let mut orders = member.orders();
        let two = orders.wait_for(|orders| {
            let programs = orders.iter().flat_map(|orders| &orders.programs);
            programs.map(|order| order.workers).sum::<u32>() == 2
        });
        drop(two.await.expect("the member runs"));
    }
    let hard = second.view().borrow().hard.clone();
    assert_eq!(
        hard.programs["p"].versions[0].spec,
        Bytes::from_static(b"spec")
    );
    consensus.stop().await;
}
