//! Shadow copies: a caller around another, which makes a part of the calls on a second version, too,
//! and compares what both answer.
//!
//! A copy is made when the original has been answered, in a task of its own, so nobody waits for it,
//! and the program that answered is known, and its answer. Its own answer goes nowhere else. Only what
//! may be run twice is copied, for a copy has effects. Copies are of class `low`, have the time that
//! the original had, and are not tried again. Beyond a few limits they are dropped, and counted.
//!
//! `sample` draws what is copied, `compare` is what counts as equal, `count` what is kept of it.
//! docs/decisions/0020-shadow-copies.md says what was weighed.

mod compare;
mod count;
mod sample;

pub use count::{Comparison, Counts, Example};

use crate::call::{Answer, Call, Caller, Numbers, Reply};
use crate::error::{CallError, Code};
use compare::{Difference, compare, excerpt};
use count::Outcome;
use pool::{Avoid, Class};
use sample::Sample;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use term::Payload;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Copies in flight on a node: more than any shadow has slots, and few beside the calls that a node
/// takes.
pub const COPIES_MAX: usize = 256;

/// Bytes of arguments and answers that copies in flight hold: as many as one busy program's queue.
pub const COPIES_BYTES_MAX: usize = 64 << 20;

/// Answers beyond this are compared in a thread of their own, for it takes longer than a call.
const AT_ONCE_MAX: usize = 16 << 10;

/// A version that shadows another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The program's name, for people.
    pub program: Arc<str>,
    /// The version that shadows.
    pub version: u32,
    /// The part of the calls that is copied, in percent.
    pub percent: u32,
    /// What dispatchers know the version by that answers.
    pub old: Arc<str>,
    /// What they know the other one by, which is [set apart](pool::is_apart).
    pub new: Arc<str>,
}

/// What is copied, and what came of it. Cheap to clone.
#[derive(Clone)]
pub struct Shadows(Arc<Shared>);

struct Shared {
    numbers: Arc<Numbers>,
    /// Whether there is any; calls need not look further if not.
    is_any: AtomicBool,
    copies_max: usize,
    bytes_max: usize,
    /// Copies in flight.
    copies: AtomicUsize,
    /// Bytes that they hold.
    bytes: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    /// For samples that begin.
    seed: u64,
    /// By the name of the version that answers.
    shadows: BTreeMap<Arc<str>, Shadowed>,
    tasks: JoinSet<()>,
}

struct Shadowed {
    target: Target,
    sample: Sample,
    comparison: Comparison,
}

/// A copy's part of the limits, for as long as it holds something.
struct Room {
    shared: Arc<Shared>,
    bytes: usize,
}

/// What the original came to.
enum Original {
    Answered(Payload),
    Failed,
}

impl Shadows {
    /// None yet. Copies are numbered by `numbers`; `seed` decides which calls are copied.
    pub fn new(numbers: Arc<Numbers>, seed: u64) -> Self {
        Self::with_limits(numbers, seed, COPIES_MAX, COPIES_BYTES_MAX)
    }

    /// As [`Shadows::new`], with other limits than [`COPIES_MAX`] and [`COPIES_BYTES_MAX`].
    pub fn with_limits(
        numbers: Arc<Numbers>,
        seed: u64,
        copies_max: usize,
        bytes_max: usize,
    ) -> Self {
        let state = State {
            seed,
            shadows: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        Self(Arc::new(Shared {
            numbers,
            is_any: AtomicBool::new(false),
            copies_max,
            bytes_max,
            copies: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            state: Mutex::new(state),
        }))
    }

    /// These shadow from now on. What was counted of one that did before is kept; of others it is
    /// forgotten.
    pub fn set(&self, targets: Vec<Target>) {
        let mut state = self.0.state();
        let mut before = std::mem::take(&mut state.shadows);
        for target in targets {
            let known = before.remove(&target.old);
            let same = known.filter(|known| known.target.new == target.new);
            let shadowed = match same.filter(|known| known.target.version == target.version) {
                Some(known) => Shadowed { target, ..known },
                None => {
                    state.seed = state.seed.wrapping_add(1);
                    Shadowed {
                        sample: Sample::new(state.seed),
                        comparison: Comparison::new(&target),
                        target,
                    }
                }
            };
            let old = shadowed.target.old.clone();
            state.shadows.insert(old, shadowed);
        }
        let is_any = !state.shadows.is_empty();
        self.0.is_any.store(is_any, Ordering::Relaxed);
    }

    /// What came of it so far, by program.
    pub fn comparisons(&self) -> Vec<Comparison> {
        let state = self.0.state();
        let shadows = state.shadows.values();
        shadows.map(|known| known.comparison.clone()).collect()
    }

    /// Makes no more copies, and leaves those that run: the node stops.
    pub fn stop(&self) {
        self.set(Vec::new());
        self.0.state().tasks.abort_all();
    }
}

impl std::fmt::Debug for Shadows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.comparisons()).finish()
    }
}

/// Makes calls, and copies of some.
pub struct Shadow {
    inner: Arc<dyn Caller>,
    copies: Arc<dyn Caller>,
    shadows: Shadows,
}

impl Shadow {
    /// A caller that makes calls on `inner` and their copies on `copies`, which is not to try again
    /// what fails.
    pub fn new(inner: Arc<dyn Caller>, copies: Arc<dyn Caller>, shadows: Shadows) -> Self {
        Self {
            inner,
            copies,
            shadows,
        }
    }
}

impl Caller for Shadow {
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        // An input can be read once.
        if call.input.is_some() || !self.shadows.0.is_any.load(Ordering::Relaxed) {
            return self.inner.call(call);
        }
        Box::pin(async move {
            // Its arguments are shared bytes.
            let (copy, began) = (call.clone(), Instant::now());
            let reply = self.inner.call(call).await;
            if let Some(plan) = self.shadows.0.plan(&copy, began, &reply) {
                self.start(copy, plan);
            }
            reply
        })
    }
}

/// A copy that is to be made.
struct Plan {
    target: Target,
    /// The time that the original had.
    timeout: Option<Duration>,
    original: Original,
    ran: Duration,
    room: Room,
}

impl Shadow {
    fn start(&self, original: Call, plan: Plan) {
        let (copies, shared) = (self.copies.clone(), self.shadows.0.clone());
        let copy = Call {
            number: shared.numbers.next(),
            attempt: 0,
            class: Class::Low,
            deadline: plan.timeout.map(|timeout| Instant::now() + timeout),
            avoid: Avoid::default(),
            only: Some(plan.target.new.clone()),
            parent: None,
            ..original.clone()
        };
        let task = async move {
            let number = copy.number;
            let reply = copies.call(copy).await;
            let ran = reply.ran;
            let Some((outcome, difference)) = judge(plan.original, reply).await else {
                return;
            };
            let example = difference.map(|difference| Example {
                call: original.id().to_string(),
                copy: format!("{number:016x}"),
                function: original.function.clone(),
                at: difference.at,
                old: difference.old,
                new: difference.new,
            });
            shared.count(&plan.target, &original.function, |counts| {
                counts.count(outcome, plan.ran, ran);
            });
            shared.keep(&plan.target, example);
            drop(plan.room);
        };
        let mut state = self.shadows.0.state();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(task);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an answered call is to be copied, and what for.
    fn plan(self: &Arc<Self>, call: &Call, began: Instant, reply: &Reply) -> Option<Plan> {
        let mut state = self.state();
        let known = state.shadows.get_mut(reply.program.as_ref()?)?;
        let counts = known.comparison.of(&call.function);
        let original = match &reply.result {
            Ok(Answer::Stream(_)) => {
                counts.streamed += 1;
                return None;
            }
            Ok(Answer::Whole(payload)) => Original::Answered(payload.clone()),
            Err(error) if may_fail_again(error) => Original::Failed,
            Err(_) => return None,
        };
        if !reply.idempotent {
            counts.not_idempotent += 1;
            return None;
        }
        if !known.sample.takes(known.target.percent) {
            return None;
        }
        let answer = match &original {
            Original::Answered(payload) => payload.size(),
            Original::Failed => 0,
        };
        let size = call.payload.size() + answer;
        let Some(room) = Room::take(self, size) else {
            counts.dropped += 1;
            return None;
        };
        let deadline = reply.deadline.or(call.deadline);
        Some(Plan {
            target: known.target.clone(),
            timeout: deadline.map(|deadline| deadline.saturating_duration_since(began)),
            original,
            ran: reply.ran,
            room,
        })
    }

    /// Lets a shadow count something, if it still is one.
    fn count(&self, target: &Target, function: &Arc<str>, count: impl FnOnce(&mut Counts)) {
        if let Some(known) = self.state().shadowed(target) {
            count(known.comparison.of(function));
        }
    }

    fn keep(&self, target: &Target, example: Option<Example>) {
        if let (Some(known), Some(example)) = (self.state().shadowed(target), example) {
            known.comparison.keep(example);
        }
    }
}

impl State {
    fn shadowed(&mut self, target: &Target) -> Option<&mut Shadowed> {
        let known = self.shadows.get_mut(&target.old)?;
        (known.target.version == target.version).then_some(known)
    }
}

impl Room {
    /// None if there is no more. Asked with the state locked, so nobody else takes what is seen here.
    fn take(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let held = shared.bytes.load(Ordering::Relaxed);
        let is_full = shared.copies.load(Ordering::Relaxed) >= shared.copies_max
            || held.saturating_add(bytes) > shared.bytes_max;
        if is_full {
            return None;
        }
        shared.copies.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        let shared = shared.clone();
        Some(Self { shared, bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.copies.fetch_sub(1, Ordering::Relaxed);
        self.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Whether an error is the version's own, so that the other one may do better. What took all memory
/// would only take it again.
fn may_fail_again(error: &CallError) -> bool {
    let poisonous = error.detail.as_ref().is_some_and(|detail| detail.poisonous);
    is_its_own(error.code) && !poisonous
}

/// Whether the version is to blame for an error, not what surrounds it.
fn is_its_own(code: Code) -> bool {
    match code {
        Code::WorkerError
        | Code::WorkerDied
        | Code::Protocol
        | Code::Deadline
        | Code::TooLarge
        | Code::NoFunction
        | Code::BadArguments => true,
        Code::BadRequest
        | Code::NoPool
        | Code::Busy
        | Code::WorkerLost
        | Code::Deadlock
        | Code::NotAllowed
        | Code::Cancelled
        | Code::Stopping => false,
    }
}

/// What a copy came to, beside its original; nothing while no worker of the new version was ready.
async fn judge(original: Original, copy: Reply) -> Option<(Outcome, Option<Difference>)> {
    let has_run = copy.worker.is_some();
    let judged = match (original, copy.result) {
        (_, Err(error)) if error.code == Code::NoPool => return None,
        (_, Err(error)) if error.code == Code::Deadline && !has_run => (Outcome::Dropped, None),
        (_, Err(error)) if !is_its_own(error.code) => (Outcome::Dropped, None),
        (Original::Failed, Err(_)) => (Outcome::FailedBoth, None),
        (Original::Failed, Ok(_)) => (Outcome::FailedOld, None),
        (Original::Answered(old), Err(error)) => {
            let difference = Difference {
                at: error.code.as_str().to_owned(),
                old: excerpt(old.bytes(), 0),
                new: excerpt(error.message.as_bytes(), 0),
            };
            (Outcome::FailedNew, Some(difference))
        }
        (Original::Answered(old), Ok(Answer::Stream(_))) => {
            let difference = Difference {
                at: "the answer".to_owned(),
                old: excerpt(old.bytes(), 0),
                new: "a stream".to_owned(),
            };
            (Outcome::Different, Some(difference))
        }
        (Original::Answered(old), Ok(Answer::Whole(new))) => match compared(old, new).await {
            None => (Outcome::Same, None),
            difference => (Outcome::Different, difference),
        },
    };
    Some(judged)
}

async fn compared(old: Payload, new: Payload) -> Option<Difference> {
    if old == new {
        return None;
    }
    if old.size().max(new.size()) <= AT_ONCE_MAX {
        return compare(&old, &new);
    }
    let compared = tokio::task::spawn_blocking(move || compare(&old, &new)).await;
    compared.expect("a comparison does not panic, and nobody aborts it")
}
