//! What a manager shows of its programs, for `katamari status` and the faceplates.

use crate::program::Program;
use pool::WorkerId;
use serde::Serialize;
use std::sync::Arc;

/// One program as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct ProgramStatus {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its version in the cluster.
    pub version: u32,
    /// How it is doing.
    pub state: ProgramState,
    /// What went wrong last, with what to do; stays until workers are ready again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Workers that are to take calls.
    pub workers_wanted: usize,
    /// Workers that are to stand by.
    pub spare_wanted: usize,
    /// Workers that take calls.
    pub workers_live: usize,
    /// Worker processes started so far.
    pub starts: u64,
    /// Workers that ended by themselves, were killed for overrunning, or broke the protocol.
    pub failures: u64,
    /// Workers that ended as planned: at a limit, after a change, or because they said so.
    pub retirements: u64,
    /// Calls that workers of this version ended.
    pub calls: u64,
    /// Those of them that ended in an error of the function, too late, or with the worker.
    pub errors: u64,
    /// Log lines dropped because there were too many.
    pub log_lines_dropped: u64,
    /// Its processes.
    pub workers: Vec<WorkerStatus>,
    /// The last log lines, oldest first.
    pub log: Vec<String>,
}

impl ProgramStatus {
    /// A program whose files are on their way: how far they are, and how often they did not come.
    pub fn fetching(program: &Program, how_far: String, failures: u64) -> Self {
        Self {
            name: program.name.clone(),
            version: program.version,
            state: ProgramState::Fetching,
            problem: Some(how_far),
            workers_wanted: program.workers,
            spare_wanted: program.spare,
            workers_live: 0,
            starts: 0,
            failures,
            retirements: 0,
            calls: 0,
            errors: 0,
            log_lines_dropped: 0,
            workers: Vec::new(),
            log: Vec::new(),
        }
    }
}

/// How a program is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramState {
    /// Its files are on their way to this node.
    Fetching,
    /// No worker has been introduced yet.
    Starting,
    /// At least one worker takes calls.
    Running,
    /// No worker lives; the next start is being waited for.
    BackingOff,
    /// Its workers die at once, time after time. It is still tried, at the longest interval.
    CrashLooping,
    /// It is being removed.
    Stopping,
}

/// One worker as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerStatus {
    /// Its number in the cluster.
    #[serde(serialize_with = "as_text")]
    pub id: WorkerId,
    /// Its process.
    pub pid: u32,
    /// What it is doing.
    pub state: WorkerState,
    /// Seconds since its process was started.
    pub age_s: f64,
    /// Calls it has ended.
    pub calls: u64,
    /// Calls it holds now.
    pub running: usize,
    /// Resident bytes of its process and those that it started, as `memory_max` counts them.
    pub memory_bytes: u64,
}

fn as_text<S: serde::Serializer>(id: &WorkerId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Started, not interrogated yet.
    Starting,
    /// Introduced; its slots take calls.
    Ready,
    /// Interrogated and kept in reserve.
    Standby,
    /// Takes no more calls, finishes those that it has.
    Retiring,
    /// Asked to end.
    Stopping,
}
