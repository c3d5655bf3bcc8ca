//! Every protocol in a few bytes: one call of `act.echo` by hand, over any stream. For what holds of
//! all of them alike.

use super::declared::declaring;
use super::{Scene, configured, within};
use bytes::Bytes;
use faceplate::Faceplate;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use term::etf::{self, Tags};
use term::{Atom, Term};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

/// All that [`echo`] speaks.
pub const PROTOCOLS: [&str; 7] = ["http", "jsonrpc", "tcp", "grpc", "thrift", "erlang", "bert"];

/// A stream of some kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether it is encrypted, which the handshake of Erlang depends on.
    const IS_TLS: bool;
}

impl Stream for TcpStream {
    const IS_TLS: bool = false;
}

impl Stream for TlsStream<TcpStream> {
    const IS_TLS: bool = true;
}

/// A connection on which a call was made.
pub enum Spoken<S> {
    Bytes(S),
    Grpc(SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>),
}

impl<S: Stream> Spoken<S> {
    /// Waits until the other end closes.
    pub async fn closes(self) {
        within(async {
            match self {
                Self::Bytes(mut stream) => drop(stream.read_to_end(&mut Vec::new()).await),
                Self::Grpc(_client, connection) => drop(connection.await),
            }
        })
        .await;
    }
}

/// A faceplate of a protocol, with what it must be told.
pub fn speaker(protocol: &str) -> Arc<dyn Faceplate> {
    let keys: &[_] = match protocol {
        "tcp" => &[
            ("function", "act.echo"),
            ("content_type", "application/json"),
        ],
        "erlang" => &[("cookie", "secret"), ("epmd", "127.0.0.1:1")],
        _ => &[],
    };
    let keys: BTreeMap<_, _> = keys.iter().copied().collect();
    configured(protocol, keys, Vec::new(), PathBuf::new())
}

/// One pool that has the function, for protocols that want it declared.
pub fn scene() -> Scene {
    let function = serde_json::json!({"name": "echo", "result": "any",
        "parameters": [{"name": "text", "type": "string"}]});
    declaring(&serde_json::json!({"kind": "act", "functions": [function]}).to_string())
}

/// What a client sends before it can send a call, if it waits for nothing, and the call of
/// `act.echo` with so many times `x`.
pub fn request(protocol: &str, length: usize) -> Vec<u8> {
    let text = "x".repeat(length);
    let json = format!("{{\"text\": \"{text}\"}}");
    match protocol {
        "http" => format!(
            "POST /call/act/echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{json}",
            json.len()
        )
        .into_bytes(),
        "jsonrpc" => {
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"act.echo\",\"params\":{json},\"id\":1}}\n")
                .into_bytes()
        }
        "tcp" => format!("{json}\n").into_bytes(),
        "thrift" => {
            let mut message = vec![0x80, 1, 0, 1, 0, 0, 0, 9];
            message.extend_from_slice(b"call_json\0\0\0\x01");
            for (id, text) in (1..).zip(["act", "echo", &json]) {
                message.extend_from_slice(&[11, 0, id]);
                message.extend_from_slice(&lengthened(text.as_bytes()));
            }
            message.push(0);
            lengthened(&message)
        }
        "bert" => lengthened(&term(&call(&text))),
        "erlang" => {
            let pid = etf::pid(&Atom::from_static("peer@127.0.0.1"), 88, 0, 7);
            let tag = etf::reference(&Atom::from_static("peer@127.0.0.1"), 7, &[1, 2, 3]);
            let control = vec![
                Term::Integer(6),
                pid.clone(),
                Term::atom(""),
                Term::atom("katamari"),
            ];
            let from = Term::pair(pid, tag.expect("it is short"));
            let message = Term::Tuple(vec![Term::atom("$gen_call"), from, call(&text)]);
            let mut frame = vec![112];
            for term in [Term::Tuple(control), message] {
                etf::encode_into(&mut frame, &term, Tags::Modern).expect("it is small");
            }
            lengthened(&frame)
        }
        other => panic!("{other} is spoken in other ways"),
    }
}

fn call(text: &str) -> Term {
    let text = Term::Binary(text.to_owned().into());
    let words = [Term::atom("call"), Term::atom("act"), Term::atom("echo")];
    Term::Tuple([&words[..], &[Term::List(vec![text])]].concat())
}

fn term(term: &Term) -> Vec<u8> {
    etf::encode(term, Tags::Old).expect("it has old tags")
}

fn lengthened(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is short");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// Calls `act.echo` with so many times `x`, and waits for as many of them to come back.
pub async fn echo<S: Stream>(protocol: &str, mut stream: S, length: usize) -> Spoken<S> {
    if protocol == "grpc" {
        return over_http2(stream, length).await;
    }
    if protocol == "erlang" {
        shake(&mut stream).await;
    }
    let request = request(protocol, length);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        writer.write_all(&request).await.expect("it listens");
        writer.flush().await.expect("it listens");
    };
    let reading = async {
        let mut answer = Vec::new();
        let mut came = 0;
        while came < length {
            let mut piece = vec![0; 64 * 1024];
            let bytes = reader.read(&mut piece).await.expect("it answers");
            assert!(
                bytes > 0,
                "{protocol}: closed after {}",
                String::from_utf8_lossy(&answer)
            );
            came += piece[..bytes].iter().filter(|byte| **byte == b'x').count();
            answer.extend_from_slice(&piece[..bytes.min(1_000)]);
        }
    };
    within(async { tokio::join!(writing, reading) }).await;
    Spoken::Bytes(reader.unsplit(writer))
}

async fn over_http2<S: Stream>(stream: S, length: usize) -> Spoken<S> {
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut client, connection) = shaken.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    // Field 1, of bytes, behind a varint.
    let mut message = vec![b'\n'];
    let mut rest = length;
    while rest >= 0x80 {
        message.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    message.extend(std::iter::repeat_n(b'x', length));
    let message = [&[0][..], &lengthened(&message)].concat();
    let request = http::Request::post("http://node/katamari.act.Act/Echo")
        .header("content-type", "application/grpc")
        .body(Full::new(message.into()))
        .expect("it is one");
    let response = within(client.send_request(request))
        .await
        .expect("it answers");
    let body = within(response.into_body().collect())
        .await
        .expect("it answers");
    let trailers = body.trailers().cloned().unwrap_or_default();
    assert_eq!(
        trailers.get("grpc-status").map(http::HeaderValue::as_bytes),
        Some(&b"0"[..])
    );
    assert!(body.to_bytes().len() > length);
    Spoken::Grpc(client, connection)
}

/// The handshake of a node of Erlang.
async fn shake(stream: &mut impl Stream) {
    let name = b"peer@127.0.0.1";
    let flags = 0xd_07df_7fbd_u64;
    let mut hello = vec![b'N'];
    hello.extend(flags.to_be_bytes());
    hello.extend([0, 0, 0, 7, 0, name.len() as u8]);
    hello.extend_from_slice(name);
    say(stream, &hello).await;
    assert_eq!(hear(stream).await, b"sok");
    let challenge = hear(stream).await;
    let challenge = u32::from_be_bytes(challenge[9..13].try_into().expect("four bytes"));
    let proof = Md5::digest(format!("secret{challenge}").as_bytes());
    say(stream, &[&b"r\0\0\0\x01"[..], &proof].concat()).await;
    assert_eq!(hear(stream).await[0], b'a');
}

async fn say<S: Stream>(stream: &mut S, message: &[u8]) {
    let high: &[u8] = if S::IS_TLS { &[0, 0] } else { &[] };
    let length = (message.len() as u16).to_be_bytes();
    let bytes = [high, &length, message].concat();
    stream.write_all(&bytes).await.expect("it listens");
    stream.flush().await.expect("it listens");
}

async fn hear<S: Stream>(stream: &mut S) -> Vec<u8> {
    if S::IS_TLS {
        let high = within(stream.read_u16()).await.expect("it answers");
        assert_eq!(high, 0);
    }
    let length = within(stream.read_u16()).await.expect("it answers");
    let mut message = vec![0; length.into()];
    let read = within(stream.read_exact(&mut message)).await;
    read.expect("it answers");
    message
}
