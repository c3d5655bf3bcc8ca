//! Files of programs in clusters of several nodes on loopback: applied from a folder of their own, run
//! by nodes that never had them.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use support::cluster::{Cluster, head};
use support::{Http, Node, Setup, eventually, stderr, stdout};
use tempfile::TempDir;

const WORKER: &str = r#"#!/usr/bin/env python3
import os, sys
sys.path.insert(0, "lib")
import words
from katamari import Worker

worker = Worker("parse")

@worker.function(idempotent=True)
def where() -> list:
    return [os.getcwd(), words.WORDS]

worker.run()
"#;

const PROGRAM: &str = "[program.parse]\ncommand = [\"./parse.py\"]\nfiles = [\"parse.py\", \"lib/\"]\n\
                       workers = 6\n";

/// A cluster, and a folder with a program that is none of its nodes'.
struct Prototype {
    cluster: Cluster,
    laptop: TempDir,
}

impl Prototype {
    fn on(count: usize) -> Self {
        let prototype = Self {
            cluster: Cluster::of(count),
            laptop: tempfile::tempdir().expect("a temporary folder"),
        };
        prototype.write("parse.py", WORKER);
        let run = fs::Permissions::from_mode(0o755);
        fs::set_permissions(prototype.path("parse.py"), run).expect("a mode");
        prototype.write("lib/words.py", "WORDS = 'one'");
        prototype.write("katamari.toml", PROGRAM);
        prototype
    }

    fn path(&self, name: &str) -> PathBuf {
        self.laptop.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Applies the laptop's configuration, over one node's control socket.
    fn apply(&self, node: usize, options: &[&str]) -> Output {
        let file = self.path("katamari.toml");
        let file = file.to_str().expect("a path in UTF-8");
        self.cluster.nodes[node].katamari(&[&["apply", file], options].concat())
    }

    /// Applies, and waits until all workers of all nodes answer with these words.
    fn applied(&self, node: usize, words: &str) {
        let applied = self.apply(node, &[]);
        assert!(
            applied.status.success(),
            "{}{}",
            stdout(&applied),
            stderr(&applied)
        );
        self.wait_words(words);
    }

    fn wait_words(&self, words: &str) {
        eventually(
            &format!("the words {words}, from a worker of each node"),
            || {
                let mut folders = std::collections::BTreeSet::new();
                for _ in 0..12 {
                    let answer = self.cluster.nodes[0].call("parse/where", "{}");
                    let answer = (answer.status == 200).then(|| answer.json())?;
                    if answer[1] != words {
                        return None;
                    }
                    folders.insert(answer[0].as_str()?.to_owned());
                }
                (folders.len() == self.cluster.nodes.len()).then_some(())
            },
        );
    }
}

#[test]
fn a_program_runs_where_its_files_never_were() {
    let mut prototype = Prototype::on(3);
    let dry = prototype.apply(1, &["--dry-run"]);
    for line in [
        "+ parse is new, version 1",
        "    + lib/words.py",
        "    + parse.py",
    ] {
        assert!(
            stdout(&dry).lines().any(|said| said == line),
            "{}",
            stdout(&dry)
        );
    }
    assert!(
        stdout(&dry).contains("to send: 2 files"),
        "{}",
        stdout(&dry)
    );
    assert!(
        !prototype.cluster.nodes[1].path("katamari.d/files").exists()
            || is_empty(&prototype.cluster.nodes[1], "files")
    );
    prototype.applied(1, "one");
    // What tools leave beside the files changes nothing.
    prototype.write("lib/__pycache__/words.pyc", "compiled");
    assert_eq!(stdout(&prototype.apply(0, &[])), "no program has changed\n");
    // Another file is another version, rolled out without a failed call, and back.
    prototype.write("lib/words.py", "WORDS = 'two'");
    let dry = stdout(&prototype.apply(2, &["--dry-run"]));
    assert!(
        dry.contains("    ~ lib/words.py\n    to send: 1 file, 13 bytes"),
        "{dry}"
    );
    let (calls, errors) = under_load(&prototype.cluster.nodes[0], || prototype.applied(2, "two"));
    assert!(calls > 0);
    assert_eq!(errors, 0, "of {calls} calls");
    let (calls, errors) = under_load(&prototype.cluster.nodes[0], || {
        let back = prototype.cluster.nodes[1].katamari(&["rollback", "parse"]);
        assert!(back.status.success(), "{}", stderr(&back));
        prototype.wait_words("one");
    });
    assert_eq!(errors, 0, "of {calls} calls");
    // At once: the old workers serve until the files are there.
    prototype.write("lib/words.py", "WORDS = 'three'");
    let (calls, errors) = under_load(&prototype.cluster.nodes[0], || {
        let applied = prototype.apply(0, &["--at-once"]);
        assert!(applied.status.success(), "{}", stderr(&applied));
        prototype.wait_words("three");
    });
    assert_eq!(errors, 0, "of {calls} calls");
    // A node that comes later gets the files, of all versions as a master, and workers.
    prototype.cluster.join();
    let scaled = prototype.cluster.nodes[0].katamari(&["scale", "parse", "8"]);
    assert!(scaled.status.success(), "{}", stderr(&scaled));
    prototype.wait_words("three");
    eventually("files of all versions", || {
        let here = fs::read_dir(prototype.cluster.nodes[3].path("katamari.d/files"))
            .ok()?
            .count();
        // The worker, three words, three manifests.
        (here >= 7).then_some(())
    });
}

fn is_empty(node: &Node, folder: &str) -> bool {
    let mut entries = fs::read_dir(node.path("katamari.d").join(folder)).expect("the folder");
    entries.next().is_none()
}

/// Calls all the while; counts calls, and those that are not answered.
fn under_load(node: &Node, act: impl FnOnce()) -> (u64, u64) {
    let (calls, errors, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (http, act) = (node.http, std::panic::AssertUnwindSafe(act));
    let acted = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Http::connect(http);
                while !done.load(Ordering::Relaxed) {
                    let response = client.call("parse/where", "{}", &[]);
                    calls.fetch_add(1, Ordering::Relaxed);
                    errors.fetch_add(u64::from(response.status != 200), Ordering::Relaxed);
                }
            });
        }
        let acted = std::panic::catch_unwind(act);
        done.store(true, Ordering::Relaxed);
        acted
    });
    if let Err(panic) = acted {
        std::panic::resume_unwind(panic);
    }
    (calls.into_inner(), errors.into_inner())
}

#[test]
fn a_machine_that_is_alone_runs_files_in_place_and_rolls_changes_out() {
    let program = "[program.parse]\ncommand = [\"./parse.py\"]\nfiles = [\"parse.py\", \"lib/\"]\n";
    let setup = Setup::new("");
    fs::write(setup.path("parse.py"), WORKER).expect("a file");
    let run = fs::Permissions::from_mode(0o755);
    fs::set_permissions(setup.path("parse.py"), run).expect("a mode");
    fs::create_dir(setup.path("lib")).expect("a folder");
    fs::write(setup.path("lib/words.py"), "WORDS = 'one'").expect("a file");
    setup.configure(program);
    let folder = setup.path("").canonicalize().expect("the folder");
    let node = setup.up();
    node.wait_ready();
    let expect = |words: &str| {
        eventually(words, || {
            let answer = node.call("parse/where", "{}").json();
            let is_here = Path::new(answer[0].as_str()?) == folder;
            (is_here && answer[1] == words).then_some(())
        });
    };
    expect("one");
    fs::write(node.path("lib/words.py"), "WORDS = 'two'").expect("a file");
    let reloaded = node.katamari(&["reload"]);
    assert!(reloaded.status.success(), "{}", stderr(&reloaded));
    assert!(stdout(&reloaded).contains("parse"), "{}", stdout(&reloaded));
    expect("two");
    fs::remove_file(node.path("lib/words.py")).expect("it was there");
    fs::remove_dir(node.path("lib")).expect("it is empty");
    let refused = node.katamari(&["reload"]);
    assert!(!refused.status.success());
    assert!(
        stderr(&refused).contains("program.parse.files[1]"),
        "{}",
        stderr(&refused)
    );
    expect("two");
}

#[test]
fn the_first_start_of_a_cluster_takes_the_files_of_its_programs() {
    let setup = Setup::new("");
    fs::write(setup.path("parse.py"), WORKER).expect("a file");
    fs::create_dir(setup.path("lib")).expect("a folder");
    fs::write(setup.path("lib/words.py"), "WORDS = 'one'").expect("a file");
    let program = "[program.parse]\ncommand = [\"python3\", \"parse.py\"]\n\
                   files = [\"parse.py\", \"lib/\"]\n";
    setup.configure(&format!("{}{program}", head("n1")));
    let init = setup.run(&["init"]);
    assert!(init.status.success(), "{}", stderr(&init));
    let node = setup.up();
    node.wait_ready();
    let answer = node.call("parse/where", "{}").json();
    let folder = answer[0].as_str().expect("a folder");
    assert!(folder.contains("/programs/"), "{folder}");
    assert_eq!(answer[1], "one");
}
