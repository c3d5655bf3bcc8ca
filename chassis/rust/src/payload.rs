//! Payloads as they travel: the bytes of one JSON value, or bytes with a content type.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The content type of JSON, which a payload need not have.
const JSON: &str = "application/json";

/// What bytes are if nobody says.
const OCTETS: &str = "application/octet-stream";

/// Arguments, a result or a piece of a stream as bytes, not as values: what
/// [`Worker::payload_function`](crate::Worker::payload_function) takes and gives.
///
/// ```
/// use katamari_worker::Payload;
///
/// let image = Payload::bytes(vec![0x89, 0x50], "image/png");
/// assert_eq!(image.content_type(), Some("image/png"));
/// let value = Payload::json(&[1, 2])?;
/// assert_eq!((value.as_slice(), value.content_type()), (&b"[1,2]"[..], None));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Vec<u8>,
    content_type: Option<String>,
}

impl Payload {
    /// Bytes of a content type, such as `image/png`. Without one they are
    /// `application/octet-stream`.
    pub fn bytes(bytes: impl Into<Vec<u8>>, content_type: &str) -> Self {
        let content_type = if content_type.is_empty() {
            OCTETS
        } else {
            content_type
        };
        Self::new(bytes.into(), Some(content_type.to_owned()))
    }

    /// A value as JSON. NaN becomes `null`, as everywhere in serde_json.
    ///
    /// # Errors
    ///
    /// When the value has no form in JSON, such as a map whose keys are no strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::new(serde_json::to_vec(value)?, None))
    }

    /// Bytes that are one JSON value, which is not checked: an answer that is none breaks the
    /// protocol, or what its reader makes of it.
    pub fn raw_json(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(bytes.into(), None)
    }

    /// Without a content type it is JSON.
    pub(crate) fn new(bytes: Vec<u8>, content_type: Option<String>) -> Self {
        Self {
            bytes,
            content_type,
        }
    }

    /// A reply that says nothing.
    pub(crate) fn empty() -> Self {
        Self::new(Vec::new(), None)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without copying them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The content type; none if the payload is JSON and does not say so.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Whether the bytes are a JSON value.
    pub fn is_json(&self) -> bool {
        let essence = |it: &str| it.split(';').next().is_some_and(|it| it.trim() == JSON);
        self.content_type().is_none_or(essence)
    }

    /// The value, if the payload is JSON of that type.
    ///
    /// # Errors
    ///
    /// When it is of another type, or no JSON.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        if !self.is_json() {
            let came = self.content_type().unwrap_or_default();
            let message = format!("expected JSON, came {came}");
            return Err(serde::de::Error::custom(message));
        }
        serde_json::from_slice(&self.bytes)
    }
}
