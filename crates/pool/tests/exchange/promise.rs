//! A slot that becomes free while dispatchers wait is promised to one of them: the highest class
//! first, then the greatest age.

use crate::support::*;
use pool::Class;

#[test]
fn a_slot_is_promised_to_the_one_that_waits() {
    let mut s = Script::new(3, 1);
    s.want(2, 5, 1);
    assert_eq!(s.free(slot(0)), [promise(2, slot(0), 1)]);
    assert_eq!(s.assign(1, slot(0), 1), [refuse(1, slot(0), 1)]);
    assert_eq!(
        s.assign(2, slot(0), 1),
        [take(2, slot(0), 1)],
        "nobody else had the offer"
    );
}

#[test]
fn the_oldest_comes_first() {
    let mut s = Script::new(3, 2);
    s.at(10).want(1, 5, 1);
    s.at(20).want(2, 16, 1);
    s.at(20).want(3, 14, 1);
    assert_eq!(s.promised_to(slot(0)), Some(2), "since 4 ms");
    assert_eq!(s.promised_to(slot(1)), Some(1), "since 5 ms");
}

#[test]
fn a_higher_class_comes_before_age() {
    let mut s = Script::new(3, 3);
    s.want_of(1, Class::Low, 100, 1);
    s.want_of(2, Class::Normal, 50, 1);
    s.want_of(3, Class::High, 0, 1);
    let order = [0, 1, 2].map(|index| s.promised_to(slot(index)));
    assert_eq!(order, [Some(3), Some(2), Some(1)]);
}

#[test]
fn each_promise_counts_down_what_is_known_to_wait() {
    let mut s = Script::new(2, 3);
    s.want(1, 5, 2);
    let order = [0, 1, 2].map(|index| s.promised_to(slot(index)));
    assert_eq!(order, [Some(1), Some(1), None]);
}

#[test]
fn those_who_wait_are_taken_to_have_come_evenly() {
    let mut s = Script::new(2, 4);
    // Of 1 two since 0 and 10 ms, of 2 one since 5 ms.
    s.at(20).want(1, 20, 2);
    s.at(20).want(2, 15, 1);
    let order = [0, 1, 2, 3].map(|index| s.promised_to(slot(index)));
    assert_eq!(order, [Some(1), Some(2), Some(1), None]);
}

#[test]
fn one_pool_is_not_promised_what_another_has() {
    let mut s = Script::new(2, 1);
    s.introduce(2, POOL + 1, 1);
    s.want(1, 5, 1);
    assert_eq!(s.promised_to(slot_of(2, 0)), None);
    assert_eq!(s.promised_to(slot(0)), Some(1));
}

#[test]
fn a_dispatcher_that_is_alone_needs_no_promise() {
    let mut s = Script::new(1, 1);
    s.want(1, 5, 1);
    assert_eq!(s.free(slot(0)), [offer(1, slot(0), 1)]);
}
