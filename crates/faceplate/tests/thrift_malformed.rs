//! What becomes of bytes that are no message of Thrift: their connection ends, and no other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::Limits;
use proptest::prelude::*;
use std::time::Duration;
use support::thrift::{
    CALL, Compact, Old, Strict, ask, asks, call, connect, holds, is_exception, message, serve,
};
use support::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is sent, and what each of them is: bytes that never become a call.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let strict = |fields: &[u8]| message(Strict, CALL, "call_json", 1).raw(fields).1;
    let compact = |fields: &[u8]| message(Compact, CALL, "call_json", 1).raw(fields).1;
    let framed = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let mut deep_lists = vec![15, 0, 9];
    deep_lists.extend([15, 0, 0, 0, 1].repeat(1_000));
    vec![
        ("another version", vec![0x80, 2, 0, 1, 0, 0, 0, 0]),
        ("another compact version", vec![0x82, 0x22, 0, 0]),
        ("another protocol", vec![0xff; 8]),
        (
            "a frame beyond the limit",
            vec![0x7f, 0xff, 0xff, 0xff, 0x80, 1],
        ),
        ("an empty frame", vec![0, 0, 0, 0, 0, 0, 0, 0]),
        (
            "a name below zero",
            vec![0x80, 1, 0, 1, 0xff, 0xff, 0xff, 0xff],
        ),
        ("a name beyond all names", vec![0x80, 1, 0, 1, 0, 1, 0, 0]),
        (
            "a name of other bytes",
            vec![0x80, 1, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 1, 0],
        ),
        ("no kind of message", message(Strict, 9, "x", 1).1),
        ("an unknown kind of field", strict(&[5, 0, 1])),
        ("a boolean of three", strict(&[2, 0, 1, 3])),
        (
            "a string beyond the limit",
            strict(&[11, 0, 1, 0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a string below zero", strict(&[11, 0, 1, 0x80, 0, 0, 0])),
        (
            "a list beyond the limit",
            strict(&[15, 0, 1, 10, 0x7f, 0xff, 0xff, 0xff]),
        ),
        (
            "a map beyond the limit",
            strict(&[13, 0, 1, 11, 11, 0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a list of nothing", strict(&[15, 0, 1, 0, 0, 0, 0, 1, 0])),
        ("structs without end", strict(&[12, 0, 1].repeat(1_000))),
        ("lists without end", strict(&deep_lists)),
        (
            "compact structs without end",
            compact(&[0x1c].repeat(1_000)),
        ),
        (
            "compact lists without end",
            compact(&[&[0x19][..], &[0x19].repeat(1_000)].concat()),
        ),
        (
            "a compact list beyond the limit",
            compact(&[0x19, 0xf6, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        (
            "an integer without end",
            compact(&[&[0x16][..], &[0xff; 12]].concat()),
        ),
        (
            "a field beyond 16 bits",
            compact(&[0x08, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        (
            "a frame that is too short",
            framed(&strict(&[11, 0, 1, 0, 0, 0, 9, b'k'])),
        ),
        ("a frame that goes on", framed(&strict(&[0, 0]))),
        (
            "a request of HTTP",
            b"POST /thrift HTTP/1.1\r\n\r\n".to_vec(),
        ),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ]
}

#[tokio::test]
async fn what_is_no_message_ends_its_connection_and_no_other() {
    let limits = Limits {
        body_max: 64 * 1024,
        ..Limits::default()
    };
    let server = serve(limits).await;
    let mut other = connect(&server).await;
    for (what, bytes) in corpus() {
        let mut client = connect(&server).await;
        client.write_all(&bytes).await.unwrap();
        let mut told = Vec::new();
        // It may close with bytes of ours unread, which cuts the connection off.
        let _ = within(client.read_to_end(&mut told)).await;
        assert!(told.len() < 1_024, "{what}: {told:?}");
        assert!(
            holds(&ask(&mut other, &call("echo", 1)).await, b"{\"n\": 1}"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn slow_messages_and_endless_ones_are_told_so() {
    let limits = Limits {
        body_max: 1_024,
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = serve(limits).await;
    let mut slow = connect(&server).await;
    slow.write_all(&[0x80, 1, 0, 1]).await.unwrap();
    let mut told = Vec::new();
    within(slow.read_to_end(&mut told)).await.unwrap();
    is_exception(&told, 7);
    let mut endless = connect(&server).await;
    let fields = [2, 0, 1, 1].repeat(512);
    endless
        .write_all(&message(Strict, CALL, "call_json", 1).raw(&fields).1)
        .await
        .unwrap();
    told.clear();
    let _ = within(endless.read_to_end(&mut told)).await;
    is_exception(&told, 7);
    assert!(holds(&told, b"too_large"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_disturb_others(
        noise in prop::collection::vec(any::<u8>(), 0..64),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        protocol in prop::sample::select(vec![Strict, Old, Compact]),
        framed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let limits = Limits {
                body_timeout: Duration::from_millis(20),
                ..Limits::default()
            };
            let server = serve(limits).await;
            let mut changed = asks(protocol, CALL, "call_json", 1, "echo").end(framed);
            for (place, byte) in &changes {
                *place.get_mut(&mut changed) = *byte;
            }
            for bytes in [&noise, &changed] {
                let mut client = connect(&server).await;
                client.write_all(bytes).await.unwrap();
                let _ = client.shutdown().await;
                let mut told = Vec::new();
                let _ = within(client.read_to_end(&mut told)).await;
                assert!(told.len() < 4_096);
            }
            let mut other = connect(&server).await;
            assert!(holds(&ask(&mut other, &call("echo", 1)).await, b"{\"n\": 1}"));
        });
    }
}
