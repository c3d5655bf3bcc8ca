//! Streamed answers: pieces on their way from a worker to a client, with credit.
//!
//! The worker may be [`CREDIT`] bytes ahead of its client and no more. A piece that the client
//! takes gives its bytes back as credit, which the manager sends on to the worker. So a slow reader
//! stalls its own stream and nothing else, and what lies in between is bounded.

use crate::dispatcher::Leave;
use crate::error::{CallError, Code};
use std::fmt;
use term::Payload;
use tokio::sync::mpsc;

/// Bytes of credit with which each stream starts.
pub const CREDIT: usize = 256 * 1024;

/// What a manager does with the credit that comes back.
pub trait Credit: Send + Sync + 'static {
    /// The client has taken `bytes` more.
    fn give(&self, bytes: usize);
}

enum Item {
    Piece(Payload),
    End(Result<(), CallError>),
}

/// A manager's end of a streamed answer. Dropped without [`PieceSender::end`], the stream breaks
/// with an error on the client's side.
pub struct PieceSender {
    sender: mpsc::UnboundedSender<Item>,
}

impl PieceSender {
    /// Passes one piece on. False if the client has left.
    pub fn send(&self, piece: Payload) -> bool {
        self.sender.send(Item::Piece(piece)).is_ok()
    }

    /// Ends the stream: well, or broken by an error.
    pub fn end(self, result: Result<(), CallError>) {
        // A client that has left does not care how the stream ended.
        let _ = self.sender.send(Item::End(result));
    }
}

/// A caller's end of a streamed answer. Dropped before the end, it cancels the call.
pub struct Pieces {
    receiver: mpsc::UnboundedReceiver<Item>,
    credit: Box<dyn Credit>,
    leave: Option<Leave>,
    ended: bool,
}

/// Both ends of a new stream.
pub fn stream(credit: Box<dyn Credit>) -> (PieceSender, Pieces) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (
        PieceSender { sender },
        Pieces {
            receiver,
            credit,
            leave: None,
            ended: false,
        },
    )
}

impl Pieces {
    /// The next piece; none after the last. After an error there is no more.
    pub async fn next(&mut self) -> Option<Result<Payload, CallError>> {
        if self.ended {
            return None;
        }
        let result = match self.receiver.recv().await {
            Some(Item::Piece(payload)) => {
                self.credit.give(payload.size());
                return Some(Ok(payload));
            }
            Some(Item::End(result)) => result,
            None => Err(CallError::new(Code::WorkerDied, "the stream broke off")),
        };
        self.ended = true;
        if let Some(leave) = self.leave.take() {
            leave.disarm();
        }
        result.err().map(Err)
    }

    pub(crate) fn cancel_on_drop(&mut self, leave: Leave) {
        self.leave = Some(leave);
    }
}

impl fmt::Debug for PieceSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}
