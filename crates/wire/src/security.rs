//! How a raw connection becomes one that others cannot read, and whose other end is known.
//!
//! `mesh` passes each connection through here before it greets.

use std::net::SocketAddr;

use crate::hello::HandshakeError;
use crate::network::{Connection, Stream};

/// How links are protected.
#[derive(Clone)]
pub enum Security {
    /// Not at all. Only on loopback, or where [`crate::Network::is_simulated`] says that nothing
    /// leaves the process.
    Plain,
}

/// A connection that is ready for greetings.
pub(crate) struct Secured {
    pub stream: Box<dyn Stream>,
    pub address: SocketAddr,
}

impl Security {
    /// Refuses what would show plain text to others.
    pub(crate) fn check(
        &self,
        address: SocketAddr,
        is_simulated: bool,
    ) -> Result<(), HandshakeError> {
        match self {
            Self::Plain if !is_simulated && !address.ip().is_loopback() => {
                Err(HandshakeError::PlainText(address))
            }
            Self::Plain => Ok(()),
        }
    }

    pub(crate) async fn secure_dialed(
        &self,
        (stream, address): Connection,
    ) -> Result<Secured, HandshakeError> {
        match self {
            Self::Plain => Ok(Secured { stream, address }),
        }
    }

    pub(crate) async fn secure_accepted(
        &self,
        (stream, address): Connection,
    ) -> Result<Secured, HandshakeError> {
        match self {
            Self::Plain => Ok(Secured { stream, address }),
        }
    }
}
