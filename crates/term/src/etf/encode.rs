//! Encoding: from a tree to bytes, with today's tags or with those that old peers know.

use super::tag;
use crate::value::{Atom, TERM_DEPTH_MAX, Term};
use num_bigint::{BigInt, Sign};

/// Which tags are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// What OTP 25 and later take: atoms in UTF-8, floats of eight bytes, maps, identifiers.
    Modern,
    /// What BERT and peers of 2008 take, and no other: tags 97 to 100 and 104 to 111. Atoms are in
    /// Latin-1, floats are text. There are no maps, bit strings or identifiers.
    Old,
}

/// Why a term cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// The old tags have no form for it.
    #[error("expected a term that old tags can express, got {0}; a newer peer takes it")]
    NoForm(String),
    /// The format has no form for it.
    #[error("expected a finite float, got {0}")]
    NotFinite(f64),
    /// A tree made by hand is deeper than one that is decoded may be.
    #[error("expected terms to nest at most {TERM_DEPTH_MAX} deep")]
    TooDeep,
    /// The format counts elements and bytes in 32 bits.
    #[error("expected at most {max} bytes or elements, got {0}", max = u32::MAX)]
    TooLong(usize),
}

/// The bytes of a term, from the version byte on.
pub fn encode(term: &Term, tags: Tags) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(64);
    encode_into(&mut out, term, tags)?;
    Ok(out)
}

/// Appends the bytes of a term, from the version byte on; nothing if it cannot be written.
pub fn encode_into(out: &mut Vec<u8>, term: &Term, tags: Tags) -> Result<(), EncodeError> {
    let start = out.len();
    out.push(tag::VERSION);
    let written = put(out, term, tags, 0);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn put(out: &mut Vec<u8>, term: &Term, tags: Tags, depth: usize) -> Result<(), EncodeError> {
    if depth >= TERM_DEPTH_MAX && !is_leaf(term) {
        return Err(EncodeError::TooDeep);
    }
    match term {
        Term::Atom(atom) => put_atom(out, atom, tags)?,
        Term::Integer(value) => put_integer(out, *value),
        Term::Big(value) => put_big(out, value)?,
        Term::Float(value) => put_float(out, *value, tags)?,
        Term::Binary(bytes) => {
            put_count(out, tag::BINARY, bytes.len())?;
            out.extend_from_slice(bytes);
        }
        Term::Tuple(elements) => {
            match u8::try_from(elements.len()) {
                Ok(count) => out.extend([tag::SMALL_TUPLE, count]),
                Err(_) => put_count(out, tag::LARGE_TUPLE, elements.len())?,
            }
            put_all(out, elements, tags, depth)?;
        }
        Term::List(elements) if elements.is_empty() => out.push(tag::NIL),
        Term::List(elements) => {
            if !put_string(out, elements) {
                put_count(out, tag::LIST, elements.len())?;
                put_all(out, elements, tags, depth)?;
                out.push(tag::NIL);
            }
        }
        Term::ImproperList(elements, tail) => {
            put_count(out, tag::LIST, elements.len())?;
            put_all(out, elements, tags, depth)?;
            put(out, tail, tags, depth + 1)?;
        }
        _ if tags == Tags::Old => return Err(EncodeError::NoForm(term.describe())),
        Term::Map(pairs) => {
            put_count(out, tag::MAP, pairs.len())?;
            for (key, value) in pairs {
                put(out, key, tags, depth + 1)?;
                put(out, value, tags, depth + 1)?;
            }
        }
        Term::Bits(bits) => {
            put_count(out, tag::BIT_BINARY, bits.bytes().len())?;
            out.push(bits.last());
            out.extend_from_slice(bits.bytes());
        }
        Term::Pid(opaque)
        | Term::Reference(opaque)
        | Term::Port(opaque)
        | Term::Function(opaque) => out.extend_from_slice(opaque.bytes()),
    }
    Ok(())
}

/// Whether decoding takes it at any depth.
fn is_leaf(term: &Term) -> bool {
    match term {
        Term::Atom(_)
        | Term::Integer(_)
        | Term::Big(_)
        | Term::Float(_)
        | Term::Binary(_)
        | Term::Bits(_) => true,
        Term::List(elements) => elements.is_empty(),
        _ => false,
    }
}

fn put_all(
    out: &mut Vec<u8>,
    elements: &[Term],
    tags: Tags,
    depth: usize,
) -> Result<(), EncodeError> {
    for element in elements {
        put(out, element, tags, depth + 1)?;
    }
    Ok(())
}

/// A tag and a count of 32 bits.
fn put_count(out: &mut Vec<u8>, tag: u8, count: usize) -> Result<(), EncodeError> {
    let count = u32::try_from(count).map_err(|_| EncodeError::TooLong(count))?;
    let [a, b, c, d] = count.to_be_bytes();
    out.extend([tag, a, b, c, d]);
    Ok(())
}

fn put_atom(out: &mut Vec<u8>, atom: &Atom, tags: Tags) -> Result<(), EncodeError> {
    if tags == Tags::Modern {
        put_atom_utf8(out, atom);
        return Ok(());
    }
    let name = atom.bytes();
    out.push(tag::ATOM);
    if name.is_ascii() {
        let length = u16::try_from(name.len()).expect("atoms have 255 characters at most");
        out.extend(length.to_be_bytes());
        out.extend_from_slice(name);
        return Ok(());
    }
    let latin: Result<Vec<u8>, _> = atom.as_str().chars().map(u8::try_from).collect();
    let Ok(latin) = latin else {
        let what = format!("the atom {atom:?}, which is not in Latin-1");
        return Err(EncodeError::NoForm(what));
    };
    let length = u16::try_from(latin.len()).expect("atoms have 255 characters at most");
    out.extend(length.to_be_bytes());
    out.extend(latin);
    Ok(())
}

/// An atom with the tags of today.
pub(super) fn put_atom_utf8(out: &mut Vec<u8>, atom: &Atom) {
    let name = atom.bytes();
    match u8::try_from(name.len()) {
        Ok(length) => out.extend([tag::SMALL_ATOM_UTF8, length]),
        Err(_) => {
            let length = u16::try_from(name.len()).expect("255 characters take 1020 bytes at most");
            out.push(tag::ATOM_UTF8);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend_from_slice(name);
}

fn put_integer(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u8::try_from(value) {
        out.extend([tag::SMALL_INTEGER, value]);
    } else if let Ok(value) = i32::try_from(value) {
        let [a, b, c, d] = value.to_be_bytes();
        out.extend([tag::INTEGER, a, b, c, d]);
    } else {
        let digits = value.unsigned_abs().to_le_bytes();
        let length = digits.len() - digits.iter().rev().take_while(|digit| **digit == 0).count();
        let count = u8::try_from(length).expect("64 bits are eight bytes");
        out.extend([tag::SMALL_BIG, count, u8::from(value < 0)]);
        out.extend_from_slice(&digits[..length]);
    }
}

fn put_big(out: &mut Vec<u8>, value: &BigInt) -> Result<(), EncodeError> {
    let (sign, digits) = value.to_bytes_le();
    match u8::try_from(digits.len()) {
        Ok(count) => out.extend([tag::SMALL_BIG, count]),
        Err(_) => put_count(out, tag::LARGE_BIG, digits.len())?,
    }
    out.push(u8::from(sign == Sign::Minus));
    out.extend_from_slice(&digits);
    Ok(())
}

fn put_float(out: &mut Vec<u8>, value: f64, tags: Tags) -> Result<(), EncodeError> {
    if !value.is_finite() {
        return Err(EncodeError::NotFinite(value));
    }
    match tags {
        Tags::Modern => {
            out.push(tag::NEW_FLOAT);
            out.extend(value.to_be_bytes());
        }
        Tags::Old => {
            out.push(tag::FLOAT);
            let end = out.len() + tag::FLOAT_TEXT;
            put_float_text(out, value);
            out.resize(end, 0);
        }
    }
    Ok(())
}

/// What C's `%.20e` gives: Rust writes the exponent without a plus and without leading zeros.
fn put_float_text(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:.20e}");
    let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => (b'-', exponent),
        None => (b'+', exponent),
    };
    out.extend_from_slice(digits.as_bytes());
    out.extend([b'e', sign]);
    if exponent.len() == 1 {
        out.push(b'0');
    }
    out.extend_from_slice(exponent.as_bytes());
}

/// Writes a list of bytes in its short form, as Erlang does, if it is one.
fn put_string(out: &mut Vec<u8>, elements: &[Term]) -> bool {
    let Ok(length) = u16::try_from(elements.len()) else {
        return false;
    };
    let byte = |term: &Term| match term {
        Term::Integer(value) => u8::try_from(*value).ok(),
        _ => None,
    };
    let start = out.len();
    out.push(tag::STRING);
    out.extend(length.to_be_bytes());
    for element in elements {
        match byte(element) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                return false;
            }
        }
    }
    true
}
