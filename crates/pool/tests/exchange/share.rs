//! While nobody waits a free slot is offered to all; the first assignment takes it.

use crate::support::*;
use pool::NodeId;
use pool::exchange::{Command, Event};

#[test]
fn a_free_slot_is_offered_to_all() {
    let mut s = Script::new(3, 1);
    let offers = [
        offer(1, slot(0), 1),
        offer(2, slot(0), 1),
        offer(3, slot(0), 1),
    ];
    assert_eq!(s.free(slot(0)), offers);
    assert_eq!(s.free(slot(0)), [], "a repetition");
}

#[test]
fn the_first_takes_it_and_the_others_lose_the_offer() {
    let mut s = Script::new(3, 1);
    s.free(slot(0));
    let taken = [
        take(2, slot(0), 1),
        withdraw(1, slot(0)),
        withdraw(3, slot(0)),
    ];
    assert_eq!(s.assign(2, slot(0), 1), taken);
}

#[test]
fn who_comes_too_late_is_refused() {
    let mut s = Script::new(2, 1);
    s.free(slot(0));
    s.assign(1, slot(0), 1);
    assert_eq!(s.assign(2, slot(0), 1), [refuse(2, slot(0), 1)]);
    s.free(slot(0));
    assert_eq!(
        s.assign(2, slot(0), 1),
        [refuse(2, slot(0), 1)],
        "it is free again, by epoch 2"
    );
    assert_eq!(s.assign(2, slot(0), 2)[0], take(2, slot(0), 2));
}

#[test]
fn epochs_only_grow() {
    let mut s = Script::new(1, 1);
    for epoch in 1..5 {
        assert_eq!(s.free(slot(0)), [offer(1, slot(0), epoch)]);
        assert_eq!(s.assign(1, slot(0), epoch), [take(1, slot(0), epoch)]);
        assert_eq!(s.feed(Event::Ended { slot: slot(0) }), []);
    }
}

#[test]
fn a_dispatcher_that_joins_hears_of_workers_and_of_what_is_on_offer_to_all() {
    let mut s = Script::new(2, 3);
    s.free(slot(0));
    s.free(slot(1));
    s.assign(1, slot(1), 1);
    s.want(1, 0, 1);
    assert_eq!(s.promised_to(slot(2)), Some(1));
    let introduced = Command::Introduce {
        dispatcher: NodeId(3),
        worker: worker(1),
    };
    assert_eq!(
        s.feed(Event::Joined(NodeId(3))),
        [introduced, offer(3, slot(0), 1)]
    );
    assert_eq!(s.feed(Event::Joined(NodeId(3))), [], "a repetition");
    assert_eq!(s.assign(3, slot(0), 1)[0], take(3, slot(0), 1));
}

#[test]
fn nobody_is_there_and_the_slot_waits() {
    let mut s = Script::new(0, 1);
    assert_eq!(s.free(slot(0)), []);
    assert_eq!(
        s.feed(Event::Joined(NodeId(1))).last(),
        Some(&offer(1, slot(0), 1))
    );
}

#[test]
fn what_is_not_known_is_refused() {
    let mut s = Script::new(1, 1);
    s.free(slot(0));
    for unknown in [slot(1), slot_of(2, 0)] {
        assert_eq!(s.free(unknown), []);
        assert_eq!(s.assign(1, unknown, 1), [refuse(1, unknown, 1)]);
    }
    assert_eq!(
        s.assign(9, slot(0), 1),
        [refuse(9, slot(0), 1)],
        "who has not joined has no offers"
    );
}
