//! A node among nodes of Erlang, to a peer that is scripted here: handshakes, signals that real
//! nodes send rarely or never, and hostile ones. tests/clients/erlang.py has real nodes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use faceplate::{Faceplate, KINDS, Keys, Limits};
use md5::{Digest, Md5};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use support::{Scene, Server, within};
use term::etf::{self, Tags};
use term::{Atom, Term};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const COOKIE: &str = "secret";

/// What OTP 25 says of itself, with aliases.
const FLAGS: u64 = 0xd_07df_7fbd;
const ALIAS: u64 = 1 << 35;
const NAME_ME: u64 = 1 << 33;
const UTF8_ATOMS: u64 = 0x1_0000;
const MANDATORY_25: u64 = 1 << 36;

/// A table of text, as the configuration would be.
struct Table(BTreeMap<&'static str, String>);

impl Keys for Table {
    fn has(&mut self, key: &'static str) -> bool {
        self.0.contains_key(key)
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn texts(
        &mut self,
        key: &'static str,
        _: &str,
        _: usize,
        _: &dyn Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        Some(self.0.get(key)?.split(' ').map(str::to_owned).collect())
    }

    fn integer(&mut self, key: &'static str, _: u64, _: u64) -> Option<u64> {
        self.0.get(key)?.parse().ok()
    }

    fn boolean(&mut self, _: &'static str) -> Option<bool> {
        None
    }

    fn choice(&mut self, _: &'static str, _: &[&str]) -> Option<usize> {
        None
    }

    fn path(&self, text: &str) -> PathBuf {
        text.into()
    }

    fn pairs(
        &mut self,
        _: &'static str,
        _: usize,
        _: &mut dyn FnMut(&str, &str) -> Result<(), String>,
    ) {
    }

    fn report(&mut self, key: &'static str, message: String) {
        self.0.insert("report", format!("{key}: {message}"));
    }
}

fn read(keys: &[(&'static str, &str)]) -> Result<Arc<dyn Faceplate>, String> {
    let keys = keys.iter().map(|(key, text)| (*key, (*text).to_owned()));
    let mut table = Table(keys.collect());
    let kind = KINDS.iter().find(|kind| kind.name == "erlang").unwrap();
    let faceplate = (kind.read)(&mut table);
    match table.0.remove("report") {
        Some(report) => Err(report),
        None => Ok(faceplate.unwrap()),
    }
}

/// With no epmd, which these tests do without.
async fn serve(keys: &[(&'static str, &str)], limits: Limits) -> Server {
    let all = [keys, &[("cookie", COOKIE), ("epmd", "127.0.0.1:1")]].concat();
    Server::of(read(&all).unwrap(), Scene::default(), limits).await
}

async fn plain() -> Server {
    serve(&[], Limits::default()).await
}

fn digest(cookie: &str, challenge: u32) -> [u8; 16] {
    Md5::digest(format!("{cookie}{challenge}").as_bytes()).into()
}

fn hello(flags: u64, name: &str) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap();
    let parts: [&[u8]; 5] = [
        b"N",
        &flags.to_be_bytes(),
        &[0, 0, 0, 7],
        &length.to_be_bytes(),
        name.as_bytes(),
    ];
    parts.concat()
}

/// A node of the script.
struct Peer(TcpStream);

impl Peer {
    async fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    /// One that is let in.
    async fn of(server: &Server, flags: u64) -> Self {
        let mut peer = Self::connect(server).await;
        peer.say(&hello(flags, "peer@127.0.0.1")).await;
        let challenge = peer.challenged().await;
        peer.prove(COOKIE, challenge).await.unwrap();
        peer
    }

    /// A message of the handshake.
    async fn say(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        let bytes = [&length[..], message].concat();
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn hear(&mut self) -> Vec<u8> {
        let length = within(self.0.read_u16()).await.unwrap();
        let mut message = vec![0; length.into()];
        within(self.0.read_exact(&mut message)).await.unwrap();
        message
    }

    /// Hears that all is well so far, and the challenge.
    async fn challenged(&mut self) -> u32 {
        assert_eq!(self.hear().await, b"sok");
        let message = self.hear().await;
        assert_eq!(
            (message[0], &message[19..]),
            (b'N', &b"katamari@127.0.0.1"[..])
        );
        u32::from_be_bytes(message[9..13].try_into().unwrap())
    }

    /// Answers it; none if the connection closes on that.
    async fn prove(&mut self, cookie: &str, challenge: u32) -> Option<()> {
        let proof = digest(cookie, challenge);
        self.say(&[&b"r\0\0\x30\x39"[..], &proof].concat()).await;
        let mut ack = [0; 19];
        within(self.0.read_exact(&mut ack)).await.ok()?;
        assert_eq!(ack[..3], *b"\0\x11a");
        assert_eq!(ack[3..], digest(COOKIE, 0x3039));
        Some(())
    }

    async fn write(&mut self, bytes: &[u8]) {
        // Whoever is hostile may be cut off before the end of it.
        let _ = self.0.write_all(bytes).await;
    }

    async fn send(&mut self, control: Vec<Term>, message: Option<Term>) {
        let frame = frame(control, message);
        self.write(&frame).await;
    }

    /// The next frame that is no tick: control and message.
    async fn receive(&mut self) -> (Vec<Term>, Option<Term>) {
        loop {
            let length = within(self.0.read_u32()).await.unwrap();
            let mut frame = vec![0; length as usize];
            within(self.0.read_exact(&mut frame)).await.unwrap();
            if frame.is_empty() {
                continue;
            }
            assert_eq!(frame[0], 112);
            let terms = Bytes::from(frame).slice(1..);
            let (control, end) = etf::decode_prefix(&terms, &etf::Limits::default()).unwrap();
            let Term::Tuple(control) = control else {
                panic!("{control:?}");
            };
            let rest = terms.slice(end..);
            let message = (!rest.is_empty()).then(|| etf::decode(&rest, &etf::Limits::default()));
            return (control, message.map(Result::unwrap));
        }
    }

    /// Waits until the other end closes.
    async fn closes(&mut self) {
        let mut rest = Vec::new();
        // A connection that closes on unread bytes is reset.
        let _ = within(self.0.read_to_end(&mut rest)).await;
    }

    /// Calls and gets an answer.
    async fn echoes(&mut self) {
        let request = call("k", "echo", vec![int(7)]);
        self.send(to("katamari"), Some(gen_call(plain_tag(9), request)))
            .await;
        let (_, answer) = self.receive().await;
        let result = Term::pair(Term::atom("ok"), Term::List(vec![int(7)]));
        assert_eq!(answer, Some(Term::pair(plain_tag(9), result)));
    }
}

fn frame(control: Vec<Term>, message: Option<Term>) -> Vec<u8> {
    let mut bytes = vec![112];
    etf::encode_into(&mut bytes, &Term::Tuple(control), Tags::Modern).unwrap();
    if let Some(message) = message {
        etf::encode_into(&mut bytes, &message, Tags::Modern).unwrap();
    }
    lengthen(&bytes)
}

fn lengthen(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

fn int(value: i64) -> Term {
    Term::Integer(value)
}

fn me() -> Term {
    etf::pid(&Atom::from_static("peer@127.0.0.1"), 88, 0, 7)
}

fn reference(number: u32) -> Term {
    etf::reference(&Atom::from_static("peer@127.0.0.1"), 7, &[number, 2, 3]).unwrap()
}

/// As of nodes before OTP 24.
fn plain_tag(number: u32) -> Term {
    reference(number)
}

fn alias_tag(number: u32) -> Term {
    Term::ImproperList(vec![Term::atom("alias")], Box::new(reference(number)))
}

/// `REG_SEND`.
fn to(name: &'static str) -> Vec<Term> {
    vec![int(6), me(), Term::atom(""), Term::atom(name)]
}

fn gen_call(tag: Term, request: Term) -> Term {
    Term::Tuple(vec![
        Term::atom("$gen_call"),
        Term::pair(me(), tag),
        request,
    ])
}

fn call(kind: &'static str, function: &'static str, arguments: Vec<Term>) -> Term {
    Term::Tuple(vec![
        Term::atom("call"),
        Term::atom(kind),
        Term::atom(function),
        Term::List(arguments),
    ])
}

/// The code in `{Tag, {error, {Code, Message}}}`.
fn code(answer: Option<Term>) -> String {
    let parts = |term: &Term| match term {
        Term::Tuple(parts) => parts.clone(),
        other => panic!("{other:?}"),
    };
    let answer = parts(&parts(&answer.unwrap())[1]);
    assert!(answer[0].is_atom("error"), "{answer:?}");
    match &parts(&answer[1])[..] {
        [Term::Atom(code), Term::Binary(_)] => code.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

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
