//! The lobby: where calls wait that match no pool, as long as some program has yet to say what it
//! is. No pool and no program that starts, no wait.

use crate::support::*;
use pool::{Call, Class, Introduction, Program, Rejection};
use std::time::Duration;

fn other(number: u64) -> Call {
    Call {
        details: pool::Details::of_kind("other").into(),
        ..call(number)
    }
}

#[test]
fn without_programs_there_is_no_wait() {
    let mut s = Script::new();
    assert_eq!(s.call(call(1)), [reject(1, Rejection::NoPool)]);
}

#[test]
fn calls_wait_while_a_program_starts() {
    let mut s = Script::new();
    s.program(program("p"));
    assert!(s.core.waits_for_programs());
    s.call_waits(call(1));
    assert_eq!((s.core.lobby_len(), s.core.pool_of(id(1))), (1, None));
    assert_eq!(s.introduce(worker(1)), []);
    assert_eq!(s.core.lobby_len(), 0);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1])]);
}

#[test]
fn they_keep_their_class_and_order() {
    let mut s = Script::new();
    s.program(program("p"));
    s.call_waits(call_of_class(1, Class::Low));
    s.call_waits(call(2));
    s.call_waits(call(3));
    s.introduce(Introduction {
        slots: 3,
        ..worker(1)
    });
    let order: Vec<_> = (0..3).flat_map(|index| s.offer(slot(1, index))).collect();
    let expected = [
        assign(slot(1, 0), 1, &[2]),
        assign(slot(1, 1), 1, &[3]),
        assign(slot(1, 2), 1, &[1]),
    ];
    assert_eq!(order, expected);
}

#[test]
fn when_the_last_program_has_started_the_others_get_an_error() {
    let mut s = Script::new();
    s.program(program("p"));
    s.program(program("q"));
    s.call_waits(other(1));
    assert_eq!(
        s.introduce(worker(1)),
        [],
        "program q may be what it asks for"
    );
    let q = Introduction {
        program: "q".into(),
        ..worker(2)
    };
    assert_eq!(s.introduce(q), [reject(1, Rejection::NoPool)]);
    assert_eq!(
        s.call(other(2)),
        [reject(2, Rejection::NoPool)],
        "nothing is waited for now"
    );
}

#[test]
fn a_call_that_misses_every_pool_waits_for_programs_too() {
    let mut s = Script::with_worker(1);
    s.program(program("q"));
    s.call_waits(Call {
        function: "g".into(),
        ..call(1)
    });
    let newer = describes(version("2"), &["g(text)"]);
    s.introduce(Introduction {
        program: "q".into(),
        description: newer,
        ..worker(2)
    });
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn when_the_program_is_given_up_they_get_an_error() {
    let mut s = Script::new();
    s.program(program("p"));
    s.call_waits(call(1));
    s.call_waits(call(2));
    let errors = [reject(1, Rejection::NoPool), reject(2, Rejection::NoPool)];
    assert_eq!(s.removed("p"), errors);
}

#[test]
fn the_lobby_is_bounded_in_calls() {
    let mut s = Script::new();
    s.program(program("p"));
    for number in 1..=3 {
        s.call_waits(call(number));
    }
    let busy = Rejection::Busy {
        pool: None,
        waiting: LOBBY_MAX,
    };
    assert_eq!(s.call(call(4)), [reject(4, busy)]);
}

#[test]
fn the_lobby_is_bounded_in_bytes() {
    let mut s = Script::new();
    s.program(program("p"));
    s.call_waits(Call {
        bytes: LOBBY_BYTES_MAX - 10,
        ..call(1)
    });
    let busy = Rejection::Busy {
        pool: None,
        waiting: 1,
    };
    assert_eq!(
        s.call(Call {
            bytes: 11,
            ..call(2)
        }),
        [reject(2, busy)]
    );
    s.call_waits(Call {
        bytes: 10,
        ..call(3)
    });
}

#[test]
fn the_lobby_is_bounded_in_time() {
    let mut s = Script::new();
    s.program(program("p"));
    s.call_waits(call(1));
    s.call_waits(Call {
        deadline: Some(time(700)),
        ..call(2)
    });
    assert_eq!(s.at(700).tick(), [expire_waiting(2)]);
    assert_eq!(s.at(LOBBY_TIMEOUT_MS).tick(), [expire_waiting(1)]);
}

#[test]
fn the_programs_timeout_counts_from_the_arrival_in_the_lobby() {
    let mut s = Script::new();
    s.program(program("p"));
    s.at(1_000).call_waits(call(1));
    s.at(4_000).introduce(worker(1));
    assert_eq!(s.core.deadline(id(1)), Some(time(1_000 + TIMEOUT_MS)));
}

#[test]
fn a_call_that_waited_longer_than_its_program_allows_is_not_run() {
    let mut s = Script::new();
    s.program(Program {
        timeout: Duration::from_secs(2),
        ..program("p")
    });
    s.call_waits(call(1));
    assert_eq!(s.at(2_000).introduce(worker(1)), [expire_waiting(1)]);
}

#[test]
fn a_cancelled_call_leaves_the_lobby() {
    let mut s = Script::new();
    s.program(program("p"));
    s.call_waits(call(1));
    assert_eq!(s.cancel(1), []);
    assert_eq!(s.core.lobby_len(), 0);
    s.introduce(worker(1));
    assert_eq!(s.offer(slot(1, 0)), []);
}

#[test]
fn a_program_that_comes_back_is_served_by_its_workers_of_before() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.program(program("q"));
    s.removed("p");
    s.call_waits(call(1));
    assert_eq!(s.program(program("p")), [assign(slot(1, 0), 1, &[1])]);
}
