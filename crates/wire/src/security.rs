//! How a raw connection becomes one that others cannot read, and whose other end is known.
//!
//! `mesh` passes each connection through here before it greets, `join` its own.

use std::net::SocketAddr;
use std::sync::Arc;

use pool::NodeId;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::BufReader;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::hello::HandshakeError;
use crate::identity::{certificate_name, check_certificate};
use crate::network::{Connection, Stream};
use crate::tls::Credentials;

/// How much to read from a socket at once. TLS by itself reads 4 KiB at a time.
const READ_BYTES: usize = 64 << 10;

/// How links are protected.
#[derive(Debug, Clone)]
pub enum Security {
    /// Not at all. Only on loopback, or where [`crate::Network::is_simulated`] says that nothing
    /// leaves the process.
    Plain,
    /// By TLS 1.3, and both ends prove which node they are.
    Tls(Credentials),
}

/// What the end that dialed has shown.
pub(crate) enum Proof {
    /// Plain text shows nothing, and is taken at its word.
    NotNeeded,
    /// A certificate that the authority signed.
    Certificate(CertificateDer<'static>),
    /// Nothing: it may come to join, but is no node yet.
    Missing,
}

/// A connection that is ready for greetings.
pub(crate) struct Secured {
    pub stream: Box<dyn Stream>,
    pub address: SocketAddr,
    /// Where TLS did not check it already.
    pub proof: Proof,
}

impl Proof {
    /// Whether it is `node` of `cluster` that showed it.
    pub fn check(&self, node: NodeId, cluster: &str) -> Result<(), HandshakeError> {
        let why = match self {
            Self::NotNeeded => return Ok(()),
            Self::Certificate(certificate) => match check_certificate(certificate, node, cluster) {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
            Self::Missing => "it shows no certificate; join it first".to_owned(),
        };
        Err(HandshakeError::Identity { node, why })
    }
}

impl Security {
    /// Refuses what would show plain text to others.
    pub(crate) fn check(
        &self,
        address: SocketAddr,
        is_simulated: bool,
    ) -> Result<(), HandshakeError> {
        match self {
            Self::Plain => check_plain(address, is_simulated),
            Self::Tls(_) => Ok(()),
        }
    }

    /// A connection to `node` of `cluster`, which over TLS has proved that it is.
    pub(crate) async fn dialed(
        &self,
        (stream, address): Connection,
        node: NodeId,
        cluster: &str,
    ) -> Result<Secured, HandshakeError> {
        let stream = match self {
            Self::Plain => stream,
            Self::Tls(credentials) => {
                let client = Arc::clone(&credentials.prepared().client);
                let mismatch = |why: String| HandshakeError::Identity { node, why };
                let name = ServerName::try_from(certificate_name(node, cluster));
                let name = name.map_err(|error| mismatch(error.to_string()))?;
                let encrypted = encrypt(stream, client, name).await;
                encrypted.map_err(|error| match error {
                    HandshakeError::Certificate(why) => mismatch(why),
                    other => other,
                })?
            }
        };
        Ok(Secured {
            stream,
            address,
            proof: Proof::NotNeeded,
        })
    }

    /// A connection from somebody, with what that showed.
    pub(crate) async fn accepted(
        &self,
        (stream, address): Connection,
    ) -> Result<Secured, HandshakeError> {
        let Self::Tls(credentials) = self else {
            return Ok(Secured {
                stream,
                address,
                proof: Proof::NotNeeded,
            });
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&credentials.prepared().server));
        let stream = acceptor
            .accept(BufReader::with_capacity(READ_BYTES, stream))
            .await?;
        let shown = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let proof = shown.map_or(Proof::Missing, |shown| Proof::Certificate(shown.clone()));
        Ok(Secured {
            stream: Box::new(stream),
            address,
            proof,
        })
    }
}

/// TLS as the end that dialed.
pub(crate) async fn encrypt(
    stream: Box<dyn Stream>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Box<dyn Stream>, HandshakeError> {
    let stream = BufReader::with_capacity(READ_BYTES, stream);
    let stream = TlsConnector::from(client).connect(name, stream).await?;
    Ok(Box::new(stream))
}

/// Refuses to show plain text to others.
pub(crate) fn check_plain(address: SocketAddr, is_simulated: bool) -> Result<(), HandshakeError> {
    if is_simulated || address.ip().is_loopback() {
        Ok(())
    } else {
        Err(HandshakeError::PlainText(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_goes_beyond_loopback_in_simulations_alone() {
        let check = |address: &str, is_simulated| {
            check_plain(address.parse().expect("an address"), is_simulated).is_ok()
        };
        assert!(check("127.0.0.1:1", false) && check("[::1]:1", false));
        assert!(!check("10.0.0.1:1", false) && !check("[::]:1", false));
        assert!(check("10.0.0.1:1", true));
    }
}
