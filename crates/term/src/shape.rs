//! Which arguments a call gives: enough to match it against an API, without building a value tree.

use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Arguments that one call may give. A function cannot declare more.
pub const ARGUMENTS_MAX: usize = 100;

/// How deep arrays and objects may nest in a payload: deeper ones overflow the stacks of the
/// recursive parsers in workers.
pub const DEPTH_MAX: usize = 128;

/// The names, or the number, of the arguments in a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// An object: arguments by name, in the order given.
    Named(Vec<Box<str>>),
    /// An array: that many arguments by position.
    Positional(usize),
    /// Not JSON: the function gets the bytes as they are.
    Opaque,
}

/// Why a payload cannot be the arguments of a call.
#[derive(Debug, thiserror::Error)]
pub enum NotJson {
    /// Not one well-formed JSON value.
    #[error("expected JSON: {0}")]
    Syntax(serde_json::Error),
    /// Well-formed, but neither object nor array, or with too many or repeated names.
    #[error("expected an object or an array of arguments: {0}")]
    Arguments(serde_json::Error),
    /// Not UTF-8, which JSON must be.
    #[error("expected JSON in UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("expected arrays and objects to nest at most {DEPTH_MAX} deep")]
    TooDeep,
}

impl Shape {
    /// Checks that `bytes` is one JSON object or array and notes the arguments it gives. An empty
    /// payload gives none.
    pub fn of_json(bytes: &[u8]) -> Result<Self, NotJson> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::Named(Vec::new()));
        }
        if depth(bytes) > DEPTH_MAX {
            return Err(NotJson::TooDeep);
        }
        let mut json = serde_json::Deserializer::from_str(std::str::from_utf8(bytes)?);
        let shape = json.deserialize_any(ShapeVisitor).map_err(|error| {
            if error.is_data() {
                NotJson::Arguments(error)
            } else {
                NotJson::Syntax(error)
            }
        })?;
        json.end().map_err(NotJson::Syntax)?;
        Ok(shape)
    }
}

/// Checks that `bytes` is one JSON value, whatever it is.
pub fn check_json(bytes: &[u8]) -> Result<(), NotJson> {
    let text = std::str::from_utf8(bytes)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(NotJson::Syntax)?;
    Ok(())
}

/// The deepest nesting of brackets outside strings. For what is not JSON the figure means nothing,
/// and the parser that follows says so.
pub(crate) fn depth(bytes: &[u8]) -> usize {
    let (mut deepest, mut now, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of named arguments or an array of positional ones")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut names: Vec<Box<str>> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.iter().any(|seen| **seen == *name) {
                return Err(de::Error::custom(format_args!(
                    "argument {name:?} is given twice"
                )));
            }
            if names.len() == ARGUMENTS_MAX {
                return Err(de::Error::custom(format_args!(
                    "more than {ARGUMENTS_MAX} arguments"
                )));
            }
            names.push(name.into_boxed_str());
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Shape::Named(names))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut count = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
            if count > ARGUMENTS_MAX {
                return Err(de::Error::custom(format_args!(
                    "more than {ARGUMENTS_MAX} arguments"
                )));
            }
        }
        Ok(Shape::Positional(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Shape {
        Shape::Named(names.iter().map(|&name| name.into()).collect())
    }

    #[test]
    fn objects_name_their_arguments_and_arrays_count_them() {
        let object = Shape::of_json(br#" {"text": {"a": [1]}, "limit": 2} "#).unwrap();
        assert_eq!(object, named(&["text", "limit"]));
        assert_eq!(
            Shape::of_json(b"[1, [2, 3], {}]").unwrap(),
            Shape::Positional(3)
        );
        assert_eq!(Shape::of_json(b" \n").unwrap(), named(&[]));
    }

    #[test]
    fn what_is_not_json_is_told_from_what_is_not_arguments() {
        for bad in [
            "{",
            "{\"a\":}",
            "[1]]",
            "{} x",
            "\u{0}",
            "{\"a\":\"\\ud800\"",
            "nul",
        ] {
            let error = Shape::of_json(bad.as_bytes()).unwrap_err();
            assert!(matches!(error, NotJson::Syntax(_)), "{bad}: {error}");
        }
        for bad in ["1", "\"text\"", "null", "{\"a\":1,\"a\":2}"] {
            let error = Shape::of_json(bad.as_bytes()).unwrap_err();
            assert!(matches!(error, NotJson::Arguments(_)), "{bad}: {error}");
        }
    }

    #[test]
    fn text_must_be_utf_8() {
        assert!(matches!(
            Shape::of_json(b"[\"\xff\"]"),
            Err(NotJson::Utf8(_))
        ));
        assert!(matches!(check_json(b"\"\xff\""), Err(NotJson::Utf8(_))));
        assert!(matches!(check_json(b"1 2"), Err(NotJson::Syntax(_))));
        assert!(check_json("\"\u{e9}\"".as_bytes()).is_ok());
    }

    #[test]
    fn depth_and_number_of_arguments_are_limited() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Shape::of_json(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(matches!(
            Shape::of_json(nested(DEPTH_MAX + 1).as_bytes()),
            Err(NotJson::TooDeep)
        ));
        let brackets_in_text = format!("[\"{}\\\"[\"]", "[".repeat(DEPTH_MAX * 2));
        assert_eq!(
            Shape::of_json(brackets_in_text.as_bytes()).unwrap(),
            Shape::Positional(1)
        );
        let many = format!("[{}1]", "1,".repeat(ARGUMENTS_MAX));
        assert!(matches!(
            Shape::of_json(many.as_bytes()),
            Err(NotJson::Arguments(_))
        ));
    }
}
