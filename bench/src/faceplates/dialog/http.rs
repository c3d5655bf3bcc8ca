//! HTTP/1.1: `POST /call`, a route of one's own, JSON-RPC in a body.

use std::net::SocketAddr;

use anyhow::{Result, anyhow};

use super::{Dialog, Heard, json_rpc_answer, json_rpc_request, unexpected};
use crate::faceplates::template::{NUMBER, Template};
use crate::http;

/// A client whose connection is kept alive.
pub struct Http {
    request: Template,
    body: Template,
    number: u64,
}

impl Http {
    /// Of `POST /call/KIND/FUNCTION`.
    pub fn call(server: SocketAddr) -> Self {
        let body = format!(r#"{{"value":"{NUMBER}"}}"#);
        Self::new(&post(server, "/call/echo/echo", &body), &json_text())
    }

    /// Of `GET /echo/{value}`.
    pub fn route(server: SocketAddr) -> Self {
        let request = format!("GET /echo/{NUMBER} HTTP/1.1\r\nhost: {server}\r\n\r\n");
        Self::new(&request, &json_text())
    }

    /// Of `POST /rpc`.
    pub fn json_rpc(server: SocketAddr) -> Self {
        let request = post(server, "/rpc", &json_rpc_request());
        Self::new(&request, &json_rpc_answer())
    }

    fn new(request: &str, body: &str) -> Self {
        Self {
            request: Template::new(request),
            body: Template::new(body),
            number: 0,
        }
    }
}

/// The number as JSON.
fn json_text() -> String {
    format!("\"{NUMBER}\"")
}

fn post(server: SocketAddr, path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Dialog for Http {
    fn open(&mut self, _: &mut Vec<u8>) -> bool {
        true
    }

    fn call(&mut self, number: u64, out: &mut Vec<u8>) {
        self.number = number;
        out.extend_from_slice(self.request.numbered(number));
    }

    fn hear(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Heard> {
        let parsed = http::parse(input, false).map_err(|_| anyhow!("expected HTTP"))?;
        let Some(response) = parsed else {
            return Ok(Heard::NotWhole);
        };
        let expected = self.body.numbered(self.number);
        if response.status != 200 || *response.body != *expected || !response.keep_alive {
            return Err(unexpected(expected, input));
        }
        Ok(Heard::Answer(input.len()))
    }
}
