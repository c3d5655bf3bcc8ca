//! A worker leaves, or does not take what it is given.

use crate::support::*;
use pool::NodeId;
use pool::exchange::{Command, Event, Standing};

fn withdrawn() -> Event {
    Event::Withdrawn(worker(1))
}

#[test]
fn all_are_told_and_late_assignments_are_refused() {
    let mut s = Script::new(2, 1);
    s.free(slot(0));
    let retire = |number| Command::Retire {
        dispatcher: NodeId(number),
        worker: worker(1),
    };
    assert_eq!(s.feed(withdrawn()), [retire(1), retire(2)]);
    assert_eq!(s.feed(withdrawn()), [], "a repetition");
    assert_eq!(s.assign(1, slot(0), 1), [refuse(1, slot(0), 1)]);
    assert_eq!(s.exchange.slots().count(), 0);
}

#[test]
fn what_it_holds_runs_on_and_can_be_abandoned() {
    let mut s = Script::new(2, 2);
    s.free(slot(0));
    s.free(slot(1));
    s.assign(1, slot(0), 1);
    s.assign(2, slot(1), 1);
    s.feed(withdrawn());
    let joined = s.feed(Event::Joined(NodeId(3)));
    assert_eq!(joined, [], "a worker that leaves is no news");
    let abandoned = Command::Abandoned {
        slot: slot(0),
        dispatcher: NodeId(1),
    };
    assert_eq!(s.feed(Event::Left(NodeId(1))), [abandoned]);
    assert_eq!(s.free(slot(0)), [], "it is not to be free again");
    s.feed(Event::Ended { slot: slot(1) });
    assert_eq!(s.exchange.slots().count(), 0);
}

#[test]
fn a_promise_ends_with_the_worker_and_the_one_who_waits_gets_another() {
    let mut s = Script::new(2, 1);
    s.introduce(2, POOL, 2);
    s.want(1, 5, 1);
    assert_eq!(s.promised_to(slot(0)), Some(1));
    s.feed(withdrawn());
    assert_eq!(s.promised_to(slot_of(2, 0)), Some(1));
    assert_eq!(s.promised_to(slot_of(2, 1)), None);
    assert_eq!(s.assign(1, slot(0), 1), [refuse(1, slot(0), 1)]);
}

#[test]
fn a_worker_that_declines_sends_the_calls_back() {
    let mut s = Script::new(2, 1);
    s.free(slot(0));
    s.assign(2, slot(0), 1);
    assert_eq!(
        s.feed(Event::Declined { slot: slot(0) }),
        [refuse(2, slot(0), 1)]
    );
    assert_eq!(s.exchange.slots().next(), Some((slot(0), Standing::Away)));
    assert_eq!(s.feed(Event::Declined { slot: slot(0) }), []);
}
