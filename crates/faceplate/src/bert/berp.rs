//! BERPs: terms behind their length, 32 bits in network byte order, and the chunks of a streamed
//! request, which have lengths as well and are no terms.

use super::answer;
use super::request::{self, Spoken};
use crate::conversation::Framing;
use crate::frames::{Cut, Frames};
use bytes::{Bytes, BytesMut};
use dispatch::{CallError, Code};
use term::Term;
use term::etf::{DecodeError, Limits, decode};

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// Bytes of a directive that can announce a stream, `{info, stream, []}`: each frame as short as
/// that is looked into before it is handed on, and longer ones need not be.
const ANNOUNCEMENT_MAX: usize = 64;

/// What a client says at a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The bytes of a term.
    pub term: Bytes,
    /// All that was streamed behind it, if that was announced.
    pub body: Option<Bytes>,
}

/// Reads a term of at most so many bytes, compressed or not.
pub(super) fn read(bytes: &Bytes, bytes_max: usize) -> Result<Term, DecodeError> {
    let limits = Limits {
        bytes: bytes_max,
        inflated_bytes: bytes_max,
        ..Limits::default()
    };
    decode(bytes, &limits)
}

/// Cuts messages out of what was read. A streamed request stays there until its last chunk is in,
/// so that the limits of a message are those of all of it.
#[derive(Debug)]
pub(super) struct Berps {
    cut: Cut,
    bytes_max: usize,
    /// A stream was announced: it belongs to the next request.
    is_announced: bool,
    /// The bytes of a streamed request that were looked at, and of its term.
    streaming: Option<(usize, usize)>,
}

impl Berps {
    /// Cuts messages of at most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            cut: Cut::new(Frames::Lengths, bytes_max),
            bytes_max,
            is_announced: false,
            streaming: None,
        }
    }

    /// The next frame that has no stream behind it; none if it has not come whole, or if it is the
    /// request that was announced to have one.
    fn plain(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        if self.is_announced {
            let Some(frame) = self.frame(read, 0)? else {
                return Ok(None);
            };
            let length = frame.len();
            let term = self::read(&Bytes::copy_from_slice(frame), self.bytes_max).ok();
            match term.as_ref().map(request::read) {
                Some(Ok(Spoken::Request(_))) => {
                    let end = LENGTH_BYTES + length;
                    self.streaming = Some((end, end));
                    return Ok(None);
                }
                Some(Ok(Spoken::Info(..))) => {}
                // What follows nonsense nobody knows.
                Some(Err(_)) | None => self.is_announced = false,
            }
        }
        let frame = self.cut.take(read)?;
        if let Some(frame) = &frame
            && frame.len() <= ANNOUNCEMENT_MAX
            && self::read(frame, ANNOUNCEMENT_MAX).is_ok_and(|term| request::opens_stream(&term))
        {
            self.is_announced = true;
        }
        Ok(frame)
    }

    /// The frame that begins there; none if it has not come whole.
    fn frame<'r>(&self, read: &'r [u8], start: usize) -> Result<Option<&'r [u8]>, CallError> {
        let Some((length, rest)) = read[start..].split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if start + length > self.bytes_max {
            let message = format!(
                "expected a message of at most {} bytes, with all that is streamed",
                self.bytes_max
            );
            return Err(CallError::new(Code::TooLarge, message));
        }
        Ok(rest.get(..length))
    }

    /// The streamed request, once its last chunk has come.
    fn streamed(
        &mut self,
        read: &mut BytesMut,
        mut seen: usize,
        term_end: usize,
    ) -> Result<Option<Message>, CallError> {
        loop {
            let Some(chunk) = self.frame(read, seen)? else {
                self.streaming = Some((seen, term_end));
                return Ok(None);
            };
            seen += LENGTH_BYTES + chunk.len();
            if chunk.is_empty() {
                break;
            }
        }
        self.streaming = None;
        self.is_announced = false;
        let mut whole = read.split_to(seen).freeze();
        let term = whole.split_to(term_end).slice(LENGTH_BYTES..);
        let mut body = BytesMut::with_capacity(whole.len());
        while let Some(chunk) = self.frame(&whole, 0)? {
            body.extend_from_slice(chunk);
            whole = whole.slice(LENGTH_BYTES + chunk.len()..);
        }
        Ok(Some(Message {
            term,
            body: Some(body.freeze()),
        }))
    }
}

impl Framing for Berps {
    type Message = Message;

    fn take(&mut self, read: &mut BytesMut) -> Result<Option<Message>, CallError> {
        if self.streaming.is_none()
            && let Some(term) = self.plain(read)?
        {
            return Ok(Some(Message { term, body: None }));
        }
        match self.streaming {
            Some((seen, term_end)) => self.streamed(read, seen, term_end),
            None => Ok(None),
        }
    }

    fn refuse(&self, error: CallError) -> Bytes {
        answer::unreadable(&error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use term::etf::{Tags, encode};

    fn berp(term: &Term) -> Vec<u8> {
        framed(&encode(term, Tags::Old).expect("old tags have it"))
    }

    fn framed(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
        [&length[..], bytes].concat()
    }

    fn info(command: &'static str) -> Term {
        Term::Tuple(vec![
            Term::atom("info"),
            Term::atom(command),
            Term::List(vec![]),
        ])
    }

    fn call() -> Term {
        let [module, function] = ["k", "echo"].map(Term::atom);
        Term::Tuple(vec![
            Term::atom("call"),
            module,
            function,
            Term::List(vec![]),
        ])
    }

    fn cut(bytes: &[u8], step: usize) -> Result<Vec<(bool, Option<Bytes>)>, Code> {
        let mut berps = Berps::new(200);
        let mut read = BytesMut::new();
        let mut messages = Vec::new();
        for piece in bytes.chunks(step) {
            read.extend_from_slice(piece);
            while let Some(message) = berps.take(&mut read).map_err(|error| error.code)? {
                let is_call = message.term == encode(&call(), Tags::Old).expect("old tags");
                messages.push((is_call, message.body));
            }
        }
        assert!(read.is_empty(), "{read:?}");
        Ok(messages)
    }

    #[test]
    fn an_announced_stream_belongs_to_the_next_request_wherever_it_is_torn() {
        let chunks = [framed(b"one"), framed(b" two"), framed(b"")].concat();
        let bytes = [
            berp(&info("stream")),
            berp(&info("cache")),
            berp(&call()),
            chunks,
            berp(&call()),
        ]
        .concat();
        let expected = [
            (false, None),
            (false, None),
            (true, Some(Bytes::from_static(b"one two"))),
            (true, None),
        ];
        for step in 1..bytes.len() + 1 {
            assert_eq!(cut(&bytes, step).expect("it is short"), expected);
        }
    }

    #[test]
    fn what_is_streamed_counts_with_its_request() {
        let start = [berp(&info("stream")), berp(&call())].concat();
        let chunk = framed(&[0; 50]);
        let three = [&start[..], &chunk, &chunk, &chunk, &framed(b"")].concat();
        assert_eq!(cut(&three, 7).expect("within 200 bytes").len(), 2);
        let four = [&start[..], &chunk, &chunk, &chunk, &chunk].concat();
        assert_eq!(cut(&four, 7), Err(Code::TooLarge));
        let declared = [&start[..], b"\xff\xff\xff\xff"].concat();
        assert_eq!(cut(&declared, 7), Err(Code::TooLarge));
    }

    #[test]
    fn nonsense_has_no_stream() {
        let bytes = [berp(&info("stream")), framed(b"nonsense"), berp(&call())].concat();
        let messages = cut(&bytes, 5).expect("it is short");
        assert_eq!(messages.last(), Some(&(true, None)));
    }
}
