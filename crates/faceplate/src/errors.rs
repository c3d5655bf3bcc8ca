//! How the errors of calls look in each protocol: numbers, titles and fields.
//!
//! `docs/errors.md` has the table. A code is the same word everywhere; only its number differs.

use dispatch::{CallError, Code, Detail};
use http::StatusCode;
use serde::Serialize;
use std::time::Duration;

/// When to try again what there is no room for, or no program yet: both take about that long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What may go better in a moment.
pub(crate) fn busy(message: impl Into<String>) -> CallError {
    CallError::new(Code::Busy, message).with(Detail {
        retry_after: Some(RETRY_AFTER),
        ..Detail::default()
    })
}

/// A cast that [`crate::Node`] did not take.
pub(crate) fn too_many_casts() -> CallError {
    busy("too many casts are in flight")
}

/// There is nobody left to ask.
pub(crate) fn stopping() -> CallError {
    CallError::new(Code::Stopping, "the node is stopping")
}

/// The HTTP status of a code.
pub(crate) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::BadRequest | Code::BadArguments => StatusCode::BAD_REQUEST,
        Code::NoPool | Code::NoFunction => StatusCode::NOT_FOUND,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Busy | Code::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Code::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Code::WorkerDied | Code::WorkerLost | Code::Protocol => StatusCode::BAD_GATEWAY,
        Code::WorkerError => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Deadlock => StatusCode::LOOP_DETECTED,
        Code::NotAllowed => StatusCode::FORBIDDEN,
        Code::Cancelled => {
            StatusCode::from_u16(499).expect("three digits are an HTTP status, known or not")
        }
    }
}

/// The JSON-RPC error number of a code.
pub(crate) fn rpc_number(code: Code) -> i32 {
    match code {
        Code::BadRequest => -32600,
        Code::NoFunction => -32601,
        Code::BadArguments => -32602,
        Code::WorkerError => -32000,
        Code::NoPool => -32001,
        Code::TooLarge => -32002,
        Code::Busy => -32003,
        Code::Deadline => -32004,
        Code::WorkerDied => -32005,
        Code::WorkerLost => -32006,
        Code::Protocol => -32007,
        Code::Deadlock => -32008,
        Code::NotAllowed => -32009,
        Code::Cancelled => -32010,
        Code::Stopping => -32011,
    }
}

/// The type and the number of a code in BERT-RPC. Numbers below 100 are the specification's own.
pub(crate) fn bert_error(code: Code) -> (&'static str, i64) {
    match code {
        Code::BadRequest => ("protocol", 0),
        Code::NoPool => ("server", 1),
        Code::NoFunction => ("server", 2),
        Code::BadArguments => ("server", 100),
        Code::TooLarge => ("server", 101),
        Code::Busy => ("server", 102),
        Code::Deadline => ("server", 103),
        Code::Deadlock => ("server", 104),
        Code::NotAllowed => ("server", 105),
        Code::Cancelled => ("server", 106),
        Code::Stopping => ("server", 107),
        Code::WorkerError => ("user", 0),
        Code::WorkerDied => ("proxy", 100),
        Code::WorkerLost => ("proxy", 101),
        Code::Protocol => ("proxy", 102),
    }
}

/// The gRPC status of a code. Only what no worker has begun is `UNAVAILABLE`: clients take that as
/// leave to try again.
pub(crate) fn grpc_number(code: Code) -> u8 {
    match code {
        Code::Cancelled => 1,
        Code::WorkerError => 2,
        Code::BadRequest | Code::BadArguments => 3,
        Code::Deadline => 4,
        Code::NoPool => 5,
        Code::NotAllowed => 7,
        Code::TooLarge => 8,
        Code::Deadlock => 9,
        Code::NoFunction => 12,
        Code::WorkerDied | Code::WorkerLost | Code::Protocol => 13,
        Code::Busy | Code::Stopping => 14,
    }
}

/// What a code means, in words that are the same for every occurrence.
pub(crate) fn title(code: Code) -> &'static str {
    match code {
        Code::BadRequest => "The request is malformed",
        Code::NoPool => "No pool matches",
        Code::NoFunction => "No such function",
        Code::BadArguments => "The function does not take these arguments",
        Code::TooLarge => "Too large",
        Code::Busy => "Too many calls",
        Code::Deadline => "Not answered in time",
        Code::WorkerDied => "The worker died",
        Code::WorkerLost => "The node is gone",
        Code::WorkerError => "The function raised an error",
        Code::Protocol => "The worker broke the protocol",
        Code::Deadlock => "The call waits for itself",
        Code::NotAllowed => "Not allowed",
        Code::Cancelled => "Cancelled",
        Code::Stopping => "The node is stopping",
    }
}

/// The fields of a [`Detail`] under names that are clear beside those of a problem, where `status`
/// and `type` mean something else.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Facts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stderr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backtrace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

impl<'a> Facts<'a> {
    pub fn of(detail: Option<&'a Detail>) -> Self {
        let Some(detail) = detail else {
            return Self::default();
        };
        Self {
            program: detail.program.as_deref(),
            pid: detail.pid,
            exit_status: detail.status,
            signal: detail.signal,
            stderr: &detail.stderr,
            error_type: detail.type_name.as_deref(),
            backtrace: detail.backtrace.as_deref(),
            retry_after_s: retry_after_s(detail),
        }
    }
}

/// Whole seconds, and not "at once": a header has no fractions.
pub(crate) fn retry_after_s(detail: &Detail) -> Option<u64> {
    detail
        .retry_after
        .map(|after| after.as_millis().div_ceil(1_000).max(1) as u64)
}
