//! A call arrives: it gets a slot, a place in the queue, or an error at once.

use crate::support::*;
use pool::{Call, Class, Program, Rejection};

#[test]
fn a_call_takes_a_free_slot() {
    let mut s = Script::with_worker(1);
    assert_eq!(s.offer(slot(1, 0)), []);
    assert_eq!(s.call(call(1)), [assign(slot(1, 0), 1, &[1])]);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.core.calls_len(), 0);
}

#[test]
fn a_slot_is_not_free_before_its_next_offer() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.outcome(slot(1, 0), 1);
    s.call_waits(call(2));
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[2])]);
}

#[test]
fn the_slot_is_bound_late() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    s.call_waits(call(1));
    s.call_waits(call(2));
    // Whichever slot comes free first serves whoever came first.
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[2])]);
}

#[test]
fn the_longest_idle_slot_is_taken() {
    let mut s = Script::with_worker(3);
    for index in [1, 2, 0] {
        s.offer(slot(1, index));
    }
    assert_eq!(s.call(call(1)), [assign(slot(1, 1), 1, &[1])]);
    s.outcome(slot(1, 1), 1);
    s.offer(slot(1, 1));
    let order: Vec<_> = (2..5).flat_map(|number| s.call(call(number))).collect();
    let expected = [
        assign(slot(1, 2), 1, &[2]),
        assign(slot(1, 0), 1, &[3]),
        assign(slot(1, 1), 2, &[4]),
    ];
    assert_eq!(order, expected, "the slot that was used last comes last");
}

#[test]
fn the_oldest_of_the_highest_class_is_served_first() {
    let mut s = Script::with_worker(1);
    let arrivals = [
        Class::Low,
        Class::Normal,
        Class::High,
        Class::Low,
        Class::Normal,
        Class::High,
    ];
    for (number, class) in (1..).zip(arrivals) {
        s.call_waits(call_of_class(number, class));
    }
    let mut served = Vec::new();
    for number in [3, 6, 2, 5, 1, 4] {
        served.extend(s.offer(slot(1, 0)));
        s.outcome(slot(1, 0), number);
    }
    let expected = [3, 6, 2, 5, 1, 4];
    let expected: Vec<_> = (1..)
        .zip(expected)
        .map(|(epoch, number)| assign(slot(1, 0), epoch, &[number]))
        .collect();
    assert_eq!(served, expected);
}

#[test]
fn a_full_queue_turns_calls_away_at_once() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        queue_max: 2,
        ..program("p")
    });
    s.call_waits(call(1));
    s.call_waits(call(2));
    let pool = s.core.pool_of(id(1));
    assert!(pool.is_some());
    let busy = Rejection::Busy { pool, waiting: 2 };
    assert_eq!(s.call(call(3)), [reject(3, busy.clone())]);
    assert_eq!(
        s.call(call_of_class(4, Class::High)),
        [reject(4, busy)],
        "the bound is for all"
    );
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1])]);
    s.call_waits(call(5));
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        queue_bytes_max: 100,
        ..program("p")
    });
    s.call_waits(Call {
        bytes: 60,
        ..call(1)
    });
    let busy = Rejection::Busy {
        pool: s.core.pool_of(id(1)),
        waiting: 1,
    };
    assert_eq!(
        s.call(Call {
            bytes: 41,
            ..call(2)
        }),
        [reject(2, busy)]
    );
    s.call_waits(Call {
        bytes: 40,
        ..call(3)
    });
    // The bytes of those who leave make room.
    s.cancel(1);
    s.call_waits(Call {
        bytes: 60,
        ..call(4)
    });
}

#[test]
fn a_queue_of_none_is_for_calls_that_must_not_wait() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        queue_max: 0,
        queue_bytes_max: 0,
        ..program("p")
    });
    s.offer(slot(1, 0));
    assert_eq!(s.call(call(1)), [assign(slot(1, 0), 1, &[1])]);
    let [rejected] = &s.call(call(2))[..] else {
        panic!("one command expected")
    };
    assert!(
        matches!(
            rejected,
            pool::Command::Reject {
                why: Rejection::Busy { waiting: 0, .. },
                ..
            }
        ),
        "{rejected:?}"
    );
}

#[test]
fn a_call_takes_no_slot_of_workers_or_nodes_it_avoids() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    s.offer(slot(1, 0));
    s.offer(slot(2, 0));
    assert_eq!(
        s.call(avoiding_workers(1, &[1])),
        [assign(slot(2, 0), 1, &[1])]
    );
    s.call_waits(avoiding_workers(2, &[1]));
    let mut elsewhere = call(3);
    elsewhere.avoid.nodes.push(pool::NodeId(0));
    s.call_waits(elsewhere);
    // Those who wait for another slot do not hold up the one that is free.
    assert_eq!(s.call(call(4)), [assign(slot(1, 0), 1, &[4])]);
}

#[test]
#[should_panic(expected = "is used twice")]
fn an_id_is_used_once() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    s.call(call(1));
}
