//! Signals between connected nodes: a control term, and with some a message behind it, in the
//! pass-through form that nodes use who agreed on no header.

use bytes::Bytes;
use term::etf::{self, DecodeError, EncodeError, Limits, Tags};
use term::{Atom, Opaque, Term};
use thiserror::Error;

/// The type of all frames here.
const PASS_THROUGH: u8 = 112;

/// Operations, by the names of the protocol's documentation; `_TT` ones have a trace token more.
const LINK: i64 = 1;
const SEND: i64 = 2;
const EXIT: i64 = 3;
const REG_SEND: i64 = 6;
const REG_SEND_TT: i64 = 16;
const MONITOR_P: i64 = 19;
const DEMONITOR_P: i64 = 20;
const MONITOR_P_EXIT: i64 = 21;
const SPAWN_REQUEST: i64 = 29;
const SPAWN_REQUEST_TT: i64 = 30;
const SPAWN_REPLY: i64 = 31;
const ALIAS_SEND: i64 = 33;
const UNLINK_ID: i64 = 35;
const UNLINK_ID_ACK: i64 = 36;

/// In a reply to a request to spawn: the process is monitored.
const IS_MONITORED: i64 = 2;

/// What a peer's process does to one of ours.
#[derive(Debug, PartialEq)]
pub(super) enum Signal {
    /// A message to a name.
    Send { to: Atom, message: Term },
    /// It wants to know when that process, a name or a pid, ends.
    Monitor {
        from: Term,
        process: Term,
        reference: Term,
    },
    /// It does not any more.
    Demonitor { reference: Opaque },
    /// It is to end with that process, and that process with it.
    Link { from: Term, to: Term },
    /// Not any more.
    Unlink { id: Term, from: Term, to: Term },
    /// A process is to begin that runs a function.
    Spawn(Box<Spawn>),
    /// Nothing that concerns us: exits, group leaders, messages to pids.
    Other,
}

/// A request to spawn.
#[derive(Debug, PartialEq)]
pub(super) struct Spawn {
    /// Names the request, and the monitor if there is to be one.
    pub reference: Term,
    pub from: Term,
    /// `{Module, Function, Arity}`.
    pub function: Term,
    pub options: Term,
    pub arguments: Term,
}

/// What a peer must not send.
#[derive(Debug, Error)]
pub(super) enum NotSignal {
    #[error("expected a message in pass-through form, byte {PASS_THROUGH}, got byte {0}")]
    Form(u8),
    #[error("{0}")]
    Term(#[from] DecodeError),
    #[error("expected a control message, got {0}")]
    Control(String),
}

/// Reads a frame that is not empty.
pub(super) fn read(frame: &Bytes, limits: &Limits) -> Result<Signal, NotSignal> {
    match frame.first() {
        Some(&PASS_THROUGH) => {}
        other => return Err(NotSignal::Form(other.copied().unwrap_or_default())),
    }
    let terms = frame.slice(1..);
    let (control, end) = etf::decode_prefix(&terms, limits)?;
    let described = control.describe();
    let Term::Tuple(control) = control else {
        return Err(NotSignal::Control(described));
    };
    let mut parts = control.into_iter();
    let Some(Term::Integer(operation)) = parts.next() else {
        return Err(NotSignal::Control(described));
    };
    let parts: Vec<Term> = parts.collect();
    let count = parts.len();
    let mut parts = parts.into_iter();
    let mut next = || parts.next().unwrap_or_else(|| Term::List(Vec::new()));
    Ok(match (operation, count) {
        (REG_SEND, 3) | (REG_SEND_TT, 4) => {
            let (_, _, to) = (next(), next(), next());
            let message = etf::decode(&terms.slice(end..), limits)?;
            match to {
                Term::Atom(to) => Signal::Send { to, message },
                other => return Err(NotSignal::Control(other.describe())),
            }
        }
        (SPAWN_REQUEST, 5) | (SPAWN_REQUEST_TT, 6) => {
            let (reference, from, _, function, options) = (next(), next(), next(), next(), next());
            Signal::Spawn(Box::new(Spawn {
                reference,
                from,
                function,
                options,
                arguments: etf::decode(&terms.slice(end..), limits)?,
            }))
        }
        (MONITOR_P, 3) => {
            let (from, process, reference) = (next(), next(), next());
            Signal::Monitor {
                from,
                process,
                reference,
            }
        }
        (DEMONITOR_P, 3) => match (next(), next(), next()) {
            (_, _, Term::Reference(reference)) => Signal::Demonitor { reference },
            (_, _, other) => return Err(NotSignal::Control(other.describe())),
        },
        (LINK, 2) => {
            let (from, to) = (next(), next());
            Signal::Link { from, to }
        }
        (UNLINK_ID, 3) => {
            let (id, from, to) = (next(), next(), next());
            Signal::Unlink { id, from, to }
        }
        _ => Signal::Other,
    })
}

/// A message to a process of the peer.
pub(super) fn send(to: &Term, message: &Term) -> Result<Bytes, EncodeError> {
    let control = vec![Term::Integer(SEND), Term::atom(""), to.clone()];
    frame(control, Some(message))
}

/// A message to an alias of one, which is dropped there if nobody waits for it any more.
pub(super) fn send_alias(from: Term, alias: &Term, message: &Term) -> Result<Bytes, EncodeError> {
    let control = vec![Term::Integer(ALIAS_SEND), from, alias.clone()];
    frame(control, Some(message))
}

/// That a process has begun, or why not.
pub(super) fn spawned(
    reference: Term,
    to: Term,
    is_monitored: bool,
    result: Term,
) -> Result<Bytes, EncodeError> {
    let flags = Term::Integer(if is_monitored { IS_MONITORED } else { 0 });
    let control = vec![Term::Integer(SPAWN_REPLY), reference, to, flags, result];
    frame(control, None)
}

/// To whoever monitors a process: that it has ended, and why.
pub(super) fn down(
    process: Term,
    to: Term,
    reference: Term,
    reason: Term,
) -> Result<Bytes, EncodeError> {
    let control = vec![
        Term::Integer(MONITOR_P_EXIT),
        process,
        to,
        reference,
        reason,
    ];
    frame(control, None)
}

/// To whoever is linked to a process that is not there.
pub(super) fn exit(process: Term, to: Term) -> Result<Bytes, EncodeError> {
    let reason = Term::atom("noproc");
    frame(vec![Term::Integer(EXIT), process, to, reason], None)
}

/// That a link is no more.
pub(super) fn unlinked(id: Term, process: Term, to: Term) -> Result<Bytes, EncodeError> {
    frame(vec![Term::Integer(UNLINK_ID_ACK), id, process, to], None)
}

/// Control and message behind their length.
fn frame(control: Vec<Term>, message: Option<&Term>) -> Result<Bytes, EncodeError> {
    let mut out = vec![0, 0, 0, 0, PASS_THROUGH];
    etf::encode_into(&mut out, &Term::Tuple(control), Tags::Modern)?;
    if let Some(message) = message {
        etf::encode_into(&mut out, message, Tags::Modern)?;
    }
    let length = out.len() - 4;
    let length = u32::try_from(length).map_err(|_| EncodeError::TooLong(length))?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out.into())
}
