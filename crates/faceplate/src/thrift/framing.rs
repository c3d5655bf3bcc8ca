//! Tells messages apart: framed by a length or not, and in which protocol. The first bytes say it.

use super::codec::{Bad, COMPACT_ID, Protocol, STRICT_VERSION};
use super::scan::Scan;
use crate::conversation::Framing;
use bytes::{Bytes, BytesMut};
use dispatch::{CallError, Code};

/// Bytes of a frame's length before it.
const LENGTH_BYTES: usize = 4;

/// How a message is written and framed. Its answer is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub protocol: Protocol,
    /// Whether its length stands before it.
    pub framed: bool,
}

impl Style {
    /// What the first bytes say; none if more are needed.
    ///
    /// Messages begin with a byte of 128 or more, but for those of the old binary protocol, which
    /// begin with the length of their name: 32 bits, as frames begin with theirs. Behind the length
    /// of a frame comes such a byte, or the first of the length of a name, which is zero; behind the
    /// length of a name comes a letter.
    pub fn of(bytes: &[u8]) -> Result<Option<Self>, Bad> {
        let protocol = |first| match first {
            COMPACT_ID => Some(Protocol::Compact),
            first if first == STRICT_VERSION[0] => Some(Protocol::Strict),
            _ => None,
        };
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        if let Some(protocol) = protocol(first) {
            let framed = false;
            return Ok(Some(Self { protocol, framed }));
        }
        if first > 0x7f {
            return Err(Bad::Malformed("another protocol"));
        }
        Ok(bytes.get(LENGTH_BYTES).map(|&inner| Self {
            protocol: protocol(inner).unwrap_or(Protocol::Old),
            framed: inner == 0 || protocol(inner).is_some(),
        }))
    }

    /// Where the message itself begins.
    pub fn start(self) -> usize {
        if self.framed { LENGTH_BYTES } else { 0 }
    }

    /// A message that was written behind room for its length, if it is framed.
    pub fn close(self, mut message: Vec<u8>) -> Bytes {
        if self.framed {
            let length = u32::try_from(message.len() - LENGTH_BYTES);
            let length = length.expect("answers are within limits");
            message[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        }
        message.into()
    }
}

/// Cuts messages, each with the length of its frame if it has one.
#[derive(Debug)]
pub(super) struct Cutter {
    bytes_max: usize,
    style: Option<Style>,
    /// In a message without a frame that has not come whole.
    scan: Option<Scan>,
}

impl Cutter {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            style: None,
            scan: None,
        }
    }

    /// Bytes of the message at the front; none if it has not come whole.
    pub fn measure(&mut self, read: &[u8]) -> Result<Option<usize>, Bad> {
        let Some(style) = Style::of(read)? else {
            return Ok(None);
        };
        self.style = Some(style);
        if style.framed {
            return self.measure_frame(style, read);
        }
        let scan = self.scan.get_or_insert_with(|| Scan::message(0));
        match scan.advance(style.protocol, read, self.bytes_max) {
            Ok(end) if end > self.bytes_max => Err(Bad::TooLarge(self.bytes_max)),
            Err(Bad::Short) if read.len() >= self.bytes_max => Err(Bad::TooLarge(self.bytes_max)),
            Err(Bad::Short) => Ok(None),
            Ok(end) => {
                self.scan = None;
                Ok(Some(end))
            }
            Err(bad) => Err(bad),
        }
    }

    fn measure_frame(&self, style: Style, read: &[u8]) -> Result<Option<usize>, Bad> {
        let length = read.first_chunk::<LENGTH_BYTES>().ok_or(Bad::Short)?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.bytes_max {
            return Err(Bad::TooLarge(self.bytes_max));
        }
        let Some(frame) = read.get(..LENGTH_BYTES + length) else {
            return Ok(None);
        };
        match Scan::message(LENGTH_BYTES).advance(style.protocol, frame, frame.len()) {
            Ok(end) if end == frame.len() => Ok(Some(end)),
            Ok(_) => Err(Bad::Malformed("a frame that goes on behind its message")),
            Err(Bad::Short | Bad::TooLarge(_)) => {
                Err(Bad::Malformed("a frame that is shorter than its message"))
            }
            Err(bad) => Err(bad),
        }
    }
}

impl Framing for Cutter {
    type Message = Bytes;

    fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        let length = self.measure(read)?;
        Ok(length.map(|length| read.split_to(length).freeze()))
    }

    fn refuse(&self, error: CallError) -> Bytes {
        match self.style {
            Some(style) => super::answer::refusal(style, &error),
            None => Bytes::new(),
        }
    }
}

impl From<Bad> for CallError {
    fn from(bad: Bad) -> Self {
        let code = match bad {
            Bad::TooLarge(_) => Code::TooLarge,
            Bad::Short | Bad::Malformed(_) | Bad::TooDeep => Code::BadRequest,
        };
        Self::new(code, bad.to_string())
    }
}
