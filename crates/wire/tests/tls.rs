//! Who gets a link, and who may only join: TLS over real sockets.

mod common;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use pool::NodeId;
use rustls::pki_types::UnixTime;
use wire::{
    Authority, Credentials, HandshakeError, Identity, JOIN_MAX, Mesh, MeshEvents, Network, NodeKey,
    Security, Service, Tcp, Trust, VALIDITY, join,
};

/// What newcomers speak.
const VERSIONS: RangeInclusive<u16> = 1..=1;
/// Longer than clocks may differ.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> u64 {
    UnixTime::now().as_secs()
}

fn authority() -> Authority {
    Authority::new("test", now()).expect("an authority")
}

fn identity(authority: &Authority, node: u32, from: u64, validity: Duration) -> Identity {
    let key = NodeKey::generate().expect("a key");
    let signed = authority
        .sign(NodeId(node), "n", key.public(), from, validity)
        .expect("signs");
    Identity::new(&key, signed).expect("an identity")
}

fn credentials(authority: &Authority, node: u32) -> Credentials {
    Credentials::new(identity(authority, node, now(), VALIDITY)).expect("credentials")
}

fn expired(authority: &Authority, node: u32) -> Credentials {
    let identity = identity(authority, node, now() - 3 * DAY.as_secs(), DAY);
    Credentials::new(identity).expect("credentials")
}

async fn mesh(node: u32, credentials: &Credentials) -> (Mesh, MeshEvents) {
    let security = Security::Tls(credentials.clone());
    tcp_mesh(me(node, u64::from(node)), security, patient(node.into())).await
}

#[tokio::test]
async fn nodes_of_one_authority_get_a_link() {
    let authority = authority();
    let (one, events_one) = mesh(1, &credentials(&authority, 1)).await;
    let (two, mut events_two) = mesh(2, &credentials(&authority, 2)).await;
    want(&two, &[(1, one.address().to_string())]);
    let link = up(&mut events_two).await;
    serve_doubles(events_one);
    // Smaller and larger than a record of TLS.
    for size in [0, 10, 20_000, 3 << 20] {
        let payload = Bytes::from(vec![7; size]);
        assert_eq!(double(&link, 21, payload.clone()).await, (42, payload));
    }
    // The other way, too: the end that was dialed asks.
    serve_doubles(events_two);
    let other_end = one.link(NodeId(2)).expect("a link");
    assert_eq!(double(&other_end, 4, Bytes::new()).await.0, 8);
}

#[tokio::test]
async fn a_node_of_another_authority_gets_no_link() {
    let (one, mut events_one) = mesh(1, &credentials(&authority(), 1)).await;
    let (two, _events_two) = mesh(2, &credentials(&authority(), 2)).await;
    want(&two, &[(1, one.address().to_string())]);
    problem(&two, 1, "identity of node 1 does not match").await;
    assert!(events_one.try_recv().is_none());
}

#[tokio::test]
async fn a_certificate_of_another_node_is_no_identity() {
    let authority = authority();
    let (one, mut events_one) = mesh(1, &credentials(&authority, 1)).await;
    // It has the certificate of node 3, and says that it is node 4.
    let stolen = Security::Tls(credentials(&authority, 3));
    let (four, _events_four) = tcp_mesh(me(4, 4), stolen, patient(4)).await;
    want(&four, &[(1, one.address().to_string())]);
    problem(&four, 1, "identity of node 4 does not match").await;

    // Whoever is dialed must show the certificate of the node that was meant.
    let (five, _events_five) = mesh(5, &credentials(&authority, 5)).await;
    want(&five, &[(2, one.address().to_string())]);
    problem(&five, 2, "identity of node 2 does not match").await;
    assert!(events_one.try_recv().is_none());
}

#[tokio::test]
async fn an_expired_certificate_gets_no_link_until_it_is_renewed() {
    let authority = authority();
    let (one, _events_one) = mesh(1, &credentials(&authority, 1)).await;
    let renewable = expired(&authority, 2);
    let (two, mut events_two) = mesh(2, &renewable).await;
    want(&two, &[(1, one.address().to_string())]);
    problem(&two, 1, "certificate is not accepted").await;
    renewable
        .replace(identity(&authority, 2, now(), VALIDITY))
        .expect("is replaced");
    assert_eq!(up(&mut events_two).await.peer().node, NodeId(1));

    // The same if it is the end that was dialed.
    let renewable = expired(&authority, 3);
    let (three, _events_three) = mesh(3, &renewable).await;
    let (four, mut events_four) = mesh(4, &credentials(&authority, 4)).await;
    want(&four, &[(3, three.address().to_string())]);
    problem(&four, 3, "expired").await;
    renewable
        .replace(identity(&authority, 3, now(), VALIDITY))
        .expect("is replaced");
    assert_eq!(up(&mut events_four).await.peer().node, NodeId(3));
}

#[tokio::test]
async fn a_stranger_with_the_fingerprint_may_ask_to_join() {
    let authority = authority();
    let (one, _events) = mesh(1, &credentials(&authority, 1)).await;
    let address = one.address().to_string();
    let trust = Trust::Fingerprint(authority.fingerprint());

    let early = join(&Tcp, &address, trust, &VERSIONS, b"hi").await;
    assert!(matches!(&early, Err(HandshakeError::Refused(why)) if why.contains("admits nobody")));

    let mut joins = one.joins();
    tokio::spawn(async move {
        while let Some(join) = joins.recv().await {
            if join.message.starts_with(b"secret") {
                let answer = [b"welcome ", &join.message[..]].concat();
                join.answer(answer.into());
            } else {
                join.refuse("the token is unknown");
            }
        }
    });
    let answer = within(join(&Tcp, &address, trust, &VERSIONS, b"secret 7"))
        .await
        .expect("an answer");
    assert_eq!(answer, &b"welcome secret 7"[..]);
    let refused = within(join(&Tcp, &address, trust, &VERSIONS, b"?")).await;
    assert!(matches!(&refused, Err(HandshakeError::Refused(why)) if why == "the token is unknown"));
    let too_long = vec![0; JOIN_MAX + 1];
    assert!(
        join(&Tcp, &address, trust, &VERSIONS, &too_long)
            .await
            .is_err()
    );
    assert!(one.links().is_empty());
}

#[tokio::test]
async fn who_joins_talks_to_no_cluster_but_the_one_of_the_token() {
    let (one, _events) = mesh(1, &credentials(&authority(), 1)).await;
    let _joins = one.joins();
    let trust = Trust::Fingerprint(authority().fingerprint());
    let error = within(join(
        &Tcp,
        &one.address().to_string(),
        trust,
        &VERSIONS,
        b"secret",
    ))
    .await;
    assert!(
        matches!(error, Err(HandshakeError::Certificate(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn sixteen_may_join_at_a_time() {
    let authority = authority();
    let (one, _events) = mesh(1, &credentials(&authority, 1)).await;
    let mut joins = one.joins();
    let address: Arc<str> = one.address().to_string().into();
    let trust = Trust::Fingerprint(authority.fingerprint());
    let ask = || {
        let address = Arc::clone(&address);
        tokio::spawn(async move { join(&Tcp, &address, trust, &VERSIONS, b"me").await })
    };
    let mut asked = Vec::new();
    let mut taken = Vec::new();
    for _ in 0..16 {
        asked.push(ask());
        taken.push(within(joins.recv()).await.expect("a join"));
    }
    let refused = within(ask()).await.expect("no panic");
    assert!(matches!(&refused, Err(HandshakeError::Refused(why)) if why.contains("too many")));
    // An answer makes room.
    taken.pop().expect("sixteen").answer(Bytes::new());
    within(asked.pop().expect("sixteen"))
        .await
        .expect("no panic")
        .expect("an answer");
    let next = ask();
    within(joins.recv())
        .await
        .expect("a join")
        .answer(Bytes::from_static(b"ok"));
    assert_eq!(
        within(next).await.expect("no panic").expect("an answer"),
        &b"ok"[..]
    );
}

#[tokio::test]
async fn plain_text_stays_on_this_machine() {
    let listener = Tcp.listen(([0, 0, 0, 0], 0).into()).await.expect("listens");
    let started = Mesh::start(
        me(1, 1),
        Arc::new(Tcp),
        listener,
        Security::Plain,
        settings(1),
    );
    let error = started
        .err()
        .expect("plain text beyond loopback is refused")
        .to_string();
    assert!(
        error.contains("loopback") && error.contains("0.0.0.0"),
        "{error}"
    );

    // TLS may.
    let listener = Tcp.listen(([0, 0, 0, 0], 0).into()).await.expect("listens");
    let security = Security::Tls(credentials(&authority(), 1));
    let started = Mesh::start(me(1, 1), Arc::new(Tcp), listener, security, settings(1));
    started.expect("starts").stop().await;
}

#[tokio::test]
async fn a_link_that_was_made_outlives_a_renewal() {
    let authority = authority();
    let renewable = credentials(&authority, 2);
    let (one, events_one) = mesh(1, &credentials(&authority, 1)).await;
    let (two, mut events_two) = mesh(2, &renewable).await;
    want(&two, &[(1, one.address().to_string())]);
    let link = up(&mut events_two).await;
    serve_doubles(events_one);
    let next = identity(&authority, 2, now(), 2 * VALIDITY);
    renewable.replace(next).expect("is replaced");
    assert_eq!(double(&link, 5, Bytes::new()).await.0, 10);
    assert!(events_two.try_recv().is_none());
    link.send(Service::Calls, &1_u64, Bytes::new())
        .expect("is queued");
}
