//! What the kernel tells about the processes under test.
//!
//! The bench is the "child subreaper" of everything it starts: a process whose parent died becomes
//! a child of the bench, so nothing that a server starts can get out of sight. One server runs at a
//! time, therefore all descendants of the bench are that server.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions};

/// How a worker process calls itself (`/proc/PID/comm`), whatever server it belongs to.
const WORKER_NAME: &str = "bench-worker";

/// Fields of `/proc/PID/stat` after the name in parentheses: user and system time of the process
/// and of the children it has waited for.
const TIME_FIELDS: std::ops::Range<usize> = 11..15;

/// Makes the bench the parent of all orphans among its descendants.
pub fn adopt_orphans() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("cannot become the subreaper of the servers")
}

/// All processes that the bench started, directly or not, zombies included.
pub fn descendants() -> Vec<Pid> {
    let mut found = Vec::new();
    let mut parents = vec![rustix::process::getpid()];
    while let Some(parent) = parents.pop() {
        let children = children(parent);
        found.extend_from_slice(&children);
        parents.extend(children);
    }
    found
}

/// The descendants that run the function under test.
pub fn workers() -> Vec<Pid> {
    let name = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    descendants()
        .into_iter()
        .filter(|pid| name(pid).trim_end() == WORKER_NAME)
        .collect()
}

/// CPU seconds, user and system, of all descendants there are and have been. Only differences mean
/// something.
pub fn cpu_seconds() -> f64 {
    // Who was waited for counts with its parent, up to the bench itself.
    let own = times(rustix::process::getpid());
    let waited_for = own[2] + own[3];
    seconds(
        descendants()
            .iter()
            .flat_map(|&pid| times(pid))
            .sum::<f64>()
            + waited_for,
    )
}

/// CPU seconds, user and system, of one process and of those that it has waited for.
pub fn cpu_seconds_of(pid: Pid) -> f64 {
    seconds(times(pid).iter().sum())
}

/// CPU seconds, user and system, of the bench itself.
pub fn own_cpu_seconds() -> f64 {
    let own = times(rustix::process::getpid());
    seconds(own[0] + own[1])
}

/// Resident memory in bytes; zero if the process is gone.
pub fn resident_bytes(pid: Pid) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * u64::try_from(rustix::param::page_size()).expect("a small number")
}

/// Kills one process.
pub fn kill(pid: Pid) -> Result<()> {
    rustix::process::kill_process(pid, Signal::KILL).with_context(|| format!("cannot kill {pid}"))
}

/// Kills all descendants, and theirs that were born meanwhile.
pub fn kill_descendants() {
    loop {
        let alive: Vec<Pid> = descendants()
            .into_iter()
            .filter(|&pid| !is_zombie(pid))
            .collect();
        if alive.is_empty() {
            return;
        }
        for pid in alive {
            // It may have ended by itself in this moment, which is what we want.
            let _ = kill(pid);
        }
        crate::pause();
    }
}

/// Lets zombies that became our children go. Children that have a `Child` must have been waited
/// for before.
pub fn bury_orphans() {
    for pid in children(rustix::process::getpid()) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    // Children belong to the thread that made them.
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .flat_map(|thread| fs::read_to_string(thread.path().join("children")));
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw))
        .collect()
}

fn times(pid: Pid) -> [f64; 4] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    after_name(&stat)
        .get(TIME_FIELDS)
        .and_then(|fields| {
            fields
                .iter()
                .map(|field| field.parse().ok())
                .collect::<Option<Vec<_>>>()
        })
        .and_then(|ticks| ticks.try_into().ok())
        .unwrap_or_default()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "there are a hundred or a thousand ticks a second"
)]
fn seconds(ticks: f64) -> f64 {
    ticks / rustix::param::clock_ticks_per_second() as f64
}

fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    matches!(after_name(&stat).first(), None | Some(&"Z"))
}

/// The name of a process can hold spaces and parentheses; the last one ends it.
fn after_name(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 11 12 13 14 20 0 1";
        let fields = after_name(stat);
        assert_eq!(fields[0], "S");
        assert_eq!(&fields[TIME_FIELDS], ["11", "12", "13", "14"]);
    }

    #[test]
    fn the_time_of_children_counts_after_they_are_gone() {
        let before = cpu_seconds();
        let mut child = Command::new("sh")
            .args([
                "-c",
                "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; exit 0",
            ])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        assert!(!descendants().is_empty());
        child.wait().unwrap();
        assert!(cpu_seconds() - before > 0.02, "{}", cpu_seconds() - before);
    }

    #[test]
    fn our_own_memory_is_resident() {
        assert!(resident_bytes(rustix::process::getpid()) > 100_000);
    }
}
