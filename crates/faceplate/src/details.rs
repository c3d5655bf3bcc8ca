//! Details as callers write them: one flat JSON object,
//! `{"kind": "parse", "grammar": "1.2.3", "tags": ["a"], "roles": []}`.

use pool::{Details, LABELS_MAX, VERSION_MAX};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Reads details; the error says what was expected.
pub(crate) fn parse(json: &[u8]) -> Result<Details, String> {
    serde_json::from_slice::<Flat>(json)
        .map(|flat| flat.0)
        .map_err(|error| error.to_string())
}

struct Flat(Details);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FlatVisitor).map(Self)
    }
}

struct FlatVisitor;

impl<'de> Visitor<'de> for FlatVisitor {
    type Value = Details;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"details such as {"kind": "parse", "grammar": "1.2.3", "tags": ["en"]}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Details, A::Error> {
        let mut details = Details::default();
        let (mut tags, mut roles) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let repeated = match key.as_str() {
                "kind" => details.kind.replace(text(map.next_value()?)?).is_some(),
                "tags" => tags.replace(labels(map.next_value()?)?).is_some(),
                "roles" => roles.replace(labels(map.next_value()?)?).is_some(),
                _ if details.versions.len() == LABELS_MAX => {
                    return Err(A::Error::custom(format_args!(
                        "more than {LABELS_MAX} keys"
                    )));
                }
                _ => {
                    let version = text(map.next_value()?)?;
                    details
                        .versions
                        .insert(text(key.clone())?, version)
                        .is_some()
                }
            };
            if repeated {
                return Err(A::Error::custom(format_args!("{key:?} is given twice")));
            }
        }
        details.tags = tags.unwrap_or_default();
        details.roles = roles.unwrap_or_default();
        Ok(details)
    }
}

fn text<E: Error>(text: String) -> Result<Arc<str>, E> {
    if text.len() > VERSION_MAX {
        return Err(E::custom(format_args!(
            "a text of more than {VERSION_MAX} bytes"
        )));
    }
    Ok(text.into())
}

fn labels<E: Error>(labels: Vec<String>) -> Result<BTreeSet<Arc<str>>, E> {
    if labels.len() > LABELS_MAX {
        return Err(E::custom(format_args!("more than {LABELS_MAX} labels")));
    }
    labels.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_known_are_versions() {
        let json = br#"{"kind": "parse", "grammar": "1.2.3", "tags": ["b", "a"], "roles": ["r"]}"#;
        let details = parse(json).unwrap();
        assert_eq!(details.kind.as_deref(), Some("parse"));
        assert_eq!(
            details.versions.get("grammar").map(|version| &**version),
            Some("1.2.3")
        );
        assert_eq!(
            details.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(details.roles.len(), 1);
        assert_eq!(parse(b"{}").unwrap(), Details::default());
    }

    #[test]
    fn other_shapes_and_repetitions_are_refused() {
        let many = format!(
            "{{\"tags\": [{}]}}",
            vec!["\"t\""; LABELS_MAX + 1].join(",")
        );
        let long = format!("{{\"kind\": \"{}\"}}", "k".repeat(VERSION_MAX + 1));
        let bad: [&[u8]; 8] = [
            b"[]",
            b"{\"kind\": 1}",
            b"{\"grammar\": [1, 2]}",
            b"{\"kind\": \"a\", \"kind\": \"b\"}",
            b"{\"g\": \"1\", \"g\": \"2\"}",
            b"{\"tags\": \"a\"}",
            many.as_bytes(),
            long.as_bytes(),
        ];
        for json in bad {
            assert!(parse(json).is_err(), "{}", String::from_utf8_lossy(json));
        }
    }
}
