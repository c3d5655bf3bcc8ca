//! A node of Erlang that is scripted: its handshake, its frames, and the terms in them.

use super::support::{Scene, Server, within};
use bytes::Bytes;
use faceplate::{Faceplate, KINDS, Keys, Limits};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use term::etf::{self, Tags};
use term::{Atom, Term};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const COOKIE: &str = "secret";

/// What OTP 25 says of itself, with aliases.
pub const FLAGS: u64 = 0xd_07df_7fbd;
pub const ALIAS: u64 = 1 << 35;
pub const NAME_ME: u64 = 1 << 33;
pub const UTF8_ATOMS: u64 = 0x1_0000;
pub const MANDATORY_25: u64 = 1 << 36;

/// A table of text, as the configuration would be.
pub struct Table(BTreeMap<&'static str, String>);

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

pub fn read(keys: &[(&'static str, &str)]) -> Result<Arc<dyn Faceplate>, String> {
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
pub async fn serve(keys: &[(&'static str, &str)], limits: Limits) -> Server {
    let all = [keys, &[("cookie", COOKIE), ("epmd", "127.0.0.1:1")]].concat();
    Server::of(read(&all).unwrap(), Scene::default(), limits).await
}

pub async fn plain() -> Server {
    serve(&[], Limits::default()).await
}

pub fn digest(cookie: &str, challenge: u32) -> [u8; 16] {
    Md5::digest(format!("{cookie}{challenge}").as_bytes()).into()
}

pub fn hello(flags: u64, name: &str) -> Vec<u8> {
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
pub struct Peer(pub TcpStream);

impl Peer {
    pub async fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    /// One that is let in.
    pub async fn of(server: &Server, flags: u64) -> Self {
        let mut peer = Self::connect(server).await;
        peer.say(&hello(flags, "peer@127.0.0.1")).await;
        let challenge = peer.challenged().await;
        peer.prove(COOKIE, challenge).await.unwrap();
        peer
    }

    /// A message of the handshake.
    pub async fn say(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        let bytes = [&length[..], message].concat();
        self.0.write_all(&bytes).await.unwrap();
    }

    pub async fn hear(&mut self) -> Vec<u8> {
        let length = within(self.0.read_u16()).await.unwrap();
        let mut message = vec![0; length.into()];
        within(self.0.read_exact(&mut message)).await.unwrap();
        message
    }

    /// Hears that all is well so far, and the challenge.
    pub async fn challenged(&mut self) -> u32 {
        assert_eq!(self.hear().await, b"sok");
        let message = self.hear().await;
        assert_eq!(
            (message[0], &message[19..]),
            (b'N', &b"katamari@127.0.0.1"[..])
        );
        u32::from_be_bytes(message[9..13].try_into().unwrap())
    }

    /// Answers it; none if the connection closes on that.
    pub async fn prove(&mut self, cookie: &str, challenge: u32) -> Option<()> {
        let proof = digest(cookie, challenge);
        self.say(&[&b"r\0\0\x30\x39"[..], &proof].concat()).await;
        let mut ack = [0; 19];
        within(self.0.read_exact(&mut ack)).await.ok()?;
        assert_eq!(ack[..3], *b"\0\x11a");
        assert_eq!(ack[3..], digest(COOKIE, 0x3039));
        Some(())
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // Whoever is hostile may be cut off before the end of it.
        let _ = self.0.write_all(bytes).await;
    }

    pub async fn send(&mut self, control: Vec<Term>, message: Option<Term>) {
        let frame = frame(control, message);
        self.write(&frame).await;
    }

    /// The next frame that is no tick: control and message.
    pub async fn receive(&mut self) -> (Vec<Term>, Option<Term>) {
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
    pub async fn closes(&mut self) {
        let mut rest = Vec::new();
        // A connection that closes on unread bytes is reset.
        let _ = within(self.0.read_to_end(&mut rest)).await;
    }

    /// Calls and gets an answer.
    pub async fn echoes(&mut self) {
        let request = call("k", "echo", vec![int(7)]);
        self.send(to("katamari"), Some(gen_call(plain_tag(9), request)))
            .await;
        let (_, answer) = self.receive().await;
        let result = Term::pair(Term::atom("ok"), Term::List(vec![int(7)]));
        assert_eq!(answer, Some(Term::pair(plain_tag(9), result)));
    }
}

pub fn frame(control: Vec<Term>, message: Option<Term>) -> Vec<u8> {
    let mut bytes = vec![112];
    etf::encode_into(&mut bytes, &Term::Tuple(control), Tags::Modern).unwrap();
    if let Some(message) = message {
        etf::encode_into(&mut bytes, &message, Tags::Modern).unwrap();
    }
    lengthen(&bytes)
}

pub fn lengthen(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

pub fn int(value: i64) -> Term {
    Term::Integer(value)
}

pub fn me() -> Term {
    etf::pid(&Atom::from_static("peer@127.0.0.1"), 88, 0, 7)
}

pub fn reference(number: u32) -> Term {
    etf::reference(&Atom::from_static("peer@127.0.0.1"), 7, &[number, 2, 3]).unwrap()
}

/// As of nodes before OTP 24.
pub fn plain_tag(number: u32) -> Term {
    reference(number)
}

pub fn alias_tag(number: u32) -> Term {
    Term::ImproperList(vec![Term::atom("alias")], Box::new(reference(number)))
}

/// `REG_SEND`.
pub fn to(name: &'static str) -> Vec<Term> {
    vec![int(6), me(), Term::atom(""), Term::atom(name)]
}

pub fn gen_call(tag: Term, request: Term) -> Term {
    Term::Tuple(vec![
        Term::atom("$gen_call"),
        Term::pair(me(), tag),
        request,
    ])
}

pub fn call(kind: &'static str, function: &'static str, arguments: Vec<Term>) -> Term {
    Term::Tuple(vec![
        Term::atom("call"),
        Term::atom(kind),
        Term::atom(function),
        Term::List(arguments),
    ])
}

/// The code in `{Tag, {error, {Code, Message}}}`.
pub fn code(answer: Option<Term>) -> String {
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
