//! Versions that only shadow.

use super::super::grown::Grown;
use super::*;
use crate::placement::jobs_of;

/// A cluster at level 2 with a program of 20 workers.
fn running() -> Hard {
    after(&[found(), Change::Raise(2), apply(None, "p", "one", 20)])
}

fn shadow(spec: &str, percent: u32) -> Change {
    let Change::Apply {
        expected, programs, ..
    } = apply(None, "p", spec, 20)
    else {
        unreachable!("it is an apply")
    };
    Change::Apply {
        expected,
        programs,
        pace: Pace::Shadow(percent),
    }
}

fn hold(weight: Option<u32>) -> Change {
    Change::Hold {
        program: "p".into(),
        weight,
    }
}

/// Workers and spare ones of each version.
fn wanted(hard: &Hard) -> Vec<(u32, u32, u32)> {
    let jobs = jobs_of(hard).into_iter();
    jobs.map(|(job, wants)| (job.1, wants.workers, wants.spare))
        .collect()
}

#[test]
fn a_shadow_is_a_rollout_that_stands_with_workers_for_its_part() {
    let mut hard = running();
    pass(&mut hard, &[shadow("two", 12)]);
    assert_eq!(hard.shadow_percent("p", 2), Some(12));
    assert_eq!(hard.shadow_percent("p", 1), None);
    let weights: Vec<u32> = hard.programs["p"].shares.iter().map(|s| s.weight).collect();
    assert_eq!(weights, [100, 0]);
    assert_eq!(wanted(&hard), [(1, 20, 0), (2, 3, 0)], "2.4, rounded up");
    pass(&mut hard, &[shadow("three", 1)]);
    assert_eq!(wanted(&hard), [(1, 20, 0), (3, 1, 0)], "at least one");
}

#[test]
fn a_promoted_shadow_begins_the_steps() {
    for weight in [None, Some(5)] {
        let mut hard = running();
        pass(&mut hard, &[shadow("two", 10), hold(weight)]);
        assert_eq!(hard.shadow_percent("p", 2), None);
        let rollout = hard.programs["p"].rollout.expect("it goes on");
        assert_eq!((rollout.to, rollout.held), (2, weight));
        assert_eq!(wanted(&hard), [(1, 20, 0), (2, 0, 1)], "it warms up");
    }
}

#[test]
fn whatever_ends_or_replaces_the_rollout_ends_the_shadow() {
    let back = Change::Rollback {
        program: "p".into(),
        version: None,
        why: "by hand".into(),
    };
    let remove = Change::Apply {
        expected: None,
        programs: [("p".into(), None)].into(),
        pace: Pace::Steps,
    };
    for end in [back, apply(None, "p", "three", 20), remove] {
        let mut hard = running();
        pass(&mut hard, &[shadow("two", 10), end]);
        assert!(hard.shadows.is_empty());
    }
}

#[test]
fn an_apply_that_makes_no_version_changes_no_shadow() {
    let mut hard = running();
    pass(&mut hard, &[shadow("two", 10), shadow("two", 50)]);
    assert_eq!(hard.shadow_percent("p", 2), Some(10));
    let mut hard = running();
    pass(&mut hard, &[apply(None, "p", "two", 20), shadow("two", 50)]);
    assert!(hard.shadows.is_empty(), "what is rolled out goes on");
}

#[test]
fn a_shadow_needs_level_2_and_a_part_of_the_calls() {
    let mut hard = after(&[found(), apply(None, "p", "one", 20)]);
    refused(&mut hard, &shadow("two", 10));
    let mut hard = running();
    for percent in [0, 101] {
        refused(&mut hard, &shadow("two", percent));
    }
}

#[test]
fn shadows_are_read_as_they_were_written() {
    let mut hard = running();
    pass(&mut hard, &[shadow("two", 100)]);
    assert_eq!(Hard::decode(&hard.encode()), Ok(hard));
}
