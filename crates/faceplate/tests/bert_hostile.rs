//! Whatever comes over a connection of BERT-RPC, each other client is served on, and what is said
//! back is BERT-RPC.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bert_support;
mod support;

use bert_support::{
    Peer, atom, berp, bert, call, error_of, framed, info, list, serve, text, tuple,
};
use faceplate::Limits;
use proptest::prelude::*;
use std::time::Duration;
use support::{Server, within};
use term::Term;
use tokio::io::AsyncWriteExt;

/// Bytes that a message may have in these tests.
const BODY_MAX: usize = 4 * 1024;

fn limits() -> Limits {
    Limits {
        body_max: BODY_MAX,
        body_timeout: Duration::from_millis(100),
        ..Limits::default()
    }
}

/// Sends bytes, says no more, and reads all frames that come back.
async fn answers(server: &Server, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut peer = Peer::connect(server).await;
    // Whoever is refused early is not read to the end.
    let _ = within(peer.0.write_all(bytes)).await;
    let mut rest = &peer.rest().await[..];
    let mut frames = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let Some((frame, behind)) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)
        else {
            break;
        };
        frames.push(frame.to_vec());
        rest = behind;
    }
    frames
}

/// A message whose one byte is missing forever: the connection ends with it.
fn ended(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0, 0, 0, 1]].concat()
}

async fn is_served(peer: &mut Peer) {
    peer.say(&call("echo", &[])).await;
    assert_eq!(peer.hear().await, bert_support::reply_of(list(&[])));
}

/// A tuple in a tuple in a tuple.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![131];
    for _ in 0..depth {
        bytes.extend([104, 1]);
    }
    bytes.push(106);
    bytes
}

/// Messages that are wrong, each with the type and the number of the error that must come.
fn corpus() -> Vec<(&'static str, Vec<u8>, (&'static str, i64))> {
    let unreadable = ("protocol", 2);
    let meaningless = ("protocol", 0);
    let arguments = ("server", 100);
    let encoded = |term: &Term| berp(term)[4..].to_vec();
    let with =
        |arguments: Term| encoded(&tuple(&[atom("call"), atom("k"), atom("echo"), arguments]));
    let mut truncated = encoded(&call("echo", &[text("abc")]));
    truncated.pop();
    let mut trailing = encoded(&call("echo", &[]));
    trailing.push(0);
    // Compressed, and said to be larger than it may be.
    let bomb = [&[131, 80, 255, 255, 255, 255][..], &[0x78, 0x9c, 3, 0]].concat();
    let promised = vec![131, 108, 255, 255, 255, 255, 106];
    let json = b"{\"method\": \"k.echo\"}".to_vec();
    let many = with(list(&vec![Term::Integer(1); 200]));
    vec![
        ("no bytes", vec![], unreadable),
        ("another version", vec![130, 106], unreadable),
        ("JSON", json, unreadable),
        ("a term that ends early", truncated, unreadable),
        ("bytes behind a term", trailing, unreadable),
        ("too deep", nested(1_000), unreadable),
        ("a bomb", bomb, unreadable),
        ("more elements than bytes", promised, unreadable),
        ("an unknown tag", vec![131, 200], unreadable),
        ("deep and no request", nested(100), meaningless),
        (
            "a reply",
            encoded(&bert_support::reply_of(atom("ok"))),
            meaningless,
        ),
        (
            "a call of nothing",
            encoded(&tuple(&[atom("call")])),
            meaningless,
        ),
        ("arguments that are none", with(atom("all")), arguments),
        ("too many arguments", many, arguments),
        (
            "a dict of no pairs",
            with(tuple(&[atom("bert"), atom("dict"), atom("x")])),
            arguments,
        ),
        (
            "an improper list",
            with(Term::ImproperList(vec![atom("a")], Box::new(atom("b")))),
            arguments,
        ),
    ]
}

#[tokio::test]
async fn each_wrong_message_has_its_error_and_the_connection_goes_on() {
    let server = serve(&[], limits()).await;
    let mut same = Peer::connect(&server).await;
    for (what, bytes, expected) in corpus() {
        same.write(&framed(&bytes)).await;
        let (kind, number, ..) = error_of(&same.hear().await);
        assert_eq!((&*kind, number), expected, "{what}");
        is_served(&mut same).await;
    }
}

#[tokio::test]
async fn wrong_chunks_and_slow_bytes_trouble_nobody_else() {
    let server = serve(&[], limits()).await;
    let mut other = Peer::connect(&server).await;
    let stream = berp(&info("stream", list(&[])));
    let request = berp(&call("echo", &[]));
    let endless = [
        &stream[..],
        &request,
        &framed(&[7; 3_000]),
        &framed(&[7; 3_000]),
    ]
    .concat();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 64],
        vec![0, 0, 1],
        [&stream[..], &request].concat(),
        endless,
    ] {
        let frames = answers(&server, &ended(&bytes)).await;
        let last = frames.last().expect("it is told");
        assert_eq!(error_of(&bert(last)).0, "protocol", "{bytes:?}");
        is_served(&mut other).await;
    }
}

/// Requests and directives, right or nearly so.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "call", "cast", "info", "stream", "cache", "callback", "katamari", "k", "echo", "bert",
    ]);
    let leaf = prop_oneof![
        word.prop_map(atom),
        any::<i64>().prop_map(Term::Integer),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Term::Binary(bytes.into())),
        Just(list(&[])),
    ];
    let term = leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Term::Tuple),
            prop::collection::vec(inner, 0..5).prop_map(Term::List),
        ]
    });
    let request =
        prop::collection::vec(term.clone(), 0..3).prop_map(|arguments| call("echo", &arguments));
    let directive = term.clone().prop_map(|options| info("katamari", options));
    prop_oneof![
        request.prop_map(|term| berp(&term)),
        directive.prop_map(|term| berp(&term)),
        term.prop_map(|term| berp(&term)),
        Just(berp(&info("stream", list(&[])))),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| framed(&bytes)),
    ]
}

/// Such messages one after the other, with a few bytes changed.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let messages = prop::collection::vec(nearly(), 0..6).prop_map(|messages| messages.concat());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (messages, changes).prop_map(|(mut bytes, changes)| {
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_said_is_answered_in_terms(bytes in conversation()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let brief = Limits { body_timeout: Duration::from_millis(2), ..limits() };
            let server = serve(&[], brief).await;
            let mut other = Peer::connect(&server).await;
            for frame in answers(&server, &ended(&bytes)).await {
                let Term::Tuple(parts) = bert(&frame) else {
                    panic!("{frame:?}");
                };
                let known = ["reply", "noreply", "error", "info"];
                assert!(known.iter().any(|word| parts[0].is_atom(word)), "{parts:?}");
            }
            is_served(&mut other).await;
        });
    }
}
