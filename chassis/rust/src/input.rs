//! The input of a call: the bytes that come with a request while its function runs.

use crate::call::Call;
use crate::error::Cancelled;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::mem;

/// What was taken is granted again in portions of this part of the credit: fewer frames, and the
/// manager never runs out.
const PORTIONS: i64 = 8;

/// What has come of an input and was not taken yet, and what is to be granted for it.
#[derive(Debug)]
pub(crate) struct Inlet {
    pieces: VecDeque<Vec<u8>>,
    ended: bool,
    content_type: Option<String>,
    /// Bytes that may be on their way.
    credit: i64,
    granted: bool,
    /// Bytes that were taken and not yet granted again.
    taken: i64,
}

impl Inlet {
    /// An input; one that is empty if none is `coming`.
    pub fn new(coming: bool, credit: i64) -> Self {
        Self {
            pieces: VecDeque::new(),
            ended: !coming,
            content_type: None,
            credit,
            granted: false,
            taken: 0,
        }
    }

    /// A piece that has come.
    pub fn push(&mut self, piece: Vec<u8>, content_type: Option<String>, end: bool) {
        if self.content_type.is_none() {
            self.content_type = content_type;
        }
        self.ended |= end;
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Whether there is no need to wait.
    pub fn is_ready(&self) -> bool {
        self.ended || !self.pieces.is_empty()
    }

    /// The next piece. None at the end, and if none is there.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let piece = self.pieces.pop_front()?;
        self.taken += i64::try_from(piece.len()).expect("a piece fits into memory");
        Some(piece)
    }

    /// Bytes to grant now, if it is the time.
    pub fn grant(&mut self) -> Option<i64> {
        if self.ended {
            None
        } else if !mem::replace(&mut self.granted, true) {
            Some(self.credit)
        } else if self.taken >= (self.credit / PORTIONS).max(1) {
            Some(mem::take(&mut self.taken))
        } else {
            None
        }
    }

    pub fn content_type(&self) -> Option<String> {
        self.content_type.clone()
    }
}

/// The input of a call, from [`Call::input`]: pieces of bytes as they come, or read like a file.
/// Pieces begin and end anywhere. Nothing of it moves before it is read.
///
/// Reading waits for what has not come yet, and fails with [`Cancelled`] once the call is cancelled;
/// an [`io::Error`] has it inside.
///
/// ```
/// use katamari_worker::{Call, Result};
///
/// fn size(call: &Call, (): ()) -> Result<usize> {
///     let mut size = 0;
///     for piece in call.input() {
///         size += piece?.len();
///     }
///     Ok(size)
/// }
/// ```
pub struct Input<'a> {
    call: &'a Call<'a>,
    /// A piece of which `at` bytes were read.
    piece: Vec<u8>,
    at: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn of(call: &'a Call<'a>) -> Self {
        Self {
            call,
            piece: Vec::new(),
            at: 0,
        }
    }

    /// The content type of the whole. None if the client named none, and before the first piece.
    pub fn content_type(&self) -> Option<String> {
        self.call.input_type()
    }
}

impl Iterator for Input<'_> {
    type Item = Result<Vec<u8>, Cancelled>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = mem::take(&mut self.piece);
        rest.drain(..mem::take(&mut self.at));
        if rest.is_empty() {
            return self.call.next_piece().transpose();
        }
        Some(Ok(rest))
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.piece.len() {
            self.at = 0;
            let piece = self.call.next_piece().map_err(io::Error::other)?;
            self.piece = piece.unwrap_or_default();
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = self.piece.len().min(self.at + amount);
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.fill_buf()?;
        let size = piece.read(buffer)?;
        self.consume(size);
        Ok(size)
    }
}
