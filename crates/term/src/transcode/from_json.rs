//! From JSON to terms, in one pass of serde_json's parser.

use super::numbers::Numbers;
use super::repeated::repeated;
use super::{Style, TRANSCODE_DEPTH_MAX};
use crate::etf::Limits;
use crate::shape::{ARGUMENTS_MAX, depth};
use crate::value::{Atom, Term};
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Why JSON does not become a term.
#[derive(Debug, thiserror::Error)]
pub enum FromJsonError {
    /// Not one well-formed JSON value, or with a name given twice, or beyond a limit.
    #[error("expected JSON that a term can hold: {0}")]
    Json(serde_json::Error),
    /// Not UTF-8, which JSON must be.
    #[error("expected JSON in UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    /// Longer than the limit of bytes.
    #[error("expected JSON of at most {max} bytes, got {bytes}")]
    TooLong {
        /// The limit.
        max: usize,
        /// How long it is.
        bytes: usize,
    },
    /// An integer of more digits than the limit of integers lets through.
    #[error("expected an integer of at most {max} digits, got {digits}")]
    LongInteger {
        /// The limit.
        max: usize,
        /// How many it has.
        digits: usize,
    },
    /// Nested deeper than [`TRANSCODE_DEPTH_MAX`].
    #[error("expected arrays and objects to nest at most {TRANSCODE_DEPTH_MAX} deep")]
    TooDeep,
    /// What should be named arguments is not, or one of the names cannot be an atom.
    #[error("expected an object of at most {ARGUMENTS_MAX} named arguments: {0}")]
    Arguments(String),
}

/// The term that one JSON value becomes in that style. Of the limits those of bytes, elements
/// (values, where names count for none) and integers hold; strings share the memory of `json`
/// where they have no escapes.
pub fn from_json(json: &Bytes, style: Style, limits: &Limits) -> Result<Term, FromJsonError> {
    read(json, style, limits, |parser, state| {
        Value(state).deserialize(parser)
    })
}

/// The top-level arguments of a call, `{Key, Value}` with atoms for keys, from a JSON object in
/// that style, under the limits of [`from_json`]. An empty text has none.
pub fn arguments_from_json(
    json: &Bytes,
    style: Style,
    limits: &Limits,
) -> Result<Vec<(Atom, Term)>, FromJsonError> {
    if json.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let pairs = read(json, style, limits, |parser, state| {
        parser.deserialize_map(Pairs(state))
    })?;
    if pairs.len() > ARGUMENTS_MAX {
        return Err(FromJsonError::Arguments(format!("got {}", pairs.len())));
    }
    let atom = |name: Bytes| {
        let text = std::str::from_utf8(&name).expect("the parser made it from text");
        Atom::new(text).map_err(|error| FromJsonError::Arguments(error.to_string()))
    };
    pairs
        .into_iter()
        .map(|(name, value)| Ok((atom(name)?, value)))
        .collect()
}

type Parser<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

fn read<T>(
    json: &Bytes,
    style: Style,
    limits: &Limits,
    parse: impl FnOnce(&mut Parser<'_>, &mut State<'_>) -> Result<T, serde_json::Error>,
) -> Result<T, FromJsonError> {
    if json.len() > limits.bytes {
        return Err(FromJsonError::TooLong {
            max: limits.bytes,
            bytes: json.len(),
        });
    }
    std::str::from_utf8(json)?;
    if depth(json) > TRANSCODE_DEPTH_MAX {
        return Err(FromJsonError::TooDeep);
    }
    // A byte is some 2.408 digits.
    let digits_max = limits.integer_bytes.saturating_mul(241) / 100 + 1;
    let (numbers, text) =
        Numbers::of(json, digits_max).map_err(|long| FromJsonError::LongInteger {
            max: digits_max,
            digits: long.digits,
        })?;
    let mut state = State {
        style,
        text: &text,
        numbers,
        elements_left: limits.elements,
    };
    let mut parser = serde_json::Deserializer::from_str(std::str::from_utf8(&text)?);
    let value = parse(&mut parser, &mut state).map_err(FromJsonError::Json)?;
    parser.end().map_err(FromJsonError::Json)?;
    Ok(value)
}

/// What parsing keeps from one value to the next.
struct State<'a> {
    style: Style,
    /// All of the text, which strings share.
    text: &'a Bytes,
    numbers: Numbers,
    elements_left: usize,
}

impl State<'_> {
    fn null(&self) -> Term {
        match self.style {
            Style::Classic | Style::Erlang => Term::atom("null"),
            Style::Bert => Term::pair(Term::atom("bert"), Term::atom("nil")),
        }
    }

    fn bool(&self, value: bool) -> Term {
        let atom = Term::atom(if value { "true" } else { "false" });
        match self.style {
            Style::Classic | Style::Erlang => atom,
            Style::Bert => Term::pair(Term::atom("bert"), atom),
        }
    }

    fn array(&self, elements: Vec<Term>) -> Term {
        match self.style {
            Style::Classic => Term::pair(Term::atom("array"), Term::List(elements)),
            Style::Bert | Style::Erlang => Term::List(elements),
        }
    }

    fn object(&self, pairs: Vec<(Bytes, Term)>) -> Term {
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| (Term::Binary(name), value));
        let marks: &[&'static str] = match self.style {
            Style::Erlang => return Term::Map(pairs.collect()),
            Style::Classic => &["struct"],
            Style::Bert => &["bert", "dict"],
        };
        let marks = marks.iter().map(|mark| Term::atom(mark));
        let pairs = pairs.map(|(name, value)| Term::pair(name, value)).collect();
        Term::Tuple(marks.chain([Term::List(pairs)]).collect())
    }
}

/// Any value.
struct Value<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = Term;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Term, D::Error> {
        match self.0.elements_left.checked_sub(1) {
            Some(left) => self.0.elements_left = left,
            None => return Err(D::Error::custom("too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = Term;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Term, E> {
        Ok(self.0.null())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Term, E> {
        Ok(self.0.bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Term, E> {
        Ok(self.0.numbers.next(Term::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Term, E> {
        let term = i64::try_from(value).map_or_else(|_| Term::Big(value.into()), Term::Integer);
        Ok(self.0.numbers.next(term))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Term, E> {
        Ok(self.0.numbers.next(Term::Float(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Term, E> {
        Ok(Term::text(text))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Term, E> {
        Ok(Term::Binary(self.0.text.slice_ref(text.as_bytes())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Term, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(Value(self.0))? {
            elements.push(element);
        }
        Ok(self.0.array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Term, A::Error> {
        let pairs = Pairs(self.0).visit_map(map)?;
        Ok(self.0.object(pairs))
    }
}

/// An object's names and values.
struct Pairs<'s, 'a>(&'s mut State<'a>);

impl<'de> Visitor<'de> for Pairs<'_, '_> {
    type Value = Vec<(Bytes, Term)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs: Self::Value = Vec::new();
        while let Some(name) = map.next_key_seed(Name(self.0.text))? {
            pairs.push((name, map.next_value_seed(Value(self.0))?));
        }
        match repeated(pairs.iter().map(|(name, _)| &name[..])) {
            None => Ok(pairs),
            Some(name) => {
                let name = String::from_utf8_lossy(name);
                Err(A::Error::custom(format_args!("{name:?} is given twice")))
            }
        }
    }
}

/// A name of an object.
struct Name<'a>(&'a Bytes);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Bytes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Bytes, E> {
        Ok(self.0.slice_ref(text.as_bytes()))
    }
}
