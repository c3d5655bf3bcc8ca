//! Lists of what becomes of workers, and the orders that must follow.

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
