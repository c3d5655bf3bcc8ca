//! How a process asks to become a node: one question to a node of the cluster, over a connection
//! on which it trusts the cluster, and the cluster does not yet trust it.
//!
//! [`join`] asks; on the other end `mesh/accept.rs` passes the question to whoever took
//! [`crate::Mesh::joins`]. What stands in question and answer is theirs alone.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::hello::{Greeting, HandshakeError, agree_versions, read_greeting, write_greetings};
use crate::network::{Network, Stream};
use crate::security::{check_plain, encrypt};
use crate::tls::joining;

/// Most bytes of a question or of its answer, its frame aside: a few certificates and addresses.
pub const JOIN_MAX: usize = 64 << 10;

/// How long a join may take: consensus may have to elect a leader first.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Most joins at a time: strangers get no more of a node than this.
const JOINS_MAX: usize = 16;

/// What stands around a question in its greeting.
pub(crate) const ENVELOPE_MAX: usize = 64;

/// A process that asks to become a node.
#[derive(Debug)]
pub struct Join {
    /// What it says, at most [`JOIN_MAX`] bytes. It comes from a stranger.
    pub message: Bytes,
    /// Where it is.
    pub address: SocketAddr,
    pub(crate) answer: oneshot::Sender<Result<Bytes, String>>,
}

impl Join {
    /// Answers with at most [`JOIN_MAX`] bytes.
    pub fn answer(self, message: Bytes) {
        // It may have left.
        drop(self.answer.send(Ok(message)));
    }

    /// Turns it away: [`join`] gives [`HandshakeError::Refused`].
    pub fn refuse(self, why: &str) {
        drop(self.answer.send(Err(why.to_owned())));
    }
}

/// Those who ask to join. Bounded; each must be answered within ten seconds.
pub type Joins = mpsc::Receiver<Join>;

/// How a process knows that it talks to the cluster that it was invited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It does not; only on loopback, or where [`Network::is_simulated`] says so.
    Plain,
    /// The other end shows a certificate of the authority that has this SHA-256, as in a
    /// [`crate::JoinToken`].
    Fingerprint([u8; 32]),
}

/// Asks the node at `address`, which is `host:port`, and gives its answer. `versions` of the link
/// protocol are those that the newcomer will speak.
///
/// # Errors
///
/// [`HandshakeError`]: nobody there, nobody to trust, or [`HandshakeError::Refused`] with the
/// reason of the cluster.
pub async fn join(
    network: &dyn Network,
    address: &str,
    trust: Trust,
    versions: &RangeInclusive<u16>,
    message: &[u8],
) -> Result<Bytes, HandshakeError> {
    if message.len() > JOIN_MAX {
        return Err(HandshakeError::Garbled {
            expected: "a join of at most 64 KiB",
        });
    }
    let ask = async {
        let (mut stream, address) = network.dial(address).await?;
        match trust {
            Trust::Plain => check_plain(address, network.is_simulated())?,
            Trust::Fingerprint(authority) => {
                // Any node of the authority will do, so the name says nothing.
                let name = ServerName::IpAddress(address.ip().into());
                stream = encrypt(stream, Arc::new(joining(authority)), name).await?;
            }
        }
        let greeting = Greeting::Join {
            version_min: *versions.start(),
            version_max: *versions.end(),
            message: message.to_vec(),
        };
        write_greetings(&mut *stream, &[greeting]).await?;
        let limit = JOIN_MAX + ENVELOPE_MAX;
        match read_greeting(&mut *stream, "the answer to a join", limit).await? {
            Greeting::Joined(answer) => Ok(Bytes::from(answer)),
            Greeting::Refused(why) => Err(HandshakeError::Refused(why)),
            _ => Err(HandshakeError::Garbled {
                expected: "the answer to a join",
            }),
        }
    };
    let asked = timeout(JOIN_TIMEOUT, ask).await;
    asked.map_err(|_| HandshakeError::Timeout(JOIN_TIMEOUT.as_millis()))?
}

/// The end that is asked.
pub(crate) struct Joining {
    handler: OnceLock<mpsc::Sender<Join>>,
    places: Semaphore,
}

impl Default for Joining {
    fn default() -> Self {
        Self {
            handler: OnceLock::new(),
            places: Semaphore::new(JOINS_MAX),
        }
    }
}

/// What came in a greeting, from where.
pub(crate) struct Asked {
    pub versions: RangeInclusive<u16>,
    pub message: Vec<u8>,
    pub address: SocketAddr,
}

impl Joining {
    /// From now on joins are answered.
    pub fn open(&self) -> Joins {
        let (sender, joins) = mpsc::channel(JOINS_MAX);
        let set = self.handler.set(sender);
        assert!(set.is_ok(), "expected one taker of joins, got a second");
        joins
    }

    /// Passes a question on, and its answer back.
    pub async fn serve(
        &self,
        stream: &mut dyn Stream,
        versions: &RangeInclusive<u16>,
        asked: Asked,
    ) -> Result<(), HandshakeError> {
        let answered = timeout(JOIN_TIMEOUT, self.pass_on(versions, asked)).await;
        let answered = answered.unwrap_or_else(|_| Err(refused("no answer in time; try again")));
        let greeting = match &answered {
            Ok(answer) => Greeting::Joined(answer.to_vec()),
            Err(error) => Greeting::refused(error),
        };
        // One who does not read the answer holds a connection no longer than one who does.
        let written = timeout(JOIN_TIMEOUT, write_greetings(stream, &[greeting])).await;
        written.map_err(|_| HandshakeError::Timeout(JOIN_TIMEOUT.as_millis()))??;
        answered.map(drop)
    }

    async fn pass_on(
        &self,
        versions: &RangeInclusive<u16>,
        asked: Asked,
    ) -> Result<Bytes, HandshakeError> {
        agree_versions(versions, &asked.versions)?;
        let handler = self.handler.get();
        let handler = handler.ok_or_else(|| refused("this node admits nobody; ask a master"))?;
        let place = self.places.try_acquire();
        let _place = place.map_err(|_| refused("too many join at the moment; try again"))?;
        let (answer, answered) = oneshot::channel();
        let join = Join {
            message: asked.message.into(),
            address: asked.address,
            answer,
        };
        handler
            .send(join)
            .await
            .map_err(|_| refused("this node admits nobody any more"))?;
        match answered.await {
            Ok(Ok(answer)) if answer.len() <= JOIN_MAX => Ok(answer),
            Ok(Ok(_)) => Err(refused("the answer is too long")),
            Ok(Err(why)) => Err(HandshakeError::Refused(why)),
            Err(_) => Err(refused("this node cannot answer now; try again")),
        }
    }
}

fn refused(why: &str) -> HandshakeError {
    HandshakeError::Refused(why.to_owned())
}
