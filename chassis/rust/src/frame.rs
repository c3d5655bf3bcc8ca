//! Frames: how bytes travel on both descriptors.
//!
//! `u32 length | u8 type | u16 header length | header (JSON) | payload`, big-endian; the length
//! counts what follows it.

use crate::error::Broken;
use crate::payload::Payload;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The greatest length of a frame, in bytes, until the welcome says otherwise.
pub(crate) const FRAME_MAX_DEFAULT: usize = 16 * 1024 * 1024 + 64 * 1024;

/// Bytes of a header: its length is a `u16`.
const HEADER_MAX: usize = u16::MAX as usize;

/// Bytes asked for at a time: what a pipe holds.
const READ_SIZE: usize = 64 * 1024;

/// Bytes asked for at a time while a large frame is coming in.
const READ_SIZE_MAX: usize = 1024 * 1024;

/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_MAX: usize = 1024 * 1024;

const LENGTH_SIZE: usize = 4;
const PREFIX_SIZE: usize = LENGTH_SIZE + 3;

/// The header of any frame to the worker.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub id: Option<u64>,
    pub call: Option<String>,
    pub function: Option<String>,
    pub timeout_ms: Option<u64>,
    pub content_type: Option<String>,
    pub key: Option<String>,
    pub class: Option<String>,
    pub frame_max: Option<usize>,
    pub stream_credit: Option<i64>,
    pub bytes: Option<i64>,
    pub input: Option<bool>,
    pub end: Option<bool>,
    pub reason: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
}

impl Header {
    /// The number of the call, or of the nested call, that the frame is about.
    pub fn id(&self) -> Result<u64, Broken> {
        self.id
            .ok_or_else(|| Broken("a header without a number `id`".to_owned()))
    }
}

/// A frame to the worker.
pub(crate) struct Frame {
    pub letter: u8,
    pub header: Header,
    pub payload: Vec<u8>,
}

/// What exceeds the limits of a frame, for people.
pub(crate) struct TooLarge(pub String);

/// A header that has only the number of a call.
#[derive(Serialize)]
struct AboutCall<'a> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last: bool,
}

/// The frame of a reply (`R`) or of one piece of a stream (`S`).
pub(crate) fn result_frame(
    letter: u8,
    id: u64,
    payload: &Payload,
    last: bool,
    frame_max: usize,
) -> Result<Vec<u8>, TooLarge> {
    let content_type = payload.content_type();
    if content_type.is_none() && !last {
        // By far the most.
        let header = format!("{{\"id\":{id}}}");
        return frame(letter, header.as_bytes(), payload.as_slice(), frame_max);
    }
    let header = AboutCall {
        id,
        content_type,
        last,
    };
    frame_of(letter, &header, payload.as_slice(), frame_max)
}

/// A frame whose header is the JSON of a value.
pub(crate) fn frame_of(
    letter: u8,
    header: &impl Serialize,
    payload: &[u8],
    frame_max: usize,
) -> Result<Vec<u8>, TooLarge> {
    let header = serde_json::to_vec(header).expect("headers hold text and numbers alone");
    frame(letter, &header, payload, frame_max)
}

fn frame(letter: u8, header: &[u8], payload: &[u8], frame_max: usize) -> Result<Vec<u8>, TooLarge> {
    let length = 3 + header.len() + payload.len();
    let lengths = (u32::try_from(length), u16::try_from(header.len()));
    let (true, (Ok(length), Ok(header_length))) = (length <= frame_max, lengths) else {
        let (header, payload) = (header.len(), payload.len());
        return Err(TooLarge(format!(
            "{payload} bytes with a header of {header} do not fit into a frame: at most \
             {frame_max} bytes, {HEADER_MAX} of them the header"
        )));
    };
    let mut out = Vec::with_capacity(PREFIX_SIZE + header.len() + payload.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.push(letter);
    out.extend_from_slice(&header_length.to_be_bytes());
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    Ok(out)
}

/// Reads frames from a descriptor, as many with one system call as there are.
pub(crate) struct Reader {
    descriptor: BorrowedFd<'static>,
    frame_max: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame starts, and where what was read ends.
    start: usize,
    end: usize,
}

impl Reader {
    pub fn new(descriptor: BorrowedFd<'static>) -> Self {
        Self {
            descriptor,
            frame_max: FRAME_MAX_DEFAULT,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Reads once; waits if there is nothing. False at the end.
    pub fn fill(&mut self) -> Result<bool, Broken> {
        let missing = self.missing();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEPT_MAX && missing == 0 {
                self.buffer = Vec::new();
            }
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = self.end + missing.clamp(READ_SIZE, READ_SIZE_MAX);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        loop {
            match rustix::io::read(self.descriptor, &mut self.buffer[self.end..room]) {
                Ok(0) if self.end > 0 => {
                    return Err(Broken("half a frame at the end of descriptor 3".to_owned()));
                }
                Ok(size) => {
                    self.end += size;
                    return Ok(size > 0);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(Broken(format!("descriptor 3: {error}"))),
            }
        }
    }

    /// How many bytes the frame that has begun still needs.
    fn missing(&self) -> usize {
        let read = &self.buffer[self.start..self.end];
        match read.first_chunk::<LENGTH_SIZE>() {
            Some(length) => {
                (LENGTH_SIZE + u32::from_be_bytes(*length) as usize).saturating_sub(read.len())
            }
            None => 0,
        }
    }

    /// The next frame, if all of it was read.
    pub fn take(&mut self) -> Result<Option<Frame>, Broken> {
        let read = &self.buffer[self.start..self.end];
        let Some(prefix) = read.first_chunk::<PREFIX_SIZE>() else {
            return Ok(None);
        };
        let [a, b, c, d, letter, high, low] = *prefix;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let header_length = usize::from(u16::from_be_bytes([high, low]));
        if length > self.frame_max || header_length + 3 > length {
            return Err(Broken(format!(
                "a frame of {length} bytes with a header of {header_length}: above the limit of \
                 {}, or the header is longer than the frame",
                self.frame_max
            )));
        }
        let Some(frame) = read.get(PREFIX_SIZE..LENGTH_SIZE + length) else {
            return Ok(None);
        };
        let (header, payload) = frame.split_at(header_length);
        let header: Header = serde_json::from_slice(header)
            .map_err(|error| Broken(format!("a header that is not as it should be: {error}")))?;
        let payload = payload.to_vec();
        self.start += LENGTH_SIZE + length;
        if let (b'W', Some(frame_max)) = (letter, header.frame_max) {
            self.frame_max = frame_max;
        }
        Ok(Some(Frame {
            letter,
            header,
            payload,
        }))
    }
}

/// Writes all of it.
pub(crate) fn write_all(descriptor: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(descriptor, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
