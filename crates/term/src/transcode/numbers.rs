//! Numbers in JSON that serde_json would round: they are noted before it reads the text, by their
//! place among all numbers, and read exactly in their turn.
//!
//! Its features `arbitrary_precision` and `float_roundtrip` would keep them, but the first makes
//! every number of every crate in the build a string, and the second makes all of them slower.

use crate::value::Term;
use bytes::Bytes;
use num_bigint::BigInt;
use std::iter::Peekable;
use std::ops::Range;
use std::vec::IntoIter;

/// Integers of fewer characters fit in 64 bits.
const INTEGER_LENGTH_MIN: usize = 19;

/// Numbers of fewer characters and without exponent have at most 15 digits, which serde_json does
/// not round.
const FLOAT_LENGTH_MIN: usize = 17;

/// The numbers of a JSON text, in order.
pub struct Numbers {
    json: Bytes,
    /// How many have been passed.
    passed: usize,
    /// Those to come that serde_json would round: how many come before each, and where it stands.
    rounded: Peekable<IntoIter<(usize, Range<usize>)>>,
}

/// An integer has more digits than the limit.
pub struct TooLong {
    /// How many it has.
    pub digits: usize,
}

impl Numbers {
    /// Finds the numbers of `json`. Also gives the text that serde_json is to read, in which `0`
    /// stands for each long integer, for it would refuse those beyond the range of floats. What is
    /// not JSON stays what it is: not JSON.
    pub fn of(json: &Bytes, digits_max: usize) -> Result<(Self, Bytes), TooLong> {
        let mut rounded = Vec::new();
        let mut kept: Vec<u8> = Vec::new();
        let (mut at, mut copied, mut count) = (0, 0, 0);
        while let Some(&byte) = json.get(at) {
            match byte {
                b'"' => at = string_end(json, at),
                b'-' | b'0'..=b'9' => {
                    let length = json[at..].iter().take_while(|byte| is_number(byte)).count();
                    let number = &json[at..at + length];
                    let end = at + length;
                    if !is_integer(number) {
                        let has_exponent = number.iter().any(|byte| matches!(byte, b'e' | b'E'));
                        if length >= FLOAT_LENGTH_MIN || has_exponent {
                            rounded.push((count, at..end));
                        }
                    } else if length >= INTEGER_LENGTH_MIN {
                        let digits = length - usize::from(byte == b'-');
                        if digits > digits_max {
                            return Err(TooLong { digits });
                        }
                        rounded.push((count, at..end));
                        kept.extend_from_slice(&json[copied..at]);
                        kept.push(b'0');
                        copied = end;
                    }
                    count += 1;
                    at = end;
                }
                _ => at += 1,
            }
        }
        let text = if kept.is_empty() {
            json.clone()
        } else {
            kept.extend_from_slice(&json[copied..]);
            kept.into()
        };
        let numbers = Self {
            json: json.clone(),
            passed: 0,
            rounded: rounded.into_iter().peekable(),
        };
        Ok((numbers, text))
    }

    /// The next number, which serde_json has read as `short`.
    pub fn next(&mut self, short: Term) -> Term {
        let place = self.passed;
        self.passed += 1;
        let Some((_, range)) = self.rounded.next_if(|(before, _)| *before == place) else {
            return short;
        };
        let number = &self.json[range];
        if is_integer(number) {
            let value = BigInt::parse_bytes(number, 10).expect("it has only digits");
            return Term::integer(value);
        }
        // serde_json has found it well-formed and finite.
        std::str::from_utf8(number)
            .ok()
            .and_then(|number| number.parse().ok())
            .filter(|value: &f64| value.is_finite())
            .map_or(short, Term::Float)
    }
}

/// Where the string that begins at `start` ends, or the text.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn is_number(byte: &u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether it is an integer as JSON has it: without leading zeros. A bare zero counts as none, for
/// nothing would have to be done about it.
fn is_integer(number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    !digits.starts_with(b"0") && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
