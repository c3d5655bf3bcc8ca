//! Writing to a worker without waiting for it, and reading what a dead one left.

use super::{READ_SIZE, Worker};
use crate::dialect::{Broken, ToWorker};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Bytes that a pipe can hold, by the kernel's default limit.
const PIPE_MAX: usize = 1024 * 1024;

impl Worker {
    /// Writes a message as far as the pipe takes it; the rest follows when it has room.
    pub(super) fn send(&mut self, message: &ToWorker) {
        // Only arguments and nested answers can be unfit, and they do not come this way.
        let _ = self.codec.encode(message, &mut self.write);
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        let Some(to_worker) = &self.to_worker else {
            self.write.clear();
            return;
        };
        while !self.write.is_empty() {
            match to_worker.try_write(&self.write) {
                Ok(count) => drop(self.write.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It closed its input. If it is dying, that is seen elsewhere.
                Err(_) => self.write.clear(),
            }
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(to_worker) = &mut self.to_worker else {
            self.write.clear();
            return Poll::Ready(());
        };
        match Pin::new(to_worker).poll_write(cx, &self.write) {
            Poll::Ready(Ok(count)) => {
                drop(self.write.split_to(count));
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) => {
                self.write.clear();
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// What the process wrote before it ended counts, as far as a pipe can hold it: a process that
    /// escaped from the group may write for ever.
    pub(super) fn read_rest(&mut self) {
        let mut left = PIPE_MAX;
        while left > 0 && !self.broken {
            let Some(from_worker) = &self.from_worker else {
                return;
            };
            self.read.reserve(READ_SIZE);
            match from_worker.try_read_buf(&mut self.read) {
                Ok(count @ 1..) => {
                    left = left.saturating_sub(count);
                    if let Err(Broken(what)) = self.receive() {
                        self.broken = true;
                        self.fail(format!("broke the protocol: {what}"), true);
                    }
                }
                _ => return,
            }
        }
    }
}
