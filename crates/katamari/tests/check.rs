//! `katamari check` against workers that keep the protocol, which must pass every case, and against
//! workers that break one promise each, which must fail the cases about it and no other.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// What a check said.
struct Checked {
    status: ExitStatus,
    report: Value,
}

impl Checked {
    /// The names of the cases with this outcome.
    fn cases(&self, outcome: &str) -> Vec<&str> {
        let cases = self.report["cases"].as_array().expect("a list of cases");
        let with = cases.iter().filter(|case| case["outcome"] == outcome);
        with.map(|case| case["case"].as_str().expect("a name"))
            .collect()
    }

    /// All went well, and everything was looked at.
    fn assert_perfect(&self) {
        assert!(self.status.success(), "{:#}", self.report);
        assert_eq!(self.report["failed"], 0, "{:#}", self.report);
        assert_eq!(self.report["skipped"], 0, "{:#}", self.report);
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn repository() -> PathBuf {
    here().join("../..")
}

fn check(options: &[&str], command: &[&str]) -> Checked {
    let output = Command::new(env!("CARGO_BIN_EXE_katamari"))
        .args(["check", "--json", "--start-timeout", "10s"])
        .args(options)
        .arg("--")
        .args(command)
        .output()
        .expect("katamari check runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("expected JSON on stdout: {error}; stderr: {stderr}")
    });
    let status = output.status;
    Checked { status, report }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Checks a script of `tests/broken`.
fn check_script(name: &str, options: &[&str]) -> Checked {
    let script = here().join("tests/broken").join(name);
    assert!(script.exists(), "there is no {script:?}");
    check(options, &["python3", text(&script)])
}

fn assert_fails(script: &str, options: &[&str], expected: &[&str]) {
    let checked = check_script(script, options);
    let failed = checked.cases("failed");
    assert_eq!(failed, expected, "{:#}", checked.report);
    assert_eq!(checked.status.code(), Some(1));
}

#[test]
fn the_python_chassis_keeps_the_protocol() {
    let worker = repository().join("chassis/python/tests/conformance.py");
    check(&[], &["python3", text(&worker)]).assert_perfect();
}

#[test]
fn the_python_chassis_with_async_functions_keeps_the_protocol() {
    let worker = repository().join("chassis/python/tests/conformance_async.py");
    check(&[], &["python3", text(&worker)]).assert_perfect();
}

#[test]
fn the_rust_chassis_keeps_the_protocol() {
    // Beside the program that is tested, in the folder of the same profile.
    let program = Path::new(env!("CARGO_BIN_EXE_katamari"));
    let profile = program.parent().expect("the profile's folder");
    let target = profile.parent().expect("the target folder");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "katamari-worker"])
        .args(["--example", "conformance", "--target-dir", text(target)])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(
        built.status.success(),
        "the Rust chassis does not build:\n{stderr}"
    );
    let worker = target.join("debug/examples/conformance");
    check(&[], &[text(&worker)]).assert_perfect();
}

#[test]
fn the_cpp_chassis_keeps_the_protocol() {
    let folder = repository().join("chassis/cpp");
    let built = Command::new("make")
        .args(["-C", text(&folder), "build/conformance"])
        .output()
        .expect("make is needed; on Debian: apt-get install make g++ nlohmann-json3-dev");
    assert!(
        built.status.success(),
        "the C++ chassis does not build (needs: apt-get install g++ nlohmann-json3-dev):\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let worker = folder.join("build/conformance");
    check(&[], &[text(&worker)]).assert_perfect();
}

#[test]
fn awk_keeps_dialect_lines() {
    let folder = repository().join("examples/lines");
    let (json, worker) = (folder.join("json.awk"), folder.join("conformance.awk"));
    let command = [
        "awk",
        "-W",
        "interactive",
        "-f",
        text(&json),
        "-f",
        text(&worker),
    ];
    check(&["--dialect", "lines"], &command).assert_perfect();
}

#[test]
fn a_command_keeps_dialect_exec() {
    let options = ["--dialect", "exec", "--stdin", "three small words"];
    check(&options, &["wc", "-w"]).assert_perfect();
}

#[test]
fn a_command_that_fails_is_told_so() {
    let checked = check(&["--dialect", "exec"], &["sh", "-c", "echo no >&2; exit 3"]);
    assert_eq!(checked.cases("failed"), ["run"]);
    let first = &checked.report["cases"][0];
    let why = first["why"].as_str().expect("a reason");
    assert!(why.contains("exited with status 3"), "{why}");
    assert_eq!(first["stderr"][0], "no");
}

#[test]
fn a_server_keeps_dialect_http() {
    let server = ["python3", "-m", "http.server", "{port}", "--bind"];
    let command = [&server[..], &["127.0.0.1"]].concat();
    check(&["--dialect", "http"], &command).assert_perfect();
    let everywhere = check(&["--dialect", "http"], &server[..4]);
    assert_eq!(everywhere.cases("failed"), ["own_address"]);
    let dead = check(&["--dialect", "http"], &["sh", "-c", "exit 1"]);
    assert_eq!(dead.cases("failed"), ["health"]);
}

#[test]
fn an_ordinary_worker_passes_what_concerns_it() {
    let checked = check_script("worker.py", &[]);
    assert!(checked.status.success(), "{:#}", checked.report);
    assert_eq!(checked.cases("failed"), [""; 0]);
    let ok = checked.cases("ok");
    assert!(ok.contains(&"unusable_arguments"), "{ok:?}");
    assert!(checked.cases("skipped").contains(&"nested_call"));
}

#[test]
fn a_command_that_cannot_be_started_fails() {
    let checked = check(&[], &["./there-is-no-such-command"]);
    assert_eq!(checked.cases("failed"), ["hello"]);
    let why = checked.report["cases"][0]["why"]
        .as_str()
        .expect("a reason");
    assert!(why.contains("there-is-no-such-command"), "{why}");
}

#[test]
fn nothing_is_left_of_a_worker_that_ignores_its_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pids = folder.path().join("pids");
    let script = here().join("tests/broken/ignores_the_end.py");
    // A child of the worker, in its group, which nobody waits for.
    let shell = format!(
        "sleep 1000 3>&- 4>&- & echo $! >> '{}'; exec python3 '{}'",
        text(&pids),
        text(&script)
    );
    check(&[], &["sh", "-c", &shell]);
    let pids = std::fs::read_to_string(pids).expect("the children's numbers");
    assert!(pids.lines().count() > 10);
    for pid in pids.lines() {
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let lives = cmdline.starts_with(b"sleep\x001000");
        assert!(!lives, "process {pid} has outlived its check");
    }
}

/// One test for each script: the cases that it must fail.
macro_rules! broken {
    ($($script:ident ($($option:literal)*) => [$($case:literal),*];)*) => {
        mod broken {
            $(#[test]
            fn $script() {
                let script = concat!(stringify!($script), ".py");
                super::assert_fails(script, &[$($option),*], &[$($case),*]);
            })*
        }
    };
}

broken! {
    no_hello () => ["hello"];
    bad_hello () => ["hello"];
    hello_twice () => ["hello"];
    wrong_version () => ["offered_versions"];
    exit_status () => ["by_hand"];
    leaks () => ["close_on_exec"];
    never_pongs () => ["ping"];
    whole_reads () => ["single_bytes"];
    knows_all_keys () => ["unknown_keys"];
    minds_cancels () => ["stray_cancel"];
    answers_twice () => ["unusable_arguments"];
    wrong_id () => ["unusable_arguments"];
    prints () => ["unusable_arguments", "quit_after_call", "end_after_call"];
    dies_of_arguments () => ["unusable_arguments", "quit_after_call", "end_after_call"];
    ignores_quit () => ["quit", "quit_before_welcome", "quit_after_call"];
    quits_with_1 () => ["quit", "quit_before_welcome", "quit_after_call"];
    ignores_the_end () => ["end_of_input", "end_after_call"];
    overdraws () => [
        "credit_used_up",
        "cancel_without_credit",
        "ping_without_credit",
        "quit_without_credit",
        "credit_of_its_own",
        "slots_credit"
    ];
    overasks () => [
        "input",
        "input_of_single_bytes",
        "input_little_credit",
        "input_not_read",
        "input_cancel",
        "input_ping",
        "input_quit",
        "slots_inputs",
        "slots_input_waits"
    ];
    deaf () => ["cancelled", "cancel_reasons"];
    long_messages () => ["long_message"];
    orphans () => [
        "nested_call",
        "nested_error",
        "nested_twice",
        "nested_big",
        "nested_unknown_keys",
        "nested_byte_by_byte",
        "ping_while_nested",
        "cancel_while_nested",
        "quit_while_nested",
        "slots_nested"
    ];
    cancels_the_oldest () => ["slots_out_of_order", "slots_cancel", "slots_input_waits"];
    leaves_after_last () => ["slots_last"];
    lines_twice ("--dialect" "lines") => ["unknown_function"];
    lines_buffered ("--dialect" "lines") => ["unknown_function", "end_of_input"];
}
