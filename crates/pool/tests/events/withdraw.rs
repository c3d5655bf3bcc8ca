//! Slots, workers and nodes leave: what runs may end, what waits is served elsewhere, and a node
//! that is gone takes its calls with it.

use crate::support::*;
use pool::{Introduction, NodeId, Program, Rejection, WorkerId};

fn worker_on(node: u32, number: u32) -> Introduction {
    Introduction {
        worker: WorkerId {
            node: NodeId(node),
            number,
        },
        ..worker(number)
    }
}

#[test]
fn a_withdrawn_slot_is_not_assigned_until_it_is_offered_anew() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    assert_eq!(s.withdraw_slot(slot(1, 0)), []);
    s.call_waits(call(1));
    assert_eq!(
        s.offer_epoch(slot(1, 0), 1),
        [],
        "the offer that was taken back"
    );
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[1])]);
}

#[test]
fn to_withdraw_a_slot_that_holds_a_call_changes_nothing() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    assert_eq!(s.withdraw_slot(slot(1, 0)), []);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
}

#[test]
fn a_withdrawn_worker_ends_its_calls_and_gets_no_more() {
    let mut s = Script::with_worker(2);
    s.offer(slot(1, 0));
    s.offer(slot(1, 1));
    s.call(call(1));
    assert_eq!(s.withdraw_worker(1), []);
    s.call_waits(call(2));
    assert_eq!(s.offer(slot(1, 1)), [], "it retires");
    assert_eq!(s.withdraw_worker(1), [], "said twice");
    assert!(s.core.knows(worker_id(1)), "it still holds a call");
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert!(!s.core.knows(worker_id(1)));
}

#[test]
fn a_pool_outlives_its_workers() {
    let mut s = Script::with_worker(1);
    s.withdraw_worker(1);
    s.call_waits(call(1));
    s.introduce(worker(2));
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
    assert_eq!(s.core.pools().count(), 1);
}

#[test]
fn a_node_that_is_gone_loses_its_calls_and_no_others() {
    let mut s = Script::with_worker(1);
    s.introduce(worker_on(1, 1));
    s.introduce(worker_on(1, 2));
    for slot in [slot(1, 0), slot_on(1, 1, 0), slot_on(1, 2, 0)] {
        s.offer(slot);
    }
    s.call(call(1));
    s.call(call(2));
    let gone = slot_on(1, 1, 0);
    assert_eq!(
        s.withdraw_node(1),
        [reject(2, Rejection::Lost { slot: gone })]
    );
    s.call_waits(call(3));
    assert_eq!(s.outcome(gone, 2), [], "its late outcome is nobody's");
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)]);
    assert_eq!(s.offer(slot(1, 0)), [assign(slot(1, 0), 2, &[3])]);
}

#[test]
fn a_node_that_is_gone_answers_only_those_who_still_wait_for_an_answer() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.cancel(1);
    assert_eq!(s.withdraw_node(0), []);
    assert_eq!(s.core.calls_len(), 0);
}

#[test]
fn a_node_that_was_gone_may_come_back_and_count_its_epochs_anew() {
    let mut s = Script::with_worker(1);
    s.offer_epoch(slot(1, 0), 9);
    s.withdraw_node(0);
    s.introduce(worker(1));
    s.call_waits(call(1));
    assert_eq!(s.offer_epoch(slot(1, 0), 1), [assign(slot(1, 0), 1, &[1])]);
}

#[test]
fn a_call_that_loses_its_pool_with_a_node_goes_to_no_other_worker_of_it() {
    let mut s = Script::with_worker(1);
    // The call waits for a better match, on the same node, whose program is removed.
    s.program(program("q"));
    let better = describes(version("2"), &["f(text)"]);
    s.introduce(Introduction {
        program: "q".into(),
        description: better,
        ..worker(0)
    });
    s.call_waits(pool::Call {
        details: version("2").into(),
        ..call(1)
    });
    s.removed("q");
    s.offer(slot(1, 0));
    assert_eq!(
        s.withdraw_node(0),
        [],
        "it waits in the other pool, for a worker to come"
    );
    s.introduce(worker(2));
    assert_eq!(s.offer(slot(2, 0)), [assign(slot(2, 0), 1, &[1])]);
}

#[test]
fn calls_do_not_wait_for_a_pool_that_only_ends_what_it_runs() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.call_waits(call(2));
    s.removed("p");
    assert_eq!(s.withdraw_worker(1), [reject(2, Rejection::Removed)]);
    assert_eq!(s.outcome(slot(1, 0), 1), [deliver(1)], "what ran could end");
    assert_eq!(s.core.pools().count(), 0);
}

#[test]
fn nor_does_a_call_that_is_refused_there() {
    let mut s = Script::with_worker(2);
    for index in [0, 1] {
        s.offer(slot(1, index));
        s.call(call(u64::from(index)));
    }
    s.removed("p");
    s.withdraw_worker(1);
    assert_eq!(s.refuse(slot(1, 0), 1), [reject(0, Rejection::Removed)]);
    assert_eq!(s.outcome(slot(1, 1), 1), [deliver(1)]);
}

#[test]
fn settings_of_a_program_leave_the_pool_with_it() {
    let mut s = Script::with_worker(1);
    s.program(Program {
        queue_max: 500,
        ..program("q")
    });
    s.introduce(Introduction {
        program: "q".into(),
        ..worker(2)
    });
    let queue_max = |s: &Script| s.core.pools().next().expect("there is a pool").queue_max;
    assert_eq!(queue_max(&s), 500);
    s.withdraw_worker(2);
    assert_eq!(queue_max(&s), 500, "it is to come back");
    let newer = describes(version("2"), &["f(text)"]);
    s.introduce(Introduction {
        program: "q".into(),
        description: newer,
        ..worker(3)
    });
    assert_eq!(queue_max(&s), 100, "it came back as something else");
}

#[test]
fn a_call_does_not_move_to_a_pool_that_ends_with_the_same_node() {
    let mut s = Script::new();
    let tagged = |details| pool::Details {
        tags: ["a".into()].into(),
        ..details
    };
    let of = |node, number, program: &str, details| Introduction {
        program: program.into(),
        description: describes(details, &["f(text)"]),
        ..worker_on(node, number)
    };
    s.program(program("p"));
    s.introduce(of(0, 1, "p", tagged(version("1"))));
    s.call_waits(pool::Call {
        details: tagged(pool::Details::of_kind("k")).into(),
        ..call(1)
    });
    s.program(Program {
        queue_max: 1,
        ..program("q")
    });
    s.introduce(of(0, 2, "q", tagged(version("2"))));
    s.call_waits(pool::Call {
        details: version("2").into(),
        ..call(2)
    });
    s.introduce(of(1, 3, "q", version("3")));
    s.removed("p");
    // Version 2 matches best, but its queue is full, and it ends as version 1 does.
    assert_eq!(s.withdraw_node(0), [reject(2, Rejection::Removed)]);
    assert_eq!(
        s.offer(slot_on(1, 3, 0)),
        [assign(slot_on(1, 3, 0), 1, &[1])]
    );
}
