//! Two versions of a program side by side, and one in the place of another, with real processes.

mod support;

use manager::Program;
use std::collections::BTreeSet;
use support::{Node, raw};

fn version(number: u32, lane: u32, workers: usize) -> Program {
    Program {
        version: number,
        lane,
        workers,
        ..raw("a", "good")
    }
}

/// Another process, of equal details.
fn other(number: u32, lane: u32, workers: usize) -> Program {
    let mut program = version(number, lane, workers);
    program.process.env.insert("OTHER".into(), "1".into());
    program
}

/// The live workers of a version.
async fn live(node: &Node, version: u32) -> BTreeSet<u32> {
    let programs = node.manager.status().await;
    let program = programs.iter().find(|program| program.version == version);
    let workers = program.into_iter().flat_map(|program| &program.workers);
    let ready = workers.filter(|worker| worker.state == manager::WorkerState::Ready);
    ready.map(|worker| worker.pid).collect()
}

async fn until_live(node: &Node, version: u32, count: usize) -> BTreeSet<u32> {
    let start = tokio::time::Instant::now();
    loop {
        let live = live(node, version).await;
        if live.len() == count {
            return live;
        }
        assert!(start.elapsed().as_secs() < 30, "waited in vain: {live:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn two_versions_have_workers_of_their_own_in_one_pool() {
    let node = Node::start();
    node.apply(vec![version(1, 0, 2), other(2, 1, 1)]);
    let old = until_live(&node, 1, 2).await;
    let new = until_live(&node, 2, 1).await;
    let mut answered = BTreeSet::new();
    while answered.len() < 3 {
        let answer = node.ask("once", "x").await.expect("an answer");
        answered.insert(answer["pid"].as_u64().expect("a pid") as u32);
    }
    assert_eq!(answered, old.union(&new).copied().collect());
    assert_eq!(
        node.dispatcher.status().await.expect("it runs").pools.len(),
        1
    );
    for program in node.manager.status().await {
        assert_eq!(&*program.name, "a");
        assert!(program.calls > 0, "calls are counted for each version");
        assert_eq!(program.errors, 0);
    }
}

#[tokio::test]
async fn the_version_that_remains_keeps_its_workers() {
    let node = Node::start();
    node.apply(vec![version(1, 0, 1), other(2, 1, 1)]);
    until_live(&node, 1, 1).await;
    let new = until_live(&node, 2, 1).await;
    let changes = node.apply(vec![other(2, 1, 1)]);
    assert_eq!(changes.removed, ["a".into()]);
    let start = tokio::time::Instant::now();
    while node.manager.status().await.len() > 1 {
        assert!(
            start.elapsed().as_secs() < 30,
            "the old version does not end"
        );
        node.ask("once", "x").await.expect("an answer");
    }
    assert_eq!(live(&node, 2).await, new);
}

#[tokio::test]
async fn a_version_of_equal_processes_takes_over_the_workers() {
    let node = Node::start();
    node.apply(vec![version(1, 0, 2)]);
    let before = until_live(&node, 1, 2).await;
    let changes = node.apply(vec![version(2, 0, 2)]);
    assert_eq!(changes.adjusted, ["a".into()]);
    assert_eq!(until_live(&node, 2, 2).await, before);
}

#[tokio::test]
async fn a_version_of_other_processes_in_the_same_lane_renews_them_one_by_one() {
    let node = Node::start();
    node.apply(vec![version(1, 0, 2)]);
    let before = until_live(&node, 1, 2).await;
    let changes = node.apply(vec![other(2, 0, 2)]);
    assert_eq!(changes.replaced, ["a".into()]);
    let start = tokio::time::Instant::now();
    while !live(&node, 2).await.is_disjoint(&before) {
        assert!(start.elapsed().as_secs() < 30, "the old workers do not end");
        assert!(!live(&node, 2).await.is_empty());
        node.ask("once", "x").await.expect("an answer");
    }
}

#[tokio::test]
async fn errors_are_counted() {
    let node = Node::start();
    node.apply(vec![version(1, 0, 1)]);
    until_live(&node, 1, 1).await;
    node.ask("once", "die").await.expect_err("a death");
    let status = node.until("a", |program| program.errors == 1).await;
    assert_eq!(status.calls, 1);
}

#[tokio::test]
async fn what_is_removed_waits_for_no_more_workers_than_are_wanted_by_now() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut slow = version(1, 0, 2);
    // Of two workers one starts, and the other never does.
    let only = format!(
        "mkdir {}/one || exec sleep 1000; exec \"$@\"",
        folder.path().display()
    );
    let command = ["sh", "-c", &only, "sh"].map(str::to_owned).into_iter();
    slow.process.command = command.chain(slow.process.command).collect();
    let node = Node::start();
    node.apply(vec![slow.clone(), other(2, 1, 1)]);
    until_live(&node, 1, 1).await;
    until_live(&node, 2, 1).await;
    slow.workers = 1;
    node.apply(vec![slow]);
    until_live(&node, 2, 0).await;
    until_live(&node, 1, 1).await;
}
