//! Several dispatchers have the offers of all slots: each takes those first whose turn is its own.

use crate::support::*;
use pool::SlotId;

/// Which slots of worker 1, with four, are taken by three calls.
fn taken(rank: u32, of: u32) -> Vec<SlotId> {
    let mut s = Script::with_worker(4);
    s.core.set_turn(rank, of);
    for index in 0..4 {
        s.offer(slot(1, index));
    }
    (1..=3)
        .filter_map(|number| {
            s.call(call(number));
            s.core.slot_of(id(number))
        })
        .collect()
}

#[test]
fn alone_it_takes_the_longest_idle() {
    assert_eq!(taken(0, 1), [slot(1, 0), slot(1, 1), slot(1, 2)]);
}

#[test]
fn two_begin_with_different_slots_and_then_take_any() {
    assert_eq!(taken(0, 2), [slot(1, 0), slot(1, 2), slot(1, 1)]);
    assert_eq!(taken(1, 2), [slot(1, 1), slot(1, 3), slot(1, 0)]);
}

#[test]
fn the_turn_goes_round_with_the_epochs() {
    let first = |epoch| {
        let mut s = Script::with_worker(2);
        s.core.set_turn(0, 2);
        s.offer_epoch(slot(1, 0), epoch);
        s.offer_epoch(slot(1, 1), epoch);
        s.call(call(1));
        s.core.slot_of(id(1))
    };
    assert_eq!([first(1), first(2)], [Some(slot(1, 0)), Some(slot(1, 1))]);
}

#[test]
fn a_rank_that_is_too_great_is_one_of_them() {
    assert_eq!(taken(5, 2), taken(1, 2));
    assert_eq!(taken(5, 0), taken(0, 1));
}
