//! Programs change while calls wait: settings, versions, removal. Nothing is lost.

use crate::support::*;
use pool::{Call, Introduction, Program, Rejection};
use std::time::Duration;

fn of_version(number: u32, name: &str) -> Introduction {
    Introduction {
        description: describes(version(name), &["f(text)"]),
        ..worker(number)
    }
}

/// Version 1 runs on worker 1, without a slot on offer.
fn version_1() -> Script {
    let mut s = Script::new();
    s.program(program("p"));
    s.introduce(of_version(1, "1"));
    s
}

#[test]
fn changed_settings_hold_for_the_calls_that_come() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    s.call_waits(call(2));
    s.program(Program {
        queue_max: 1,
        timeout: Duration::from_secs(1),
        ..program("p")
    });
    assert_eq!(
        s.core.deadline(id(1)),
        Some(time(TIMEOUT_MS)),
        "those who wait stay"
    );
    let busy = Rejection::Busy {
        pool: s.core.pool_of(id(1)),
        waiting: 2,
    };
    assert_eq!(s.call(call(3)), [reject(3, busy)]);
    s.cancel(1);
    s.cancel(2);
    s.call_waits(call(4));
    assert_eq!(s.core.deadline(id(4)), Some(time(1_000)));
}

#[test]
fn a_changed_program_is_not_waited_for() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        weight: 7,
        ..program("p")
    });
    assert!(!s.core.waits_for_programs());
    assert_eq!(s.core.pools().next().expect("there is a pool").weight, 7);
}

#[test]
fn a_removed_program_serves_those_who_wait_until_its_last_worker_leaves() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    s.call_waits(call(2));
    assert_eq!(s.removed("p"), []);
    assert_eq!(
        s.call(call(3)),
        [reject(3, Rejection::NoPool)],
        "it takes no new calls"
    );
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1])]);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.withdraw_worker(1), [reject(2, Rejection::Removed)]);
}

#[test]
fn a_removed_program_takes_replacements_for_those_who_wait() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    s.removed("p");
    s.introduce(worker(2));
    assert_eq!(s.withdraw_worker(1), []);
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn a_removed_program_without_workers_ends_at_once() {
    let mut s = Script::with_worker(1);
    s.withdraw_worker(1);
    s.call_waits(call(1));
    assert_eq!(s.removed("p"), [reject(1, Rejection::Removed)]);
    assert_eq!(s.core.pools().count(), 0);
}

#[test]
fn calls_of_a_removed_program_go_to_another_pool_that_matches() {
    let mut s = version_1();
    s.program(program("q"));
    s.introduce(Introduction {
        program: "q".into(),
        ..worker(2)
    });
    s.offer(slot(2, 0));
    for number in [1, 2] {
        s.call_waits(Call {
            details: version("1").into(),
            ..call(number)
        });
    }
    s.removed("p");
    assert_eq!(
        s.withdraw_worker(1),
        [assign(slot(2, 0), 1, &[1])],
        "the oldest gets the slot"
    );
    s.outcome(slot(2, 0), 1);
    assert_eq!(
        s.offer(slot(2, 0)),
        [assign(slot(2, 0), 2, &[2])],
        "the other one waited there"
    );
}

#[test]
fn calls_of_a_removed_program_wait_for_one_that_starts() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    s.program(program("q"));
    s.removed("p");
    assert_eq!(s.withdraw_worker(1), []);
    assert_eq!(s.core.lobby_len(), 1);
    s.introduce(Introduction {
        program: "q".into(),
        ..worker(2)
    });
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn a_pool_that_another_program_feeds_goes_on() {
    let mut s = Script::with_worker(1);
    s.program(program("q"));
    s.introduce(Introduction {
        program: "q".into(),
        ..worker(2)
    });
    s.call_waits(call(1));
    s.removed("p");
    assert_eq!(s.withdraw_worker(1), []);
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn a_new_version_replaces_the_old_without_losing_a_call() {
    let mut s = version_1();
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call(2));
    s.introduce(of_version(2, "2"));
    assert_eq!(s.core.pools().count(), 2, "both live side by side");
    // The old worker retires: those who waited for it move, what it runs may end.
    assert_eq!(s.offer(slot(2, 0)), []);
    assert_eq!(s.withdraw_worker(1), [assign(slot(2, 0), 1, &[2])]);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.outcome(slot(2, 0), 2), [deliver(2)]);
    let views: Vec<_> = s.core.pools().collect();
    assert_eq!(views.len(), 1, "the old pool is gone");
    assert_eq!(views[0].description.details, version("2"));
}

#[test]
fn a_pool_without_workers_ends_when_its_program_has_a_new_version() {
    let mut s = version_1();
    s.withdraw_worker(1);
    s.call_waits(call(1));
    s.call_waits(Call {
        details: version("1").into(),
        ..call(2)
    });
    let removed = reject(2, Rejection::Removed);
    assert_eq!(
        s.introduce(of_version(2, "2")),
        [removed],
        "only version 1 would do for it"
    );
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn a_call_that_moves_keeps_its_place() {
    let mut s = version_1();
    s.call_waits(call(1));
    s.introduce(of_version(2, "2"));
    s.call_waits(Call {
        details: version("2").into(),
        ..call(2)
    });
    s.withdraw_worker(1);
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn no_call_is_ever_matched_to_what_was() {
    let mut s = version_1();
    s.offer(slot(1, 0));
    s.introduce(of_version(2, "2"));
    s.withdraw_worker(1);
    s.offer(slot(2, 0));
    for number in 1..=10 {
        assert_eq!(
            s.call(call(number)),
            [assign(slot(2, 0), number, &[number])]
        );
        s.outcome(slot(2, 0), number);
        s.offer(slot(2, 0));
    }
    let gone = Call {
        details: version("1").into(),
        ..call(11)
    };
    assert_eq!(s.call(gone), [reject(11, Rejection::NoPool)]);
}

#[test]
fn a_pool_that_ends_its_calls_is_revived_by_a_new_worker_of_it() {
    let mut s = version_1();
    s.offer(slot(1, 0));
    s.call(call(1));
    s.introduce(of_version(2, "2"));
    s.withdraw_worker(1);
    s.introduce(of_version(3, "1"));
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    s.offer(slot(3, 0));
    let again = Call {
        details: version("1").into(),
        ..call(2)
    };
    assert_eq!(s.call(again), [assign(slot(3, 0), 1, &[2])]);
}

#[test]
fn a_call_that_waited_longer_than_the_lobby_allows_does_not_move_there() {
    let mut s = Script::with_worker(1);
    s.withdraw_worker(1);
    s.call_waits(call(1));
    s.program(program("q"));
    assert_eq!(s.at(LOBBY_TIMEOUT_MS).removed("p"), [expire_waiting(1)]);
}

#[test]
fn a_call_does_not_move_to_a_pool_that_closes_with_its_own() {
    let mut s = version_1();
    s.call_waits(call(1));
    s.introduce(of_version(2, "2"));
    s.introduce(of_version(3, "1"));
    s.withdraw_worker(1);
    s.withdraw_worker(3);
    // Version 1 has no worker and ends at once, version 2 has one and takes no new calls.
    assert_eq!(s.removed("p"), [reject(1, Rejection::Removed)]);
}
