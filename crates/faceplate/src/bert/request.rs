//! Terms as requests and directives, in the forms of the specification and in those that clients
//! are known to write: lists for tuples, binaries and lists of code points for atoms.

use dispatch::{CallError, Code};
use term::{Bert, Term};

/// A term that means something.
#[derive(Debug)]
pub(super) enum Spoken<'t> {
    /// `{call, Module, Function, Arguments}` or `{cast, ...}`.
    Request(Request),
    /// `{info, Command, Options}`.
    Info(String, &'t Term),
}

/// What is to be called; its arguments are [`into_arguments`] of the same term.
#[derive(Debug)]
pub(super) struct Request {
    pub is_cast: bool,
    pub module: String,
    pub function: String,
}

/// Reads a term.
pub(super) fn read(term: &Term) -> Result<Spoken<'_>, CallError> {
    let unknown = || {
        let message = format!(
            "expected {{call, Module, Function, Arguments}}, {{cast, ...}} or {{info, Command, \
             Options}}, got {}",
            term.describe()
        );
        CallError::new(Code::BadRequest, message)
    };
    let name = |what: &str, term: &Term| {
        text(term).ok_or_else(|| {
            let message = format!("{what}: expected an atom, got {}", term.describe());
            CallError::new(Code::BadRequest, message)
        })
    };
    let Some([word, rest @ ..]) = elements(term) else {
        return Err(unknown());
    };
    match (text(word).as_deref(), rest) {
        (Some(word @ ("call" | "cast")), [module, function, _]) => Ok(Spoken::Request(Request {
            is_cast: word == "cast",
            module: name("module", module)?,
            function: name("function", function)?,
        })),
        (Some("info"), [command, options]) => Ok(Spoken::Info(name("info", command)?, options)),
        _ => Err(unknown()),
    }
}

/// The arguments of a term that is a request.
pub(super) fn into_arguments(request: Term) -> Term {
    let last = match request {
        Term::Tuple(mut elements) | Term::List(mut elements) => elements.pop(),
        _ => None,
    };
    last.expect("a request is a tuple or a list that ends with its arguments")
}

/// Whether a term announces that the next request is streamed.
pub(super) fn opens_stream(term: &Term) -> bool {
    matches!(read(term), Ok(Spoken::Info(command, _)) if command == "stream")
}

/// The elements of a tuple, or of the list in its place.
pub(super) fn elements(term: &Term) -> Option<&[Term]> {
    match term {
        Term::Tuple(elements) | Term::List(elements) => Some(elements),
        _ => None,
    }
}

/// The text that an atom, a binary or a list of code points is.
pub(super) fn text(term: &Term) -> Option<String> {
    let character = |term: &Term| match term {
        Term::Integer(point) => u32::try_from(*point).ok().and_then(char::from_u32),
        _ => None,
    };
    match term {
        Term::Atom(atom) => Some(atom.as_str().to_owned()),
        Term::Binary(bytes) => Some(std::str::from_utf8(bytes).ok()?.to_owned()),
        Term::List(points) if !points.is_empty() => points.iter().map(character).collect(),
        _ => None,
    }
}

/// Options, each with its name and what stands behind that: `[{service, S}, {mfa, M, F, A}]`, one
/// alone as `[validation, Token]`, or a dictionary. What is none of these has no options.
pub(super) fn options(term: &Term) -> Vec<(String, Vec<Term>)> {
    if let Ok(Some(Bert::Dict(pairs))) = Bert::of(term) {
        let pair = |(key, value): (Term, Term)| Some((text(&key)?, vec![value]));
        return pairs.into_iter().filter_map(pair).collect();
    }
    if let Term::Map(pairs) = term {
        let pair = |(key, value): &(Term, Term)| Some((text(key)?, vec![value.clone()]));
        return pairs.iter().filter_map(pair).collect();
    }
    let option = |term: &Term| {
        let (name, rest) = elements(term)?.split_first()?;
        Some((text(name)?, rest.to_vec()))
    };
    match elements(term) {
        Some([Term::Atom(_) | Term::Binary(_), ..]) => option(term).into_iter().collect(),
        Some(options) => options.iter().filter_map(option).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(terms: &[Term]) -> Term {
        Term::List(terms.to_vec())
    }

    fn code_points(text: &str) -> Term {
        Term::List(
            text.bytes()
                .map(|byte| Term::Integer(byte.into()))
                .collect(),
        )
    }

    #[test]
    fn names_are_atoms_binaries_or_code_points_and_tuples_may_be_lists() {
        for name in [Term::atom("echo"), Term::text("echo"), code_points("echo")] {
            let elements = vec![Term::atom("cast"), name.clone(), name, list(&[])];
            for term in [Term::Tuple(elements.clone()), list(&elements)] {
                let Ok(Spoken::Request(request)) = read(&term) else {
                    panic!("{term:?}");
                };
                assert!(request.is_cast);
                assert_eq!((&*request.module, &*request.function), ("echo", "echo"));
            }
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let call = Term::atom("call");
        for term in [
            Term::Integer(1),
            list(&[]),
            list(std::slice::from_ref(&call)),
            list(&[call.clone(), Term::Integer(1), call.clone(), list(&[])]),
            list(&[Term::atom("reply"), Term::Integer(1)]),
            list(&[Term::atom("info"), Term::atom("stream")]),
        ] {
            assert_eq!(read(&term).unwrap_err().code, Code::BadRequest, "{term:?}");
        }
    }

    #[test]
    fn options_come_in_pairs_alone_and_as_dictionaries() {
        let (name, token) = (Term::atom("validation"), Term::text("t"));
        let expected = [("validation".to_owned(), vec![token.clone()])];
        let pair = Term::pair(name.clone(), token.clone());
        for term in [
            list(std::slice::from_ref(&pair)),
            pair,
            list(&[list(&[name.clone(), token.clone()])]),
            list(&[name.clone(), token.clone()]),
            Bert::Dict(vec![(name.clone(), token.clone())]).into_term(),
            Term::Map(vec![(name, token)]),
        ] {
            assert_eq!(options(&term), expected, "{term:?}");
        }
        assert!(options(&list(&[])).is_empty());
        assert!(options(&Term::Integer(1)).is_empty());
    }
}
