//! Connections of any protocol: accepted up to a limit, decrypted, served by a [`Faceplate`], closed
//! in good order.

use crate::desk::Desk;
use crate::faceplate::{Faceplate, Refusal};
use crate::limits::Limits;
use crate::node::Node;
use crate::presence::Presence;
use crate::risk::Risk;
use crate::socket::{Socket, Watch};
use crate::tls::{NotShaken, Tls};
use crate::{TokenPolicy, tls};
use futures_util::future::BoxFuture;
use rustix::net::sockopt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long to leave it when the process is out of descriptors: they come back when connections
/// close, and trying at once would only burn processor time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Silence until a client's machine is asked whether it is still there, from one question to the
/// next, and questions without an answer until it is taken for gone: two minutes in all.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// How one listener serves, whatever its protocol.
#[derive(Debug, Default)]
pub struct Settings {
    /// What the access log calls it.
    pub name: String,
    /// What clients may take up.
    pub limits: Limits,
    /// None: connections are plain.
    pub tls: Option<Arc<Tls>>,
    /// Whether clients need one of the node's tokens.
    pub tokens: TokenPolicy,
    /// What whoever runs the node has said yes to.
    pub accepted: Option<Risk>,
}

/// With limits alone: plain, for this machine.
impl From<Limits> for Settings {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

/// Serves until `shutdown` is ready; then calls in flight are answered and idle connections
/// closed. To drop the future is to cut all connections off.
///
/// A node that wants tokens where other machines can connect must have them before: what is at
/// risk is found out here, and unless the settings accept it, this is an error.
pub async fn serve(
    listener: TcpListener,
    faceplate: Arc<dyn Faceplate>,
    node: Arc<Node>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let desk = Desk {
        node,
        name: settings.name.into(),
        address: address.to_string().into(),
        limits: Arc::new(settings.limits),
        tokens: settings.tokens,
        tls: settings.tls,
        rooms: Arc::default(),
        peer: None,
        presence: Arc::new(Presence::new()),
    };
    let risk = Risk::of(address, desk.is_closed(), desk.tls.is_some());
    if let Some(risk) = risk.filter(|risk| settings.accepted != Some(*risk)) {
        let message = format!(
            "expected a loopback address such as 127.0.0.1:7480, got {address}: {}",
            risk.words()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let company = faceplate.clone().accompany(address);
    run(listener, faceplate, desk, in_company(company, shutdown)).await;
    Ok(())
}

/// Ready when `shutdown` is; until then `company` runs as well.
async fn in_company(company: impl Future<Output = ()>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return,
        () = company => {}
    }
    shutdown.await;
}

/// A listener on a stream socket of some family.
pub(crate) trait Listener {
    type Stream: Accepted;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
}

/// A connection that has just come in.
pub(crate) trait Accepted: Sized + Send + 'static {
    /// Sends a few bytes if that is possible without waiting.
    fn tell(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Where it comes from.
    fn peer(&self) -> Option<IpAddr>;

    /// The socket, decrypted if it is to be.
    fn open(self, faceplate: &dyn Faceplate, desk: &Desk) -> Opening;
}

/// A connection that is plain, or one whose handshake is still to come.
pub(crate) enum Opening {
    Plain(Socket),
    /// Boxed, so that plain connections take no more memory for it.
    Secure(BoxFuture<'static, Result<Socket, NotShaken>>),
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        self.poll_accept(context).map_ok(|(stream, _)| {
            if let Err(error) = stream.set_nodelay(true).and_then(|()| keep_alive(&stream)) {
                tracing::debug!(%error, "the client is gone already");
            }
            stream
        })
    }
}

/// Lets the system find out that a client's machine is gone, which says nothing any more.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

impl Accepted for TcpStream {
    fn peer(&self) -> Option<IpAddr> {
        // Who is gone already comes from nowhere.
        self.peer_addr().ok().map(|peer| peer.ip())
    }

    fn tell(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }

    fn open(self, faceplate: &dyn Faceplate, desk: &Desk) -> Opening {
        let watch = Watch::of(desk);
        let Some(tls) = desk.tls.clone() else {
            return Opening::Plain(Socket::tcp(self, watch));
        };
        let timeout = desk.limits.header_timeout;
        let not_tls = faceplate.refusal(Refusal::NotTls);
        Opening::Secure(Box::pin(async move {
            let shaken = tls::shake(&tls, self, not_tls, timeout).await?;
            Ok(Socket::tls(shaken, watch))
        }))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        self.poll_accept(context).map_ok(|(stream, _)| stream)
    }
}

impl Accepted for UnixStream {
    fn peer(&self) -> Option<IpAddr> {
        None
    }

    fn tell(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }

    fn open(self, _: &dyn Faceplate, desk: &Desk) -> Opening {
        Opening::Plain(Socket::unix(self, Watch::of(desk)))
    }
}

/// One connection, and what serving it needs.
#[derive(Debug)]
pub struct Connection {
    /// Its bytes.
    pub socket: Socket,
    /// What it shares with the others of its listener.
    pub desk: Arc<Desk>,
    /// When the listener closes.
    pub closing: Closing,
    /// Where it comes from; none over a Unix socket.
    pub peer: Option<IpAddr>,
}

/// Tells when a connection is to close.
#[derive(Debug, Clone)]
pub struct Closing {
    listener: watch::Receiver<()>,
    presence: Arc<Presence>,
}

/// Why a connection is to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The listener closes.
    Stopping,
    /// The client has taken too long for its first message, or was idle for too long.
    Overdue,
}

impl Closing {
    /// Ready when no more requests are to be read. Those that were read are still to be answered.
    pub async fn begun(&mut self) -> Ending {
        let stopping = async {
            // Nothing is ever sent: the sender goes.
            while self.listener.changed().await.is_ok() {}
        };
        tokio::select! {
            () = stopping => Ending::Stopping,
            () = self.presence.ending() => Ending::Overdue,
        }
    }
}

/// Serves connections until `shutdown` is ready, and then until the last request is answered.
pub(crate) async fn run<L: Listener>(
    listener: L,
    faceplate: Arc<dyn Faceplate>,
    desk: Desk,
    shutdown: impl Future<Output = ()>,
) {
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = poll_fn(|context| listener.poll_accept(context)) => accepted,
        };
        match accepted {
            Ok(stream) if connections.len() >= desk.limits.connections_max => {
                refuse(&stream, &*faceplate, &desk);
            }
            Ok(stream) => {
                let peer = stream.peer();
                let desk = Arc::new(desk.of(peer));
                let opening = stream.open(&*faceplate, &desk);
                let (open, presence) = (Open::new(&desk), desk.presence.clone());
                let closing = Closing {
                    listener: closed.clone(),
                    presence: presence.clone(),
                };
                let (faceplate, limits) = (faceplate.clone(), desk.limits.clone());
                let with = move |socket| Connection {
                    socket,
                    desk,
                    closing,
                    peer,
                };
                let served = match opening {
                    Opening::Plain(socket) => faceplate.serve(with(socket)),
                    Opening::Secure(shaking) => secured(faceplate, shaking, with, closed.clone()),
                };
                connections.spawn(async move {
                    let _counted = open;
                    tokio::select! {
                        biased;
                        () = served => {}
                        () = presence.watch(&limits) => tracing::debug!("cut off"),
                    }
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(closing);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// Turns a connection away that is one too many.
fn refuse(stream: &impl Accepted, faceplate: &dyn Faceplate, desk: &Desk) {
    let refused = &desk.node.traffic.connections_refused;
    refused.fetch_add(1, Ordering::Relaxed);
    if desk.tls.is_none()
        && let Err(error) = stream.tell(faceplate.refusal(Refusal::Full))
    {
        tracing::debug!(%error, "the client is gone already");
    }
}

/// Serves a connection after its handshake, which is given up when the listener closes.
fn secured(
    faceplate: Arc<dyn Faceplate>,
    shaking: BoxFuture<'static, Result<Socket, NotShaken>>,
    with: impl FnOnce(Socket) -> Connection + Send + 'static,
    closed: watch::Receiver<()>,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let mut closed = closed;
        let shaken = tokio::select! {
            biased;
            shaken = shaking => shaken,
            // Nothing is ever sent: the sender goes.
            _ = closed.changed() => return,
        };
        match shaken {
            Ok(socket) => faceplate.serve(with(socket)).await,
            Err(error) => tracing::debug!("{error}"),
        }
    })
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// Whether accepting failed only for a client that has left again.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Counts a connection as open for as long as it exists.
#[derive(Debug)]
struct Open(Arc<Desk>);

impl Open {
    fn new(desk: &Arc<Desk>) -> Self {
        let connections = &desk.node.traffic.connections;
        connections.fetch_add(1, Ordering::Relaxed);
        Self(desk.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let connections = &self.0.node.traffic.connections;
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_looks_after_machines_that_say_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let _client = TcpStream::connect(address).await.expect("it listens");
        let accepted = poll_fn(|context| Listener::poll_accept(&listener, context)).await;
        let stream = accepted.expect("one has come");
        assert_eq!(sockopt::socket_keepalive(&stream), Ok(true));
        assert_eq!(sockopt::tcp_keepidle(&stream), Ok(KEEPALIVE_IDLE));
        assert_eq!(sockopt::tcp_keepcnt(&stream), Ok(KEEPALIVE_PROBES));
    }
}
