//! A node without faceplate: a dispatcher and a manager, with workers that are real processes.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use dispatch::{
    Answer, Call, CallError, Caller, Dispatcher, Notice, Notices, Numbers, Reply, Retry,
};
use manager::{
    Changes, Dialect, Limits, Manager, OnDisconnect, Process, Program, ProgramStatus, Sentinel,
    Timeouts,
};
use pool::{Details, NodeId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use term::{Payload, Shape};
use tokio::time::Instant;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    pub dispatcher: Dispatcher,
    pub manager: Manager,
    pub caller: Arc<dyn Caller>,
    pub numbers: Arc<Numbers>,
    notices: Notices,
}

impl Node {
    pub fn start() -> Self {
        let limits = dispatch::Limits {
            timeout: Duration::from_secs(10),
            lobby_max: 100,
            lobby_bytes_max: 1 << 20,
        };
        let (event_loop, dispatcher, notices) = dispatch::new(NodeId(0), &limits);
        tokio::spawn(event_loop.run());
        let caller: Arc<dyn Caller> = Arc::new(Retry::new(Arc::new(dispatcher.clone())));
        let numbers = Arc::new(Numbers::new(0));
        let manager = Manager::new(
            NodeId(0),
            notices.clone(),
            caller.clone(),
            numbers.clone(),
            Sentinel::none(),
        );
        Self {
            dispatcher,
            manager,
            caller,
            numbers,
            notices,
        }
    }

    /// Configures the dispatcher and the manager, as a node does.
    pub fn apply(&self, programs: Vec<Program>) -> Changes {
        for program in &programs {
            self.notices.send(Notice::Program(program.for_pool()));
        }
        let changes = self.manager.apply(programs);
        for program in &changes.removed {
            let program = program.clone();
            self.notices.send(Notice::Removed { program });
        }
        changes
    }

    pub fn call(&self, function: &str, arguments: Value) -> Call {
        self.call_kind("raw", function, arguments)
    }

    pub fn call_kind(&self, kind: &str, function: &str, arguments: Value) -> Call {
        let json = arguments.to_string();
        let shape = Shape::of_json(json.as_bytes()).expect("tests give arguments");
        let payload = Payload::Json(json.into());
        Call::new(
            self.numbers.next(),
            Details::of_kind(kind),
            function,
            payload,
            shape,
        )
    }

    pub async fn make(&self, call: Call) -> Reply {
        tokio::time::timeout(PATIENCE, self.caller.call(call))
            .await
            .expect("an answer in time")
    }

    /// Calls `raw.FUNCTION` with one value.
    pub async fn ask(&self, function: &str, value: &str) -> Result<Value, CallError> {
        json(
            self.make(self.call(function, serde_json::json!({ "value": value })))
                .await,
        )
    }

    pub async fn program(&self, name: &str) -> ProgramStatus {
        let programs = self.manager.status().await;
        programs
            .into_iter()
            .find(|program| *program.name == *name)
            .expect("a known program")
    }

    /// Waits until a program is as wanted, and gives it.
    pub async fn until(
        &self,
        name: &str,
        wanted: impl Fn(&ProgramStatus) -> bool,
    ) -> ProgramStatus {
        let start = Instant::now();
        loop {
            let program = self.program(name).await;
            if wanted(&program) {
                return program;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain: {program:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The result of a whole answer.
pub fn json(reply: Reply) -> Result<Value, CallError> {
    match reply.result? {
        Answer::Whole(payload) => {
            Ok(serde_json::from_slice(payload.bytes()).expect("results are checked to be JSON"))
        }
        Answer::Stream(_) => panic!("expected a whole answer"),
    }
}

/// A program of one raw worker in the given mode.
pub fn raw(name: &str, mode: &str) -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/raw.py");
    program(name, &["python3", script, mode])
}

pub fn program(name: &str, command: &[&str]) -> Program {
    Program {
        name: name.into(),
        version: 1,
        lane: 0,
        process: Process {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: BTreeMap::new(),
            folder: ".".into(),
            user: None,
            dialect: Dialect::Json,
        },
        workers: 1,
        spare: 0,
        limits: Limits::default(),
        timeouts: Timeouts::default(),
        on_disconnect: OnDisconnect::Finish,
        calls: Vec::new(),
        weight: 1,
        queue_max: 100,
        queue_bytes_max: 1 << 26,
        log_lines_per_second: 100,
    }
}

/// Whether a process lives.
pub fn lives(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Kills one process.
pub fn kill(pid: u32) {
    signal(pid, rustix::process::Signal::KILL);
}

/// Stops one process: it is there, and does nothing.
pub fn stop(pid: u32) {
    signal(pid, rustix::process::Signal::STOP);
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    use rustix::process::{Pid, kill_process};
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("the pid of a process");
    kill_process(pid, signal).expect("the process is ours and there");
}
