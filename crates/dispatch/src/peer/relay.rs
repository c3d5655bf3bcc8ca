//! Streams between nodes: pieces are read here, sent on, and paid for with the reader's credit.
//!
//! The node where the worker is runs one task for each stream, which takes a piece only while the
//! reader is less than [`CREDIT`] bytes behind. So the credit that goes back to the worker is that
//! of the client, and what lies on the way is bounded.

use super::message::{Encoding, Flow, Message};
use crate::stream::{CREDIT, Credit, Pieces};
use bytes::Bytes;
use pool::CallId;
use std::sync::Arc;
use tokio::sync::Semaphore;
use wire::{Link, Service};

/// A stream that is sent on. Dropped, it ends, and its pieces are cancelled.
#[derive(Debug)]
pub(crate) struct Relay {
    task: tokio::task::AbortHandle,
    window: Arc<Semaphore>,
}

impl Relay {
    /// Sends pieces on over a link until they end or the link does.
    pub fn start(call: CallId, pieces: Pieces, link: Link) -> Self {
        let window = Arc::new(Semaphore::new(CREDIT));
        let task = tokio::spawn(run(call, pieces, link, window.clone())).abort_handle();
        Self { task, window }
    }

    /// Whether all of it was sent.
    pub fn is_done(&self) -> bool {
        self.task.is_finished()
    }

    /// The reader has taken this many bytes.
    pub fn credit(&self, bytes: u32) {
        // More than was sent is no credit but a mistake.
        let missing = CREDIT.saturating_sub(self.window.available_permits());
        self.window.add_permits((bytes as usize).min(missing));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(call: CallId, mut pieces: Pieces, link: Link, window: Arc<Semaphore>) {
    let result = loop {
        let piece = match pieces.next().await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        };
        // A piece that is larger than the window goes when the window is whole.
        let bytes = u32::try_from(piece.size().min(CREDIT)).expect("the window is small");
        let Ok(room) = window.acquire_many(bytes).await else {
            return;
        };
        room.forget();
        let what = Flow::Piece(Encoding::of(&piece));
        let message = Message::Stream { call, what };
        let sent = link.send(Service::Calls, &message, piece.bytes().clone());
        if let Err(error) = sent {
            link.close(&format!("cannot send: {error}"));
            return;
        }
    };
    let what = Flow::End(result);
    say(&link, &Message::Stream { call, what });
}

/// Sends a word about a stream. What a link cannot take ends it, and with it the stream.
fn say(link: &Link, message: &Message) {
    if let Err(error) = link.send(Service::Calls, message, Bytes::new()) {
        link.close(&format!("cannot send: {error}"));
    }
}

/// The way back of a reader's credit to the node that sends the stream.
pub(crate) struct LinkCredit {
    pub call: CallId,
    pub link: Link,
}

impl Credit for LinkCredit {
    fn give(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let message = Message::Stream {
            call: self.call,
            what: Flow::Credit(bytes),
        };
        say(&self.link, &message);
    }
}
