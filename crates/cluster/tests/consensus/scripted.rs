//! One idea each: who leads after what, and what a proposer is told.

use crate::cluster::{Cluster, add_master, change, found, timing};
use cluster::consensus::{Committed, Place, ProposeError, Settings, Timing};
use cluster::consensus::{Consensus, Memory};
use cluster::hard::{Change, Refusal};
use pool::NodeId;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

/// Three masters; the order is not that of the ids.
const LIST: [NodeId; 3] = [TWO, THREE, ONE];

#[tokio::test(start_paused = true)]
async fn alone_a_master_leads_at_once() {
    let mut cluster = Cluster::found(1, &[ONE], timing()).await;
    cluster.crash(ONE);
    let began = Instant::now();
    cluster.start(ONE).await;
    cluster.leads(ONE).await;
    assert!(began.elapsed() < Duration::from_millis(100));
    let again = cluster.master(ONE).found(found()).await;
    assert!(
        matches!(again, Err(ProposeError::Refused(Refusal::Founded(_)))),
        "{again:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn within_a_second_of_a_leaders_death_the_next_of_the_list_leads() {
    let mut cluster = Cluster::found(2, &LIST, timing()).await;
    cluster.crash(TWO);
    assert!(cluster.leads(THREE).await < Duration::from_secs(1));
    cluster.record.check();
}

#[tokio::test(start_paused = true)]
async fn leadership_returns_to_the_first_of_the_list() {
    let mut cluster = Cluster::found(3, &LIST, timing()).await;
    cluster.crash(TWO);
    cluster.leads(THREE).await;
    let before = cluster.leadership(THREE).term;
    cluster.start(TWO).await;
    let took = cluster.leads(TWO).await;
    assert!(
        took >= timing().patience.settle,
        "not before it has settled"
    );
    assert_eq!(cluster.leadership(TWO).term, before + 1, "in one election");
    cluster.healed(&LIST).await;
}

#[tokio::test(start_paused = true)]
async fn no_proposal_fails_while_leadership_is_handed_over() {
    let mut cluster = Cluster::found(4, &LIST, timing()).await;
    cluster.crash(TWO);
    cluster.leads(THREE).await;
    cluster.start(TWO).await;
    let proposer = cluster.master(ONE);
    let mut number = 0;
    while cluster.leadership(TWO) != cluster.leadership(THREE) || !cluster.leadership(TWO).i_lead {
        number += 1;
        proposer.propose(change(number)).await.expect("applied");
        if cluster.leadership(TWO).i_lead {
            break;
        }
    }
    assert!(number > 10, "proposals went on all the while");
}

#[tokio::test(start_paused = true)]
async fn a_master_that_is_absent_stops_no_other_change_of_the_list() {
    let cluster = Cluster::found(16, &LIST, timing()).await;
    let master = cluster.master(TWO);
    master.propose(add_master(4)).await.expect("added");
    // Node 4 never starts; that node 1 goes does not wait for it.
    let list = vec![TWO, THREE, NodeId(4)];
    let change_list = Change::SetMasters(list);
    master.propose(change_list).await.expect("listed");
    sleep(Duration::from_secs(15)).await;
    cluster.partition(&[THREE]);
    sleep(Duration::from_secs(2)).await;
    let leader = cluster.leadership(TWO).leader;
    assert_eq!(leader, None, "the vote of node 1 would make two of three");
}

#[tokio::test(start_paused = true)]
async fn changing_the_list_hands_over() {
    let cluster = Cluster::found(5, &LIST, timing()).await;
    let list = vec![ONE, TWO, THREE];
    let change = Change::SetMasters(list.clone());
    cluster.master(THREE).propose(change).await.expect("listed");
    cluster.healed(&list).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_cut_off_decides_nothing() {
    let cluster = Cluster::found(6, &LIST, timing()).await;
    cluster.partition(&[TWO]);
    assert!(cluster.leads(THREE).await < Duration::from_secs(1));
    let began = Instant::now();
    let refused = cluster.master(TWO).propose(change(1)).await;
    assert_eq!(refused, Err(ProposeError::NoLeader));
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(!cluster.leadership(TWO).i_lead);
    let applied = cluster.master(THREE).propose(change(2)).await;
    applied.expect("the majority decides");
    cluster.hub.heal();
    cluster.healed(&LIST).await;
    cluster.record.check();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hears_nobody_falls_silent() {
    let cluster = Cluster::found(7, &LIST, timing()).await;
    cluster.hub.lose(ONE, TWO);
    cluster.hub.lose(THREE, TWO);
    assert!(cluster.leads(THREE).await < Duration::from_secs(5));
    cluster.record.check();
}

#[tokio::test(start_paused = true)]
async fn of_two_masters_the_survivor_can_be_read_and_refuses_changes() {
    let mut cluster = Cluster::found(8, &[ONE, TWO], timing()).await;
    let before = cluster.master(TWO).hard().borrow().clone();
    cluster.crash(ONE);
    sleep(Duration::from_secs(5)).await;
    let survivor = cluster.master(TWO);
    assert_eq!(*survivor.hard().borrow(), before);
    assert_eq!(
        survivor.propose(change(1)).await,
        Err(ProposeError::NoLeader)
    );
    assert_eq!(cluster.leadership(TWO).leader, None);
    cluster.start(ONE).await;
    cluster.healed(&[ONE, TWO]).await;
}

#[tokio::test(start_paused = true)]
async fn a_master_that_lags_gets_a_snapshot_and_disturbs_nobody() {
    let mut cluster = Cluster::found(9, &LIST, timing()).await;
    cluster.partition(&[ONE]);
    for number in 0..300 {
        let applied = cluster.master(TWO).propose(change(number)).await;
        applied.expect("two of three decide");
    }
    let term = cluster.leadership(TWO).term;
    let mut changes = cluster.master(ONE).changes();
    let last_seen = cluster.master(ONE).hard().borrow().revision;
    cluster.hub.heal();
    cluster.healed(&LIST).await;
    assert_eq!(
        cluster.leadership(TWO).term,
        term,
        "nobody else was elected"
    );
    let next = changes.try_recv().map(|committed| committed.revision);
    assert_ne!(
        next,
        Ok(last_seen + 1),
        "it did not replay all that it missed"
    );
    cluster.crash(ONE);
    cluster.start(ONE).await;
    cluster.healed(&LIST).await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_forwards_and_a_refusal_comes_back() {
    let cluster = Cluster::found(10, &LIST, timing()).await;
    let follower = cluster.master(ONE);
    let refused = follower.propose(Change::RevokeNode(NodeId(99))).await;
    assert_eq!(
        refused,
        Err(ProposeError::Refused(Refusal::UnknownNode(NodeId(99))))
    );
    let mut changes = follower.changes();
    let applied = follower.propose(change(5)).await.expect("applied");
    let committed = changes.recv().await.expect("it came");
    let expected = Committed {
        revision: applied.revision,
        change: change(5),
    };
    assert_eq!(*committed, expected);
}

#[tokio::test(start_paused = true)]
async fn who_is_taken_from_the_list_loses_its_vote() {
    let mut cluster = Cluster::found(11, &LIST, timing()).await;
    let revoke = Change::RevokeNode(TWO);
    cluster.master(TWO).propose(revoke).await.expect("revoked");
    cluster.healed(&[THREE, ONE]).await;
    cluster.crash(TWO);
    // Two voters are left, so the loss of one is the loss of the majority.
    cluster.crash(ONE);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(cluster.leadership(THREE).leader, None);
}

#[tokio::test(start_paused = true)]
async fn a_master_is_not_revoked_if_the_others_would_have_no_majority() {
    let mut cluster = Cluster::found(13, &LIST, timing()).await;
    cluster.crash(ONE);
    sleep(Duration::from_secs(2)).await;
    for live in [TWO, THREE] {
        let revoke = Change::RevokeNode(live);
        let refused = cluster.master(THREE).propose(revoke).await;
        assert_eq!(refused, Err(Refusal::TooFewMasters(live).into()));
    }
    // The one that is down may go, and the two go on.
    let revoke = Change::RevokeNode(ONE);
    cluster
        .master(THREE)
        .propose(revoke)
        .await
        .expect("revoked");
    let other = cluster.master(THREE).propose(change(1)).await;
    other.expect("two of two agree");
}

#[tokio::test(start_paused = true)]
async fn a_master_that_has_not_caught_up_gets_no_vote() {
    let mut cluster = Cluster::found(12, &[ONE], timing()).await;
    let master = cluster.master(ONE);
    master
        .propose(crate::cluster::join_token())
        .await
        .expect("a token");
    master.propose(add_master(2)).await.expect("added");
    let list = vec![ONE, TWO];
    master
        .propose(Change::SetMasters(list.clone()))
        .await
        .expect("listed");
    // It has not started: with a vote it would be half of all, and nothing could be decided.
    sleep(Duration::from_secs(20)).await;
    master.propose(change(1)).await.expect("one still decides");
    cluster.start(TWO).await;
    cluster.healed(&list).await;
    cluster.crash(TWO);
    sleep(Duration::from_secs(2)).await;
    let refused = master.propose(change(2)).await;
    assert_eq!(refused, Err(ProposeError::NoLeader), "now it has a vote");
}

#[tokio::test(start_paused = true)]
async fn a_master_that_stopped_says_so() {
    let cluster = Cluster::found(13, &[ONE], Timing::default()).await;
    let master = cluster.master(ONE);
    master.stop().await;
    assert_eq!(master.propose(change(1)).await, Err(ProposeError::NoLeader));
    assert_eq!(cluster.leadership(ONE).leader, None);
    master.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_first() {
    let cluster = Cluster::found(15, &LIST, timing()).await;
    let master = cluster.master(TWO);
    let stop = tokio::spawn(async move { master.stop().await });
    // The first of the list, unless only the other one has all at that moment.
    let took = tokio::select! {
        took = cluster.leads(THREE) => took,
        took = cluster.leads(ONE) => took,
    };
    assert!(took < timing().patience.down_after, "nobody had to miss it");
    stop.await.expect("it stops");
}

#[tokio::test(start_paused = true)]
async fn an_empty_master_waits() {
    let hub = crate::hub::Hub::new(14);
    let master = Consensus::start(Settings {
        me: TWO,
        carrier: hub.carrier(TWO),
        place: Place::Memory(Memory::default()),
        timing: timing(),
    });
    let master = master.await.expect("it starts");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(master.leadership().borrow().leader, None);
    assert!(!master.hard().borrow().is_founded());
    let nonsense = master.answer(ONE, b"nonsense").await;
    assert!(!nonsense.is_empty(), "it answers, and goes on");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_crashed_never_leads_in_its_old_term() {
    let mut cluster = Cluster::found(17, &LIST, timing()).await;
    let before = cluster.leadership(TWO).term;
    // So quick that nobody misses it.
    cluster.crash(TWO);
    cluster.start(TWO).await;
    cluster.leads(TWO).await;
    assert!(cluster.leadership(TWO).term > before);
}
