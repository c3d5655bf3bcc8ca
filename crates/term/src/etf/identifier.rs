//! Terms that mean something only to the runtime that made them: checked, kept as they are encoded,
//! and made for a node of ours that Erlang nodes are to reach.

use super::encode::put_atom_utf8;
use super::error::DecodeError;
use super::reader::{Build, Reader, Result, Skip};
use super::tag;
use crate::value::{Atom, Opaque, Term};

/// Words of the longest reference that Erlang takes.
pub const REFERENCE_WORDS_MAX: usize = 5;

/// A process of `node`, by its two numbers, in the node's life that `creation` counts.
pub fn pid(node: &Atom, id: u32, serial: u32, creation: u32) -> Term {
    let mut bytes = vec![tag::NEW_PID];
    put_atom_utf8(&mut bytes, node);
    for word in [id, serial, creation] {
        bytes.extend(word.to_be_bytes());
    }
    Term::Pid(Opaque::new(bytes.into()))
}

/// A reference of `node`, of one to five words, in the node's life that `creation` counts. None of
/// another number of words.
pub fn reference(node: &Atom, creation: u32, words: &[u32]) -> Option<Term> {
    let count = u16::try_from(words.len()).ok()?;
    if words.is_empty() || words.len() > REFERENCE_WORDS_MAX {
        return None;
    }
    let mut bytes = vec![tag::NEWER_REFERENCE];
    bytes.extend(count.to_be_bytes());
    put_atom_utf8(&mut bytes, node);
    bytes.extend(creation.to_be_bytes());
    for word in words {
        bytes.extend(word.to_be_bytes());
    }
    Some(Term::Reference(Opaque::new(bytes.into())))
}

impl Reader<'_> {
    /// A term that is kept as it is encoded, whose tag has been read.
    #[inline(never)]
    pub fn identifier<B: Build>(&mut self, tag: u8, depth: usize) -> Result<B::Value> {
        let start = self.at() - 1;
        self.enter(depth)?;
        let kind: fn(Opaque) -> Term = match tag {
            tag::PID | tag::NEW_PID => {
                self.node()?;
                self.skip(if tag == tag::PID { 9 } else { 12 }, "a pid")?;
                Term::Pid
            }
            tag::PORT | tag::NEW_PORT | tag::V4_PORT => {
                self.node()?;
                let length = match tag {
                    tag::PORT => 5,
                    tag::NEW_PORT => 8,
                    _ => 12,
                };
                self.skip(length, "a port")?;
                Term::Port
            }
            tag::REFERENCE => {
                self.node()?;
                self.skip(5, "a reference")?;
                Term::Reference
            }
            tag::NEW_REFERENCE | tag::NEWER_REFERENCE => {
                let words = usize::from(u16::from_be_bytes(self.array("a reference")?));
                if !(1..=REFERENCE_WORDS_MAX).contains(&words) {
                    let expected = format_args!("a reference of 1 to {REFERENCE_WORDS_MAX} words");
                    return Err(DecodeError::new(start, expected, words));
                }
                self.node()?;
                let creation = if tag == tag::NEW_REFERENCE { 1 } else { 4 };
                self.skip(creation + words * 4, "a reference")?;
                Term::Reference
            }
            tag::EXPORT => {
                self.node()?;
                self.node()?;
                self.small_integer()?;
                Term::Function
            }
            tag::NEW_FUN => {
                self.closure(depth)?;
                Term::Function
            }
            other => {
                let got = format_args!("{}, tag {other}", tag::left_out(other));
                return Err(DecodeError::new(start, "a term", got));
            }
        };
        let bytes = self.since(start);
        Ok(B::leaf(|| kind(Opaque::new(bytes))))
    }

    /// What follows the tag of a closure. Its free variables are terms, and checked as such.
    fn closure(&mut self, depth: usize) -> Result<()> {
        let start = self.at();
        let size = self.u32()?;
        // Arity, a checksum of the module, the index in it.
        self.skip(1 + 16 + 4, "a function")?;
        let free = self.u32()?;
        self.node()?;
        self.small_integer()?;
        self.small_integer()?;
        self.promise(1, 1, "the creator of a function")?;
        self.term::<Skip>(depth + 1)?;
        self.promise(free, 1, "free variables of a function")?;
        for _ in 0..free {
            self.term::<Skip>(depth + 1)?;
        }
        if self.at() - start == size {
            return Ok(());
        }
        let expected = format_args!("a function of {size} bytes");
        Err(DecodeError::new(start, expected, self.at() - start))
    }

    /// An atom inside a term that is kept as it is: a node, a module, a function.
    fn node(&mut self) -> Result<()> {
        let start = self.at();
        match self.array::<1>("an atom")?[0] {
            tag @ (tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8) => {
                self.atom(tag).map(drop)
            }
            other => Err(DecodeError::new(
                start,
                "an atom",
                format_args!("tag {other}"),
            )),
        }
    }

    fn small_integer(&mut self) -> Result<()> {
        let start = self.at();
        match self.array::<1>("an integer")?[0] {
            tag::SMALL_INTEGER => self.skip(1, "an integer"),
            tag::INTEGER => self.skip(4, "an integer"),
            other => Err(DecodeError::new(
                start,
                "an integer",
                format_args!("tag {other}"),
            )),
        }
    }
}
