//! Retries: a caller around another, which makes a failed call again where that is safe.
//!
//! Safe is a call that may be run twice and of which nothing has reached the client. (One of which
//! no byte reached a worker does not fail: it is refused, and keeps its place in the queue.) There
//! are at most two repetitions of a call, and a budget for
//! all calls of a pool, so that repetitions cannot feed an overload (after Finagle's retry budgets:
//! a share of the recent calls, and a few a second at any rate).

use crate::call::{Call, Caller, Reply};
use crate::error::Code;
use pool::PoolId;
use rustc_hash::FxHashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Repetitions of one call.
const REPETITIONS_MAX: u8 = 2;

/// What share of a pool's calls may be repetitions.
const SHARE: f64 = 0.1;

/// Repetitions that each pool may make in a second at any rate.
const PER_SECOND: f64 = 10.0;

/// What a pool can save up: enough for a worker's death in a busy second, no more.
const SAVINGS_MAX: f64 = 100.0;

/// Pools whose budgets are kept.
const BUDGETS_MAX: usize = 1_000;

/// Makes failed calls again.
pub struct Retry {
    inner: Arc<dyn Caller>,
    /// Nested calls that another node dispatches share one.
    budgets: Mutex<FxHashMap<Option<PoolId>, Budget>>,
}

impl Retry {
    /// A caller that repeats failed calls on `inner`.
    pub fn new(inner: Arc<dyn Caller>) -> Self {
        Self {
            inner,
            budgets: Mutex::new(FxHashMap::default()),
        }
    }

    /// Counts a call towards its pool's budget, and takes a repetition out of it if one is wanted.
    /// False if there is none left.
    fn account(&self, pool: Option<PoolId>, repeat: bool) -> bool {
        let now = Instant::now();
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= BUDGETS_MAX && !budgets.contains_key(&pool) {
            // Most are of pools that are gone; the others start anew with what a second allows.
            budgets.clear();
        }
        let budget = budgets.entry(pool).or_insert_with(|| Budget::new(now));
        budget.earn();
        repeat && budget.spend(now)
    }
}

impl Caller for Retry {
    fn call(&self, mut call: Call) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(async move {
            loop {
                let mut reply = self.inner.call(call.clone()).await;
                // What has come of an input cannot be had again.
                let again =
                    is_safe(&reply) && call.input.is_none() && call.attempt < REPETITIONS_MAX;
                let in_budget = self.account(reply.pool, again);
                let in_time = reply
                    .deadline
                    .is_none_or(|deadline| Instant::now() < deadline);
                if !(again && in_budget && in_time) {
                    reply.number = call.number;
                    return reply;
                }
                call.attempt += 1;
                call.deadline = reply.deadline.or(call.deadline);
                call.avoid.workers.extend(reply.worker);
            }
        })
    }
}

/// Whether another attempt can do no harm and may help.
fn is_safe(reply: &Reply) -> bool {
    match &reply.result {
        Ok(_) => false,
        Err(error) => match error.code {
            Code::WorkerDied | Code::WorkerLost | Code::Protocol => {
                reply.idempotent && !error.detail.as_ref().is_some_and(|detail| detail.poisonous)
            }
            _ => false,
        },
    }
}

/// How many repetitions a pool may still make.
#[derive(Debug)]
struct Budget {
    saved: f64,
    filled: Instant,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            saved: PER_SECOND,
            filled: now,
        }
    }

    fn earn(&mut self) {
        self.saved = (self.saved + SHARE).min(SAVINGS_MAX);
    }

    fn spend(&mut self, now: Instant) -> bool {
        if self.saved < PER_SECOND {
            let refill = now.duration_since(self.filled).as_secs_f64() * PER_SECOND;
            self.saved = (self.saved + refill).min(PER_SECOND);
        }
        self.filled = now;
        let can = self.saved >= 1.0;
        if can {
            self.saved -= 1.0;
        }
        can
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Answer;
    use crate::error::{CallError, Detail};
    use pool::{Details, NodeId, WorkerId};
    use std::collections::VecDeque;
    use std::time::Duration;
    use term::{Payload, Shape};

    const WORKER: WorkerId = WorkerId {
        node: NodeId(0),
        number: 7,
    };

    /// Answers with the codes given, then well, and keeps the calls it saw.
    struct Script {
        codes: Mutex<VecDeque<Code>>,
        idempotent: bool,
        seen: Mutex<Vec<Call>>,
    }

    impl Caller for Script {
        fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
            let code = self.codes.lock().unwrap().pop_front();
            let number = call.number;
            self.seen.lock().unwrap().push(call);
            Box::pin(std::future::ready(Reply {
                number,
                pool: Some(PoolId(1)),
                worker: Some(WORKER),
                program: None,
                queued: Duration::ZERO,
                ran: Duration::ZERO,
                deadline: None,
                idempotent: self.idempotent,
                result: match code {
                    Some(code) => Err(CallError::new(code, "scripted")),
                    None => Ok(Answer::Whole(Payload::Json("1".into()))),
                },
            }))
        }
    }

    fn script(idempotent: bool, codes: &[Code]) -> (Arc<Script>, Retry) {
        let codes = Mutex::new(codes.iter().copied().collect());
        let script = Arc::new(Script {
            codes,
            idempotent,
            seen: Mutex::default(),
        });
        (script.clone(), Retry::new(script))
    }

    fn call() -> Call {
        let payload = Payload::Json("[]".into());
        Call::new(1, Details::of_kind("k"), "f", payload, Shape::Positional(0))
    }

    #[tokio::test]
    async fn an_idempotent_call_is_made_again_elsewhere() {
        let (script, retry) = script(true, &[Code::WorkerDied]);
        assert!(retry.call(call()).await.result.is_ok());
        let seen = script.seen.lock().unwrap();
        let attempts: Vec<_> = seen.iter().map(|call| call.attempt).collect();
        assert_eq!(attempts, [0, 1]);
        assert!(
            seen[1].avoid.worker(WORKER),
            "the second attempt avoids the worker that died"
        );
    }

    #[tokio::test]
    async fn other_calls_are_not_made_again() {
        let (dead, retry) = script(false, &[Code::WorkerDied]);
        assert!(retry.call(call()).await.result.is_err());
        assert_eq!(dead.seen.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn errors_of_the_function_and_of_time_are_final() {
        for code in [
            Code::WorkerError,
            Code::Deadline,
            Code::Busy,
            Code::BadArguments,
        ] {
            let (script, retry) = script(true, &[code]);
            assert!(retry.call(call()).await.result.is_err());
            assert_eq!(script.seen.lock().unwrap().len(), 1, "{code:?}");
        }
    }

    #[test]
    fn a_call_that_took_all_memory_is_not_made_again() {
        let reply = |poisonous| Reply {
            number: 1,
            pool: None,
            worker: None,
            program: None,
            queued: Duration::ZERO,
            ran: Duration::ZERO,
            deadline: None,
            idempotent: true,
            result: Err(CallError::new(Code::WorkerDied, "dead").with(Detail {
                poisonous,
                ..Detail::default()
            })),
        };
        assert!(is_safe(&reply(false)));
        assert!(!is_safe(&reply(true)));
    }

    #[tokio::test]
    async fn a_call_is_made_three_times_at_most() {
        let (script, retry) = script(true, &[Code::WorkerDied; 9]);
        assert!(retry.call(call()).await.result.is_err());
        assert_eq!(script.seen.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_in_trouble_stops_repeating_and_recovers() {
        let (script, retry) = script(true, &[Code::WorkerDied; 100_000]);
        for _ in 0..1_000 {
            assert!(retry.call(call()).await.result.is_err());
        }
        let attempts = script.seen.lock().unwrap().len();
        // A tenth of the calls and of their repetitions, and the ten of the first second.
        assert!(
            (1_100..1_130).contains(&attempts),
            "{attempts} attempts at 1,000 calls"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        script.codes.lock().unwrap().truncate(1);
        assert!(
            retry.call(call()).await.result.is_ok(),
            "ten a second are always allowed"
        );
    }
}
