//! A slot is offered: it serves those who wait, and repetitions are harmless.

use crate::support::*;
use pool::{Introduction, Rejection};

#[test]
fn a_new_slot_serves_those_who_wait() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    s.call_waits(call(2));
    s.introduce(worker(2));
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn it_skips_those_who_may_not_use_it() {
    let mut s = Script::with_worker(1);
    s.call_waits(avoiding_workers(1, &[1]));
    s.call_waits(call(2));
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[2])]);
    s.introduce(worker(2));
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn a_repeated_offer_is_not_a_second_slot() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    assert_eq!(s.offer_epoch(slot(1, 0), 1), []);
    assert_eq!(s.call(call(1)), [assign(slot(1, 0), 1, &[1])]);
    assert_eq!(s.offer_epoch(slot(1, 0), 1), []);
    s.call_waits(call(2));
    assert_eq!(
        s.offer_epoch(slot(1, 0), 1),
        [],
        "the slot still holds the first call"
    );
}

#[test]
fn an_old_offer_that_comes_late_is_not_a_slot() {
    let mut s = Script::with_worker(1);
    s.offer_epoch(slot(1, 0), 5);
    s.call(call(1));
    s.outcome(slot(1, 0), 1);
    s.call_waits(call(2));
    for epoch in [3, 4, 5] {
        assert_eq!(
            s.offer_epoch(slot(1, 0), epoch),
            [],
            "epoch {epoch} is past"
        );
    }
    assert_eq!(s.offer_epoch(slot(1, 0), 6), [assign(slot(1, 0), 6, &[2])]);
}

#[test]
fn epochs_count_from_one() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    assert_eq!(s.offer_epoch(slot(1, 0), 0), []);
    assert_eq!(s.offer_epoch(slot(1, 0), 1), [assign(slot(1, 0), 1, &[1])]);
}

#[test]
fn a_newer_offer_of_a_free_slot_keeps_its_place_and_takes_the_new_epoch() {
    let mut s = Script::with_worker(2);
    s.offer(slot(1, 0));
    s.offer(slot(1, 1));
    assert_eq!(s.offer_epoch(slot(1, 0), 7), []);
    assert_eq!(s.call(call(1)), [assign(slot(1, 0), 7, &[1])]);
    assert_eq!(s.call(call(2)), [assign(slot(1, 1), 1, &[2])]);
    s.call_waits(call(3));
}

#[test]
fn a_newer_offer_of_a_slot_that_holds_an_accepted_call_says_that_it_is_lost() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.accept(slot(1, 0), 1);
    s.call_waits(call(2));
    let lost = reject(1, Rejection::Lost { slot: slot(1, 0) });
    assert_eq!(
        s.offer_epoch(slot(1, 0), 2),
        [lost, assign(slot(1, 0), 2, &[2])]
    );
    assert_eq!(s.outcome(slot(1, 0), 1), [], "its late outcome is nobody's");
    assert_eq!(s.outcome(slot(1, 0), 2), [deliver(2)]);
}

#[test]
fn a_worker_that_is_introduced_again_keeps_its_calls_and_its_epochs() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call(2));
    assert_eq!(s.introduce(worker(1)), []);
    assert_eq!(s.offer_epoch(slot(1, 0), 1), []);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[2])]);
}

#[test]
fn a_worker_is_what_it_said_first() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    let description = describes(version("2"), &["f(text)"]);
    assert_eq!(
        s.introduce(Introduction {
            description,
            slots: 9,
            ..worker(1)
        }),
        []
    );
    assert_eq!(s.core.pools().count(), 1);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    s.offer(slot(1, 0));
    assert_eq!(s.call(call(2)), [assign(slot(1, 0), 2, &[2])]);
}

#[test]
fn slots_and_workers_that_nobody_introduced_are_not_offered() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    assert_eq!(s.offer(slot(1, 1)), [], "worker 1 has one slot");
    assert_eq!(s.offer(slot(2, 0)), [], "there is no worker 2");
    s.introduce(Introduction {
        program: "unknown".into(),
        ..worker(3)
    });
    assert_eq!(s.offer(slot(3, 0)), [], "its program is not configured");
}

#[test]
fn a_worker_never_holds_more_calls_than_it_has_slots() {
    let mut s = Script::with_worker(2);
    for number in 1..5 {
        s.call_waits(call(number));
    }
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1])]);
    assert_eq!(s.offer(slot(1, 1)), [assign(slot(1, 1), 1, &[2])]);
    let view = s.core.pools().next().expect("there is a pool");
    assert_eq!((view.slots, view.running, view.free), (2, 2, 0));
    assert_eq!(view.waiting.normal, 2);
}
