//! Which workers a program needs: the pure part of supervision.
//!
//! Told what becomes of workers, it decides which to start, put to work, take off and end. It keeps
//! one promise above all: a worker that is to be replaced goes on serving until another has taken
//! its place. No clock, no processes: [`Fleet::decide`] takes the time and gives back [`Order`]s.

use std::collections::BTreeMap;
use std::time::Duration;

/// The pause after the second failure in a row; the first costs none. Doubled with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Failures in a row after which a program counts as crash-looping.
const CRASH_LOOP: u32 = 5;
/// A worker that lived this long was no quick failure, whatever ended it.
const LIVED: Duration = Duration::from_secs(10);
/// How long a stuck worker may take to recover before another is started in its stead: many hear
/// that their call is cancelled, and a process costs more than that.
const STUCK_GRACE: Duration = Duration::from_millis(200);
/// Processes that start at the same time: each costs a processor for a while.
const STARTING_MAX: usize = 16;

/// A worker's number, counted up by the manager.
pub type Number = u32;

/// Since whenever; only differences count.
pub type Time = Duration;

/// What the fleet wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Start a process. Answer with [`Fleet::started`].
    Start,
    /// Introduce a standby and offer its slots.
    Promote(Number),
    /// Withdraw a worker's slots and keep it as a standby.
    Demote(Number),
    /// Withdraw a worker's slots, let it finish its calls, then end it.
    Retire(Number),
}

/// What the fleet should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Workers that take calls.
    pub workers: usize,
    /// Workers that stand by.
    pub spare: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Standby,
    Live,
    Retiring,
}

#[derive(Debug)]
struct Member {
    state: State,
    started: Time,
    /// Of an older configuration, or at a limit: to be replaced.
    tired: bool,
    /// Since when all its slots hold calls past their deadlines, so that it serves nobody.
    stuck: Option<Time>,
    /// It has ended a call.
    proven: bool,
    generation: u64,
}

/// The workers of one program.
#[derive(Debug)]
pub struct Fleet {
    wanted: Wanted,
    generation: u64,
    members: BTreeMap<Number, Member>,
    /// Failures in a row.
    failures: u32,
    /// When the last one was counted. Workers that were started before had no chance to learn from
    /// it: one trouble that ends many of them is one failure.
    counted: Option<Time>,
    /// When processes were last ordered.
    ordered: Time,
    /// No start before this.
    pause_until: Time,
    stopping: bool,
}

impl Fleet {
    /// A fleet without workers.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            generation: 0,
            members: BTreeMap::new(),
            failures: 0,
            counted: None,
            ordered: Time::ZERO,
            pause_until: Time::ZERO,
            stopping: false,
        }
    }

    /// Changes its size.
    pub fn resize(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// The command has changed: every worker so far is to be replaced. What failed before says
    /// nothing about the new one.
    pub fn renew(&mut self) {
        self.generation += 1;
        self.failures = 0;
        self.pause_until = Time::ZERO;
        for member in self.members.values_mut() {
            member.tired = true;
        }
    }

    /// Every worker is to end, and none to start.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// A process has been started.
    pub fn started(&mut self, number: Number, now: Time) {
        let (generation, state) = (self.generation, State::Starting);
        let member = Member {
            state,
            started: now,
            tired: false,
            stuck: None,
            proven: false,
            generation,
        };
        self.members.insert(number, member);
    }

    /// A process could not be started at all.
    pub fn not_started(&mut self, now: Time) {
        if self.counted.is_none_or(|counted| self.ordered > counted) {
            self.failed(now);
        }
    }

    /// A worker has answered the interrogation.
    pub fn ready(&mut self, number: Number) {
        if let Some(member) = self.members.get_mut(&number)
            && member.state == State::Starting
        {
            member.state = State::Standby;
        }
    }

    /// A worker has ended a call.
    pub fn proven(&mut self, number: Number) {
        self.failures = 0;
        if let Some(member) = self.members.get_mut(&number) {
            member.proven = true;
        }
    }

    /// A worker has used up what it may before it did anything: the next one would, too. True if
    /// that counts as a failure.
    pub fn worn_at_start(&mut self, number: Number, now: Time) -> bool {
        let Some(member) = self.members.get(&number) else {
            return false;
        };
        let at_start = !member.proven && now.saturating_sub(member.started) < LIVED;
        if at_start {
            self.count_failure(number, now);
        }
        at_start
    }

    /// A worker has reached a limit and should be replaced.
    pub fn tired(&mut self, number: Number) {
        if let Some(member) = self.members.get_mut(&number) {
            member.tired = true;
        }
    }

    /// A worker has taken itself off and will end.
    pub fn leaving(&mut self, number: Number) {
        if let Some(member) = self.members.get_mut(&number) {
            member.state = State::Retiring;
        }
    }

    /// Whether all slots of a worker hold calls past their deadlines.
    pub fn stuck(&mut self, number: Number, stuck: bool, now: Time) {
        if let Some(member) = self.members.get_mut(&number) {
            member.stuck = stuck.then_some(now);
        }
    }

    /// A worker's process has ended. `failure` unless it was told to, or said that it would.
    pub fn gone(&mut self, number: Number, failure: bool, now: Time) {
        let Some(member) = self.members.get(&number) else {
            return;
        };
        let lived = now.saturating_sub(member.started) >= LIVED;
        if member.proven || lived {
            self.failures = 0;
        } else if failure {
            self.count_failure(number, now);
        }
        self.members.remove(&number);
    }

    fn count_failure(&mut self, number: Number, now: Time) {
        let member = &self.members[&number];
        let learnt = self.counted.is_none_or(|counted| member.started >= counted);
        if learnt && member.generation == self.generation {
            self.failed(now);
        }
    }

    fn failed(&mut self, now: Time) {
        self.counted = Some(now);
        self.failures = self.failures.saturating_add(1);
        if self.failures > 1 {
            let doublings = (self.failures - 2).min(16);
            let pause = BACKOFF_FIRST
                .saturating_mul(1 << doublings)
                .min(BACKOFF_MAX);
            self.pause_until = now + pause;
        }
    }

    /// Whether workers die at once, time after time.
    pub fn is_crash_looping(&self) -> bool {
        self.failures >= CRASH_LOOP && self.count(|member| member.state == State::Live) == 0
    }

    /// When [`Fleet::decide`] may have more to say though nothing happened.
    pub fn next_start(&self, now: Time) -> Option<Time> {
        let pause = (self.pause_until > now && self.missing(now) > 0).then_some(self.pause_until);
        let grace = |member: &Member| Some(member.stuck? + STUCK_GRACE).filter(|at| *at > now);
        self.members.values().filter_map(grace).chain(pause).min()
    }

    /// Whether no worker is left.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Workers that take calls.
    pub fn live(&self) -> usize {
        self.count(|member| member.state == State::Live)
    }

    fn count(&self, which: impl Fn(&Member) -> bool) -> usize {
        self.members.values().filter(|member| which(member)).count()
    }

    /// Workers of the present configuration that serve, could serve or soon will.
    fn fresh(&self, now: Time) -> usize {
        let serves = |stuck: Option<Time>| stuck.is_none_or(|since| now < since + STUCK_GRACE);
        self.count(|m| !m.tired && serves(m.stuck) && m.state != State::Retiring)
    }

    /// How many more workers there should be.
    fn missing(&self, now: Time) -> usize {
        if self.stopping {
            return 0;
        }
        (self.wanted.workers + self.wanted.spare).saturating_sub(self.fresh(now))
    }

    /// What to do now. The orders count as carried out.
    pub fn decide(&mut self, now: Time) -> Vec<Order> {
        let mut orders = Vec::new();
        if self.stopping {
            self.retire_where(|_| true, usize::MAX, &mut orders);
            return orders;
        }
        let has_lived = |m: &Member| m.state == State::Live && now - m.started >= LIVED;
        if self.members.values().any(has_lived) {
            self.failures = 0;
        }
        self.promote(&mut orders);
        self.retire_replaced(&mut orders);
        self.shrink(now, &mut orders);
        if now >= self.pause_until {
            let starting = self.count(|member| member.state == State::Starting);
            // After a failure one process at a time finds out whether the trouble is over.
            let at_once = match self.failures {
                0 => self.starts_at_once(),
                _ => 1,
            };
            let starts = self.missing(now).min(at_once.saturating_sub(starting));
            self.ordered = if starts > 0 { now } else { self.ordered };
            orders.extend(std::iter::repeat_n(Order::Start, starts));
        }
        orders
    }

    /// While workers are being replaced, a quarter of them at a time: processes cost memory.
    fn starts_at_once(&self) -> usize {
        let replacing = self.count(|m| m.tired && m.state == State::Live) > 0;
        let step = if replacing {
            (self.wanted.workers / 4).max(1)
        } else {
            STARTING_MAX
        };
        step.min(STARTING_MAX)
    }

    /// Puts standbys to work until enough fresh workers serve.
    fn promote(&mut self, orders: &mut Vec<Order>) {
        let serving = self.count(|m| m.state == State::Live && !m.tired && m.stuck.is_none());
        let mut lacking = self.wanted.workers.saturating_sub(serving);
        for (number, member) in &mut self.members {
            if lacking > 0 && member.state == State::Standby && !member.tired {
                member.state = State::Live;
                orders.push(Order::Promote(*number));
                lacking -= 1;
            }
        }
    }

    /// Ends tired workers that are not needed any more: live ones as soon as others serve in their
    /// place, idle ones at once.
    fn retire_replaced(&mut self, orders: &mut Vec<Order>) {
        self.retire_where(|m| m.tired && m.state == State::Standby, usize::MAX, orders);
        let generation = self.generation;
        self.retire_where(
            |m| m.state == State::Starting && m.generation != generation,
            usize::MAX,
            orders,
        );
        let serving = self.count(|m| m.state == State::Live && m.stuck.is_none());
        let surplus = serving.saturating_sub(self.wanted.workers);
        self.retire_where(
            |m| m.tired && m.state == State::Live && m.stuck.is_none(),
            surplus,
            orders,
        );
    }

    /// Takes off live workers above the wanted number (one that was stuck has recovered, or the
    /// program was made smaller) and ends standbys above theirs.
    fn shrink(&mut self, now: Time, orders: &mut Vec<Order>) {
        let serving = self.count(|m| m.state == State::Live && m.stuck.is_none());
        let mut surplus = serving.saturating_sub(self.wanted.workers);
        for (number, member) in self.members.iter_mut().rev() {
            if surplus > 0 && member.state == State::Live && member.stuck.is_none() && !member.tired
            {
                member.state = State::Standby;
                orders.push(Order::Demote(*number));
                surplus -= 1;
            }
        }
        let excess = self
            .fresh(now)
            .saturating_sub(self.wanted.workers + self.wanted.spare);
        self.retire_where(|m| m.state == State::Standby, excess, orders);
    }

    fn retire_where(
        &mut self,
        which: impl Fn(&Member) -> bool,
        at_most: usize,
        orders: &mut Vec<Order>,
    ) {
        let mut left = at_most;
        for (number, member) in &mut self.members {
            if left > 0 && member.state != State::Retiring && which(member) {
                member.state = State::Retiring;
                orders.push(Order::Retire(*number));
                left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
