//! One call and its answer, as protocols see them: what is made of a request, what comes back, and
//! what is told of it behind their backs. `desk` is where both come from.

use crate::access_log::Line;
use crate::presence::Busy;
use crate::receipt::Receipt;
use dispatch::{Call, CallError};
use std::sync::Arc;
use term::Payload;

/// A call that was permitted, and is to be made.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub call: Call,
    /// What the access log calls who makes it.
    pub token: Option<Arc<str>>,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) struct Reply {
    /// What the client is told besides the answer.
    pub receipt: Receipt,
    pub result: Result<Answer, CallError>,
}

/// A successful answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All of it.
    Whole(Payload),
    /// Piece by piece.
    Stream(Pieces),
}

/// A streamed answer. Dropped before its end, it cancels the call.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: dispatch::Pieces,
    line: Line,
    /// None: nobody waits for it.
    _busy: Option<Busy>,
}

impl Pieces {
    /// The next piece; none after the last. After an error there is no more.
    pub async fn next(&mut self) -> Option<Result<Payload, CallError>> {
        let next = self.pieces.next().await;
        match &next {
            Some(Ok(piece)) => self.line.went_out(piece.bytes().len()),
            Some(Err(error)) => self.line.ended(Some(error.code)),
            None => self.line.ended(None),
        }
        next
    }
}

impl Reply {
    /// What a call gave, to be told in this line once it is all known.
    pub fn new(reply: dispatch::Reply, mut line: Line, busy: Option<Busy>) -> Self {
        let receipt = Receipt::of(&reply);
        line.answered(receipt);
        let result = match reply.result {
            Ok(dispatch::Answer::Whole(payload)) => {
                line.went_out(payload.bytes().len());
                line.ended(None);
                Ok(Answer::Whole(payload))
            }
            Ok(dispatch::Answer::Stream(pieces)) => Ok(Answer::Stream(Pieces {
                pieces,
                line,
                _busy: busy,
            })),
            Err(error) => {
                line.ended(Some(error.code));
                Err(error)
            }
        };
        Self { receipt, result }
    }

    /// Waits for the end of an answer that nobody wants: a stream that is dropped is a call
    /// cancelled.
    pub async fn see_through(mut self) -> Receipt {
        if let Ok(Answer::Stream(pieces)) = &mut self.result {
            while pieces.next().await.is_some() {}
        }
        self.receipt
    }
}
