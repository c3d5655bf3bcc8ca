//! The level of the cluster, and records that builds of different ages wrote.

use super::super::grown::Grown;
use super::*;

/// A cluster at level 2.
fn raised() -> Hard {
    let mut hard = founded();
    pass(&mut hard, &[Change::Raise(2)]);
    hard
}

#[test]
fn a_cluster_begins_at_level_1_and_only_rises() {
    let mut hard = founded();
    assert_eq!(hard.level, 1);
    let refusal = hard.require(2, "shipping files").expect_err("not yet");
    assert_eq!(
        refusal.to_string(),
        "expected all nodes to speak link protocol 2, which shipping files needs, got a cluster at \
         1: upgrade the nodes that run an older build, and try again"
    );
    pass(&mut hard, &[Change::Raise(2)]);
    assert_eq!((hard.level, hard.require(2, "shipping files")), (2, Ok(())));
    let revision = hard.revision;
    pass(&mut hard, &[Change::Raise(2), Change::Raise(1)]);
    assert_eq!((hard.level, hard.revision), (2, revision));
}

#[test]
fn a_refusal_names_who_is_too_old() {
    let level = |old: &[u32]| Refusal::Level {
        what: "shipping files".into(),
        needs: 2,
        level: 1,
        old: old.iter().copied().map(NodeId).collect(),
    };
    let text = level(&[3]).to_string();
    assert!(
        text.ends_with("node 3 speaks an older one; upgrade it first"),
        "{text}"
    );
    let text = level(&[3, 5]).to_string();
    assert!(
        text.ends_with("nodes 3, 5 speak an older one; upgrade them first"),
        "{text}"
    );
}

#[test]
fn what_is_encoded_at_any_level_is_decoded_again() {
    for mut hard in [Hard::default(), founded(), raised()] {
        assert_eq!(Hard::decode(&hard.encode()).as_ref(), Ok(&hard));
        hard.unserved.clear();
        let json = serde_json::to_string(&hard).expect("encodes");
        assert_eq!(serde_json::from_str::<Hard>(&json).expect("decodes"), hard);
    }
    let mut hard = raised();
    hard.unserved.insert("parse".into(), [3, 4].into());
    let shadow = Shadow {
        version: 5,
        percent: 10,
    };
    hard.shadows.insert("parse".into(), shadow);
    let bytes = hard.encode();
    assert_eq!(Hard::decode(&bytes).as_ref(), Ok(&hard));
    let more = [bytes.as_slice(), b"what a later build appends"].concat();
    assert_eq!(Hard::decode(&more).as_ref(), Ok(&hard));
    assert!(
        Hard::decode(&bytes[..bytes.len() - 1]).is_err(),
        "cut short"
    );
}

#[test]
fn a_version_that_was_taken_back_is_not_gone_back_to() {
    let taken_back = |hard: &mut Hard| {
        pass(
            hard,
            &[apply(None, "parse", "a", 1), apply(None, "parse", "b", 1)],
        );
        pass(hard, &[roll_back(None)]);
        pass(
            hard,
            &[
                apply_at(Pace::AtOnce, None, "parse", "c", 1),
                roll_back(None),
            ],
        );
        hard.programs["parse"].newest_running()
    };
    assert_eq!(taken_back(&mut raised()), 1, "a is what served");
    assert_eq!(taken_back(&mut founded()), 2, "as older builds do");
}

#[test]
fn nor_one_that_another_overtook_on_its_way() {
    let mut hard = raised();
    for spec in ["a", "b", "c"] {
        pass(&mut hard, &[apply(None, "parse", spec, 1)]);
    }
    pass(&mut hard, &[all_to(3), roll_back(None)]);
    assert_eq!(hard.programs["parse"].newest_running(), 1);
    let refusal = refused(&mut hard, &roll_back(None));
    assert_eq!(refusal, Refusal::NoVersionBefore("parse".into()));
}

#[test]
fn what_was_taken_back_before_the_level_rose_counts_and_what_is_gone_is_forgotten() {
    let mut hard = founded();
    pass(
        &mut hard,
        &[apply(None, "parse", "a", 1), apply(None, "parse", "b", 1)],
    );
    pass(&mut hard, &[roll_back(None), Change::Raise(2)]);
    assert_eq!(hard.unserved["parse"], [2].into());
    for edition in 0..limits::VERSIONS_MAX {
        let spec = edition.to_string();
        pass(
            &mut hard,
            &[apply_at(Pace::AtOnce, None, "parse", &spec, 1)],
        );
    }
    assert_eq!(
        hard.unserved,
        BTreeMap::new(),
        "version 2 is not kept any more"
    );
}

fn roll_back(version: Option<u32>) -> Change {
    Change::Rollback {
        program: "parse".into(),
        version,
        why: "a test".into(),
    }
}

/// A version has won.
fn all_to(version: u32) -> Change {
    Change::SetShares {
        program: "parse".into(),
        shares: vec![Share { version, weight: 1 }],
    }
}
