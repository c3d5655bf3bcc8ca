//! Versions and shares of programs.

use super::*;

fn shares(hard: &Hard, program: &str) -> Vec<(u32, u32)> {
    let shares = hard.programs[program].shares.iter();
    shares.map(|share| (share.version, share.weight)).collect()
}

fn numbers(hard: &Hard, program: &str) -> Vec<u32> {
    let versions = hard.programs[program].versions.iter();
    versions.map(|version| version.number).collect()
}

fn set_shares(program: &str, shares: &[(u32, u32)]) -> Change {
    let shares = shares.iter();
    Change::SetShares {
        program: program.into(),
        shares: shares
            .map(|&(version, weight)| Share { version, weight })
            .collect(),
    }
}

#[test]
fn a_new_spec_is_a_new_version_that_waits_beside_the_old_one() {
    let mut hard = founded();
    pass(&mut hard, &[apply(None, "parse", "one", 2)]);
    assert_eq!(shares(&hard, "parse"), [(1, 1)]);
    pass(&mut hard, &[apply(None, "parse", "two", 3)]);
    assert_eq!(shares(&hard, "parse"), [(1, 100), (2, 0)]);
    let rollout = Rollout {
        from: 1,
        to: 2,
        held: None,
    };
    assert_eq!(hard.programs["parse"].rollout, Some(rollout));
    pass(&mut hard, &[set_shares("parse", &[(2, 10), (1, 90)])]);
    assert_eq!(shares(&hard, "parse"), [(1, 90), (2, 10)]);
    pass(&mut hard, &[apply(None, "parse", "three", 3)]);
    assert_eq!(
        shares(&hard, "parse"),
        [(1, 100), (3, 0)],
        "what serves most stays"
    );
    refused(&mut hard, &set_shares("parse", &[(1, 50), (2, 50)]));
    pass(&mut hard, &[set_shares("parse", &[(3, 1)])]);
    assert_eq!(hard.programs["parse"].rollout, None);
}

#[test]
fn the_same_spec_keeps_its_version_and_takes_the_placement() {
    let mut hard = after(&[
        found(),
        apply(None, "parse", "one", 2),
        apply(None, "parse", "one", 5),
    ]);
    assert_eq!(numbers(&hard, "parse"), [1]);
    assert_eq!(hard.programs["parse"].versions[0].placement.workers, 5);
    pass(
        &mut hard,
        &[
            apply(None, "parse", "two", 5),
            apply(None, "parse", "one", 5),
        ],
    );
    assert_eq!(
        numbers(&hard, "parse"),
        [1, 2, 3],
        "an old spec comes back as a new version"
    );
    assert_eq!(shares(&hard, "parse"), [(1, 100), (3, 0)]);
}

#[test]
fn an_apply_compares_the_revision_it_saw() {
    let mut hard = founded();
    let revision = hard.revision;
    pass(&mut hard, &[apply(Some(revision), "parse", "one", 1)]);
    let outdated = Refusal::Outdated {
        expected: revision,
        revision: revision + 1,
    };
    assert_eq!(
        refused(&mut hard, &apply(Some(revision), "parse", "two", 1)),
        outdated
    );
}

#[test]
fn a_node_that_joins_meanwhile_does_not_refuse_an_apply() {
    let mut hard = founded();
    let revision = hard.revision;
    let change = apply(Some(revision), "parse", "one", 1);
    pass(&mut hard, &[join("a", "key", 0), change]);
    let ahead = apply(Some(hard.revision + 1), "parse", "two", 1);
    assert!(matches!(
        refused(&mut hard, &ahead),
        Refusal::Outdated { .. }
    ));
}

#[test]
fn an_apply_is_all_or_nothing() {
    let mut hard = founded();
    let change = Change::Apply {
        expected: None,
        programs: BTreeMap::from([
            ("a".into(), Some((Bytes::from_static(b"one"), placement(1)))),
            ("b".into(), None),
        ]),
        pace: Pace::Steps,
    };
    assert_eq!(
        refused(&mut hard, &change),
        Refusal::UnknownProgram("b".into())
    );
}

#[test]
fn a_removed_program_never_gets_its_old_numbers_again() {
    let mut hard = founded();
    pass(
        &mut hard,
        &[
            apply(None, "parse", "one", 1),
            apply(None, "parse", "two", 1),
        ],
    );
    pass(
        &mut hard,
        &[apply(None, "parse", "", 0), apply(None, "parse", "one", 1)],
    );
    assert_eq!(numbers(&hard, "parse"), [3]);
}

fn back(version: Option<u32>) -> Change {
    Change::Rollback {
        program: "parse".into(),
        version,
        why: "it is bad".into(),
    }
}

fn lanes(hard: &Hard) -> Vec<u32> {
    let versions = hard.programs["parse"].versions.iter();
    versions.map(|version| version.lane).collect()
}

#[test]
fn a_rollback_goes_to_the_version_before() {
    let mut hard = founded();
    for spec in ["one", "two", "three"] {
        pass(&mut hard, &[apply_at(Pace::AtOnce, None, "parse", spec, 1)]);
        assert_eq!(hard.programs["parse"].shares.len(), 1);
    }
    pass(&mut hard, &[back(None)]);
    assert_eq!(shares(&hard, "parse"), [(2, 1)]);
    let taken_back = hard.programs["parse"].taken_back.clone();
    assert_eq!(taken_back.map(|taken| taken.version), Some(3));
    pass(&mut hard, &[back(None)]);
    assert_eq!(shares(&hard, "parse"), [(1, 1)]);
    assert_eq!(
        refused(&mut hard, &back(None)),
        Refusal::NoVersionBefore("parse".into())
    );
}

#[test]
fn a_rollback_in_a_rollout_goes_to_the_version_that_served() {
    let mut hard = founded();
    for spec in ["one", "two"] {
        pass(&mut hard, &[apply(None, "parse", spec, 1)]);
    }
    pass(
        &mut hard,
        &[back(Some(2)), apply(None, "parse", "three", 1)],
    );
    assert_eq!(hard.programs["parse"].taken_back, None);
    let another = Refusal::AnotherRuns {
        program: "parse".into(),
        version: 2,
    };
    assert_eq!(refused(&mut hard, &back(Some(2))), another);
    pass(&mut hard, &[back(Some(3))]);
    assert_eq!(shares(&hard, "parse"), [(1, 1)], "and not 2");
}

#[test]
fn versions_share_a_lane_only_in_place_of_each_other() {
    let mut hard = founded();
    pass(
        &mut hard,
        &[
            apply(None, "parse", "one", 1),
            apply_at(Pace::AtOnce, None, "parse", "two", 1),
        ],
    );
    assert_eq!(lanes(&hard), [0, 0]);
    pass(
        &mut hard,
        &[
            apply(None, "parse", "three", 1),
            apply(None, "parse", "four", 1),
        ],
    );
    assert_eq!(lanes(&hard), [0, 0, 1, 2], "the third may not have ended");
    pass(&mut hard, &[set_shares("parse", &[(4, 1)])]);
    assert_eq!(lanes(&hard), [0, 0, 1, 2], "what runs keeps its lane");
    pass(&mut hard, &[back(None)]);
    assert_eq!(shares(&hard, "parse"), [(3, 1)]);
    assert_eq!(lanes(&hard), [0, 0, 2, 2]);
}

#[test]
fn a_canary_is_held_and_let_go() {
    let hold = |weight| Change::Hold {
        program: "parse".into(),
        weight,
    };
    let mut hard = after(&[found(), apply(None, "parse", "one", 1)]);
    let none = Refusal::NoRollout("parse".into());
    assert_eq!(refused(&mut hard, &hold(Some(10))), none);
    let canary = |weight| apply_at(Pace::Canary(weight), None, "parse", "two", 1);
    refused(&mut hard, &canary(0));
    refused(&mut hard, &canary(100));
    pass(&mut hard, &[canary(5)]);
    let held = |hard: &Hard| hard.programs["parse"].rollout.map(|rollout| rollout.held);
    assert_eq!(held(&hard), Some(Some(5)));
    pass(&mut hard, &[hold(None)]);
    assert_eq!(held(&hard), Some(None));
}

#[test]
fn of_many_versions_the_oldest_that_does_not_serve_is_dropped() {
    let mut hard = founded();
    for number in 1..=limits::VERSIONS_MAX + 2 {
        pass(
            &mut hard,
            &[apply(None, "parse", &format!("spec {number}"), 1)],
        );
    }
    assert_eq!(numbers(&hard, "parse"), [1, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(shares(&hard, "parse"), [(1, 100), (12, 0)]);
}

#[test]
fn scaling_makes_no_version() {
    let mut hard = after(&[
        found(),
        apply(None, "parse", "one", 1),
        apply(None, "parse", "two", 1),
    ]);
    let scale = |workers| Change::Scale {
        program: "parse".into(),
        workers,
    };
    pass(&mut hard, &[scale(8)]);
    let versions = &hard.programs["parse"].versions;
    assert!(
        versions
            .iter()
            .all(|version| version.placement.workers == 8)
    );
    refused(&mut hard, &scale(limits::WORKERS_MAX + 1));
}

#[test]
fn shares_name_versions_once_and_some_weight() {
    let mut hard = after(&[
        found(),
        apply(None, "parse", "one", 1),
        apply(None, "parse", "two", 1),
    ]);
    let bad = Refusal::BadShares("parse".into());
    for shares in [&[][..], &[(1, 0)], &[(1, 1), (1, 1)], &[(1, 0), (2, 0)]] {
        assert_eq!(refused(&mut hard, &set_shares("parse", shares)), bad);
    }
    for shares in [
        &[(3, 1)][..],
        &[(1, limits::WEIGHT_MAX + 1)],
        &[(1, 1), (2, 1), (1, 1)],
    ] {
        refused(&mut hard, &set_shares("parse", shares));
    }
}

#[test]
fn specs_and_programs_have_their_limits() {
    let mut hard = founded();
    let spec = "x".repeat(limits::SPEC_BYTES_MAX);
    for number in 0..16 {
        pass(&mut hard, &[apply(None, &format!("p{number}"), &spec, 1)]);
    }
    let refusal = refused(&mut hard, &apply(None, "one more", &spec, 1));
    assert!(matches!(refusal, Refusal::OverLimit { .. }), "{refusal}");
    refused(&mut hard, &apply(None, "p0", &format!("{spec}x"), 1));

    let mut hard = founded();
    let wanted = || Some((Bytes::new(), placement(1)));
    let programs = (0..limits::PROGRAMS_MAX).map(|number| (number.to_string().into(), wanted()));
    pass(
        &mut hard,
        &[Change::Apply {
            expected: None,
            programs: programs.collect(),
            pace: Pace::Steps,
        }],
    );
    assert_eq!(
        refused(&mut hard, &apply(None, "one more", "spec", 1)).to_string(),
        "expected at most 1000 programs, got 1001"
    );
}
