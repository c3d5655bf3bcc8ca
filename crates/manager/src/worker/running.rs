//! The calls that a worker holds, with what belongs to each while it runs.

use dispatch::{Assigned, CREDIT, CallError, Grant, PieceSender};
use pool::{CallId, Class, SlotId};
use std::collections::BTreeMap;
use std::sync::Arc;
use term::Payload;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Credit is sent on to the worker in portions of at least this: an eighth of the whole.
const CREDIT_PORTION: usize = CREDIT / 8;

/// One call in one slot.
#[derive(Debug)]
pub(crate) struct Running {
    pub call: CallId,
    /// The slot that holds it, under the number that the worker had then.
    pub slot: SlotId,
    pub class: Class,
    pub deadline: Instant,
    /// How many calls are above it.
    pub depth: u8,
    /// Whether its function may answer in pieces.
    pub streams: bool,
    /// Set once it was told to stop: when it is killed if it has not.
    pub kill_at: Option<Instant>,
    /// Nobody waits for it any more, perhaps nobody watches its deadline either.
    pub is_left: bool,
    pub stream: Option<Stream>,
    /// What comes while it runs.
    pub input: Option<Incoming>,
    /// Its connection broke: why, and until when the end of its process is awaited.
    pub broke: Option<(String, Instant)>,
    pub nested: BTreeMap<u64, NestedTask>,
}

impl Running {
    /// When a call that nobody waits for is late.
    pub fn late_at(&self) -> Option<Instant> {
        (self.is_left && self.kill_at.is_none()).then_some(self.deadline)
    }

    pub fn new(assigned: &Assigned, slot: SlotId, streams: bool) -> Self {
        Self {
            call: assigned.id,
            slot,
            class: assigned.class,
            deadline: assigned.deadline,
            depth: assigned.depth,
            streams,
            kill_at: None,
            is_left: false,
            stream: None,
            input: None,
            broke: None,
            nested: BTreeMap::new(),
        }
    }
}

/// The input of a call, as far as its worker has asked for it.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// None once nothing may come any more: the client left, or the call was told to stop.
    pub grant: Option<Grant>,
    /// Not yet told.
    pub content_type: Option<Arc<str>>,
}

/// A nested call in flight. Dropped, it is cancelled.
#[derive(Debug)]
pub(crate) struct NestedTask(pub AbortHandle);

impl Drop for NestedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A streamed answer on its way out.
#[derive(Debug)]
pub(crate) struct Stream {
    /// None once the stream was broken from our side, or its client left.
    sender: Option<PieceSender>,
    /// Bytes that the worker may still send.
    credit: i64,
    /// Bytes that the client has taken and the worker has not been told of yet.
    owed: usize,
}

impl Stream {
    pub fn new(sender: PieceSender) -> Self {
        let credit = i64::try_from(CREDIT).expect("the credit is small");
        Self {
            sender: Some(sender),
            credit,
            owed: 0,
        }
    }

    /// Passes a piece on. An error if the worker had no credit for it.
    pub fn piece(&mut self, piece: Payload) -> Result<(), String> {
        if self.credit <= 0 {
            return Err("sent a piece of a stream without credit".to_owned());
        }
        self.last(piece);
        Ok(())
    }

    /// Passes the last piece on, which needs no credit: no other follows.
    pub fn last(&mut self, piece: Payload) {
        let bytes = piece.size();
        if bytes == 0 {
            // It says nothing, and costs nothing: an endless row of them would be held for a
            // reader that sleeps.
            return;
        }
        self.credit -= i64::try_from(bytes).unwrap_or(i64::MAX);
        let sent = self
            .sender
            .as_ref()
            .is_some_and(|sender| sender.send(piece));
        if !sent {
            // Nobody will take it: give the credit back, so that the worker is not held up
            // until it hears of its cancellation.
            self.owed += bytes;
        }
    }

    /// The client has taken so many bytes. Gives back what to send to the worker now.
    pub fn taken(&mut self, bytes: usize) -> Option<usize> {
        self.owed += bytes;
        self.due()
    }

    /// The credit to send to the worker now, if it is worth a frame.
    pub fn due(&mut self) -> Option<usize> {
        if self.owed < CREDIT_PORTION {
            return None;
        }
        let due = std::mem::take(&mut self.owed);
        self.credit += i64::try_from(due).unwrap_or(i64::MAX);
        Some(due)
    }

    pub fn end(&mut self, result: Result<(), CallError>) {
        if let Some(sender) = self.sender.take() {
            sender.end(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use dispatch::Credit;

    struct Nowhere;

    impl Credit for Nowhere {
        fn give(&self, _bytes: usize) {}
    }

    fn piece(bytes: usize) -> Payload {
        Payload::Json(Bytes::from(vec![b'1'; bytes]))
    }

    #[test]
    fn a_worker_may_overdraw_its_credit_once_and_then_waits() {
        let (sender, _pieces) = dispatch::stream(Box::new(Nowhere));
        let mut stream = Stream::new(sender);
        assert_eq!(stream.piece(piece(CREDIT - 1)), Ok(()));
        assert_eq!(
            stream.piece(piece(100)),
            Ok(()),
            "one byte of credit is enough"
        );
        assert!(stream.piece(piece(1)).is_err());
        assert_eq!(stream.taken(CREDIT_PORTION - 1), None, "not worth a frame");
        assert_eq!(stream.taken(1), Some(CREDIT_PORTION));
        assert_eq!(stream.piece(piece(1)), Ok(()));
    }

    #[test]
    fn credit_goes_on_when_the_client_has_left() {
        let (sender, pieces) = dispatch::stream(Box::new(Nowhere));
        drop(pieces);
        let mut stream = Stream::new(sender);
        assert_eq!(stream.piece(piece(CREDIT)), Ok(()));
        assert_eq!(stream.due(), Some(CREDIT));
    }
}
