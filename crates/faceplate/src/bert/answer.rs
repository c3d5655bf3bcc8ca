//! Writing: replies, errors, and answers piece by piece.

use super::info::Cache;
use crate::conversation::Outgoing;
use crate::errors::{bert_error, retry_after_s};
use crate::exchange::{Answer, Pieces, Reply};
use crate::receipt::Receipt;
use bytes::Bytes;
use dispatch::{CallError, Code};
use futures_util::stream::{StreamExt, once, unfold};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;
use term::etf::{Limits, Tags, decode, encode_into};
use term::{FromJsonError, Payload, Style, Term, from_json};

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// Bytes of the hash that an answer is told from another by: as good as all 32.
const TOKEN_BYTES: usize = 16;

/// The end of a stream.
const LAST_CHUNK: Bytes = Bytes::from_static(&[0; LENGTH_BYTES]);

/// A term behind its length, in tags that every client knows.
pub(super) fn berp(term: &Term) -> Result<Vec<u8>, CallError> {
    let mut out = vec![0; LENGTH_BYTES];
    encode_into(&mut out, term, Tags::Old).map_err(|error| {
        let message = format!("the answer has no form in BERT: {error}");
        CallError::new(Code::BadRequest, message)
    })?;
    measure(&mut out);
    Ok(out)
}

/// Bytes behind their length.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = [&[0; LENGTH_BYTES], bytes].concat();
    measure(&mut out);
    out
}

/// Writes the length of all that follows into the first bytes.
fn measure(out: &mut [u8]) {
    let length = u32::try_from(out.len() - LENGTH_BYTES).expect("answers are within limits");
    out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// What this module makes up itself.
fn known(term: Vec<Term>) -> Vec<u8> {
    berp(&Term::Tuple(term)).expect("atoms, integers and binaries have old tags")
}

/// `{noreply}`.
pub(super) fn noreply() -> Vec<u8> {
    known(vec![Term::atom("noreply")])
}

fn info(command: &'static str, options: Vec<Term>) -> Vec<u8> {
    let command = Term::atom(command);
    known(vec![Term::atom("info"), command, Term::List(options)])
}

fn reply_with(result: Term) -> Result<Vec<u8>, CallError> {
    berp(&Term::pair(Term::atom("reply"), result))
}

/// The answer to a call.
pub(super) async fn reply(reply: Reply, cache: &Cache) -> Outgoing {
    let receipt = reply.receipt;
    let answer = match reply.result {
        Ok(Answer::Whole(payload)) => whole(&payload, cache).map(Bytes::from).map(Outgoing::Whole),
        Ok(Answer::Stream(pieces)) => streamed(pieces).await,
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| Outgoing::Whole(failure(&error, Some(receipt)).into()))
}

fn whole(payload: &Payload, cache: &Cache) -> Result<Vec<u8>, CallError> {
    if *cache == Cache::Unasked {
        return reply_with(term_of(payload)?);
    }
    let token = token(payload);
    if *cache == Cache::Has(token.clone()) {
        return Ok([info("valid", vec![]), noreply()].concat());
    }
    let pair = |name, value| Term::pair(Term::atom(name), value);
    let options = vec![
        pair("access", Term::atom("private")),
        pair("validation", Term::Binary(token)),
    ];
    Ok([info("cache", options), reply_with(term_of(payload)?)?].concat())
}

/// What answers are told apart by: a hash of all that is answered.
fn token(payload: &Payload) -> Bytes {
    let hash = Sha256::new()
        .chain_update(payload.content_type())
        .chain_update([0])
        .chain_update(payload.bytes())
        .finalize();
    let mut token = String::with_capacity(2 * TOKEN_BYTES);
    for byte in hash.iter().take(TOKEN_BYTES) {
        write!(token, "{byte:02x}").expect("writing to memory cannot fail");
    }
    token.into()
}

/// The term that a payload is for a client: JSON in the types of BERT, terms as they are, and any
/// other bytes as a binary.
pub(super) fn term_of(payload: &Payload) -> Result<Term, CallError> {
    let limits = Limits::default();
    let fault = |error: &dyn std::fmt::Display| {
        let message = format!("the worker's answer: {error}");
        CallError::new(Code::Protocol, message)
    };
    match payload {
        Payload::Json(json) => from_json(json, Style::Bert, &limits).map_err(|error| match error {
            FromJsonError::TooLong { .. } => CallError::new(Code::TooLarge, error.to_string()),
            error => fault(&error),
        }),
        Payload::Etf(bytes) => decode(bytes, &limits).map_err(|error| fault(&error)),
        Payload::Bytes { bytes, .. } => Ok(Term::Binary(bytes.clone())),
    }
}

/// All pieces of a stream as a list, if they have no more than so many bytes.
pub(super) async fn collect(mut pieces: Pieces, bytes_max: usize) -> Result<Term, CallError> {
    let mut terms = Vec::new();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        // A piece of none takes room as well.
        bytes += piece.size() + 1;
        if bytes > bytes_max {
            let message = format!("expected pieces of at most {bytes_max} bytes together");
            return Err(CallError::new(Code::TooLarge, message));
        }
        terms.push(term_of(&piece)?);
    }
    Ok(Term::List(terms))
}

/// An answer piece by piece. It is announced with its first one, so that a function that fails at
/// once is answered with its error; later there is no other way to tell than to cut the stream off.
async fn streamed(mut pieces: Pieces) -> Result<Outgoing, CallError> {
    let first = pieces.next().await.transpose()?;
    let mut head = [info("stream", vec![]), reply_with(Term::List(vec![]))?].concat();
    let Some(first) = first else {
        head.extend_from_slice(&LAST_CHUNK);
        return Ok(Outgoing::Whole(head.into()));
    };
    head.extend_from_slice(&piece(&first)?);
    let rest = unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        Some(match pieces.next().await {
            None => (Ok(LAST_CHUNK), None),
            Some(next) => match next.and_then(|next| piece(&next)) {
                Ok(chunk) => (Ok(chunk.into()), Some(pieces)),
                Err(error) => (Err(io::Error::other(error)), None),
            },
        })
    });
    let head = once(async { Ok(head.into()) });
    Ok(Outgoing::Pieces(head.chain(rest).boxed()))
}

/// A piece as a chunk: bytes as they are, and a value as the bytes of its term. One of no bytes is
/// nothing, for an empty chunk is the end.
fn piece(payload: &Payload) -> Result<Vec<u8>, CallError> {
    match payload {
        Payload::Bytes { bytes, .. } if bytes.is_empty() => Ok(Vec::new()),
        Payload::Bytes { bytes, .. } => Ok(chunk(bytes)),
        value => berp(&term_of(value)?),
    }
}

/// `{error, {Type, Code, Class, Detail, Backtrace}}`.
pub(super) fn failure(error: &CallError, receipt: Option<Receipt>) -> Vec<u8> {
    let (kind, number) = bert_error(error.code);
    failure_as(kind, number, error, receipt)
}

/// The error of a term that cannot be read.
pub(super) fn not_a_term(why: &impl ToString) -> Vec<u8> {
    let error = CallError::new(Code::BadRequest, why.to_string());
    failure_as("protocol", 2, &error, None)
}

/// The error of a message that has not come whole, or is too long to be read.
pub(super) fn unreadable(error: &CallError) -> Vec<u8> {
    match error.code {
        Code::TooLarge => failure_as("protocol", 1, error, None),
        Code::BadRequest => failure_as("protocol", 2, error, None),
        _ => failure(error, None),
    }
}

fn failure_as(
    kind: &'static str,
    number: i64,
    error: &CallError,
    receipt: Option<Receipt>,
) -> Vec<u8> {
    let facts = error.detail.as_deref();
    let class = facts.and_then(|facts| facts.type_name.as_deref());
    let class = class.filter(|_| error.code == Code::WorkerError);
    let mut detail = error.message.clone();
    if let Some(seconds) = facts.and_then(retry_after_s) {
        let _ = write!(detail, "; try again in {seconds} s");
    }
    let mut lines: Vec<Term> = Vec::new();
    if let Some(facts) = facts {
        lines.extend(
            facts
                .backtrace
                .iter()
                .flat_map(|text| text.lines())
                .map(Term::text),
        );
        lines.extend(facts.stderr.iter().map(|line| Term::text(line)));
    }
    // What `katamari why` asks for.
    lines.extend(receipt.map(|receipt| Term::text(&format!("call {}", receipt.id()))));
    let error = Term::Tuple(vec![
        Term::atom(kind),
        Term::Integer(number),
        Term::text(class.unwrap_or(error.code.as_str())),
        Term::text(&detail),
        Term::List(lines),
    ]);
    known(vec![Term::atom("error"), error])
}
