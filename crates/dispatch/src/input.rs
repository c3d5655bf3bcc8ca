//! Streamed requests: the input of a call, on its way from a client to the function that reads it.
//!
//! Credit starts at zero. Until whoever runs the function grants some, nothing moves: a call that
//! waits, or is refused by a worker and waits again, has its input whole. What lies between client
//! and function is at most [`CREDIT`] and one piece, so a function that does not read stalls its
//! own client and nothing else. docs/decisions/0026-streamed-requests.md says what was weighed.
//!
//! A faceplate holds the [`InputSender`], the call the [`Input`]. A manager opens that when a worker
//! has taken the call, with an [`InputSink`] for what comes; the [`Grant`] that it gets for it is the
//! way back. Who would rather wait for pieces uses an [`InputReader`]. Between nodes there are two
//! of these pairs, and the link is the sink of the one and the source of the other.

use crate::dispatcher::Leave;
use crate::stream::{CREDIT, Credit};
use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{Notify, mpsc};

/// Bytes of the largest piece: what one read of a socket brings, at most a quarter of the credit.
pub const INPUT_PIECE_MAX: usize = 64 * 1024;

/// What the one who runs a function does with the input as it comes. Neither method may wait. It is
/// dropped without an end if the client leaves in the middle; then the call is cancelled, too.
pub trait InputSink: Send + 'static {
    /// The next piece: 1 to [`INPUT_PIECE_MAX`] bytes.
    fn piece(&mut self, piece: Bytes);

    /// That was all of it.
    fn end(&mut self);
}

/// The input of a call. Clones are the same input, which can be opened once.
#[derive(Clone)]
pub struct Input(Arc<Handle>);

/// Counts the clones of an input: with the last of them it can no longer be opened.
struct Handle(Arc<Shared>);

/// The client's end of an input. Dropped without [`InputSender::end`], it breaks the input, and the
/// call is cancelled: the client has left.
pub struct InputSender(Arc<Shared>);

/// The right to ask for more of an input. Dropped, nobody wants the rest.
pub struct Grant(Arc<Shared>);

/// Reads an input piece by piece, and gives credit for what it has handed out.
pub struct InputReader {
    pieces: mpsc::UnboundedReceiver<Option<Bytes>>,
    grant: Grant,
    /// Credit to give with the next piece that is asked for.
    owed: usize,
    ended: bool,
}

/// Nobody reads the rest of the input: the call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the rest of the input: the call has ended")]
pub struct Unwanted;

/// The client left in the middle of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client left in the middle of its input")]
pub struct BrokenInput;

/// More credit was granted than a stream may have, or a piece came without any or is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected credit for at most {CREDIT} bytes of input at a time, and with it pieces of at most \
     {INPUT_PIECE_MAX}"
)]
pub struct BadCredit;

struct Shared {
    content_type: Option<Arc<str>>,
    state: Mutex<State>,
    /// Wakes the sender.
    turn: Notify,
    /// Where credit goes if the client is at another node.
    source: Option<Box<dyn Credit>>,
    /// Bytes of it that are here already, and count as those of the call's arguments do.
    held: usize,
}

struct State {
    /// Bytes that may be sent.
    credit: i64,
    reading: Reading,
    sending: Sending,
    /// Cancels the call.
    leave: Option<Leave>,
}

enum Reading {
    NotYet,
    By(Box<dyn InputSink>),
    NoMore,
}

#[derive(Clone, Copy, PartialEq)]
enum Sending {
    Goes,
    Ended,
    Broke,
}

/// Both ends of a new input; its content type, if the client named one.
pub fn input(content_type: Option<&str>) -> (InputSender, Input) {
    ends(content_type.map(Into::into), None, 0)
}

/// An input that has come whole before its call is made.
pub fn whole_input(content_type: Option<&str>, bytes: Bytes) -> Input {
    let (mut sender, input) = ends(content_type.map(Into::into), None, bytes.len());
    tokio::spawn(async move {
        if sender.send(bytes).await.is_ok() {
            sender.end();
        }
    });
    input
}

/// As [`input`], for a client at another node, which is asked for more by `source`.
pub(crate) fn input_from(
    content_type: Option<Arc<str>>,
    source: Box<dyn Credit>,
) -> (InputSender, Input) {
    ends(content_type, Some(source), 0)
}

fn ends(
    content_type: Option<Arc<str>>,
    source: Option<Box<dyn Credit>>,
    held: usize,
) -> (InputSender, Input) {
    let state = State {
        credit: 0,
        reading: Reading::NotYet,
        sending: Sending::Goes,
        leave: None,
    };
    let shared = Arc::new(Shared {
        content_type,
        state: Mutex::new(state),
        turn: Notify::new(),
        source,
        held,
    });
    (InputSender(shared.clone()), Input(Arc::new(Handle(shared))))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody reads any more. Whether the client leaves is of no interest then.
    fn close(&self, mut state: MutexGuard<'_, State>) {
        let sink = std::mem::replace(&mut state.reading, Reading::NoMore);
        let leave = state.leave.take();
        drop(state);
        drop(sink);
        if let Some(leave) = leave {
            leave.disarm();
        }
        self.turn.notify_one();
    }
}

impl Input {
    /// What the client says that it is.
    pub fn content_type(&self) -> Option<&Arc<str>> {
        self.0.0.content_type.as_ref()
    }

    /// Bytes of it that lie here while its call waits.
    pub(crate) fn held(&self) -> usize {
        self.0.0.held
    }

    /// Begins to read: what comes goes to `sink`, once there is credit for it. None if that was done
    /// before, or the client has left.
    pub fn open(&self, mut sink: Box<dyn InputSink>) -> Option<Grant> {
        let shared = &self.0.0;
        let mut state = shared.state();
        if !matches!(state.reading, Reading::NotYet) {
            return None;
        }
        if state.sending == Sending::Ended {
            sink.end();
        }
        state.reading = Reading::By(sink);
        Some(Grant(shared.clone()))
    }

    /// Begins to read by waiting for pieces. None as with [`Input::open`].
    pub fn read(&self) -> Option<InputReader> {
        let (sender, pieces) = mpsc::unbounded_channel();
        let grant = self.open(Box::new(Channel(sender)))?;
        Some(InputReader {
            pieces,
            grant,
            owed: CREDIT,
            ended: false,
        })
    }

    /// Cancels the call if the client leaves before the end.
    pub(crate) fn cancel_on_break(&self, leave: Leave) {
        let mut state = self.0.0.state();
        let needless = match state.sending {
            Sending::Goes => state.leave.replace(leave),
            Sending::Ended => Some(leave),
            Sending::Broke => None,
        };
        drop(state);
        if let Some(needless) = needless {
            needless.disarm();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let state = self.0.state();
        if matches!(state.reading, Reading::NotYet) {
            self.0.close(state);
        }
    }
}

impl InputSender {
    /// Waits until a piece may be sent, so that nothing need be read from a client before. An error
    /// if none is wanted any more.
    pub async fn ready(&mut self) -> Result<(), Unwanted> {
        loop {
            {
                let state = self.0.state();
                match state.reading {
                    Reading::NoMore => return Err(Unwanted),
                    Reading::By(_) if state.credit > 0 => return Ok(()),
                    _ => {}
                }
            }
            self.0.turn.notified().await;
        }
    }

    /// Waits until nobody wants any more of it, for those who wait for a client meanwhile.
    pub async fn unwanted(&mut self) {
        while !matches!(self.0.state().reading, Reading::NoMore) {
            self.0.turn.notified().await;
        }
    }

    /// Sends bytes, in pieces, as there is credit for them. An error if they are not wanted any more.
    /// If the future is dropped a part of them may have been sent.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), Unwanted> {
        while !bytes.is_empty() {
            self.ready().await?;
            let piece = bytes.split_to(bytes.len().min(INPUT_PIECE_MAX));
            self.pass(piece).expect("nobody else uses the credit up");
        }
        Ok(())
    }

    /// Sends a piece for which there is credit.
    pub(crate) fn pass(&self, piece: Bytes) -> Result<(), BadCredit> {
        let mut state = self.0.state();
        let has_credit = state.credit > 0;
        match &mut state.reading {
            Reading::NoMore => Ok(()),
            Reading::By(sink) if has_credit && piece.len() <= INPUT_PIECE_MAX => {
                let bytes = i64::try_from(piece.len()).unwrap_or(i64::MAX);
                sink.piece(piece);
                state.credit -= bytes;
                Ok(())
            }
            Reading::By(_) | Reading::NotYet => Err(BadCredit),
        }
    }

    /// That was all of it.
    pub fn end(self) {
        let mut state = self.0.state();
        state.sending = Sending::Ended;
        if let Reading::By(sink) = &mut state.reading {
            sink.end();
        }
        let leave = state.leave.take();
        drop(state);
        if let Some(leave) = leave {
            leave.disarm();
        }
    }
}

impl Drop for InputSender {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.sending == Sending::Goes {
            state.sending = Sending::Broke;
            let sink = std::mem::replace(&mut state.reading, Reading::NoMore);
            let leave = state.leave.take();
            drop(state);
            drop((sink, leave));
        }
    }
}

impl Grant {
    /// Lets the client send so many bytes more. An error if that is more than [`CREDIT`] at a time.
    pub fn give(&self, bytes: usize) -> Result<(), BadCredit> {
        let mut state = self.0.state();
        let more = i64::try_from(bytes).unwrap_or(i64::MAX);
        let credit = state.credit.saturating_add(more);
        if credit > i64::try_from(CREDIT).expect("the credit is small") {
            return Err(BadCredit);
        }
        state.credit = credit;
        drop(state);
        match &self.0.source {
            Some(source) => source.give(bytes),
            None => self.0.turn.notify_one(),
        }
        Ok(())
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.0.close(self.0.state());
    }
}

/// The sink of an [`InputReader`]; none is the end.
struct Channel(mpsc::UnboundedSender<Option<Bytes>>);

impl InputSink for Channel {
    fn piece(&mut self, piece: Bytes) {
        // A reader that is gone has dropped its grant, too, or is about to.
        let _ = self.0.send(Some(piece));
    }

    fn end(&mut self) {
        let _ = self.0.send(None);
    }
}

impl InputReader {
    /// The next piece; none after the last. After an error there is no more.
    pub async fn next(&mut self) -> Option<Result<Bytes, BrokenInput>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`InputReader::next`], for those who poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenInput>>> {
        /// Not worth to be given back alone.
        const PORTION: usize = CREDIT / 8;
        if self.ended {
            return Poll::Ready(None);
        }
        if self.owed >= PORTION {
            let owed = std::mem::take(&mut self.owed);
            self.grant.give(owed).expect("only what came is given back");
        }
        match ready!(self.pieces.poll_recv(cx)) {
            Some(Some(piece)) => {
                self.owed += piece.len();
                Poll::Ready(Some(Ok(piece)))
            }
            Some(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            None => {
                self.ended = true;
                Poll::Ready(Some(Err(BrokenInput)))
            }
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

impl fmt::Debug for InputSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").finish_non_exhaustive()
    }
}

impl fmt::Debug for InputReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputReader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Credit for Nowhere {
        fn give(&self, _bytes: usize) {}
    }

    impl InputSink for Nowhere {
        fn piece(&mut self, _piece: Bytes) {}
        fn end(&mut self) {}
    }

    #[test]
    fn what_another_node_sends_without_credit_is_seen() {
        let (sender, input) = input_from(None, Box::new(Nowhere));
        let piece = || Bytes::from(vec![1; INPUT_PIECE_MAX]);
        assert_eq!(sender.pass(piece()), Err(BadCredit), "nobody reads it yet");
        let grant = input.open(Box::new(Nowhere)).expect("it is whole");
        assert_eq!(sender.pass(piece()), Err(BadCredit));
        grant.give(1).expect("credit");
        let large = Bytes::from(vec![1; INPUT_PIECE_MAX + 1]);
        assert_eq!(sender.pass(large), Err(BadCredit));
        assert_eq!(sender.pass(piece()), Ok(()));
        assert_eq!(sender.pass(piece()), Err(BadCredit));
        drop(grant);
        assert_eq!(
            sender.pass(piece()),
            Ok(()),
            "it crossed the end of its call"
        );
    }
}
