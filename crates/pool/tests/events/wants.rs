//! What a core says of its queues, for those who promise slots.

use crate::support::*;
use pool::{Class, Core, Introduction, Lobby, PoolWant, Time, stable_hash};
use std::time::Duration;

fn wants(s: &mut Script) -> Vec<PoolWant> {
    let mut wants = Vec::new();
    s.core.take_wants(&mut wants);
    wants
}

/// The pool of the workers of these tests has so many waiting.
fn want(class: Class, since: Time, waiting: usize) -> PoolWant {
    PoolWant {
        pool: stable_hash(&*worker(1).description),
        class,
        since,
        waiting,
    }
}

#[test]
fn while_nobody_waits_nothing_is_said() {
    let mut s = Script::with_worker(1);
    s.offer(slot(1, 0));
    s.call(call(1));
    s.outcome(slot(1, 0), 1);
    assert_eq!(wants(&mut s), []);
}

#[test]
fn what_changed_is_said_once() {
    let mut s = Script::with_worker(1);
    s.at(3).call_waits(call(1));
    s.at(5).call_waits(call(2));
    assert_eq!(wants(&mut s), [want(Class::Normal, time(3), 2)]);
    assert_eq!(wants(&mut s), []);
    s.at(7).offer(slot(1, 0));
    assert_eq!(wants(&mut s), [want(Class::Normal, time(5), 1)]);
}

#[test]
fn the_age_is_that_of_the_class_that_is_served_next() {
    let mut s = Script::with_worker(1);
    s.at(3).call_waits(call_of_class(1, Class::Low));
    s.at(5).call_waits(call_of_class(2, Class::High));
    assert_eq!(wants(&mut s), [want(Class::High, time(5), 2)]);
}

#[test]
fn an_empty_queue_is_said_too() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    wants(&mut s);
    s.cancel(1);
    let said = wants(&mut s);
    assert_eq!(
        said.iter().map(|want| want.waiting).collect::<Vec<_>>(),
        [0]
    );
}

#[test]
fn a_refused_call_is_wanted_for_again() {
    let mut s = Script::with_worker(1);
    s.at(3).offer(slot(1, 0));
    s.call(call(1));
    assert_eq!(wants(&mut s), []);
    s.at(9).refuse(slot(1, 0), 1);
    assert_eq!(
        wants(&mut s),
        [want(Class::Normal, time(3), 1)],
        "it has waited since it came"
    );
}

#[test]
fn a_pool_that_ended_wants_nothing() {
    let mut s = Script::with_worker(1);
    s.call_waits(call(1));
    wants(&mut s);
    s.removed("p");
    s.withdraw_worker(1);
    let said: Vec<_> = wants(&mut s)
        .iter()
        .map(|want| (want.pool, want.waiting))
        .collect();
    assert_eq!(said, [(stable_hash(&*worker(1).description), 0)]);
}

#[test]
fn all_nodes_know_a_pool_by_the_same_hash() {
    let mut s = Script::with_worker(1);
    s.introduce(Introduction {
        description: describes(version("2"), &["f(text)"]),
        ..worker(2)
    });
    let hash = stable_hash(&*worker(1).description);
    assert_eq!(s.core.pool_hash(worker_id(1)), Some(hash));
    assert_ne!(s.core.pool_hash(worker_id(2)), Some(hash));
    let lobby = Lobby {
        timeout: Duration::ZERO,
        queue_max: 0,
        queue_bytes_max: 0,
    };
    assert_eq!(Core::new(lobby).pool_hash(worker_id(1)), None);
}
