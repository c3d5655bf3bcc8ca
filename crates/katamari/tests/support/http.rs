//! A small HTTP/1.1 client of our own, so that tests see the bytes as any client would.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection.
pub struct Http {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
}

impl Http {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        stream.set_nodelay(true).expect("TCP has no delay");
        Self {
            stream: BufReader::new(stream),
            address,
        }
    }

    /// Makes a call; `target` is `KIND/FUNCTION`.
    pub fn call(&mut self, target: &str, arguments: &str, headers: &[(&str, &str)]) -> Response {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(
            "POST",
            &format!("/call/{target}"),
            &all,
            arguments.as_bytes(),
        )
    }

    /// Sends a request and reads the response.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.start(method, path, headers, body);
        self.response()
    }

    /// Sends a request and does not wait for the response.
    pub fn start(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        let bytes = [head.as_bytes(), body].concat();
        self.stream
            .get_mut()
            .write_all(&bytes)
            .expect("the node reads");
    }

    /// Makes a call on a connection that the node may close between two requests; none if it has.
    pub fn call_unless_closed(&mut self, target: &str, arguments: &str) -> Option<Response> {
        let head = format!(
            "POST /call/{target} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{arguments}",
            self.address,
            arguments.len()
        );
        self.stream.get_mut().write_all(head.as_bytes()).ok()?;
        let is_open = self.stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        is_open.then(|| self.response())
    }

    /// Reads a response.
    pub fn response(&mut self) -> Response {
        let first = self.line();
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not HTTP: {first:?}"));
        let mut response = Response {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            response
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if response.header("transfer-encoding") == Some("chunked") {
            while let size @ 1.. = usize::from_str_radix(&self.line(), 16).expect("a chunk's size")
            {
                self.bytes(size, &mut response.body);
                self.line();
            }
            self.line();
        } else {
            let length = response.header("content-length").unwrap_or("0");
            let length = length.parse().expect("a length");
            self.bytes(length, &mut response.body);
        }
        response
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the node answers");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    fn bytes(&mut self, count: usize, into: &mut Vec<u8>) {
        let start = into.len();
        into.resize(start + count, 0);
        self.stream
            .read_exact(&mut into[start..])
            .expect("the node sends all of it");
    }
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }
}
