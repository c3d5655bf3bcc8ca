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
mod tests {
    use super::*;
    use Order::{Demote, Promote, Retire, Start};

    /// A fleet whose processes start when ordered, numbered from 1.
    struct Harness {
        fleet: Fleet,
        now: Time,
        made: Number,
    }

    impl Harness {
        fn new(workers: usize, spare: usize) -> Self {
            Self {
                fleet: Fleet::new(Wanted { workers, spare }),
                now: Time::ZERO,
                made: 0,
            }
        }

        fn decide(&mut self) -> Vec<Order> {
            let orders = self.fleet.decide(self.now);
            for order in &orders {
                if *order == Start {
                    self.made += 1;
                    self.fleet.started(self.made, self.now);
                }
            }
            orders
        }

        /// Starts everything and gets it ready.
        fn running(workers: usize, spare: usize) -> Self {
            let mut harness = Self::new(workers, spare);
            harness.decide();
            for number in 1..=harness.made {
                harness.fleet.ready(number);
            }
            harness.decide();
            assert_eq!(harness.fleet.live(), workers);
            harness
        }

        fn dies(&mut self, number: Number) -> Vec<Order> {
            self.fleet.gone(number, true, self.now);
            self.decide()
        }
    }

    #[test]
    fn starts_what_is_wanted_and_puts_it_to_work() {
        let mut fleet = Harness::new(2, 1);
        assert_eq!(fleet.decide(), [Start, Start, Start]);
        assert_eq!(fleet.decide(), [], "they are starting");
        fleet.fleet.ready(2);
        assert_eq!(fleet.decide(), [Promote(2)]);
        fleet.fleet.ready(1);
        fleet.fleet.ready(3);
        assert_eq!(fleet.decide(), [Promote(1)], "the third stands by");
    }

    #[test]
    fn a_standby_takes_the_place_of_a_dead_worker_at_once() {
        let mut fleet = Harness::running(2, 1);
        assert_eq!(fleet.dies(1), [Promote(3), Start]);
    }

    #[test]
    fn a_tired_worker_serves_until_another_does() {
        let mut fleet = Harness::running(2, 0);
        fleet.fleet.tired(1);
        assert_eq!(fleet.decide(), [Start], "nobody is retired yet");
        fleet.fleet.ready(3);
        assert_eq!(fleet.decide(), [Promote(3), Retire(1)]);
        fleet.fleet.gone(1, false, fleet.now);
        assert_eq!(fleet.decide(), []);
    }

    #[test]
    fn a_new_command_rolls_through_a_quarter_at_a_time() {
        let mut fleet = Harness::running(8, 0);
        fleet.fleet.renew();
        assert_eq!(fleet.decide(), [Start, Start]);
        fleet.fleet.ready(9);
        assert_eq!(fleet.decide(), [Promote(9), Retire(1), Start]);
        let live_and_starting = fleet.fleet.live() + 2;
        assert!(
            live_and_starting <= 10,
            "a quarter above the wanted number at most"
        );
    }

    #[test]
    fn a_stuck_worker_is_made_up_for_and_comes_back_as_a_standby() {
        let mut fleet = Harness::running(2, 1);
        fleet.fleet.stuck(1, true, fleet.now);
        assert_eq!(fleet.decide(), [Promote(3)], "it may still recover");
        fleet.now = fleet.fleet.next_start(fleet.now).unwrap();
        assert_eq!(fleet.decide(), [Start]);
        fleet.fleet.ready(4);
        assert_eq!(fleet.decide(), []);
        fleet.fleet.stuck(1, false, fleet.now);
        let orders = fleet.decide();
        assert!(matches!(orders[..], [Demote(_), Retire(_)]), "{orders:?}");
        assert_eq!(fleet.fleet.live(), 2);
    }

    #[test]
    fn failures_in_a_row_pause_longer_and_longer_and_end_in_a_report() {
        let mut fleet = Harness::new(1, 0);
        assert_eq!(fleet.decide(), [Start]);
        assert_eq!(fleet.dies(1), [Start], "the first costs no time");
        let mut pauses = Vec::new();
        for number in 2..14 {
            assert_eq!(fleet.dies(number), []);
            let next = fleet.fleet.next_start(fleet.now).unwrap();
            pauses.push(next - fleet.now);
            fleet.now = next;
            assert_eq!(fleet.decide(), [Start]);
        }
        assert_eq!(pauses[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(*pauses.last().unwrap(), BACKOFF_MAX);
        assert!(fleet.fleet.is_crash_looping());
        fleet.fleet.ready(14);
        fleet.decide();
        assert!(!fleet.fleet.is_crash_looping(), "it lives");
    }

    #[test]
    fn a_worker_that_answered_calls_or_lived_a_while_is_replaced_without_pause() {
        let mut fleet = Harness::running(1, 0);
        for number in 1..20 {
            fleet.fleet.proven(number);
            fleet.fleet.gone(number, true, fleet.now);
            assert_eq!(fleet.decide(), [Start]);
            fleet.fleet.ready(number + 1);
            assert_eq!(fleet.decide(), [Promote(number + 1)]);
        }
        fleet.now += LIVED;
        assert_eq!(fleet.dies(20), [Start]);
    }

    #[test]
    fn a_stuck_worker_that_recovers_soon_costs_no_process() {
        let mut fleet = Harness::running(2, 1);
        fleet.fleet.stuck(1, true, fleet.now);
        assert_eq!(fleet.decide(), [Promote(3)]);
        fleet.fleet.stuck(1, false, fleet.now);
        assert_eq!(fleet.decide(), [Demote(3)], "the spare stands by again");
    }

    #[test]
    fn one_trouble_that_ends_many_workers_is_one_failure() {
        let mut fleet = Harness::new(8, 0);
        assert_eq!(fleet.decide().len(), 8);
        fleet.now += Duration::from_millis(5);
        for number in 1..=8 {
            fleet.fleet.gone(number, true, fleet.now);
        }
        assert!(!fleet.fleet.is_crash_looping());
        assert_eq!(
            fleet.decide(),
            [Start],
            "one finds out whether the trouble is over"
        );
        let mut absent = Fleet::new(Wanted {
            workers: 8,
            spare: 0,
        });
        for _ in absent.decide(Time::ZERO) {
            absent.not_started(Time::ZERO);
        }
        assert!(!absent.is_crash_looping());
    }

    #[test]
    fn a_worker_that_lives_on_idle_ends_the_row_of_failures() {
        let mut fleet = Harness::new(2, 0);
        fleet.decide();
        fleet.fleet.ready(2);
        fleet.dies(1);
        assert_eq!(fleet.fleet.failures, 1);
        fleet.now += LIVED;
        fleet.decide();
        assert_eq!(fleet.fleet.failures, 0);
    }

    #[test]
    fn a_limit_below_what_a_start_takes_makes_pauses() {
        let mut fleet = Harness::running(1, 0);
        for number in 1..4 {
            fleet.now += Duration::from_millis(1);
            assert!(fleet.fleet.worn_at_start(number, fleet.now));
            fleet.fleet.tired(number);
            if let Some(next) = fleet.fleet.next_start(fleet.now) {
                assert_eq!(fleet.decide(), []);
                fleet.now = next;
            }
            assert_eq!(fleet.decide(), [Start]);
            fleet.fleet.ready(number + 1);
            assert_eq!(fleet.decide(), [Promote(number + 1), Retire(number)]);
        }
    }

    #[test]
    fn resizing_keeps_the_oldest_and_stopping_ends_all() {
        let mut fleet = Harness::running(3, 0);
        fleet.fleet.resize(Wanted {
            workers: 1,
            spare: 0,
        });
        assert_eq!(fleet.decide(), [Demote(3), Demote(2), Retire(2), Retire(3)]);
        fleet.fleet.stop();
        assert_eq!(fleet.decide(), [Retire(1)]);
        for number in 1..=3 {
            fleet.fleet.gone(number, false, fleet.now);
        }
        assert_eq!(fleet.decide(), []);
        assert!(fleet.fleet.is_empty());
    }
}
