//! Connections that others make: accepted, secured, greeted, and then links.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Shared;
use crate::hello::{GREETING_MAX, Greeting, HandshakeError, Hello, read_greeting, welcome};
use crate::join::{Asked, ENVELOPE_MAX, JOIN_MAX};
use crate::link::{Link, Peer};
use crate::network::{Connection, Listener};
use crate::security::{Proof, Secured};

/// Most connections that are being greeted: the nodes of a large cluster that all come back at
/// once. More are closed, and will dial again.
const GREETED_MAX: usize = 256;

/// How long to wait when the system cannot accept, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn accept(shared: Arc<Shared>, mut listener: Box<dyn Listener>) {
    let greeted = Arc::new(Semaphore::new(GREETED_MAX));
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a link");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&greeted).try_acquire_owned() else {
            tracing::warn!(address = %connection.1, "too many links come at once; closed one");
            continue;
        };
        let receiver = Arc::clone(&shared);
        shared.spawn(async move {
            let address = connection.1;
            if let Err(error) = receive(&receiver, connection).await {
                tracing::warn!(%address, %error, "refused a link");
            }
            drop(permit);
        });
    }
}

/// Serves a connection until it is a link, or has got its answer.
async fn receive(shared: &Arc<Shared>, connection: Connection) -> Result<(), HandshakeError> {
    shared
        .security
        .check(connection.1, shared.network.is_simulated())?;
    let limit = shared.settings.timing.handshake;
    let listened = timeout(limit, async {
        let mut secured = shared.security.accepted(connection).await?;
        // A join says more than a hello, but only who has no certificate comes to join.
        let limit = match secured.proof {
            Proof::Certificate(_) => GREETING_MAX,
            Proof::Missing | Proof::NotNeeded => JOIN_MAX + ENVELOPE_MAX,
        };
        let greeting = read_greeting(&mut *secured.stream, "a hello", limit).await?;
        Ok::<_, HandshakeError>((secured, greeting))
    });
    let late = || HandshakeError::Timeout(limit.as_millis());
    let (mut secured, greeting) = listened.await.map_err(|_| late())??;
    match greeting {
        Greeting::Hello(theirs) => {
            let greeted = timeout(limit, greet(shared, &mut secured, theirs)).await;
            let link = greeted.map_err(|_| late())??;
            shared.admit(&link, secured.stream).await
        }
        Greeting::Join {
            version_min,
            version_max,
            message,
        } => {
            if matches!(secured.proof, Proof::Certificate(_)) {
                return Err(HandshakeError::Garbled {
                    expected: "a hello",
                });
            }
            let versions = version_min..=version_max;
            let asked = Asked {
                versions,
                message,
                address: secured.address,
            };
            let ours = &shared.settings.versions;
            shared
                .joining
                .serve(&mut *secured.stream, ours, asked)
                .await
        }
        _ => Err(HandshakeError::Garbled {
            expected: "a hello",
        }),
    }
}

/// Answers a hello.
async fn greet(
    shared: &Shared,
    secured: &mut Secured,
    theirs: Hello,
) -> Result<Link, HandshakeError> {
    let judged = judge(shared, &secured.proof, &theirs);
    let version = welcome(&mut *secured.stream, shared.hello(0), judged).await?;
    let Hello {
        node,
        name,
        incarnation,
        attempt,
        ..
    } = theirs;
    let peer = Peer {
        node,
        name,
        incarnation,
        version,
        address: secured.address,
    };
    Ok(Link::new(peer, false, attempt))
}

/// Which version to speak with who says `theirs`, if any.
fn judge(shared: &Shared, proof: &Proof, theirs: &Hello) -> Result<u16, HandshakeError> {
    proof.check(theirs.node, &shared.me.cluster)?;
    let version = shared.hello(0).agree(theirs)?;
    if theirs.node <= shared.me.node {
        let (dialer, dialed) = (theirs.node, shared.me.node);
        return Err(HandshakeError::WrongDirection { dialer, dialed });
    }
    shared
        .state()
        .judge(theirs.node, theirs.incarnation, theirs.attempt)?;
    Ok(version)
}
