//! Links that come and go: cuts, restarts, refusals, on a scripted network in virtual time.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use common::fabric::{Fabric, address};
use common::*;
use pool::NodeId;
use tokio::time::{Instant, sleep};
use wire::{LinkTiming, Me, Mesh, MeshEvent, MeshEvents, MeshSettings, Security, Service};

/// A mesh behind the door of node `door`, and its events of [`Service::Calls`].
async fn start(fabric: &Fabric, door: u32, me: Me, settings: MeshSettings) -> (Mesh, MeshEvents) {
    let network = fabric.node(door);
    let listener = network.listen(address(door)).await.expect("listens");
    let mesh = Mesh::start(me, network, listener, Security::Plain, settings).expect("starts");
    let events = mesh.subscribe(Service::Calls);
    (mesh, events)
}

async fn node(fabric: &Fabric, node: u32) -> (Mesh, MeshEvents) {
    start(
        fabric,
        node,
        me(node, u64::from(node)),
        settings(node.into()),
    )
    .await
}

/// Each wants all others.
fn all_want_all(meshes: &[&Mesh]) {
    let nodes: BTreeMap<NodeId, String> = (1..)
        .zip(meshes)
        .map(|(node, mesh)| (NodeId(node), mesh.address().to_string()))
        .collect();
    meshes.iter().for_each(|mesh| mesh.want(nodes.clone()));
}

/// Two nodes with a link, as both see it.
async fn pair(fabric: &Fabric) -> [(Mesh, MeshEvents); 2] {
    let (one, mut events_one) = node(fabric, 1).await;
    let (two, mut events_two) = node(fabric, 2).await;
    all_want_all(&[&one, &two]);
    up(&mut events_one).await;
    up(&mut events_two).await;
    [(one, events_one), (two, events_two)]
}

#[tokio::test(start_paused = true)]
async fn everybody_gets_one_link_to_everybody() {
    let fabric = Fabric::default();
    let mut nodes = Vec::new();
    for number in 1..=5 {
        nodes.push(node(&fabric, number).await);
    }
    all_want_all(&nodes.iter().map(|(mesh, _)| mesh).collect::<Vec<_>>());
    for (_, events) in &mut nodes {
        let mut peers = BTreeSet::new();
        for _ in 0..4 {
            peers.insert(up(events).await.peer().node);
        }
        assert_eq!(peers.len(), 4);
    }
    sleep(Duration::from_secs(5)).await;
    for (mesh, events) in &mut nodes {
        assert!(
            events.try_recv().is_none(),
            "a link came or went without a reason"
        );
        assert_eq!(mesh.links().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn pings_keep_an_idle_link() {
    let fabric = Fabric::default();
    let [(one, mut events_one), (two, mut events_two)] = pair(&fabric).await;
    sleep(Duration::from_secs(60)).await;
    assert!(events_one.try_recv().is_none() && events_two.try_recv().is_none());
    assert!(one.link(NodeId(2)).is_some() && two.link(NodeId(1)).is_some());
}

#[tokio::test(start_paused = true)]
async fn silence_closes_a_link_on_both_sides_and_healing_brings_it_back() {
    let fabric = Fabric::default();
    let [(one, mut events_one), (_two, mut events_two)] = pair(&fabric).await;
    let link = one.link(NodeId(2)).expect("a link");
    let waiting = link.request::<_, u8>(Service::Calls, &1_u8, Bytes::new(), Duration::MAX);
    frame(&mut events_two).await;
    let start = Instant::now();
    fabric.cut(1, 2);
    for events in [&mut events_one, &mut events_two] {
        let why = down(events).await.1;
        assert!(why.contains("750 ms"), "{why}");
        // The last that was heard was a ping before the cut.
        assert!(
            (500..=750).contains(&start.elapsed().as_millis()),
            "{:?}",
            start.elapsed()
        );
    }
    assert!(one.link(NodeId(2)).is_none());
    let lost = waiting.await.expect_err("the link is gone").to_string();
    assert!(lost.contains("closed before the answer"), "{lost}");
    assert!(link.send(Service::Calls, &1_u8, Bytes::new()).is_err());

    sleep(Duration::from_secs(30)).await;
    assert!(events_one.try_recv().is_none());
    fabric.heal(1, 2);
    let start = Instant::now();
    assert_eq!(up(&mut events_one).await.peer().node, NodeId(2));
    up(&mut events_two).await;
    assert!(
        start.elapsed() <= Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_closes_nothing_and_loses_nothing() {
    let fabric = Fabric::default();
    let [(one, _events_one), (_two, mut events_two)] = pair(&fabric).await;
    let link = one.link(NodeId(2)).expect("a link");
    fabric.cut(1, 2);
    link.send(Service::Calls, &5_u8, Bytes::new())
        .expect("is queued");
    sleep(Duration::from_millis(400)).await;
    fabric.heal(1, 2);
    assert_eq!(frame(&mut events_two).await.1.message(), Ok(5_u8));
    sleep(Duration::from_secs(5)).await;
    assert!(events_two.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_restarted_process_replaces_its_half_dead_link() {
    let fabric = Fabric::default();
    let [(one, mut events_one), _old] = pair(&fabric).await;
    let old = one.link(NodeId(2)).expect("a link");
    // Nothing is heard of the old process, nor that it is gone; the new one comes another way.
    fabric.cut(1, 2);
    let (again, mut events_again) = start(&fabric, 12, me(2, 99), settings(12)).await;
    want(&again, &[(1, one.address().to_string())]);
    let (peer, why) = down(&mut events_one).await;
    assert_eq!(peer.incarnation, 2);
    assert!(why.contains("replaces"), "{why}");
    let new = up(&mut events_one).await;
    assert_eq!((new.peer().node, new.peer().incarnation), (NodeId(2), 99));
    up(&mut events_again).await;
    assert!(old.close_reason().is_some() && !new.is(&old));
    let now = one.link(NodeId(2)).expect("a link");
    assert!(now.is(&new));
}

#[tokio::test(start_paused = true)]
async fn both_may_restart_at_once() {
    let fabric = Fabric::default();
    for round in 0..3 {
        let (one, mut events_one) = start(&fabric, 1, me(1, 10 + round), settings(round)).await;
        let (two, mut events_two) = start(&fabric, 2, me(2, 20 + round), settings(round)).await;
        all_want_all(&[&one, &two]);
        assert_eq!(up(&mut events_one).await.peer().incarnation, 20 + round);
        assert_eq!(up(&mut events_two).await.peer().incarnation, 10 + round);
        tokio::join!(one.stop(), two.stop());
        let whys = [down(&mut events_one).await.1, down(&mut events_two).await.1];
        assert!(
            whys.iter().all(|why| why.contains("the node stops")),
            "{whys:?}"
        );
        assert!(
            events_one.recv().await.is_none(),
            "the end of the mesh ends its events"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_again_and_again_is_not_dialed_faster_than_one_that_is_not_there() {
    let fabric = Fabric::default();
    let [(one, mut events_one), _two] = pair(&fabric).await;
    let start = Instant::now();
    for _ in 0..20 {
        one.link(NodeId(2)).expect("a link").close("again");
        next_down(&mut events_one).await;
        up(&mut events_one).await;
    }
    // Pauses grow to 0.5 s at the least.
    assert!(
        start.elapsed() >= Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_revoked_node_is_cut_off_until_it_is_not() {
    let fabric = Fabric::default();
    let [(one, mut events_one), (two, mut events_two)] = pair(&fabric).await;
    one.refuse(BTreeSet::from([NodeId(2)]));
    assert_eq!(&*down(&mut events_one).await.1, "the node was revoked");
    assert!(
        down(&mut events_two)
            .await
            .1
            .contains("the node was revoked")
    );
    problem(&two, 1, "node 2 was revoked").await;
    sleep(Duration::from_secs(5)).await;
    assert!(events_one.try_recv().is_none());
    one.refuse(BTreeSet::new());
    assert_eq!(up(&mut events_one).await.peer().node, NodeId(2));
    up(&mut events_two).await;
    assert!(two.problem(NodeId(1)).is_none());

    // The other way: the node that dials refuses.
    two.refuse(BTreeSet::from([NodeId(1)]));
    down(&mut events_two).await;
    problem(&two, 1, "node 1 was revoked").await;
}

#[tokio::test(start_paused = true)]
async fn the_smaller_node_waits_and_an_unwanted_one_is_let_in() {
    let fabric = Fabric::default();
    let (one, mut events_one) = node(&fabric, 1).await;
    let (two, mut events_two) = node(&fabric, 2).await;
    want(&one, &[(2, two.address().to_string())]);
    sleep(Duration::from_secs(10)).await;
    assert!(events_one.try_recv().is_none() && one.problem(NodeId(2)).is_none());

    want(&one, &[]);
    want(&two, &[(1, one.address().to_string())]);
    up(&mut events_one).await;
    up(&mut events_two).await;
    // Who dialed gives up a link that it wants no longer.
    want(&two, &[]);
    assert!(down(&mut events_one).await.1.contains("no longer wanted"));
    sleep(Duration::from_secs(10)).await;
    assert!(events_one.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_moved_is_dialed_where_it_is() {
    let fabric = Fabric::default();
    let (two, mut events_two) = node(&fabric, 2).await;
    want(&two, &[(1, address(1).to_string())]);
    problem(&two, 1, "refused").await;
    let (_one, _events_one) = start(&fabric, 9, me(1, 1), settings(1)).await;
    want(&two, &[(1, address(9).to_string())]);
    assert_eq!(up(&mut events_two).await.peer().address, address(9));
}

#[tokio::test(start_paused = true)]
async fn strangers_are_told_why_they_are_turned_away() {
    let fabric = Fabric::default();
    let (one, mut events_one) = node(&fabric, 1).await;
    let at_one = [(1, one.address().to_string())];
    let of_red = Me {
        cluster: "red".into(),
        ..me(2, 2)
    };
    let (red, _events) = start(&fabric, 2, of_red, settings(2)).await;
    want(&red, &at_one);
    problem(
        &red,
        1,
        "expected a node of cluster red, got one of cluster test",
    )
    .await;

    let (five, _events) = node(&fabric, 5).await;
    want(&five, &[(4, one.address().to_string())]);
    problem(&five, 4, "expected node 4 at this address, got node 1").await;

    // Its own address under another's name.
    let (six, _events) = node(&fabric, 6).await;
    want(&six, &[(3, six.address().to_string())]);
    problem(&six, 3, "expected node 3 at this address, got node 6").await;

    // Nobody dials upwards.
    let (ten, _events) = node(&fabric, 10).await;
    let (_seven, mut events_seven) = start(&fabric, 7, me(70, 7), settings(7)).await;
    want(&ten, &[(7, address(7).to_string())]);
    problem(&ten, 7, "expected node 7 at this address, got node 70").await;
    assert!(events_one.try_recv().is_none() && events_seven.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn builds_agree_on_the_greatest_common_version_or_say_that_there_is_none() {
    for (ours, theirs, common) in [
        (1..=1, 1..=3, Some(1)),
        (1..=3, 2..=2, Some(2)),
        (2..=5, 3..=9, Some(5)),
        (1..=2, 3..=4, None),
        (3..=4, 1..=2, None),
    ] {
        let fabric = Fabric::default();
        let speaking = |versions| MeshSettings {
            versions,
            ..settings(1)
        };
        let (one, mut events_one) = start(&fabric, 1, me(1, 1), speaking(ours.clone())).await;
        let (two, mut events_two) = start(&fabric, 2, me(2, 2), speaking(theirs.clone())).await;
        all_want_all(&[&one, &two]);
        if let Some(common) = common {
            assert_eq!(up(&mut events_one).await.peer().version, common);
            assert_eq!(up(&mut events_two).await.peer().version, common);
        } else {
            let ranges = format!(
                "this build speaks {} to {}, the other {} to {}",
                theirs.start(),
                theirs.end(),
                ours.start(),
                ours.end()
            );
            problem(&two, 1, &ranges).await;
            assert!(events_one.try_recv().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn below_the_level_links_are_closed_and_hellos_refused_with_what_to_do() {
    let fabric = Fabric::default();
    let speaking = |versions| MeshSettings {
        versions,
        ..settings(1)
    };
    let (one, mut events_one) = start(&fabric, 1, me(1, 1), speaking(1..=2)).await;
    let (two, mut events_two) = start(&fabric, 2, me(2, 2), speaking(1..=2)).await;
    let (three, mut events_three) = start(&fabric, 3, me(3, 3), speaking(1..=1)).await;
    all_want_all(&[&one, &two, &three]);
    for events in [&mut events_one, &mut events_two, &mut events_three] {
        up(events).await;
        up(events).await;
    }
    one.raise(2);
    two.raise(2);
    let (_, why) = down(&mut events_three).await;
    assert!(
        why.contains("link protocol 2 or later") && why.contains("upgrade it"),
        "{why}"
    );
    problem(&three, 1, "this build speaks 1 to 1, the other 2 to 2").await;
    problem(&three, 2, "upgrade the older one").await;
    // Nothing happened between the others, and a build of later versions is let in.
    assert!(
        one.link(NodeId(2))
            .is_some_and(|link| link.peer().version == 2)
    );
    let (four, mut events_four) = start(&fabric, 4, me(4, 4), speaking(1..=3)).await;
    all_want_all(&[&one, &two, &four]);
    assert_eq!(up(&mut events_four).await.peer().version, 2);
    // It goes up alone, and a node that cannot follow says what it speaks.
    one.raise(1);
    three.raise(2);
    problem(&three, 1, "this build speaks 1 to 1, the other 2 to 2").await;
    assert!(one.link(NodeId(3)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_accepts_and_says_nothing_does_not_hold_up_the_dialer() {
    let fabric = Fabric::default();
    let mut deaf = fabric.node(1).listen(address(1)).await.expect("listens");
    let (two, _events) = node(&fabric, 2).await;
    want(&two, &[(1, address(1).to_string())]);
    let (_held, _) = deaf.accept().await.expect("a connection");
    problem(&two, 1, "expected a greeting within 5000 ms").await;
    // It comes again.
    deaf.accept().await.expect("a connection");
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_late_hears_of_links_that_are_there() {
    let fabric = Fabric::default();
    let [(one, _events_one), (two, _events_two)] = pair(&fabric).await;
    let mut late = one.subscribe(Service::Raft);
    assert_eq!(up(&mut late).await.peer().node, NodeId(2));
    let link = two.link(NodeId(1)).expect("a link");
    link.send(Service::Raft, &3_u8, Bytes::new())
        .expect("is queued");
    assert_eq!(frame(&mut late).await.1.message(), Ok(3_u8));
    // A service hears its own frames alone.
    link.send(Service::Members, &4_u8, Bytes::new())
        .expect("is queued");
    link.send(Service::Raft, &5_u8, Bytes::new())
        .expect("is queued");
    assert_eq!(frame(&mut late).await.1.message(), Ok(5_u8));
}

#[tokio::test(start_paused = true)]
async fn frames_that_nobody_takes_stop_the_link_and_not_its_life() {
    const PIECE: usize = 1 << 20;
    let fabric = Fabric::default();
    let [(one, _events_one), (_two, mut events_two)] = pair(&fabric).await;
    let link = one.link(NodeId(2)).expect("a link");
    let mut sent = 0_u32;
    let piece = Bytes::from(vec![1; PIECE]);
    // What the reader takes and what may wait to be written is bounded, so this ends.
    let full = loop {
        match link.send(Service::Calls, &sent, piece.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(full, wire::SendError::Full);
    let bounds = wire::UNWRITTEN_MAX / PIECE..=(wire::UNWRITTEN_MAX + wire::UNREAD_MAX) / PIECE + 2;
    assert!(bounds.contains(&(sent as usize)), "{sent} MiB were taken");
    // Far beyond the silence that closes a link: it is this end that does not read.
    sleep(Duration::from_secs(10)).await;
    for number in 0..sent {
        let (_, frame) = frame(&mut events_two).await;
        assert_eq!(frame.message(), Ok(number));
    }
    assert!(one.link(NodeId(2)).is_some_and(|now| now.is(&link)));
    link.send(Service::Calls, &sent, piece)
        .expect("there is room again");
    assert_eq!(frame(&mut events_two).await.1.message(), Ok(sent));
}

#[tokio::test(start_paused = true)]
async fn urgent_frames_overtake_bulk() {
    let fabric = Fabric::default();
    let [(one, _events_one), (two, mut calls)] = pair(&fabric).await;
    let mut files = two.subscribe(Service::Files);
    up(&mut files).await;
    let link = one.link(NodeId(2)).expect("a link");
    for number in 0..100_u32 {
        let piece = Bytes::from(vec![0; 256 << 10]);
        link.send(Service::Files, &number, piece)
            .expect("is queued");
    }
    link.send(Service::Calls, &"quick", Bytes::new())
        .expect("is queued");
    assert_eq!(frame(&mut calls).await.1.message(), Ok("quick".to_owned()));
    let mut before = 0_u32;
    while files.try_recv().is_some() {
        before += 1;
    }
    assert!(before < 10, "{before} pieces came first");
    for number in before..100 {
        assert_eq!(frame(&mut files).await.1.message(), Ok(number));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_holds_up_neither_a_close_nor_a_stop() {
    let fabric = Fabric::default();
    let [(one, mut events_one), _two] = pair(&fabric).await;
    let link = one.link(NodeId(2)).expect("a link");
    fabric.cut(1, 2);
    link.send(Service::Calls, &0_u8, Bytes::from(vec![0; 1 << 20]))
        .expect("is queued");
    let start = Instant::now();
    link.close("enough");
    assert_eq!(&*down(&mut events_one).await.1, "enough");
    assert_eq!(start.elapsed(), Duration::ZERO);
    one.stop().await;
    assert!(
        start.elapsed() <= LinkTiming::default().silence,
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscriber_holds_nobody_up() {
    let fabric = Fabric::default();
    let [(one, _events_one), (_two, events_two)] = pair(&fabric).await;
    let link = one.link(NodeId(2)).expect("a link");
    let flood = || {
        for _ in 0..20 {
            let sent = link.send(Service::Calls, &0_u8, Bytes::from(vec![0; 1 << 20]));
            sent.expect("is queued");
        }
    };
    flood();
    sleep(Duration::from_millis(100)).await;
    drop(events_two);
    flood();
    let asked = link.request::<_, u8>(Service::Calls, &0_u8, Bytes::new(), Duration::from_secs(5));
    let error = asked
        .await
        .expect_err("nobody serves it any more")
        .to_string();
    assert!(error.contains("not served"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn timing_is_a_setting() {
    let fabric = Fabric::default();
    let timing = LinkTiming {
        silence: Duration::from_secs(9),
        ..LinkTiming::default()
    };
    let slow = |seed| MeshSettings {
        timing,
        ..settings(seed)
    };
    let (one, mut events_one) = start(&fabric, 1, me(1, 1), slow(1)).await;
    let (two, mut events_two) = start(&fabric, 2, me(2, 2), slow(2)).await;
    all_want_all(&[&one, &two]);
    up(&mut events_one).await;
    up(&mut events_two).await;
    fabric.cut(1, 2);
    sleep(Duration::from_secs(8)).await;
    assert!(events_one.try_recv().is_none());
    assert!(matches!(event(&mut events_one).await, MeshEvent::Down(..)));
}
