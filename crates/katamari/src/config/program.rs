//! `[program.NAME]`.

use super::section::{Entry, Section};
use super::units::is_variable_name;
use super::{DAY, MILLISECOND, YEAR, classic, command, exec, http, lines, node, shared};
use crate::files::Files;
use manager::{Dialect, Limits, OnDisconnect, Process, Timeouts, User};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Workers, or spare workers, of one program in the whole cluster.
const WORKERS_MAX: u64 = 100_000;

/// Calls that may wait for one program.
const QUEUE_MAX: u64 = 1_000_000;

/// Calls that wait where the program does not say.
const QUEUE_MAX_DEFAULT: usize = 100;

/// Bytes that wait where the program does not say.
const QUEUE_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// Log lines of a worker in a second where the program does not say: more than anybody reads, less
/// than a flood.
const LOG_LINES_DEFAULT: u32 = 200;

/// Kinds that one program may call.
const CALLS_MAX: usize = 100;

/// Variables of one program's environment.
const VARIABLES_MAX: usize = 1_000;

/// What the manager itself tells workers through the environment.
const RESERVED: &str = "KATAMARI_";

/// Bytes in a TiB, more than a worker can have.
const TIB: u64 = 1 << 40;

/// The smallest memory limit that a process can live in.
const MEMORY_MIN: u64 = 1 << 20;

/// `[program.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// What managers run.
    pub run: manager::Program,
    /// The label over whose values the workers are spread.
    pub spread: Option<String>,
    /// Labels that a node must have.
    pub constraints: BTreeMap<String, String>,
    /// What comes along to whoever runs it.
    pub files: Option<Files>,
}

/// Reads one program; nothing if its command or description is wrong, which is then noted.
pub fn read(
    name: &str,
    mut section: Section<'_>,
    folder: &Path,
    timeout: Duration,
) -> Option<Program> {
    let (process, files) = process(&mut section, folder);
    let limits = limits(&mut section);
    let timeouts = timeouts(&mut section, timeout);
    let workers = section
        .get("workers")
        .and_then(|entry| workers(&entry))
        .unwrap_or(1);
    let spare = section
        .get("spare")
        .and_then(|entry| entry.count(0..=WORKERS_MAX))
        .unwrap_or(0);
    let on_disconnect = section
        .get("on_disconnect")
        .and_then(|entry| {
            entry.choice(&[
                ("finish", OnDisconnect::Finish),
                ("kill", OnDisconnect::Kill),
            ])
        })
        .unwrap_or_default();
    let calls = section
        .get("calls")
        .map(|entry| entry.names("kind", CALLS_MAX))
        .unwrap_or_default();
    let weight = number(&mut section, "weight", 0..=1_000).unwrap_or(1);
    let queue_max = section
        .get("queue_max")
        .and_then(|entry| entry.count(0..=QUEUE_MAX));
    let queue_bytes_max = section
        .get("queue_bytes_max")
        .and_then(|entry| entry.size(1..=TIB))
        .and_then(|bytes| usize::try_from(bytes).ok());
    let log_lines = number(&mut section, "log_lines_per_second", 0..=100_000);
    let spread = section
        .get("spread")
        .and_then(|entry| entry.name("label's name"));
    let constraints = section
        .get("constraints")
        .map(|entry| node::labels(&entry))
        .unwrap_or_default();
    section.finish();
    let run = manager::Program {
        name: name.into(),
        version: 0,
        lane: 0,
        process: process?,
        workers,
        spare,
        limits,
        timeouts,
        on_disconnect,
        calls: shared(calls),
        weight,
        queue_max: queue_max.unwrap_or(QUEUE_MAX_DEFAULT),
        queue_bytes_max: queue_bytes_max.unwrap_or(QUEUE_BYTES_MAX_DEFAULT),
        log_lines_per_second: log_lines.unwrap_or(LOG_LINES_DEFAULT),
    };
    Some(Program {
        run,
        spread,
        constraints,
        files,
    })
}

fn number(
    section: &mut Section<'_>,
    key: &'static str,
    bounds: std::ops::RangeInclusive<u64>,
) -> Option<u32> {
    section
        .get(key)?
        .integer(bounds)
        .and_then(|number| u32::try_from(number).ok())
}

/// `workers = 2`, or `{ min = 2, max = 8 }`, of which only `min` counts until scaling exists.
fn workers(entry: &Entry<'_>) -> Option<usize> {
    if !entry.is_table() {
        return entry.count(1..=WORKERS_MAX);
    }
    let mut range = entry.section();
    let min = range.need("min", "workers = { min = 2, max = 8 }");
    let min = min.and_then(|entry| entry.count(1..=WORKERS_MAX));
    let max_entry = range.get("max");
    let max = max_entry
        .as_ref()
        .and_then(|entry| entry.count(1..=WORKERS_MAX));
    if let (Some(min), Some(max), Some(entry)) = (min, max, max_entry)
        && max < min
    {
        entry.report(format!("expected at least min, which is {min}, got {max}"));
    }
    range.finish();
    min
}

/// How its processes are started, and the files they need.
fn process(section: &mut Section<'_>, folder: &Path) -> (Option<Process>, Option<Files>) {
    let files = section.get("files");
    let files = files.and_then(|entry| command::files(&entry, folder));
    let process = process_of(section, folder, files.as_ref());
    (process, files)
}

fn process_of(section: &mut Section<'_>, folder: &Path, files: Option<&Files>) -> Option<Process> {
    let working = match section.get("folder") {
        Some(entry) if files.is_some() => {
            entry.report(
                "a program with files works in the folder that these come to; leave folder out",
            );
            None
        }
        Some(entry) => command::folder(&entry, folder),
        None => Some(folder.to_owned()),
    };
    let env = section
        .get("env")
        .map(|entry| environment(&entry))
        .unwrap_or_default();
    let command = section.need("command", "command = [\"./worker\"]");
    let mut command = command
        .zip(working.as_deref())
        .and_then(|(entry, working)| command::read(&entry, working, env.get("PATH"), files));
    let user = section.get("user").map(|entry| user(&entry));
    let dialect = dialect(section, &mut command, &env);
    let user = match user {
        Some(user) => Some(user?),
        None => None,
    };
    Some(Process {
        command: command?,
        env,
        folder: working?,
        user,
        dialect: dialect?,
    })
}

/// What a program speaks, with what it cannot say itself.
fn dialect(
    section: &mut Section<'_>,
    command: &mut Option<Vec<String>>,
    env: &BTreeMap<String, String>,
) -> Option<Dialect> {
    let words = ["json", "lines", "exec", "http", "classic"].map(|word| (word, word));
    let word = section.get("dialect");
    match word.and_then(|entry| entry.choice(&words)) {
        Some("lines") => lines::read(section).map(|lines| Dialect::Lines(lines.into())),
        Some("exec") => exec::read(section).map(|exec| Dialect::Exec(exec.into())),
        Some("http") => {
            let command = command.as_deref().unwrap_or_default();
            http::read(section, command, env).map(|http| Dialect::Http(http.into()))
        }
        Some("classic") => {
            let words = classic::read(section);
            command
                .iter_mut()
                .for_each(|command| command.extend_from_slice(&words));
            Some(Dialect::Classic)
        }
        _ => {
            lines::refuse(section, "json", &[]);
            Some(Dialect::Json)
        }
    }
}

fn environment(entry: &Entry<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (key, value) in entry.section().entries() {
        if !is_variable_name(key) {
            value.report_key(format!(
                "expected the name of a variable, letters, digits and _, got \"{key}\""
            ));
        } else if key.starts_with(RESERVED) {
            value.report_key(format!(
                "{RESERVED}... is set by Katamari; use another name"
            ));
        } else if let Some(text) = value.text() {
            env.insert(key.to_owned(), text);
        }
    }
    if env.len() > VARIABLES_MAX {
        entry.report(format!(
            "expected at most {VARIABLES_MAX} variables, got {}",
            env.len()
        ));
    }
    env
}

fn user(entry: &Entry<'_>) -> Option<User> {
    let name = entry.text()?;
    let found = match nix::unistd::User::from_name(&name) {
        Ok(Some(found)) => found,
        Ok(None) => {
            entry.report(format!("there is no user \"{name}\" on this machine"));
            return None;
        }
        Err(error) => {
            entry.report(format!("cannot look up the user \"{name}\": {error}"));
            return None;
        }
    };
    let (uid, own) = (found.uid.as_raw(), rustix::process::geteuid());
    if !own.is_root() && own.as_raw() != uid {
        entry.report(format!(
            "only root can start workers as another user; start katamari as root or as \"{name}\""
        ));
        return None;
    }
    Some(User {
        name,
        uid,
        gid: found.gid.as_raw(),
    })
}

fn limits(section: &mut Section<'_>) -> Limits {
    const SECOND: Duration = Duration::from_secs(1);
    let mut time = |key| {
        section
            .get(key)
            .and_then(|entry| entry.duration(SECOND..=YEAR))
    };
    let (max_age, max_idle, cpu_max) = (time("max_age"), time("max_idle"), time("cpu_max"));
    Limits {
        max_calls: section
            .get("max_calls")
            .and_then(|entry| entry.integer(1..=1_000_000_000_000)),
        max_age,
        max_idle,
        memory_max: section
            .get("memory_max")
            .and_then(|entry| entry.size(MEMORY_MIN..=TIB)),
        cpu_max,
    }
}

fn timeouts(section: &mut Section<'_>, call: Duration) -> Timeouts {
    let default = Timeouts::default();
    let mut time = |key, default| {
        let entry: Option<Entry<'_>> = section.get(key);
        entry
            .and_then(|entry| entry.duration(MILLISECOND..=DAY))
            .unwrap_or(default)
    };
    Timeouts {
        start: time("start_timeout", default.start),
        call: time("timeout", call),
        stop: time("stop_timeout", default.stop),
        terminate: time("terminate_timeout", default.terminate),
        ping_every: time("ping_every", default.ping_every),
        ping: time("ping_timeout", default.ping),
    }
}
