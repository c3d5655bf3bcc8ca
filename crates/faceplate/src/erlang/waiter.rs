//! Who waits for the answer to a call, and in which form: clients of `gen_server`, and whoever had a
//! process spawned that makes the call, as `erpc` and `rpc` do.

use super::handshake::Peer;
use super::request::{self, Request};
use super::signal::{self, Spawn};
use bytes::Bytes;
use dispatch::CallError;
use term::etf::{self, EncodeError, Limits, Tags};
use term::{Atom, Term};

/// The names that answer calls.
const KATAMARI: &str = "katamari";
const REX: &str = "rex";

/// How a name is called and answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// `{call, Details, Function, Args}`, answered with `{ok, Result}` or `{error, Reason}`.
    Katamari,
    /// `{call, Module, Function, Args, GroupLeader}`, answered with the bare result, or
    /// `{badrpc, {'EXIT', Reason}}`.
    Rex,
}

impl Manner {
    /// That of a name, if calls go through it.
    pub fn of(name: &Atom) -> Option<Self> {
        match name.as_str() {
            KATAMARI => Some(Self::Katamari),
            REX => Some(Self::Rex),
            _ => None,
        }
    }

    /// The call in a request that begins with `mark`.
    pub fn read(self, request: Term, mark: &str) -> Result<Request, CallError> {
        if matches!(self, Self::Rex) {
            let parts = tuple(&request, mark).or_else(|| tuple(&request, "block_call"));
            return match parts {
                Some([module, function, arguments, _]) => {
                    Request::remote(module, function, arguments)
                }
                _ => Err(request::bad(format!(
                    "expected {{{mark}, Module, Function, Args, GroupLeader}}, got {}",
                    request.describe()
                ))),
            };
        }
        match request {
            Term::Tuple(mut parts) if parts.first().is_some_and(|first| first.is_atom(mark)) => {
                Request::of(parts.split_off(1))
            }
            other => Err(request::bad(format!(
                "expected {{{mark}, Details, Function, Args}}, got {}",
                other.describe()
            ))),
        }
    }

    /// A result as it is answered.
    pub fn wrap(self, result: Result<Term, CallError>) -> Term {
        match (self, result) {
            (Self::Katamari, Ok(result)) => Term::pair(Term::atom("ok"), result),
            (Self::Rex, Ok(result)) => result,
            (Self::Katamari, Err(error)) => {
                Term::pair(Term::atom("error"), request::failure(error))
            }
            (Self::Rex, Err(error)) => {
                let exit = Term::pair(Term::atom("EXIT"), request::failure(error));
                Term::pair(Term::atom("badrpc"), exit)
            }
        }
    }
}

/// Who waits.
#[derive(Debug)]
pub(super) enum Waiter {
    /// A process that has sent a request of `gen_server`.
    Client {
        pid: Term,
        tag: Term,
        manner: Manner,
    },
    /// A process that monitors one that it had spawned.
    Spawner {
        process: Term,
        from: Term,
        reference: Term,
        mark: Term,
    },
}

impl Waiter {
    /// What tells this call from others: the reference of the monitor if there is one, as that is
    /// what ends when the caller gives up.
    pub fn key(&self) -> Result<Bytes, CallError> {
        let key = match self {
            Self::Client { tag, .. } => alias(tag).unwrap_or(tag),
            Self::Spawner { reference, .. } => reference,
        };
        match key {
            Term::Reference(reference) => Ok(reference.bytes().clone()),
            other => etf::encode(other, Tags::Modern)
                .map(Bytes::from)
                .map_err(|error| request::bad(format!("the tag of the call: {error}"))),
        }
    }

    /// The frame with the answer. `ours` is the process that sends it.
    pub fn answer(
        &self,
        ours: &Term,
        peer: &Peer,
        result: Result<Term, CallError>,
    ) -> Result<Bytes, EncodeError> {
        match self {
            Self::Client { pid, tag, manner } => {
                reply(ours, peer, pid, tag.clone(), manner.wrap(result))
            }
            Self::Spawner {
                process,
                from,
                reference,
                mark,
            } => {
                let (how, value) = match result {
                    Ok(result) => ("return", result),
                    Err(error) => ("exit", request::failure(error)),
                };
                let reason = Term::Tuple(vec![mark.clone(), Term::atom(how), value]);
                signal::down(process.clone(), from.clone(), reference.clone(), reason)
            }
        }
    }
}

/// What `erpc` has spawned: `execute_call(Mark, Module, Function, Args)`, which ends with the
/// answer as its reason, or `execute_cast(Module, Function, Args)`.
#[derive(Debug)]
pub(super) struct Remote<'t> {
    pub mark: Option<&'t Term>,
    pub module: &'t Term,
    pub function: &'t Term,
    pub arguments: &'t Term,
    pub is_monitored: bool,
}

impl<'t> Remote<'t> {
    /// None if it is some other function, or to be linked.
    pub fn of(spawn: &'t Spawn) -> Option<Self> {
        let Some([name, Term::Integer(_)]) = tuple(&spawn.function, "erpc") else {
            return None;
        };
        let (Term::List(arguments), Term::List(options)) = (&spawn.arguments, &spawn.options)
        else {
            return None;
        };
        let is_monitored =
            |option: &Term| option.is_atom("monitor") || tuple(option, "monitor").is_some();
        if options.iter().any(|option| option.is_atom("link")) {
            return None;
        }
        let (mark, [module, function, arguments]) = (match &arguments[..] {
            [mark, rest @ ..] if name.is_atom("execute_call") => (Some(mark), rest),
            rest if name.is_atom("execute_cast") => (None, rest),
            _ => return None,
        }) else {
            return None;
        };
        Some(Self {
            mark,
            module,
            function,
            arguments,
            is_monitored: options.iter().any(is_monitored),
        })
    }
}

/// Copies of terms that are kept while a call runs: as they came, they would keep the memory of
/// the whole message.
pub(super) fn own<const N: usize>(terms: Vec<Term>) -> Option<[Term; N]> {
    let copy = etf::encode(&Term::Tuple(terms), Tags::Modern).ok()?;
    match etf::decode(&copy.into(), &Limits::default()) {
        Ok(Term::Tuple(terms)) => terms.try_into().ok(),
        _ => None,
    }
}

/// What follows the mark in such a tuple.
pub(super) fn tuple<'t>(term: &'t Term, mark: &str) -> Option<&'t [Term]> {
    match term {
        Term::Tuple(parts) => match &parts[..] {
            [first, rest @ ..] if first.is_atom(mark) => Some(rest),
            _ => None,
        },
        _ => None,
    }
}

/// The alias in a tag: `[alias|Alias]` or `[[alias|Alias]|Label]`.
fn alias(tag: &Term) -> Option<&Term> {
    let inner = match tag {
        Term::List(elements) => elements.first()?,
        Term::ImproperList(elements, tail) => match (&elements[..], &**tail) {
            ([mark], Term::Reference(_)) if mark.is_atom("alias") => return Some(tail),
            (elements, _) => elements.first()?,
        },
        _ => return None,
    };
    match inner {
        Term::ImproperList(elements, tail) => match (&elements[..], &**tail) {
            ([mark], Term::Reference(_)) if mark.is_atom("alias") => Some(tail),
            _ => None,
        },
        _ => None,
    }
}

/// `{Tag, Answer}` to a client: to the alias in its tag if the peer has those, so that what comes
/// too late is dropped there.
pub(super) fn reply(
    ours: &Term,
    peer: &Peer,
    pid: &Term,
    tag: Term,
    answer: Term,
) -> Result<Bytes, EncodeError> {
    let alias = alias(&tag).filter(|_| peer.has_aliases()).cloned();
    let message = Term::pair(tag, answer);
    match alias {
        Some(alias) => signal::send_alias(ours.clone(), &alias, &message),
        None => signal::send(pid, &message),
    }
}
