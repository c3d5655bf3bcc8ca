//! The types of parameters and results, read once from the notation of docs/protocol/worker.md:
//! `[string?]` becomes an array of strings that may be null. `fit` checks JSON against them, and the
//! schemas of other protocols are made of them.

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Levels of `[]` and `{}` around a word: more than anybody reads, and few enough to recurse.
const DEPTH_MAX: usize = 16;

/// The type of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Type {
    /// Text.
    String,
    /// A number written without fraction and exponent, of any size.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A whole payload with a content type of its own. In JSON there is no such value.
    Bytes,
    /// An object, with values of any type.
    Object,
    /// Any value, null as well.
    #[default]
    Any,
    /// `[T]`: an array.
    Array(Arc<Type>),
    /// `{T}`: an object whose values are all of one type.
    Map(Arc<Type>),
    /// `T?`: null, or a value of a type that is itself no `Optional`.
    Optional(Arc<Type>),
}

/// What stands for the types without parts.
const WORDS: [(&str, Type); 7] = [
    ("string", Type::String),
    ("integer", Type::Integer),
    ("number", Type::Number),
    ("boolean", Type::Boolean),
    ("bytes", Type::Bytes),
    ("object", Type::Object),
    ("any", Type::Any),
];

/// Why a text is no type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadType {
    /// It is not in the notation.
    Notation(String),
    /// It nests deeper than the protocol allows.
    TooDeep(String),
}

impl Type {
    /// The type without its `?`, and whether it had one.
    pub fn required(&self) -> (&Type, bool) {
        match self {
            Self::Optional(inner) => (inner, true),
            other => (other, false),
        }
    }

    /// Whether there is JSON that is not of this type.
    pub fn is_checked(&self) -> bool {
        !matches!(self.required().0, Self::Any | Self::Bytes)
    }

    /// Reads the notation, at most that many levels deep.
    fn read(text: &str, levels: usize) -> Result<Self, ()> {
        if let Some(inner) = text.strip_suffix('?') {
            // Nothing is optional twice, which also bounds how deep this recurses.
            if inner.ends_with('?') {
                return Err(());
            }
            return Ok(Self::Optional(Arc::new(Self::read(inner, levels)?)));
        }
        let within = |open, close| text.strip_prefix(open)?.strip_suffix(close);
        let (inner, of): (_, fn(Arc<Self>) -> Self) = match (within('[', ']'), within('{', '}')) {
            (Some(inner), _) => (inner, Self::Array),
            (None, Some(inner)) => (inner, Self::Map),
            (None, None) => {
                let word = WORDS.into_iter().find(|(word, _)| *word == text);
                return word.map(|(_, word)| word).ok_or(());
            }
        };
        let levels = levels.checked_sub(1).ok_or(())?;
        Ok(of(Arc::new(Self::read(inner, levels)?)))
    }
}

impl FromStr for Type {
    type Err = BadType;

    fn from_str(text: &str) -> Result<Self, BadType> {
        let levels = text.chars().filter(|c| matches!(c, '[' | '{')).count();
        if levels > DEPTH_MAX {
            return Err(BadType::TooDeep(text.to_owned()));
        }
        Self::read(text, DEPTH_MAX).map_err(|()| BadType::Notation(text.to_owned()))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(inner) => write!(f, "[{inner}]"),
            Self::Map(inner) => write!(f, "{{{inner}}}"),
            Self::Optional(inner) => write!(f, "{inner}?"),
            plain => {
                let word = WORDS.iter().find(|(_, word)| word == plain);
                f.write_str(word.expect("every type without parts has a word").0)
            }
        }
    }
}

impl fmt::Display for BadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notation(text) => write!(
                f,
                "expected a type (string, integer, number, boolean, bytes, object, any, [T], {{T}} or T?), got {text:?}"
            ),
            Self::TooDeep(text) => write!(
                f,
                "expected types to nest at most {DEPTH_MAX} deep, got {text:?}"
            ),
        }
    }
}

impl std::error::Error for BadType {}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_is_read_and_written_alike() {
        for text in [
            "string",
            "integer",
            "number",
            "boolean",
            "bytes",
            "object",
            "any",
            "any?",
            "[integer]",
            "{[number]}?",
            "[[string?]?]",
        ] {
            assert_eq!(text.parse::<Type>().unwrap().to_string(), text);
        }
        let maybe_texts = Type::Array(Arc::new(Type::Optional(Arc::new(Type::String))));
        assert_eq!("[string?]".parse(), Ok(maybe_texts));
    }

    #[test]
    fn what_is_no_type_is_named() {
        let deep = "[".repeat(DEPTH_MAX + 1) + "any" + &"]".repeat(DEPTH_MAX + 1);
        for bad in [
            "", "text", "[string", "string]", "string??", "{}", "?", "[any}",
        ] {
            let error = bad.parse::<Type>().unwrap_err();
            assert_eq!(error, BadType::Notation(bad.to_owned()));
        }
        let error = deep.parse::<Type>().unwrap_err();
        assert!(error.to_string().contains("at most 16 deep"), "{error}");
        let deepest = &deep[1..deep.len() - 1];
        assert!(deepest.parse::<Type>().is_ok());
        // However long a text is, reading it goes no deeper.
        assert!("?".repeat(1 << 20).parse::<Type>().is_err());
    }
}
