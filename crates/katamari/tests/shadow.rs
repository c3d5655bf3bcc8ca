//! Shadow copies in a cluster of two nodes, with real workers, by the command line.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use serde_json::Value;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use support::cluster::head;
use support::{Http, Node, Setup, eventually, stderr, stdout};

/// Two nodes that both take calls in and run workers.
struct Cluster {
    nodes: [Node; 2],
    head: String,
}

fn squares(edition: &str) -> String {
    format!(
        "[program.squares]\ncommand = [\"python3\", \"squares.py\"]\nworkers = 4\n\
         env = {{ EDITION = \"{edition}\" }}\n"
    )
}

impl Cluster {
    fn of(programs: &str) -> Self {
        let head_1 = head("n1");
        let first = Setup::new(&format!("{head_1}{programs}"));
        let init = first.run(&["init"]);
        assert!(init.status.success(), "{}", stderr(&init));
        let said = stdout(&init);
        let mut words = said.split_whitespace();
        let token = words.find(|word| word.starts_with("katamari-"));
        let first = first.up();
        let address = eventually("the first node", || {
            let address = first.status()["cluster"]["nodes"][0]["address"].clone();
            address.as_str().map(str::to_owned)
        });
        let second = Setup::new(&head("n2"));
        let second = second.join(&address, token.expect("init prints a token"));
        let nodes = [first, second];
        for node in &nodes {
            node.wait_ready();
        }
        let cluster = Self {
            nodes,
            head: head_1,
        };
        eventually("the level that shadows need", || {
            let applied = cluster.apply(&squares("level"), &["--shadow", "1"]);
            applied.status.success().then_some(())
        });
        let back = cluster.katamari(&["rollback", "squares"]);
        assert!(back.status.success(), "{}", stderr(&back));
        cluster
    }

    fn apply(&self, programs: &str, options: &[&str]) -> Output {
        self.nodes[0].configure(&format!("{}{programs}", self.head));
        let arguments = [&["apply", "katamari.toml"], options].concat();
        self.nodes[0].katamari(&arguments)
    }

    fn katamari(&self, arguments: &[&str]) -> Output {
        self.nodes[0].katamari(arguments)
    }

    /// Waits until both nodes know this many workers that answer, and that only shadow.
    fn has_slots(&self, answering: u64, shadowing: u64) {
        for node in &self.nodes {
            eventually("workers", || {
                let status = node.status();
                let pools = status["pools"].as_array()?.iter();
                let slots = |is_shadow: bool| -> u64 {
                    let pools = pools.clone();
                    let pools = pools.filter(|pool| (pool["shadow"] == true) == is_shadow);
                    pools.filter_map(|pool| pool["slots"].as_u64()).sum()
                };
                ([slots(false), slots(true)] == [answering, shadowing]).then_some(())
            });
        }
    }

    /// What all nodes have seen, by the word of one.
    fn seen(&self, node: usize) -> Value {
        let seen = self.nodes[node].katamari(&["shadow", "squares", "--json"]);
        assert!(seen.status.success(), "{}", stderr(&seen));
        serde_json::from_slice(&seen.stdout).expect("JSON")
    }
}

/// Calls the node once with each number and checks the answers.
fn call_each(node: &Node, numbers: u64) {
    let mut client = Http::connect(node.http);
    for n in 0..numbers {
        let response = client.call("squares/square", &format!("{{\"n\": {n}}}"), &[]);
        let right = serde_json::json!({ "n": n, "square": n * n });
        assert_eq!((response.status, response.json()), (200, right));
    }
}

#[test]
fn wrong_answers_are_found_and_nobody_gets_them() {
    let cluster = Cluster::of(&squares("right"));
    cluster.has_slots(4, 0);
    let applied = cluster.apply(&squares("wrong"), &["--shadow", "50"]);
    assert!(applied.status.success(), "{}", stderr(&applied));
    let line = "squares: version 3 shadows: 50% of the calls are copied to it";
    assert!(stdout(&applied).contains(line), "{}", stdout(&applied));
    cluster.has_slots(4, 2);
    for node in &cluster.nodes {
        call_each(node, 200);
        for _ in 0..5 {
            let edition = node.call("squares/edition", "[]").json();
            assert_eq!(edition, "right", "no call goes to the new version");
        }
    }
    for node in [0, 1] {
        let seen = eventually("all copies", || {
            let seen = cluster.seen(node);
            let counts = seen["functions"]["square"].clone();
            let compared = counts["same"].as_u64()? + counts["different"].as_u64()?;
            (compared == 200).then_some(seen)
        });
        let total = &seen["total"];
        assert!(total["different"].as_u64() > Some(0), "{seen}");
        for none in ["failed_new", "failed_old", "failed_both", "dropped"] {
            assert_eq!(total[none], 0, "{none}: {seen}");
        }
        assert_eq!(total["not_idempotent"], 10, "{seen}");
        assert_eq!((&seen["from"], &seen["version"]), (&1.into(), &3.into()));
        let example = &seen["examples"][0];
        assert_eq!(example["at"], "$.square", "{seen}");
        let old = example["old"].as_str().and_then(|old| old.parse().ok());
        let new = example["new"].as_str().and_then(|new| new.parse().ok());
        let (old, new): (u64, u64) = (old.expect("a number"), new.expect("a number"));
        assert_eq!(new, old + 1, "{seen}");
    }
    let said = stdout(&cluster.katamari(&["shadow", "squares"]));
    assert!(said.contains("200 answers compared"), "{said}");
    let metrics = cluster.nodes[0].get("/metrics").text();
    let counted = r#"katamari_calls_total{kind="squares",function="square",code="ok"} 200"#;
    assert!(metrics.contains(counted), "copies are no calls:\n{metrics}");
    assert!(metrics.contains("katamari_shadow_calls_total{program=\"squares\",version=\"3\""));

    let back = cluster.katamari(&["rollback", "squares"]);
    assert!(back.status.success(), "{}", stderr(&back));
    cluster.has_slots(4, 0);
    let seen = cluster.katamari(&["shadow", "squares"]);
    assert!(stderr(&seen).contains("expected a program with a version that shadows"));
    call_each(&cluster.nodes[1], 10);
}

#[test]
fn a_shadow_is_promoted_without_a_failed_call() {
    let cluster = Cluster::of(&squares("right"));
    let (calls, errors, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for node in &cluster.nodes {
            scope.spawn(|| {
                let mut client = Http::connect(node.http);
                while !done.load(Ordering::Relaxed) {
                    let response = client.call("squares/square", "{\"n\": 7}", &[]);
                    let is_right = response.status == 200 && response.json()["square"] == 49;
                    calls.fetch_add(1, Ordering::Relaxed);
                    errors.fetch_add(u64::from(!is_right), Ordering::Relaxed);
                }
            });
        }
        let applied = cluster.apply(&squares("better"), &["--shadow"]);
        assert!(applied.status.success(), "{}", stderr(&applied));
        eventually("copies", || {
            let seen = cluster.seen(0);
            assert_eq!(seen["percent"], 10);
            (seen["total"]["same"].as_u64() > Some(20)).then_some(())
        });
        let promoted = cluster.katamari(&["promote", "squares"]);
        assert!(promoted.status.success(), "{}", stderr(&promoted));
        let said = stdout(&promoted);
        assert!(said.contains("squares: version 3 has all calls"), "{said}");
        for node in &cluster.nodes {
            eventually("the old workers to be gone", || {
                let editions = || node.call("squares/edition", "[]").json();
                (0..20).all(|_| editions() == "better").then_some(())
            });
        }
        cluster.has_slots(4, 0);
        done.store(true, Ordering::Relaxed);
    });
    let (calls, errors) = (calls.into_inner(), errors.into_inner());
    assert!(calls > 0);
    assert_eq!(errors, 0, "of {calls} calls");
}
