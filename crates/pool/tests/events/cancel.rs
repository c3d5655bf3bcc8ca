//! True cancellation: a call that waits is dropped, a call that runs is stopped.

use crate::support::*;
use pool::StopReason;

#[test]
fn a_waiting_call_is_dropped() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    s.call_waits(call(2));
    assert_eq!(s.cancel(1), []);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[2])]);
    s.outcome(slot(1, 0), 2);
    assert_eq!((s.core.calls_len(), s.core.next_deadline()), (0, None));
}

#[test]
fn the_worker_of_a_running_call_is_told_once() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    assert_eq!(s.cancel(1), [stop(slot(1, 0), 1, StopReason::ClientLeft)]);
    assert_eq!(s.cancel(1), []);
    assert_eq!(s.outcome(slot(1, 0), 1), [], "nobody waits for the answer");
}

#[test]
fn a_cancelled_call_that_runs_on_is_stopped_at_its_deadline_without_an_answer() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.cancel(1);
    assert_eq!(
        s.at(TIMEOUT_MS).tick(),
        [stop(slot(1, 0), 1, StopReason::Deadline)]
    );
    assert_eq!(s.outcome(slot(1, 0), 1), []);
}

#[test]
fn a_cancelled_call_holds_its_slot_until_its_worker_ends_it() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.cancel(1);
    s.call_waits(call(2));
    assert_eq!(s.offer_epoch(slot(1, 0), 1), []);
    s.outcome(slot(1, 0), 1);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[2])]);
}

#[test]
fn to_cancel_an_answered_or_unknown_call_is_nothing() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.outcome(slot(1, 0), 1);
    assert_eq!(s.cancel(1), []);
    assert_eq!(s.cancel(99), []);
    s.offer(slot(1, 0));
    s.call(call(2));
    s.at(TIMEOUT_MS).tick();
    assert_eq!(
        s.cancel(2),
        [],
        "it was answered and stopped at its deadline"
    );
}
