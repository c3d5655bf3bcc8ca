//! A connection on which some messages of service `Members` come twice: announcements, orders, and
//! what masters tell members. They are made to be repeated; calls are not. docs/protocol/link.md has
//! the layout of frames.

use crate::chance::Chance;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

/// Of a hundred messages.
const TWICE_PERCENT: u64 = 10;

/// What a greeting begins with; a frame cannot.
const GREETING: &[u8] = b"KATAMARI";
/// Where the length of a greeting ends.
const GREETING_HEAD: usize = 12;
/// Where the length of a frame ends.
const FRAME_HEAD: usize = 4;
/// Kind and service of the messages that may come twice.
const MESSAGE_TO_MEMBERS: &[u8] = &[1, 1];

pub struct Repeating {
    inner: TcpStream,
    chance: Chance,
    /// The greeting or frame that is being written, as far as it is known.
    frame: Vec<u8>,
    /// What is yet to be written.
    out: Vec<u8>,
}

impl Repeating {
    pub fn new(inner: TcpStream, chance: Chance) -> Self {
        Self {
            inner,
            chance,
            frame: Vec::new(),
            out: Vec::new(),
        }
    }

    /// How long the current greeting or frame is, or at least has to be to know it.
    fn goal(&self) -> usize {
        let number = |end: usize| {
            let bytes = self.frame[end - 4..end].try_into();
            u32::from_be_bytes(bytes.expect("four bytes")) as usize
        };
        let frame = &self.frame;
        if frame.len() < FRAME_HEAD {
            FRAME_HEAD
        } else if frame[..FRAME_HEAD] != GREETING[..FRAME_HEAD] {
            FRAME_HEAD + number(FRAME_HEAD)
        } else if frame.len() < GREETING_HEAD {
            GREETING_HEAD
        } else {
            GREETING_HEAD + number(GREETING_HEAD)
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        let mut left = bytes.len();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.goal() - self.frame.len()));
            self.frame.extend_from_slice(now);
            left -= now.len();
            bytes = later;
            if self.frame.len() < self.goal() {
                continue;
            }
            let frame = std::mem::take(&mut self.frame);
            let may_repeat = frame[FRAME_HEAD..].starts_with(MESSAGE_TO_MEMBERS);
            if may_repeat && self.chance.percent(TWICE_PERCENT) {
                let at = self.out.len() - left;
                self.out.splice(at..at, frame);
            }
        }
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))?;
            self.out.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Repeating {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Repeating {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        self.take(bytes);
        // What does not go out now does so with the flush that follows.
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
