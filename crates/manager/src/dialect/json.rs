//! Dialect `json`: length-prefixed frames with a JSON header and a payload, specified in
//! `docs/protocol/worker.md`.

use super::text::{DetailsText, class_name};
use super::{Broken, Codec, FromWorker, Manners, Nested, ToWorker, Unfit, excerpt};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use dispatch::CREDIT;
use pool::Class;
use serde::Deserialize;
use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;
use term::Payload;

/// The one version that there is so far.
pub const PROTOCOL_VERSION: u64 = 1;

/// Bytes of a header: what its length field can say.
pub const HEADER_MAX: usize = u16::MAX as usize;

/// Bytes of a payload: arguments, results and pieces are held in memory whole.
pub const PAYLOAD_MAX: usize = 16 * 1024 * 1024;

/// What `length` counts besides header and payload: the type and the header's length.
const PREFIX: usize = 3;

/// The largest `length`.
const FRAME_MAX: usize = PREFIX + HEADER_MAX + PAYLOAD_MAX;

/// One frame, not yet interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The type: an ASCII letter.
    pub letter: u8,
    /// The JSON header.
    pub header: Bytes,
    /// The payload.
    pub payload: Bytes,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field is out of range.
    #[error(
        "expected a frame of {PREFIX} to {FRAME_MAX} bytes, got a length of {length} (as text: {text})"
    )]
    Length {
        /// What it says.
        length: usize,
        /// The first bytes, since a length like this is most often text that was printed there.
        text: String,
    },
    /// The header is longer than the frame.
    #[error("a header of {header} bytes does not fit into a frame of {frame}")]
    Header {
        /// What the header's length says.
        header: usize,
        /// What the frame's length leaves for it.
        frame: usize,
    },
}

impl Frame {
    /// Takes one frame off the front of `read`; none if it is not complete yet.
    pub fn decode(read: &mut BytesMut) -> Result<Option<Self>, FrameError> {
        let Some(prefix) = read.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if !(PREFIX..=FRAME_MAX).contains(&length) {
            return Err(FrameError::Length {
                length,
                text: excerpt(read),
            });
        }
        if read.len() < 4 + PREFIX {
            return Ok(None);
        }
        let header_length = usize::from(u16::from_be_bytes([read[5], read[6]]));
        if PREFIX + header_length > length {
            return Err(FrameError::Header {
                header: header_length,
                frame: length - PREFIX,
            });
        }
        if read.len() < 4 + length {
            read.reserve(4 + length - read.len());
            return Ok(None);
        }
        let letter = read[4];
        let mut frame = read.split_to(4 + length).freeze();
        frame.advance(4 + PREFIX);
        let header = frame.split_to(header_length);
        Ok(Some(Self {
            letter,
            header,
            payload: frame,
        }))
    }

    /// Appends a frame, whose header is written by `header`. If it comes to more than
    /// [`HEADER_MAX`] bytes, or the payload to more than [`PAYLOAD_MAX`], nothing is appended.
    pub fn encode(
        out: &mut BytesMut,
        letter: u8,
        payload: &[u8],
        header: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Unfit> {
        if payload.len() > PAYLOAD_MAX {
            return Err(Unfit::TooLarge {
                bytes_max: PAYLOAD_MAX,
            });
        }
        let start = out.len();
        out.reserve(4 + PREFIX + 128 + payload.len());
        out.put_u32(0);
        out.put_u8(letter);
        out.put_u16(0);
        let header_start = out.len();
        header(out);
        let Ok(header_length) = u16::try_from(out.len() - header_start) else {
            out.truncate(start);
            return Err(Unfit::HeaderTooLarge {
                bytes_max: HEADER_MAX,
            });
        };
        out.put_slice(payload);
        let length = u32::try_from(out.len() - start - 4).expect("both parts are limited");
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        out[start + 5..start + 7].copy_from_slice(&header_length.to_be_bytes());
        Ok(())
    }
}

/// The codec of dialect `json`.
#[derive(Debug, Default)]
pub struct Json {}

impl Codec for Json {
    fn encode(&mut self, message: &ToWorker, out: &mut BytesMut) -> Result<(), Unfit> {
        let (letter, payload): (u8, &[u8]) = match message {
            ToWorker::Welcome { .. } => (b'W', b""),
            ToWorker::Ping => (b'P', b""),
            ToWorker::Call { payload, .. } => (b'C', payload.bytes()),
            ToWorker::Cancel { .. } => (b'X', b""),
            ToWorker::Flow { .. } => (b'F', b""),
            ToWorker::Input { piece, .. } => (b'I', piece),
            ToWorker::NestedAnswer { payload, .. } => (b'A', payload.bytes()),
            ToWorker::NestedError { .. } => (b'B', b""),
            ToWorker::Quit => (b'Q', b""),
        };
        Frame::encode(out, letter, payload, |out| write_header(message, out))
    }

    fn decode(&mut self, read: &mut BytesMut) -> Result<Option<FromWorker>, Broken> {
        match Frame::decode(read) {
            Ok(None) => Ok(None),
            Ok(Some(frame)) => interpret(frame).map(Some),
            Err(error) => Err(Broken(error.to_string())),
        }
    }

    fn manners(&self) -> Manners {
        Manners {
            says_hello: true,
            answers_pings: true,
            hears_cancels: true,
            hears_quit: true,
            quits_by_signal: false,
            cancels_at_once: false,
            own_descriptors: true,
            takes_terms: false,
            protocol: "1",
        }
    }
}

/// A message is cut to this many bytes, so that a header with it always fits.
const MESSAGE_MAX: usize = 8 * 1024;

fn write_header(message: &ToWorker, out: &mut BytesMut) {
    let mut out = out.writer();
    let written = match message {
        ToWorker::Welcome { worker } => write!(
            out,
            r#"{{"frame_max":{FRAME_MAX},"stream_credit":{CREDIT},"worker":"{worker}"}}"#
        ),
        ToWorker::Ping | ToWorker::Quit => write!(out, "{{}}"),
        ToWorker::Call {
            id,
            call,
            function,
            timeout,
            key,
            class,
            payload,
            input,
        } => {
            let timeout_ms = timeout.as_millis();
            let class = class_name(*class);
            write!(
                out,
                r#"{{"id":{id},"call":"{call}","function":"{function}","timeout_ms":{timeout_ms},"class":"{class}""#
            )
            .and_then(|()| match key {
                Some(key) => write!(out, r#","key":{}"#, json_text(key)),
                None => Ok(()),
            })
            .and_then(|()| write_content_type(&mut out, payload))
            .and_then(|()| match input {
                Some(_) => write!(out, r#","input":true}}"#),
                None => write!(out, "}}"),
            })
        }
        ToWorker::Cancel { id, reason } => write!(out, r#"{{"id":{id},"reason":"{reason}"}}"#),
        ToWorker::Flow { id, bytes } => write!(out, r#"{{"id":{id},"bytes":{bytes}}}"#),
        ToWorker::Input {
            id,
            content_type,
            piece: _,
            end,
        } => write!(out, r#"{{"id":{id}"#)
            .and_then(|()| match content_type {
                Some(content_type) => {
                    write!(out, r#","content_type":{}"#, json_text(content_type))
                }
                None => Ok(()),
            })
            .and_then(|()| {
                let end = if *end { r#","end":true"# } else { "" };
                write!(out, "{end}}}")
            }),
        ToWorker::NestedAnswer { id, payload } => write!(out, r#"{{"id":{id}"#)
            .and_then(|()| write_content_type(&mut out, payload))
            .and_then(|()| write!(out, "}}")),
        ToWorker::NestedError { id, code, message } => {
            let end = message.floor_char_boundary(MESSAGE_MAX);
            let (code, message) = (code.as_str(), json_text(&message[..end]));
            write!(out, r#"{{"id":{id},"code":"{code}","message":{message}}}"#)
        }
    };
    written.expect("writing to memory cannot fail");
}

fn write_content_type(out: &mut impl Write, payload: &Payload) -> std::io::Result<()> {
    match payload {
        Payload::Json(_) => Ok(()),
        other => write!(
            out,
            r#","content_type":{}"#,
            json_text(other.content_type())
        ),
    }
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

#[derive(Deserialize)]
struct HelloHeader {
    protocol: u64,
}

#[derive(Deserialize)]
struct AnswerHeader<'a> {
    id: u64,
    #[serde(borrow, default)]
    content_type: Option<Cow<'a, str>>,
    #[serde(default)]
    last: bool,
}

#[derive(Deserialize)]
struct ErrorHeader {
    id: u64,
    message: String,
    #[serde(default, rename = "type")]
    type_name: Option<String>,
    #[serde(default)]
    last: bool,
}

#[derive(Deserialize)]
struct GrantHeader {
    id: u64,
    bytes: usize,
}

#[derive(Deserialize)]
struct NestedId {
    id: u64,
}

#[derive(Deserialize)]
struct NestedHeader {
    id: u64,
    parent: u64,
    details: DetailsText,
    function: String,
    timeout_ms: Option<u64>,
    key: Option<String>,
    class: Option<Class>,
    idempotent: Option<bool>,
    content_type: Option<String>,
}

/// What a frame from a worker says.
pub fn interpret(frame: Frame) -> Result<FromWorker, Broken> {
    let Frame {
        letter,
        header,
        payload,
    } = frame;
    Ok(match letter {
        b'H' => {
            let HelloHeader { protocol } = parse("hello", &header)?;
            FromWorker::Hello {
                protocol,
                description: Payload::Json(payload),
            }
        }
        b'O' => FromWorker::Pong,
        b'R' => {
            let AnswerHeader {
                id,
                content_type,
                last,
            } = parse("reply", &header)?;
            let payload = result("reply", content_type.as_deref(), payload)?;
            FromWorker::Reply {
                id: Some(id),
                payload,
                last,
            }
        }
        b'E' => {
            let ErrorHeader {
                id,
                message,
                type_name,
                last,
            } = parse("error", &header)?;
            let backtrace =
                (!payload.is_empty()).then(|| String::from_utf8_lossy(&payload).into_owned());
            FromWorker::Error {
                id: Some(id),
                message,
                type_name,
                backtrace,
                last,
            }
        }
        b'S' => {
            let AnswerHeader {
                id, content_type, ..
            } = parse("stream", &header)?;
            let payload = result("stream", content_type.as_deref(), payload)?;
            FromWorker::Piece { id, payload }
        }
        b'G' => {
            let GrantHeader { id, bytes } = parse("grant", &header)?;
            FromWorker::Grant { id, bytes }
        }
        b'N' => {
            let header: NestedHeader = match parse("nested call", &header) {
                Ok(header) => header,
                Err(Broken(why)) => {
                    let NestedId { id } = parse("nested call", &header)?;
                    return Ok(FromWorker::BadNested { id, why });
                }
            };
            let payload = match &header.content_type {
                Some(content_type) => Payload::new(content_type, payload),
                None => Payload::Json(payload),
            };
            FromWorker::Nested(Box::new(Nested {
                id: header.id,
                parent: header.parent,
                details: header.details.into(),
                function: header.function,
                payload,
                timeout: header.timeout_ms.map(Duration::from_millis),
                key: header.key,
                class: header.class,
                idempotent: header.idempotent,
            }))
        }
        other => {
            let letter = char::from(other);
            return Err(Broken(format!(
                "expected a frame of type H, O, R, E, S, G or N, got {letter:?} with header {}",
                excerpt(&header)
            )));
        }
    })
}

fn parse<'a, T: Deserialize<'a>>(name: &str, header: &'a [u8]) -> Result<T, Broken> {
    serde_json::from_slice(header)
        .map_err(|error| Broken(format!("bad header of {name} {}: {error}", excerpt(header))))
}

/// A result without a content type must be one JSON value, since it becomes part of other JSON. The
/// end of a stream may be empty, and so may the result of a function that has nothing to say.
fn result(name: &str, content_type: Option<&str>, bytes: Bytes) -> Result<Payload, Broken> {
    let payload = content_type.map_or_else(
        || Payload::Json(bytes.clone()),
        |content_type| Payload::new(content_type, bytes.clone()),
    );
    if let Payload::Json(json) = &payload
        && !json.is_empty()
    {
        term::check_json(json).map_err(|error| {
            Broken(format!(
                "expected a {name} of JSON, got {}: {error}",
                excerpt(json)
            ))
        })?;
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(letter: u8, header: &str, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        Frame::encode(&mut out, letter, payload, |out| {
            out.put_slice(header.as_bytes());
        })
        .expect("tests write short frames");
        out
    }

    #[test]
    fn a_call_is_one_frame() {
        let call = ToWorker::Call {
            id: 7,
            call: "00000000000000ff".to_owned(),
            function: "echo".into(),
            timeout: Duration::from_millis(1500),
            key: Some("a\"b".into()),
            class: Class::Normal,
            payload: Payload::Json(Bytes::from_static(b"{\"value\":1}")),
            input: None,
        };
        let mut out = BytesMut::new();
        Json::default().encode(&call, &mut out).unwrap();
        let frame = Frame::decode(&mut out).unwrap().unwrap();
        assert_eq!(frame.letter, b'C');
        assert_eq!(
            frame.header,
            r#"{"id":7,"call":"00000000000000ff","function":"echo","timeout_ms":1500,"class":"normal","key":"a\"b"}"#
        );
        assert_eq!(&frame.payload[..], b"{\"value\":1}");
        assert!(out.is_empty());
    }

    #[test]
    fn text_on_the_descriptor_is_shown_as_text() {
        let mut read = BytesMut::from("Loading dictionary\n");
        let error = Json::default().decode(&mut read).unwrap_err();
        assert!(error.0.contains("Loading dictionary"), "{error}");
    }

    #[test]
    fn results_must_be_json_unless_they_say_otherwise() {
        let mut json = Json::default();
        let broken = json
            .decode(&mut frame(b'R', r#"{"id":1}"#, b"{oops"))
            .unwrap_err();
        assert!(broken.0.contains("{oops"), "{broken}");
        let png = json.decode(&mut frame(
            b'R',
            r#"{"id":1,"content_type":"image/png"}"#,
            b"{oops",
        ));
        assert!(matches!(
            png,
            Ok(Some(FromWorker::Reply { id: Some(1), .. }))
        ));
        let last = json.decode(&mut frame(b'R', r#"{"id":1,"last":true,"new":1}"#, b"1"));
        assert!(matches!(
            last,
            Ok(Some(FromWorker::Reply { last: true, .. }))
        ));
    }

    #[test]
    fn a_header_beyond_the_limit_is_not_sent() {
        let call = ToWorker::Call {
            id: 1,
            call: String::new(),
            function: "f".into(),
            timeout: Duration::ZERO,
            key: Some("\"".repeat(HEADER_MAX / 2).into()),
            class: Class::Normal,
            payload: Payload::Json(Bytes::new()),
            input: None,
        };
        let mut out = BytesMut::from("before");
        let bytes_max = HEADER_MAX;
        let error = Json::default().encode(&call, &mut out);
        assert_eq!(error, Err(Unfit::HeaderTooLarge { bytes_max }));
        assert_eq!(&out[..], b"before");
    }

    #[test]
    fn arguments_beyond_the_limit_are_not_sent() {
        let payload = Payload::Json(Bytes::from(vec![b' '; PAYLOAD_MAX + 1]));
        let answer = ToWorker::NestedAnswer { id: 1, payload };
        let error = Json::default().encode(&answer, &mut BytesMut::new());
        let bytes_max = PAYLOAD_MAX;
        assert_eq!(error, Err(Unfit::TooLarge { bytes_max }));
    }

    proptest! {
        #[test]
        fn whatever_is_read_gives_a_message_an_error_or_waits(bytes: Vec<u8>) {
            let mut read = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = Json::default().decode(&mut read) {}
        }

        #[test]
        fn frames_survive_being_cut_anywhere(payload: Vec<u8>, cut in 0_usize..400) {
            let whole = frame(b'R', "{}", &payload);
            let cut = cut.min(whole.len() - 1);
            let mut read = BytesMut::from(&whole[..cut]);
            prop_assert_eq!(Frame::decode(&mut read), Ok(None));
            read.extend_from_slice(&whole[cut..]);
            let frame = Frame::decode(&mut read).unwrap().unwrap();
            prop_assert_eq!(&frame.payload[..], &payload[..]);
        }
    }
}
