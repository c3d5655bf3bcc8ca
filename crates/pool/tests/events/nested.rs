//! Nested calls: they inherit from their parents, and do not wait for themselves.

use crate::support::*;
use pool::{Call, Class, Introduction, Rejection};

/// A second pool, of kind `other`, with one worker, and what calls it.
fn add_other(s: &mut Script) {
    s.program(program("q"));
    let description = describes(pool::Details::of_kind("other"), &["f(text)"]);
    s.introduce(Introduction {
        program: "q".into(),
        description,
        ..worker(9)
    });
}

fn other(call: Call) -> Call {
    Call {
        details: pool::Details::of_kind("other").into(),
        ..call
    }
}

#[test]
fn a_nested_call_has_its_parents_class_at_most() {
    let mut s = Script::with_worker(1);
    add_other(&mut s);
    s.offer(slot(1, 0));
    s.call(call_of_class(1, Class::Low));
    s.call_waits(other(Call {
        class: Class::High,
        ..nested_in(1, 2)
    }));
    s.call_waits(other(call(3)));
    assert_eq!(
        s.offer(slot(9, 0)),
        [assign(slot(9, 0), 1, &[3])],
        "the nested call is low"
    );
}

#[test]
fn a_nested_call_may_lower_its_class() {
    let mut s = Script::with_worker(1);
    add_other(&mut s);
    s.offer(slot(1, 0));
    s.call(call_of_class(1, Class::High));
    s.call_waits(other(Call {
        class: Class::Low,
        ..nested_in(1, 2)
    }));
    s.call_waits(other(call(3)));
    assert_eq!(s.offer(slot(9, 0)), [assign(slot(9, 0), 1, &[3])]);
}

#[test]
fn a_nested_call_has_its_parents_deadline_at_most() {
    let mut s = Script::with_worker(1);
    add_other(&mut s);
    s.offer(slot(1, 0));
    s.call(Call {
        deadline: Some(time(2_000)),
        ..call(1)
    });
    let later = |number, ms| {
        other(Call {
            deadline: Some(time(ms)),
            ..nested_in(1, number)
        })
    };
    s.at(500).call_waits(other(nested_in(1, 2)));
    s.call_waits(later(3, 9_000));
    s.call_waits(later(4, 1_000));
    let deadlines = [2, 3, 4].map(|number| s.core.deadline(id(number)));
    assert_eq!(deadlines, [2_000, 2_000, 1_000].map(|ms| Some(time(ms))));
}

#[test]
fn a_nested_call_of_an_expired_parent_expires_at_once() {
    let mut s = Script::with_worker(1);
    add_other(&mut s);
    s.offer(slot(1, 0));
    s.offer(slot(9, 0));
    s.call(call(1));
    s.at(TIMEOUT_MS).tick();
    assert_eq!(s.call(other(nested_in(1, 2))), [expire_waiting(2)]);
}

#[test]
fn a_call_that_could_only_wait_for_its_parent_is_a_deadlock() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    assert_eq!(s.call(nested_in(1, 2)), [reject(2, Rejection::Deadlock)]);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)], "the parent runs on");
}

#[test]
fn ancestors_of_every_level_count() {
    let mut s = Script::with_worker(2);
    add_other(&mut s);
    for slot in [slot(1, 0), slot(1, 1), slot(9, 0)] {
        s.offer(slot);
    }
    s.call(call(1));
    assert_eq!(
        s.call(other(nested_in(1, 2))),
        [assign(slot(9, 0), 1, &[2])]
    );
    assert_eq!(s.call(nested_in(2, 3)), [assign(slot(1, 1), 1, &[3])]);
    assert_eq!(s.call(nested_in(3, 4)), [reject(4, Rejection::Deadlock)]);
    assert_eq!(
        s.call(other(nested_in(3, 5))),
        [reject(5, Rejection::Deadlock)],
        "by call 2"
    );
}

#[test]
fn it_is_none_while_a_slot_is_free_or_held_by_a_stranger() {
    let mut s = Script::with_worker(2);
    s.offer(slot(1, 0));
    s.call(call(1));
    // The other slot is between an outcome and its next offer: it will come.
    s.call_waits(nested_in(1, 2));
    assert_eq!(s.offer(slot(1, 1)), [assign(slot(1, 1), 1, &[2])]);
    s.call_waits(nested_in(1, 3));
    assert_eq!(s.outcome(slot(1, 1), 2), [deliver(2)]);
    assert_eq!(s.offer(slot(1, 1)), [assign(slot(1, 1), 2, &[3])]);
}

#[test]
fn a_slot_of_a_worker_that_retires_does_not_count() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    s.offer(slot(1, 0));
    s.call(call(1));
    s.withdraw_worker(1);
    s.call_waits(nested_in(1, 2));
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[2])]);
}

#[test]
fn a_parent_that_is_not_known_gives_nothing_and_holds_nothing() {
    let mut s = Script::with_worker(1);
    for number in [1, 2] {
        // Call 1 names itself and call 2 names call 3, which is not there yet.
        s.call_waits(nested_in(2 * number - 1, number));
        assert_eq!(s.core.deadline(id(number)), Some(time(TIMEOUT_MS)));
    }
    s.call_waits(nested_in(2, 3));
}
