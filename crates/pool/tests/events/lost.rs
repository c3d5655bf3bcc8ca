//! A worker ends its call, or dies with it: the caller hears of it at once, and once.

use crate::support::*;

#[test]
fn a_lost_call_is_passed_on_at_once_and_its_slot_does_not_come_back() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call(2));
    assert_eq!(s.lost(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.withdraw_worker(1), []);
    assert!(!s.core.knows(worker_id(1)));
    s.introduce(worker(2));
    assert_eq!(
        s.offer(slot(2, 0)),
        [assign(slot(2, 0), 1, &[2])],
        "its replacement serves on"
    );
}

#[test]
fn the_other_slots_of_a_dying_worker_report_for_themselves() {
    let mut s = Script::with_worker(2);
    s.offer(slot(1, 0));
    s.offer(slot(1, 1));
    s.call(call(1));
    s.call(call(2));
    s.withdraw_worker(1);
    assert_eq!(s.lost(slot(1, 0), 1), [deliver(1)]);
    assert!(s.core.knows(worker_id(1)), "it still holds a call");
    assert_eq!(s.lost(slot(1, 1), 2), [deliver(2)]);
    assert!(!s.core.knows(worker_id(1)));
}

#[test]
fn nothing_is_delivered_twice() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.outcome(slot(1, 0), 1), []);
    assert_eq!(s.lost(slot(1, 0), 1), []);
}

#[test]
fn only_the_slot_that_holds_a_call_can_end_it() {
    let mut s = Script::with_worker(2);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call(2));
    assert_eq!(s.outcome(slot(1, 1), 1), [], "the wrong slot");
    assert_eq!(s.outcome(slot(7, 0), 1), [], "an unknown worker");
    assert_eq!(s.outcome(slot(1, 0), 2), [], "a call that waits");
    assert_eq!(s.outcome(slot(1, 0), 9), [], "an unknown call");
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
}
