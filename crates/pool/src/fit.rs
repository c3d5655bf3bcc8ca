//! Whether JSON is of the types that a function declares: one pass over the bytes, driven by the
//! types, which builds no values and stops at the first that is wrong.

use crate::Type;
use crate::api::Parameter;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Characters of a value, or of a key of the caller's, that an error shows.
const SHOWN_MAX: usize = 40;

/// A value that is not of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongType {
    /// Where it stands: `text`, `texts[2]`, `scores.ada`.
    pub place: String,
    /// Its type, as declared.
    pub expected: Type,
    /// What came instead: `integer 5`.
    pub got: String,
}

impl fmt::Display for WrongType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            expected,
            got,
        } = self;
        write!(f, "{place}: expected {expected}, got {got}")
    }
}

/// Checks arguments, an object or an array, against the types of parameters. Names and counts are
/// known to fit, and the bytes to be JSON; what is none has no types.
pub(crate) fn arguments(parameters: &[Parameter], json: &[u8]) -> Result<(), WrongType> {
    let mut wrong = None;
    let mut json = serde_json::Deserializer::from_slice(json);
    let visitor = Arguments {
        parameters,
        wrong: &mut wrong,
    };
    // It fails with what it notes in `wrong`, or because this is no JSON.
    let _ = json.deserialize_any(visitor);
    wrong.map_or(Ok(()), Err)
}

impl Type {
    /// Checks one value, which is known to be JSON. `place` is what the error calls it.
    pub fn check(&self, json: &str, place: &str) -> Result<(), WrongType> {
        let mut wrong = None;
        let mut json = serde_json::Deserializer::from_str(json);
        let fit = Fit {
            expected: self,
            or_null: false,
            wrong: &mut wrong,
        };
        let _ = fit.deserialize(&mut json);
        wrong.map_or(Ok(()), |wrong| Err(wrong.within(place)))
    }
}

impl WrongType {
    /// The same, seen from one level further out.
    fn within(mut self, step: &str) -> Self {
        self.place.insert_str(0, step);
        self
    }
}

struct Arguments<'t, 'w> {
    parameters: &'t [Parameter],
    wrong: &'w mut Option<WrongType>,
}

impl Arguments<'_, '_> {
    fn note(&mut self, parameter: &Parameter) {
        *self.wrong = self.wrong.take().map(|wrong| wrong.within(&parameter.name));
    }
}

impl<'de> Visitor<'de> for Arguments<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arguments")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(parameter) = map.next_key_seed(Named(self.parameters))? {
            let fit = Fit {
                expected: parameter.map_or(&Type::Any, |parameter| &parameter.r#type),
                or_null: parameter.is_some_and(|parameter| !parameter.required),
                wrong: self.wrong,
            };
            let fits = map.next_value_seed(fit);
            if let (Err(_), Some(parameter)) = (&fits, parameter) {
                self.note(parameter);
            }
            fits?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        for parameter in self.parameters {
            let fit = Fit {
                expected: &parameter.r#type,
                or_null: !parameter.required,
                wrong: self.wrong,
            };
            match seq.next_element_seed(fit) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    self.note(parameter);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Finds the parameter that a key names.
struct Named<'t>(&'t [Parameter]);

impl<'de, 't> DeserializeSeed<'de> for Named<'t> {
    type Value = Option<&'t Parameter>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Named<'t> {
    type Value = Option<&'t Parameter>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|parameter| *parameter.name == *key))
    }
}

/// The check of one value. It notes what is wrong where the value stands; those who hold the value
/// add their part of the place.
struct Fit<'t, 'w> {
    expected: &'t Type,
    /// Whether null will do whatever the type: what may be left out may be null as well.
    or_null: bool,
    wrong: &'w mut Option<WrongType>,
}

impl<'de> DeserializeSeed<'de> for Fit<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let or_null = self.or_null;
        match self.expected.required() {
            (Type::Any | Type::Bytes, _) => IgnoredAny::deserialize(json).map(drop),
            (Type::Array(_) | Type::Map(_), _) => json.deserialize_any(self),
            (plain, optional) => {
                let raw = <&RawValue>::deserialize(json)?.get();
                if is_plain(plain, raw) || ((optional || or_null) && raw == "null") {
                    return Ok(());
                }
                self.wrong(shown(raw))
            }
        }
    }
}

impl Fit<'_, '_> {
    fn wrong<E: Error>(self, got: String) -> Result<(), E> {
        *self.wrong = Some(WrongType {
            place: String::new(),
            expected: self.expected.clone(),
            got,
        });
        Err(E::custom("a value of another type"))
    }
}

impl<'de> Visitor<'de> for Fit<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expected)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (Type::Array(inner), _) = self.expected.required() else {
            return self.wrong("an array".to_owned());
        };
        for index in 0_usize.. {
            let fit = Fit {
                expected: inner,
                or_null: false,
                wrong: &mut *self.wrong,
            };
            match seq.next_element_seed(fit) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    let step = format!("[{index}]");
                    *self.wrong = self.wrong.take().map(|wrong| wrong.within(&step));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (Type::Map(inner), _) = self.expected.required() else {
            return self.wrong("an object".to_owned());
        };
        while let Some(key) = map.next_key::<String>()? {
            let fit = Fit {
                expected: inner,
                or_null: false,
                wrong: &mut *self.wrong,
            };
            if let Err(error) = map.next_value_seed(fit) {
                let step = format!(".{}", cut(&key));
                *self.wrong = self.wrong.take().map(|wrong| wrong.within(&step));
                return Err(error);
            }
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.or_null || self.expected.required().1 {
            return Ok(());
        }
        self.wrong("null".to_owned())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.wrong(format!("boolean {value}"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.wrong(format!("integer {value}"))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.wrong(format!("integer {value}"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.wrong(format!("number {value}"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.wrong(format!("string {:?}", cut(value)))
    }
}

/// Whether a value is of a type without parts. A value of JSON shows by its first byte what it is.
fn is_plain(expected: &Type, raw: &str) -> bool {
    let first = raw.as_bytes().first();
    let is_number = || matches!(first, Some(b'-' | b'0'..=b'9'));
    match expected {
        Type::String => first == Some(&b'"'),
        Type::Number => is_number(),
        Type::Integer => is_number() && is_whole(raw),
        Type::Boolean => matches!(first, Some(b't' | b'f')),
        Type::Object => first == Some(&b'{'),
        _ => true,
    }
}

/// Whether a number is written without fraction and exponent. `1.0` is none to most parsers in
/// workers, nor is it to us.
fn is_whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

fn shown(raw: &str) -> String {
    match raw.as_bytes().first() {
        Some(b'"') => format!("string {}", cut(raw)),
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        Some(b't' | b'f') => format!("boolean {raw}"),
        Some(b'n') => "null".to_owned(),
        _ if is_whole(raw) => format!("integer {}", cut(raw)),
        _ => format!("number {}", cut(raw)),
    }
}

/// The beginning of a text, if it is long.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => text[..end].to_owned() + "...",
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(expected: &str, json: &str) -> Option<String> {
        let expected: Type = expected.parse().unwrap();
        expected
            .check(json, "it")
            .err()
            .map(|wrong| wrong.to_string())
    }

    #[test]
    fn values_fit_their_types() {
        let big = "1".repeat(400);
        for (expected, json) in [
            ("string", r#""a""#),
            ("string?", "null"),
            ("integer", "-3"),
            ("integer", &big),
            ("number", "1"),
            ("number", "-1.5e300"),
            ("boolean", "false"),
            ("object", "{\"a\": [1]}"),
            ("any", "null"),
            ("bytes", "\"aGk=\""),
            ("[any]", "[1, \"a\", null]"),
            ("[integer]", "[]"),
            ("[integer?]?", "null"),
            ("[integer?]", "[1, null]"),
            ("{[number]}", r#"{"a": [1, 2.5], "b": []}"#),
        ] {
            assert_eq!(problem(expected, json), None, "{expected} of {json}");
        }
    }

    #[test]
    fn what_does_not_fit_is_shown_where_it_stands() {
        let long = format!("\"{}\"", "é".repeat(100));
        let cut = format!("it: expected integer, got string \"{}...", "é".repeat(39));
        for (expected, json, message) in [
            ("string", "5", "it: expected string, got integer 5"),
            ("string", "null", "it: expected string, got null"),
            ("integer", "1.0", "it: expected integer, got number 1.0"),
            ("integer", "1e3", "it: expected integer, got number 1e3"),
            ("integer", &long, &cut),
            ("number?", "\"1\"", "it: expected number?, got string \"1\""),
            ("boolean", "0", "it: expected boolean, got integer 0"),
            ("object", "[1]", "it: expected object, got an array"),
            ("[string]", "{}", "it: expected [string], got an object"),
            (
                "[string]",
                "\"a\\n\"",
                "it: expected [string], got string \"a\\n\"",
            ),
            ("{any}", "true", "it: expected {any}, got boolean true"),
            (
                "[string]",
                "[\"a\", 5]",
                "it[1]: expected string, got integer 5",
            ),
            (
                "{[integer]}",
                r#"{"a": [], "b": [1, 2, null]}"#,
                "it.b[2]: expected integer, got null",
            ),
        ] {
            assert_eq!(problem(expected, json).as_deref(), Some(message));
        }
    }
}
