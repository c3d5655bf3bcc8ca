//! A dispatcher leaves: what it runs stops, what it was promised goes to others.

use crate::support::*;
use pool::NodeId;
use pool::exchange::{Command, Event};

fn left(number: u32) -> Event {
    Event::Left(NodeId(number))
}

#[test]
fn what_it_runs_is_abandoned() {
    let mut s = Script::new(2, 1);
    s.free(slot(0));
    s.assign(1, slot(0), 1);
    let abandoned = Command::Abandoned {
        slot: slot(0),
        dispatcher: NodeId(1),
    };
    assert_eq!(s.feed(left(1)), [abandoned]);
    assert_eq!(s.feed(left(1)), [], "a repetition");
    assert_eq!(s.free(slot(0)), [offer(2, slot(0), 2)]);
}

#[test]
fn what_has_ended_is_not_abandoned() {
    let mut s = Script::new(2, 1);
    s.free(slot(0));
    s.assign(1, slot(0), 1);
    s.feed(Event::Ended { slot: slot(0) });
    assert_eq!(s.feed(left(1)), []);
}

#[test]
fn what_it_was_promised_goes_to_others() {
    let mut s = Script::new(3, 2);
    s.want(1, 9, 2);
    s.want(2, 5, 1);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    assert_eq!(s.promised_to(slot(1)), Some(1));
    let expected = [
        promise(2, slot(0), 2),
        offer(2, slot(1), 2),
        offer(3, slot(1), 2),
    ];
    assert_eq!(s.feed(left(1)), expected);
}

#[test]
fn it_wants_nothing_any_more_even_if_it_comes_back() {
    let mut s = Script::new(2, 1);
    s.want(1, 9, 1);
    s.feed(left(1));
    s.feed(Event::Joined(NodeId(1)));
    assert_eq!(s.promised_to(slot(0)), None);
}

#[test]
fn what_is_on_offer_to_all_stays_so() {
    let mut s = Script::new(2, 1);
    s.free(slot(0));
    assert_eq!(s.feed(left(1)), []);
    assert_eq!(s.assign(2, slot(0), 1), [take(2, slot(0), 1)]);
}
