//! Arguments as they came in, with what the core needs to know of them.

use bytes::Bytes;
use dispatch::{CallError, Code};
use term::etf::{self, Limits, NotArguments, Tags};
use term::{ARGUMENTS_MAX, NotJson, Payload, Shape, Style, Term};

/// What bytes are where nobody has said more.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// JSON arguments with their shape. No arguments at all are written as an empty object, since
/// workers are promised JSON.
pub(crate) fn of_json(bytes: Bytes) -> Result<(Payload, Shape), CallError> {
    let shape = Shape::of_json(&bytes).map_err(|error| {
        let code = match error {
            NotJson::Arguments(_) => Code::BadArguments,
            NotJson::Syntax(_) | NotJson::Utf8(_) | NotJson::TooDeep => Code::BadRequest,
        };
        CallError::new(code, error.to_string())
    })?;
    let is_empty = bytes.trim_ascii().is_empty();
    Ok((
        Payload::Json(if is_empty {
            Bytes::from_static(b"{}")
        } else {
            bytes
        }),
        shape,
    ))
}

/// Arguments as the terms that they are, for programs that take them: by name or by position, as
/// [`Shape::of_etf`] has it in that style.
pub(crate) fn of_term(term: Term, style: Style) -> Result<(Payload, Shape), CallError> {
    let bytes = write(&term)?;
    let shape = Shape::of_etf(&bytes, style, &Limits::default()).map_err(|error| {
        let code = match error {
            NotArguments::Syntax(_) => Code::BadRequest,
            NotArguments::Arguments(_) => Code::BadArguments,
        };
        CallError::new(code, error.to_string())
    })?;
    let bytes = match (&shape, term) {
        (Shape::Named(_), list @ Term::List(_)) => write(&Term::pair(Term::atom("struct"), list))?,
        (Shape::Positional(_), all) => write(&Term::pair(Term::atom("array"), all))?,
        _ => bytes,
    };
    Ok((Payload::Etf(bytes), shape))
}

/// The same of arguments by position, whatever they are.
pub(crate) fn of_terms(terms: Vec<Term>) -> Result<(Payload, Shape), CallError> {
    let count = terms.len();
    if count > ARGUMENTS_MAX {
        let message = format!("expected at most {ARGUMENTS_MAX} arguments, got {count}");
        return Err(CallError::new(Code::BadArguments, message));
    }
    // Marked: a list of pairs alone could be arguments by name.
    let bytes = write(&Term::pair(Term::atom("array"), Term::List(terms)))?;
    Ok((Payload::Etf(bytes), Shape::Positional(count)))
}

fn write(term: &Term) -> Result<Bytes, CallError> {
    let bytes = etf::encode(term, Tags::Modern);
    let bytes = bytes.map_err(|error| CallError::new(Code::BadArguments, error.to_string()))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(terms: &[Term]) -> Term {
        Term::List(terms.to_vec())
    }

    fn named(names: &[&str]) -> Shape {
        Shape::Named(names.iter().map(|&name| name.into()).collect())
    }

    fn read(payload: &Payload) -> Term {
        etf::decode(payload.bytes(), &Limits::default()).expect("a term")
    }

    #[test]
    fn terms_are_arguments_by_name_and_by_position_and_say_which() -> Result<(), CallError> {
        let pairs = list(&[Term::pair(Term::atom("a"), Term::Integer(1))]);
        let marked = |mark, term: &Term| Term::pair(Term::atom(mark), term.clone());
        let map = Term::Map(vec![(Term::atom("a"), Term::Integer(1))]);
        let placed = Term::Tuple(vec![Term::Integer(1), Term::Integer(2)]);
        for (term, style, shape, written) in [
            (
                &pairs,
                Style::Erlang,
                named(&["a"]),
                marked("struct", &pairs),
            ),
            (
                &pairs,
                Style::Bert,
                Shape::Positional(1),
                marked("array", &pairs),
            ),
            (&map, Style::Erlang, named(&["a"]), map.clone()),
            (
                &placed,
                Style::Erlang,
                Shape::Positional(2),
                marked("array", &placed),
            ),
        ] {
            let (payload, found) = of_term(term.clone(), style)?;
            assert_eq!((found, read(&payload)), (shape, written), "{term:?}");
        }
        let (payload, shape) = of_terms(vec![Term::pair(Term::atom("a"), Term::Integer(1))])?;
        assert_eq!(shape, Shape::Positional(1));
        assert_eq!(read(&payload), marked("array", &pairs));
        Ok(())
    }

    #[test]
    fn terms_that_are_no_arguments_are_refused() {
        let many = vec![Term::Integer(1); ARGUMENTS_MAX + 1];
        for result in [
            of_term(Term::Integer(1), Style::Erlang),
            of_term(list(&many), Style::Bert),
            of_terms(many),
        ] {
            assert_eq!(result.expect_err("not arguments").code, Code::BadArguments);
        }
    }
}
