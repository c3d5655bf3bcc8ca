//! Roll-outs in a cluster of one node, by the command line and under load.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use std::net::TcpListener;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use support::{Http, Node, Setup, eventually, stderr, stdout};

/// A node of a cluster of its own.
struct Cluster {
    node: Node,
    head: String,
}

impl Cluster {
    fn of(programs: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let free = free.expect("the system has a free port");
        let head = format!("[node]\nlisten = \"{free}\"\n");
        let setup = Setup::new(&format!("{head}{programs}"));
        let init = setup.run(&["init"]);
        assert!(init.status.success(), "{}", stderr(&init));
        let node = setup.up();
        node.wait_ready();
        Self { node, head }
    }

    fn apply(&self, programs: &str, options: &[&str]) -> Output {
        self.node.configure(&format!("{}{programs}", self.head));
        let arguments = [&["apply", "katamari.toml"], options].concat();
        self.node.katamari(&arguments)
    }

    /// Calls a function all the while, counts what is not answered with 200, and gives what comes.
    fn under_load<T>(&self, target: &str, act: impl FnOnce() -> T) -> (T, u64, u64) {
        let (calls, errors, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let came = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = Http::connect(self.node.http);
                    while !done.load(Ordering::Relaxed) {
                        let arguments = if target == "basic/echo" {
                            "[\"a\"]"
                        } else {
                            "[]"
                        };
                        let response = client.call(target, arguments, &[]);
                        calls.fetch_add(1, Ordering::Relaxed);
                        errors.fetch_add(u64::from(response.status != 200), Ordering::Relaxed);
                    }
                });
            }
            let came = act();
            done.store(true, Ordering::Relaxed);
            came
        });
        (came, calls.into_inner(), errors.into_inner())
    }

    fn edition(&self) -> String {
        let answer = self.node.call("basic/edition", "[]").json();
        answer.as_str().unwrap_or_default().to_owned()
    }
}

fn basic(edition: &str) -> String {
    format!(
        "[program.basic]\ncommand = [\"python3\", \"basic.py\"]\nworkers = 2\n\
         env = {{ EDITION = \"{edition}\" }}\n"
    )
}

fn moody(mood: &str) -> String {
    format!(
        "[program.moody]\ncommand = [\"python3\", \"moody.py\"]\nworkers = 2\n\
         env = {{ MOOD = \"{mood}\" }}\n"
    )
}

#[test]
fn a_good_version_takes_over_without_a_failed_call() {
    let cluster = Cluster::of(&basic("1"));
    let apply = || cluster.apply(&basic("2"), &[]);
    let (applied, calls, errors) = cluster.under_load("basic/echo", apply);
    assert!(applied.status.success(), "{}", stderr(&applied));
    let said = stdout(&applied);
    for line in [
        "~ basic gets new workers before the old ones retire, version 1 to 2",
        "    env.EDITION",
        "basic: version 2 has 10% of the calls",
        "basic: version 2 has all calls",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}:\n{said}");
    }
    assert!(calls > 0);
    assert_eq!(errors, 0, "of {calls} calls");
    eventually("the new edition alone", || {
        let status = cluster.node.status();
        let pools = status["pools"].as_array()?;
        let is_new = |pool: &serde_json::Value| pool["versions"]["edition"] == "2";
        (pools.len() == 1 && is_new(&pools[0]) && pools[0]["slots"] == 2).then_some(())
    });
    let pids = cluster.node.pids("basic", "ready");
    let back = cluster.node.katamari(&["rollback", "basic"]);
    assert!(back.status.success(), "{}", stderr(&back));
    eventually("the old edition", || {
        (cluster.edition() == "1").then_some(())
    });
    assert!(!pids.is_empty());
}

#[test]
fn a_version_that_does_not_start_is_taken_back_and_says_why() {
    let cluster = Cluster::of(&basic("1"));
    let bad = "[program.basic]\ncommand = [\"python3\", \"-c\", \"exit(3)\"]\nworkers = 2\n";
    let apply = || cluster.apply(bad, &["--json"]);
    let (applied, calls, errors) = cluster.under_load("basic/echo", apply);
    assert_eq!(applied.status.code(), Some(1), "{}", stderr(&applied));
    let said: serde_json::Value = serde_json::from_slice(&applied.stdout).expect("JSON");
    let why = said["taken_back"]["basic"]["why"]
        .as_str()
        .unwrap_or_default();
    assert!(why.contains("exited with status 3"), "{said}");
    assert_eq!(said["replaced"], serde_json::json!(["basic"]));
    assert_eq!(
        (errors, cluster.edition()),
        (0, "1".to_owned()),
        "{calls} calls"
    );
    let status = stdout(&cluster.node.katamari(&["status"]));
    assert!(status.contains("version 2 was taken back"), "{status}");
}

#[test]
fn a_version_with_more_errors_is_taken_back() {
    let cluster = Cluster::of(&moody("good"));
    let apply = || cluster.apply(&moody("bad"), &[]);
    let (applied, calls, errors) = cluster.under_load("moody/work", apply);
    assert_eq!(applied.status.code(), Some(1), "{}", stdout(&applied));
    assert!(
        stdout(&applied).contains("calls failed"),
        "{}",
        stdout(&applied)
    );
    assert!(errors < calls, "{errors} of {calls}");
    eventually("the good mood", || {
        (cluster.node.call("moody/work", "[]").status == 200).then_some(())
    });
}

#[test]
fn a_canary_is_held_until_it_is_promoted() {
    let cluster = Cluster::of(&basic("1"));
    let applied = cluster.apply(&basic("2"), &["--canary", "20"]);
    assert!(applied.status.success(), "{}", stderr(&applied));
    assert!(
        stdout(&applied).ends_with("basic: version 2 is held at 20% of the calls\n"),
        "{}",
        stdout(&applied)
    );
    for edition in ["1", "2"] {
        eventually("each edition", || {
            (cluster.edition() == edition).then_some(())
        });
    }
    let promoted = cluster.node.katamari(&["promote", "basic"]);
    assert!(promoted.status.success(), "{}", stderr(&promoted));
    eventually("the old pool to be gone", || {
        let pools = cluster.node.status()["pools"].as_array()?.len();
        (pools == 1 && cluster.edition() == "2").then_some(())
    });
    let canary = cluster.node.katamari(&["canary", "basic", "--weight", "5"]);
    assert!(!canary.status.success());
    assert!(
        stderr(&canary).contains("none under way"),
        "{}",
        stderr(&canary)
    );
}
