//! What the leader orders, and what a change of leaders does not.

use crate::cluster::{Cluster, FACEPLATE, MANAGER, MASTER, Node};
use cluster::placement::Why;
use cluster::soft::OrderNumber;
use std::time::Duration;
use tokio::time::sleep;

fn total(nodes: &[Node]) -> u32 {
    nodes.iter().map(Node::workers).sum()
}

/// Three masters and three managers that run nine workers, in balance.
async fn nine_workers() -> (Cluster, Vec<Node>) {
    let mut cluster = Cluster::of(&[MASTER, MASTER, MASTER, MANAGER, MANAGER, MANAGER]);
    cluster.program("p", 9);
    let nodes = cluster.start_all().await;
    for node in &nodes[3..] {
        let is_third = |orders: &cluster::member::Orders| {
            orders
                .programs
                .iter()
                .map(|order| order.workers)
                .sum::<u32>()
                == 3
        };
        node.ordered("three workers", is_third).await;
    }
    // The managers' reports that they obey are on their way to all masters.
    sleep(Duration::from_secs(1)).await;
    (cluster, nodes)
}

#[tokio::test(start_paused = true)]
async fn workers_of_a_lost_manager_are_ordered_from_others_within_a_second() {
    let (_cluster, mut nodes) = nine_workers().await;
    nodes.pop().expect("six nodes").stop().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(total(&nodes), 9);
}

#[tokio::test(start_paused = true)]
async fn a_silent_managers_workers_are_ordered_from_others_within_a_second() {
    let (cluster, nodes) = nine_workers().await;
    for master in [1, 2, 3] {
        cluster.fabric.cut(master, 6);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(total(&nodes[..5]), 9);
    for master in [1, 2, 3] {
        cluster.fabric.heal(master, 6);
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        nodes[3..].iter().map(Node::workers).collect::<Vec<_>>(),
        [3, 3, 3]
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_of_leaders_moves_nothing() {
    let (cluster, nodes) = nine_workers().await;
    // An assignment that a leader without memory would not choose again.
    cluster.program("q", 1);
    sleep(Duration::from_secs(1)).await;
    cluster.change(|hard| drop(hard.programs.remove("p")));
    sleep(Duration::from_secs(1)).await;
    let programs = || {
        let orders = nodes[3..].iter().map(|node| node.orders().expect("orders"));
        orders.map(|orders| orders.programs).collect::<Vec<_>>()
    };
    let before = programs();
    cluster.elect(2, None);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(programs(), before);
    cluster.elect(3, Some(2));
    for node in &nodes[3..] {
        node.ordered("by the new leader", |orders| orders.number.term == 3)
            .await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(programs(), before);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_just_started_moves_nothing_either() {
    let (mut cluster, mut nodes) = nine_workers().await;
    nodes.remove(0).stop().await;
    cluster.elect(2, Some(2));
    sleep(Duration::from_secs(2)).await;
    let before: Vec<_> = nodes[2..]
        .iter()
        .map(|node| node.orders().map(|o| o.programs))
        .collect();
    cluster.elect(3, Some(1));
    let _leader = cluster.start(1).await;
    for node in &nodes[2..] {
        node.ordered("by the new leader", |orders| orders.number.term == 3)
            .await;
    }
    let after: Vec<_> = nodes[2..]
        .iter()
        .map(|node| node.orders().map(|o| o.programs))
        .collect();
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn orders_of_an_older_term_are_refused() {
    let (cluster, nodes) = nine_workers().await;
    cluster.elect(5, Some(2));
    for node in &nodes[3..] {
        node.ordered("by term 5", |orders| orders.number.term == 5)
            .await;
    }
    // A leader of the past, which orders something else.
    cluster.elect(4, Some(1));
    cluster.program("p", 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(total(&nodes), 9);
    let terms = nodes[3..].iter().filter_map(Node::orders);
    assert!(terms.map(|orders| orders.number).all(|n| n
        >= OrderNumber {
            term: 5,
            sequence: 0
        }));
    cluster.elect(6, Some(1));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(total(&nodes), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_obeyed_again_after_a_break_in_its_term() {
    let (mut cluster, mut nodes) = nine_workers().await;
    cluster.elect(1, None);
    sleep(Duration::from_secs(2)).await;
    cluster.elect(1, Some(1));
    cluster.program("p", 6);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(total(&nodes), 6);
    // Another process of the leader, which remembers its term and not its orders.
    nodes.remove(0).stop().await;
    let _leader = cluster.start(1).await;
    cluster.program("p", 3);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(total(&nodes), 3);
}

#[tokio::test(start_paused = true)]
async fn orders_outlive_all_masters() {
    let (_cluster, mut nodes) = nine_workers().await;
    for _ in 0..3 {
        nodes.remove(0).stop().await;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(total(&nodes), 9);
}

#[tokio::test(start_paused = true)]
async fn when_all_masters_restart_nothing_moves() {
    let (mut cluster, mut nodes) = nine_workers().await;
    for _ in 0..3 {
        nodes.remove(0).stop().await;
    }
    sleep(Duration::from_secs(60)).await;
    let before: Vec<_> = nodes
        .iter()
        .map(|node| node.orders().map(|o| o.programs))
        .collect();
    cluster.elect(2, Some(3));
    let mut masters = Vec::new();
    for id in [1, 2, 3] {
        masters.push(cluster.start(id).await);
    }
    for node in &nodes {
        node.ordered("by the new leader", |orders| orders.number.term == 2)
            .await;
    }
    let after: Vec<_> = nodes
        .iter()
        .map(|node| node.orders().map(|o| o.programs))
        .collect();
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn a_manager_says_what_it_can_run_and_gets_it_at_once() {
    let mut cluster = Cluster::of(&[MASTER, MANAGER, FACEPLATE]);
    let nodes = cluster.start_all().await;
    cluster.program("p", 2);
    cluster.change(|hard| {
        let program = hard.programs.get_mut("p").expect("a program");
        program.versions[0].placement.command = "./parse".into();
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(nodes[1].workers(), 0);
    let status = nodes[2].member.status().await.expect("a leader");
    let unplaced = &status.unplaced[&("p".into(), 1)];
    assert_eq!(unplaced.why, Why::CannotRun("./parse".into()));
    let mut report = status.reports[&nodes[1].id].clone();
    report.can_run.insert("./parse".into());
    nodes[1].member.announce(report);
    nodes[1]
        .ordered("two workers", |orders| !orders.programs.is_empty())
        .await;
    assert_eq!(nodes[1].workers(), 2);
}
