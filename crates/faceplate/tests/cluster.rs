//! What a node shows of its cluster: from hard state, what lives, and what the leader answers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use cluster::hard::{Change, ClusterId, Digest, Hard, JoinToken, Placement, Roles};
use cluster::member::{Status, Summary, View};
use cluster::placement::{Count, Unplaced, Why};
use cluster::soft::{Load, ProgramReport, Report};
use faceplate::{ClusterView, Limits, NodeState, Standing};
use pool::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::{Scene, Server};

const ROLES: Roles = Roles::ALL;

fn add(hard: &mut Hard, name: &str) -> NodeId {
    let change = Change::AddNode {
        name: name.into(),
        address: format!("{name}:7400").into(),
        roles: ROLES,
        labels: BTreeMap::from([("rack".into(), "r1".into())]),
        request: Digest::of(name.as_bytes()),
        secret: Digest::of(b"secret"),
        now_unix_s: 0,
    };
    hard.apply(&change).unwrap().node.unwrap()
}

/// Nodes a, b and c, of which a and b are masters, and a program that wants three workers.
fn hard() -> Hard {
    let mut hard = Hard::default();
    let found = Change::Found {
        cluster: ClusterId([7; 16]),
        name: "a".into(),
        address: "a:7400".into(),
        roles: ROLES,
        labels: BTreeMap::new(),
        request: Digest::of(b"a"),
        timeout: Duration::from_secs(1),
    };
    let token = JoinToken {
        secret: Digest::of(b"secret"),
        roles: ROLES,
        expires_unix_s: 1,
    };
    let put = Change::PutJoinToken {
        name: "join".into(),
        token,
        now_unix_s: 0,
    };
    hard.apply(&found).unwrap();
    hard.apply(&put).unwrap();
    let b = add(&mut hard, "b");
    add(&mut hard, "c");
    let placement = Placement {
        workers: 3,
        ..Placement::default()
    };
    let program = Some((b"spec".as_slice().into(), placement));
    let programs = BTreeMap::from([("parse".into(), program)]);
    let apply = Change::Apply {
        expected: None,
        programs,
        pace: cluster::hard::Pace::AtOnce,
    };
    hard.apply(&Change::SetMasters(vec![NodeId(1), b])).unwrap();
    hard.apply(&apply).unwrap();
    hard
}

/// As node b sees it, which reaches master a; c is down.
fn view() -> View {
    let up = [1, 2].map(|node| (NodeId(node), Summary::default()));
    View {
        hard: Arc::new(hard()),
        up: Arc::new(up.into()),
        leader: Some(NodeId(1)),
        masters: [NodeId(1)].into(),
        ..View::default()
    }
}

fn report(live: u32, problem: Option<&str>) -> Report {
    let program = ProgramReport {
        wanted: Count {
            workers: 1,
            spare: 1,
        },
        live,
        problem: problem.map(Into::into),
        ..ProgramReport::default()
    };
    let version = hard().programs["parse"].newest_running();
    Report {
        programs: BTreeMap::from([(("parse".into(), version), program)]),
        load: Load {
            running: 4,
            waiting: 5,
            ..Load::default()
        },
        ..Report::default()
    }
}

fn status() -> Status {
    let reports = [
        (NodeId(1), report(1, None)),
        (NodeId(2), report(0, Some("exit status 1"))),
    ];
    Status {
        reports: reports.into(),
        unplaced: BTreeMap::new(),
        notes: BTreeMap::new(),
    }
}

#[test]
fn nodes_masters_and_programs_are_told_over_the_whole_cluster() {
    let seen = ClusterView::new(NodeId(2), &view(), Some(&status()));
    assert!(seen.is_current);
    assert_eq!(seen.leader.as_deref(), Some("a"));
    let masters = seen.masters.iter();
    let masters: Vec<_> = masters
        .map(|master| (&*master.name, master.reached))
        .collect();
    assert_eq!(masters, [("a", true), ("b", false)]);
    let nodes = seen.nodes.iter();
    let nodes: Vec<_> = nodes.map(|node| (&*node.name, node.state)).collect();
    assert_eq!(
        nodes,
        [
            ("a", NodeState::Up),
            ("b", NodeState::Up),
            ("c", NodeState::Down)
        ]
    );
    let doing = seen.nodes[0].report.unwrap();
    assert_eq!((doing.workers_live, doing.workers_wanted), (1, 1));
    assert_eq!((doing.running, doing.waiting), (4, 5));
    assert_eq!(seen.nodes[2].report, None);
    let program = &seen.programs[0];
    assert_eq!(
        (program.workers_live, program.workers_wanted, program.nodes),
        (Some(1), 3, Some(1))
    );
    assert_eq!(program.problem.as_deref(), Some("b: exit status 1"));
}

#[test]
fn what_finds_no_place_says_why() {
    let mut status = status();
    let version = hard().programs["parse"].newest_running();
    let missing = Count {
        workers: 2,
        spare: 0,
    };
    let why = Why::CannotRun("parse".into());
    let unplaced = Unplaced { missing, why };
    status.unplaced.insert(("parse".into(), version), unplaced);
    let seen = ClusterView::new(NodeId(2), &view(), Some(&status));
    assert_eq!(
        seen.programs[0].problem.as_deref(),
        Some("no place for 2 workers: none can run parse")
    );
}

#[test]
fn without_a_master_nobody_knows_how_others_are() {
    let mut view = view();
    (view.leader, view.masters) = (None, [].into());
    let seen = ClusterView::new(NodeId(2), &view, None);
    assert!(!seen.is_current);
    let nodes = seen.nodes.iter();
    let states: Vec<_> = nodes.map(|node| (node.state, node.report)).collect();
    assert_eq!(
        states,
        [
            (NodeState::Unknown, None),
            (NodeState::Up, None),
            (NodeState::Unknown, None)
        ]
    );
    let program = &seen.programs[0];
    assert_eq!((program.workers_live, program.workers_wanted), (None, 3));
}

#[test]
fn without_a_leader_it_is_said_what_that_means() {
    let mut view = view();
    view.leader = None;
    let seen = ClusterView::new(NodeId(2), &view, Some(&status()));
    assert_eq!(seen.leader, None);
    let says = |warning: &String| warning.contains("until 2 of 2 masters reach each other");
    assert!(seen.warnings.iter().any(says), "{seen:?}");
}

#[test]
fn two_masters_are_warned_of_and_no_other_number() {
    let two = ClusterView::new(NodeId(1), &view(), None);
    assert!(two.warnings[0].contains("two masters"), "{two:?}");
    for count in [1, 3] {
        assert_eq!(faceplate::advice(count), None);
    }
}

#[tokio::test]
async fn status_has_the_cluster_and_a_machine_that_is_alone_has_none() {
    let limits = dispatch::Limits {
        timeout: Duration::from_secs(10),
        lobby_max: 10,
        lobby_bytes_max: 1 << 20,
    };
    let (run, dispatcher, _notices) = dispatch::new(NodeId(2), &limits);
    tokio::spawn(run.run());
    let scene = Scene {
        dispatcher: Some(dispatcher.clone()),
        cluster: Some(ClusterView::new(NodeId(2), &view(), Some(&status()))),
        ..Scene::default()
    };
    let server = Server::start_with(scene, Limits::default()).await;
    let status = server.get("/status").await.json();
    let node = &status["cluster"]["nodes"][0];
    assert_eq!(
        (&node["state"], &node["workers_live"]),
        (&"up".into(), &1.into())
    );
    assert_eq!(node["labels"], serde_json::json!({}));
    assert_eq!(
        node["roles"],
        serde_json::json!(["master", "manager", "faceplate"])
    );
    assert!(status["cluster"]["nodes"][2].get("workers_live").is_none());

    let alone = Scene {
        dispatcher: Some(dispatcher),
        ..Scene::default()
    };
    let server = Server::start_with(alone, Limits::default()).await;
    assert!(server.get("/status").await.json().get("cluster").is_none());
    let metrics = server.get("/metrics").await;
    let metrics = metrics.text();
    assert!(!metrics.contains("katamari_nodes"), "{metrics}");
}

#[tokio::test]
async fn metrics_have_the_cluster_in_figures() {
    let mut view = view();
    let mut hard = (*view.hard).clone();
    let drain = Change::Drain {
        node: NodeId(2),
        draining: true,
    };
    let revision = hard.apply(&drain).unwrap().revision;
    view.hard = Arc::new(hard);
    let scene = Scene {
        standing: Some(Standing::new(NodeId(1), &view, 1)),
        ..Scene::default()
    };
    let server = Server::start_with(scene, Limits::default()).await;
    let metrics = server.get("/metrics").await;
    let text = metrics.text();
    for line in [
        r#"katamari_nodes{state="up"} 1"#,
        r#"katamari_nodes{state="draining"} 1"#,
        r#"katamari_nodes{state="down"} 1"#,
        "katamari_leader 1",
        "katamari_links 1",
        &format!("katamari_hard_revision {revision}"),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
}
