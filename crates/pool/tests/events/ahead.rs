//! A call is given to a place ahead: it waits at the manager's node for the next slot of its pool.

use crate::support::*;
use pool::{Introduction, Rejection, StopReason};

/// Worker 1 has two slots, both away; calls 1 and 2 wait.
fn backlog() -> Script {
    let mut s = Script::with_worker(2);
    s.call_waits(call(1));
    s.call_waits(call(2));
    s
}

#[test]
fn the_oldest_goes_ahead_and_runs_where_it_is_placed() {
    let mut s = backlog();
    assert_eq!(s.offer(ahead(1)), [assign(ahead(1), 1, &[1])]);
    assert_eq!(s.core.slot_of(id(1)), Some(ahead(1)));
    assert_eq!(s.placed(ahead(1), slot(1, 1), 1), []);
    assert_eq!(s.core.slot_of(id(1)), Some(slot(1, 1)));
    assert_eq!(s.outcome(slot(1, 1), 1), [deliver(1)]);
    assert_eq!(s.offer_epoch(slot(1, 1), 2), [assign(slot(1, 1), 2, &[2])]);
}

#[test]
fn it_is_no_slot_more() {
    let mut s = backlog();
    let slots = |s: &Script| s.core.pools().next().expect("there is a pool").slots;
    assert_eq!(slots(&s), 2);
    s.offer(ahead(1));
    assert_eq!(slots(&s), 2);
    s.withdraw_worker(1);
    assert_eq!(slots(&s), 0);
}

#[test]
fn it_comes_back_to_its_place() {
    let mut s = backlog();
    s.offer(ahead(1));
    assert_eq!(s.refuse(ahead(1), 1), []);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1])]);
}

#[test]
fn who_avoids_a_worker_does_not_go() {
    let mut s = Script::with_worker(1);
    s.call_waits(avoiding_workers(1, &[7]));
    s.call_waits(call(2));
    assert_eq!(
        s.offer(ahead(1)),
        [assign(ahead(1), 1, &[2])],
        "it may lead to worker 7"
    );
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1])]);
}

#[test]
fn one_call_goes_even_where_workers_take_batches() {
    let mut s = Script::new();
    s.program(program("p"));
    s.introduce(Introduction {
        batch_max: 8,
        ..worker(1)
    });
    s.call_waits(call(1));
    s.call_waits(call(2));
    assert_eq!(s.offer(ahead(1)), [assign(ahead(1), 1, &[1])]);
}

#[test]
fn the_worker_may_refuse_it_after_all() {
    let mut s = backlog();
    s.offer(ahead(1));
    s.placed(ahead(1), slot(1, 0), 1);
    assert_eq!(s.refuse(slot(1, 0), 1), []);
    assert_eq!(s.offer_epoch(slot(1, 1), 1), [assign(slot(1, 1), 1, &[1])]);
}

#[test]
fn what_was_assigned_to_that_slot_comes_back() {
    let mut s = backlog();
    s.offer(ahead(1));
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[2])]);
    // Another dispatcher was faster, and has ended.
    assert_eq!(s.placed(ahead(1), slot(1, 0), 3), []);
    assert_eq!(s.core.slot_of(id(2)), None);
    assert_eq!(s.refuse(slot(1, 0), 1), [], "known by then");
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.offer_epoch(slot(1, 0), 4), [assign(slot(1, 0), 4, &[2])]);
}

#[test]
fn a_late_or_a_stray_word_is_nothing() {
    let mut s = backlog();
    assert_eq!(s.placed(ahead(1), slot(1, 0), 1), [], "nothing is there");
    s.offer_epoch(slot(1, 0), 5);
    assert_eq!(s.placed(ahead(1), slot(1, 0), 5), []);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
}

#[test]
fn what_is_placed_where_nobody_was_introduced_never_runs_again() {
    let mut s = backlog();
    s.offer(ahead(1));
    assert_eq!(s.placed(ahead(1), slot(9, 0), 1), []);
    let lost = reject(1, Rejection::Lost { slot: ahead(1) });
    assert_eq!(s.offer(ahead(1)), [lost, assign(ahead(1), 2, &[2])]);
}

#[test]
fn it_can_be_cancelled() {
    let mut s = backlog();
    s.offer(ahead(1));
    assert_eq!(s.cancel(1), [stop(ahead(1), 1, StopReason::ClientLeft)]);
    assert_eq!(s.refuse(ahead(1), 1), []);
    assert_eq!(s.core.calls_len(), 1);
}

#[test]
fn it_is_lost_with_its_node() {
    let mut s = backlog();
    s.offer(ahead(1));
    let lost = reject(1, Rejection::Lost { slot: ahead(1) });
    assert_eq!(s.withdraw_node(0), [lost]);
}
