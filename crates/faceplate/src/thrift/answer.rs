//! Answers: what a function returns, the exception that all of them declare, and Thrift's own
//! exceptions for what never became a call.

use super::codec::{Header, Kind, Message};
use super::framing::Style;
use super::writer::Writer;
use crate::errors::retry_after_s;
use bytes::Bytes;
use dispatch::CallError;

/// Thrift's number for a function that there is not (`TApplicationException::UNKNOWN_METHOD`).
pub(super) const UNKNOWN_METHOD: i32 = 1;

/// Its number for a message that is neither call nor oneway.
pub(super) const INVALID_MESSAGE_TYPE: i32 = 2;

/// Its number for bytes that are no message.
const PROTOCOL_ERROR: i32 = 7;

/// The field of what a function returns.
pub(super) const SUCCESS_ID: i16 = 0;

/// The field of the exception that every function declares.
const ERROR_ID: i16 = 1;

/// What the answer to a message begins with.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub style: Style,
    /// The function's name, without that of its service.
    pub name: String,
    /// As it came.
    pub sequence: i32,
}

impl Place {
    /// An answer of which nothing but its head is written.
    pub fn begin(&self, message: Message) -> Writer {
        let mut writer = Writer::new(self.style.protocol, vec![0; self.style.start()]);
        writer.header(&Header {
            name: &self.name,
            message,
            sequence: self.sequence,
        });
        writer
    }

    /// An answer whose fields are written.
    pub fn end(&self, mut writer: Writer) -> Bytes {
        writer.stop();
        self.style.close(writer.into_bytes())
    }

    /// The answer of a function that returns nothing.
    pub fn done(&self) -> Bytes {
        self.end(self.begin(Message::Reply))
    }

    /// `KatamariError`. `id` is that of the call, if it became one.
    pub fn error(&self, error: &CallError, id: Option<&str>) -> Bytes {
        let mut writer = self.begin(Message::Reply);
        writer.field(ERROR_ID, Kind::Struct, &mut 0);
        let detail = error.detail.as_deref();
        let texts = [
            (1, Some(error.code.as_str())),
            (2, Some(&*error.message)),
            (3, id),
            (4, detail.and_then(|detail| detail.type_name.as_deref())),
            (5, detail.and_then(|detail| detail.backtrace.as_deref())),
        ];
        let mut last = 0;
        for (field, text) in texts {
            if let Some(text) = text {
                writer.field(field, Kind::Text, &mut last);
                writer.bytes(text.as_bytes());
            }
        }
        if let Some(after) = detail.and_then(retry_after_s) {
            writer.field(6, Kind::I64, &mut last);
            writer.i64(i64::try_from(after).unwrap_or(i64::MAX));
        }
        writer.stop();
        self.end(writer)
    }

    /// Thrift's own exception.
    pub fn exception(&self, number: i32, message: &str) -> Bytes {
        let mut writer = self.begin(Message::Exception);
        let mut last = 0;
        writer.field(1, Kind::Text, &mut last);
        writer.bytes(message.as_bytes());
        writer.field(2, Kind::I32, &mut last);
        writer.i32(number);
        self.end(writer)
    }
}

/// The answer to what is no message.
pub(super) fn refusal(style: Style, error: &CallError) -> Bytes {
    let place = Place {
        style,
        name: String::new(),
        sequence: 0,
    };
    place.exception(PROTOCOL_ERROR, &error.to_string())
}
