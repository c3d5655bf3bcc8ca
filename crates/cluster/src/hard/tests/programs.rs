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
    assert_eq!(shares(&hard, "parse"), [(1, 1), (2, 0)]);
    pass(&mut hard, &[set_shares("parse", &[(2, 10), (1, 90)])]);
    assert_eq!(shares(&hard, "parse"), [(1, 90), (2, 10)]);
    pass(&mut hard, &[apply(None, "parse", "three", 3)]);
    assert_eq!(
        shares(&hard, "parse"),
        [(1, 90), (3, 0)],
        "what serves most stays"
    );
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
    assert_eq!(shares(&hard, "parse"), [(1, 1), (3, 0)]);
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
fn an_apply_is_all_or_nothing() {
    let mut hard = founded();
    let change = Change::Apply {
        expected: None,
        programs: BTreeMap::from([
            ("a".into(), Some((Bytes::from_static(b"one"), placement(1)))),
            ("b".into(), None),
        ]),
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

#[test]
fn a_rollback_goes_to_the_version_before() {
    let mut hard = founded();
    for spec in ["one", "two", "three"] {
        pass(&mut hard, &[apply(None, "parse", spec, 1)]);
    }
    let back = Change::Rollback {
        program: "parse".into(),
    };
    pass(&mut hard, &[set_shares("parse", &[(3, 1)]), back.clone()]);
    assert_eq!(shares(&hard, "parse"), [(2, 1)]);
    pass(&mut hard, std::slice::from_ref(&back));
    assert_eq!(shares(&hard, "parse"), [(1, 1)]);
    assert_eq!(
        refused(&mut hard, &back),
        Refusal::NoVersionBefore("parse".into())
    );
    pass(&mut hard, &[apply(None, "parse", "four", 1), back]);
    assert_eq!(
        shares(&hard, "parse"),
        [(3, 1)],
        "before the newest that runs"
    );
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
    assert_eq!(shares(&hard, "parse"), [(1, 1), (12, 0)]);
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
        }],
    );
    assert_eq!(
        refused(&mut hard, &apply(None, "one more", "spec", 1)).to_string(),
        "expected at most 1000 programs, got 1001"
    );
}
