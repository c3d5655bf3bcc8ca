//! Starts the real binary in a folder of its own, and talks to it over HTTP and its command line.
//!
//! A [`Node`] listens on a port that the system chose, and is killed with its workers when it is
//! dropped. Waiting is always for something to be seen, with [`eventually`], never for a time.

#![allow(
    dead_code,
    reason = "each test binary uses its own part of this module"
)]

pub mod cluster;
pub mod http;

pub use http::{Http, Response};

use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that a test waits for: far longer than it does on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program of dialect `lines`.
pub const SHOUT: &str = r#"
[program.shout]
command = ["python3", "-u", "shout.py"]
dialect = "lines"
kind = "shout"
[program.shout.functions.upper]
parameters = ["text: string"]
"#;

/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running `katamari up`.
pub struct Node {
    child: Child,
    folder: TempDir,
    /// Where it serves HTTP.
    pub http: SocketAddr,
}

/// A folder with a configuration and workers, before a node runs in it.
pub struct Setup {
    folder: TempDir,
}

/// The folder of the repository.
pub fn repository() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .ancestors()
        .nth(2)
        .expect("the crate is two folders deep")
        .to_owned()
}

impl Setup {
    /// A folder with this configuration, which listens on a port of the system's choice, and with
    /// copies of everything in `tests/workers`.
    pub fn new(programs: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let workers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workers");
        for file in fs::read_dir(workers).expect("the workers' folder") {
            let file = file.expect("an entry of the workers' folder");
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
        }
        let setup = Self { folder };
        setup.configure(programs);
        setup
    }

    /// Writes another configuration.
    pub fn configure(&self, programs: &str) {
        write_config(self.folder.path(), programs);
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command line in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), arguments)
    }

    /// Runs the command line in this folder to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("katamari can be started")
    }

    /// Starts a node and waits until it listens.
    pub fn up(self) -> Node {
        self.start(&["up"])
    }

    /// Lets a node join the cluster of a master, and waits until it listens.
    pub fn join(self, master: &str, token: &str) -> Node {
        self.start(&["join", master, "--token", token])
    }

    fn start(self, command: &[&str]) -> Node {
        let log = File::create(self.path("log")).expect("the log file");
        let options = ["--ready-file", "ready.json", "--log-level", "debug"];
        let child = self
            .command(&[command, &options].concat())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("katamari can be started");
        let mut node = Node {
            child,
            folder: self.folder,
            http: ([127, 0, 0, 1], 0).into(),
        };
        let ready = eventually("the ready file", || {
            if let Ok(Some(status)) = node.child.try_wait() {
                panic!("katamari ended with {status}:\n{}", node.log());
            }
            let text = fs::read_to_string(node.path("ready.json")).ok()?;
            serde_json::from_str::<Value>(&text).ok()
        });
        assert_eq!(ready["pid"], node.pid());
        node.http = ready["http"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("an address");
        node
    }
}

fn write_config(folder: &Path, programs: &str) {
    let head = if programs.contains("[faceplate.http]") {
        ""
    } else {
        "[faceplate.http]\nlisten = \"127.0.0.1:0\"\n"
    };
    fs::write(folder.join("katamari.toml"), format!("{head}{programs}")).expect("the file");
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_katamari"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("PYTHONPATH", repository().join("chassis/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("KATAMARI_CONTROL")
        .env_remove("KATAMARI_LOG")
        .stdin(Stdio::null());
    command
}

/// Looks until there is something, and gives it back.
///
/// # Panics
///
/// If there is nothing within [`PATIENCE`].
#[expect(
    clippy::disallowed_methods,
    reason = "a test may wait; nothing else can look meanwhile"
)]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Whether a process is there, and no zombie.
pub fn is_alive(pid: u64) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

impl Node {
    /// A node with these programs. Waits until it listens, not until workers are ready.
    pub fn up(programs: &str) -> Self {
        Setup::new(programs).up()
    }

    /// A node with these programs, all of which run.
    pub fn running(programs: &str) -> Self {
        let node = Self::up(programs);
        node.wait_ready();
        node
    }

    /// Waits until `/readyz` says 200.
    pub fn wait_ready(&self) {
        eventually("the node to be ready", || {
            (self.get("/readyz").status == 200).then_some(())
        });
    }

    /// The node's own process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A path in the node's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes another configuration, which the node does not know of yet.
    pub fn configure(&self, programs: &str) {
        write_config(self.folder.path(), programs);
    }

    /// What the node has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until a log line contains a text.
    pub fn wait_log(&self, text: &str) {
        eventually(&format!("a log line with {text:?}"), || {
            self.log().contains(text).then_some(())
        });
    }

    /// Sends a signal to the node, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(
            status.expect("kill can be started").success(),
            "the node is there"
        );
    }

    /// Waits for the node's process to end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually("the node to end", || {
            self.child.try_wait().expect("our own child")
        })
    }

    /// Asks for a page.
    pub fn get(&self, path: &str) -> Response {
        Http::connect(self.http).send("GET", path, &[], b"")
    }

    /// Makes a call over a connection of its own.
    pub fn call(&self, target: &str, arguments: &str) -> Response {
        self.call_with(target, arguments, &[])
    }

    /// Makes a call with headers of Katamari's.
    pub fn call_with(&self, target: &str, arguments: &str, headers: &[(&str, &str)]) -> Response {
        Http::connect(self.http).call(target, arguments, headers)
    }

    /// `/status`, as JSON.
    pub fn status(&self) -> Value {
        self.get("/status").json()
    }

    /// One program of `/status`.
    pub fn program(&self, name: &str) -> Value {
        let programs = self.status()["programs"].take();
        let programs = programs.as_array().into_iter().flatten();
        programs
            .into_iter()
            .find(|program| program["name"] == name)
            .cloned()
            .unwrap_or_default()
    }

    /// The processes of a program's workers in some state.
    pub fn pids(&self, program: &str, state: &str) -> Vec<u64> {
        let program = self.program(program);
        let workers = program["workers"].as_array().into_iter().flatten();
        let wanted = workers.filter(|worker| worker["state"] == state);
        wanted.filter_map(|worker| worker["pid"].as_u64()).collect()
    }

    /// The command line in the node's folder, where it finds the control socket.
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), arguments)
    }

    /// Runs a command of the command line against this node.
    pub fn katamari(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("katamari can be started")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already; its workers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the node's log ---\n{}", self.log());
        }
    }
}

/// The text of an output's stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The text of an output's stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
