//! While a backlog is deep one call of a pool waits at the node for the next free slot.

use crate::support::*;
use pool::exchange::{Command, Event};
use pool::{Epoch, NodeId, SlotId, Time};
use std::time::Duration;

/// The place of the workers of these tests, as long as worker 1 is there.
fn place() -> SlotId {
    slot(SlotId::AHEAD)
}

fn placed(dispatcher: u32, to: SlotId, epoch: u64) -> Command {
    Command::Place {
        dispatcher: NodeId(dispatcher),
        from: place(),
        slot: to,
        epoch: Epoch(epoch),
    }
}

/// Three dispatchers and two slots that run calls of the third, for 10 ms each on average so far:
/// a slot becomes free every 5 ms. At 10,000 ms dispatcher 1 has `waiting`, since 100 ms.
fn backlog(waiting: usize) -> (Script, Vec<Command>) {
    let mut s = Script::new(3, 2);
    s.exchange.set_ahead(true);
    for turn in 0..2_000 {
        let slot = slot(u16::from(turn % 2 == 1));
        let epoch = turn / 2 + 1;
        s.at(turn * 5);
        s.free(slot);
        s.assign(3, slot, epoch);
    }
    let dispatcher = NodeId(1);
    let want = pool::exchange::Want {
        pool: POOL,
        class: pool::Class::Normal,
        age: Duration::from_millis(100),
        waiting,
    };
    let commands = s.at(10_000).feed(Event::Want { dispatcher, want });
    (s, commands)
}

#[test]
fn the_next_free_slot_takes_it_at_once() {
    let (mut s, commands) = backlog(1);
    assert_eq!(commands, [promise(1, place(), 1)]);
    assert_eq!(s.assign(1, place(), 1), []);
    assert_eq!(s.free(slot(1)), [placed(1, slot(1), 1_001)]);
    assert_eq!(s.free(slot(0)).len(), 3, "the other is offered to all");
}

#[test]
fn then_the_place_is_promised_again_while_others_wait() {
    let (mut s, _) = backlog(3);
    s.assign(1, place(), 1);
    let expected = [placed(1, slot(1), 1_001), promise(1, place(), 2)];
    assert_eq!(s.free(slot(1)), expected);
    assert_eq!(
        s.promised_to(slot(0)),
        Some(1),
        "slots are promised besides"
    );
}

#[test]
fn a_backlog_that_is_young_has_no_place() {
    let (mut s, _) = backlog(0);
    s.want(1, 3, 9);
    let dispatcher = NodeId(1);
    let older = pool::exchange::Want {
        pool: POOL,
        class: pool::Class::Normal,
        age: Duration::from_millis(6),
        waiting: 9,
    };
    let want = older;
    assert_eq!(
        s.feed(Event::Want { dispatcher, want }),
        [promise(1, place(), 1)]
    );
}

#[test]
fn who_does_not_ask_for_it_has_none() {
    let mut s = Script::new(2, 1);
    for turn in 0..1_000 {
        s.at(turn);
        s.free(slot(0));
        s.assign(2, slot(0), turn + 1);
    }
    s.want(1, 500, 9);
    assert_eq!(s.exchange.next_deadline(), None);
}

#[test]
fn a_slot_that_became_free_meanwhile_is_taken() {
    let (mut s, _) = backlog(1);
    assert_eq!(
        s.promised_to(slot(0)),
        None,
        "the one that waits has the place"
    );
    let withdrawn = [withdraw(2, slot(0)), withdraw(3, slot(0))];
    let commands = s.assign(1, place(), 1);
    assert_eq!(commands[..2], withdrawn);
    assert_eq!(commands[2..], [placed(1, slot(0), 1_002)]);
}

#[test]
fn it_can_be_given_back_and_is_promised_when_somebody_speaks() {
    let (mut s, _) = backlog(1);
    s.want(1, 0, 0);
    assert_eq!(s.release(1, place(), 1), []);
    assert_eq!(s.assign(1, place(), 1), [refuse(1, place(), 1)]);
    assert_eq!(s.assign(2, place(), 1), [refuse(2, place(), 1)]);
}

#[test]
fn who_waits_there_too_long_goes_back() {
    let (mut s, _) = backlog(1);
    s.assign(1, place(), 1);
    let until = s.exchange.next_deadline().expect("it waits");
    let ms = until.since(Time::default()).as_millis();
    assert!((10_030..10_050).contains(&ms), "eight times 5 ms: {ms}");
    assert_eq!(s.at(10_030).feed(Event::Tick), []);
    assert_eq!(s.at(10_050).feed(Event::Tick), [refuse(1, place(), 1)]);
    assert_eq!(s.exchange.next_deadline(), None);
}

#[test]
fn what_is_not_wanted_any_more_goes_back() {
    let (mut s, _) = backlog(1);
    s.assign(1, place(), 1);
    let declined = Event::Declined { slot: place() };
    assert_eq!(s.feed(declined), [refuse(1, place(), 1)]);
    assert_eq!(s.feed(declined), []);
}

#[test]
fn it_ends_with_its_dispatcher() {
    let (mut s, _) = backlog(1);
    s.assign(1, place(), 1);
    let abandoned = Command::Abandoned {
        slot: place(),
        dispatcher: NodeId(1),
    };
    assert_eq!(s.feed(Event::Left(NodeId(1))), [abandoned]);
    assert_eq!(s.promised_to(slot(0)), None);
}

#[test]
fn a_worker_that_leaves_gives_the_place_to_another() {
    let (mut s, _) = backlog(2);
    s.introduce(2, POOL, 1);
    s.assign(1, place(), 1);
    let commands = s.feed(Event::Withdrawn(worker(1)));
    assert_eq!(
        commands[0],
        refuse(1, place(), 1),
        "before the worker retires"
    );
    let moved = slot_of(2, SlotId::AHEAD);
    let free = s.free(slot_of(2, 0));
    assert_eq!(free, [promise(1, slot_of(2, 0), 1)]);
    s.want(2, 0, 0);
    assert_eq!(
        s.assign(1, moved, 1),
        [refuse(1, moved, 1)],
        "not promised yet"
    );
}
