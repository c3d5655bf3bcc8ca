//! A dispatcher that has no use for what it was promised gives it back.

use crate::support::*;

#[test]
fn what_is_given_back_goes_to_the_next() {
    let mut s = Script::new(3, 1);
    s.want(1, 9, 1);
    s.want(2, 5, 1);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    s.want(1, 0, 0);
    assert_eq!(s.release(1, slot(0), 1), [promise(2, slot(0), 2)]);
    s.want(2, 0, 0);
    let all = [
        offer(1, slot(0), 3),
        offer(2, slot(0), 3),
        offer(3, slot(0), 3),
    ];
    assert_eq!(s.release(2, slot(0), 2), all);
}

#[test]
fn a_slot_does_not_go_round_among_those_whose_calls_avoid_it() {
    let mut s = Script::new(2, 2);
    s.want(1, 9, 1);
    s.want(2, 5, 1);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    assert_eq!(s.release(1, slot(0), 1), [promise(2, slot(0), 2)]);
    let all = [offer(1, slot(0), 3), offer(2, slot(0), 3)];
    assert_eq!(
        s.release(2, slot(0), 2),
        all,
        "both still wait, for another slot"
    );
    assert_eq!(s.promised_to(slot(1)), Some(1));
}

#[test]
fn it_may_have_the_slot_another_time() {
    let mut s = Script::new(2, 1);
    s.want(1, 9, 1);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    s.release(1, slot(0), 1);
    s.assign(2, slot(0), 2);
    assert_eq!(s.promised_to(slot(0)), Some(1));
}

#[test]
fn what_is_not_promised_cannot_be_given_back() {
    let mut s = Script::new(2, 1);
    s.free(slot(0));
    assert_eq!(s.release(1, slot(0), 1), [], "on offer to all");
    s.assign(1, slot(0), 1);
    assert_eq!(s.release(1, slot(0), 1), [], "taken");
    s.want(1, 0, 1);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    assert_eq!(s.release(1, slot(0), 1), [], "an old offer");
    assert_eq!(s.release(2, slot(0), 2), [], "promised to another");
}
