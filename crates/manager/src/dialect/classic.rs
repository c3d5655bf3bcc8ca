//! Dialect `classic`: what workers of the first Katamari (2008) speak, unchanged. Terms of Erlang
//! behind their length, one request at a time, and the manager speaks first.
//! `docs/protocol/classic.md` specifies it.

mod arguments;
mod description;
#[cfg(test)]
mod tests;

use super::json::PROTOCOL_VERSION;
use super::{Broken, Codec, FromWorker, Manners, ToWorker, Unfit, excerpt};
use crate::describe;
use bytes::{BufMut, Bytes, BytesMut};
use pool::Function;
use term::etf::{self, Limits, Tags};
use term::{Atom, Payload, Style, Term, to_json};

/// Bytes of a message: arguments and results are held in memory whole.
const MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// Bytes of an answer to `api` or `config`: far more than all names that a worker may announce.
const INTERROGATION_MAX: usize = 4 * 1024 * 1024;

/// What an answer to `api` or `config` may hold: what [`describe`] lets through has some 100,000
/// names, none deeper than the letters of a name in a list in an entry.
const INTERROGATION_LIMITS: Limits = Limits {
    bytes: INTERROGATION_MAX,
    depth: 8,
    elements: 500_000,
    atoms: 200_000,
    atom_characters: term::ATOM_CHARACTERS_MAX,
    integer_bytes: 8,
    inflated_bytes: INTERROGATION_MAX,
};

/// Bytes of an error's message and backtrace together that are passed on.
const ERROR_MAX: usize = 64 * 1024;

/// The codec of dialect `classic`.
#[derive(Debug, Default)]
pub struct Classic {
    asked: Asked,
    /// What the worker has announced: calls by position need the names.
    functions: Vec<Function>,
}

/// What the next answer is to.
#[derive(Debug, Default)]
enum Asked {
    /// `api`; `config` was asked with it.
    #[default]
    Api,
    /// `config`; these are the functions that the answer to `api` had.
    Config(Vec<serde_json::Value>),
    Nothing,
    Call(Form),
}

/// How values travel in a call and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `json`: the result is JSON, as text.
    Json,
    /// `pure`: the result is a term.
    Pure,
}

impl Codec for Classic {
    fn open(&mut self, out: &mut BytesMut) {
        for word in ["api", "config"] {
            put(&Term::atom(word), out).expect("atoms have old tags");
        }
    }

    fn encode(&mut self, message: &ToWorker, out: &mut BytesMut) -> Result<(), Unfit> {
        match message {
            ToWorker::Ping => put(&Term::atom("ping"), out),
            ToWorker::Quit => put(&Term::atom("quit"), out),
            ToWorker::Call {
                function, payload, ..
            } => {
                let known = self.functions.iter().find(|known| known.name == *function);
                let known = known.expect("calls are for functions that were announced");
                let (form, arguments) = arguments::of(known, payload)?;
                let (method, form_word) = match form {
                    Form::Json => (atom(function), Term::atom("json")),
                    Form::Pure => (atom(function), Term::atom("pure")),
                };
                let mut call = vec![Term::Atom(method), form_word];
                let pair = |(name, value)| Term::pair(Term::Atom(name), value);
                call.extend(arguments.into_iter().map(pair));
                put(&Term::pair(Term::atom("call"), Term::List(call)), out)?;
                self.asked = Asked::Call(form);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn decode(&mut self, read: &mut BytesMut) -> Result<Option<FromWorker>, Broken> {
        loop {
            let is_introduced = !matches!(self.asked, Asked::Api | Asked::Config(_));
            let bytes_max = if is_introduced {
                MESSAGE_MAX
            } else {
                INTERROGATION_MAX
            };
            let Some(bytes) = message(read, bytes_max)? else {
                return Ok(None);
            };
            let limits = if is_introduced {
                &Limits::default()
            } else {
                &INTERROGATION_LIMITS
            };
            let term = etf::decode(&bytes, limits)
                .map_err(|error| Broken(format!("expected a term of Erlang {error}")))?;
            if let Some(message) = self.interpret(&term)? {
                return Ok(Some(message));
            }
        }
    }

    fn manners(&self) -> Manners {
        Manners {
            says_hello: true,
            answers_pings: true,
            hears_cancels: false,
            hears_quit: true,
            quits_by_signal: false,
            cancels_at_once: false,
            own_descriptors: true,
            takes_terms: true,
            protocol: "classic",
        }
    }
}

/// Takes a message off the front of what was read.
fn message(read: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, Broken> {
    let Some(prefix) = read.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if !(2..=bytes_max).contains(&length) {
        let text = excerpt(read);
        return Err(Broken(format!(
            "expected a message of 2 to {bytes_max} bytes, got a length of {length} (as text: {text})"
        )));
    }
    if read.len() < 4 + length {
        read.reserve(4 + length - read.len());
        return Ok(None);
    }
    Ok(Some(read.split_to(4 + length).freeze().slice(4..)))
}

/// Appends a message in the tags that libraries of 2008 know.
fn put(term: &Term, out: &mut BytesMut) -> Result<(), Unfit> {
    let bytes = etf::encode(term, Tags::Old)
        .map_err(|error| Unfit::Arguments(format!("the worker is of 2008: {error}")))?;
    let length = u32::try_from(bytes.len()).ok();
    let Some(length) = length.filter(|_| bytes.len() <= MESSAGE_MAX) else {
        return Err(Unfit::TooLarge {
            bytes_max: MESSAGE_MAX,
        });
    };
    out.put_u32(length);
    out.put_slice(&bytes);
    Ok(())
}

fn atom(name: &str) -> Atom {
    Atom::new(name).expect("announced names are short")
}

impl Classic {
    /// What a term says; nothing yet, if it is the first of two answers.
    fn interpret(&mut self, term: &Term) -> Result<Option<FromWorker>, Broken> {
        let (word, rest) = match term.elements() {
            Some([word, rest @ ..]) => (word, rest),
            _ => (term, &[][..]),
        };
        let word = match word {
            Term::Atom(word) => word.as_str(),
            _ => "",
        };
        match (word, rest) {
            ("pong", []) => self.pong().map(Some),
            ("result", [value]) => self.result(value, false),
            ("last_result", [value]) => self.result(value, true),
            ("error", [reason]) => self.error(reason).map(Some),
            _ => Err(Broken(format!(
                "expected pong, {{result, Value}}, {{last_result, Value}} or {{error, Text}}, got {}",
                shown(term)
            ))),
        }
    }

    fn pong(&self) -> Result<FromWorker, Broken> {
        match self.asked.word() {
            Some(asked) => Err(Broken(format!("answered {asked} with pong"))),
            None => Ok(FromWorker::Pong),
        }
    }

    fn result(&mut self, value: &Term, last: bool) -> Result<Option<FromWorker>, Broken> {
        if let (true, Some(asked)) = (last, self.asked.word()) {
            return Err(Broken(format!("answered {asked} with last_result")));
        }
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Api => {
                self.asked = Asked::Config(description::functions(value)?);
                Ok(None)
            }
            Asked::Config(functions) => {
                let hello = description::hello(value, functions)?;
                let (description, _) = describe::parse_hello(&hello).map_err(Broken)?;
                self.functions = description.functions;
                Ok(Some(FromWorker::Hello {
                    protocol: PROTOCOL_VERSION,
                    description: Payload::Json(hello.into()),
                }))
            }
            Asked::Nothing => Err(unasked()),
            Asked::Call(form) => Ok(Some(match payload(value, form) {
                Ok(payload) => FromWorker::Reply {
                    id: None,
                    payload,
                    last,
                },
                // The worker keeps the protocol, and a caller may have given it such a value.
                Err(message) => FromWorker::Error {
                    id: None,
                    message,
                    type_name: None,
                    backtrace: None,
                    last,
                },
            })),
        }
    }

    /// `{error, <<"message\n\nbacktrace">>}`.
    fn error(&mut self, reason: &Term) -> Result<FromWorker, Broken> {
        let text = match reason {
            Term::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.to_text().unwrap_or_else(|| other.describe()),
        };
        if let Some(asked) = self.asked.word() {
            let text = excerpt(text.as_bytes());
            return Err(Broken(format!("answered {asked} with the error {text}")));
        }
        if let Asked::Nothing = std::mem::replace(&mut self.asked, Asked::Nothing) {
            return Err(unasked());
        }
        let text = &text[..text.floor_char_boundary(ERROR_MAX)];
        let (message, backtrace) = text.split_once("\n\n").unwrap_or((text, ""));
        Ok(FromWorker::Error {
            id: None,
            message: message.to_owned(),
            type_name: None,
            backtrace: (!backtrace.is_empty()).then(|| backtrace.to_owned()),
            last: false,
        })
    }
}

impl Asked {
    /// The question of the interrogation that is open.
    fn word(&self) -> Option<&'static str> {
        match self {
            Self::Api => Some("api"),
            Self::Config(_) => Some("config"),
            Self::Nothing | Self::Call(_) => None,
        }
    }
}

/// A result as a payload. JSON comes as its text, in `{raw, Json}`; a term without it is turned
/// into JSON, and what is wanted as a term is passed on as it is. The error is for the caller.
fn payload(value: &Term, form: Form) -> Result<Payload, String> {
    if form == Form::Pure {
        // What came in new tags alone has no others.
        let bytes = etf::encode(value, Tags::Old)
            .or_else(|_| etf::encode(value, Tags::Modern))
            .map_err(|error| format!("expected a result that can be written: {error}"))?;
        return Ok(Payload::Etf(bytes.into()));
    }
    match value.elements() {
        Some([mark, Term::Binary(json)]) if mark.is_atom("raw") => {
            term::check_json(json).map_err(|error| {
                let json = excerpt(json);
                format!("expected a result {{raw, Json}}, got {json}: {error}")
            })?;
            Ok(Payload::Json(json.clone()))
        }
        _ => to_json(value, Style::Classic)
            .map(|json| Payload::Json(json.into()))
            .map_err(|error| {
                format!("expected a result {{raw, Json}}, or a term that becomes JSON: {error}")
            }),
    }
}

fn unasked() -> Broken {
    Broken("answered though nobody had called".to_owned())
}

/// A term for people, with what it begins with.
fn shown(term: &Term) -> String {
    match term.elements() {
        Some([first, ..]) => format!("{} that begins with {}", term.describe(), first.describe()),
        _ => term.describe(),
    }
}
