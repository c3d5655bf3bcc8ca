//! What a dispatcher says of its queue holds from when it said it: what it was promised and had
//! not seen then is taken off.

use crate::support::*;
use pool::NodeId;
use pool::exchange::{Event, Want};
use std::time::Duration;

#[test]
fn the_newest_word_counts() {
    let mut s = Script::new(2, 2);
    s.want(1, 5, 7);
    s.want(1, 0, 0);
    assert_eq!(s.promised_to(slot(0)), None);
    s.want(1, 0, 1);
    assert_eq!(s.promised_to(slot(1)), Some(1));
}

#[test]
fn a_promise_that_has_not_been_answered_is_taken_off() {
    let mut s = Script::new(2, 3);
    s.want(1, 5, 2);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    s.want(1, 6, 2);
    assert_eq!(
        s.promised_to(slot(1)),
        Some(1),
        "of the two one has its promise"
    );
    assert_eq!(s.promised_to(slot(2)), None);
}

#[test]
fn a_promise_that_has_been_answered_is_not() {
    let mut s = Script::new(2, 3);
    s.want(1, 5, 2);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    s.assign(1, slot(0), 1);
    s.want(1, 6, 2);
    assert_eq!(s.promised_to(slot(1)), Some(1));
    assert_eq!(s.promised_to(slot(2)), Some(1));
}

#[test]
fn an_offer_to_all_that_it_took_served_one() {
    let mut s = Script::new(2, 2);
    s.free(slot(0));
    s.want(1, 5, 1);
    s.assign(1, slot(0), 1);
    assert_eq!(s.promised_to(slot(1)), None);
}

#[test]
fn a_worker_may_come_after_the_want() {
    let mut s = Script::new(2, 0);
    s.want(1, 5, 1);
    s.introduce(2, POOL, 1);
    assert_eq!(s.promised_to(slot_of(2, 0)), Some(1));
}

#[test]
fn who_is_not_there_wants_nothing() {
    let mut s = Script::new(2, 1);
    s.want(9, 5, 1);
    assert_eq!(s.promised_to(slot(0)), None);
}

#[test]
fn the_greatest_numbers_do_no_harm() {
    let mut s = Script::new(2, 3);
    let want = Want {
        pool: POOL,
        class: pool::Class::High,
        age: Duration::MAX,
        waiting: usize::MAX,
    };
    let dispatcher = NodeId(1);
    s.feed(Event::Want { dispatcher, want });
    assert_eq!(s.promised_to(slot(0)), Some(1));
    s.feed(Event::Want { dispatcher, want });
    assert_eq!(s.promised_to(slot(1)), Some(1));
}
