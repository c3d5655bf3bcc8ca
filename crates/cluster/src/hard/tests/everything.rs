//! A list of changes, one of each kind that version 1 of the link protocol knows, and a cluster that
//! has something of everything in it: what the fixture `version1.txt` was made of.

use super::*;
use std::num::NonZeroU32;

/// All kinds of changes, in an order in which all pass.
pub fn everything() -> Vec<Change> {
    let node = NodeId(2);
    let master_only = Roles {
        master: true,
        ..Roles::default()
    };
    let placement = Placement {
        workers: 4,
        spare: 1,
        spread: Some("rack".into()),
        constraints: Labels::from([("disk".into(), "fast".into())]),
        memory: 1 << 30,
        command: "./parse".into(),
    };
    let apply = |pace, expected, spec: &'static str| Change::Apply {
        expected,
        programs: BTreeMap::from([
            (
                "parse".into(),
                Some((Bytes::from_static(spec.as_bytes()), placement.clone())),
            ),
            (
                "scrub".into(),
                Some((Bytes::from_static(b"s"), Placement::default())),
            ),
        ]),
        pace,
    };
    let share = |version, weight| Share { version, weight };
    let roll_back = |version| Change::Rollback {
        program: "parse".into(),
        version,
        why: "it crashed".into(),
    };
    vec![
        found(),
        join_token("token", Roles::ALL, EXPIRES, 0),
        join("second", "second", 1),
        join("third", "third", 2),
        Change::AddMaster(node),
        Change::SetMasters(vec![node, FIRST]),
        Change::SetNode {
            node,
            address: "10.0.0.9:7400".into(),
            roles: master_only,
            labels: Labels::from([("rack".into(), "r1".into())]),
        },
        Change::Drain {
            node: NodeId(3),
            draining: true,
        },
        Change::SetTimeout(Duration::from_millis(2_500)),
        apply(Pace::Steps, None, "a"),
        Change::Scale {
            program: "parse".into(),
            workers: 5,
        },
        apply(Pace::Canary(5), Some(11), "b"),
        Change::Hold {
            program: "parse".into(),
            weight: Some(20),
        },
        Change::SetShares {
            program: "parse".into(),
            shares: vec![share(1, 80), share(2, 20)],
        },
        roll_back(Some(2)),
        apply(Pace::AtOnce, None, "c"),
        apply(Pace::Steps, None, "d"),
        roll_back(None),
        apply(Pace::Steps, None, "e"),
        Change::PutAccessToken {
            name: "all".into(),
            token: AccessToken::new(Digest([1; 32])),
            now_unix_s: 5,
        },
        Change::PutAccessToken {
            name: "some".into(),
            token: AccessToken {
                kinds: Some(["parse".into()].into()),
                rate: Some(Rate {
                    calls_per_second: NonZeroU32::MIN,
                    burst: NonZeroU32::new(1_000).expect("not zero"),
                }),
                observe: true,
                expires_unix_s: Some(1_000),
                ..AccessToken::new(Digest([2; 32]))
            },
            now_unix_s: 5,
        },
        Change::RemoveAccessToken("all".into()),
        join_token("other", Roles::ALL, EXPIRES, 3),
        Change::RemoveJoinToken("other".into()),
        Change::RevokeNode(NodeId(3)),
    ]
}
