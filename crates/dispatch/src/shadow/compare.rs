//! When two answers are equal, and if not, where they differ first. Pure.
//!
//! Equal bytes are. JSON is compared as the values it says: the order of an object's keys does not
//! matter, nor how a number is spelled: `1`, `1.0` and `1e0` are one number, for JSON has no other
//! kind. Integers of up to 64 bits are compared exactly, other numbers as doubles. What is no JSON,
//! or is too large to be read twice beside the calls, is compared as bytes.

use serde_json::{Number, Value};
use std::io;
use term::Payload;

/// Larger answers are compared as bytes: their trees would take ten times as much.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Bytes of an excerpt, or of a path: enough to recognise what it is of.
const EXCERPT_MAX: usize = 80;

/// Bytes of an excerpt before the place where answers differ.
const BEFORE: usize = 20;

/// The first place where two answers differ, and what they have there.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub at: String,
    pub old: String,
    pub new: String,
}

/// Where two answers differ; none if they are equal.
pub fn compare(old: &Payload, new: &Payload) -> Option<Difference> {
    if old.content_type() != new.content_type() {
        return Some(Difference {
            at: "content type".to_owned(),
            old: excerpt(old.content_type().as_bytes(), 0),
            new: excerpt(new.content_type().as_bytes(), 0),
        });
    }
    let (old_bytes, new_bytes) = (old.bytes(), new.bytes());
    if old_bytes == new_bytes {
        return None;
    }
    let is_small = old_bytes.len().max(new_bytes.len()) <= VALUE_BYTES_MAX;
    if let (Payload::Json(old), Payload::Json(new)) = (old, new)
        && is_small
        && let Ok(old) = serde_json::from_slice::<Value>(old)
        && let Ok(new) = serde_json::from_slice::<Value>(new)
    {
        let mut path = "$".to_owned();
        return values(&old, &new, &mut path);
    }
    let pairs = old_bytes.iter().zip(new_bytes.iter());
    let offset = pairs.take_while(|(old, new)| old == new).count();
    Some(Difference {
        at: format!("byte {offset}"),
        old: excerpt(old_bytes, offset),
        new: excerpt(new_bytes, offset),
    })
}

/// Looks for the first difference, in the order of elements and of sorted keys. Values nest no deeper
/// than `serde_json` reads them, 127 levels.
fn values(old: &Value, new: &Value, path: &mut String) -> Option<Difference> {
    let end = path.len();
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                path.push_str(&format!("[{index}]"));
                let difference = either(old.get(index), new.get(index), path);
                path.truncate(end);
                if difference.is_some() {
                    return difference;
                }
            }
            None
        }
        (Value::Object(old), Value::Object(new)) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                push_key(path, key);
                let difference = either(old.get(key), new.get(key), path);
                path.truncate(end);
                if difference.is_some() {
                    return difference;
                }
            }
            None
        }
        (Value::Number(a), Value::Number(b)) if same_number(a, b) => None,
        (old, new) if old == new => None,
        (old, new) => difference(Some(old), Some(new), path),
    }
}

fn either(old: Option<&Value>, new: Option<&Value>, path: &mut String) -> Option<Difference> {
    match (old, new) {
        (Some(old), Some(new)) => values(old, new, path),
        (old, new) => difference(old, new, path),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what the callers give back")]
fn difference(old: Option<&Value>, new: Option<&Value>, path: &str) -> Option<Difference> {
    let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), written);
    Some(Difference {
        at: excerpt(path.as_bytes(), 0),
        old: text(old),
        new: text(new),
    })
}

fn push_key(path: &mut String, key: &str) {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_';
    if !key.is_empty() && key.chars().all(is_plain) {
        path.push('.');
        path.push_str(key);
    } else {
        path.push_str(&format!("[{}]", Value::from(key)));
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.as_f64() == b.as_f64(),
        _ => false,
    }
}

/// The number, if it is an integer of at most some 64 bits.
fn integer(number: &Number) -> Option<i128> {
    let exact = number.as_i64().map(i128::from);
    exact
        .or_else(|| number.as_u64().map(i128::from))
        .or_else(|| {
            let double = number.as_f64()?;
            // Such doubles are integers exactly.
            (double.fract() == 0.0 && double.abs() < 1e20).then_some(double as i128)
        })
}

/// The beginning of a value, as JSON.
fn written(value: &Value) -> String {
    let mut head = Head(Vec::new());
    // Ends with an error when there is enough of it.
    let _ = serde_json::to_writer(&mut head, value);
    excerpt(&head.0, 0)
}

/// Takes what an excerpt may show, and no more.
struct Head(Vec<u8>);

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > EXCERPT_MAX {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A few of these bytes as text, from shortly before an offset on.
pub fn excerpt(bytes: &[u8], offset: usize) -> String {
    let start = offset.saturating_sub(BEFORE);
    let end = bytes.len().min(start + EXCERPT_MAX);
    let text = String::from_utf8_lossy(bytes.get(start..end).unwrap_or_default());
    let before = if start > 0 { ".." } else { "" };
    let after = if end < bytes.len() { ".." } else { "" };
    let shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Payload {
        Payload::Json(text.to_owned().into())
    }

    fn at(old: &str, new: &str) -> Option<(String, String, String)> {
        compare(&json(old), &json(new)).map(|found| (found.at, found.old, found.new))
    }

    fn found(at: &str, old: &str, new: &str) -> Option<(String, String, String)> {
        Some((at.to_owned(), old.to_owned(), new.to_owned()))
    }

    #[test]
    fn json_is_compared_by_what_it_says() {
        for (old, new) in [
            (r#"{"a":1,"b":[2,null]}"#, "{ \"b\": [2, null], \"a\": 1 }"),
            ("1", "1.0"),
            ("[100]", "[1e2]"),
            ("-0.0", "0"),
            ("1e300", "10e299"),
            (r#""a\u0062""#, r#""ab""#),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(at(old, new), None, "{old} and {new}");
        }
    }

    #[test]
    fn the_first_difference_is_told_with_what_is_there() {
        let deep = (
            r#"{"items":[{"n":1},{"n":2}]}"#,
            r#"{"items":[{"n":1},{"n":"2"}]}"#,
        );
        assert_eq!(at(deep.0, deep.1), found("$.items[1].n", "2", "\"2\""));
        assert_eq!(at("[1]", "[1,2]"), found("$[1]", "nothing", "2"));
        let odd = (r#"{"a b":1}"#, "{}");
        assert_eq!(at(odd.0, odd.1), found(r#"$["a b"]"#, "1", "nothing"));
        assert_eq!(at("null", "false"), found("$", "null", "false"));
    }

    #[test]
    fn numbers_that_differ_by_little_differ() {
        assert!(at("9007199254740993", "9007199254740992").is_some());
        assert!(at("9007199254740993", "9007199254740992.0").is_some());
        assert!(at("0.1", "0.10000000000000002").is_some());
        assert!(at("1", "\"1\"").is_some());
    }

    #[test]
    fn what_is_no_json_is_compared_as_bytes() {
        assert_eq!(at("{nan", "{nul"), found("byte 2", "{nan", "{nul"));
        let png = |bytes: &'static [u8]| Payload::new("image/png", bytes.into());
        assert_eq!(compare(&png(b"abc"), &png(b"abc")), None);
        let longer = compare(&png(b"abc"), &png(b"abcd")).expect("they differ");
        assert_eq!(longer.at, "byte 3");
        let typed = compare(&json("1"), &png(b"1")).expect("they differ");
        assert_eq!(
            (&*typed.old, &*typed.new),
            ("application/json", "image/png")
        );
    }

    #[test]
    fn excerpts_are_short_and_readable() {
        let long = format!("[\"{}\"]", "ä".repeat(1_000));
        let (_, old, new) = at(&long, "[1]").expect("they differ");
        assert!(old.len() < 2 * EXCERPT_MAX, "{old}");
        assert_eq!(new, "1");
        let large = format!("[{}1]", " ".repeat(VALUE_BYTES_MAX));
        let (at, ..) = at(&large, &large.replace('1', "2")).expect("they differ");
        assert_eq!(at, format!("byte {}", VALUE_BYTES_MAX + 1));
        assert_eq!(excerpt(b"a\nb\x1b[2J", 0), "a b [2J");
    }
}
