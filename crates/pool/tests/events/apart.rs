//! Programs that are set apart: they take the calls that name them, and no others.

use crate::support::*;
use pool::{Call, Command, Details, Introduction, Rejection};

const APART: &str = "p@1~shadow";

fn only(number: u64) -> Call {
    Call {
        only: Some(APART.into()),
        ..call(number)
    }
}

/// Worker 1 of program `p`, and worker 2 of the one set apart, which says the same of itself.
fn both() -> Script {
    let mut s = Script::new();
    for (number, name) in [(1, "p"), (2, APART)] {
        s.program(program(name));
        s.introduce(Introduction {
            program: name.into(),
            ..worker(number)
        });
    }
    s
}

#[test]
fn a_call_for_one_program_runs_there_alone() {
    let mut s = both();
    s.offer(slot(1, 0));
    s.offer(slot(2, 0));
    assert_eq!(s.call(only(1)), [assign(slot(2, 0), 1, &[1])]);
    assert_eq!(
        s.call(only(2)),
        [],
        "it waits beside a free slot of another"
    );
    s.outcome(slot(2, 0), 1);
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 2, &[2])]);
}

#[test]
fn what_is_set_apart_takes_no_other_call() {
    let mut s = both();
    s.offer(slot(2, 0));
    assert_eq!(s.call(call(1)), [], "it waits for worker 1");
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 1, &[1])]);
}

#[test]
fn what_is_set_apart_serves_no_kind_by_itself() {
    let mut s = Script::new();
    s.program(program(APART));
    let no_pool = |number| {
        [Command::Reject {
            call: id(number),
            why: Rejection::NoPool,
        }]
    };
    assert_eq!(s.call(call(1)), no_pool(1), "nobody waits for its start");
    s.introduce(Introduction {
        program: APART.into(),
        ..worker(2)
    });
    s.offer(slot(2, 0));
    assert_eq!(s.call(call(2)), no_pool(2));
}

#[test]
fn a_call_for_a_program_that_is_not_there_waits_for_nothing() {
    let mut s = Script::new();
    s.program(program("p"));
    s.program(program(APART));
    let no_pool = [Command::Reject {
        call: id(1),
        why: Rejection::NoPool,
    }];
    assert_eq!(s.call(only(1)), no_pool, "although programs start");
}

#[test]
fn the_details_of_a_call_for_one_program_do_not_matter_but_its_function_does() {
    let mut s = both();
    s.offer(slot(2, 0));
    let other = Call {
        details: Details::of_kind("other").into(),
        ..only(1)
    };
    assert_eq!(s.call(other), [assign(slot(2, 0), 1, &[1])]);
    let unknown = Call {
        function: "g".into(),
        ..only(2)
    };
    let no_function = [Command::Reject {
        call: id(2),
        why: Rejection::NoFunction,
    }];
    assert_eq!(s.call(unknown), no_function);
}

#[test]
fn pools_that_are_set_apart_are_other_pools_to_managers() {
    let plain = worker(1);
    let apart = Introduction {
        program: APART.into(),
        ..worker(1)
    };
    let other = Introduction {
        program: "p@2~shadow".into(),
        ..worker(1)
    };
    assert_eq!(plain.pool_hash(), pool::stable_hash(&*plain.description));
    assert_ne!(plain.pool_hash(), apart.pool_hash());
    assert_ne!(apart.pool_hash(), other.pool_hash());
}

#[test]
fn pools_that_read_inputs_have_a_second_name_for_nodes_that_know_of_none() {
    let of = |signature| Introduction {
        description: describes(Details::of_kind("k"), &[signature]),
        ..worker(1)
    };
    let (plain, reads) = (of("f(text)"), of("f(text) + input"));
    assert_eq!(plain.pool_hash_without_inputs(), None);
    assert_ne!(plain.pool_hash(), reads.pool_hash());
    assert_eq!(reads.pool_hash_without_inputs(), Some(plain.pool_hash()));
}
