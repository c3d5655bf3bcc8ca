//! JSON-RPC over a WebSocket (RFC 6455): an upgrade, then a frame for each message.

use std::net::SocketAddr;

use anyhow::Result;

use super::{Dialog, Heard, json_rpc_answer, json_rpc_request, unexpected};
use crate::faceplates::template::Template;

/// The first byte of a frame: the whole of a text message.
const TEXT: u8 = 0x81;

/// In the second byte, beside the length: the payload is masked.
const MASKED: u8 = 0x80;

/// The mask. Zeros cost the server the same work, and leave our bytes as they are.
const MASK: [u8; 4] = [0; 4];

/// The longest payload whose length stands in the second byte.
const SHORT_MAX: usize = 125;

/// The example of the RFC; nothing here depends on it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What the answer to the upgrade begins with.
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";

/// A client.
pub struct WebSocket {
    upgrade: String,
    request: Template,
    answer: Template,
    is_open: bool,
    number: u64,
}

impl WebSocket {
    /// Of `GET /rpc`.
    pub fn new(server: SocketAddr) -> Self {
        let upgrade = format!(
            "GET /rpc HTTP/1.1\r\nhost: {server}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
        );
        let (request, answer) = (json_rpc_request(), json_rpc_answer());
        Self {
            upgrade,
            request: Template::new(frame(MASKED, &MASK, &request)),
            answer: Template::new(frame(0, &[], &answer)),
            is_open: false,
            number: 0,
        }
    }
}

fn frame(flag: u8, mask: &[u8], payload: &str) -> Vec<u8> {
    assert!(
        payload.len() <= SHORT_MAX,
        "messages of the bench are short"
    );
    let length = u8::try_from(payload.len()).expect("it is short");
    [&[TEXT, flag | length], mask, payload.as_bytes()].concat()
}

impl Dialog for WebSocket {
    fn open(&mut self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.upgrade.as_bytes());
        false
    }

    fn call(&mut self, number: u64, out: &mut Vec<u8>) {
        self.number = number;
        out.extend_from_slice(self.request.numbered(number));
    }

    fn hear(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Heard> {
        if !self.is_open {
            if !input.ends_with(b"\r\n\r\n") {
                return Ok(Heard::NotWhole);
            }
            if !input.starts_with(SWITCHING) {
                return Err(unexpected(SWITCHING, input));
            }
            self.is_open = true;
            return Ok(Heard::Ready(input.len()));
        }
        let expected = self.answer.numbered(self.number);
        if input == expected {
            return Ok(Heard::Answer(input.len()));
        }
        // A frame that is cut agrees as far as it goes.
        if input.len() < expected.len() && expected.starts_with(input) {
            return Ok(Heard::NotWhole);
        }
        Err(unexpected(expected, input))
    }
}
