//! Why bytes are not the term they should be.

use std::fmt;

/// Bytes that are no term, or one beyond the limits. Says where, what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    offset: usize,
    is_inflated: bool,
    expected: String,
    got: String,
}

impl DecodeError {
    #[cold]
    pub(super) fn new(offset: usize, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self(Box::new(Fault {
            offset,
            is_inflated: false,
            expected: expected.to_string(),
            got: got.to_string(),
        }))
    }

    /// The same in what a compressed term was inflated to.
    pub(super) fn inflated(mut self) -> Self {
        self.0.is_inflated = true;
        self
    }

    /// The byte at which it was noticed, counted from 0: of the input, or, if that was compressed,
    /// of what it was inflated to.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What should have been there.
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// What was there.
    pub fn got(&self) -> &str {
        &self.0.got
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault {
            offset,
            is_inflated,
            expected,
            got,
        } = &*self.0;
        let of = if *is_inflated {
            " of the inflated term"
        } else {
            ""
        };
        write!(f, "at byte {offset}{of}: expected {expected}, got {got}")
    }
}

impl std::error::Error for DecodeError {}
