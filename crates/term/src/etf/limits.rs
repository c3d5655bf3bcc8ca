//! How much of a term's bytes is taken in: each figure bounds what hostile input can cost.

use crate::value::{ATOM_CHARACTERS_MAX, TERM_DEPTH_MAX};

/// The most that decoding takes. [`Limits::default`] suits payloads of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the encoded term.
    pub bytes: usize,
    /// Terms inside each other; above [`TERM_DEPTH_MAX`] that counts.
    pub depth: usize,
    /// Terms in all, beside the outermost: each takes 40 bytes of memory or somewhat more.
    pub elements: usize,
    /// Atoms in all, repeated ones included. None is interned here; whom the term is passed on to
    /// may have a table of atoms that never shrinks.
    pub atoms: usize,
    /// Characters of an atom.
    pub atom_characters: usize,
    /// Bytes of an integer: to write one in decimal takes time with the square of its length.
    pub integer_bytes: usize,
    /// Bytes that a compressed term may have when inflated.
    pub inflated_bytes: usize,
}

impl Default for Limits {
    /// Payloads of 16 MiB, compressed or not, and trees of 80 MiB.
    fn default() -> Self {
        Self {
            bytes: 16 * 1024 * 1024,
            depth: TERM_DEPTH_MAX,
            elements: 2_000_000,
            atoms: 1_000_000,
            atom_characters: ATOM_CHARACTERS_MAX,
            integer_bytes: 4096,
            inflated_bytes: 16 * 1024 * 1024,
        }
    }
}
