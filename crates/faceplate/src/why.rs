//! `GET /why/ID`: what happened to one call.

use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::router::json;
use crate::node::Node;
use dispatch::{Code, Ended, HISTORY_MAX, Trace};
use http::{Response, StatusCode};
use pool::Details;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Serialize)]
struct Story<'a> {
    id: &'a str,
    attempts: Vec<Attempt<'a>>,
}

/// One attempt at the call. Times are milliseconds after it came in.
#[derive(Serialize)]
struct Attempt<'a> {
    attempt: u8,
    details: &'a Details,
    function: &'a str,
    arrived_ms_ago: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned: Option<AssignedTo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<f64>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct AssignedTo {
    worker: String,
    pid: u32,
    /// The node it runs on, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Arc<str>>,
    after_ms: f64,
}

impl<'a> Attempt<'a> {
    fn of(node: &Node, trace: &'a Trace, now: Instant) -> Self {
        let after = |at: Instant| ms(at.saturating_duration_since(trace.arrived));
        let (state, code, message) = match &trace.ended {
            None if trace.assigned.is_some() => ("running", None, None),
            None => ("waiting", None, None),
            Some((_, Ended::Answered)) => ("answered", None, None),
            Some((_, Ended::Failed(code, message))) => ("failed", Some(*code), Some(&**message)),
            Some((_, Ended::Cancelled)) => ("cancelled", None, None),
        };
        Self {
            attempt: trace.id.attempt,
            details: &trace.details,
            function: &trace.function,
            arrived_ms_ago: ms(now.saturating_duration_since(trace.arrived)),
            assigned: trace.assigned.map(|(worker, at)| AssignedTo {
                worker: worker.id.to_string(),
                pid: worker.pid,
                node: node.observer.other_node(worker.id.node),
                after_ms: after(at),
            }),
            deadline_ms: trace.deadline.map(after),
            state,
            ended_ms: trace.ended.as_ref().map(|(at, _)| after(*at)),
            code,
            message,
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

/// Answers with all attempts at a call, oldest first.
pub(crate) async fn show(node: &Node, id: &str) -> Result<Response<Body>, Problem> {
    let number = (id.len() == 16)
        .then(|| u64::from_str_radix(id, 16).ok())
        .flatten();
    let Some(number) = number else {
        let message = format!("expected the sixteen hexadecimal digits of katamari-id, got {id:?}");
        return Err(Problem::new(Code::BadRequest, message));
    };
    let traces = node.observer.why(number).await;
    if traces.is_empty() {
        let message =
            format!("call {id} is not known; the last {HISTORY_MAX} attempts are remembered");
        return Err(Problem::with_status(
            StatusCode::NOT_FOUND,
            Code::BadRequest,
            message,
        ));
    }
    let now = Instant::now();
    let attempts = traces.iter().map(|trace| Attempt::of(node, trace, now));
    let attempts = attempts.collect();
    json(StatusCode::OK, &Story { id, attempts })
}
