//! A BERT-RPC client written by hand, and short words for terms.
#![allow(dead_code, reason = "each test program uses a part of this")]

use crate::support::{Scene, Server, within};
use faceplate::{KINDS, Keys, Limits};
use term::Term;
use term::etf::{Tags, decode, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A table that has `callbacks` and nothing else.
struct Table(Vec<String>);

impl Keys for Table {
    fn has(&mut self, key: &'static str) -> bool {
        key == "callbacks" && !self.0.is_empty()
    }

    fn text(&mut self, _: &'static str) -> Option<String> {
        None
    }

    fn texts(
        &mut self,
        key: &'static str,
        _: &str,
        _: usize,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        assert_eq!(key, "callbacks");
        self.0
            .iter()
            .all(|text| check(text).is_ok())
            .then(|| self.0.clone())
    }

    fn integer(&mut self, _: &'static str, _: u64, _: u64) -> Option<u64> {
        None
    }

    fn boolean(&mut self, _: &'static str) -> Option<bool> {
        None
    }

    fn choice(&mut self, _: &'static str, _: &[&str]) -> Option<usize> {
        None
    }

    fn pairs(
        &mut self,
        _: &'static str,
        _: usize,
        _: &mut dyn FnMut(&str, &str) -> Result<(), String>,
    ) {
    }

    fn path(&self, text: &str) -> std::path::PathBuf {
        text.into()
    }

    fn report(&mut self, key: &'static str, message: String) {
        panic!("{key}: {message}");
    }
}

/// A faceplate that may call these services back.
pub async fn serve(callbacks: &[&str], limits: Limits) -> Server {
    let kind = KINDS.iter().find(|kind| kind.name == "bert");
    let kind = kind.expect("there is such a protocol");
    let mut table = Table(callbacks.iter().map(|&text| text.to_owned()).collect());
    let faceplate = (kind.read)(&mut table).expect("the keys are good");
    Server::of(faceplate, Scene::default(), limits).await
}

/// Whether the configuration takes these services.
pub fn takes(callbacks: &[&str]) -> bool {
    let kind = KINDS.iter().find(|kind| kind.name == "bert");
    let mut table = Table(callbacks.iter().map(|&text| text.to_owned()).collect());
    (kind.expect("there is such a protocol").read)(&mut table).is_some()
}

/// A client.
pub struct Peer(pub TcpStream);

impl Peer {
    pub async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await;
        Self(stream.expect("it listens"))
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.expect("it listens");
    }

    pub async fn say(&mut self, term: &Term) {
        self.write(&berp(term)).await;
    }

    /// The bytes of the next frame.
    pub async fn frame(&mut self) -> Vec<u8> {
        let length = within(self.0.read_u32()).await.expect("it answers");
        let mut frame = vec![0; length as usize];
        let read = within(self.0.read_exact(&mut frame)).await;
        read.expect("the frame is whole");
        frame
    }

    pub async fn hear(&mut self) -> Term {
        bert(&self.frame().await)
    }

    /// What comes until the other end closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = within(self.0.read_to_end(&mut rest)).await {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        rest
    }
}

pub fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
    [&length[..], bytes].concat()
}

pub fn berp(term: &Term) -> Vec<u8> {
    framed(&encode(term, Tags::Old).expect("old tags have it"))
}

pub fn bert(bytes: &[u8]) -> Term {
    decode(&bytes.to_vec().into(), &term::etf::Limits::default())
        .unwrap_or_else(|error| panic!("{bytes:?}: {error}"))
}

pub fn atom(name: &'static str) -> Term {
    Term::atom(name)
}

pub fn int(value: i64) -> Term {
    Term::Integer(value)
}

pub fn text(text: &str) -> Term {
    Term::text(text)
}

pub fn list(terms: &[Term]) -> Term {
    Term::List(terms.to_vec())
}

pub fn tuple(terms: &[Term]) -> Term {
    Term::Tuple(terms.to_vec())
}

pub fn pair(name: &'static str, value: Term) -> Term {
    Term::pair(atom(name), value)
}

pub fn call(function: &'static str, arguments: &[Term]) -> Term {
    tuple(&[atom("call"), atom("k"), atom(function), list(arguments)])
}

pub fn cast(function: &'static str, arguments: &[Term]) -> Term {
    tuple(&[atom("cast"), atom("k"), atom(function), list(arguments)])
}

pub fn info(command: &'static str, options: Term) -> Term {
    tuple(&[atom("info"), atom(command), options])
}

pub fn reply_of(result: Term) -> Term {
    pair("reply", result)
}

/// The parts of `{error, {Type, Code, Class, Detail, Backtrace}}`.
pub fn error_of(term: &Term) -> (String, i64, String, String, Vec<String>) {
    let binary = |term: &Term| match term {
        Term::Binary(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
        other => panic!("{other:?}"),
    };
    let Term::Tuple(elements) = term else {
        panic!("{term:?}");
    };
    assert!(
        elements.len() == 2 && elements[0].is_atom("error"),
        "{term:?}"
    );
    let Term::Tuple(parts) = &elements[1] else {
        panic!("{term:?}");
    };
    match &parts[..] {
        [
            Term::Atom(kind),
            Term::Integer(code),
            class,
            detail,
            Term::List(lines),
        ] => (
            kind.as_str().to_owned(),
            *code,
            binary(class),
            binary(detail),
            lines.iter().map(binary).collect(),
        ),
        other => panic!("{other:?}"),
    }
}
