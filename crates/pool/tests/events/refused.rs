//! A manager refuses an assignment: the calls keep their places, and the slot waits for its next
//! offer.

use crate::support::*;
use pool::{Class, Program, Rejection, StopReason};

#[test]
fn a_refused_call_keeps_its_place() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call(2));
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[1])]);
}

#[test]
fn a_place_is_within_its_class() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call_of_class(2, Class::High));
    s.refuse(slot(1, 0), 1);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[2])]);
}

#[test]
fn another_free_slot_takes_it_at_once() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    s.offer(slot(1, 0));
    s.offer(slot(2, 0));
    s.call(call(1));
    assert_eq!(s.refuse(slot(1, 0), 1), [assign(slot(2, 0), 1, &[1])]);
    assert_eq!(s.outcome(slot(2, 0), 1), [deliver(1)]);
}

#[test]
fn it_keeps_its_place_even_where_the_queue_has_filled_up() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        queue_max: 1,
        ..program("p")
    });
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call(2));
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    let busy = Rejection::Busy {
        pool: s.core.pool_of(id(1)),
        waiting: 2,
    };
    assert_eq!(s.call(call(3)), [reject(3, busy)]);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[1])]);
}

#[test]
fn its_deadline_stays_too() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.at(TIMEOUT_MS - 1).refuse(slot(1, 0), 1);
    assert_eq!(s.at(TIMEOUT_MS).tick(), [expire_waiting(1)]);
}

#[test]
fn a_call_that_was_cancelled_or_has_expired_does_not_come_back() {
    let mut s = Script::with_worker(2);
    s.offer(slot(1, 0));
    s.offer(slot(1, 1));
    s.call(call(1));
    s.call(call(2));
    s.cancel(1);
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    let expired = [
        expire_running(2, slot(1, 1)),
        stop(slot(1, 1), 2, StopReason::Deadline),
    ];
    assert_eq!(s.at(TIMEOUT_MS).refuse(slot(1, 1), 1), expired);
    assert_eq!(s.core.calls_len(), 0);
}

#[test]
fn what_was_accepted_cannot_be_refused() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.accept(slot(1, 0), 1);
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    assert_eq!(
        s.outcome(slot(1, 0), 1),
        [deliver(1)],
        "the call still runs there"
    );
}

#[test]
fn a_stale_refusal_is_nothing() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.refuse(slot(1, 0), 1);
    s.offer(slot(1, 0));
    assert_eq!(
        s.refuse(slot(1, 0), 1),
        [],
        "the call has been assigned anew, to epoch 2"
    );
    assert_eq!(s.accept(slot(1, 0), 1), []);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
}

#[test]
fn a_worker_that_refuses_as_it_retires_gives_its_call_back() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    s.offer(slot(1, 0));
    s.call(call(1));
    s.withdraw_worker(1);
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    assert!(!s.core.knows(worker_id(1)));
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}
