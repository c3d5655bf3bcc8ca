//! What a link promises, over real sockets and plain text on loopback.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use pool::NodeId;
use wire::{Link, Mesh, MeshEvents, RequestError, Security, SendError, Service};

/// Nodes 1 and 2 with a link between them: meshes, events of calls, and 2's handle of the link.
async fn pair() -> ((Mesh, MeshEvents), (Mesh, MeshEvents), Link) {
    let (one, mut events_one) = tcp_mesh(me(1, 11), Security::Plain, patient(1)).await;
    let (two, mut events_two) = tcp_mesh(me(2, 22), Security::Plain, patient(2)).await;
    want(&one, &[(2, two.address().to_string())]);
    want(&two, &[(1, one.address().to_string())]);
    let link = up(&mut events_two).await;
    up(&mut events_one).await;
    ((one, events_one), (two, events_two), link)
}

#[tokio::test]
async fn the_greater_node_dials_and_both_know_the_other() {
    let ((one, _events_one), (two, _events_two), link) = pair().await;
    assert_eq!(link.peer().node, NodeId(1));
    assert_eq!((&*link.peer().name, link.peer().incarnation), ("n1", 11));
    assert_eq!(link.peer().version, wire::PROTOCOL_MAX);
    assert_eq!(link.peer().address, one.address());
    let other_end = one.link(NodeId(2)).expect("a link");
    assert_eq!(
        (&*other_end.peer().name, other_end.peer().incarnation),
        ("n2", 22)
    );
    assert_eq!((one.links().len(), two.links().len()), (1, 1));
}

#[tokio::test]
async fn messages_arrive_in_order_with_their_payloads() {
    let ((_one, mut events_one), _two, link) = pair().await;
    // On both sides of the sizes at which payloads are copied, and written in several parts.
    let sizes = [0, 1, 4096, 4097, 70_000, 2 << 20];
    for (number, size) in (0_u32..).zip(sizes) {
        let payload = Bytes::from(vec![u8::try_from(number).expect("small"); size]);
        link.send(Service::Calls, &("message", number), payload)
            .expect("is queued");
    }
    for (number, size) in (0_u32..).zip(sizes) {
        let (from, frame) = frame(&mut events_one).await;
        assert_eq!(from.peer().node, NodeId(2));
        assert!(!frame.is_request());
        assert_eq!(
            frame.message::<(String, u32)>(),
            Ok(("message".to_owned(), number))
        );
        assert_eq!(frame.payload().len(), size);
        assert!(
            frame
                .payload()
                .iter()
                .all(|byte| u32::from(*byte) == number)
        );
    }
}

#[tokio::test]
async fn many_requests_at_once_get_their_own_answers() {
    let ((_one, events_one), _two, link) = pair().await;
    serve_doubles(events_one);
    let asked: Vec<_> = (0..500_u64)
        .map(|number| {
            let payload = Bytes::from(number.to_string());
            let timeout = Duration::from_secs(20);
            link.request::<_, u64>(Service::Calls, &number, payload, timeout)
        })
        .collect();
    for (number, answer) in (0_u64..).zip(asked) {
        let (twice, payload) = answer.await.expect("an answer");
        assert_eq!(
            (twice, payload),
            (number * 2, Bytes::from(number.to_string()))
        );
    }
}

#[tokio::test]
async fn a_close_is_heard_by_both_with_its_reason() {
    let ((_one, mut events_one), (_two, mut events_two), link) = pair().await;
    link.send(Service::Calls, &7_u8, Bytes::new())
        .expect("is queued");
    link.close("enough");
    assert_eq!(&*within(link.closed()).await, "enough");
    assert_eq!(
        link.send(Service::Calls, &8_u8, Bytes::new()),
        Err(SendError::Closed("enough".into()))
    );
    // What was queued before arrives before the end.
    assert_eq!(frame(&mut events_one).await.1.message(), Ok(7_u8));
    let (peer, why) = down(&mut events_one).await;
    assert_eq!((peer.node, &*why), (NodeId(2), "the peer said: enough"));
    assert_eq!(&*down(&mut events_two).await.1, "enough");
}

#[tokio::test]
async fn a_request_that_nobody_serves_is_refused_at_once() {
    let ((_one, mut events_one), _two, link) = pair().await;
    let timeout = Duration::from_secs(20);
    let answer = link.request::<_, u64>(Service::Raft, &1_u8, Bytes::new(), timeout);
    let error = within(answer).await.expect_err("nobody serves consensus");
    assert!(
        matches!(&error, RequestError::Refused(why) if why.contains("not served")),
        "{error}"
    );

    let answer = link.request::<_, u64>(Service::Calls, &1_u8, Bytes::new(), timeout);
    let (from, request) = frame(&mut events_one).await;
    request.refuse(&from, "not today");
    assert_eq!(
        within(answer).await,
        Err(RequestError::Refused("not today".to_owned()))
    );
}
