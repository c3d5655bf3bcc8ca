//! A client of Thrift that writes its messages by hand.

use super::{Scene, Server, configured, within};
use faceplate::{Faceplate, Limits};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const CALL: u8 = 1;
pub const REPLY: u8 = 2;
pub const EXCEPTION: u8 = 3;
pub const ONEWAY: u8 = 4;

/// A faceplate of Thrift, of this kind alone if there is one.
pub fn faceplate(kind: Option<&'static str>) -> Arc<dyn Faceplate> {
    let keys = kind.map(|kind| ("kind", kind));
    configured(
        "thrift",
        keys.into_iter().collect(),
        Vec::new(),
        PathBuf::new(),
    )
}

pub async fn serve(limits: Limits) -> Server {
    Server::of(faceplate(None), Scene::default(), limits).await
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Protocol {
    Strict,
    Old,
    Compact,
}
pub use Protocol::{Compact, Old, Strict};

/// A message in the making; small ones only, so that compact lengths take one byte.
pub struct Message(pub Protocol, pub Vec<u8>, u8);

pub fn message(protocol: Protocol, kind: u8, name: &str, sequence: u8) -> Message {
    let mut bytes = Vec::new();
    let long = (name.len() as u32).to_be_bytes();
    match protocol {
        Strict => {
            bytes.extend_from_slice(&[0x80, 1, 0, kind]);
            bytes.extend_from_slice(&long);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[0, 0, 0, sequence]);
        }
        Old => {
            bytes.extend_from_slice(&long);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[kind, 0, 0, 0, sequence]);
        }
        Compact => {
            bytes.extend_from_slice(&[0x82, kind << 5 | 1, sequence, name.len() as u8]);
            bytes.extend_from_slice(name.as_bytes());
        }
    }
    Message(protocol, bytes, 0)
}

impl Message {
    pub fn head(mut self, id: u8, binary: u8, compact: u8) -> Self {
        match (self.0, id.checked_sub(self.2)) {
            (Compact, Some(step @ 1..)) => self.1.push(step << 4 | compact),
            (Compact, _) => self.1.extend_from_slice(&[compact, id * 2]),
            _ => self.1.extend_from_slice(&[binary, 0, id]),
        }
        self.2 = id;
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.1.extend_from_slice(bytes);
        self
    }

    pub fn text(self, id: u8, text: &str) -> Self {
        let protocol = self.0;
        let this = self.head(id, 11, 8);
        let this = match protocol {
            Compact => this.raw(&[text.len() as u8]),
            _ => this.raw(&(text.len() as u32).to_be_bytes()),
        };
        this.raw(text.as_bytes())
    }

    pub fn end(self, framed: bool) -> Vec<u8> {
        let bytes = self.raw(&[0]).1;
        if framed {
            [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
        } else {
            bytes
        }
    }
}

pub fn asks(protocol: Protocol, kind: u8, name: &str, sequence: u8, function: &str) -> Message {
    message(protocol, kind, name, sequence)
        .text(1, "k")
        .text(2, function)
        .text(3, "{\"n\": 1}")
}

/// `call_json` of a function of kind `k`, framed and strict.
pub fn call(function: &str, sequence: u8) -> Vec<u8> {
    asks(Strict, CALL, "call_json", sequence, function).end(true)
}

pub async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

pub async fn frame(client: &mut TcpStream) -> Vec<u8> {
    let length = within(client.read_u32()).await.unwrap();
    let mut frame = vec![0; length as usize];
    within(client.read_exact(&mut frame)).await.unwrap();
    frame
}

pub async fn ask(client: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    client.write_all(message).await.unwrap();
    frame(client).await
}

pub fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// That an answer is `KatamariError` of this code.
pub fn is_error(answer: &[u8], code: &str) {
    assert_eq!(answer[3], REPLY, "{}", String::from_utf8_lossy(answer));
    // Field 1 is a struct, whose field 1 is the code.
    let head = [
        &[12, 0, 1, 11, 0, 1, 0, 0, 0, code.len() as u8],
        code.as_bytes(),
    ]
    .concat();
    assert!(
        holds(answer, &head),
        "{code}: {}",
        String::from_utf8_lossy(answer)
    );
}

/// That an answer is Thrift's own exception of this number.
pub fn is_exception(answer: &[u8], number: u8) {
    assert_eq!(answer[3], EXCEPTION, "{}", String::from_utf8_lossy(answer));
    assert!(
        answer.ends_with(&[8, 0, 2, 0, 0, 0, number, 0]),
        "{answer:?}"
    );
}
