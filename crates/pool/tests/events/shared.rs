//! Several dispatchers have the offer of one slot, and another was faster. What this one has
//! assigned waits for its refusal, or for the slot's next offer, which says the same.

use crate::support::*;
use pool::Class;

#[test]
fn an_offer_that_is_taken_back_is_not_used() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.withdraw_slot(slot(1, 0));
    s.call_waits(call(1));
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[1])]);
}

#[test]
fn what_is_assigned_already_stays_until_it_is_refused() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    s.offer(slot(1, 0));
    s.call(call(1));
    assert_eq!(s.withdraw_slot(slot(1, 0)), []);
    assert_eq!(s.core.slot_of(id(1)), Some(slot(1, 0)));
    s.call_waits(call(2));
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn or_it_was_taken_after_all_and_ends_there() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.withdraw_slot(slot(1, 0));
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
}

#[test]
fn the_next_offer_may_come_before_the_refusal() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call_of_class(2, Class::High));
    s.withdraw_slot(slot(1, 0));
    let next = s.offer_epoch(slot(1, 0), 3);
    assert_eq!(
        next,
        [assign(slot(1, 0), 3, &[2])],
        "the slot goes by class again"
    );
    assert_eq!(s.refuse(slot(1, 0), 1), [], "known by then");
    assert_eq!(s.outcome(slot(1, 0), 2), [deliver(2)]);
    assert_eq!(s.offer_epoch(slot(1, 0), 4), [assign(slot(1, 0), 4, &[1])]);
}

#[test]
fn who_was_cancelled_meanwhile_does_not_come_back() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.cancel(1);
    assert_eq!(s.offer_epoch(slot(1, 0), 2), []);
    assert_eq!(s.core.calls_len(), 0);
    assert_eq!(s.call(call(2)), [assign(slot(1, 0), 2, &[2])]);
}

#[test]
fn a_call_that_comes_back_takes_the_slot_that_is_free_for_longest() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    s.offer(slot(1, 0));
    s.call(call(1));
    s.offer(slot(2, 0));
    assert_eq!(s.offer_epoch(slot(1, 0), 2), [assign(slot(2, 0), 1, &[1])]);
    assert_eq!(s.call(call(2)), [assign(slot(1, 0), 2, &[2])]);
}
