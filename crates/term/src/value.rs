//! The value tree: what an encoded term says, for where two sides speak different encodings.
//!
//! It is made by [`etf::decode`](crate::etf::decode) and [`from_json`](crate::from_json), and
//! written by their counterparts. Whoever only passes a payload on has no need of it.

use bytes::Bytes;
use num_bigint::BigInt;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How deep terms may nest in each other: enough for JSON of 127 levels in a style that has three
/// terms for each, and little enough that a tree can be read, written, compared and dropped by
/// recursion on the stack of any thread (measured: under 1 MiB without optimisation).
pub const TERM_DEPTH_MAX: usize = 512;

/// Characters of an atom: Erlang's own limit.
pub const ATOM_CHARACTERS_MAX: usize = 255;

/// Any Erlang term. Cheap to clone where it has no elements: binaries share the bytes they were
/// decoded from, and keep all of those alive.
///
/// Equality is that of the tree: `1` differs from `1.0`, maps are compared in the order they are
/// written in, and identifiers by their bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// A name, such as `ok`. Erlang's booleans are the atoms `true` and `false`.
    Atom(Atom),
    /// An integer of 64 bits.
    Integer(i64),
    /// An integer that does not fit in [`Term::Integer`]; [`Term::integer`] chooses.
    Big(BigInt),
    /// A number with a fraction; never infinite, never NaN.
    Float(f64),
    /// Bytes, which Erlang programs of today also use for text.
    Binary(Bytes),
    /// Bits whose number is no multiple of eight.
    Bits(Bits),
    /// `{A, B}`.
    Tuple(Vec<Term>),
    /// `[A, B]`. Erlang's strings are lists of code points.
    List(Vec<Term>),
    /// `[A, B | Tail]`, with at least one element and a tail that is no list.
    ImproperList(Vec<Term>, Box<Term>),
    /// `#{K => V}`, in the order written. Nothing checks that keys are unique.
    Map(Vec<(Term, Term)>),
    /// A process.
    Pid(Opaque),
    /// A reference.
    Reference(Opaque),
    /// A port.
    Port(Opaque),
    /// A function, `fun m:f/1` or a closure.
    Function(Opaque),
}

impl Term {
    /// The atom of that name, which has at most 22 bytes.
    pub const fn atom(name: &'static str) -> Self {
        Self::Atom(Atom::from_static(name))
    }

    /// A binary that holds the text in UTF-8.
    pub fn text(text: &str) -> Self {
        Self::Binary(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// An integer in the variant it belongs in.
    pub fn integer(value: BigInt) -> Self {
        i64::try_from(&value).map_or(Self::Big(value), Self::Integer)
    }

    /// `{A, B}`.
    pub fn pair(first: Self, second: Self) -> Self {
        Self::Tuple(vec![first, second])
    }

    /// The elements of a tuple, or of the list in its place: old libraries mix them.
    pub fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Tuple(elements) | Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text that an atom, a binary or a list of code points is.
    pub fn to_text(&self) -> Option<String> {
        let character = |term: &Self| match term {
            Self::Integer(point) => u32::try_from(*point).ok().and_then(char::from_u32),
            _ => None,
        };
        match self {
            Self::Atom(atom) => Some(atom.as_str().to_owned()),
            Self::Binary(bytes) => Some(std::str::from_utf8(bytes).ok()?.to_owned()),
            Self::List(points) if !points.is_empty() => points.iter().map(character).collect(),
            _ => None,
        }
    }

    /// Whether this is the atom of that name.
    pub fn is_atom(&self, name: &str) -> bool {
        matches!(self, Self::Atom(atom) if atom.is(name))
    }

    /// What this is, for messages: "a binary of 3 bytes".
    pub fn describe(&self) -> String {
        match self {
            Self::Atom(atom) => format!("the atom {atom:?}"),
            Self::Integer(_) | Self::Big(_) => "an integer".to_owned(),
            Self::Float(_) => "a float".to_owned(),
            Self::Binary(bytes) => format!("a binary of {} bytes", bytes.len()),
            Self::Bits(bits) => format!("a bit string of {} bits", bits.len()),
            Self::Tuple(elements) => format!("a tuple of {} elements", elements.len()),
            Self::List(elements) => format!("a list of {} elements", elements.len()),
            Self::ImproperList(..) => "an improper list".to_owned(),
            Self::Map(pairs) => format!("a map of {} keys", pairs.len()),
            Self::Pid(_) => "a pid".to_owned(),
            Self::Reference(_) => "a reference".to_owned(),
            Self::Port(_) => "a port".to_owned(),
            Self::Function(_) => "a function".to_owned(),
        }
    }
}

/// The name of an atom: at most [`ATOM_CHARACTERS_MAX`] characters.
#[derive(Clone)]
pub struct Atom(Name);

/// A name in UTF-8. Short ones, which are most, cost no memory beside that of the term.
#[derive(Clone)]
enum Name {
    Short { length: u8, bytes: [u8; SHORT_MAX] },
    Long(Arc<str>),
}

/// Bytes of a short name: as many as leave an atom no larger than a vector.
const SHORT_MAX: usize = 22;

/// The name has more than [`ATOM_CHARACTERS_MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an atom of at most {ATOM_CHARACTERS_MAX} characters, got {characters}")]
pub struct AtomTooLong {
    /// How many it has.
    pub characters: usize,
}

impl Atom {
    /// An atom of that name.
    pub fn new(name: &str) -> Result<Self, AtomTooLong> {
        let mut bytes = [0; SHORT_MAX];
        if let (Some(short), Ok(length)) = (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            short.copy_from_slice(name.as_bytes());
            return Ok(Self(Name::Short { length, bytes }));
        }
        // Characters are never more than bytes, so that most need not be counted.
        if name.len() > ATOM_CHARACTERS_MAX {
            let characters = name.chars().count();
            if characters > ATOM_CHARACTERS_MAX {
                return Err(AtomTooLong { characters });
            }
        }
        Ok(Self(Name::Long(name.into())))
    }

    /// An atom of that name, which has at most 22 bytes.
    pub const fn from_static(name: &'static str) -> Self {
        assert!(name.len() <= SHORT_MAX, "the name is too long");
        let mut bytes = [0; SHORT_MAX];
        let (short, _) = bytes.split_at_mut(name.len());
        short.copy_from_slice(name.as_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "it is at most 22")]
        let length = name.len() as u8;
        Self(Name::Short { length, bytes })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).expect("an atom is made of a str")
    }

    /// The name in UTF-8.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Name::Short { length, bytes } => &bytes[..usize::from(*length)],
            Name::Long(name) => name.as_bytes(),
        }
    }

    /// Whether that is its name.
    pub fn is(&self, name: &str) -> bool {
        self.bytes() == name.as_bytes()
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A bit string that does not end with a byte. Rare, and so behind a pointer: terms stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits(Box<(Bytes, u8)>);

impl Bits {
    /// All bits of `bytes` but for those of the last byte, of which the `last` highest count.
    /// None unless `last` is 1 to 7 and there is a byte.
    pub fn new(mut bytes: Bytes, last: u8) -> Option<Self> {
        let mask = match last {
            1..=7 => 0xff_u8 << (8 - last),
            _ => return None,
        };
        let (&end, rest) = bytes.split_last()?;
        // What does not count is zero, so that equal bits are equal bytes.
        if end & !mask != 0 {
            bytes = [rest, &[end & mask]].concat().into();
        }
        Some(Self(Box::new((bytes, last))))
    }

    /// The bytes; what does not count in the last is zero.
    pub fn bytes(&self) -> &Bytes {
        &self.0.0
    }

    /// How many bits of the last byte count: 1 to 7, from the highest.
    pub fn last(&self) -> u8 {
        self.0.1
    }

    /// Bits in all.
    pub fn len(&self) -> usize {
        (self.bytes().len() - 1) * 8 + usize::from(self.last())
    }

    /// Never: there is at least one bit.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// A term that means something only to the runtime that made it: kept as it was encoded, from its
/// tag on, so that it can be sent back. Only decoding makes one, and the constructors of
/// [`etf`](crate::etf).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque(Bytes);

impl Opaque {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The tag and what follows it, in the external term format without the version.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_small_if_they_can_be() {
        assert_eq!(
            Term::integer(BigInt::from(i64::MIN)),
            Term::Integer(i64::MIN)
        );
        let beyond: BigInt = BigInt::from(i64::MAX) + 1;
        assert_eq!(Term::integer(beyond.clone()), Term::Big(beyond));
    }

    #[test]
    fn bits_that_do_not_count_make_no_difference() {
        let bits = |byte: u8| Bits::new(vec![1, byte].into(), 3).unwrap();
        assert_eq!(bits(0b1010_0000), bits(0b1011_1111));
        assert_ne!(bits(0b1010_0000), bits(0b1000_0000));
        assert_eq!(bits(0).len(), 11);
        assert_eq!(Bits::new(Bytes::new(), 3), None);
        assert_eq!(Bits::new(vec![1].into(), 8), None);
    }

    #[test]
    fn atoms_have_at_most_255_characters() {
        let longest = "\u{20ac}".repeat(ATOM_CHARACTERS_MAX);
        assert_eq!(Atom::new(&longest).unwrap().as_str(), longest);
        let error = Atom::new(&"a".repeat(256)).unwrap_err();
        assert_eq!(error.characters, 256);
        for length in [0, SHORT_MAX, SHORT_MAX + 1] {
            let name = "a".repeat(length);
            assert_eq!(Atom::new(&name).unwrap().as_str(), name);
        }
        assert_eq!(Atom::new("ok").unwrap(), Atom::from_static("ok"));
    }

    #[test]
    fn a_term_takes_40_bytes() {
        assert_eq!(size_of::<Term>(), 40);
    }
}
