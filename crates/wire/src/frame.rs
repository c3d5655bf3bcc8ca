//! The bytes of a frame: how they are laid out, written and found again in what was read.
//!
//! `queue` writes with [`encode`], `link/drive.rs` reads with [`parse`]. The layout, numbers in
//! network byte order:
//!
//! ```text
//! u32 length of what follows | u8 kind | u8 service | u32 length of the header
//! | u64 correlation, in requests, answers and refusals | header | payload
//! ```

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::link::Link;

/// Most bytes of a frame after its length: a payload of 16 MiB, which is what a call may carry,
/// beside the largest header.
pub const FRAME_MAX: usize = 24 << 20;

/// Most bytes of a header, which is decoded in one go on the node's one thread.
pub const HEADER_MAX: usize = 8 << 20;

/// The length itself.
const LENGTH_BYTES: usize = 4;

/// Kind, service, length of the header.
const FIXED_BYTES: usize = 6;

const CORRELATION_BYTES: usize = 8;

/// Which part of a node a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Service {
    /// Announcements of members to masters, and what masters tell members.
    Members = 1,
    /// Consensus among masters.
    Raft = 2,
    /// Calls on their way to slots on other nodes.
    Calls = 3,
    /// Files of programs. They are bulk: frames of the other services overtake them.
    Files = 4,
}

impl Service {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Members, Self::Raft, Self::Calls, Self::Files];

    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|service| *service as u8 == number)
    }

    /// Its place in a table of all services.
    pub(crate) fn index(self) -> usize {
        self as usize - 1
    }
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Message = 1,
    Request = 2,
    Answer = 3,
    /// The answer to a request that is not served; its header is the reason, as text.
    Refusal = 4,
    /// Says only that the sender lives.
    Ping = 5,
    /// The last frame; its header is the reason, as text.
    Goodbye = 6,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        let kinds = [
            Self::Message,
            Self::Request,
            Self::Answer,
            Self::Refusal,
            Self::Ping,
            Self::Goodbye,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == number)
    }

    fn has_correlation(self) -> bool {
        matches!(self, Self::Request | Self::Answer | Self::Refusal)
    }
}

/// A frame as it was found in what was read.
#[derive(Debug)]
pub(crate) struct Raw {
    pub kind: Kind,
    /// As it came: only messages and requests must name one that exists.
    pub service: u8,
    /// 0 where the kind has none.
    pub correlation: u64,
    pub header: Bytes,
    pub payload: Bytes,
}

/// Why bytes are no frame, or a frame not the message that was expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadFrame {
    /// Its length is out of bounds.
    #[error("expected a frame of {FIXED_BYTES} to {FRAME_MAX} bytes, got {0}")]
    Length(usize),
    /// Its header is longer than the rest of the frame, or than allowed.
    #[error("expected a header of at most {HEADER_MAX} bytes within the frame, got {0}")]
    HeaderLength(usize),
    /// Its kind is unknown.
    #[error("expected a kind of frame from 1 to 6, got {0}")]
    Kind(u8),
    /// Its header is not the message that was expected.
    #[error("expected another message in the header: {0}; the nodes run different versions?")]
    Message(postcard::Error),
}

/// Takes the first frame off `buffer`, if it is complete. Nothing is copied.
pub(crate) fn parse(buffer: &mut BytesMut) -> Result<Option<Raw>, BadFrame> {
    if buffer.len() < LENGTH_BYTES + FIXED_BYTES {
        return match peek_length(buffer) {
            Some(length) if !(FIXED_BYTES..=FRAME_MAX).contains(&length) => {
                Err(BadFrame::Length(length))
            }
            _ => Ok(None),
        };
    }
    let mut start = &buffer[..LENGTH_BYTES + FIXED_BYTES];
    let length = start.get_u32() as usize;
    let kind = start.get_u8();
    let service = start.get_u8();
    let header_length = start.get_u32() as usize;
    if !(FIXED_BYTES..=FRAME_MAX).contains(&length) {
        return Err(BadFrame::Length(length));
    }
    let kind = Kind::of(kind).ok_or(BadFrame::Kind(kind))?;
    let fixed = FIXED_BYTES
        + if kind.has_correlation() {
            CORRELATION_BYTES
        } else {
            0
        };
    if length < fixed {
        return Err(BadFrame::Length(length));
    }
    if header_length > HEADER_MAX.min(length - fixed) {
        return Err(BadFrame::HeaderLength(header_length));
    }
    if buffer.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    let mut frame = buffer.split_to(LENGTH_BYTES + length).freeze();
    frame.advance(LENGTH_BYTES + FIXED_BYTES);
    let correlation = if kind.has_correlation() {
        frame.get_u64()
    } else {
        0
    };
    let header = take(&mut frame, header_length);
    let rest = frame.len();
    let payload = take(&mut frame, rest);
    Ok(Some(Raw {
        kind,
        service,
        correlation,
        header,
        payload,
    }))
}

/// How many bytes the frame at the start of `buffer` has in all, if that is known yet.
pub(crate) fn wanted(buffer: &[u8]) -> Option<usize> {
    peek_length(buffer).map(|length| LENGTH_BYTES + length)
}

fn peek_length(buffer: &[u8]) -> Option<usize> {
    let length = buffer.first_chunk()?;
    Some(u32::from_be_bytes(*length) as usize)
}

/// The first `length` bytes; those of nothing hold no buffer alive.
fn take(frame: &mut Bytes, length: usize) -> Bytes {
    if length == 0 {
        Bytes::new()
    } else {
        frame.split_to(length)
    }
}

/// What goes into a header.
pub(crate) enum Header<'a, M: ?Sized> {
    /// A message, by postcard.
    Message(&'a M),
    /// Text as it is, of refusals and goodbyes.
    Text(&'a str),
}

/// Why a frame cannot be written.
#[derive(Debug)]
pub(crate) enum EncodeError {
    TooLarge,
    Message(postcard::Error),
}

/// Writes all of a frame but its payload of `payload_length` bytes to the end of `buffer`, which is
/// as it was if that fails.
pub(crate) fn encode<M: Serialize + ?Sized>(
    buffer: &mut BytesMut,
    kind: Kind,
    service: u8,
    correlation: u64,
    header: &Header<'_, M>,
    payload_length: usize,
) -> Result<(), EncodeError> {
    let start = buffer.len();
    buffer.put_bytes(0, LENGTH_BYTES);
    buffer.put_u8(kind as u8);
    buffer.put_u8(service);
    buffer.put_bytes(0, 4);
    if kind.has_correlation() {
        buffer.put_u64(correlation);
    }
    let header_start = buffer.len();
    let written = match header {
        Header::Message(message) => postcard::serialize_with_flavor(
            *message,
            End {
                buffer,
                limit: header_start + HEADER_MAX,
            },
        ),
        Header::Text(text) => {
            buffer.extend_from_slice(text.as_bytes());
            Ok(())
        }
    };
    let header_length = buffer.len() - header_start;
    let length = buffer.len() - start - LENGTH_BYTES + payload_length;
    let error = match written {
        Ok(()) if length <= FRAME_MAX && header_length <= HEADER_MAX => {
            let length = u32::try_from(length).expect("at most FRAME_MAX");
            let header_length = u32::try_from(header_length).expect("at most HEADER_MAX");
            buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
            buffer[start + 6..start + 10].copy_from_slice(&header_length.to_be_bytes());
            return Ok(());
        }
        Ok(()) | Err(postcard::Error::SerializeBufferFull) => EncodeError::TooLarge,
        Err(error) => EncodeError::Message(error),
    };
    buffer.truncate(start);
    Err(error)
}

/// Lets postcard write to the end of a buffer.
struct End<'a> {
    buffer: &'a mut BytesMut,
    /// No longer than this.
    limit: usize,
}

impl Flavor for End<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.buffer.len() + bytes.len() > self.limit {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// A message or a request that came in.
///
/// Header and payload are slices of what was read: a small one that is kept for long keeps up to
/// 64 KiB alive, so copy what you keep.
pub struct Frame {
    service: Service,
    /// Of a request.
    correlation: Option<u64>,
    header: Bytes,
    payload: Bytes,
}

impl Frame {
    /// A message, or with a correlation a request.
    pub(crate) fn of(service: Service, raw: Raw) -> Self {
        Self {
            service,
            correlation: (raw.kind == Kind::Request).then_some(raw.correlation),
            header: raw.header,
            payload: raw.payload,
        }
    }

    /// Which part of the node it is for.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Whether the sender waits for [`Frame::answer`] or [`Frame::refuse`].
    pub fn is_request(&self) -> bool {
        self.correlation.is_some()
    }

    /// The message in the header.
    ///
    /// # Errors
    ///
    /// [`BadFrame::Message`] if it is not an `M`.
    pub fn message<M: DeserializeOwned>(&self) -> Result<M, BadFrame> {
        decode(&self.header)
    }

    /// The raw bytes after the header.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Answers a request on the link that it came from. Does nothing for a message, which nobody
    /// waits for, or if the link is closed; what is too large becomes a refusal that says so.
    pub fn answer<M: Serialize + ?Sized>(&self, link: &Link, message: &M, payload: Bytes) {
        if let Some(correlation) = self.correlation {
            link.answer(self.service, correlation, message, payload);
        }
    }

    /// Answers a request with the reason why it is not served: the asker gets
    /// [`crate::RequestError::Refused`].
    pub fn refuse(&self, link: &Link, why: &str) {
        if let Some(correlation) = self.correlation {
            link.refuse(self.service as u8, correlation, why);
        }
    }

    /// How many bytes it counts for while nobody has taken it.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.header.len() + self.payload.len()
    }
}

impl fmt::Debug for Frame {
    /// Without the bytes, of which there may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("service", &self.service)
            .field("correlation", &self.correlation)
            .field("header_bytes", &self.header.len())
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

pub(crate) fn decode<M: DeserializeOwned>(header: &[u8]) -> Result<M, BadFrame> {
    postcard::from_bytes(header).map_err(BadFrame::Message)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 6] = [
        Kind::Message,
        Kind::Request,
        Kind::Answer,
        Kind::Refusal,
        Kind::Ping,
        Kind::Goodbye,
    ];

    proptest! {
        #[test]
        fn frames_are_found_again_however_they_are_cut(
            frames in vec(
                (0_usize..6, any::<u8>(), any::<u64>(), vec(any::<u8>(), 0..40), 0_usize..40),
                0..8,
            ),
            step in 1_usize..50,
        ) {
            let mut written = BytesMut::new();
            for (kind, service, correlation, header, payload) in &frames {
                let header = Header::Message(header);
                let kind = KINDS[*kind];
                encode(&mut written, kind, *service, *correlation, &header, *payload)
                    .expect("is small");
                written.put_bytes(9, *payload);
            }
            let mut buffer = BytesMut::new();
            let mut found = Vec::new();
            for part in written.chunks(step) {
                buffer.extend_from_slice(part);
                while let Some(raw) = parse(&mut buffer).expect("frames") {
                    let header = decode::<Vec<u8>>(&raw.header).expect("the header");
                    found.push((raw, header));
                }
                prop_assert!(wanted(&buffer).is_none_or(|wanted| wanted > buffer.len()));
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(found.len(), frames.len());
            for ((raw, header), frame) in found.iter().zip(&frames) {
                prop_assert_eq!(raw.kind, KINDS[frame.0]);
                prop_assert_eq!(raw.service, frame.1);
                let correlation = if raw.kind.has_correlation() { frame.2 } else { 0 };
                prop_assert_eq!(raw.correlation, correlation);
                prop_assert_eq!(header, &frame.3);
                prop_assert_eq!(&raw.payload[..], &vec![9; frame.4][..]);
            }
        }

        #[test]
        fn garbage_is_frames_or_an_error_and_ends(
            start in prop_oneof![Just(vec![]), vec(0_u8..8, 10)],
            bytes in vec(any::<u8>(), 0..300),
        ) {
            let mut buffer = BytesMut::from(&[start, bytes].concat()[..]);
            loop {
                let before = buffer.len();
                match parse(&mut buffer) {
                    Ok(Some(_)) => prop_assert!(buffer.len() < before),
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn a_frame_that_cannot_be_written_leaves_no_trace() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let large = vec![0_u8; HEADER_MAX];
        let header = Header::Message(&large);
        let error = encode(&mut buffer, Kind::Message, 1, 0, &header, 0);
        assert!(matches!(error, Err(EncodeError::TooLarge)));
        let header = Header::Message(&Endless);
        let error = encode(&mut buffer, Kind::Message, 1, 0, &header, 0);
        assert!(matches!(error, Err(EncodeError::Message(_))));
        assert_eq!(&buffer[..], b"before");
    }

    /// A list whose length is not known before, for which postcard has no form.
    struct Endless;

    impl Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(std::iter::repeat_n(1, 3).filter(|_| true))
        }
    }
}
