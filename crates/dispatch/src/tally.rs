//! Counts of what became of calls, kept by the loop for each kind and function.

use crate::error::Code;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of the latency buckets in milliseconds; above the last there is one more.
pub const LATENCY_BOUNDS_MS: [f64; 14] = [
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0,
];

/// What became of the calls of one function.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The kind of worker they asked for; empty if they named none.
    pub kind: Arc<str>,
    /// The function.
    pub function: Arc<str>,
    /// Calls answered by the function.
    pub answered: u64,
    /// Calls answered with an error.
    pub errors: BTreeMap<&'static str, u64>,
    /// How long they waited for a slot.
    pub queued: Latencies,
    /// How long they ran.
    pub ran: Latencies,
}

impl Tally {
    pub(crate) fn count(&mut self, code: Option<Code>, queued: Duration, ran: Option<Duration>) {
        match code {
            None => self.answered += 1,
            Some(code) => *self.errors.entry(code.as_str()).or_default() += 1,
        }
        self.queued.add(queued);
        if let Some(ran) = ran {
            self.ran.add(ran);
        }
    }
}

/// A histogram over [`LATENCY_BOUNDS_MS`].
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    /// Calls in each bucket, not cumulated.
    pub buckets: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let ms = latency.as_secs_f64() * 1_000.0;
        self.buckets[LATENCY_BOUNDS_MS.partition_point(|bound| *bound < ms)] += 1;
        self.sum += latency;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
