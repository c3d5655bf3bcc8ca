//! Random lists of changes: what always holds.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![9 => "[a-c]", 1 => Just(String::new())].prop_map(Into::into)
}

fn node() -> impl Strategy<Value = NodeId> {
    (0_u32..6).prop_map(NodeId)
}

fn roles() -> impl Strategy<Value = Roles> {
    (prop::bool::weighted(0.9), any::<bool>(), any::<bool>()).prop_map(
        |(master, manager, faceplate)| Roles {
            master,
            manager,
            faceplate,
        },
    )
}

fn digest() -> impl Strategy<Value = Digest> {
    (0_u8..3).prop_map(|byte| Digest([byte; 32]))
}

fn of_nodes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (name(), roles(), digest(), digest(), 0_u64..20).prop_map(
            |(name, roles, request, secret, now_unix_s)| Change::AddNode {
                name,
                address: "a:1".into(),
                roles,
                labels: Labels::new(),
                request,
                secret,
                now_unix_s,
            }
        ),
        (node(), roles()).prop_map(|(node, roles)| Change::SetNode {
            node,
            address: "b:2".into(),
            roles,
            labels: Labels::new(),
        }),
        node().prop_map(Change::RevokeNode),
        (node(), any::<bool>()).prop_map(|(node, draining)| Change::Drain { node, draining }),
        vec(node(), 0..4).prop_map(Change::SetMasters),
        node().prop_map(Change::AddMaster),
    ]
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        Just(Pace::Steps),
        Just(Pace::AtOnce),
        (0_u32..110).prop_map(Pace::Canary)
    ]
}

fn of_programs() -> impl Strategy<Value = Change> {
    let wanted = prop::option::weighted(0.8, ("[x-z]", 0_u32..5))
        .prop_map(|wanted| wanted.map(|(spec, workers)| (Bytes::from(spec), placement(workers))));
    let programs = prop::collection::btree_map(name(), wanted, 0..3);
    let share = (0_u32..9, 0_u32..3).prop_map(|(version, weight)| Share { version, weight });
    prop_oneof![
        4 => (prop::option::weighted(0.2, 0_u64..40), programs, pace())
            .prop_map(|(expected, programs, pace)| Change::Apply { expected, programs, pace }),
        1 => (name(), any::<u32>()).prop_map(|(program, workers)| Change::Scale { program, workers }),
        1 => (name(), prop::option::weighted(0.3, 0_u32..9)).prop_map(|(program, version)| {
            Change::Rollback { program, version, why: "it is bad".into() }
        }),
        1 => (name(), prop::option::of(0_u32..110))
            .prop_map(|(program, weight)| Change::Hold { program, weight }),
        2 => (name(), vec(share, 0..3))
            .prop_map(|(program, shares)| Change::SetShares { program, shares }),
    ]
}

fn of_tokens() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (name(), digest(), roles(), any::<u64>(), 0_u64..20).prop_map(
            |(name, secret, roles, expires_unix_s, now_unix_s)| Change::PutJoinToken {
                name,
                token: JoinToken { secret, roles, expires_unix_s },
                now_unix_s,
            }
        ),
        4 => (name(), digest(), prop::option::of(any::<u64>()), 0_u64..20).prop_map(
            |(name, secret, expires_unix_s, now_unix_s)| Change::PutAccessToken {
                name,
                token: AccessToken { expires_unix_s, ..AccessToken::new(secret) },
                now_unix_s,
            }
        ),
        1 => name().prop_map(Change::RemoveJoinToken),
        1 => name().prop_map(Change::RemoveAccessToken),
        1 => (0_u64..4).prop_map(|seconds| Change::SetTimeout(Duration::from_secs(seconds))),
    ]
}

/// What any change may leave behind.
fn assert_sound(hard: &Hard) {
    let mut masters = hard.masters.clone();
    masters.sort();
    masters.dedup();
    assert_eq!(masters.len(), hard.masters.len(), "each master once");
    assert!(!masters.is_empty(), "a cluster has a master");
    for master in masters {
        let record = hard.member(master).expect("a master is a member");
        assert!(record.roles.master);
    }
    let mut names: Vec<_> = hard.members().map(|(_, record)| &record.name).collect();
    names.sort();
    assert!(
        names.windows(2).all(|two| two[0] != two[1]),
        "names are unique"
    );
    let tokens = hard.access_tokens.values();
    let mut secrets: Vec<_> = tokens.map(|token| token.secret).collect();
    secrets.sort();
    assert!(
        secrets.windows(2).all(|two| two[0] != two[1]),
        "secrets are unique"
    );
    assert!(hard.nodes.keys().all(|node| node.0 <= hard.last_node));
    for program in hard.programs.values() {
        assert!(
            program
                .versions
                .windows(2)
                .all(|two| two[0].number < two[1].number)
        );
        assert!(program.versions.len() <= limits::VERSIONS_MAX);
        assert!(program.shares.iter().any(|share| share.weight > 0));
        let running = program.shares.iter().map(|share| share.version);
        match program.rollout {
            Some(rollout) => assert!(running.eq([rollout.from, rollout.to])),
            None => assert_eq!(running.count(), 1),
        }
        let mut lanes: Vec<u32> = Vec::new();
        for share in &program.shares {
            lanes.extend(program.version(share.version).map(|version| version.lane));
        }
        lanes.dedup();
        assert_eq!(
            lanes.len(),
            program.shares.len(),
            "each in a lane of its own"
        );
        assert!(
            program
                .shares
                .iter()
                .all(|share| program.version(share.version).is_some())
        );
    }
}

proptest! {
    #[test]
    fn equal_lists_make_equal_and_sound_states(
        changes in vec(prop_oneof![of_nodes(), of_programs(), of_tokens()], 0..60)
    ) {
        let mut one = after(&[found()]);
        let mut two = one.clone();
        for change in &changes {
            let before = one.clone();
            let came = one.apply(change);
            prop_assert_eq!(&came, &two.apply(change));
            match came {
                Err(_) => prop_assert_eq!(&one, &before),
                Ok(applied) if one.revision == before.revision => {
                    prop_assert!(applied.node.is_some(), "only a join tried again alters nothing");
                    prop_assert_eq!(&one, &before);
                }
                Ok(applied) => {
                    prop_assert_eq!(applied.revision, before.revision + 1);
                    prop_assert_eq!(one.revision, applied.revision);
                }
            }
            assert_sound(&one);
            prop_assert_eq!(&one, &two);
        }
    }
}
