//! A peer written by hand from `docs/protocol/link.md`, that keeps to it, and one that does not.

mod common;

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use common::*;
use pool::NodeId;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{
    FRAME_MAX, HEADER_MAX, Mesh, MeshEvents, REQUESTS_MAX, RequestError, Security, Service,
};

/// The greetings as the page has them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Greeting {
    Hello(Hello),
    Welcome,
    Refused(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Hello {
    version_min: u16,
    version_max: u16,
    cluster: String,
    node: u32,
    name: String,
    incarnation: u64,
    attempt: u64,
}

fn hello(attempt: u64) -> Hello {
    let (cluster, name) = ("test".to_owned(), "by hand".to_owned());
    Hello {
        version_min: 1,
        version_max: 1,
        cluster,
        node: 9,
        name,
        incarnation: 99,
        attempt,
    }
}

fn greeting(greeting: &Greeting) -> Vec<u8> {
    let body = postcard::to_stdvec(greeting).expect("encodes");
    let mut bytes = b"KATAMARI".to_vec();
    bytes.put_u32(u32::try_from(body.len()).expect("short"));
    bytes.extend(body);
    bytes
}

async fn read_greeting(stream: &mut TcpStream) -> Greeting {
    let mut start = [0; 8];
    within(stream.read_exact(&mut start))
        .await
        .expect("a greeting");
    assert_eq!(&start, b"KATAMARI");
    let mut body = vec![0; within(stream.read_u32()).await.expect("a length") as usize];
    within(stream.read_exact(&mut body))
        .await
        .expect("a greeting");
    postcard::from_bytes(&body).expect("decodes")
}

fn frame_bytes(kind: u8, service: u8, correlation: Option<u64>, header: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    let length = 6 + correlation.map_or(0, |_| 8) + header.len();
    bytes.put_u32(u32::try_from(length).expect("short"));
    bytes.put_u8(kind);
    bytes.put_u8(service);
    bytes.put_u32(u32::try_from(header.len()).expect("short"));
    if let Some(correlation) = correlation {
        bytes.put_u64(correlation);
    }
    bytes.put_slice(header);
    bytes
}

/// The next frame that is no ping: kind, service, correlation, header with payload.
async fn read_frame(stream: &mut TcpStream) -> (u8, u8, Option<u64>, Vec<u8>) {
    loop {
        let mut rest = vec![0; within(stream.read_u32()).await.expect("a length") as usize];
        within(stream.read_exact(&mut rest)).await.expect("a frame");
        let has_correlation = matches!(rest[0], 2..=4);
        let start = if has_correlation { 14 } else { 6 };
        let correlation = has_correlation
            .then(|| u64::from_be_bytes(rest[6..14].try_into().expect("eight bytes")));
        if rest[0] != 5 {
            return (rest[0], rest[1], correlation, rest.split_off(start));
        }
    }
}

async fn mesh() -> (Mesh, MeshEvents) {
    tcp_mesh(me(1, 1), Security::Plain, patient(1)).await
}

async fn connected(mesh: &Mesh, attempt: u64) -> TcpStream {
    let mut stream = TcpStream::connect(mesh.address()).await.expect("connects");
    stream
        .write_all(&greeting(&Greeting::Hello(hello(attempt))))
        .await
        .expect("writes");
    let Greeting::Hello(theirs) = read_greeting(&mut stream).await else {
        panic!("no hello")
    };
    assert_eq!(
        (theirs.node, &*theirs.cluster, theirs.attempt),
        (1, "test", 0)
    );
    assert_eq!(read_greeting(&mut stream).await, Greeting::Welcome);
    stream
        .write_all(&greeting(&Greeting::Welcome))
        .await
        .expect("writes");
    stream
}

#[tokio::test]
async fn the_page_is_enough_to_write_another_end() {
    let (one, mut events) = mesh().await;
    let mut stream = connected(&one, 1).await;
    let link = up(&mut events).await;
    assert_eq!(
        (link.peer().node, &*link.peer().name),
        (NodeId(9), "by hand")
    );

    // Byte by byte, a message: the number 300 as a varint, and a payload.
    let mut message = frame_bytes(1, 3, None, &[0xac, 0x02]);
    message[3] += 2;
    message.put_slice(b"ab");
    for byte in message {
        stream.write_all(&[byte]).await.expect("writes");
        stream.flush().await.expect("flushes");
    }
    let (_, got) = frame(&mut events).await;
    assert_eq!(
        (got.message(), &got.payload()[..]),
        (Ok(300_u32), &b"ab"[..])
    );

    // A request, and its answer.
    stream
        .write_all(&frame_bytes(2, 3, Some(77), &[5]))
        .await
        .expect("writes");
    let (from, got) = frame(&mut events).await;
    assert!(got.is_request());
    got.answer(&from, &6_u8, bytes::Bytes::from_static(b"p"));
    assert_eq!(
        read_frame(&mut stream).await,
        (3, 3, Some(77), b"\x06p".to_vec())
    );

    // The other way.
    let asked = link.request::<_, u8>(
        Service::Raft,
        &7_u8,
        bytes::Bytes::new(),
        Duration::from_secs(20),
    );
    let (kind, service, correlation, header) = read_frame(&mut stream).await;
    assert_eq!((kind, service, header), (2, 2, vec![7]));
    stream
        .write_all(&frame_bytes(3, 2, correlation, &[8]))
        .await
        .expect("writes");
    assert_eq!(within(asked).await.expect("an answer").0, 8);

    // An answer that nobody waits for, and a message for a service to come, are passed over.
    stream
        .write_all(&frame_bytes(3, 2, Some(1234), &[8]))
        .await
        .expect("writes");
    stream
        .write_all(&frame_bytes(1, 200, None, &[8]))
        .await
        .expect("writes");
    stream
        .write_all(&frame_bytes(2, 200, Some(5), &[8]))
        .await
        .expect("writes");
    let refusal = read_frame(&mut stream).await;
    assert_eq!((refusal.0, refusal.1, refusal.2), (4, 200, Some(5)));

    link.close("so long");
    assert_eq!(
        read_frame(&mut stream).await,
        (6, 0, None, b"so long".to_vec())
    );
    assert_eq!(within(stream.read(&mut [0])).await.expect("an end"), 0);
}

#[tokio::test]
async fn of_one_process_the_newer_connection_wins_and_the_older_is_refused() {
    let (one, mut events) = mesh().await;
    let _first = connected(&one, 5).await;
    up(&mut events).await;
    let mut late = TcpStream::connect(one.address()).await.expect("connects");
    late.write_all(&greeting(&Greeting::Hello(hello(4))))
        .await
        .expect("writes");
    read_greeting(&mut late).await;
    let Greeting::Refused(why) = read_greeting(&mut late).await else {
        panic!("not refused")
    };
    assert!(why.contains("newer link"), "{why}");
    let _second = connected(&one, 6).await;
    assert!(down(&mut events).await.1.contains("replaces"));
    up(&mut events).await;
}

#[tokio::test]
async fn bytes_that_are_no_frame_close_the_link_and_say_so() {
    let too_long = u32::try_from(FRAME_MAX + 1)
        .expect("fits")
        .to_be_bytes()
        .to_vec();
    let mut long_header = frame_bytes(1, 3, None, &[1]);
    long_header[6..10].copy_from_slice(&2_u32.to_be_bytes());
    let mut huge_header = BytesMut::new();
    huge_header.put_u32(u32::try_from(HEADER_MAX + 100).expect("fits"));
    huge_header.put_slice(&[1, 3]);
    huge_header.put_u32(u32::try_from(HEADER_MAX + 1).expect("fits"));
    let mut short_request = frame_bytes(2, 3, None, &[]);
    short_request[3] = 6;
    let cases = [
        (too_long, "got 25165825"),
        (vec![0, 0, 0, 5], "got 5"),
        (frame_bytes(0, 3, None, &[]).to_vec(), "kind of frame"),
        (frame_bytes(7, 3, None, &[]).to_vec(), "kind of frame"),
        (long_header.to_vec(), "header"),
        (huge_header.to_vec(), "header"),
        (short_request.to_vec(), "got 6"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "no frame"),
    ];
    let (one, mut events) = mesh().await;
    for (attempt, (bytes, says)) in (1..).zip(cases) {
        let mut stream = connected(&one, attempt).await;
        up(&mut events).await;
        stream.write_all(&bytes).await.expect("writes");
        let why = down(&mut events).await.1;
        assert!(why.contains(says), "{why}");
        let (kind, _, _, reason) = read_frame(&mut stream).await;
        assert_eq!((kind, &*String::from_utf8_lossy(&reason)), (6, &*why));
    }
}

#[tokio::test]
async fn a_connection_that_ends_takes_the_link_down_at_once() {
    let (one, mut events) = mesh().await;
    drop(connected(&one, 1).await);
    up(&mut events).await;
    let why = down(&mut events).await.1;
    assert!(
        why.contains("closed the connection") || why.contains("cannot"),
        "{why}"
    );
    // In the middle of a frame, too.
    let mut stream = connected(&one, 2).await;
    up(&mut events).await;
    stream
        .write_all(&frame_bytes(1, 3, None, &[1])[..7])
        .await
        .expect("writes");
    drop(stream);
    down(&mut events).await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded_and_a_dropped_one_makes_room() {
    let (one, mut events) = mesh().await;
    let _deaf = connected(&one, 1).await;
    let link = up(&mut events).await;
    let ask = |timeout| link.request::<_, u8>(Service::Calls, &1_u8, bytes::Bytes::new(), timeout);
    let mut asked: Vec<_> = (0..REQUESTS_MAX)
        .map(|_| ask(Duration::from_secs(20)))
        .collect();
    assert_eq!(
        ask(Duration::from_secs(20)).await,
        Err(RequestError::TooMany)
    );
    drop(asked.pop());
    let short = Duration::from_millis(1);
    assert_eq!(ask(short).await, Err(RequestError::Timeout(short)));
    link.close("over");
    for request in asked {
        assert_eq!(request.await, Err(RequestError::Closed("over".into())));
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_sent_and_harms_nothing() {
    let (one, mut events) = mesh().await;
    let mut stream = connected(&one, 1).await;
    let link = up(&mut events).await;
    let send = |message: &[u8], payload: usize| {
        link.send(
            Service::Calls,
            message,
            bytes::Bytes::from(vec![0; payload]),
        )
    };
    assert_eq!(send(&[], FRAME_MAX), Err(wire::SendError::TooLarge));
    assert_eq!(
        send(&vec![0; HEADER_MAX], 0),
        Err(wire::SendError::TooLarge)
    );
    assert_eq!(
        link.send(Service::Files, &vec![0_u8; HEADER_MAX], bytes::Bytes::new()),
        Err(wire::SendError::TooLarge)
    );
    assert_eq!(send(&[3], 0), Ok(()));
    assert_eq!(read_frame(&mut stream).await, (1, 3, None, vec![1, 3]));

    // An answer that is too large becomes a refusal: the asker need not wait in vain.
    stream
        .write_all(&frame_bytes(2, 3, Some(1), &[5]))
        .await
        .expect("writes");
    let (from, request) = frame(&mut events).await;
    request.answer(&from, &(), bytes::Bytes::from(vec![0; FRAME_MAX]));
    let (kind, _, correlation, why) = read_frame(&mut stream).await;
    assert_eq!((kind, correlation), (4, Some(1)));
    assert!(String::from_utf8_lossy(&why).contains("at most"), "{why:?}");
}

/// Writes `bytes` to a fresh mesh, after the greetings if `is_greeted`, and sees that the mesh
/// outlives it and still takes links.
fn survives(bytes: &[u8], is_greeted: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (one, mut events) = mesh().await;
        let mut stream = if is_greeted {
            let stream = connected(&one, 1).await;
            up(&mut events).await;
            stream
        } else {
            TcpStream::connect(one.address()).await.expect("connects")
        };
        // It may be cut off before it has said all.
        drop(stream.write_all(bytes).await);
        drop(stream.shutdown().await);
        if is_greeted {
            next_down(&mut events).await;
        }
        let _again = connected(&one, 2).await;
        up(&mut events).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_instead_of_a_hello_harms_nobody_else(bytes in vec(any::<u8>(), 0..200)) {
        survives(&bytes, false);
        survives(&[b"KATAMARI\0\0", &bytes[..]].concat(), false);
    }

    #[test]
    fn garbage_on_a_link_closes_it_and_harms_nobody_else(
        length in 0_u32..64, kind in 0_u8..8, bytes in vec(any::<u8>(), 0..200),
    ) {
        survives(&bytes, true);
        survives(&[&length.to_be_bytes()[..], &[kind, 3, 0, 0, 0], &bytes].concat(), true);
    }

    #[test]
    fn a_greeting_cut_short_harms_nobody_else(end in 0_usize..40) {
        let whole = greeting(&Greeting::Hello(hello(1)));
        survives(&whole[..end.min(whole.len())], false);
    }
}
