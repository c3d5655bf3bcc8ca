//! What holds of every protocol alike: time limits, TLS, the access log, and that nobody is troubled
//! by a client that says nonsense slowly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::access::{Token, hash};
use faceplate::{ACCESS_LOG, KINDS, Limits, Settings, Tls};
use pool::Class;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::speak::{self, PROTOCOLS, Spoken, echo, scene, speaker};
use support::{Server, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tracing_subscriber::fmt::MakeWriter;

/// Short enough to wait for, long enough for everything that should come in time.
const SHORT: Duration = Duration::from_millis(300);

async fn serve(protocol: &str, settings: impl Into<Settings>) -> Server {
    Server::of(speaker(protocol), scene(), settings).await
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

#[test]
fn every_protocol_is_spoken_here() {
    let kinds: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(kinds, PROTOCOLS);
}

/// Little time to begin, and all the time in the world otherwise.
fn hurried() -> Limits {
    Limits {
        header_timeout: SHORT,
        body_timeout: SHORT,
        ..Limits::default()
    }
}

#[tokio::test]
async fn who_says_nothing_at_first_is_cut_off_soon() {
    for protocol in PROTOCOLS {
        let server = serve(protocol, hurried()).await;
        let begun = tokio::time::Instant::now();
        let silent = Spoken::Bytes(connect(&server).await);
        silent.closes().await;
        assert!(begun.elapsed() >= SHORT, "{protocol}: too soon");
    }
}

#[tokio::test]
async fn who_begins_and_does_not_end_is_cut_off_as_soon() {
    for protocol in PROTOCOLS {
        let server = serve(protocol, hurried()).await;
        let mut slow = connect(&server).await;
        let begun: &[u8] = match protocol {
            "http" => b"POST /call/act/echo HT",
            "grpc" => b"PRI * HTTP",
            "erlang" => b"\0\x20N\0\0",
            "jsonrpc" | "tcp" => b"{\"",
            "thrift" => b"\0\0\0\x20\x80\x01",
            _ => b"\0\0\0\x20\x83",
        };
        slow.write_all(begun).await.unwrap();
        Spoken::Bytes(slow).closes().await;
    }
}

#[tokio::test]
async fn who_trickles_is_cut_off_as_soon() {
    for protocol in PROTOCOLS {
        let server = serve(protocol, hurried()).await;
        let (mut reader, mut writer) = connect(&server).await.into_split();
        let endless: &[u8] = match protocol {
            "http" => b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "grpc" => b"PRI * HTTP/2.0\r\n\r\nS",
            "erlang" => b"\0\xffNaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "jsonrpc" | "tcp" => {
                b"{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            }
            "thrift" => {
                b"\0\0\x10\0\x80\x01\0\x01\0\0\0\xffaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            }
            _ => b"\0\0\x10\0\x83\x6d\0\0\x0f\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        };
        let trickling = async {
            for byte in endless {
                tokio::time::sleep(SHORT / 10).await;
                if writer.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut told = Vec::new();
        // A connection that closes on unread bytes is reset.
        within(async {
            tokio::select! {
                () = trickling => {}
                _ = reader.read_to_end(&mut told) => {}
            }
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_idle_is_cut_off_later() {
    for protocol in PROTOCOLS {
        let limits = Limits {
            idle_timeout: SHORT,
            ..Limits::default()
        };
        let server = serve(protocol, limits).await;
        let begun = tokio::time::Instant::now();
        let spoken = echo(protocol, connect(&server).await, 1).await;
        spoken.closes().await;
        assert!(begun.elapsed() >= SHORT, "{protocol}: too soon");
    }
}

#[tokio::test]
async fn who_waits_for_an_answer_is_not_idle() {
    let limits = Limits {
        idle_timeout: SHORT / 10,
        ..Limits::default()
    };
    let mut server = serve("jsonrpc", limits).await;
    let mut stream = connect(&server).await;
    let call = b"{\"jsonrpc\":\"2.0\",\"method\":\"k.held\",\"id\":1}\n";
    stream.write_all(call).await.unwrap();
    let held = server.stage.next_held().await;
    let mut told = [0; 1_000];
    let waiting = tokio::time::timeout(SHORT, stream.read(&mut told)).await;
    assert!(waiting.is_err(), "it was closed meanwhile");
    held.end(Ok(()));
    assert!(within(stream.read(&mut told)).await.unwrap() > 0);
    Spoken::Bytes(stream).closes().await;
}

fn token() -> Token {
    Token {
        name: "ci".into(),
        hash: hash(b"kat_1"),
        kinds: None,
        class_max: Class::Normal,
        rate: None,
        observe: false,
        expires_unix_s: None,
    }
}

#[tokio::test]
async fn who_shows_no_token_does_not_stay_by_talking() {
    // Erlang has its cookie, which the handshake shows, and of HTTP/2 each call has its own.
    for protocol in ["http", "jsonrpc", "tcp", "thrift", "bert"] {
        let server = serve(protocol, hurried()).await;
        server.stage.node.set_tokens(vec![token()]);
        let mut client = connect(&server).await;
        let request = speak::request(protocol, 1);
        let mut came = [0; 4_096];
        let talking = async {
            while client.write_all(&request).await.is_ok() {
                match client.read(&mut came).await {
                    Ok(bytes) if bytes > 0 => {}
                    _ => break,
                }
            }
        };
        within(talking).await;
    }
}

#[tokio::test]
async fn every_protocol_is_spoken_behind_tls() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for protocol in PROTOCOLS {
        let alpn = speaker(protocol).alpn();
        let settings = Settings {
            tls: Some(Arc::new(Tls::load(&certificate, &key, alpn).unwrap())),
            ..Settings::default()
        };
        let server = serve(protocol, settings).await;
        let mut config = config.clone();
        config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        // More than the sockets hold, so that answers wait on this side of them.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = socket.connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = within(connector.connect(name, stream)).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(agreed.as_deref(), alpn.first().copied(), "{protocol}");
        let length = if protocol == "tcp" {
            3_000_000
        } else {
            300_000
        };
        echo(protocol, stream, length).await;
    }
}

/// Where the log goes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// Those of the access log that were written since this was last asked.
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().filter(|line| line.contains(ACCESS_LOG));
        lines.map(str::to_owned).collect()
    }

    /// Everything that this thread logs from now on.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(self.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

fn named(protocol: &str) -> Settings {
    Settings {
        name: format!("my_{protocol}"),
        ..Settings::default()
    }
}

#[tokio::test]
async fn each_call_leaves_one_line_if_that_is_wanted() {
    let lines = Lines::default();
    let _listening = lines.listen();
    for protocol in PROTOCOLS {
        let mut server = serve(protocol, named(protocol)).await;
        echo(protocol, connect(&server).await, 5).await;
        assert_eq!(lines.take(), Vec::<String>::new(), "{protocol}: it is off");
        server.stage.node.log_access();
        let number = server.stage.next_call().await.number;
        echo(protocol, connect(&server).await, 5).await;
        let found = lines.take();
        let [line] = &found[..] else {
            panic!("{protocol}: {found:?}");
        };
        let id = format!("id={:016x}", number + 1);
        for part in [
            &format!("faceplate=\"my_{protocol}\""),
            "peer=127.0.0.1",
            "function=\"act.echo\"",
            "code=\"ok\"",
            "queued_ms=1.25",
            "ran_ms=20",
            "bytes_in=",
            "bytes_out=",
            &id,
            "worker=\"3-42\"",
        ] {
            assert!(line.contains(part), "{protocol}: {part}: {line}");
        }
        let is_named = line.contains("token=\"peer@127.0.0.1\"");
        assert_eq!(is_named, protocol == "erlang", "{line}");
    }
}

#[tokio::test]
async fn the_access_log_tells_how_calls_ended_and_who_was_denied() {
    let lines = Lines::default();
    let _listening = lines.listen();
    let mut server = serve("http", named("http")).await;
    server.stage.node.log_access();
    let call = async |function: &str| {
        let response = server.post(&format!("/call/k/{function}"), "", "{}").await;
        (response.status, lines.take().concat())
    };
    let (status, line) = call("worker_died").await;
    assert!(
        status == 502 && line.contains("code=\"worker_died\""),
        "{status}: {line}"
    );
    let long = "x".repeat(5_000);
    let (_, line) = call(&long).await;
    assert!(line.len() < 1_000 && line.contains("k.xxx"), "{line}");
    server.stage.node.set_tokens(vec![token()]);
    let (status, line) = call("echo").await;
    assert!(status == 401 && line.contains("denied"), "{status}: {line}");
    let head = "authorization: Bearer kat_1\r\n";
    let known = server.post("/call/k/null", head, "{}").await;
    let line = lines.take().concat();
    assert!(
        known.status == 200 && line.contains("token=\"ci\""),
        "{line}"
    );

    // A stream is one call, which is told of when it is over.
    let mut client = server.connect().await;
    let post = "POST /call/k/held HTTP/1.1\r\ncontent-type: application/json\r\n";
    client.send(&format!("{post}{head}"), "{}").await;
    let held = server.stage.next_held().await;
    held.send(term::Payload::Json("12345".into()));
    held.end(Ok(()));
    client.receive().await;
    let line = lines.take().concat();
    assert!(
        line.contains("code=\"ok\"") && line.contains("bytes_out=5"),
        "{line}"
    );

    // So is a call whose client leaves.
    let hang = post.replace("held", "hang");
    let mut client = server.connect().await;
    client.send(&format!("{hang}{head}"), "{}").await;
    while &*server.stage.next_call().await.function != "hang" {}
    drop(client);
    server.stage.next_dropped().await;
    tokio::task::yield_now().await;
    let line = lines.take().concat();
    assert!(line.contains("code=\"cancelled\""), "{line}");
}
