//! Examples of calls, as workers declare them for people and for generated documentation.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Error, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// A call that shows how a function is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Example {
    /// The arguments: an object or an array.
    pub arguments: Json,
    /// What the function answers to them, or the pieces it answers with as an array; none if it
    /// cannot be told.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "even_null"
    )]
    pub result: Option<Json>,
}

/// One JSON value as the text it came in, so that its numbers and the order of its keys stay.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// The text, well-formed.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.get().into()))
    }
}

/// A value that is null is one too.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stay_as_they_were_written() {
        let text = r#"{"arguments":{"b": 1.0,"a":123456789012345678901234567890},"result":null}"#;
        let example: Example = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&example).unwrap(), text);
        let without = r#"{"arguments":[]}"#;
        let example: Example = serde_json::from_str(without).unwrap();
        assert_eq!(example.result, None);
        assert_eq!(serde_json::to_string(&example).unwrap(), without);
    }
}
