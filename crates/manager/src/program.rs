//! What a program is to its manager: the settings of `[program.NAME]`, checked and complete.

use crate::dialect::{Exec, Http};
use pool::{APART, Description};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A configured program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Counted up by the cluster with each change of its settings.
    pub version: u32,
    /// Versions of one lane take over from each other in place; those of two run side by side, each
    /// with workers of its own. See [`Program::as_shadow`].
    #[serde(default)]
    pub lane: u32,
    /// How its processes are started and spoken to. A change of it replaces the workers.
    pub process: Process,
    /// Workers that take calls.
    pub workers: usize,
    /// Ready workers kept in reserve beyond these.
    pub spare: usize,
    /// When a worker is replaced.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What becomes of a running call whose caller has left.
    pub on_disconnect: OnDisconnect,
    /// Kinds that its workers may call.
    pub calls: Vec<Arc<str>>,
    /// Its share among pools that match equally well.
    pub weight: u32,
    /// Calls that may wait for it.
    pub queue_max: usize,
    /// Bytes of arguments that may wait for it.
    pub queue_bytes_max: usize,
    /// Log lines taken from each worker in a second; more are dropped and counted.
    pub log_lines_per_second: u32,
}

/// How a program's processes are started and spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments. A path with a slash is relative to `folder`.
    pub command: Vec<String>,
    /// Set on top of the manager's own environment.
    pub env: BTreeMap<String, String>,
    /// The working folder.
    pub folder: PathBuf,
    /// The user to run as; needs root.
    pub user: Option<User>,
    /// What it speaks.
    pub dialect: Dialect,
}

/// A user to run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// As in the configuration.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The user's main group.
    pub gid: u32,
}

/// What a program's workers speak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// Frames over descriptors 3 and 4; the worker describes itself.
    Json,
    /// Lines over stdin and stdout; the configuration describes the worker.
    Lines(Arc<Description>),
    /// A process for each call, which ends with it.
    Exec(Arc<Exec>),
    /// HTTP at an address that the manager gives it.
    Http(Arc<Http>),
    /// Terms of Erlang over descriptors 3 and 4, as in 2008; the worker describes itself.
    Classic,
}

impl Dialect {
    /// The word in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Lines(_) => "lines",
            Self::Exec(_) => "exec",
            Self::Http(_) => "http",
            Self::Classic => "classic",
        }
    }
}

/// When a worker is replaced. None: never, for that reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// After this many calls; each worker gets up to a tenth less, so that they don't all go at once.
    pub max_calls: Option<u64>,
    /// After this time; each worker gets up to a tenth less.
    pub max_age: Option<Duration>,
    /// After this time without a call.
    pub max_idle: Option<Duration>,
    /// Resident bytes. A worker is retired on its way there and killed if it gets there.
    pub memory_max: Option<u64>,
    /// Processor time used, of all its threads together.
    pub cpu_max: Option<Duration>,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the start of the process to its hello.
    pub start: Duration,
    /// Waiting and running of a call, together.
    pub call: Duration,
    /// From being asked to stop to SIGTERM.
    pub stop: Duration,
    /// From SIGTERM to SIGKILL.
    pub terminate: Duration,
    /// From one ping of an idle worker to the next.
    pub ping_every: Duration,
    /// From a ping to its pong.
    pub ping: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            call: Duration::from_secs(10),
            stop: Duration::from_secs(2),
            terminate: Duration::from_secs(2),
            ping_every: Duration::from_secs(5),
            ping: Duration::from_secs(5),
        }
    }
}

/// What becomes of a running call whose caller has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDisconnect {
    /// The worker finishes it, bounded by the deadline; the answer is dropped.
    #[default]
    Finish,
    /// As at a deadline: the worker is asked to stop, then killed.
    Kill,
}

/// Lanes from here on are of versions that only shadow another. One that is promoted gets other
/// workers, in its own lane: these were never on offer for calls.
const SHADOW_LANES: u32 = 1 << 31;

/// The name in the configuration of a program as dispatchers know it: without its lane. No name has
/// an `@` of its own.
pub fn plain_name(pool_name: &str) -> &str {
    pool_name
        .split_once('@')
        .map_or(pool_name, |(name, _)| name)
}

impl Program {
    /// The same program [set apart](pool::is_apart) for copies of calls.
    #[must_use]
    pub fn as_shadow(mut self) -> Self {
        self.lane |= SHADOW_LANES;
        self
    }

    /// What dispatchers know it by: its name, and the lane if that is not the first.
    pub fn pool_name(&self) -> Arc<str> {
        match self.lane {
            0 => self.name.clone(),
            lane if lane >= SHADOW_LANES => {
                format!("{}@{}{APART}", self.name, lane - SHADOW_LANES).into()
            }
            lane => format!("{}@{lane}", self.name).into(),
        }
    }

    /// The part of this that the dispatcher's core needs.
    pub fn for_pool(&self) -> pool::Program {
        pool::Program {
            name: self.pool_name(),
            weight: self.weight,
            timeout: self.timeouts.call,
            queue_max: self.queue_max,
            queue_bytes_max: self.queue_bytes_max,
        }
    }
}
