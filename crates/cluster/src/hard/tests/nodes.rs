//! Joining, leaving, and the list of masters.

use super::*;

#[test]
fn a_join_tried_again_gets_the_same_id_and_changes_nothing() {
    let mut hard = founded();
    let first = hard.apply(&join("a", "key", 5)).expect("a good token");
    assert_eq!(first.node, Some(NodeId(2)));
    let before = hard.clone();
    let again = hard.apply(&join("a", "key", 6)).expect("the same request");
    assert_eq!(again.node, Some(NodeId(2)));
    assert_eq!(again.revision, before.revision);
    assert_eq!(hard, before);
}

#[test]
fn who_knows_name_and_key_of_a_node_needs_a_token_all_the_same() {
    let mut hard = founded();
    pass(&mut hard, &[join("a", "key", 5)]);
    let late = join("a", "key", EXPIRES);
    let expired = Refusal::ExpiredJoinToken("token".into());
    assert_eq!(refused(&mut hard, &late), expired);
    pass(&mut hard, &[Change::RemoveJoinToken("token".into())]);
    let again = join("a", "key", 5);
    assert_eq!(refused(&mut hard, &again), Refusal::UnknownJoinToken);
}

#[test]
fn a_join_needs_a_token_that_is_known_valid_and_allows_the_roles() {
    let mut hard = after(&[found()]);
    assert_eq!(
        refused(&mut hard, &join("a", "a", 0)),
        Refusal::UnknownJoinToken
    );
    let manager = Roles {
        manager: true,
        ..Roles::default()
    };
    pass(&mut hard, &[join_token("token", manager, EXPIRES, 0)]);
    let token: Arc<str> = "token".into();
    assert_eq!(
        refused(&mut hard, &join("a", "a", EXPIRES)),
        Refusal::ExpiredJoinToken(token.clone())
    );
    assert_eq!(
        refused(&mut hard, &join("a", "a", 0)),
        Refusal::RolesNotAllowed(token)
    );
    let mut change = join("a", "a", EXPIRES - 1);
    if let Change::AddNode { roles, .. } = &mut change {
        *roles = manager;
    }
    pass(&mut hard, &[change]);
}

#[test]
fn a_name_belongs_to_one_node_until_it_is_revoked() {
    let mut hard = founded();
    pass(&mut hard, &[join("a", "key", 0)]);
    let taken = Refusal::NameTaken {
        name: "a".into(),
        node: NodeId(2),
    };
    assert_eq!(refused(&mut hard, &join("a", "other key", 0)), taken);
    pass(&mut hard, &[Change::RevokeNode(NodeId(2))]);
    assert_eq!(
        refused(&mut hard, &join("a", "key", 0)),
        Refusal::Revoked(NodeId(2))
    );
    let applied = hard.apply(&join("a", "other key", 0)).expect("a new key");
    assert_eq!(applied.node, Some(NodeId(3)), "ids are never given twice");
    assert!(hard.is_revoked(NodeId(2)));
    assert!(!hard.is_revoked(NodeId(4)), "an id that may come yet");
}

#[test]
fn a_revoked_node_takes_no_more_changes() {
    let mut hard = founded();
    pass(
        &mut hard,
        &[join("a", "key", 0), Change::RevokeNode(NodeId(2))],
    );
    let gone = NodeId(2);
    for change in [
        Change::RevokeNode(gone),
        Change::Drain {
            node: gone,
            draining: true,
        },
        Change::SetMasters(vec![FIRST, gone]),
    ] {
        assert_eq!(refused(&mut hard, &change), Refusal::Revoked(gone));
    }
    assert_eq!(
        refused(&mut hard, &Change::RevokeNode(NodeId(9))),
        Refusal::UnknownNode(NodeId(9))
    );
}

#[test]
fn the_last_master_cannot_be_removed() {
    let mut hard = founded();
    let few = Refusal::TooFewMasters;
    assert_eq!(refused(&mut hard, &Change::RevokeNode(FIRST)), few(FIRST));
    assert_eq!(
        refused(&mut hard, &Change::SetMasters(vec![])),
        Refusal::LastMaster
    );
    let second = NodeId(2);
    pass(
        &mut hard,
        &[join("a", "key", 0), Change::SetMasters(vec![second, FIRST])],
    );
    assert_eq!(hard.masters, [second, FIRST], "the order is the one given");
    assert_eq!(
        refused(&mut hard, &Change::RevokeNode(FIRST)),
        few(FIRST),
        "both of two must agree to a new list"
    );
    pass(&mut hard, &[Change::SetMasters(vec![second])]);
    pass(&mut hard, &[Change::RevokeNode(FIRST)]);
    assert_eq!(refused(&mut hard, &Change::RevokeNode(second)), few(second));
}

#[test]
fn masters_are_different_nodes_with_the_role() {
    let mut hard = founded();
    assert_eq!(
        refused(&mut hard, &Change::SetMasters(vec![FIRST, FIRST])),
        Refusal::RepeatedMaster(FIRST)
    );
    let second = NodeId(2);
    let set = |roles| Change::SetNode {
        node: second,
        address: "10.0.0.9:7400".into(),
        roles,
        labels: Labels::from([("rack".into(), "r1".into())]),
    };
    pass(&mut hard, &[join("a", "key", 0), set(Roles::default())]);
    assert_eq!(&*hard.nodes[&second].address, "10.0.0.9:7400");
    let masters = Change::SetMasters(vec![FIRST, second]);
    assert_eq!(refused(&mut hard, &masters), Refusal::NotMaster(second));
    pass(&mut hard, &[set(Roles::ALL), masters]);
    assert_eq!(
        refused(&mut hard, &set(Roles::default())),
        Refusal::NotMaster(second)
    );
}

#[test]
fn draining_starts_and_ends() {
    let mut hard = founded();
    for draining in [true, false] {
        let node = FIRST;
        pass(&mut hard, &[Change::Drain { node, draining }]);
        assert_eq!(hard.nodes[&FIRST].draining, draining);
    }
}

#[test]
fn names_and_labels_have_their_limits() {
    let mut hard = founded();
    let long = "x".repeat(limits::NAME_BYTES_MAX + 1);
    for name in ["", &long] {
        refused(&mut hard, &join(name, "key", 0));
    }
    let mut change = join("a", "key", 0);
    if let Change::AddNode { labels, .. } = &mut change {
        let many = 0..=limits::LABELS_MAX;
        *labels = many
            .map(|number| (number.to_string().into(), "".into()))
            .collect();
    }
    assert_eq!(
        refused(&mut hard, &change).to_string(),
        "expected at most 32 labels, got 33"
    );
    pass(&mut hard, &[join(&long[1..], "key", 0)]);
}

#[test]
fn newcomers_that_come_at_once_all_become_masters() {
    let mut hard = founded();
    let (second, third) = (NodeId(2), NodeId(3));
    let both = [join("a", "a's key", 0), join("b", "b's key", 0)];
    pass(&mut hard, &both);
    // Neither proposer has seen the other's change.
    let add = [second, third, second].map(Change::AddMaster);
    pass(&mut hard, &add);
    assert_eq!(hard.masters, [FIRST, second, third]);
    assert_eq!(
        refused(&mut hard, &Change::AddMaster(NodeId(9))),
        Refusal::UnknownNode(NodeId(9))
    );
}
