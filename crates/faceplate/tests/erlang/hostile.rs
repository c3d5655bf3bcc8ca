//! Frames that no node sends: a corpus, and changed ones by chance.

use super::peer::{
    FLAGS, Peer, alias_tag, call, frame, gen_call, int, lengthen, me, plain, plain_tag, reference,
    serve, to,
};
use faceplate::Limits;
use proptest::prelude::*;
use term::Term;
use tokio::io::AsyncWriteExt;

/// Frames that no node sends.
fn hostile() -> Vec<Vec<u8>> {
    let deep = [&b"\x70\x83"[..], &b"h\x01".repeat(100_000), b"j"].concat();
    let promising = b"\x70\x83l\xff\xff\xff\xff".to_vec();
    let control = |control: Vec<Term>| frame(control, None)[4..].to_vec();
    let mut no_message = frame(to("katamari"), None);
    no_message.drain(..4);
    let mut half = frame(
        to("katamari"),
        Some(gen_call(plain_tag(1), Term::atom("x"))),
    );
    half.drain(..4);
    half.truncate(half.len() - 3);
    vec![
        b"\x70".to_vec(),
        b"\x71\x83j".to_vec(),
        b"\x83\x44\0h\x01a\x01".to_vec(),
        b"\x70\x83j".to_vec(),
        b"\x70\x83h\0".to_vec(),
        b"\x70\x83w\x01a".to_vec(),
        deep,
        promising,
        no_message,
        half,
        control(vec![Term::atom("reg_send")]),
        control(vec![int(20), me(), me(), me()]),
    ]
}

#[tokio::test]
async fn hostile_frames_close_their_connection_and_no_other() {
    let limits = Limits {
        body_max: 512 * 1024,
        ..Limits::default()
    };
    let server = serve(&[], limits).await;
    let mut other = Peer::of(&server, FLAGS).await;
    let frames = hostile().into_iter().map(|frame| lengthen(&frame));
    let too_long = [b"\0\x08\0\x01p".to_vec(), b"\xff\xff\xff\xff".to_vec()];
    for frame in frames.chain(too_long) {
        let mut peer = Peer::of(&server, FLAGS).await;
        peer.write(&frame).await;
        peer.closes().await;
        other.echoes().await;
    }
    // What is odd, but none of our concern.
    for control in [
        vec![int(5)],
        vec![int(99), int(1)],
        vec![int(7), me(), me()],
        vec![int(19), me()],
        vec![int(8), me(), me(), Term::atom("kill")],
    ] {
        other.send(control, None).await;
    }
    for message in [int(1), gen_call(int(1), int(1)), Term::Tuple(Vec::new())] {
        other.send(to("nobody"), Some(message)).await;
    }
    other.echoes().await;
}

/// Frames as a peer sends them, with some bytes changed, and frames of chance.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec![
        frame(
            to("katamari"),
            Some(gen_call(alias_tag(1), call("k", "echo", vec![int(1)]))),
        ),
        frame(
            to("rex"),
            Some(gen_call(plain_tag(2), call("k", "echo", Vec::new()))),
        ),
        frame(
            vec![int(19), me(), Term::atom("katamari"), reference(1)],
            None,
        ),
        frame(
            vec![int(20), me(), Term::atom("katamari"), reference(1)],
            None,
        ),
        frame(vec![int(35), int(1), me(), me()], None),
    ]);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let changed = (good, changes).prop_map(|(mut frame, changes)| {
        for (at, byte) in changes {
            // The length stays, so that it is the terms that are read.
            let at = 4 + at.index(frame.len() - 4);
            frame[at] = byte;
        }
        frame
    });
    let chance = prop::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        changed,
        chance.prop_map(|bytes| lengthen(&[&b"\x70\x83"[..], &bytes].concat())),
        prop::collection::vec(any::<u8>(), 0..80),
    ]
}

#[test]
fn whatever_comes_other_nodes_are_served() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, other) = runtime.block_on(async {
        let server = plain().await;
        let other = Peer::of(&server, FLAGS).await;
        (server, tokio::sync::Mutex::new(other))
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    let some = prop::collection::vec(frames(), 1..6);
    let outcome = runner.run(&some, |frames| {
        runtime.block_on(async {
            let mut peer = Peer::of(&server, FLAGS).await;
            peer.write(&frames.concat()).await;
            // All of it is read before the end is seen.
            let _ = peer.0.shutdown().await;
            peer.closes().await;
            other.lock().await.echoes().await;
        });
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(async { assert!(!server.task.is_finished()) });
}
