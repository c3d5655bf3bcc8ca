//! TLS: handshakes that succeed, that fail, that hang; and certificates that change.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use faceplate::{Limits, Settings, Tls, TlsError, Trust};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use support::{Client, Scene, Server, within};
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Short enough to wait for, long enough for everything that should come in time.
const SHORT: Duration = Duration::from_millis(300);

/// A certificate for `localhost` and its key, as files.
struct Files {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = write(&folder);
        Self {
            folder,
            certificate,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Tls, TlsError> {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        Tls::load(&certificate, &key, &[b"http/1.1"])
    }

    /// A new certificate in the place of the old one.
    fn renew(&mut self) {
        self.certificate = write(&self.folder);
    }
}

fn write(folder: &TempDir) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("server.pem"), cert.pem()).unwrap();
    std::fs::write(
        folder.path().join("server.key"),
        signing_key.serialize_pem(),
    )
    .unwrap();
    cert.der().clone()
}

async fn server(tls: Arc<Tls>, limits: Limits) -> Server {
    let settings = Settings {
        limits,
        tls: Some(tls),
        ..Settings::default()
    };
    Server::start_with(Scene::default(), settings).await
}

/// A client's handshake: it trusts this one certificate and speaks this one protocol.
async fn shake(
    server: &Server,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = within(connector.connect(name, stream)).await?;
    Ok(Client(BufReader::new(stream)))
}

const POST: &str = "POST /call/k/echo HTTP/1.1\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn calls_go_over_tls() {
    let files = Files::new();
    let server = server(Arc::new(files.load().unwrap()), Limits::default()).await;
    let mut client = shake(&server, &files.certificate, b"http/1.1")
        .await
        .unwrap();
    let (_, session) = client.0.get_ref().get_ref();
    assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    let large = format!("[\"{}\"]", "x".repeat(1_000_000));
    for body in ["[1]", &large, "[2]"] {
        client.send(POST, body).await;
        let response = client.receive().await;
        assert_eq!((response.status, response.text()), (200, body));
    }
    assert!(
        shake(&server, &files.certificate, b"h2").await.is_err(),
        "what the client speaks is not spoken here"
    );
    let other = Files::new();
    assert!(
        shake(&server, &other.certificate, b"http/1.1")
            .await
            .is_err(),
        "the certificate is another one"
    );
}

#[tokio::test]
async fn a_page_of_the_same_origin_may_call() {
    let files = Files::new();
    let server = server(Arc::new(files.load().unwrap()), Limits::default()).await;
    let mut client = shake(&server, &files.certificate, b"http/1.1")
        .await
        .unwrap();
    client
        .send(&format!("{POST}origin: https://localhost\r\n"), "")
        .await;
    assert_eq!(client.receive().await.status, 200);
    client
        .send(&format!("{POST}origin: http://localhost\r\n"), "")
        .await;
    client.receive().await.problem(403, "not_allowed");
}

#[tokio::test]
async fn plain_http_is_told_to_use_tls() {
    let files = Files::new();
    let server = server(Arc::new(files.load().unwrap()), Limits::default()).await;
    let mut client = server.connect().await;
    client.send(POST, &"x".repeat(10_000)).await;
    let response = client.receive().await;
    assert_eq!(response.status, 400);
    assert!(response.text().contains("https"), "{}", response.text());
    assert_eq!(client.rest().await, b"");
    let mut garbage = server.connect().await;
    garbage.write(b"\0\0\0\0").await;
    assert_eq!(garbage.rest().await, b"");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let files = Files::new();
    let limits = Limits {
        header_timeout: SHORT,
        ..Limits::default()
    };
    let server = server(Arc::new(files.load().unwrap()), limits).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write(b"\x16\x03\x01").await;
    assert_eq!(silent.rest().await, b"");
    assert_eq!(slow.rest().await, b"");
}

#[tokio::test]
async fn handshakes_count_as_connections() {
    let files = Files::new();
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let mut server = server(Arc::new(files.load().unwrap()), limits).await;
    let mut first = server.connect().await;
    first.write(b"\x16\x03\x01").await;
    let mut second = server.connect().await;
    assert_eq!(
        second.rest().await,
        b"",
        "there is no room, and no plain word"
    );
    server.stop.take().unwrap().send(()).unwrap();
    assert_eq!(first.rest().await, b"", "the end does not wait for it");
    within(server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_closes_an_idle_connection() {
    let files = Files::new();
    let mut server = server(Arc::new(files.load().unwrap()), Limits::default()).await;
    let mut client = shake(&server, &files.certificate, b"http/1.1")
        .await
        .unwrap();
    client.send(POST, "[]").await;
    assert_eq!(client.receive().await.status, 200);
    server.stop.take().unwrap().send(()).unwrap();
    assert_eq!(client.rest().await, b"");
    within(server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_drops_its_call() {
    let files = Files::new();
    let mut server = server(Arc::new(files.load().unwrap()), Limits::default()).await;
    let mut client = shake(&server, &files.certificate, b"http/1.1")
        .await
        .unwrap();
    let head = POST.replace("echo", "hang");
    client.send(&head, "").await;
    let number = server.stage.next_call().await.number;
    client.0.get_mut().shutdown().await.unwrap();
    drop(client);
    assert_eq!(server.stage.next_dropped().await, number);
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_without_a_restart() {
    let mut files = Files::new();
    let old = files.certificate.clone();
    let tls = Arc::new(files.load().unwrap());
    let server = server(tls.clone(), Limits::default()).await;
    let mut before = shake(&server, &old, b"http/1.1").await.unwrap();
    files.renew();
    tls.reload().unwrap();
    assert!(shake(&server, &old, b"http/1.1").await.is_err());
    let renewed = files.certificate.clone();
    assert!(shake(&server, &renewed, b"http/1.1").await.is_ok());
    before.send(POST, "[]").await;
    assert_eq!(before.receive().await.status, 200, "it goes on as it was");

    std::fs::write(files.path("server.pem"), "").unwrap();
    assert!(tls.reload().is_err());
    assert!(
        shake(&server, &renewed, b"http/1.1").await.is_ok(),
        "the last good one stays"
    );
}

#[tokio::test]
async fn the_other_side_trusts_what_it_is_told_to_and_no_more() {
    let files = Files::new();
    let server = server(Arc::new(files.load().unwrap()), Limits::default()).await;
    let trust = Trust::load(&files.path("server.pem")).unwrap();
    let other = Trust::load(&Files::new().path("server.pem")).unwrap();
    let connect = async |trust: &Trust, name: &str| {
        let stream = TcpStream::connect(server.address).await.unwrap();
        within(trust.connect(name, stream)).await
    };
    let stream = connect(&trust, "localhost").await.unwrap();
    let mut client = Client(BufReader::new(stream));
    client.send(POST, "[1]").await;
    assert_eq!(client.receive().await.text(), "[1]");
    assert!(connect(&other, "localhost").await.is_err());
    assert!(connect(&trust, "elsewhere").await.is_err());
    assert!(connect(&trust, "not a name").await.is_err());
    assert!(Trust::load(&files.path("server.key")).is_err());
}

#[test]
fn files_that_do_not_fit_are_named() {
    let files = Files::new();
    let other = Files::new();
    let bad = |certificate: PathBuf, key: PathBuf| {
        let error = Tls::load(&certificate, &key, &[b"http/1.1"]).expect_err("it cannot be used");
        error.to_string()
    };
    let none = bad(files.path("none.pem"), files.path("server.key"));
    assert!(none.contains("none.pem: expected a certificate"), "{none}");
    let swapped = bad(files.path("server.key"), files.path("server.key"));
    assert!(
        swapped.contains("expected a certificate in PEM"),
        "{swapped}"
    );
    let keyless = bad(files.path("server.pem"), files.path("server.pem"));
    assert!(
        keyless.contains("expected a private key in PEM"),
        "{keyless}"
    );
    let strange = bad(files.path("server.pem"), other.path("server.key"));
    assert!(strange.contains("cannot be used together"), "{strange}");
}
