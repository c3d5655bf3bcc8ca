//! The arguments of a call as a worker of 2008 takes them: by name, whatever the caller wrote.

use super::{Form, atom};
use crate::dialect::Unfit;
use bytes::Bytes;
use pool::Function;
use std::collections::BTreeSet;
use term::etf::{self, Limits};
use term::{
    Atom, Bert, FromJsonError, Payload, Shape, Style, Term, arguments_from_json, from_json,
};

/// Arguments in the order of the call.
type Arguments = Vec<(Atom, Term)>;

/// The form of a call, by what its caller speaks, and its arguments.
pub(super) fn of(function: &Function, payload: &Payload) -> Result<(Form, Arguments), Unfit> {
    match payload {
        Payload::Json(json) => Ok((Form::Json, from_text(function, json)?)),
        Payload::Etf(bytes) => Ok((Form::Pure, from_term(function, bytes)?)),
        Payload::Bytes { content_type, .. } => Err(Unfit::Arguments(format!(
            "expected JSON or terms of Erlang, got {content_type}"
        ))),
    }
}

/// JSON's objects as `{struct, ...}`, its arrays as `{array, ...}`.
fn from_text(function: &Function, json: &Bytes) -> Result<Arguments, Unfit> {
    let limits = Limits::default();
    let unfit = |error: FromJsonError| match error {
        FromJsonError::TooLong { max, .. } => Unfit::TooLarge { bytes_max: max },
        other => Unfit::Arguments(other.to_string()),
    };
    if json.trim_ascii_start().first() != Some(&b'[') {
        return arguments_from_json(json, Style::Classic, &limits).map_err(unfit);
    }
    let array = from_json(json, Style::Classic, &limits).map_err(unfit)?;
    let values = match array {
        Term::Tuple(mut marked) => marked.pop(),
        _ => None,
    };
    let Some(Term::List(values)) = values else {
        unreachable!("an array is {{array, List}} in style classic");
    };
    Ok(by_position(function, values))
}

/// Terms as they are, but for maps, which 2008 did not have.
fn from_term(function: &Function, bytes: &Bytes) -> Result<Arguments, Unfit> {
    let term = etf::decode(bytes, &Limits::default())
        .map_err(|error| Unfit::Arguments(format!("expected a term of Erlang {error}")))?;
    let misfit = |shape| function.accepts(&shape, None);
    if let Some(pairs) = named(function, &term) {
        let names = pairs.iter().map(|(name, _)| name.as_str().into()).collect();
        misfit(Shape::Named(names)).map_err(|misfit| Unfit::Arguments(misfit.to_string()))?;
        let mut seen = BTreeSet::new();
        if let Some((twice, _)) = pairs.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            return Err(Unfit::Arguments(format!(
                "argument {twice:?} is given twice"
            )));
        }
        let argument = |(name, value): (String, Term)| (atom(&name), old(value));
        return Ok(pairs.into_iter().map(argument).collect());
    }
    let Some(values) = placed(&term) else {
        return Err(Unfit::Arguments(format!(
            "expected a list of arguments, or a map or dictionary of named ones, got {}",
            term.describe()
        )));
    };
    misfit(Shape::Positional(values.len()))
        .map_err(|misfit| Unfit::Arguments(misfit.to_string()))?;
    let values = values.iter().cloned().map(old).collect();
    Ok(by_position(function, values))
}

/// Arguments by position: a list, or `{array, List}`, which is never one of named ones.
fn placed(term: &Term) -> Option<&[Term]> {
    match term {
        Term::List(values) => Some(values),
        Term::Tuple(marked) => match &marked[..] {
            [mark, inner] if mark.is_atom("array") => inner.elements(),
            _ => None,
        },
        _ => None,
    }
}

fn by_position(function: &Function, values: Vec<Term>) -> Arguments {
    let names = function.parameters.iter();
    names
        .map(|parameter| atom(&parameter.name))
        .zip(values)
        .collect()
}

/// Arguments by name: a map, `{bert, dict, Pairs}`, `{struct, Pairs}`, `{Pairs}`, or a list of pairs
/// whose keys are all names of parameters.
fn named(function: &Function, term: &Term) -> Option<Vec<(String, Term)>> {
    let pair = |pair: &Term| match pair {
        Term::Tuple(pair) => match &pair[..] {
            [key, value] => Some((key.to_text()?, value.clone())),
            _ => None,
        },
        _ => None,
    };
    let pairs = |terms: &[Term]| terms.iter().map(pair).collect();
    let own = |(key, value): (Term, Term)| Some((key.to_text()?, value));
    if let Ok(Some(Bert::Dict(dict))) = Bert::of(term) {
        return dict.into_iter().map(own).collect();
    }
    match term {
        Term::Map(entries) => entries.iter().cloned().map(own).collect(),
        Term::Tuple(marked) => match &marked[..] {
            [mark, inner] if mark.is_atom("struct") => pairs(inner.elements()?),
            [Term::List(inner)] => pairs(inner),
            _ => None,
        },
        Term::List(terms) if !terms.is_empty() => {
            let found: Option<Vec<(String, Term)>> = pairs(terms);
            let is_known = |name: &str| function.parameters.iter().any(|p| *p.name == *name);
            found.filter(|found| found.iter().all(|(name, _)| is_known(name)))
        }
        _ => None,
    }
}

/// The same term without maps: `#{K => V}` as `{struct, [{K, V}]}`, which 2008 had for objects.
fn old(term: Term) -> Term {
    let all = |terms: Vec<Term>| terms.into_iter().map(old).collect();
    match term {
        Term::Map(pairs) => {
            let pairs = pairs.into_iter();
            let pairs = pairs.map(|(key, value)| Term::pair(old(key), old(value)));
            Term::pair(Term::atom("struct"), Term::List(pairs.collect()))
        }
        Term::Tuple(terms) => Term::Tuple(all(terms)),
        Term::List(terms) => Term::List(all(terms)),
        Term::ImproperList(terms, tail) => Term::ImproperList(all(terms), Box::new(old(*tail))),
        other => other,
    }
}
