//! Messages that end with a line: raw TCP, and JSON-RPC over TCP.

use anyhow::Result;

use super::{Dialog, Heard, json_rpc_answer, json_rpc_request, unexpected};
use crate::faceplates::template::{NUMBER, Template};

/// A client of either.
pub struct Lines {
    request: Template,
    answer: Template,
    number: u64,
}

impl Lines {
    /// A port of one function: arguments in, result out.
    pub fn raw() -> Self {
        Self::new(
            &format!(r#"{{"value":"{NUMBER}"}}"#),
            &format!("\"{NUMBER}\""),
        )
    }

    /// JSON-RPC.
    pub fn json_rpc() -> Self {
        Self::new(&json_rpc_request(), &json_rpc_answer())
    }

    fn new(request: &str, answer: &str) -> Self {
        Self {
            request: Template::new(format!("{request}\n")),
            answer: Template::new(format!("{answer}\n")),
            number: 0,
        }
    }
}

impl Dialog for Lines {
    fn open(&mut self, _: &mut Vec<u8>) -> bool {
        true
    }

    fn call(&mut self, number: u64, out: &mut Vec<u8>) {
        self.number = number;
        out.extend_from_slice(self.request.numbered(number));
    }

    fn hear(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Heard> {
        if input.last() != Some(&b'\n') {
            return Ok(Heard::NotWhole);
        }
        let expected = self.answer.numbered(self.number);
        if input != expected {
            return Err(unexpected(expected, input));
        }
        Ok(Heard::Answer(input.len()))
    }
}
