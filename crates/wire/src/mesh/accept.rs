//! Connections that others make: accepted, secured, greeted, and then links.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Shared;
use crate::hello::{GREETING_MAX, Greeting, HandshakeError, Hello, read_greeting, welcome};
use crate::link::{Link, Peer};
use crate::network::{Connection, Listener};

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

/// Makes a connection a link.
async fn receive(shared: &Arc<Shared>, connection: Connection) -> Result<(), HandshakeError> {
    shared
        .security
        .check(connection.1, shared.network.is_simulated())?;
    let limit = shared.settings.timing.handshake;
    let greeted = tokio::time::timeout(limit, async {
        let mut secured = shared.security.secure_accepted(connection).await?;
        let stream = &mut *secured.stream;
        let Greeting::Hello(theirs) = read_greeting(stream, "a hello", GREETING_MAX).await? else {
            return Err(HandshakeError::Garbled {
                expected: "a hello",
            });
        };
        let judged = judge(shared, &theirs);
        let version = welcome(stream, shared.hello(0), judged).await?;
        let peer = Peer {
            node: theirs.node,
            name: theirs.name,
            incarnation: theirs.incarnation,
            version,
            address: secured.address,
        };
        Ok((Link::new(peer, false, theirs.attempt), secured.stream))
    });
    let (link, stream) = greeted
        .await
        .map_err(|_| HandshakeError::Timeout(limit.as_millis()))??;
    shared.admit(&link, stream).await
}

/// Which version to speak with who says `theirs`, if any.
fn judge(shared: &Shared, theirs: &Hello) -> Result<u16, HandshakeError> {
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
