//! The keys of a faceplate's table as its protocol reads them. The binary knows the file, with lines
//! and variables; here is what a protocol may ask for.

use std::path::PathBuf;

/// A table of the configuration. Each key is asked for once; keys that nobody asks for are mistakes.
/// What does not fit is noted with its place, and the answer is none, as for a key that is not there.
pub trait Keys {
    /// Whether the table has a key. Only what was asked for is known.
    fn has(&mut self, key: &'static str) -> bool;

    /// A string.
    fn text(&mut self, key: &'static str) -> Option<String>;

    /// Strings, at most so many, each checked; `what` describes them with an example.
    fn texts(
        &mut self,
        key: &'static str,
        what: &str,
        max: usize,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>>;

    /// A table of texts, at most so many, each taken with its key; an error is noted at its value.
    fn pairs(
        &mut self,
        key: &'static str,
        max: usize,
        take: &mut dyn FnMut(&str, &str) -> Result<(), String>,
    );

    /// A path, from the configuration's folder.
    fn path(&self, text: &str) -> PathBuf;

    /// A whole number within bounds.
    fn integer(&mut self, key: &'static str, min: u64, max: u64) -> Option<u64>;

    /// True or false.
    fn boolean(&mut self, key: &'static str) -> Option<bool>;

    /// One of these words, as its place in the list.
    fn choice(&mut self, key: &'static str, words: &[&str]) -> Option<usize>;

    /// Notes what is wrong with a key's value, or that it is missing.
    fn report(&mut self, key: &'static str, message: String);
}
