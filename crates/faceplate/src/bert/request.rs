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
        term.to_text().ok_or_else(|| {
            let message = format!("{what}: expected an atom, got {}", term.describe());
            CallError::new(Code::BadRequest, message)
        })
    };
    let Some([word, rest @ ..]) = term.elements() else {
        return Err(unknown());
    };
    match (word.to_text().as_deref(), rest) {
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

/// Options, each with its name and what stands behind that: `[{service, S}, {mfa, M, F, A}]`, one
/// alone as `[validation, Token]`, or a dictionary. What is none of these has no options.
pub(super) fn options(term: &Term) -> Vec<(String, Vec<Term>)> {
    if let Ok(Some(Bert::Dict(pairs))) = Bert::of(term) {
        let pair = |(key, value): (Term, Term)| Some((key.to_text()?, vec![value]));
        return pairs.into_iter().filter_map(pair).collect();
    }
    if let Term::Map(pairs) = term {
        let pair = |(key, value): &(Term, Term)| Some((key.to_text()?, vec![value.clone()]));
        return pairs.iter().filter_map(pair).collect();
    }
    let option = |term: &Term| {
        let (name, rest) = term.elements()?.split_first()?;
        Some((name.to_text()?, rest.to_vec()))
    };
    match term.elements() {
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
