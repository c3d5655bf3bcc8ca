//! A list of calls for one slot: those of one function that wait, up to what the worker takes.

use crate::support::*;
use pool::{Call, Class, Introduction, Rejection, StopReason};

/// A worker with one slot that takes three calls at a time, and two functions.
fn batching() -> Script {
    let mut s = Script::new();
    s.program(program("p"));
    let description = describes(pool::Details::of_kind("k"), &["f(text)", "g(text)"]);
    s.introduce(Introduction {
        description,
        batch_max: 3,
        ..worker(1)
    });
    s
}

fn of_g(number: u64) -> Call {
    Call {
        function: "g".into(),
        ..call(number)
    }
}

#[test]
fn calls_that_wait_go_together_up_to_the_most() {
    let mut s = batching();
    for number in 1..=4 {
        s.call_waits(call(number));
    }
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1, 2, 3])]);
    for number in [2, 1, 3] {
        assert_eq!(s.outcome(slot(1, 0), number), [deliver(number)]);
    }
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[4])]);
}

#[test]
fn they_are_of_the_function_of_the_first() {
    let mut s = batching();
    for call in [of_g(1), call(2), of_g(3), call(4)] {
        s.call_waits(call);
    }
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1, 3])]);
}

#[test]
fn the_first_is_the_oldest_of_the_highest_class() {
    let mut s = batching();
    s.call_waits(call(1));
    s.call_waits(of_g(2));
    s.call_waits(Call {
        class: Class::High,
        ..of_g(3)
    });
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[3, 2])]);
}

#[test]
fn a_free_slot_does_not_wait_for_a_batch_to_fill() {
    let mut s = batching();
    s.offer(slot(1, 0));
    assert_eq!(s.call(call(1)), [assign(slot(1, 0), 1, &[1])]);
    s.call_waits(call(2));
}

#[test]
fn those_who_avoid_the_worker_stay_behind() {
    let mut s = batching();
    s.call_waits(call(1));
    s.call_waits(avoiding_workers(2, &[1]));
    s.call_waits(call(3));
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1, 3])]);
}

#[test]
fn the_slot_is_held_until_the_last_call_ends() {
    let mut s = batching();
    s.call_waits(call(1));
    s.call_waits(call(2));
    s.offer(slot(1, 0));
    s.withdraw_worker(1);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert!(s.core.knows(worker_id(1)));
    assert_eq!(s.lost(slot(1, 0), 2), [deliver(2)]);
    assert!(!s.core.knows(worker_id(1)));
}

#[test]
fn a_refused_batch_goes_back_to_its_places() {
    let mut s = batching();
    for call in [call(1), of_g(2), call(3)] {
        s.call_waits(call);
    }
    s.offer(slot(1, 0));
    s.cancel(1);
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[2])]);
    s.outcome(slot(1, 0), 2);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 3, &[3])]);
}

#[test]
fn a_call_of_it_can_expire_or_be_cancelled_alone() {
    let mut s = batching();
    s.call_waits(Call {
        deadline: Some(time(100)),
        ..call(1)
    });
    s.call_waits(call(2));
    s.call_waits(call(3));
    s.offer(slot(1, 0));
    let expired = [
        expire_running(1, slot(1, 0)),
        stop(slot(1, 0), 1, StopReason::Deadline),
    ];
    assert_eq!(s.at(100).tick(), expired);
    assert_eq!(s.cancel(2), [stop(slot(1, 0), 2, StopReason::ClientLeft)]);
    assert_eq!(s.outcome(slot(1, 0), 1), []);
    assert_eq!(s.outcome(slot(1, 0), 2), []);
    assert_eq!(s.outcome(slot(1, 0), 3), [deliver(3)]);
}

#[test]
fn a_lost_node_loses_them_all() {
    let mut s = batching();
    s.call_waits(call(1));
    s.call_waits(call(2));
    s.offer(slot(1, 0));
    let lost = |number| reject(number, Rejection::Lost { slot: slot(1, 0) });
    assert_eq!(s.withdraw_node(0), [lost(1), lost(2)]);
}

#[test]
fn ancestors_in_one_batch_hold_one_slot() {
    let mut s = batching();
    s.introduce(Introduction {
        description: describes(pool::Details::of_kind("k"), &["f(text)", "g(text)"]),
        ..worker(2)
    });
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(nested_in(1, 2));
    s.refuse(slot(1, 0), 1);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[1, 2])]);
    s.call_waits(nested_in(2, 3));
    assert_eq!(
        s.offer(slot(2, 0)),
        [assign(slot(2, 0), 1, &[3])],
        "no deadlock"
    );
}
