//! Reads the tags of encoded terms, within the limits: the one place that knows their layout.
//!
//! What is made of them is up to a [`Build`]: a tree, or nothing where a term is only passed over.
//! Recursion is bounded by [`TERM_DEPTH_MAX`], and memory by the input: see [`Reader::owed`].

use super::error::DecodeError;
use super::limits::Limits;
use super::tag;
use crate::value::{Atom, Bits, TERM_DEPTH_MAX, Term};
use bytes::Bytes;
use num_bigint::{BigInt, Sign};

/// What terms become.
pub trait Build {
    /// What one term becomes.
    type Value;

    /// A term without elements.
    fn leaf(make: impl FnOnce() -> Term) -> Self::Value;

    /// `{A, B}`.
    fn tuple(elements: Vec<Self::Value>) -> Self::Value;

    /// `[A, B]`, or `[A, B | Tail]` where there is a tail, which is no list.
    fn list(elements: Vec<Self::Value>, tail: Option<Self::Value>) -> Self::Value;

    /// `#{K => V}`.
    fn map(pairs: Vec<(Self::Value, Self::Value)>) -> Self::Value;
}

/// Terms become values.
pub enum Tree {}

impl Build for Tree {
    type Value = Term;

    fn leaf(make: impl FnOnce() -> Term) -> Term {
        make()
    }

    fn tuple(elements: Vec<Term>) -> Term {
        Term::Tuple(elements)
    }

    fn list(elements: Vec<Term>, tail: Option<Term>) -> Term {
        match tail {
            None => Term::List(elements),
            // The format has room for a list of no elements before its tail, which is the tail.
            Some(tail) if elements.is_empty() => tail,
            Some(tail) => Term::ImproperList(elements, Box::new(tail)),
        }
    }

    fn map(pairs: Vec<(Term, Term)>) -> Term {
        Term::Map(pairs)
    }
}

/// Terms are checked and forgotten: vectors of nothing take no memory.
pub enum Skip {}

impl Build for Skip {
    type Value = ();

    fn leaf(_: impl FnOnce() -> Term) {}

    fn tuple(_: Vec<()>) {}

    fn list(_: Vec<()>, _: Option<()>) {}

    fn map(_: Vec<((), ())>) {}
}

pub type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// Bytes that are terms, and how far they have been read.
pub struct Reader<'a> {
    input: &'a Bytes,
    at: usize,
    /// Terms that containers have promised and that are still to come. Each takes a byte at least,
    /// so what is promised or taken beyond the rest of the input is refused at once: all memory
    /// that is reserved together is bounded by the length of the input.
    owed: usize,
    elements_left: usize,
    atoms_left: usize,
    depth_max: usize,
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    /// Reads one term, from byte `at` on.
    pub fn new(input: &'a Bytes, at: usize, limits: &'a Limits) -> Self {
        Self {
            input,
            at,
            owed: 1,
            elements_left: limits.elements,
            atoms_left: limits.atoms,
            depth_max: limits.depth.min(TERM_DEPTH_MAX),
            limits,
        }
    }

    /// How far it has been read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has been read from byte `start` on.
    pub fn since(&self, start: usize) -> Bytes {
        self.input.slice(start..self.at)
    }

    /// The tag of the term that comes next, which it leaves there.
    pub fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// The tag of a term that was owed.
    pub fn tag(&mut self) -> Result<u8> {
        self.owed -= 1;
        Ok(self.array::<1>("a term")?[0])
    }

    /// One term, which `depth` others are around.
    pub fn term<B: Build>(&mut self, depth: usize) -> Result<B::Value> {
        let tag = self.tag()?;
        self.tagged::<B>(tag, depth)
    }

    fn tagged<B: Build>(&mut self, tag: u8, depth: usize) -> Result<B::Value> {
        match tag {
            tag::SMALL_INTEGER => {
                let value = self.u8()?;
                Ok(B::leaf(|| Term::Integer(value.into())))
            }
            tag::INTEGER => {
                let value = i32::from_be_bytes(self.array("an integer")?);
                Ok(B::leaf(|| Term::Integer(value.into())))
            }
            tag::BINARY => {
                let length = self.u32()?;
                let bytes = self.take(length, "a binary")?;
                Ok(B::leaf(|| Term::Binary(bytes)))
            }
            tag::NIL => Ok(B::leaf(|| Term::List(Vec::new()))),
            tag::SMALL_ATOM_UTF8 | tag::ATOM_UTF8 | tag::SMALL_ATOM | tag::ATOM => {
                let atom = self.atom(tag)?;
                Ok(B::leaf(|| Term::Atom(atom)))
            }
            tag::SMALL_TUPLE => {
                let count = self.u8()?.into();
                self.tuple::<B>(count, depth)
            }
            tag::LARGE_TUPLE => {
                let count = self.u32()?;
                self.tuple::<B>(count, depth)
            }
            tag::LIST => self.list::<B>(depth),
            tag::STRING => {
                let byte = |byte: &u8| B::leaf(|| Term::Integer((*byte).into()));
                let elements = self.string()?.iter().map(byte).collect();
                Ok(B::list(elements, None))
            }
            tag::MAP => self.map::<B>(depth),
            _ => self.rare::<B>(tag, depth),
        }
    }

    #[inline(never)]
    fn rare<B: Build>(&mut self, tag: u8, depth: usize) -> Result<B::Value> {
        match tag {
            tag::NEW_FLOAT => {
                let value = f64::from_be_bytes(self.array("a float")?);
                self.float::<B>(value, 8)
            }
            tag::FLOAT => self.float_text::<B>(),
            tag::SMALL_BIG => {
                let length = self.u8()?.into();
                self.big::<B>(length)
            }
            tag::LARGE_BIG => {
                let length = self.u32()?;
                self.big::<B>(length)
            }
            tag::BIT_BINARY => self.bits::<B>(),
            _ => self.identifier::<B>(tag, depth),
        }
    }

    #[inline(never)]
    fn tuple<B: Build>(&mut self, count: usize, depth: usize) -> Result<B::Value> {
        self.enter(depth)?;
        self.promise(count, 1, "elements of a tuple")?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(self.term::<B>(depth + 1)?);
        }
        Ok(B::tuple(elements))
    }

    #[inline(never)]
    fn list<B: Build>(&mut self, depth: usize) -> Result<B::Value> {
        let byte = |byte: u8| B::leaf(|| Term::Integer(byte.into()));
        let (elements, tail) = self.list_of(depth, &mut Self::term::<B>, byte)?;
        Ok(B::list(elements, tail))
    }

    /// What follows the tag of a list: its elements and the tail, if that is no list, each read by
    /// `each` or, in the short form, made by `byte`. A tail that is itself a list goes on with this
    /// one, without recursion.
    pub fn list_of<V>(
        &mut self,
        depth: usize,
        each: &mut impl FnMut(&mut Self, usize) -> Result<V>,
        byte: impl Fn(u8) -> V,
    ) -> Result<(Vec<V>, Option<V>)> {
        self.enter(depth)?;
        let mut elements = Vec::new();
        loop {
            let count = self.u32()?;
            self.promise(count, 1, "elements of a list")?;
            self.promise(1, 1, "the tail of a list")?;
            elements.reserve(count);
            for _ in 0..count {
                elements.push(each(self, depth + 1)?);
            }
            match self.peek() {
                Some(tag::NIL) => {
                    self.tag()?;
                    return Ok((elements, None));
                }
                Some(tag::LIST) => {
                    self.tag()?;
                }
                Some(tag::STRING) => {
                    self.tag()?;
                    let bytes = self.string()?;
                    elements.extend(bytes.iter().copied().map(byte));
                    return Ok((elements, None));
                }
                _ => {
                    let tail = each(self, depth + 1)?;
                    return Ok((elements, Some(tail)));
                }
            }
        }
    }

    #[inline(never)]
    fn map<B: Build>(&mut self, depth: usize) -> Result<B::Value> {
        self.enter(depth)?;
        let count = self.u32()?;
        self.promise(count, 2, "keys and values of a map")?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.term::<B>(depth + 1)?;
            pairs.push((key, self.term::<B>(depth + 1)?));
        }
        Ok(B::map(pairs))
    }

    /// The elements of a list of bytes in its short form.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        let length = usize::from(u16::from_be_bytes(self.array("the length of a string")?));
        self.spend(length, "elements of a string")?;
        self.slice(length, "a string")
    }

    /// An atom whose tag has been read.
    pub fn atom(&mut self, tag: u8) -> Result<Atom> {
        let start = self.at;
        let is_small = matches!(tag, tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8);
        let length = if is_small {
            self.u8()?.into()
        } else {
            u16::from_be_bytes(self.array("the length of an atom")?).into()
        };
        if self.atoms_left == 0 {
            let expected = format_args!("at most {} atoms", self.limits.atoms);
            return Err(DecodeError::new(start, expected, "more"));
        }
        self.atoms_left -= 1;
        let bytes = self.slice(length, "the name of an atom")?;
        let latin: String;
        let name = if matches!(tag, tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8) || bytes.is_ascii() {
            std::str::from_utf8(bytes)
                .map_err(|error| DecodeError::new(start, "an atom in UTF-8", error))?
        } else {
            latin = bytes.iter().copied().map(char::from).collect();
            &latin
        };
        // Characters are never more than bytes, so that most need not be counted.
        let characters_max = self.limits.atom_characters;
        if name.len() > characters_max && name.chars().count() > characters_max {
            let expected = format_args!("an atom of at most {characters_max} characters");
            return Err(DecodeError::new(start, expected, name.chars().count()));
        }
        Atom::new(name).map_err(|error| DecodeError::new(start, "an atom", error))
    }

    fn float<B: Build>(&mut self, value: f64, length: usize) -> Result<B::Value> {
        if value.is_finite() {
            return Ok(B::leaf(|| Term::Float(value)));
        }
        Err(DecodeError::new(self.at - length, "a finite float", value))
    }

    /// The form before OTP 17: what C's `%.20e` gives, filled up with zeros.
    fn float_text<B: Build>(&mut self) -> Result<B::Value> {
        let start = self.at;
        let text: [u8; tag::FLOAT_TEXT] = self.array("a float as text")?;
        let end = text
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(text.len());
        let is_number =
            |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
        let text = &text[..end];
        // Rust reads "inf" and "nan", too.
        let number = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.bytes().all(|byte| is_number(&byte)))
            .and_then(|text| text.parse().ok());
        match number {
            Some(number) => self.float::<B>(number, tag::FLOAT_TEXT),
            None => {
                let got = format_args!("{:?}", String::from_utf8_lossy(text));
                Err(DecodeError::new(start, "a decimal number", got))
            }
        }
    }

    fn big<B: Build>(&mut self, length: usize) -> Result<B::Value> {
        let start = self.at;
        let sign = match self.u8()? {
            0 => Sign::Plus,
            1 => Sign::Minus,
            other => return Err(DecodeError::new(start, "a sign, 0 or 1", other)),
        };
        if length > self.limits.integer_bytes {
            let expected =
                format_args!("an integer of at most {} bytes", self.limits.integer_bytes);
            return Err(DecodeError::new(start, expected, length));
        }
        let digits = self.slice(length, "an integer")?;
        Ok(B::leaf(|| {
            Term::integer(BigInt::from_bytes_le(sign, digits))
        }))
    }

    fn bits<B: Build>(&mut self) -> Result<B::Value> {
        let start = self.at;
        let length = self.u32()?;
        let last = self.u8()?;
        let bytes = self.take(length, "a bit string")?;
        match last {
            8 => Ok(B::leaf(|| Term::Binary(bytes))),
            _ => match Bits::new(bytes, last) {
                Some(bits) => Ok(B::leaf(|| Term::Bits(bits))),
                None => {
                    let expected = "a bit string with 1 to 8 bits in its last byte";
                    let got = format_args!("{last} in one of {length} bytes");
                    Err(DecodeError::new(start, expected, got))
                }
            },
        }
    }

    /// A container inside `depth` others begins.
    pub fn enter(&self, depth: usize) -> Result<()> {
        if depth < self.depth_max {
            return Ok(());
        }
        let expected = format_args!("terms to nest at most {} deep", self.depth_max);
        Err(DecodeError::new(self.at, expected, "more"))
    }

    /// `count` times `each` terms are to come: within the limit, and within the rest of the input.
    pub fn promise(&mut self, count: usize, each: usize, what: &str) -> Result<()> {
        let count = count.saturating_mul(each);
        self.spend(count, what)?;
        let rest = self.rest();
        if count > rest {
            let expected = format_args!("{count} {what}");
            let got = format_args!("{rest} bytes in which they could be");
            return Err(DecodeError::new(self.at, expected, got));
        }
        self.owed += count;
        Ok(())
    }

    /// Takes from what the limit leaves.
    fn spend(&mut self, count: usize, what: &str) -> Result<()> {
        match self.elements_left.checked_sub(count) {
            Some(left) => {
                self.elements_left = left;
                Ok(())
            }
            None => {
                let expected = format_args!("at most {} terms", self.limits.elements);
                let left = self.elements_left;
                let got = format_args!("{count} {what} where {left} are left");
                Err(DecodeError::new(self.at, expected, got))
            }
        }
    }

    /// Bytes that no term to come has a claim on.
    fn rest(&self) -> usize {
        self.input.len() - self.at - self.owed
    }

    /// `length` bytes that share the input's memory.
    fn take(&mut self, length: usize, what: &str) -> Result<Bytes> {
        let start = self.at;
        self.skip(length, what)?;
        Ok(self.since(start))
    }

    fn slice(&mut self, length: usize, what: &str) -> Result<&'a [u8]> {
        let start = self.at;
        self.skip(length, what)?;
        Ok(&self.input[start..self.at])
    }

    pub fn skip(&mut self, length: usize, what: &str) -> Result<()> {
        let rest = self.rest();
        if length > rest {
            let expected = format_args!("{length} bytes of {what}");
            return Err(DecodeError::new(self.at, expected, rest));
        }
        self.at += length;
        Ok(())
    }

    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let slice = self.slice(N, what)?;
        Ok(slice.try_into().expect("the slice has that length"))
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>("a length")?[0])
    }

    pub fn u32(&mut self) -> Result<usize> {
        let length = u32::from_be_bytes(self.array("a length")?);
        Ok(usize::try_from(length).expect("addresses have 32 bits or more"))
    }
}
