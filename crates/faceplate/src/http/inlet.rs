//! A WebSocket's bytes, with bounds on a message that has not come whole: the memory that it takes
//! beside those of others, and the time. The library knows only how long it may be.

use super::incoming::{REST_BYTES_MAX, REST_TIMEOUT};
use crate::limits::Limits;
use crate::room::{FREE_BYTES, Rooms};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Bytes of a control frame of a client besides what it carries (RFC 6455, section 5.2).
const CONTROL_HEAD_BYTES: usize = 6;

/// Bytes that a message may take on the wire beside as many again as it has: frames may be small,
/// but not so small that they are all there is, or without end.
const FRAMES_MAX: usize = 64 * 1024;

/// The bytes of one connection. Reading fails with `TimedOut` when a message takes too long, with
/// `FileTooLarge` when it has too many bytes, and with `QuotaExceeded` when there is no more room for
/// it.
pub(super) struct Inlet<'a> {
    stream: TokioIo<Upgraded>,
    limits: &'a Limits,
    rooms: &'a Rooms,
    /// Bytes that are of no message yet.
    unfinished: usize,
    room: Option<SemaphorePermit<'a>>,
    /// By when the message must have come whole of which there are some bytes.
    due: Option<Instant>,
    /// Wakes then, while nothing comes.
    late: Option<Pin<Box<Sleep>>>,
}

impl<'a> Inlet<'a> {
    pub fn new(stream: Upgraded, limits: &'a Limits, rooms: &'a Rooms) -> Self {
        Self {
            stream: TokioIo::new(stream),
            limits,
            rooms,
            unfinished: 0,
            room: None,
            due: None,
            late: None,
        }
    }

    /// A message has come whole.
    pub fn end_message(&mut self) {
        self.unfinished = 0;
        self.room = None;
        self.pause();
    }

    /// A control frame has come that carries so many bytes, perhaps amid a message.
    pub fn end_control(&mut self, bytes: usize) {
        let rest = self.unfinished.saturating_sub(CONTROL_HEAD_BYTES + bytes);
        if rest == 0 {
            self.end_message();
        }
        self.unfinished = rest;
    }

    /// Nothing is read for a while, so that the client is not to blame for what does not come.
    pub fn pause(&mut self) {
        self.due = None;
        self.late = None;
    }

    /// Says the last byte, and reads on for a moment what the client is still sending: to close on
    /// unread bytes would reset the connection, and the client might never read why.
    pub async fn leave(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut rest = tokio::io::AsyncReadExt::take(&mut self.stream, REST_BYTES_MAX);
        let mut sink = tokio::io::sink();
        let left = tokio::io::copy(&mut rest, &mut sink);
        timeout(REST_TIMEOUT, left)
            .await
            .map_or(Ok(()), |read| read.map(drop))
    }

    fn take(&mut self, bytes: usize) -> io::Result<()> {
        self.unfinished += bytes;
        if self.unfinished > 2 * self.limits.body_max + FRAMES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let now = Instant::now();
        // Bytes that come without a pause are no excuse.
        if *self.due.get_or_insert(now + self.limits.body_timeout) <= now {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.unfinished > FREE_BYTES {
            self.room = None;
            let room = self.rooms.take(self.unfinished);
            self.room = Some(room.map_err(|_| io::ErrorKind::QuotaExceeded)?);
        }
        Ok(())
    }
}

impl AsyncRead for Inlet<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer)?;
        if read.is_ready() {
            return Poll::Ready(self.take(buffer.filled().len() - before));
        }
        if self.unfinished == 0 {
            return Poll::Pending;
        }
        let patience = self.limits.body_timeout;
        let due = *self.due.get_or_insert_with(|| Instant::now() + patience);
        let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(due)));
        late.as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Inlet<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
