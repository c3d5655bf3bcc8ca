//! Hard state on its way to members, and proposals on theirs to masters.

use crate::cluster::{Cluster, FACEPLATE, MANAGER, MASTER};
use cluster::consensus::ProposeError;
use cluster::hard::{AccessToken, Change, Digest, JoinToken, Refusal, Roles};
use pool::NodeId;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn changes_reach_every_member_in_order() {
    let mut cluster = Cluster::of(&[MASTER, MASTER, MANAGER, FACEPLATE]);
    let nodes = cluster.start_all().await;
    let mut view = nodes[3].member.view();
    view.mark_unchanged();
    for workers in 1..=20 {
        cluster.program("p", workers);
        sleep(Duration::from_millis(workers.into())).await;
    }
    let mut last = 0;
    while last < 21 {
        view.changed().await.expect("the member runs");
        let view = view.borrow_and_update().clone();
        assert!(view.hard.revision >= last);
        last = view.hard.revision;
    }
    cluster.change(|hard| hard.programs.clear());
    for node in &nodes {
        let view = node
            .sees("the last change", |view| view.hard.revision == 22)
            .await;
        assert!(view.hard.programs.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_missed_changes_catches_up() {
    let mut cluster = Cluster::of(&[MASTER, MASTER, MANAGER]);
    let nodes = cluster.start_all().await;
    for master in [1, 2] {
        cluster.fabric.cut(master, 3);
    }
    nodes[2]
        .sees("no master", |view| view.masters.is_empty())
        .await;
    cluster.program("a", 1);
    cluster.program("b", 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(nodes[2].view().hard.revision, 1);
    cluster.fabric.heal(1, 3);
    let view = nodes[2]
        .sees("the changes", |view| view.hard.revision == 3)
        .await;
    assert_eq!(view.hard.programs.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_only_where_they_are_checked() {
    let both = Roles {
        manager: true,
        ..FACEPLATE
    };
    let mut cluster = Cluster::of(&[MASTER, MANAGER, both]);
    cluster.change(|hard| {
        let secret = Digest::of(b"secret");
        let join = JoinToken {
            secret,
            roles: Roles::ALL,
            expires_unix_s: 1,
        };
        hard.join_tokens.insert("j".into(), join);
    });
    let nodes = cluster.start_all().await;
    let token = AccessToken::new(Digest::of(b"secret"));
    cluster.change(|hard| {
        hard.access_tokens.insert("a".into(), token);
    });
    let tokens = |node: usize| {
        let hard = nodes[node].view().hard.clone();
        (hard.join_tokens.len(), hard.access_tokens.len())
    };
    for node in &nodes {
        node.sees("the change", |view| view.hard.revision == 3)
            .await;
    }
    assert_eq!([tokens(1), tokens(2)], [(0, 0), (0, 1)]);
    // A role that comes or goes brings or takes what it may see.
    cluster.change(|hard| {
        for (node, roles) in [(2, both), (3, MANAGER)] {
            let record = hard.nodes.get_mut(&NodeId(node)).expect("a node");
            record.roles = roles;
        }
    });
    for node in &nodes {
        node.sees("the change", |view| view.hard.revision == 4)
            .await;
    }
    assert_eq!([tokens(1), tokens(2)], [(0, 1), (0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_reaches_a_master_and_its_answer_comes_back() {
    let mut cluster = Cluster::of(&[MASTER, MASTER, MANAGER]);
    let nodes = cluster.start_all().await;
    for (count, node) in (1..).zip([&nodes[2], &nodes[0]]) {
        let change = Change::RevokeNode(NodeId(9));
        let applied = node.member.propose(change.clone()).await;
        assert_eq!(applied.map(|applied| applied.revision), Ok(7));
        let proposed = cluster.proposed.lock().expect("not poisoned").clone();
        assert_eq!(proposed, vec![change; count]);
    }
    let refused = Change::RemoveAccessToken("t".into());
    let refused = nodes[2].member.propose(refused).await;
    assert!(matches!(refused, Err(ProposeError::Refused(_))));
    let known = cluster.proposed.lock().expect("not poisoned").len();
    for node in [&nodes[2], &nodes[0]] {
        let raised = node.member.propose(Change::Raise(9)).await;
        assert_eq!(raised, Err(ProposeError::Refused(Refusal::OfLeaders)));
    }
    let proposed = cluster.proposed.lock().expect("not poisoned").len();
    assert_eq!(proposed, known, "a level is for leaders to raise");
}

#[tokio::test(start_paused = true)]
async fn without_a_master_a_proposal_says_so() {
    let mut cluster = Cluster::of(&[MASTER, MANAGER]);
    let manager = cluster.start(2).await;
    let proposed = manager.member.propose(Change::RevokeNode(NodeId(9))).await;
    assert_eq!(proposed, Err(ProposeError::NoLeader));
    assert_eq!(manager.member.status().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_becomes_a_master_is_told_who_lives() {
    let candidate = Roles {
        manager: true,
        ..MASTER
    };
    let mut cluster = Cluster::of(&[MASTER, candidate, MANAGER]);
    cluster.change(|hard| hard.masters = vec![NodeId(1)]);
    let nodes = cluster.start_all().await;
    sleep(Duration::from_secs(3)).await;
    assert!(nodes[2].mesh.link(NodeId(2)).is_none());
    cluster.change(|hard| hard.masters = vec![NodeId(1), NodeId(2)]);
    nodes[2]
        .sees("both masters", |view| view.masters.len() == 2)
        .await;
    cluster.fabric.cut(1, 2);
    cluster.fabric.cut(1, 3);
    nodes[2]
        .sees("one master", |view| view.masters.len() == 1)
        .await;
    sleep(Duration::from_secs(1)).await;
    let status = nodes[2].member.status().await.expect("a master is left");
    let up: Vec<u32> = status.reports.keys().map(|node| node.0).collect();
    assert_eq!(up, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_master_renews_for_whom_the_link_proves_and_the_cluster_knows() {
    let mut cluster = Cluster::of(&[MASTER, MASTER, MANAGER]);
    let nodes = cluster.start_all().await;
    for node in &nodes {
        let name = cluster.hard.borrow().nodes[&node.id].name.clone();
        let answer = node.member.renew(b"key".to_vec()).await;
        let expected = format!("{} {name} key", node.id.0);
        assert_eq!(answer.as_deref(), Ok(expected.as_bytes()));
    }
    let refused = nodes[2].member.renew(b"nonsense".to_vec()).await;
    let refused = refused.expect_err("it makes no sense");
    assert!(refused.contains("expected a key"), "{refused}");
    // Its links would be closed as well, were it not that it asks itself.
    let second = nodes[1].id;
    cluster.change(|hard| {
        hard.nodes.get_mut(&second).expect("a node").revoked = true;
        hard.masters.retain(|master| *master != second);
    });
    nodes[1]
        .sees("its end", |view| view.hard.nodes[&second].revoked)
        .await;
    let refused = nodes[1].member.renew(b"key".to_vec()).await;
    let refused = refused.expect_err("it was revoked");
    assert!(refused.contains("none of this cluster's"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn without_a_master_nobody_renews() {
    let mut cluster = Cluster::of(&[MASTER, MANAGER]);
    let manager = cluster.start(2).await;
    let refused = manager.member.renew(b"key".to_vec()).await;
    assert_eq!(refused, Err("no master is reached".to_owned()));
}
