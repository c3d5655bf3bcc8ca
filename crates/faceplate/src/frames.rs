//! Ways to tell one message from the next that several protocols share: lines, lengths, and the end
//! of the connection.

use crate::conversation::Framing;
use bytes::{Buf, Bytes, BytesMut};
use dispatch::{CallError, Code};

/// Bytes of a message's length before it.
const LENGTH_BYTES: usize = 4;

/// What a TLS client says first: a record of a handshake, of any version.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];

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
    /// Until it is known that this is no web browser: bytes of its first line that were looked at.
    unknown: Option<usize>,
}

impl Cut {
    /// Cuts messages of at most so many bytes.
    pub fn new(frames: Frames, bytes_max: usize) -> Self {
        Self {
            frames,
            bytes_max,
            seen: 0,
            // Where lengths are expected, the name of a method is one that is too large.
            unknown: (frames != Frames::Lengths).then_some(0),
        }
    }

    /// The next message; none if it has not come whole.
    pub fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        if let Some(looked_at) = self.unknown {
            self.turn_browsers_away(read, looked_at)?;
        }
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

    /// A web page can make its browser send HTTP to any port, and the lines of a request's body
    /// would be as good as any. So the first line of a connection must be none of a request, nor
    /// the beginning of a TLS handshake, which has room for lines as well.
    fn turn_browsers_away(&mut self, read: &[u8], looked_at: usize) -> Result<(), CallError> {
        let end = read[looked_at..].iter().position(|byte| *byte == b'\n');
        let line = end.map(|end| &read[..looked_at + end]);
        if read.starts_with(&TLS_HANDSHAKE) || line.is_some_and(is_request_line) {
            let message = "expected messages as this port is configured for, got HTTP or TLS: web \
                           pages may not call";
            return Err(CallError::new(Code::NotAllowed, message));
        }
        let first = read.first();
        let may_be =
            first.is_none_or(|byte| byte.is_ascii_uppercase() || *byte == TLS_HANDSHAKE[0]);
        self.unknown = (line.is_none() && may_be).then_some(read.len());
        Ok(())
    }

    fn too_large(&self) -> CallError {
        let message = format!("expected a message of at most {} bytes", self.bytes_max);
        CallError::new(Code::TooLarge, message)
    }
}

/// Whether this is `METHOD target HTTP/1.1`, perhaps with a carriage return.
fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let parts: Vec<_> = line.splitn(4, |byte| *byte == b' ').collect();
    matches!(parts[..], [method, _, b"HTTP/1.1" | b"HTTP/1.0"]
        if !method.is_empty() && method.iter().all(u8::is_ascii_uppercase))
}

/// The framing of a protocol that has nothing of its own but how it says what is wrong.
#[derive(Debug)]
pub(crate) struct Framed {
    cut: Cut,
    refuse: fn(CallError) -> Vec<u8>,
}

impl Framed {
    /// Messages of at most so many bytes, and the answer to what is none, without a frame.
    pub fn new(frames: Frames, bytes_max: usize, refuse: fn(CallError) -> Vec<u8>) -> Self {
        Self {
            cut: Cut::new(frames, bytes_max),
            refuse,
        }
    }
}

impl Framing for Framed {
    type Message = Bytes;

    fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
        self.cut.take(read)
    }

    fn rest(&mut self, read: BytesMut) -> Option<Bytes> {
        self.cut.rest(read)
    }

    fn refuse(&self, error: CallError) -> Bytes {
        self.cut.frames.wrap(&(self.refuse)(error))
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

    #[test]
    fn what_a_web_page_can_send_is_no_message() {
        let first = |frames, bytes: &[u8], pieces: usize| {
            let mut cut = Cut::new(frames, 1_024);
            let mut read = BytesMut::new();
            for piece in bytes.chunks(pieces) {
                read.extend_from_slice(piece);
                if let Some(message) = cut.take(&mut read).map_err(|error| error.code)? {
                    return Ok(message);
                }
            }
            Ok(cut.rest(read).expect("a message"))
        };
        let handshake = b"\x16\x03\x01\x02\0\n{}\n";
        for request in [
            b"POST / HTTP/1.1\r\nhost: localhost\r\n\r\n{}\n".as_slice(),
            b"GET /a%0A{} HTTP/1.0\n\n",
            handshake,
        ] {
            for pieces in [1, 7, 1_024] {
                for frames in [Frames::Lines, Frames::Close] {
                    assert_eq!(first(frames, request, pieces), Err(Code::NotAllowed));
                }
            }
        }
        for line in [
            "GET /",
            "POST HTTP/1.1x",
            "It is HTTP/1.1",
            "A B C HTTP/1.1",
            "{}",
            "\x16x",
        ] {
            let bytes = format!("{line}\n");
            for pieces in [1, 1_024] {
                assert_eq!(
                    first(Frames::Lines, bytes.as_bytes(), pieces).unwrap(),
                    line
                );
            }
        }
    }
}
