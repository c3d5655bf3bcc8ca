//! The deadline is a value: it covers waiting and running, and nobody can lengthen it.

use crate::support::*;
use pool::{Call, Introduction, Program, StopReason, Time};
use std::time::Duration;

#[test]
fn the_programs_timeout_is_the_longest() {
    let mut s = Script::with_worker(1);
    s.at(1_000).call_waits(call(1));
    assert_eq!(s.core.deadline(id(1)), Some(time(1_000 + TIMEOUT_MS)));
    s.call_waits(Call {
        deadline: Some(time(TIMEOUT_MS * 9)),
        ..call(2)
    });
    assert_eq!(
        s.core.deadline(id(2)),
        Some(time(1_000 + TIMEOUT_MS)),
        "it cannot be lengthened"
    );
}

#[test]
fn a_caller_can_shorten_it() {
    let mut s = Script::with_worker(1);
    s.call_waits(Call {
        deadline: Some(time(300)),
        ..call(1)
    });
    assert_eq!(s.core.next_deadline(), Some(time(300)));
    assert_eq!(s.at(299).tick(), []);
    assert_eq!(s.at(300).tick(), [expire_waiting(1)]);
    assert_eq!((s.core.next_deadline(), s.core.calls_len()), (None, 0));
}

#[test]
fn where_programs_share_a_pool_the_longest_timeout_counts() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        timeout: Duration::from_secs(60),
        ..program("patient")
    });
    s.introduce(Introduction {
        program: "patient".into(),
        ..worker(2)
    });
    s.call_waits(call(1));
    assert_eq!(s.core.deadline(id(1)), Some(time(60_000)));
}

#[test]
fn a_call_that_comes_too_late_is_rejected_at_once() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    for (number, deadline) in [(1, 500), (2, 499), (3, 0)] {
        let late = Call {
            deadline: Some(time(deadline)),
            ..call(number)
        };
        assert_eq!(s.at(500).call(late), [expire_waiting(number)]);
    }
    assert_eq!(
        s.call(call(4)),
        [assign(slot(1, 0), 1, &[4])],
        "the slot was not touched"
    );
}

#[test]
fn expired_work_is_never_assigned() {
    let mut s = Script::with_worker(1);
    s.call_waits(Call {
        deadline: Some(time(100)),
        ..call(1)
    });
    s.call_waits(call(2));
    // The offer itself is what tells the core that time has passed.
    assert_eq!(
        s.at(100).offer(slot(1, 0)),
        [expire_waiting(1), assign(slot(1, 0), 1, &[2])]
    );
}

#[test]
fn at_the_deadline_a_running_call_is_answered_once_and_stopped() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    let expired = [
        expire_running(1, slot(1, 0)),
        stop(slot(1, 0), 1, StopReason::Deadline),
    ];
    assert_eq!(s.at(TIMEOUT_MS).tick(), expired);
    assert_eq!(s.at(TIMEOUT_MS + 1).tick(), [], "it is said once");
    assert_eq!(s.outcome(slot(1, 0), 1), [], "its caller has been answered");
    assert_eq!(s.core.calls_len(), 0);
}

#[test]
fn a_stopped_call_holds_its_slot_until_its_worker_ends_it() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.at(TIMEOUT_MS).tick();
    s.call_waits(call(2));
    assert_eq!(s.outcome(slot(1, 0), 1), []);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[2])]);
}

#[test]
fn an_answer_in_the_moment_of_the_deadline_is_too_late() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    let commands = s.at(TIMEOUT_MS).outcome(slot(1, 0), 1);
    let expired = [
        expire_running(1, slot(1, 0)),
        stop(slot(1, 0), 1, StopReason::Deadline),
    ];
    assert_eq!(commands, expired);
}

#[test]
fn many_expire_in_the_order_of_their_deadlines() {
    let mut s = Script::with_worker(1);
    for (number, deadline) in [(1, 300), (2, 100), (3, 200), (4, 9_000)] {
        s.call_waits(Call {
            deadline: Some(time(deadline)),
            ..call(number)
        });
    }
    let expired = [expire_waiting(2), expire_waiting(3), expire_waiting(1)];
    assert_eq!(s.at(1_000).tick(), expired);
    assert_eq!(s.core.next_deadline(), Some(time(9_000)));
}

#[test]
fn time_never_goes_back() {
    let mut s = Script::with_worker(1);
    s.at(1_000).tick();
    s.at(200).call_waits(call(1));
    assert_eq!(s.core.deadline(id(1)), Some(time(1_000 + TIMEOUT_MS)));
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        timeout: Duration::MAX,
        ..program("p")
    });
    s.at(1_000).call_waits(call(1));
    assert_eq!(s.core.deadline(id(1)), Some(Time(u64::MAX)));
}
