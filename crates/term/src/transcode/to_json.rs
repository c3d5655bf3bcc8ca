//! From terms to JSON.

use super::repeated::repeated;
use super::time::rfc3339;
use super::{Style, TRANSCODE_DEPTH_MAX};
use crate::bert::{Bert, NotBert};
use crate::value::Term;
use std::borrow::Cow;

/// Why a term does not become JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToJsonError {
    /// JSON has nothing for it, or not in this place.
    #[error("expected {expected}, got {got}")]
    NoForm {
        /// What could have been there.
        expected: &'static str,
        /// What was there.
        got: String,
    },
    /// Two keys become the same name.
    #[error("expected the keys of an object to differ, got {0:?} twice")]
    Repeated(String),
    /// A tuple that begins with `bert` and is none of BERT's types.
    #[error(transparent)]
    NotBert(#[from] NotBert),
    /// Nested deeper than [`TRANSCODE_DEPTH_MAX`].
    #[error("expected arrays and objects to nest at most {TRANSCODE_DEPTH_MAX} deep")]
    TooDeep,
}

/// The JSON that a term becomes in that style.
pub fn to_json(term: &Term, style: Style) -> Result<Vec<u8>, ToJsonError> {
    let mut writer = Writer {
        out: Vec::with_capacity(64),
        style,
    };
    writer.value(term, 0)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    style: Style,
}

impl Writer {
    fn value(&mut self, term: &Term, depth: usize) -> Result<(), ToJsonError> {
        match term {
            Term::Atom(atom) => match atom.as_str() {
                word @ ("true" | "false") => self.raw(word),
                "null" | "nil" | "undefined" => self.raw("null"),
                name => self.text(name),
            },
            Term::Integer(value) => self.plain(value),
            Term::Big(value) => self.raw(&value.to_string()),
            Term::Float(value) if value.is_finite() => self.plain(value),
            Term::Float(value) => return Err(no_form("a finite number", value.to_string())),
            Term::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text(text),
                Err(_) => return Err(no_form("a binary in UTF-8", term.describe())),
            },
            Term::Tuple(elements) => self.tuple(term, elements, depth)?,
            Term::List(elements) => self.list(elements, depth)?,
            Term::Map(pairs) => {
                self.object(pairs.iter().map(|(key, value)| (key, value)), depth)?;
            }
            Term::Bits(_)
            | Term::ImproperList(..)
            | Term::Pid(_)
            | Term::Reference(_)
            | Term::Port(_)
            | Term::Function(_) => return Err(no_form("what JSON can express", term.describe())),
        }
        Ok(())
    }

    fn tuple(&mut self, term: &Term, elements: &[Term], depth: usize) -> Result<(), ToJsonError> {
        match (self.style, elements) {
            (Style::Classic, [mark, pairs]) if mark.is_atom("struct") => {
                let pairs = members(pairs).and_then(|pairs| pairs_of(pairs, Self::classic_pair));
                let pairs = pairs
                    .ok_or_else(|| no_form("{struct, [{Key, Value}]}", describe_with(term)))?;
                self.object(pairs.into_iter(), depth)
            }
            (Style::Classic, [mark, elements]) if mark.is_atom("array") => {
                match members(elements) {
                    Some(elements) => self.array(elements, depth),
                    None => Err(no_form("{array, [Value]}", describe_with(term))),
                }
            }
            (Style::Erlang, [Term::List(pairs)]) => match pairs_of(pairs, erlang_pair) {
                Some(pairs) => self.object(pairs.into_iter(), depth),
                None => self.array(elements, depth),
            },
            (Style::Bert, _) => match Bert::of(term)? {
                Some(bert) => self.bert(bert, term, depth),
                None => self.array(elements, depth),
            },
            _ => self.array(elements, depth),
        }
    }

    fn bert(&mut self, bert: Bert, term: &Term, depth: usize) -> Result<(), ToJsonError> {
        match bert {
            Bert::Nil => self.raw("null"),
            Bert::Bool(value) => self.raw(if value { "true" } else { "false" }),
            Bert::Dict(pairs) => {
                self.object(pairs.iter().map(|(key, value)| (key, value)), depth)?;
            }
            Bert::Time {
                megaseconds,
                seconds,
                microseconds,
            } => match rfc3339(megaseconds, seconds, microseconds) {
                Some(text) => self.text(&text),
                None => {
                    return Err(no_form(
                        "a time in the years 0 to 9999",
                        describe_with(term),
                    ));
                }
            },
            Bert::Text(bytes) => self.value(&Term::Binary(bytes), depth)?,
            Bert::Regex { .. } => {
                let got = "a regular expression".to_owned();
                return Err(no_form("what JSON can express", got));
            }
        }
        Ok(())
    }

    fn list(&mut self, elements: &[Term], depth: usize) -> Result<(), ToJsonError> {
        match self.style {
            Style::Classic => match printable(elements) {
                Some(text) => self.text(&text),
                None => self.array(elements, depth)?,
            },
            Style::Erlang if !elements.is_empty() => match pairs_of(elements, erlang_pair) {
                Some(pairs) => self.object(pairs.into_iter(), depth)?,
                None => self.array(elements, depth)?,
            },
            Style::Erlang | Style::Bert => self.array(elements, depth)?,
        }
        Ok(())
    }

    fn array(&mut self, elements: &[Term], depth: usize) -> Result<(), ToJsonError> {
        self.out.push(b'[');
        let depth = deeper(depth)?;
        for (place, element) in elements.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            self.value(element, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object<'t>(
        &mut self,
        pairs: impl Iterator<Item = (&'t Term, &'t Term)>,
        depth: usize,
    ) -> Result<(), ToJsonError> {
        self.out.push(b'{');
        let depth = deeper(depth)?;
        let mut names = Vec::new();
        for (key, value) in pairs {
            if !names.is_empty() {
                self.out.push(b',');
            }
            let Some(name) = name(key, self.style) else {
                return Err(no_form("a key that can be a name", key.describe()));
            };
            self.text(&name);
            names.push(name);
            self.out.push(b':');
            self.value(value, depth)?;
        }
        self.out.push(b'}');
        match repeated(names.iter().map(|name| name.as_bytes())) {
            None => Ok(()),
            Some(name) => Err(ToJsonError::Repeated(
                String::from_utf8_lossy(name).into_owned(),
            )),
        }
    }

    /// Old libraries have lists of two elements in place of pairs.
    fn classic_pair(pair: &Term) -> Option<(&Term, &Term)> {
        match members(pair)? {
            [key, value] => Some((key, value)),
            _ => None,
        }
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.plain(text);
    }

    /// Strings and numbers, as serde_json writes them: floats with as many digits as tell them from
    /// all others, and always with a point or an exponent.
    fn plain(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        serde_json::to_writer(&mut self.out, value).expect("writing to memory cannot fail");
    }
}

/// The name of an object that a key becomes; none if it cannot be one.
pub(crate) fn name(key: &Term, style: Style) -> Option<Cow<'_, str>> {
    match (key, style) {
        (Term::Atom(atom), _) => Some(atom.as_str().into()),
        (Term::Binary(bytes), _) => std::str::from_utf8(bytes).ok().map(Cow::from),
        (Term::Integer(value), Style::Erlang) => Some(value.to_string().into()),
        (Term::List(elements), Style::Classic) => printable(elements).map(Cow::from),
        _ => None,
    }
}

/// The elements of a list or a tuple, which old libraries mix.
fn members(term: &Term) -> Option<&[Term]> {
    match term {
        Term::Tuple(elements) | Term::List(elements) => Some(elements),
        _ => None,
    }
}

fn pairs_of<'t>(
    elements: &'t [Term],
    pair: impl Fn(&'t Term) -> Option<(&'t Term, &'t Term)>,
) -> Option<Vec<(&'t Term, &'t Term)>> {
    elements.iter().map(pair).collect()
}

/// `{k, V}` and `{<<"k">>, V}`.
fn erlang_pair(pair: &Term) -> Option<(&Term, &Term)> {
    match pair {
        Term::Tuple(elements) => match &elements[..] {
            [key @ (Term::Atom(_) | Term::Binary(_)), value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    }
}

/// The text that a list of code points is: at least one, and all of them printable as Erlang's
/// `io_lib:printable_unicode_list` has it.
fn printable(elements: &[Term]) -> Option<String> {
    let character = |term: &Term| match term {
        Term::Integer(value) => u32::try_from(*value)
            .ok()
            .and_then(char::from_u32)
            .filter(|c| matches!(c, '\u{8}'..='\r' | '\u{1b}' | ' '..='~' | '\u{a0}'..)),
        _ => None,
    };
    if elements.is_empty() {
        return None;
    }
    elements.iter().map(character).collect()
}

fn deeper(depth: usize) -> Result<usize, ToJsonError> {
    if depth < TRANSCODE_DEPTH_MAX {
        Ok(depth + 1)
    } else {
        Err(ToJsonError::TooDeep)
    }
}

#[cold]
fn no_form(expected: &'static str, got: String) -> ToJsonError {
    ToJsonError::NoForm { expected, got }
}

/// What a tuple with a mark is, with what the mark is about.
fn describe_with(term: &Term) -> String {
    match term {
        Term::Tuple(elements) => match &elements[..] {
            [mark, .., last] => format!("{} with {}", mark.describe(), last.describe()),
            _ => term.describe(),
        },
        _ => term.describe(),
    }
}
