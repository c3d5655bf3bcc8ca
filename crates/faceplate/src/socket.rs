//! A connection's socket: TCP, TLS over it, or Unix; with limited patience for a client that does
//! not read.

use crate::desk::Desk;
use crate::presence::Presence;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// One connection's bytes, both ways. A write that has been stuck for its patience fails; the timer
/// exists only while one is stuck.
#[derive(Debug)]
pub struct Socket {
    inner: Inner,
    watch: Watch,
    stuck: Option<Pin<Box<Sleep>>>,
}

/// Another descriptor of a connection's socket, which sees it break whoever uses the first.
#[derive(Debug)]
pub(crate) struct Lookout(TcpStream);

impl Lookout {
    /// Ready when the connection is broken off.
    pub async fn broken(&self) -> io::Error {
        match self.0.ready(Interest::ERROR).await {
            Ok(_) => io::ErrorKind::ConnectionReset.into(),
            Err(error) => error,
        }
    }
}

/// How a socket's client is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    /// How long it may leave something unread.
    patience: Duration,
    /// Where it is noted that something came or went.
    presence: Arc<Presence>,
}

impl Watch {
    pub fn of(desk: &Desk) -> Self {
        Self {
            patience: desk.limits.write_timeout,
            presence: desk.presence.clone(),
        }
    }
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed, so that plain connections take no more memory for it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn new(inner: Inner, watch: Watch) -> Self {
        Self {
            inner,
            watch,
            stuck: None,
        }
    }

    pub(crate) fn tcp(stream: TcpStream, watch: Watch) -> Self {
        Self::new(Inner::Tcp(stream), watch)
    }

    pub(crate) fn unix(stream: UnixStream, watch: Watch) -> Self {
        Self::new(Inner::Unix(stream), watch)
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, watch: Watch) -> Self {
        Self::new(Inner::Tls(Box::new(stream)), watch)
    }

    /// What tells that the connection breaks while nothing is read; none for Unix sockets, where the
    /// node has to write to learn it.
    pub(crate) fn lookout(&self) -> io::Result<Option<Lookout>> {
        let stream = match &self.inner {
            Inner::Tcp(stream) => stream,
            Inner::Tls(stream) => stream.get_ref().0,
            Inner::Unix(_) => return Ok(None),
        };
        let socket = stream.as_fd().try_clone_to_owned()?;
        let stream = TcpStream::from_std(socket.into())?;
        Ok(Some(Lookout(stream)))
    }

    /// Whether what is said here is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.inner, Inner::Tls(_))
    }

    fn watched<T>(&mut self, context: &mut Context<'_>, poll: Poll<T>) -> Poll<io::Result<T>> {
        if let Poll::Ready(value) = poll {
            self.stuck = None;
            return Poll::Ready(Ok(value));
        }
        let patience = self.watch.patience;
        let timer = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        timer
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Does the same with whichever socket it is.
macro_rules! each {
    ($socket:expr, $stream:ident => $what:expr) => {
        match &mut $socket.inner {
            Inner::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $what
            }
            Inner::Unix(stream) => {
                let $stream = Pin::new(stream);
                $what
            }
            Inner::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $what
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = each!(self, stream => stream.poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.watch.presence.read();
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = each!(self, stream => stream.poll_write(context, bytes));
        if written.is_ready() {
            self.watch.presence.wrote();
        }
        self.watched(context, written).map(Result::flatten)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = each!(self, stream => stream.poll_write_vectored(context, buffers));
        if written.is_ready() {
            self.watch.presence.wrote();
        }
        self.watched(context, written).map(Result::flatten)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Tcp(stream) => stream.is_write_vectored(),
            Inner::Unix(stream) => stream.is_write_vectored(),
            Inner::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = each!(self, stream => stream.poll_flush(context));
        self.watched(context, flushed).map(Result::flatten)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = each!(self, stream => stream.poll_shutdown(context));
        self.watched(context, shut).map(Result::flatten)
    }
}
