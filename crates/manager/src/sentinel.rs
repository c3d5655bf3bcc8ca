//! The sentinel: a small process that kills every worker's group when the manager dies, even by
//! SIGKILL.
//!
//! The manager writes `+PID` and `-PID` lines to its stdin. When the pipe ends, whatever is still
//! guarded is killed. A parent-death signal would not do: it follows the thread that spawned, and
//! misses grandchildren.

use rustix::process::{Pid, Signal};
use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The manager's side. Dropped, it lets the sentinel go, which kills what is still guarded.
#[derive(Debug)]
pub struct Sentinel {
    /// None in tests that need no sentinel.
    child: Option<Mutex<Child>>,
}

impl Sentinel {
    /// Starts `executable sentinel`, in a process group of its own, so that a Ctrl-C meant for the
    /// manager does not end it first.
    pub fn start(executable: &Path) -> io::Result<Self> {
        let child = Command::new(executable)
            .arg("sentinel")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self {
            child: Some(Mutex::new(child)),
        })
    }

    /// Guards nothing.
    pub fn none() -> Self {
        Self { child: None }
    }

    pub(crate) fn guard(&self, group: Pid) {
        self.tell(format_args!("+{}\n", group.as_raw_pid()));
    }

    pub(crate) fn release(&self, group: Pid) {
        self.tell(format_args!("-{}\n", group.as_raw_pid()));
    }

    fn tell(&self, line: std::fmt::Arguments<'_>) {
        let Some(child) = &self.child else { return };
        let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stdin) = &mut child.stdin else {
            return;
        };
        // A short line fits the pipe and is written whole.
        if let Err(error) = stdin.write_all(line.to_string().as_bytes()) {
            tracing::error!(
                "the sentinel is gone, workers would outlive a killed manager: {error}"
            );
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let child = child.get_mut().unwrap_or_else(PoisonError::into_inner);
            drop(child.stdin.take());
            // It ends by itself now; waiting only keeps it from being a zombie.
            let _ = child.wait();
        }
    }
}

/// The sentinel's own main function: reads until its input ends, then kills.
pub fn main() -> io::Result<()> {
    let mut guarded: BTreeSet<i32> = BTreeSet::new();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match line.split_at_checked(1) {
            Some(("+", group)) => drop(group.parse().map(|group| guarded.insert(group))),
            Some(("-", group)) => drop(group.parse().map(|group| guarded.remove(&group))),
            _ => {}
        }
    }
    for group in guarded {
        if let Some(group) = Pid::from_raw(group) {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
    Ok(())
}
