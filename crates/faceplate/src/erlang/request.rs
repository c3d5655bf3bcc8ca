//! What Erlang's processes ask for as calls, and answers as what they get: terms as they are, or in
//! style erlang of `docs/terms.md`.

use crate::arguments::{of_json, of_term, of_terms};
use crate::details;
use crate::exchange::{Answer, Pieces, Reply};
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::{CallError, Code};
use pool::Details;
use term::etf::{self, Limits};
use term::{FromJsonError, Payload, Shape, Style, Term, from_json, to_json};

/// A call that is asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub details: Details,
    pub function: String,
    pub arguments: Arguments,
    pub wishes: Wishes,
}

/// What a call is given.
#[derive(Debug)]
pub(super) enum Arguments {
    /// By name or by position, as they look.
    Any(Term),
    /// By position, whatever they are.
    Placed(Vec<Term>),
}

impl Arguments {
    /// As the terms that they are, for programs that take them.
    pub fn into_terms(self) -> Result<(Payload, Shape), CallError> {
        match self {
            Self::Any(term) => of_term(term, Style::Erlang),
            Self::Placed(terms) => of_terms(terms),
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<(Payload, Shape), CallError> {
        let json = |term| to_json(term, Style::Erlang).map_err(|error| no_arguments(&error));
        let all = match self {
            Self::Any(term) => json(term)?,
            // Each by itself, for a list of pairs would become an object.
            Self::Placed(terms) => {
                let each: Result<Vec<_>, _> = terms.iter().map(json).collect();
                [b"[", &each?.join(&b',')[..], b"]"].concat()
            }
        };
        of_json(all.into())
    }
}

impl Request {
    /// What follows the mark in `{call, Details, Function, Args}`, with or without options.
    pub fn of(parts: Vec<Term>) -> Result<Self, CallError> {
        let mut parts = parts.into_iter();
        let (Some(details), Some(function), Some(arguments), options, None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(bad(
                "expected {call, Details, Function, Args} or {call, Details, Function, Args, Options}",
            ));
        };
        Ok(Self {
            details: read_details(&details)?,
            function: text(&function).ok_or_else(|| expected("a function's name", &function))?,
            arguments: Arguments::Any(arguments),
            wishes: options.map_or_else(|| Ok(Wishes::default()), |options| wishes(&options))?,
        })
    }

    /// What `rpc:call(Node, Module, Function, Args)` asks for: a kind, and arguments by position,
    /// whatever they are.
    pub fn remote(module: &Term, function: &Term, arguments: &Term) -> Result<Self, CallError> {
        let kind = text(module).ok_or_else(|| expected("a kind for a module", module))?;
        let function = text(function).ok_or_else(|| expected("a function's name", function))?;
        let Term::List(arguments) = arguments else {
            return Err(expected("a list of arguments", arguments));
        };
        Ok(Self {
            details: Details::of_kind(&kind),
            function,
            arguments: Arguments::Placed(arguments.clone()),
            wishes: Wishes::default(),
        })
    }
}

/// A name alone is the kind.
fn read_details(term: &Term) -> Result<Details, CallError> {
    if let Some(kind) = text(term) {
        return Ok(Details::of_kind(&kind));
    }
    let example = "a kind, or details such as [{kind, parse}, {grammar, <<\"1.2.3\">>}]";
    match term {
        Term::List(pairs) if pairs.is_empty() => Ok(Details::default()),
        Term::List(_) | Term::Map(_) => {
            let json = to_json(term, Style::Erlang).map_err(|error| error.to_string());
            json.and_then(|json| details::parse(&json))
                .map_err(|error| bad(format!("expected {example}: {error}")))
        }
        other => Err(expected(example, other)),
    }
}

fn wishes(options: &Term) -> Result<Wishes, CallError> {
    let mut wishes = Wishes::default();
    let mut set = |name: &Term, value: &Term| {
        let wish = match text(name).as_deref() {
            Some("timeout") if value.is_atom("infinity") => return Ok(()),
            Some("timeout") => "timeout-ms",
            Some("class") => "class",
            Some("key") => "key",
            Some("idempotent") => "idempotent",
            _ => return Err(expected("timeout, class, key or idempotent", name)),
        };
        let value = match value {
            Term::Integer(value) => Some(value.to_string()),
            other => text(other),
        };
        let value = value.ok_or_else(|| bad(format!("{wish}: expected a number or a name")))?;
        wishes.set(wish, &value)
    };
    match options {
        Term::Map(pairs) => {
            for (name, value) in pairs {
                set(name, value)?;
            }
        }
        Term::List(options) => {
            for option in options {
                match option {
                    Term::Tuple(pair) if pair.len() == 2 => set(&pair[0], &pair[1])?,
                    // As in Erlang's own lists of properties.
                    Term::Atom(_) => set(option, &Term::atom("true"))?,
                    other => return Err(expected("an option such as {timeout, 500}", other)),
                }
            }
        }
        other => return Err(expected("options such as [{timeout, 500}]", other)),
    }
    Ok(wishes)
}

/// What an atom or a binary says.
fn text(term: &Term) -> Option<String> {
    match term {
        Term::Atom(atom) => Some(atom.as_str().to_owned()),
        Term::Binary(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

/// The result of a call; the pieces of a streamed one as a list, of at most so many bytes.
pub(super) async fn result(reply: Reply, bytes_max: usize) -> Result<Term, CallError> {
    match reply.result? {
        Answer::Whole(payload) => value(payload),
        Answer::Stream(pieces) => collect(pieces, bytes_max).await,
    }
}

async fn collect(mut pieces: Pieces, bytes_max: usize) -> Result<Term, CallError> {
    let mut values = Vec::new();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        // A term takes memory even if there is next to nothing in it.
        bytes += piece.size() + size_of::<Term>();
        if bytes > bytes_max {
            let message = format!("expected an answer of at most {bytes_max} bytes");
            return Err(CallError::new(Code::TooLarge, message));
        }
        values.push(value(piece)?);
    }
    Ok(Term::List(values))
}

/// JSON as what Erlang has for it; bytes of any other type as a binary.
fn value(payload: Payload) -> Result<Term, CallError> {
    let limits = Limits::default();
    match payload {
        Payload::Json(json) => from_json(&json, Style::Erlang, &limits).map_err(|error| {
            let code = match error {
                FromJsonError::Json(_) | FromJsonError::Utf8(_) => Code::Protocol,
                _ => Code::TooLarge,
            };
            CallError::new(code, format!("the worker's answer: {error}"))
        }),
        Payload::Etf(bytes) => etf::decode(&bytes, &limits).map_err(|error| {
            CallError::new(Code::Protocol, format!("the worker's answer: {error}"))
        }),
        Payload::Bytes { bytes, .. } => Ok(Term::Binary(bytes)),
    }
}

/// `{Code, Message}`.
pub(super) fn failure(error: CallError) -> Term {
    let code = Term::atom(error.code.as_str());
    Term::pair(code, Term::Binary(Bytes::from(error.message)))
}

pub(super) fn bad(message: impl Into<String>) -> CallError {
    CallError::new(Code::BadRequest, message)
}

fn expected(what: &str, got: &Term) -> CallError {
    bad(format!("expected {what}, got {}", got.describe()))
}

fn no_arguments(error: &term::ToJsonError) -> CallError {
    CallError::new(Code::BadArguments, format!("the arguments: {error}"))
}
