//! The types of BERT 1.0 (bert-rpc.org): tuples whose first element is the atom `bert` stand for
//! what Erlang has no type for.

use crate::value::Term;
use bytes::Bytes;

/// A value of a type that only BERT has.
#[derive(Debug, Clone, PartialEq)]
pub enum Bert {
    /// `{bert, nil}`.
    Nil,
    /// `{bert, true}` or `{bert, false}`.
    Bool(bool),
    /// `{bert, dict, [{K, V}]}`, in the order written.
    Dict(Vec<(Term, Term)>),
    /// `{bert, time, Megaseconds, Seconds, Microseconds}`: a moment since 1970, in UTC. The parts
    /// add up and may have either sign.
    Time {
        /// Millions of seconds.
        megaseconds: i64,
        /// Seconds.
        seconds: i64,
        /// Millionths of a second.
        microseconds: i64,
    },
    /// `{bert, string, Encoding, Bytes}` in UTF-8 or ASCII, which Python's `bert` makes of text that
    /// is not ASCII. BERT 1.0 does not have it.
    Text(Bytes),
    /// `{bert, regex, Source, Options}`.
    Regex {
        /// The expression.
        source: Bytes,
        /// As those of Erlang's `re:compile`: `caseless`, `{newline, crlf}`.
        options: Vec<Term>,
    },
}

/// A tuple that begins with the atom `bert`, which BERT keeps for its own types, and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} of BERT 1.0, got {got}")]
pub struct NotBert {
    expected: &'static str,
    got: String,
}

impl Bert {
    /// The value that `term` stands for; none if it stands for itself. What is inside, such as the
    /// values of a dictionary, is left as it is.
    pub fn of(term: &Term) -> Result<Option<Self>, NotBert> {
        let Term::Tuple(elements) = term else {
            return Ok(None);
        };
        let [first, rest @ ..] = &elements[..] else {
            return Ok(None);
        };
        if !first.is_atom("bert") {
            return Ok(None);
        }
        let fault = |expected, got: &Term| NotBert {
            expected,
            got: got.describe(),
        };
        let value = match rest {
            [name] if name.is_atom("nil") => Self::Nil,
            [name] if name.is_atom("true") => Self::Bool(true),
            [name] if name.is_atom("false") => Self::Bool(false),
            [name, pairs] if name.is_atom("dict") => {
                let pairs = dict(pairs).ok_or_else(|| fault("the pairs of a dict", pairs))?;
                Self::Dict(pairs)
            }
            [
                name,
                Term::Integer(megaseconds),
                Term::Integer(seconds),
                Term::Integer(microseconds),
            ] if name.is_atom("time") => Self::Time {
                megaseconds: *megaseconds,
                seconds: *seconds,
                microseconds: *microseconds,
            },
            [name, Term::Atom(encoding), Term::Binary(text)]
                if name.is_atom("string") && is_utf8(encoding.as_str()) =>
            {
                Self::Text(text.clone())
            }
            [name, Term::Binary(source), Term::List(options)] if name.is_atom("regex") => {
                Self::Regex {
                    source: source.clone(),
                    options: options.clone(),
                }
            }
            [name, ..] => return Err(fault("a type", name)),
            [] => return Err(fault("a type", term)),
        };
        Ok(Some(value))
    }

    /// The tuple that stands for it.
    pub fn into_term(self) -> Term {
        let mut elements = vec![Term::atom("bert")];
        match self {
            Self::Nil => elements.push(Term::atom("nil")),
            Self::Bool(true) => elements.push(Term::atom("true")),
            Self::Bool(false) => elements.push(Term::atom("false")),
            Self::Dict(pairs) => {
                let pairs = pairs.into_iter().map(|(key, value)| Term::pair(key, value));
                elements.extend([Term::atom("dict"), Term::List(pairs.collect())]);
            }
            Self::Time {
                megaseconds,
                seconds,
                microseconds,
            } => elements.extend([
                Term::atom("time"),
                Term::Integer(megaseconds),
                Term::Integer(seconds),
                Term::Integer(microseconds),
            ]),
            Self::Text(text) => elements.extend([
                Term::atom("string"),
                Term::atom("UTF-8"),
                Term::Binary(text),
            ]),
            Self::Regex { source, options } => elements.extend([
                Term::atom("regex"),
                Term::Binary(source),
                Term::List(options),
            ]),
        }
        Term::Tuple(elements)
    }
}

/// Whether bytes in an encoding of that name are in UTF-8, too.
fn is_utf8(encoding: &str) -> bool {
    let names = ["utf-8", "utf8", "ascii", "us-ascii"];
    names.iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

fn dict(pairs: &Term) -> Option<Vec<(Term, Term)>> {
    let Term::List(pairs) = pairs else {
        return None;
    };
    let pair = |pair: &Term| match pair {
        Term::Tuple(pair) => match &pair[..] {
            [key, value] => Some((key.clone(), value.clone())),
            _ => None,
        },
        _ => None,
    };
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(elements: &[Term]) -> Term {
        Term::Tuple(elements.to_vec())
    }

    #[test]
    fn every_type_has_its_tuple_and_back() {
        let bert = || Term::atom("bert");
        let inner = tuple(&[bert(), Term::atom("nil")]);
        let pairs = Term::List(vec![Term::pair(Term::atom("name"), inner.clone())]);
        for (value, term) in [
            (Bert::Nil, inner.clone()),
            (Bert::Bool(true), tuple(&[bert(), Term::atom("true")])),
            (Bert::Bool(false), tuple(&[bert(), Term::atom("false")])),
            (
                Bert::Dict(vec![(Term::atom("name"), inner)]),
                tuple(&[bert(), Term::atom("dict"), pairs]),
            ),
            (
                Bert::Time {
                    megaseconds: 1255,
                    seconds: 295_581,
                    microseconds: 446_228,
                },
                tuple(&[
                    bert(),
                    Term::atom("time"),
                    Term::Integer(1255),
                    Term::Integer(295_581),
                    Term::Integer(446_228),
                ]),
            ),
            (
                Bert::Text("\u{e9}".into()),
                tuple(&[
                    bert(),
                    Term::atom("string"),
                    Term::atom("UTF-8"),
                    Term::text("\u{e9}"),
                ]),
            ),
            (
                Bert::Regex {
                    source: "^c(a*)t$".into(),
                    options: vec![Term::atom("caseless")],
                },
                tuple(&[
                    bert(),
                    Term::atom("regex"),
                    Term::text("^c(a*)t$"),
                    Term::List(vec![Term::atom("caseless")]),
                ]),
            ),
        ] {
            assert_eq!(Bert::of(&term), Ok(Some(value.clone())));
            assert_eq!(value.into_term(), term);
        }
    }

    #[test]
    fn what_begins_with_bert_and_is_no_type_is_refused() {
        let bert = Term::atom("bert");
        for rest in [
            vec![],
            vec![Term::atom("undefined")],
            vec![Term::atom("dict"), Term::Integer(1)],
            vec![Term::atom("dict"), Term::List(vec![Term::Integer(1)])],
            vec![Term::atom("time"), Term::Integer(1)],
            vec![Term::atom("string"), Term::atom("UTF-16"), Term::text("a")],
        ] {
            let term = Term::Tuple([vec![bert.clone()], rest].concat());
            Bert::of(&term).unwrap_err();
        }
        assert_eq!(Bert::of(&bert), Ok(None));
        assert_eq!(Bert::of(&tuple(&[Term::text("bert")])), Ok(None));
    }
}
