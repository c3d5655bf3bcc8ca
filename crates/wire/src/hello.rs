//! The first words on a connection, before it is a link: who is there, and in which version.
//!
//! `mesh` greets on each connection that it dialed or accepted; `join` uses the same greetings.
//! Greetings never change their layout, so that builds of all times can tell each other why they
//! cannot talk. What a later build adds to a greeting stands at its end, where others ignore it.
//!
//! ```text
//!   dialing end     Hello ───>
//!                         <─── Hello, then Welcome or Refused
//!                   Welcome or Refused ───>
//! ```

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use pool::NodeId;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::network::Stream;

/// Opens each greeting, so that a stranger is told apart at once.
const MAGIC: [u8; 8] = *b"KATAMARI";

/// Most bytes of a greeting after its length, those with a join aside: names and reasons are short.
pub(crate) const GREETING_MAX: usize = 4 << 10;

/// Most bytes of the reason of a refusal, which may name what the other end said.
const REASON_MAX: usize = 1 << 10;

/// What a node says of itself to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Which node this is.
    pub node: NodeId,
    /// Its name, for people.
    pub name: Arc<str>,
    /// Which start of its process: another number each time.
    pub incarnation: u64,
    /// The cluster that it belongs to.
    pub cluster: Arc<str>,
}

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It could not be made, or it broke.
    #[error("no connection: {0}")]
    Io(io::Error),
    /// One end does not accept the other's certificate.
    #[error(
        "a certificate is not accepted: {0}; check the clocks, and whether both are of one cluster"
    )]
    Certificate(String),
    /// It took too long.
    #[error("expected a greeting within {0} ms, got none; is the other end a katamari node?")]
    Timeout(u128),
    /// The other end speaks something else.
    #[error("expected a katamari node, got a peer that speaks something else")]
    NotKatamari,
    /// The other end's greeting is damaged, too long or not the one that was due.
    #[error("expected {expected}, got a greeting that is something else or damaged")]
    Garbled {
        /// What was due.
        expected: &'static str,
    },
    /// The other node is of another cluster.
    #[error("expected a node of cluster {ours}, got one of cluster {theirs}; check the address")]
    OtherCluster {
        /// This node's.
        ours: Arc<str>,
        /// The other node's.
        theirs: Arc<str>,
    },
    /// The two builds have no version of the protocol in common.
    #[error(
        "no common version of the link protocol: this build speaks {} to {}, the other {} to {}; \
         upgrade the older one, or take `protocol` from its [node]", .ours.start(), .ours.end(), .theirs.start(), .theirs.end()
    )]
    NoCommonVersion {
        /// What this build speaks.
        ours: RangeInclusive<u16>,
        /// What the other speaks.
        theirs: RangeInclusive<u16>,
    },
    /// The cluster has gone on to a later version of the protocol meanwhile.
    #[error(
        "expected link protocol {level} or later, to which this cluster was raised, got a node that \
         speaks {version}; upgrade it, or take `protocol` from its [node]"
    )]
    Below {
        /// The greatest version that both speak.
        version: u16,
        /// The least that is let in.
        level: u16,
    },
    /// Another node than the one that was dialed.
    #[error("expected node {} at this address, got node {}", .expected.0, .came.0)]
    OtherNode {
        /// The one that was dialed.
        expected: NodeId,
        /// The one that answered.
        came: NodeId,
    },
    /// The certificate is another node's, or none that this cluster signed.
    #[error("the identity of node {} does not match: {why}", .node.0)]
    Identity {
        /// Who it claims to be.
        node: NodeId,
        /// What is wrong.
        why: String,
    },
    /// The node was revoked.
    #[error("node {} was revoked; join it again under a new identity", .0.0)]
    Revoked(NodeId),
    /// A newer connection of the same process is there already.
    #[error("node {} has a newer link already", .0.0)]
    Duplicate(NodeId),
    /// Of two nodes the one with the greater id dials.
    #[error("node {} dialed node {}; of two nodes the one with the greater id dials", .dialer.0, .dialed.0)]
    WrongDirection {
        /// The one that should have waited.
        dialer: NodeId,
        /// The one that should have dialed.
        dialed: NodeId,
    },
    /// Plain text was about to leave this machine.
    #[error("expected a loopback address for plain text, got {0}; set up certificates")]
    PlainText(std::net::SocketAddr),
    /// The other end refused, and says why.
    #[error("the other end refused: {0}")]
    Refused(String),
}

impl From<io::Error> for HandshakeError {
    /// What TLS says of certificates travels as an I/O error.
    fn from(error: io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)) => {
                Self::Certificate(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

/// What is said before there is a link. The order of these is part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Greeting {
    Hello(Hello),
    /// You may stay.
    Welcome,
    /// You may not, because.
    Refused(String),
    /// I am no node yet.
    Join {
        version_min: u16,
        version_max: u16,
        message: Vec<u8>,
    },
    /// The answer to a join.
    Joined(Vec<u8>),
}

impl Greeting {
    pub fn refused(error: &HandshakeError) -> Self {
        // A reason that somebody else gave goes on as it is.
        let mut why = match error {
            HandshakeError::Refused(why) => why.clone(),
            other => other.to_string(),
        };
        why.truncate(why.floor_char_boundary(REASON_MAX));
        Self::Refused(why)
    }
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub version_min: u16,
    pub version_max: u16,
    pub cluster: Arc<str>,
    pub node: NodeId,
    pub name: Arc<str>,
    pub incarnation: u64,
    /// Which of its connections, counted by the dialing end; 0 from the other.
    pub attempt: u64,
}

impl Hello {
    pub fn new(me: &Me, versions: &RangeInclusive<u16>, attempt: u64) -> Self {
        Self {
            version_min: *versions.start(),
            version_max: *versions.end(),
            cluster: Arc::clone(&me.cluster),
            node: me.node,
            name: Arc::clone(&me.name),
            incarnation: me.incarnation,
            attempt,
        }
    }

    /// The greatest common version, if the two may talk: one cluster, one version at the least.
    pub fn agree(&self, theirs: &Self) -> Result<u16, HandshakeError> {
        if self.cluster != theirs.cluster {
            let (ours, theirs) = (Arc::clone(&self.cluster), Arc::clone(&theirs.cluster));
            return Err(HandshakeError::OtherCluster { ours, theirs });
        }
        agree_versions(
            &(self.version_min..=self.version_max),
            &(theirs.version_min..=theirs.version_max),
        )
    }
}

/// The greatest version in both ranges.
pub(crate) fn agree_versions(
    ours: &RangeInclusive<u16>,
    theirs: &RangeInclusive<u16>,
) -> Result<u16, HandshakeError> {
    let version = *ours.end().min(theirs.end());
    if ours.contains(&version) && theirs.contains(&version) {
        return Ok(version);
    }
    Err(HandshakeError::NoCommonVersion {
        ours: ours.clone(),
        theirs: theirs.clone(),
    })
}

/// Reads one greeting and not a byte more.
pub(crate) async fn read_greeting(
    stream: &mut dyn Stream,
    expected: &'static str,
    limit: usize,
) -> Result<Greeting, HandshakeError> {
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(HandshakeError::NotKatamari);
    }
    let length = stream.read_u32().await? as usize;
    if length > limit {
        return Err(HandshakeError::Garbled { expected });
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let taken = postcard::take_from_bytes(&body);
    taken
        .map(|(greeting, _)| greeting)
        .map_err(|_| HandshakeError::Garbled { expected })
}

/// Writes greetings in one go.
pub(crate) async fn write_greetings(
    stream: &mut dyn Stream,
    greetings: &[Greeting],
) -> Result<(), HandshakeError> {
    let mut bytes = Vec::new();
    for greeting in greetings {
        let body = postcard::to_stdvec(greeting).expect("greetings are plain data");
        let length = u32::try_from(body.len()).expect("names and reasons are bounded");
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&body);
    }
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(())
}

/// The verdict, as the other end is to hear it.
fn verdict<T>(result: &Result<T, HandshakeError>) -> Greeting {
    result
        .as_ref()
        .map_or_else(Greeting::refused, |_| Greeting::Welcome)
}

/// Greets as the end that dialed. `judge` looks at who answered.
pub(crate) async fn greet<T>(
    stream: &mut dyn Stream,
    mine: &Hello,
    judge: impl FnOnce(&Hello) -> Result<T, HandshakeError>,
) -> Result<T, HandshakeError> {
    write_greetings(stream, &[Greeting::Hello(mine.clone())]).await?;
    let theirs = match read_greeting(stream, "a hello", GREETING_MAX).await? {
        Greeting::Hello(theirs) => theirs,
        Greeting::Refused(why) => return Err(HandshakeError::Refused(why)),
        _ => {
            return Err(HandshakeError::Garbled {
                expected: "a hello",
            });
        }
    };
    let judged = judge(&theirs);
    // If both refuse, this end's error is the better one: it has a type.
    if judged.is_ok() {
        read_verdict(stream).await?;
    }
    write_greetings(stream, &[verdict(&judged)]).await?;
    judged
}

/// Answers the hello `theirs` as the end that was dialed, with what it judged of it.
pub(crate) async fn welcome<T>(
    stream: &mut dyn Stream,
    mine: Hello,
    judged: Result<T, HandshakeError>,
) -> Result<T, HandshakeError> {
    write_greetings(stream, &[Greeting::Hello(mine), verdict(&judged)]).await?;
    let judged = judged?;
    read_verdict(stream).await?;
    Ok(judged)
}

async fn read_verdict(stream: &mut dyn Stream) -> Result<(), HandshakeError> {
    match read_greeting(stream, "a welcome", GREETING_MAX).await? {
        Greeting::Welcome => Ok(()),
        Greeting::Refused(why) => Err(HandshakeError::Refused(why)),
        _ => Err(HandshakeError::Garbled {
            expected: "a welcome",
        }),
    }
}
