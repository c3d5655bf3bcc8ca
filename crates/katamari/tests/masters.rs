//! The order of a cluster's masters, changed from the command line.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use serde_json::json;
use support::cluster::Cluster;
use support::{eventually, stderr, stdout};

#[test]
fn masters_are_put_into_another_order_and_the_first_leads() {
    let cluster = Cluster::of(3);
    let order = |names: &[&str]| cluster.nodes[1].katamari(&[&["masters"], names].concat());
    for wrong in [&["n2", "n1"][..], &["n2", "n1", "n1"], &["n2", "n1", "n4"]] {
        let refused = order(wrong);
        assert!(!refused.status.success(), "{wrong:?}");
        let said = stderr(&refused);
        assert!(said.contains("n1") && said.contains("n3"), "{said}");
    }
    let done = order(&["n2", "3", "n1"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(stdout(&done).contains("n2 leads"), "{}", stdout(&done));
    eventually("the first of the new order to lead", || {
        let seen = cluster.seen();
        let masters = seen["masters"].as_array()?;
        let names: Vec<_> = masters
            .iter()
            .map(|master| master["name"].clone())
            .collect();
        (names == [json!("n2"), json!("n3"), json!("n1")] && seen["leader"] == "n2").then_some(())
    });
}
