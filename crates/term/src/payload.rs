//! The bytes of a call or an answer, with the encoding they are in.

use bytes::Bytes;
use std::sync::Arc;

/// The content type of JSON.
pub const JSON: &str = "application/json";

/// The content type of terms in Erlang's external term format.
pub const ETF: &str = "application/vnd.erlang.etf";

/// The arguments of a call, or its result. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// One JSON value in UTF-8.
    Json(Bytes),
    /// One term in Erlang's external term format.
    Etf(Bytes),
    /// Anything else, with its content type.
    Bytes {
        /// As in HTTP's `content-type`.
        content_type: Arc<str>,
        /// Opaque to Katamari.
        bytes: Bytes,
    },
}

impl Payload {
    /// A payload of the given content type; [`JSON`], with or without parameters, becomes
    /// [`Payload::Json`], and [`ETF`] [`Payload::Etf`].
    pub fn new(content_type: &str, bytes: Bytes) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(JSON) {
            Self::Json(bytes)
        } else if essence.eq_ignore_ascii_case(ETF) {
            Self::Etf(bytes)
        } else {
            Self::Bytes {
                content_type: content_type.into(),
                bytes,
            }
        }
    }

    /// The bytes, whatever the encoding.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Json(bytes) | Self::Etf(bytes) | Self::Bytes { bytes, .. } => bytes,
        }
    }

    /// The content type to announce these bytes with.
    pub fn content_type(&self) -> &str {
        match self {
            Self::Json(_) => JSON,
            Self::Etf(_) => ETF,
            Self::Bytes { content_type, .. } => content_type,
        }
    }

    /// Bytes it takes in memory and on the wire, near enough for limits.
    pub fn size(&self) -> usize {
        self.bytes().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_terms_are_recognised_with_parameters_and_in_any_case() {
        let json = Payload::new("Application/JSON; charset=utf-8", Bytes::from_static(b"1"));
        assert_eq!(json, Payload::Json(Bytes::from_static(b"1")));
        assert_eq!(json.content_type(), JSON);
        let etf = Payload::new(ETF, Bytes::from_static(b"\x83j"));
        assert_eq!(etf, Payload::Etf(Bytes::from_static(b"\x83j")));
        assert_eq!(etf.content_type(), ETF);
        let png = Payload::new("image/png", Bytes::from_static(b"\x89"));
        assert_eq!(png.content_type(), "image/png");
        assert_eq!(png.size(), 1);
    }
}
