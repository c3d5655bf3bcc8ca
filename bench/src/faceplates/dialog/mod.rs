//! What clients say and hear: a file for each protocol, with requests that are built once, and
//! answers that are compared and not taken apart where the protocol makes that possible.

mod bert;
mod erlang;
mod grpc;
mod http;
mod lines;
mod thrift;
mod websocket;

use std::net::SocketAddr;

use anyhow::{Error, Result, anyhow};

use super::Protocol;
use super::template::NUMBER;

pub use erlang::COOKIE;

/// Bytes of an answer that are shown when it is not the right one.
const SHOWN_BYTES_MAX: usize = 300;

/// One connection's client. It makes one call at a time.
pub trait Dialog {
    /// Writes what opens the connection, and tells whether calls can follow at once.
    fn open(&mut self, out: &mut Vec<u8>) -> bool;

    /// Writes a call.
    fn call(&mut self, number: u64, out: &mut Vec<u8>);

    /// Looks at what came and is not yet taken, and writes what is to be said to it. What is no
    /// answer, or that of another call, is an error.
    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Heard>;
}

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing whole yet.
    NotWhole,
    /// So many bytes that are no answer.
    Passed(usize),
    /// The end of the handshake, in so many bytes: calls can begin.
    Ready(usize),
    /// The right answer, in so many bytes.
    Answer(usize),
}

/// A client of this protocol, for a connection with this number.
pub fn of(protocol: Protocol, server: SocketAddr, connection: usize) -> Box<dyn Dialog> {
    match protocol {
        Protocol::Call => Box::new(http::Http::call(server)),
        Protocol::Route => Box::new(http::Http::route(server)),
        Protocol::RpcHttp => Box::new(http::Http::json_rpc(server)),
        Protocol::RpcWebsocket => Box::new(websocket::WebSocket::new(server)),
        Protocol::RpcTcp => Box::new(lines::Lines::json_rpc()),
        Protocol::Tcp => Box::new(lines::Lines::raw()),
        Protocol::Grpc => Box::new(grpc::Grpc::new(server)),
        Protocol::Thrift => Box::new(thrift::new()),
        Protocol::Bert => Box::new(bert::new()),
        Protocol::Erlang => Box::new(erlang::Erlang::new(connection)),
    }
}

/// A JSON-RPC request, whose id is the number as well.
fn json_rpc_request() -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"echo.echo","params":{{"value":"{NUMBER}"}},"id":"{NUMBER}"}}"#
    )
}

/// Its answer.
fn json_rpc_answer() -> String {
    format!(r#"{{"jsonrpc":"2.0","result":"{NUMBER}","id":"{NUMBER}"}}"#)
}

fn unexpected(expected: &[u8], came: &[u8]) -> Error {
    let shown = |bytes: &[u8]| {
        bytes[..bytes.len().min(SHOWN_BYTES_MAX)]
            .escape_ascii()
            .to_string()
    };
    anyhow!(
        "expected the answer {}, got {}",
        shown(expected),
        shown(came)
    )
}

/// A protocol of requests and answers behind their lengths.
struct Measured {
    request: super::template::Template,
    answer: super::template::Template,
    number: u64,
}

impl Measured {
    fn new(request: &[u8], answer: &[u8]) -> Self {
        let template = |message| super::template::Template::new(super::template::measured(message));
        Self {
            request: template(request),
            answer: template(answer),
            number: 0,
        }
    }
}

impl Dialog for Measured {
    fn open(&mut self, _: &mut Vec<u8>) -> bool {
        true
    }

    fn call(&mut self, number: u64, out: &mut Vec<u8>) {
        self.number = number;
        out.extend_from_slice(self.request.numbered(number));
    }

    fn hear(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Heard> {
        if super::template::first_measured(input).is_none() {
            return Ok(Heard::NotWhole);
        }
        let expected = self.answer.numbered(self.number);
        if input != expected {
            return Err(unexpected(expected, input));
        }
        Ok(Heard::Answer(input.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_an_answer_is_not_whole() {
        let mut dialog = Measured::new(b"ask 00000000", b"told 00000000");
        let mut out = Vec::new();
        dialog.call(7, &mut out);
        assert_eq!(out, super::super::template::measured(b"ask 00000007"));
        let answer = super::super::template::measured(b"told 00000007");
        for end in 0..answer.len() {
            let heard = dialog.hear(&answer[..end], &mut out).expect("not wrong");
            assert_eq!(heard, Heard::NotWhole);
        }
        let heard = dialog.hear(&answer, &mut out).expect("right");
        assert_eq!(heard, Heard::Answer(answer.len()));
        let other = super::super::template::measured(b"told 00000008");
        assert!(dialog.hear(&other, &mut out).is_err());
    }
}
