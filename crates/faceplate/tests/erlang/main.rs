//! A node among nodes of Erlang, to a peer that is scripted here: handshakes, signals that real
//! nodes send rarely or never, and hostile ones. tests/clients/erlang_client.py has real nodes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod handshake;
mod hostile;
mod peer;

use faceplate::Limits;
use peer::{
    ALIAS, COOKIE, FLAGS, Peer, alias_tag, call, code, gen_call, int, me, plain, plain_tag, read,
    reference, serve, to,
};
use support::declared::declaring;
use support::{Scene, Server, within};
use term::{Atom, Payload, Shape, Term, etf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn answers_go_to_the_alias_if_the_peer_has_those() {
    let server = plain().await;
    let request = || call("k", "null", Vec::new());
    let labelled = Term::ImproperList(vec![alias_tag(3)], Box::new(Term::atom("label")));
    for tag in [alias_tag(1), labelled] {
        let mut peer = Peer::of(&server, FLAGS | ALIAS).await;
        peer.send(to("katamari"), Some(gen_call(tag.clone(), request())))
            .await;
        let (control, answer) = peer.receive().await;
        assert_eq!((&control[0], control.len()), (&int(33), 3));
        assert!(matches!(control[2], Term::Reference(_)));
        let result = Term::pair(Term::atom("ok"), Term::atom("null"));
        assert_eq!(answer, Some(Term::pair(tag, result)));
    }
    for tag in [alias_tag(1), plain_tag(2)] {
        let mut peer = Peer::of(&server, FLAGS & !ALIAS).await;
        peer.send(to("katamari"), Some(gen_call(tag, request())))
            .await;
        assert_eq!(peer.receive().await.0, [int(2), Term::atom(""), me()]);
    }
}

#[tokio::test]
async fn errors_are_answers() {
    let server = serve(&[("kinds", "k other")], Limits::default()).await;
    let mut peer = Peer::of(&server, FLAGS).await;
    let three = Term::Tuple(vec![
        Term::atom("call"),
        Term::atom("k"),
        Term::atom("echo"),
    ]);
    let options = |options: Term| {
        let parts = [Term::atom("call"), Term::atom("k"), Term::atom("echo")];
        let rest = [Term::List(Vec::new()), options];
        Term::Tuple(parts.into_iter().chain(rest).collect())
    };
    let no_kind = Term::Tuple(vec![
        Term::atom("call"),
        Term::List(Vec::new()),
        Term::atom("echo"),
        Term::List(Vec::new()),
    ]);
    let pair = |name, value| Term::List(vec![Term::pair(Term::atom(name), value)]);
    for (request, expected) in [
        (Term::atom("hello"), "bad_request"),
        (three, "bad_request"),
        (call("k", "busy", Vec::new()), "busy"),
        (call("k", "deadline", Vec::new()), "deadline"),
        (call("k", "worker_died", Vec::new()), "worker_died"),
        (call("k", "no_pool", Vec::new()), "no_pool"),
        (call("k", "garbage", Vec::new()), "protocol"),
        (call("k", "echo", vec![me()]), "bad_arguments"),
        (call("secret", "echo", Vec::new()), "not_allowed"),
        (no_kind, "not_allowed"),
        (options(pair("timeout", int(0))), "bad_request"),
        (options(pair("timeout", me())), "bad_request"),
        (options(pair("class", Term::atom("first"))), "bad_request"),
        (options(pair("cast", Term::atom("true"))), "bad_request"),
        (options(int(1)), "bad_request"),
    ] {
        peer.send(
            to("katamari"),
            Some(gen_call(plain_tag(1), request.clone())),
        )
        .await;
        let got = code(peer.receive().await.1);
        assert_eq!(got, expected, "{request:?}");
    }
}

#[tokio::test]
async fn programs_that_take_terms_get_them_as_they_came() {
    let declared = r#"{"kind": "k", "functions": [{"name": "echo"}], "terms": true}"#;
    let mut server = Server::of(
        read(&[("cookie", COOKIE)]).unwrap(),
        declaring(declared),
        Limits::default(),
    )
    .await;
    let mut peer = Peer::of(&server, FLAGS).await;
    let pairs = vec![Term::pair(Term::atom("a"), me())];
    let request = call("k", "echo", pairs.clone());
    peer.send(to("katamari"), Some(gen_call(plain_tag(1), request)))
        .await;
    let ok = Term::pair(
        Term::atom("ok"),
        Term::pair(Term::atom("struct"), Term::List(pairs)),
    );
    let answer = Term::pair(plain_tag(1), ok);
    assert_eq!(peer.receive().await.1, Some(answer));
    let made = server.stage.next_call().await;
    assert_eq!(*made.shape, Shape::Named(vec!["a".into()]));
    let cast = vec![
        Term::atom("$gen_cast"),
        Term::Tuple(vec![
            Term::atom("cast"),
            Term::atom("k"),
            Term::atom("echo"),
            Term::List(vec![int(1)]),
        ]),
    ];
    peer.send(to("katamari"), Some(Term::Tuple(cast))).await;
    drop(peer);
    let made = server.stage.next_call().await;
    assert!(matches!(made.payload, Payload::Etf(_)), "{made:?}");
    assert_eq!(*made.shape, Shape::Positional(1));
}

#[tokio::test]
async fn who_gives_up_or_leaves_cancels() {
    let mut server = plain().await;
    let mut peer = Peer::of(&server, FLAGS).await;
    let hang = || call("k", "hang", Vec::new());
    for (tag, monitor) in [(alias_tag(1), reference(1)), (plain_tag(2), reference(2))] {
        let name = Term::atom("katamari");
        peer.send(vec![int(19), me(), name.clone(), monitor.clone()], None)
            .await;
        peer.send(to("katamari"), Some(gen_call(tag, hang()))).await;
        let number = server.stage.next_call().await.number;
        peer.send(vec![int(20), me(), name, monitor], None).await;
        assert_eq!(server.stage.next_dropped().await, number);
    }
    peer.echoes().await;
    server.stage.next_call().await;
    peer.send(to("katamari"), Some(gen_call(plain_tag(3), hang())))
        .await;
    peer.send(to("katamari"), Some(gen_call(plain_tag(3), hang())))
        .await;
    let again = code(peer.receive().await.1);
    assert_eq!(again, "bad_request", "one reference, two calls");
    let number = server.stage.next_call().await.number;
    drop(peer);
    assert_eq!(server.stage.next_dropped().await, number);
}

#[tokio::test]
async fn only_what_is_there_can_be_monitored_linked_and_spawned() {
    let server = plain().await;
    let mut peer = Peer::of(&server, FLAGS).await;
    let stranger = || etf::pid(&Atom::from_static("katamari@127.0.0.1"), 9, 9, 9);
    let noproc = || Term::atom("noproc");
    for process in [Term::atom("nobody"), stranger()] {
        peer.send(vec![int(19), me(), process.clone(), reference(1)], None)
            .await;
        let down = vec![int(21), process, me(), reference(1), noproc()];
        assert_eq!(peer.receive().await, (down, None));
    }
    peer.send(vec![int(1), me(), stranger()], None).await;
    assert_eq!(peer.receive().await.0, [int(3), stranger(), me(), noproc()]);
    peer.send(vec![int(35), int(5), me(), stranger()], None)
        .await;
    assert_eq!(peer.receive().await.0, [int(36), int(5), stranger(), me()]);
    let apply = Term::Tuple(vec![Term::atom("erlang"), Term::atom("halt"), int(0)]);
    let control = vec![
        int(29),
        reference(1),
        me(),
        me(),
        apply,
        Term::List(Vec::new()),
    ];
    peer.send(control, Some(Term::List(Vec::new()))).await;
    let notsup = [int(31), reference(1), me(), int(0), Term::atom("notsup")];
    assert_eq!(peer.receive().await.0, notsup);
    peer.echoes().await;
}

#[tokio::test]
async fn silence_ends_a_connection_and_ticks_go_out_before() {
    let server = serve(&[("net_ticktime", "1")], Limits::default()).await;
    let mut peer = Peer::of(&server, FLAGS).await;
    let mut rest = Vec::new();
    within(peer.0.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.is_empty() && rest.iter().all(|byte| *byte == 0));
    assert_eq!(rest.len() % 4, 0, "{rest:?}");
}

#[tokio::test]
async fn epmd_is_told_and_told_again() {
    let epmd = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = epmd.local_addr().unwrap().to_string();
    let keys = [
        ("cookie", COOKIE),
        ("name", "kat@127.0.0.1"),
        ("epmd", &*address),
    ];
    let server = Server::of(read(&keys).unwrap(), Scene::default(), Limits::default()).await;
    let mut last: Option<TcpStream> = None;
    for answer in [
        &b"\x76\0\0\0\0\x09"[..],
        b"\x79\0\0\x09",
        b"\x79\x01\0\0",
        b"\x76\0\0\0\0\x09",
    ] {
        // The one before ends.
        drop(last.take());
        let (mut stream, _) = within(epmd.accept()).await.unwrap();
        let mut request = [0; 18];
        within(stream.read_exact(&mut request)).await.unwrap();
        let port = server.address.port().to_be_bytes();
        let expected = [b"\0\x10\x78", &port[..], b"\x48\0\0\x06\0\x06\0\x03kat\0\0"].concat();
        assert_eq!(request[..], expected);
        stream.write_all(answer).await.unwrap();
        last = Some(stream);
    }
    // When the listener closes, so does the registration.
    drop(server.stop);
    let mut rest = Vec::new();
    // With bytes of the answer unread it ends with a reset.
    let _ = within(last.unwrap().read_to_end(&mut rest)).await;
}

#[test]
fn wrong_keys_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cookie");
    std::fs::write(&file, "from-a-file\n").unwrap();
    let path = file.to_str().unwrap();
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file, mode).unwrap();
    };
    mode(0o644);
    let cookie = ("cookie", COOKIE);
    for (keys, told) in [
        (&[][..], "cookie: expected the cookie"),
        (
            &[cookie, ("cookie_file", path)],
            "cookie_file: expected cookie or",
        ),
        (&[("cookie_file", path)], "got mode 644"),
        (&[("cookie_file", "/nowhere/at/all")], "No such file"),
        (&[("cookie", "two words")], "visible ASCII"),
        (&[("cookie", "")], "1 to 255"),
        (
            &[cookie, ("name", "katamari")],
            "name: expected a node's name",
        ),
        (&[cookie, ("epmd", "4369")], "epmd: expected host and port"),
    ] {
        let report = read(keys).expect_err(told);
        assert!(report.contains(told), "{report}");
    }
    mode(0o400);
    let shown = format!("{:?}", read(&[("cookie_file", path)]).unwrap());
    assert!(!shown.contains("from-a-file"), "{shown}");
    assert_eq!(
        shown,
        format!("{:?}", read(&[("cookie", "from-a-file")]).unwrap())
    );
    assert_ne!(shown, format!("{:?}", read(&[cookie]).unwrap()));
}
