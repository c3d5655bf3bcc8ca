//! gRPC: as much HTTP/2 (RFC 9113) as unary calls take, one after the other. Headers are written
//! once; those of answers are not looked into, for the message and its end tell enough.

use std::net::SocketAddr;

use anyhow::{Result, bail};

use super::{Dialog, Heard, unexpected};
use crate::faceplates::template::{NUMBER, Template};

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Flags of frames. The first means the end of a stream with data and headers.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Bytes before a frame's payload.
const HEAD_BYTES: usize = 9;

/// How much more the server may send on a connection: enough for all calls there will be.
const WINDOW_MORE: u32 = 0x7fff_0000;

/// The headers of the second request and those after it, all from the tables (RFC 7541): `:method:
/// POST`, `:scheme: http`, then what [`first_headers`] has put into the dynamic table.
const LATER_HEADERS: [u8; 6] = [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];

/// The method that is called.
const PATH: &str = "/katamari.echo.Echo/Echo";

/// A client.
pub struct Grpc {
    first_headers: Vec<u8>,
    request: Template,
    answer: Template,
    stream: u32,
    number: u64,
    /// The message of the present call has come.
    is_told: bool,
}

impl Grpc {
    /// Of the echo service.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            first_headers: first_headers(server),
            request: Template::new(message()),
            answer: Template::new(message()),
            stream: 0,
            number: 0,
            is_told: false,
        }
    }
}

/// The headers of the first request; four of them go into the dynamic table.
fn first_headers(server: SocketAddr) -> Vec<u8> {
    let mut headers = LATER_HEADERS[..2].to_vec();
    let mut literal = |name: &[u8], value: &str| {
        headers.extend_from_slice(name);
        headers.push(u8::try_from(value.len()).expect("headers of the bench are short"));
        headers.extend_from_slice(value.as_bytes());
    };
    literal(&[0x44], PATH);
    literal(&[0x41], &server.to_string());
    literal(&[0x5f], "application/grpc");
    literal(b"\x40\x02te", "trailers");
    headers
}

/// Request and answer alike: a message whose first field is a `google.protobuf.Value`, with a
/// string in it.
fn message() -> Vec<u8> {
    let text = NUMBER.as_bytes();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("messages of the bench are short");
    let value = [&[0x1a, length(text)], text].concat();
    let message = [&[0x0a, length(&value)], &value[..]].concat();
    [&[0, 0, 0, 0, length(&message)], &message[..]].concat()
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("frames of the bench are short");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

impl Dialog for Grpc {
    fn open(&mut self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(PREFACE);
        put_frame(out, SETTINGS, 0, 0, &[]);
        put_frame(out, WINDOW_UPDATE, 0, 0, &WINDOW_MORE.to_be_bytes());
        true
    }

    fn call(&mut self, number: u64, out: &mut Vec<u8>) {
        let headers = match self.stream {
            0 => &self.first_headers[..],
            _ => &LATER_HEADERS[..],
        };
        // Streams of clients have odd numbers.
        self.stream = if self.stream == 0 { 1 } else { self.stream + 2 };
        self.number = number;
        self.is_told = false;
        put_frame(out, HEADERS, END_HEADERS, self.stream, headers);
        let message = self.request.numbered(number);
        put_frame(out, DATA, END_STREAM, self.stream, message);
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        let Some((head, rest)) = input.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(Heard::NotWhole);
        };
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some(payload) = rest.get(..length) else {
            return Ok(Heard::NotWhole);
        };
        let (kind, flags) = (head[3], head[4]);
        let taken = HEAD_BYTES + length;
        match kind {
            SETTINGS if flags & ACK == 0 => put_frame(out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => put_frame(out, PING, ACK, 0, payload),
            DATA if !payload.is_empty() => {
                let expected = self.answer.numbered(self.number);
                if payload != expected {
                    return Err(unexpected(expected, payload));
                }
                self.is_told = true;
            }
            HEADERS if flags & END_STREAM != 0 => {
                if !self.is_told {
                    return Err(unexpected(b"a message", payload));
                }
                return Ok(Heard::Answer(taken));
            }
            RST_STREAM | GOAWAY => bail!("the server ended the call: {}", payload.escape_ascii()),
            _ => {}
        }
        Ok(Heard::Passed(taken))
    }
}
