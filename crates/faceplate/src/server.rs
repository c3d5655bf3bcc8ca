//! Connections: accepted up to a limit, served by hyper, closed in good order.

use crate::patient::Patient;
use crate::router::Router;
use crate::tls::Tls;
use futures_util::future::{BoxFuture, Either};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long to leave it when the process is out of descriptors: they come back when connections
/// close, and trying at once would only burn processor time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection beyond the limit is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-length: 0\r\n\r\n";

/// A listener on a stream socket of some family.
pub(crate) trait Listener {
    type Stream;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;

    /// Sends a few bytes if that is possible without waiting.
    fn tell(stream: &Self::Stream, bytes: &[u8]) -> io::Result<usize>;

    /// Serves one connection to its end.
    fn serve(
        stream: Self::Stream,
        open: Open,
        closed: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        self.poll_accept(context).map_ok(|(stream, _)| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "the client is gone already");
            }
            stream
        })
    }

    fn tell(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.try_write(bytes)
    }

    fn serve(
        stream: TcpStream,
        open: Open,
        closed: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + 'static {
        match open.0.tls() {
            None => Either::Left(converse(stream, open, closed)),
            // Boxed, so that plain connections take no more memory for it.
            Some(tls) => Either::Right(secure(stream, tls.clone(), open, closed)),
        }
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        self.poll_accept(context).map_ok(|(stream, _)| stream)
    }

    fn tell(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
        stream.try_write(bytes)
    }

    fn serve(
        stream: UnixStream,
        open: Open,
        closed: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + 'static {
        converse(stream, open, closed)
    }
}

/// Serves connections until `shutdown` is ready, and then until the last request is answered.
pub(crate) async fn run<L: Listener>(
    listener: L,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let router = Arc::new(router);
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
            Ok(stream) if connections.len() >= router.limits.connections_max => {
                router
                    .node
                    .traffic
                    .connections_refused
                    .fetch_add(1, Ordering::Relaxed);
                if router.tls().is_none()
                    && let Err(error) = L::tell(&stream, FULL)
                {
                    tracing::debug!(%error, "the client is gone already");
                }
            }
            Ok(stream) => {
                connections.spawn(L::serve(stream, Open::new(&router), closed.clone()));
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
pub(crate) struct Open(Arc<Router>);

impl Open {
    fn new(router: &Arc<Router>) -> Self {
        router
            .node
            .traffic
            .connections
            .fetch_add(1, Ordering::Relaxed);
        Self(router.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0
            .node
            .traffic
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }
}

/// Decrypts a connection and serves it. The handshake has as much time as a request's head, and is
/// given up when the listener closes.
fn secure(
    stream: TcpStream,
    tls: Arc<Tls>,
    open: Open,
    mut closed: watch::Receiver<()>,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let timeout = open.0.limits.header_timeout;
        let shaken = tokio::select! {
            biased;
            shaken = tokio::time::timeout(timeout, tls.accept(stream)) => shaken,
            _ = closed.changed() => return,
        };
        match shaken {
            Ok(Ok(stream)) => converse(stream, open, closed).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client did not get through the handshake"),
            Err(_) => tracing::debug!("a client was too slow with the handshake"),
        }
    })
}

/// Serves one connection to its end. hyper keeps an eye on the socket while a call waits or runs:
/// when the client leaves, the connection ends and the call is dropped with it.
async fn converse<S>(stream: S, open: Open, mut closed: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = &open.0;
    let limits = &router.limits;
    let stream = Patient::new(TokioIo::new(stream), limits.write_timeout);
    let service = service_fn(|request| async {
        let response = router.serve(request).await;
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_max)
        .half_close(false)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
