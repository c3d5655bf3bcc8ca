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
            let ours = shared.versions();
            shared
                .joining
                .serve(&mut *secured.stream, &ours, asked)
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use pool::NodeId;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::hello::write_greetings;
    use crate::mesh::{Me, Mesh, MeshSettings};
    use crate::security::{Security, encrypt};
    use crate::tls::joining;
    use crate::{Authority, Credentials, Identity, Network, NodeKey, Tcp, VALIDITY};

    #[tokio::test]
    async fn without_a_certificate_there_is_no_link() {
        let now = UnixTime::now().as_secs();
        let authority = Authority::new("blue", now).expect("an authority");
        let key = NodeKey::generate().expect("a key");
        let signed = authority
            .sign(NodeId(1), "n", key.public(), now, VALIDITY)
            .expect("signs");
        let identity = Identity::new(&key, signed).expect("an identity");
        let security = Security::Tls(Credentials::new(identity).expect("credentials"));
        let listener = Tcp
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("listens");
        let (node, name, cluster) = (NodeId(1), "n".into(), "blue".into());
        let me = Me {
            node,
            name,
            incarnation: 1,
            cluster,
        };
        let settings = MeshSettings::default();
        let mesh = Mesh::start(me.clone(), Arc::new(Tcp), listener, security, settings);
        let mesh = mesh.expect("starts");

        // It trusts the cluster as one that joins, and says that it is node 2.
        let (stream, _) = Tcp
            .dial(&mesh.address().to_string())
            .await
            .expect("connects");
        let client = Arc::new(joining(authority.fingerprint()));
        let name = ServerName::try_from("any").expect("a name");
        let mut stream = encrypt(stream, client, name).await.expect("TLS");
        let hello = Hello::new(
            &Me {
                node: NodeId(2),
                ..me
            },
            &(1..=1),
            1,
        );
        let greetings = [Greeting::Hello(hello), Greeting::Welcome];
        write_greetings(&mut *stream, &greetings)
            .await
            .expect("writes");
        let theirs = read_greeting(&mut *stream, "a hello", GREETING_MAX).await;
        assert!(matches!(theirs, Ok(Greeting::Hello(_))));
        let verdict = read_greeting(&mut *stream, "a verdict", GREETING_MAX).await;
        let Ok(Greeting::Refused(why)) = verdict else {
            panic!("not refused: {verdict:?}")
        };
        assert!(why.contains("no certificate"), "{why}");
        mesh.stop().await;
    }
}
