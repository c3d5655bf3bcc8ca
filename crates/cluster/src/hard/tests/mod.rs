//! Lists of changes and what must come of them, one file for each idea.

mod everything;
mod level;
mod lists;
mod nodes;
mod programs;
mod shadows;
pub mod version1;

use super::*;
use bytes::Bytes;
use std::num::NonZeroU32;

/// The node that every test's cluster begins with.
const FIRST: NodeId = NodeId(1);
/// The secret of the join token that `founded` has; valid before `EXPIRES`.
const SECRET: &[u8] = b"open sesame";
/// When that token ends.
const EXPIRES: u64 = 1_000;

fn found() -> Change {
    Change::Found {
        cluster: ClusterId([7; 16]),
        name: "first".into(),
        address: "10.0.0.1:7400".into(),
        roles: Roles::ALL,
        labels: Labels::new(),
        request: Digest::of(b"first"),
        timeout: Duration::from_secs(10),
    }
}

fn join(name: &str, key: &str, now_unix_s: u64) -> Change {
    Change::AddNode {
        name: name.into(),
        address: "10.0.0.2:7400".into(),
        roles: Roles::ALL,
        labels: Labels::new(),
        request: Digest::of(key.as_bytes()),
        secret: Digest::of(SECRET),
        now_unix_s,
    }
}

fn join_token(name: &str, roles: Roles, expires_unix_s: u64, now_unix_s: u64) -> Change {
    Change::PutJoinToken {
        name: name.into(),
        token: JoinToken {
            secret: Digest::of(SECRET),
            roles,
            expires_unix_s,
        },
        now_unix_s,
    }
}

fn placement(workers: u32) -> Placement {
    Placement {
        workers,
        ..Placement::default()
    }
}

/// One program; an empty spec removes it.
fn apply(expected: Option<u64>, program: &str, spec: &str, workers: u32) -> Change {
    apply_at(Pace::Steps, expected, program, spec, workers)
}

fn apply_at(pace: Pace, expected: Option<u64>, program: &str, spec: &str, workers: u32) -> Change {
    let wanted = (!spec.is_empty()).then(|| (Bytes::from(spec.to_owned()), placement(workers)));
    Change::Apply {
        expected,
        programs: BTreeMap::from([(program.into(), wanted)]),
        pace,
    }
}

/// A cluster of the first node, with a join token.
fn founded() -> Hard {
    after(&[found(), join_token("token", Roles::ALL, EXPIRES, 0)])
}

/// A state after changes that all must pass.
fn after(changes: &[Change]) -> Hard {
    let mut hard = Hard::default();
    pass(&mut hard, changes);
    hard
}

fn pass(hard: &mut Hard, changes: &[Change]) {
    for change in changes {
        if let Err(refusal) = hard.apply(change) {
            panic!("{change:?} was refused: {refusal}");
        }
    }
}

/// The refusal of a change, which must leave everything as it was.
fn refused(hard: &mut Hard, change: &Change) -> Refusal {
    let before = hard.clone();
    let refusal = hard
        .apply(change)
        .expect_err("the change should be refused");
    assert_eq!(
        *hard, before,
        "a refused change altered something: {change:?}"
    );
    refusal
}

#[test]
fn nothing_comes_before_the_founding_and_no_second_founding() {
    let mut hard = Hard::default();
    assert_eq!(refused(&mut hard, &join("a", "a", 0)), Refusal::NotFounded);
    let applied = hard.apply(&found());
    let node = Some(FIRST);
    assert_eq!(applied, Ok(Applied { revision: 1, node }));
    assert_eq!(hard.masters, [FIRST]);
    assert_eq!(
        refused(&mut hard, &found()),
        Refusal::Founded(ClusterId([7; 16]))
    );
}

#[test]
fn tokens_end_and_make_room() {
    let mut hard = after(&[found()]);
    for number in 0..limits::TOKENS_MAX {
        pass(
            &mut hard,
            &[join_token(&format!("t{number}"), Roles::ALL, 10, 0)],
        );
    }
    let one_more = |now| join_token("one more", Roles::ALL, 20, now);
    let refusal = refused(&mut hard, &one_more(9));
    assert!(
        matches!(refusal, Refusal::OverLimit { max: 1_000, .. }),
        "{refusal}"
    );
    pass(&mut hard, &[one_more(10)]);
    assert_eq!(hard.join_tokens.len(), 1, "the expired ones are gone");
    pass(&mut hard, &[Change::RemoveJoinToken("one more".into())]);
    assert_eq!(
        refused(&mut hard, &Change::RemoveJoinToken("one more".into())),
        Refusal::UnknownToken("one more".into())
    );
}

#[test]
fn an_access_token_without_end_stays() {
    let put = |name: &str, expires_unix_s, now_unix_s| Change::PutAccessToken {
        name: name.into(),
        token: AccessToken {
            expires_unix_s,
            ..AccessToken::new(Digest::of(name.as_bytes()))
        },
        now_unix_s,
    };
    let hard = after(&[
        found(),
        put("for ever", None, 0),
        put("short", Some(5), 0),
        put("new", None, 5),
    ]);
    let names: Vec<&str> = hard.access_tokens.keys().map(|name| &**name).collect();
    assert_eq!(names, ["for ever", "new"]);
}

#[test]
fn an_access_token_keeps_its_limits() {
    let mut hard = founded();
    let put = |name: &str, token: AccessToken| Change::PutAccessToken {
        name: name.into(),
        token,
        now_unix_s: 0,
    };
    let plain = AccessToken::new(Digest::of(SECRET));
    let kinds = |count: usize| AccessToken {
        kinds: Some((0..count).map(|kind| kind.to_string().into()).collect()),
        ..plain.clone()
    };
    let rate = |calls: u32, burst: u32| AccessToken {
        rate: Some(Rate {
            calls_per_second: NonZeroU32::new(calls).expect("not zero"),
            burst: NonZeroU32::new(burst).expect("not zero"),
        }),
        ..plain.clone()
    };
    pass(
        &mut hard,
        &[
            put("ci", kinds(32)),
            put("ci", kinds(0)),
            put("ci", rate(1_000_000, 1)),
        ],
    );
    for (token, max) in [
        (kinds(33), 32),
        (rate(1_000_001, 1), 1_000_000),
        (rate(1, 1_000_001), 1_000_000),
    ] {
        let refusal = refused(&mut hard, &put("ci", token));
        assert!(
            matches!(refusal, Refusal::OverLimit { max: limit, .. } if limit == max),
            "{refusal}"
        );
    }
    let nameless = AccessToken {
        kinds: Some(["".into()].into()),
        ..plain.clone()
    };
    let refusal = refused(&mut hard, &put("ci", nameless));
    assert!(matches!(refusal, Refusal::Empty { .. }), "{refusal}");
    assert_eq!(
        refused(&mut hard, &put("twin", plain)),
        Refusal::SecretTaken("ci".into())
    );
}

#[test]
fn a_timeout_is_above_zero_and_within_a_day() {
    let mut hard = founded();
    for timeout in [
        Duration::ZERO,
        limits::TIMEOUT_MAX + Duration::from_millis(1),
    ] {
        refused(&mut hard, &Change::SetTimeout(timeout));
    }
    pass(&mut hard, &[Change::SetTimeout(limits::TIMEOUT_MAX)]);
    assert_eq!(hard.timeout, limits::TIMEOUT_MAX);
}
