//! Who sees whom, and how soon.

use crate::cluster::{Cluster, FACEPLATE, MANAGER, MASTER};
use cluster::hard::Roles;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const THREE: [Roles; 3] = [MASTER; 3];

fn with(others: &[Roles]) -> Vec<Roles> {
    [&THREE, others].concat()
}

#[tokio::test(start_paused = true)]
async fn every_node_sees_every_other_and_the_leader() {
    let mut cluster = Cluster::of(&with(&[MANAGER, FACEPLATE]));
    for node in cluster.start_all().await {
        let is_right = |view: &cluster::member::View| {
            view.leader.is_some_and(|leader| leader.0 == 1) && view.masters.len() == 3
        };
        let view = node.sees("the leader and all masters", is_right).await;
        assert_eq!(view.hard.nodes.len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn links_are_kept_with_masters_and_between_faceplates_and_managers() {
    let mut cluster = Cluster::of(&with(&[MANAGER, MANAGER, FACEPLATE]));
    let nodes = cluster.start_all().await;
    sleep(Duration::from_secs(3)).await;
    let links = |node: usize| {
        let links = nodes[node - 1].mesh.links();
        links
            .iter()
            .map(|link| link.peer().node.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(links(1), [2, 3, 4, 5, 6]);
    assert_eq!(links(4), [1, 2, 3, 6]);
    assert_eq!(links(6), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_down_within_a_second_and_up_when_it_speaks_again() {
    let mut cluster = Cluster::of(&with(&[MANAGER, FACEPLATE]));
    let nodes = cluster.start_all().await;
    let cut = Instant::now();
    for other in [1, 2, 3, 5] {
        cluster.fabric.cut(4, other);
    }
    nodes[4]
        .sees("the silence", |view| view.up.len() == 4)
        .await;
    assert!(
        cut.elapsed() <= Duration::from_secs(1),
        "{:?}",
        cut.elapsed()
    );
    assert!(!nodes[4].is_up(4));
    for other in [1, 2, 3, 5] {
        cluster.fabric.heal(4, other);
    }
    nodes[4].sees("it again", |view| view.up.len() == 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_is_down_at_once_and_its_next_process_is_another() {
    let mut cluster = Cluster::of(&with(&[MANAGER, FACEPLATE]));
    let mut nodes = cluster.start_all().await;
    let faceplate = nodes.pop().expect("five nodes");
    let before = faceplate.view().up[&pool::NodeId(4)].incarnation;
    let ended = Instant::now();
    nodes.pop().expect("four nodes").stop().await;
    faceplate.sees("its end", |view| view.up.len() == 4).await;
    assert!(ended.elapsed() < Duration::from_millis(100));
    let _manager = cluster.start(4).await;
    let view = faceplate.sees("it again", |view| view.up.len() == 5).await;
    assert_ne!(view.up[&pool::NodeId(4)].incarnation, before);
}

#[tokio::test(start_paused = true)]
async fn a_master_that_restarts_knows_everything_within_two_beacons_of_its_links() {
    let mut cluster = Cluster::of(&with(&[MANAGER, MANAGER, FACEPLATE]));
    let mut nodes = cluster.start_all().await;
    nodes.remove(1).stop().await;
    sleep(Duration::from_secs(5)).await;
    let master = cluster.start(2).await;
    while master.mesh.links().len() < 5 {
        sleep(Duration::from_millis(1)).await;
    }
    let linked = Instant::now();
    // Cut off from the other masters it has nothing but what it was told by nodes.
    sleep(Duration::from_millis(500)).await;
    cluster.fabric.cut(2, 1);
    cluster.fabric.cut(2, 3);
    let status = master.member.status().await.expect("it is a master");
    assert_eq!(status.reports.len(), 6, "{:?}", linked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_view_outlives_all_masters_and_follows_them_when_they_are_back() {
    let mut cluster = Cluster::of(&with(&[MANAGER, FACEPLATE]));
    let mut nodes = cluster.start_all().await;
    let faceplate = nodes.pop().expect("five nodes");
    let manager = nodes.pop().expect("four nodes");
    for master in nodes {
        master.stop().await;
    }
    let gone = |view: &cluster::member::View| view.masters.is_empty();
    let view = faceplate.sees("that no master is left", gone).await;
    assert_eq!(view.leader, None);
    assert!(view.up.contains_key(&manager.id), "nobody said it is down");
    assert_eq!(view.hard.nodes.len(), 5);
    sleep(Duration::from_secs(30)).await;
    assert!(faceplate.is_up(4));
    let mut masters = Vec::new();
    for id in [1, 2, 3] {
        masters.push(cluster.start(id).await);
    }
    faceplate
        .sees("all masters", |view| view.masters.len() == 3)
        .await;
    assert!(
        faceplate.is_up(4),
        "masters that know nobody yet call nobody down"
    );
    manager.stop().await;
    faceplate
        .sees("the manager's end", |view| {
            !view.up.contains_key(&pool::NodeId(4))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_node_loses_its_links() {
    let mut cluster = Cluster::of(&with(&[MANAGER, FACEPLATE]));
    let nodes = cluster.start_all().await;
    cluster.change(|hard| {
        let record = hard.nodes.get_mut(&pool::NodeId(4)).expect("a manager");
        record.revoked = true;
    });
    for node in [&nodes[0], &nodes[4]] {
        node.sees("that it is gone", |view| {
            !view.up.contains_key(&pool::NodeId(4))
        })
        .await;
        sleep(Duration::from_secs(3)).await;
        assert!(node.mesh.link(pool::NodeId(4)).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_notes_is_told_by_every_master_also_by_one_that_restarts() {
    let mut cluster = Cluster::of(&with(&[MANAGER, FACEPLATE]));
    let mut nodes = cluster.start_all().await;
    nodes[3].member.note("one".into());
    nodes[1].member.note("of a master".into());
    sleep(Duration::from_secs(1)).await;
    nodes[3].member.note("two".into());
    sleep(Duration::from_secs(1)).await;
    let noted = async |node: &crate::cluster::Node| {
        let status = node.member.status().await.expect("a master answers");
        let notes = status.notes.into_iter();
        notes.map(|(node, note)| (node.0, note)).collect::<Vec<_>>()
    };
    let both = [(2, "of a master".into()), (4, "two".into())];
    for node in [&nodes[0], &nodes[2], &nodes[4]] {
        assert_eq!(noted(node).await, both);
    }
    nodes.remove(0).stop().await;
    let first = cluster.start(1).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(noted(&first).await, both);
    nodes.remove(2).stop().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(noted(&first).await, both[..1], "it went with its node");
}
