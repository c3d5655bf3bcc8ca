//! What happened to the last calls, for `katamari why`.

use crate::error::{CallError, Code};
use crate::slots::WorkerName;
use pool::{CallId, Details};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;

/// Ended attempts that are remembered: a few MiB, and a while even of a busy node.
pub const HISTORY_MAX: usize = 10_000;

/// Bytes kept of an error's message.
const MESSAGE_MAX: usize = 500;

/// The way of one attempt at a call.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Which.
    pub id: CallId,
    /// What it asked for.
    pub details: Arc<Details>,
    /// The function.
    pub function: Arc<str>,
    /// When it came in.
    pub arrived: Instant,
    /// The worker it was assigned to last, and when.
    pub assigned: Option<(WorkerName, Instant)>,
    /// When its deadline is.
    pub deadline: Option<Instant>,
    /// When and how it ended; none while it waits or runs.
    pub ended: Option<(Instant, Ended)>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With the function's answer.
    Answered,
    /// With an error.
    Failed(Code, Box<str>),
    /// Its caller left.
    Cancelled,
}

impl Ended {
    pub(crate) fn failed(error: &CallError) -> Self {
        let end = error.message.floor_char_boundary(MESSAGE_MAX);
        Self::Failed(error.code, error.message[..end].into())
    }
}

/// A ring of the last [`HISTORY_MAX`] attempts. It is searched from the young end without an index:
/// people ask rarely, and calls end often.
#[derive(Debug, Default)]
pub(crate) struct History {
    ended: VecDeque<Trace>,
}

impl History {
    pub fn push(&mut self, trace: Trace) {
        if self.ended.len() == HISTORY_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(trace);
    }

    /// The attempts at a call, oldest first.
    pub fn find(&self, number: u64) -> Vec<Trace> {
        self.ended
            .iter()
            .filter(|trace| trace.id.number == number)
            .cloned()
            .collect()
    }
}
