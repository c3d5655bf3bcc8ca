//! TLS for faceplates: a certificate and its key from PEM files, and the handshake. And the
//! other side of it, for the command line.

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// What the first byte of a TLS connection is: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// What both sides speak, the best first.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
const HTTP_1_1: &[u8] = b"http/1.1";

/// How much of what such a client sends is read, and for how long, so that it gets to read the
/// answer: to close on unread bytes would reset the connection.
const PLAIN_BYTES_MAX: u64 = 64 * 1024;
const PLAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A certificate with its key, which can be read again while connections come in.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    alpn: &'static [&'static [u8]],
    config: watch::Sender<Arc<ServerConfig>>,
}

/// A client's side: the certificates that it trusts.
#[derive(Clone)]
pub struct Trust(TlsConnector);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has none of what it should have.
    #[error("{}: expected {expected} in PEM: {why}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// What came.
        why: pem::Error,
    },
    /// A certificate is there, but no client can trust it.
    #[error("{}: cannot be trusted: {why}", file.display())]
    Untrusted {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
    /// Both are there, but no server can use them.
    #[error("{} and {} cannot be used together: {why}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
}

impl Tls {
    /// Reads a certificate, followed by those that lead to its authority, and its key. `alpn` are the
    /// protocols behind it, as [`Faceplate::alpn`](crate::Faceplate::alpn) gives them.
    pub fn load(
        certificate: &Path,
        key: &Path,
        alpn: &'static [&'static [u8]],
    ) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            alpn,
            config: watch::Sender::new(read(certificate, key, alpn)?),
        })
    }

    /// Reads both files again, for connections that come from now on. After an error the old ones
    /// stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config
            .send_replace(read(&self.certificate, &self.key, self.alpn)?);
        Ok(())
    }
}

/// Why a client did not get through the handshake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotShaken {
    #[error("a client did not get through the handshake: {0}")]
    Failed(#[from] io::Error),
    #[error("a client was too slow with the handshake")]
    Late,
}

/// Shakes hands within a time. A client whose first byte is a letter speaks a plain protocol, and is
/// told `not_tls`.
pub(crate) async fn shake(
    tls: &Tls,
    stream: TcpStream,
    not_tls: &'static [u8],
    timeout: Duration,
) -> Result<server::TlsStream<TcpStream>, NotShaken> {
    let shaking = async {
        let mut first = [0];
        let is_there = stream.peek(&mut first).await? > 0;
        if is_there && first[0] != HANDSHAKE_RECORD {
            if first[0].is_ascii_alphabetic() {
                refuse_plain(stream, not_tls).await?;
            }
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not TLS"));
        }
        let config = tls.config.borrow().clone();
        TlsAcceptor::from(config).accept(stream).await
    };
    match tokio::time::timeout(timeout, shaking).await {
        Ok(shaken) => Ok(shaken?),
        Err(_) => Err(NotShaken::Late),
    }
}

async fn refuse_plain(mut stream: TcpStream, not_tls: &[u8]) -> io::Result<()> {
    stream.write_all(not_tls).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(PLAIN_BYTES_MAX);
    let mut sink = tokio::io::sink();
    let drained = tokio::io::copy(&mut rest, &mut sink);
    // Whether it took the hint in time changes nothing.
    tokio::time::timeout(PLAIN_TIMEOUT, drained)
        .await
        .map_or(Ok(()), |copied| copied.map(drop))
}

impl Trust {
    /// Trusts the authorities, or the very certificates, of a PEM file, and no others.
    pub fn load(authorities: &Path) -> Result<Self, TlsError> {
        let untrusted = |why| TlsError::Untrusted {
            file: authorities.to_owned(),
            why,
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authorities)? {
            roots.add(certificate).map_err(untrusted)?;
        }
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&VERSIONS)
            .map_err(untrusted)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with the server of this name, or at this address.
    pub async fn connect(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        self.0.connect(name, stream).await
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// The certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            let first = chain.first().map(drop);
            first.ok_or(pem::Error::NoItemsFound).map(|()| chain)
        })
        .map_err(unreadable(file, "a certificate"))
}

fn unreadable(file: &Path, expected: &'static str) -> impl FnOnce(pem::Error) -> TlsError {
    let file = file.to_owned();
    move |why| TlsError::File {
        file,
        expected,
        why,
    }
}

fn read(certificate: &Path, key: &Path, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key, "a private key"))?;
    let unusable = |why| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        why,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&VERSIONS)
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
