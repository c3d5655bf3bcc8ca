//! The choice of a pool: who has the function, then who matches best, then weight and key.

use crate::support::*;
use pool::{Call, Command, Details, Introduction, PoolId, Program, Rejection, SlotId};
use std::collections::BTreeMap;
use std::sync::Arc;
use term::Shape;

/// A pool of one worker, fed by a program of its own, its slot on offer.
fn add_pool(s: &mut Script, number: u32, weight: u32, details: Details, signatures: &[&str]) {
    let name = format!("program {number}");
    s.program(Program {
        weight,
        ..program(&name)
    });
    s.introduce(Introduction {
        program: name.into(),
        description: describes(details, signatures),
        ..worker(number)
    });
    s.offer(slot(number, 0));
}

/// A core with equal pools of these weights, the first fed by worker 1.
fn equal_pools(weights: &[u32]) -> Script {
    let mut s = Script::new();
    for (number, &weight) in (1..).zip(weights) {
        add_pool(
            &mut s,
            number,
            weight,
            version(&number.to_string()),
            &["f(text)"],
        );
    }
    s
}

fn asking(number: u64, details: Details) -> Call {
    Call {
        details: details.into(),
        ..call(number)
    }
}

fn assigned_to(commands: &[Command]) -> SlotId {
    match commands {
        [Command::Assign { slot, .. }] => *slot,
        other => panic!("one assignment expected: {other:?}"),
    }
}

/// Makes a call, ends it, and says which worker ran it.
fn ran_on(s: &mut Script, call: Call) -> u32 {
    let number = call.id.number;
    let slot = assigned_to(&s.call(call));
    s.outcome(slot, number);
    s.offer(slot);
    slot.worker.number
}

#[test]
fn the_best_score_wins() {
    let mut s = Script::new();
    add_pool(&mut s, 1, 9, Details::of_kind("k"), &["f(text)"]);
    add_pool(&mut s, 2, 1, version("2"), &["f(text)"]);
    add_pool(&mut s, 3, 9, version("3"), &["f(text)"]);
    assert_eq!(
        ran_on(&mut s, asking(1, version("2"))),
        2,
        "whatever the weights"
    );
}

#[test]
fn workers_of_equal_descriptions_are_one_pool() {
    let mut s = Script::with_worker(1);
    s.introduce(worker(2));
    assert_eq!(s.core.pools().count(), 1);
    add_pool(&mut s, 3, 1, Details::of_kind("k"), &["f(text)"]);
    assert_eq!(s.core.pools().count(), 2, "another API is another pool");
}

#[test]
fn only_pools_with_the_function_count() {
    let mut s = Script::new();
    add_pool(&mut s, 1, 1, version("1"), &["f(text)"]);
    add_pool(&mut s, 2, 1, Details::of_kind("k"), &["f(text)", "g(text)"]);
    let call = Call {
        function: "g".into(),
        ..asking(1, version("1"))
    };
    assert_eq!(ran_on(&mut s, call), 2, "the better match lacks it");
}

#[test]
fn only_pools_whose_parameters_fit_count() {
    let mut s = Script::new();
    add_pool(&mut s, 1, 1, version("1"), &["f(text)"]);
    add_pool(&mut s, 2, 1, version("2"), &["f(text, limit)"]);
    let call = |number, shape: Arc<Shape>| Call {
        shape,
        ..call(number)
    };
    assert_eq!(ran_on(&mut s, call(1, named(&["limit", "text"]))), 2);
    assert_eq!(ran_on(&mut s, call(2, Shape::Positional(1).into())), 1);
}

#[test]
fn only_pools_whose_types_fit_count() {
    let mut s = Script::new();
    add_pool(&mut s, 1, 1, version("1"), &["f(text: string)"]);
    add_pool(&mut s, 2, 1, version("2"), &["f(text: [string])"]);
    let call = |number, json: &'static str| Call {
        json: Some(json.into()),
        ..call(number)
    };
    assert_eq!(ran_on(&mut s, call(1, r#"{"text": ["a"]}"#)), 2);
    assert_eq!(ran_on(&mut s, call(2, r#"{"text": "a"}"#)), 1);
    let misfit = s.call(call(3, r#"{"text": 5}"#));
    let [
        Command::Reject {
            why: Rejection::BadArguments(misfit),
            ..
        },
    ] = &misfit[..]
    else {
        panic!("{misfit:?}")
    };
    let wrong = misfit.wrong.as_ref().expect("a wrong type");
    assert_eq!((&*wrong.place, &*wrong.got), ("text", "integer 5"));
}

#[test]
fn a_call_with_an_input_goes_to_a_function_that_reads_one() {
    let mut s = Script::new();
    add_pool(&mut s, 1, 1, version("1"), &["f(text)"]);
    add_pool(&mut s, 2, 1, version("2"), &["f(text) + input"]);
    let with_input = |number| Call {
        input: true,
        ..call(number)
    };
    for number in 1..20 {
        assert_eq!(ran_on(&mut s, with_input(number)), 2);
    }
    let other = Call {
        details: version("1").into(),
        ..with_input(20)
    };
    let misfit = s.call(other);
    let [
        Command::Reject {
            why: Rejection::BadArguments(misfit),
            ..
        },
    ] = &misfit[..]
    else {
        panic!("{misfit:?}")
    };
    let expected = "expected f(text); it reads no input, and the call has one";
    assert_eq!(misfit.to_string(), expected);
    let without = Call {
        details: version("2").into(),
        ..call(21)
    };
    assert_eq!(ran_on(&mut s, without), 2, "it sees an input that is empty");
}

#[test]
fn the_error_tells_what_is_nearest() {
    let mut s = Script::new();
    add_pool(&mut s, 1, 1, version("1"), &["f(text)"]);
    add_pool(&mut s, 2, 1, version("2"), &["g(text)"]);
    let no_pool = s.call(asking(1, Details::of_kind("other")));
    assert_eq!(no_pool, [reject(1, Rejection::NoPool)]);
    let no_function = s.call(Call {
        function: "h".into(),
        ..call(2)
    });
    assert_eq!(no_function, [reject(2, Rejection::NoFunction)]);
    let misfit = s.call(Call {
        shape: named(&["txt"]),
        ..call(3)
    });
    let [
        Command::Reject {
            why: Rejection::BadArguments(misfit),
            ..
        },
    ] = &misfit[..]
    else {
        panic!("{misfit:?}")
    };
    assert_eq!(
        misfit.to_string(),
        "expected f(text); missing: text; unknown: txt"
    );
}

#[test]
fn a_call_that_asks_for_nothing_matches_nothing() {
    let mut s = Script::with_worker(1);
    assert_eq!(
        s.call(asking(1, Details::default())),
        [reject(1, Rejection::NoPool)]
    );
}

#[test]
fn a_conflict_is_no_match_however_much_else_agrees() {
    let mut s = Script::new();
    let tags: Vec<Arc<str>> = ["a", "b", "c"].map(Into::into).to_vec();
    let tagged = |version: Details| Details {
        tags: tags.iter().cloned().collect(),
        ..version
    };
    add_pool(&mut s, 1, 1, tagged(version("1")), &["f(text)"]);
    assert_eq!(
        s.call(asking(1, tagged(version("2")))),
        [reject(1, Rejection::NoPool)]
    );
    assert_eq!(ran_on(&mut s, asking(2, tagged(version("1")))), 1);
}

#[test]
fn a_pool_set_apart_by_a_role_takes_no_plain_calls() {
    let mut s = Script::with_worker(1);
    let staging = Details {
        roles: ["staging".into()].into(),
        ..Details::of_kind("k")
    };
    add_pool(&mut s, 2, 100, staging.clone(), &["f(text)"]);
    s.offer(slot(1, 0));
    assert_eq!(ran_on(&mut s, call(1)), 1);
    assert_eq!(ran_on(&mut s, asking(2, staging)), 2);
}

#[test]
fn equal_pools_share_calls_by_their_weights() {
    let mut s = equal_pools(&[6, 3, 1]);
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for number in 1..=1_000 {
        *counts.entry(ran_on(&mut s, call(number))).or_default() += 1;
    }
    for (worker, due) in [(1, 600), (2, 300), (3, 100)] {
        let count = counts[&worker];
        assert!(
            count.abs_diff(due) < 60,
            "{count} on worker {worker} where {due} are due"
        );
    }
}

#[test]
fn a_key_stays_with_its_pool() {
    let mut s = equal_pools(&[1, 1, 1]);
    let keyed = |number: u64, key| Call {
        key: Some(key),
        ..call(number)
    };
    let homes: Vec<u32> = (0..30).map(|key| ran_on(&mut s, keyed(key, key))).collect();
    assert!(
        (1..=3).all(|worker| homes.contains(&worker)),
        "keys are spread: {homes:?}"
    );
    for key in 0..30 {
        assert_eq!(
            ran_on(&mut s, keyed(100 + key, key)),
            homes[key as usize],
            "key {key}"
        );
    }
    // A fourth pool takes keys over, and moves none between the others.
    add_pool(&mut s, 4, 1, version("4"), &["f(text)"]);
    for key in 0..30 {
        let home = ran_on(&mut s, keyed(200 + key, key));
        assert!(
            [4, homes[key as usize]].contains(&home),
            "key {key} went to {home}"
        );
    }
}

#[test]
fn a_key_waits_for_its_pool_while_that_has_no_worker() {
    let mut s = equal_pools(&[1, 1]);
    let keyed = |number: u64| Call {
        key: Some(7),
        ..call(number)
    };
    let home = ran_on(&mut s, keyed(1));
    s.withdraw_worker(home);
    s.call_waits(keyed(2));
    let other = 3 - home;
    assert_eq!(
        ran_on(&mut s, call(3)),
        other,
        "others go where a worker lives"
    );
}

#[test]
fn calls_without_a_key_go_where_a_worker_lives() {
    let mut s = equal_pools(&[100, 1]);
    s.withdraw_worker(1);
    for number in 1..=20 {
        assert_eq!(ran_on(&mut s, call(number)), 2);
    }
    s.withdraw_worker(2);
    s.call_waits(call(21));
}

#[test]
fn weight_0_takes_calls_only_where_nothing_else_matches_as_well() {
    let mut s = equal_pools(&[0, 1]);
    for number in 1..=20 {
        let key = (number % 2 == 0).then_some(number);
        assert_eq!(
            ran_on(
                &mut s,
                Call {
                    key,
                    ..call(number)
                }
            ),
            2
        );
    }
    assert_eq!(
        ran_on(&mut s, asking(21, version("1"))),
        1,
        "a better match"
    );
    s.withdraw_worker(2);
    s.call_waits(call(22));
    assert_eq!(
        s.core.pool_of(id(22)),
        Some(PoolId(2)),
        "a restart does not undo the weight"
    );
    let left = [assign(slot(1, 0), 2, &[22])];
    assert_eq!(s.removed("program 2"), left, "the only one left");
}

#[test]
fn an_avoided_pool_is_no_match() {
    let mut s = equal_pools(&[1, 1]);
    let avoiding = |number: u64, pools: &[PoolId]| {
        let mut call = call(number);
        call.avoid.pools = pools.to_vec();
        call
    };
    for number in 1..=20 {
        assert_eq!(ran_on(&mut s, avoiding(number, &[PoolId(1)])), 2);
    }
    let nowhere = avoiding(21, &[PoolId(1), PoolId(2)]);
    assert_eq!(s.call(nowhere), [reject(21, Rejection::NoPool)]);
}
