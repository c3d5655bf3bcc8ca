//! What goes wrong: for a function, and for the one who called it.

use std::any::type_name;
use std::error::Error as StdError;
use std::fmt;

/// Any error: what a function may fail with. `?` makes one of every error there is, and
/// `"text".into()` of a message.
pub type Error = Box<dyn StdError + Send + Sync>;

/// What a function returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error whose type the caller is to see.
///
/// ```
/// use katamari_worker::{Failure, Result};
///
/// fn parse(text: &str) -> Result<u32> {
///     if text.is_empty() {
///         return Err(Failure::new("EmptyText", "the text is empty").into());
///     }
///     Ok(text.parse()?)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Failure {
    /// A short name, such as `EmptyText`.
    pub type_name: String,
    /// What the caller sees.
    pub message: String,
}

impl Failure {
    /// A failure of a type.
    pub fn new(type_name: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            type_name: type_name.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

/// The answer to the running call is no longer wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// `deadline`, `client_left` or `shutdown`.
    pub reason: String,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl StdError for Cancelled {}

/// A nested call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// One of Katamari's error codes, such as `not_allowed` or `deadline`.
    pub code: String,
    /// What happened.
    pub message: String,
}

impl CallError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl StdError for CallError {}

/// A piece of a stream was not sent.
#[derive(Debug)]
pub enum SendError {
    /// Nobody reads any more.
    Cancelled(Cancelled),
    /// It does not fit into a frame. Smaller ones can follow.
    TooLarge(String),
    /// The value has no form in JSON.
    Json(serde_json::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::TooLarge(message) => f.write_str(message),
            Self::Json(error) => write!(f, "the piece has no form in JSON: {error}"),
        }
    }
}

impl StdError for SendError {}

/// The manager has broken the protocol, in this way.
#[derive(Debug)]
pub(crate) struct Broken(pub String);

/// What a caller gets to see of an error.
pub(crate) struct Shown {
    pub message: String,
    pub type_name: String,
    pub backtrace: String,
}

impl Shown {
    pub fn new(type_name: &str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            type_name: type_name.to_owned(),
            backtrace: String::new(),
        }
    }

    /// Its causes stand where other languages have a backtrace.
    pub fn of<E: Into<Error> + 'static>(error: E) -> Self {
        let static_name = short_name(type_name::<E>());
        let error: Error = error.into();
        let mut backtrace = String::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            backtrace += &format!("caused by: {error}\n");
            cause = error.source();
        }
        Self {
            message: error.to_string(),
            type_name: name_of(&error).unwrap_or(static_name),
            backtrace,
        }
    }
}

/// The names of the types that can be told from others behind a box.
fn name_of(error: &Error) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.type_name.clone());
    }
    let known = [
        (error.is::<Cancelled>(), "Cancelled"),
        (error.is::<CallError>(), "CallError"),
        (error.is::<SendError>(), "SendError"),
        (error.is::<serde_json::Error>(), "JsonError"),
        (error.is::<std::io::Error>(), "IoError"),
    ];
    let found = known.iter().find(|(is_so, _)| *is_so);
    found.map(|(_, name)| (*name).to_owned())
}

/// `my::own::Refusal<T>` is `Refusal`; a box or a text is just an error.
fn short_name(full: &str) -> String {
    let path = full.split('<').next().unwrap_or_default();
    let name = path.rsplit("::").next().unwrap_or_default();
    match name {
        "Box" | "String" | "&str" | "" => "Error".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Refusal(std::num::ParseIntError);

    impl fmt::Display for Refusal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no")
        }
    }

    impl StdError for Refusal {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_shows_its_type_and_its_causes() {
        let cause = "x".parse::<u8>().expect_err("no number");
        let shown = Shown::of(Refusal(cause));
        assert_eq!((&*shown.type_name, &*shown.message), ("Refusal", "no"));
        assert_eq!(
            shown.backtrace,
            "caused by: invalid digit found in string\n"
        );
    }

    #[test]
    fn what_is_known_keeps_its_name_in_a_box() {
        let boxed = |error: Error| Shown::of(error).type_name;
        assert_eq!(boxed(Failure::new("Odd", "it is odd").into()), "Odd");
        assert_eq!(boxed(CallError::new("busy", "later").into()), "CallError");
        assert_eq!(boxed("just a text".into()), "Error");
        assert_eq!(Shown::of("just a text").type_name, "Error");
        assert_eq!(Shown::of("a text".to_owned()).type_name, "Error");
    }
}
