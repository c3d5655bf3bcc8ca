//! Ways to tell one message from the next that several protocols share: lines, lengths, and the end
//! of the connection.

use bytes::{Buf, Bytes, BytesMut};
use dispatch::{CallError, Code};

/// Bytes of a message's length before it.
const LENGTH_BYTES: usize = 4;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    /// Each ends with a line feed, and has none inside. Empty lines are none.
    Lines,
    /// Each begins with its length in bytes, 32 bits in network byte order.
    Lengths,
    /// All that comes before the end of the connection is one.
    Close,
}

impl Frames {
    /// A message in its frame.
    pub fn wrap(self, message: &[u8]) -> Bytes {
        match self {
            Self::Lines => [message, b"\n"].concat().into(),
            Self::Lengths => {
                let length = u32::try_from(message.len()).expect("answers are within limits");
                [&length.to_be_bytes()[..], message].concat().into()
            }
            Self::Close => Bytes::copy_from_slice(message),
        }
    }
}

/// Cuts messages out of what was read.
#[derive(Debug)]
pub(crate) struct Cut {
    frames: Frames,
    bytes_max: usize,
    /// Bytes at the front that were looked at and have no line feed.
    seen: usize,
}

impl Cut {
    /// Cuts messages of at most so many bytes.
    pub fn new(frames: Frames, bytes_max: usize) -> Self {
        Self {
            frames,
            bytes_max,
            seen: 0,
        }
    }

    /// The next message; none if it has not come whole.
    pub fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        match self.frames {
            Frames::Lines => self.line(read),
            Frames::Lengths => self.measured(read),
            Frames::Close if read.len() > self.bytes_max => Err(self.too_large()),
            Frames::Close => Ok(None),
        }
    }

    /// What stands before the end of the connection.
    pub fn rest(&self, read: BytesMut) -> Option<Bytes> {
        let is_message = match self.frames {
            Frames::Lines => !read.trim_ascii().is_empty(),
            Frames::Lengths => false,
            Frames::Close => true,
        };
        is_message.then(|| read.freeze())
    }

    /// The next line that has something in it.
    fn line(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        loop {
            let end = read[self.seen..].iter().position(|byte| *byte == b'\n');
            let end = end.map(|end| self.seen + end);
            if end.unwrap_or(read.len()) > self.bytes_max {
                return Err(self.too_large());
            }
            let Some(end) = end else {
                self.seen = read.len();
                return Ok(None);
            };
            self.seen = 0;
            let line = read.split_to(end + 1).freeze();
            let end = end - usize::from(line[..end].ends_with(b"\r"));
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line.slice(..end)));
            }
        }
    }

    fn measured(&self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        let Some(length) = read.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.bytes_max {
            return Err(self.too_large());
        }
        if read.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        read.advance(LENGTH_BYTES);
        Ok(Some(read.split_to(length).freeze()))
    }

    fn too_large(&self) -> CallError {
        let message = format!("expected a message of at most {} bytes", self.bytes_max);
        CallError::new(Code::TooLarge, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(frames: Frames, pieces: &[&[u8]]) -> Result<Vec<Bytes>, Code> {
        let mut cut = Cut::new(frames, 5);
        let mut read = BytesMut::new();
        let mut messages = Vec::new();
        for piece in pieces {
            read.extend_from_slice(piece);
            while let Some(message) = cut.take(&mut read).map_err(|error| error.code)? {
                messages.push(message);
            }
        }
        messages.extend(cut.rest(read));
        Ok(messages)
    }

    #[test]
    fn lines_end_with_a_line_feed_wherever_they_are_torn() {
        let lines: [&[u8]; 4] = [b"on", b"e\n\n \r\ntwo\r", b"\nth", b"r"];
        assert_eq!(cut(Frames::Lines, &lines).unwrap(), ["one", "two", "thr"]);
        assert_eq!(cut(Frames::Lines, &[b"12345\n"]).unwrap(), ["12345"]);
        assert_eq!(cut(Frames::Lines, &[b"123456\n"]), Err(Code::TooLarge));
        assert_eq!(cut(Frames::Lines, &[b"123456"]), Err(Code::TooLarge));
    }

    #[test]
    fn lengths_stand_before_their_messages() {
        let frames: [&[u8]; 3] = [b"\0\0\0\x03on", b"e\0\0\0\0\0\0", b"\0\x01xy"];
        assert_eq!(cut(Frames::Lengths, &frames).unwrap(), ["one", "", "x"]);
        assert_eq!(cut(Frames::Lengths, &[b"\0\0\0\x06"]), Err(Code::TooLarge));
        assert_eq!(
            cut(Frames::Lengths, &[b"\xff\xff\xff\xff"]),
            Err(Code::TooLarge)
        );
    }

    #[test]
    fn the_end_of_a_connection_ends_its_one_message() {
        assert_eq!(cut(Frames::Close, &[b"a\n", b"b"]).unwrap(), ["a\nb"]);
        assert_eq!(cut(Frames::Close, &[]).unwrap(), [""]);
        assert_eq!(cut(Frames::Close, &[b"123", b"456"]), Err(Code::TooLarge));
    }
}
