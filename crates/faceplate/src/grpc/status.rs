//! How a call ended, as gRPC says it: a number, a message and details, behind the answer.

use crate::access::Denied;
use crate::errors::{grpc_number, retry_after_s};
use crate::receipt::Receipt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use dispatch::{CallError, Code, Detail};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message;
use std::collections::BTreeMap;

/// Bytes of a message as it is sent. Clients take 8 KiB of headers, some of them no more.
const MESSAGE_MAX: usize = 2 * 1024;

/// Bytes of each text in the details.
const TEXT_MAX: usize = 1024;

/// What a message has in another form than itself, besides all that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

const UNIMPLEMENTED: u8 = 12;
const UNAUTHENTICATED: u8 = 16;
const RESOURCE_EXHAUSTED: u8 = 8;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// When a client that tries again by itself is to do so (gRPC's proposal A6).
static PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What a call failed with.
#[derive(Debug)]
pub(super) struct Status {
    number: u8,
    error: CallError,
    receipt: Option<Receipt>,
}

impl Status {
    /// Of a message that only a decoder which is not there could read.
    pub fn compressed() -> Self {
        let text = "expected a message that is not compressed, got one that is";
        Self {
            number: UNIMPLEMENTED,
            ..CallError::new(Code::BadRequest, text).into()
        }
    }

    /// The same, of a call with that receipt.
    pub fn of(self, receipt: Receipt) -> Self {
        Self {
            receipt: Some(receipt),
            ..self
        }
    }

    /// Writes it as headers or trailers.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Self { number, error, .. } = self;
        headers.insert(GRPC_STATUS.clone(), u16::from(*number).into());
        headers.insert(GRPC_MESSAGE.clone(), percent_encoded(&error.message));
        let details = STANDARD_NO_PAD.encode(self.details().encode_to_vec());
        let details = HeaderValue::from_str(&details).expect("base64 is visible ASCII");
        headers.insert(DETAILS.clone(), details);
        let after = error.detail.as_ref().and_then(|detail| detail.retry_after);
        if let Some(after) = after {
            let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            headers.insert(PUSHBACK.clone(), ms.into());
        }
        if let Some(receipt) = &self.receipt {
            receipt.write(headers);
        }
    }

    fn details(&self) -> rpc::Status {
        let Self { error, receipt, .. } = self;
        let id = receipt.as_ref().map(Receipt::id);
        let nothing = Detail::default();
        let detail = error.detail.as_deref().unwrap_or(&nothing);
        let info = rpc::ErrorInfo {
            reason: error.code.as_str().to_ascii_uppercase(),
            domain: "katamari".to_owned(),
            metadata: facts(detail, id),
        };
        let mut details = vec![rpc::any("ErrorInfo", &info)];
        if let Some(seconds) = retry_after_s(detail) {
            let delay = prost_types::Duration {
                seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
                nanos: 0,
            };
            let retry = rpc::RetryInfo {
                retry_delay: Some(delay),
            };
            details.push(rpc::any("RetryInfo", &retry));
        }
        if let Some(backtrace) = &detail.backtrace {
            let debug = rpc::DebugInfo {
                detail: end_of(backtrace).to_owned(),
            };
            details.push(rpc::any("DebugInfo", &debug));
        }
        rpc::Status {
            code: self.number.into(),
            // The message stands beside the details already.
            message: String::new(),
            details,
        }
    }
}

/// That all went well.
pub(super) fn write_ok(headers: &mut HeaderMap) {
    headers.insert(GRPC_STATUS.clone(), HeaderValue::from_static("0"));
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        Self {
            number: grpc_number(error.code),
            error,
            receipt: None,
        }
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        let number = match denied {
            Denied::Missing | Denied::Malformed | Denied::Unknown | Denied::Expired(_) => {
                Some(UNAUTHENTICATED)
            }
            Denied::Rate(..) => Some(RESOURCE_EXHAUSTED),
            _ => None,
        };
        let status = Self::from(CallError::from(denied));
        Self {
            number: number.unwrap_or(status.number),
            ..status
        }
    }
}

/// What is known of an error, by the names that HTTP has for it.
fn facts(detail: &Detail, id: Option<String>) -> BTreeMap<String, String> {
    let stderr = (!detail.stderr.is_empty()).then(|| detail.stderr.join("\n"));
    let facts = [
        ("id", id),
        ("program", detail.program.as_deref().map(str::to_owned)),
        ("pid", detail.pid.map(|pid| pid.to_string())),
        (
            "exit_status",
            detail.status.map(|status| status.to_string()),
        ),
        ("signal", detail.signal.map(|signal| signal.to_string())),
        ("error_type", detail.type_name.clone()),
        ("stderr", stderr),
    ];
    let known = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), end_of(&value?).to_owned())));
    known.collect()
}

/// The last part of a text: of backtraces and logs, that which matters.
fn end_of(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(TEXT_MAX))..]
}

/// The beginning of a text with all but visible ASCII as `%` and two digits.
fn percent_encoded(text: &str) -> HeaderValue {
    let mut encoded = String::new();
    for part in utf8_percent_encode(text, ENCODED) {
        // A part is one encoded byte, or a run of those that stay as they are.
        let room = (MESSAGE_MAX - encoded.len()).min(part.len());
        encoded.push_str(if part.starts_with('%') && room < part.len() {
            break;
        } else {
            &part[..room]
        });
    }
    HeaderValue::from_str(&encoded).expect("it is visible ASCII")
}

/// The messages of `google.rpc` that clients read details with.
mod rpc {
    use prost::Message;
    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, Message)]
    pub struct Status {
        #[prost(int32, tag = "1")]
        pub code: i32,
        #[prost(string, tag = "2")]
        pub message: String,
        #[prost(message, repeated, tag = "3")]
        pub details: Vec<prost_types::Any>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct ErrorInfo {
        #[prost(string, tag = "1")]
        pub reason: String,
        #[prost(string, tag = "2")]
        pub domain: String,
        #[prost(btree_map = "string, string", tag = "3")]
        pub metadata: BTreeMap<String, String>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        pub retry_delay: Option<prost_types::Duration>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct DebugInfo {
        #[prost(string, tag = "2")]
        pub detail: String,
    }

    pub fn any(name: &str, message: &impl Message) -> prost_types::Any {
        prost_types::Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value: message.encode_to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_and_bounded() {
        let encoded = |text: &str| percent_encoded(text).to_str().unwrap_or("?").to_owned();
        assert_eq!(encoded("100 % naïve\n"), "100 %25 na%C3%AFve%0A");
        let long = encoded(&"é".repeat(2_000));
        assert_eq!(long.len(), MESSAGE_MAX / 3 * 3);
        assert_eq!(encoded(&"x".repeat(5_000)).len(), MESSAGE_MAX);
        assert_eq!(
            end_of(&format!("{}é", "x".repeat(TEXT_MAX - 1))).len(),
            TEXT_MAX
        );
    }
}
