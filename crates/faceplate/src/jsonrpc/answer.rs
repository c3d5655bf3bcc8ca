//! Writing JSON-RPC: results spliced in as the bytes they came in, and errors.

use crate::errors::{Facts, rpc_number};
use crate::exchange::{Answer, Pieces, Reply};
use crate::receipt::Receipt;
use dispatch::{CallError, Code, Detail};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicUsize, Ordering};
use term::Payload;

/// The number of a body that is not JSON.
const PARSE_ERROR: i32 = -32700;

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Failure {
    number: i32,
    code: Code,
    message: String,
    detail: Option<Box<Detail>>,
    id: Option<String>,
}

impl Failure {
    /// The body is not JSON.
    pub fn parse(why: &(impl ToString + ?Sized)) -> Self {
        Self {
            number: PARSE_ERROR,
            ..Self::invalid(why)
        }
    }

    /// The body is JSON, but no request.
    pub fn invalid(why: &(impl ToString + ?Sized)) -> Self {
        Self::of(CallError::new(Code::BadRequest, why.to_string()), None)
    }

    /// The call failed.
    pub fn of(error: CallError, receipt: Option<&Receipt>) -> Self {
        Self {
            number: rpc_number(error.code),
            code: error.code,
            message: error.message,
            detail: error.detail,
            id: receipt.map(Receipt::id),
        }
    }
}

#[derive(Serialize)]
struct ErrorResponse<'a> {
    jsonrpc: &'a str,
    error: ErrorObject<'a>,
    id: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i32,
    message: &'a str,
    data: ErrorData<'a>,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(flatten)]
    facts: Facts<'a>,
}

/// An error response; its id is null if the request's is not known.
pub(crate) fn failure(id: Option<&RawValue>, failure: &Failure) -> Vec<u8> {
    let response = ErrorResponse {
        jsonrpc: "2.0",
        error: ErrorObject {
            code: failure.number,
            message: &failure.message,
            data: ErrorData {
                code: failure.code,
                id: failure.id.as_deref(),
                facts: Facts::of(failure.detail.as_deref()),
            },
        },
        id,
    };
    serde_json::to_vec(&response).expect("text, numbers and a value that was JSON are JSON")
}

/// A response with a result.
pub(crate) fn success(id: &RawValue, result: &[u8]) -> Vec<u8> {
    const PARTS: [&[u8]; 3] = [br#"{"jsonrpc":"2.0","result":"#, br#","id":"#, b"}"];
    [PARTS[0], result, PARTS[1], id.get().as_bytes(), PARTS[2]].concat()
}

/// The responses of a batch.
pub(crate) fn array(answers: &[Vec<u8>]) -> Vec<u8> {
    let mut array =
        Vec::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
    array.push(b'[');
    array.extend_from_slice(&answers.join(&b','));
    array.push(b']');
    array
}

/// Bytes that the answers to one request may still take up together, where they have to be put
/// together here. A single whole answer is as long as its worker may make it.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    spent: AtomicUsize,
}

impl Budget {
    pub fn new(max: usize) -> Self {
        Self {
            max,
            spent: AtomicUsize::new(0),
        }
    }

    /// The first answer, of whatever size, is free: nothing else is held beside it.
    fn spend(&self, bytes: usize) -> Result<(), CallError> {
        let before = self.spent.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before + bytes > self.max {
            self.spent.fetch_sub(bytes, Ordering::Relaxed);
            let message = format!("expected answers of at most {} bytes together", self.max);
            return Err(CallError::new(Code::TooLarge, message));
        }
        Ok(())
    }
}

/// The result of a call as one JSON value; the pieces of a streamed answer as an array.
pub(crate) async fn result(reply: Reply, budget: &Budget) -> Result<Vec<u8>, CallError> {
    match reply.result? {
        Answer::Whole(payload) => {
            let json = value(&payload)?;
            budget.spend(json.len())?;
            Ok(json.to_vec())
        }
        Answer::Stream(pieces) => collect(pieces, budget).await,
    }
}

async fn collect(mut pieces: Pieces, budget: &Budget) -> Result<Vec<u8>, CallError> {
    let mut array = vec![b'['];
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let json = value(&piece)?;
        budget.spend(json.len() + 1)?;
        if array.len() > 1 {
            array.push(b',');
        }
        array.extend_from_slice(json);
    }
    array.push(b']');
    Ok(array)
}

/// The bytes of a payload that can stand inside a JSON document. A worker that sends something else
/// as JSON would spoil the answers to others in the same batch.
fn value(payload: &Payload) -> Result<&[u8], CallError> {
    match payload {
        Payload::Json(bytes) => match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(value) => Ok(value.get().as_bytes()),
            Err(error) => {
                let message = format!("the worker's answer is not JSON: {error}");
                Err(CallError::new(Code::Protocol, message))
            }
        },
        other => {
            let message = format!(
                "the answer is {}, which has no place in JSON; POST /call gives it as it is",
                other.content_type()
            );
            Err(CallError::new(Code::BadRequest, message))
        }
    }
}
