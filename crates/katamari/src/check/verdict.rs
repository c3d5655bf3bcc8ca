//! What a case comes to.

use std::fmt::Display;

/// Success, or why not.
pub type Verdict<T = ()> = Result<T, Trouble>;

/// Why a case did not succeed.
#[derive(Debug)]
pub enum Trouble {
    /// What was expected and what came.
    Failed(String),
    /// It does not apply to this worker, for this reason.
    Skipped(String),
}

/// A failure.
pub fn unexpected<T>(expected: impl Display, got: impl Display) -> Verdict<T> {
    Err(Trouble::Failed(format!("expected {expected}, got {got}")))
}

/// A failure, unless it is so.
pub fn expect(is_so: bool, expected: impl Display, got: impl Display) -> Verdict {
    if is_so {
        Ok(())
    } else {
        unexpected(expected, got)
    }
}

/// At most this much of a value is shown.
const SHOWN_CHARS: usize = 200;

/// A value for people, cut if it is long.
pub fn shown(value: impl Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
