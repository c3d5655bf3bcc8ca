//! Whom a node lets in.

use super::peer::{
    ALIAS, COOKIE, FLAGS, MANDATORY_25, NAME_ME, Peer, UTF8_ATOMS, alias_tag, call, gen_call,
    hello, int, plain, serve, to,
};
use super::peer::{digest, read};
use super::support::{Scene, Server, within};
use faceplate::{Limits, Settings, Tls, Trust};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn whoever_does_not_know_the_cookie_is_turned_away() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&hello(FLAGS, "peer@127.0.0.1")).await;
    let challenge = peer.challenged().await;
    assert_eq!(peer.prove("other", challenge).await, None);
    // What was right once is not the answer to another challenge.
    let mut again = Peer::connect(&server).await;
    again.say(&hello(FLAGS, "peer@127.0.0.1")).await;
    assert_ne!(again.challenged().await, challenge);
    assert_eq!(again.prove(COOKIE, challenge).await, None);
}

#[tokio::test]
async fn nodes_that_are_too_old_or_nameless_are_told() {
    let server = plain().await;
    for flags in [FLAGS & !UTF8_ATOMS, 0, FLAGS | NAME_ME] {
        let mut peer = Peer::connect(&server).await;
        peer.say(&hello(flags, "peer@127.0.0.1")).await;
        assert_eq!(peer.hear().await, b"snot_allowed");
        peer.closes().await;
    }
    // What later nodes have in place of all the flags.
    Peer::of(&server, MANDATORY_25).await.echoes().await;
}

#[tokio::test]
async fn a_name_may_come_in_its_old_form() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    let low = u32::try_from(FLAGS & 0xffff_ffff).unwrap().to_be_bytes();
    peer.say(&[&b"n\0\x05"[..], &low, b"peer@127.0.0.1"].concat())
        .await;
    let challenge = peer.challenged().await;
    let high = u32::try_from((FLAGS | ALIAS) >> 32).unwrap().to_be_bytes();
    peer.say(&[&b"c"[..], &high, &[0, 0, 0, 7]].concat()).await;
    peer.prove(COOKIE, challenge).await.unwrap();
    peer.send(
        to("katamari"),
        Some(gen_call(alias_tag(1), call("k", "null", Vec::new()))),
    )
    .await;
    assert_eq!(
        peer.receive().await.0[0],
        int(33),
        "the high flags have come"
    );
}

#[tokio::test]
async fn what_is_no_handshake_closes() {
    let server = plain().await;
    let long = hello(FLAGS, &"n".repeat(1_021));
    let mut cut = hello(FLAGS, "peer@127.0.0.1");
    cut.truncate(20);
    let mut no_text = hello(FLAGS, "peer");
    *no_text.last_mut().unwrap() = 0xff;
    let messages: [&[u8]; 9] = [
        b"",
        b"N",
        b"n\0\x06\0\0\0\0peer@h",
        b"n\0\x05\0",
        b"GET / HTTP/1.1\r\n",
        &hello(FLAGS, ""),
        &no_text,
        &cut,
        &long,
    ];
    for message in messages {
        let mut peer = Peer::connect(&server).await;
        peer.say(message).await;
        peer.closes().await;
    }
    let mut endless = Peer::connect(&server).await;
    endless.write(b"\xff\xffN").await;
    endless.closes().await;
    for reply in [&b"r\0\0\0\0"[..], b"", b"x", &[b'r'; 30]] {
        let mut peer = Peer::connect(&server).await;
        peer.say(&hello(FLAGS, "peer@127.0.0.1")).await;
        peer.challenged().await;
        peer.say(reply).await;
        peer.closes().await;
    }
}

#[tokio::test]
async fn a_handshake_that_stops_is_given_up() {
    let limits = Limits {
        header_timeout: std::time::Duration::from_millis(50),
        ..Limits::default()
    };
    let server = serve(&[], limits).await;
    let mut peer = Peer::connect(&server).await;
    peer.write(b"\0\x20N").await;
    peer.closes().await;
}

#[tokio::test]
async fn over_tls_lengths_have_32_bits_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let settings = Settings {
        tls: Some(Arc::new(Tls::load(&certificate, &key, &[]).unwrap())),
        ..Settings::default()
    };
    let erlang = read(&[("cookie", COOKIE), ("epmd", "127.0.0.1:1")]).unwrap();
    let server = Server::of(erlang, Scene::default(), settings).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let trust = Trust::load(&certificate).unwrap();
    let mut socket = within(trust.connect("localhost", stream)).await.unwrap();
    let framed = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap();
        [&length.to_be_bytes(), message].concat()
    };
    let said = framed(&hello(FLAGS, "peer@127.0.0.1"));
    socket.write_all(&said).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..2 {
        let length = within(socket.read_u32()).await.unwrap();
        heard = vec![0; usize::try_from(length).unwrap()];
        within(socket.read_exact(&mut heard)).await.unwrap();
    }
    let challenge = u32::from_be_bytes(heard[9..13].try_into().unwrap());
    let reply = [&b"r\0\0\0\x01"[..], &digest(COOKIE, challenge)].concat();
    socket.write_all(&framed(&reply)).await.unwrap();
    let mut proof = [0; 4 + 17];
    within(socket.read_exact(&mut proof)).await.unwrap();
    assert_eq!(proof[..5], *b"\0\0\0\x11a");
    assert_eq!(proof[5..], digest(COOKIE, 1));
}
