//! Identifiers that a node makes of itself, to be reached by Erlang nodes.

use super::encode::put_atom_utf8;
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
