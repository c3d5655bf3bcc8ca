//! The first bytes of a connection of HTTP/2, which are always the same (RFC 9113, section 3.4):
//! read here, so that a client that sends none has a limited time for it.

use crate::server::Closing;
use crate::socket::Socket;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What clients of HTTP/1 are told.
const NOT_HTTP2: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\n\
connection: close\r\ncontent-length: 45\r\n\r\nexpected gRPC, which is spoken over HTTP/2.\r\n";

/// A socket from which the preface was read, and is read once more.
#[derive(Debug)]
pub(super) struct Prefaced {
    socket: Socket,
    rest: &'static [u8],
}

/// Reads the preface; none if the client sends something else, or nothing in time.
pub(super) async fn read(
    mut socket: Socket,
    timeout: Duration,
    closing: &mut Closing,
) -> Option<Prefaced> {
    let mut read = [0; PREFACE.len()];
    let mut count = 0;
    let whole = async {
        while count < read.len() && read[..count] == PREFACE[..count] {
            match socket.read(&mut read[count..]).await {
                Ok(more) if more > 0 => count += more,
                _ => break,
            }
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(timeout, whole) => ended.ok()?,
        _ = closing.begun() => return None,
    }
    if read == *PREFACE {
        return Some(Prefaced {
            socket,
            rest: PREFACE,
        });
    }
    if count > 0 && !PREFACE.starts_with(&read[..count]) {
        // One that has left again does not care.
        let _ = socket.write_all(NOT_HTTP2).await;
        let _ = socket.shutdown().await;
    }
    None
}

impl AsyncRead for Prefaced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let (now, later) = self.rest.split_at(self.rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefaced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
