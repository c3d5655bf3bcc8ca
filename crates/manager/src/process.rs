//! One process of the operating system: started with its pipes, seen to end, killed with its group.
//!
//! A death is the end of the process, told by its pidfd, never the end of a pipe: a grandchild can
//! hold a pipe open for ever. The process leads a group of its own, and is reaped only after the
//! group was killed, so that its number cannot have been given to someone else meanwhile.

use crate::dialect::Manners;
use crate::program::Process as Settings;
use crate::sentinel::Sentinel;
use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{Access, access};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

/// Variables of the node that are no business of its workers.
const SECRETS: [&str; 2] = ["KATAMARI_JOIN_TOKEN", "KATAMARI_TOKEN"];

/// The descriptor on which a worker reads frames.
const TO_WORKER: i32 = 3;
/// The descriptor on which it writes them.
const FROM_WORKER: i32 = 4;

/// A running process and the ends of its pipes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    end: AsyncFd<OwnedFd>,
    sentinel: Arc<Sentinel>,
    reaped: bool,
}

/// The manager's ends of the pipes of a process.
#[derive(Debug)]
pub struct Pipes {
    /// The protocol, to the worker.
    pub to_worker: pipe::Sender,
    /// The protocol, from the worker.
    pub from_worker: pipe::Receiver,
    /// None where stdout carries the protocol.
    pub stdout: Option<pipe::Receiver>,
    /// Log lines.
    pub stderr: pipe::Receiver,
}

/// Starts a process as configured. The error says what could not be done.
pub fn start(
    program: &str,
    settings: &Settings,
    manners: Manners,
    sentinel: &Arc<Sentinel>,
) -> Result<(Process, Pipes), String> {
    let name = settings.command.first().ok_or("the command is empty")?;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("cannot {what} {name:?}: {error}")
    };
    let (child_reads, to_worker) = new_pipe().map_err(failed("make a pipe for"))?;
    let (from_worker, child_writes) = new_pipe().map_err(failed("make a pipe for"))?;
    let (stderr, child_stderr) = new_pipe().map_err(failed("make a pipe for"))?;
    let mut command = command(name, program, settings, manners.protocol)?;
    command.stderr(child_stderr);
    let mut stdout = None;
    if manners.own_descriptors {
        let (receiver, child_stdout) = new_pipe().map_err(failed("make a pipe for"))?;
        stdout = Some(receiver);
        command.stdin(Stdio::null()).stdout(child_stdout);
        let mappings = vec![
            FdMapping {
                parent_fd: child_reads,
                child_fd: TO_WORKER,
            },
            FdMapping {
                parent_fd: child_writes,
                child_fd: FROM_WORKER,
            },
        ];
        command
            .fd_mappings(mappings)
            .map_err(|error| error.to_string())?;
    } else {
        command.stdin(child_reads).stdout(child_writes);
    }
    let child = command.spawn().map_err(failed("start"))?;
    drop(command);
    let process = Process::watch(child, sentinel).map_err(failed("watch"))?;
    let receiver = |end: OwnedFd| pipe::Receiver::from_owned_fd(end).map_err(failed("read from"));
    let pipes = Pipes {
        to_worker: pipe::Sender::from_owned_fd(to_worker).map_err(failed("write to"))?,
        from_worker: receiver(from_worker)?,
        stdout: stdout.map(receiver).transpose()?,
        stderr: receiver(stderr)?,
    };
    Ok((process, pipes))
}

/// Starts a process that is not spoken to over pipes: what it prints on stdout and stderr are log
/// lines, and come back in this order.
pub(crate) fn start_apart(
    program: &str,
    settings: &Settings,
    protocol: &str,
    sentinel: &Arc<Sentinel>,
) -> Result<(Process, [pipe::Receiver; 2]), String> {
    let name = settings.command.first().ok_or("the command is empty")?;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("cannot {what} {name:?}: {error}")
    };
    let (stdout, child_stdout) = new_pipe().map_err(failed("make a pipe for"))?;
    let (stderr, child_stderr) = new_pipe().map_err(failed("make a pipe for"))?;
    let mut command = command(name, program, settings, protocol)?;
    command.stdin(Stdio::null());
    command.stdout(child_stdout).stderr(child_stderr);
    let child = command.spawn().map_err(failed("start"))?;
    drop(command);
    let process = Process::watch(child, sentinel).map_err(failed("watch"))?;
    let receiver = |end: OwnedFd| pipe::Receiver::from_owned_fd(end).map_err(failed("read from"));
    Ok((process, [receiver(stdout)?, receiver(stderr)?]))
}

/// The command of a program, in a process group of its own, but for its pipes.
fn command(
    name: &str,
    program: &str,
    settings: &Settings,
    protocol: &str,
) -> Result<Command, String> {
    if !settings.folder.is_dir() {
        return Err(format!(
            "the working folder {:?} is not there",
            settings.folder
        ));
    }
    let mut command = Command::new(name);
    command
        .args(&settings.command[1..])
        .current_dir(&settings.folder);
    for secret in SECRETS {
        command.env_remove(secret);
    }
    command.envs(&settings.env);
    command
        .env("KATAMARI_PROTOCOL", protocol)
        .env("KATAMARI_PROGRAM", program);
    command.process_group(0);
    if let Some(user) = &settings.user {
        command.uid(user.uid).gid(user.gid);
        command.env("USER", &user.name).env("LOGNAME", &user.name);
    }
    Ok(command)
}

/// Whether there is a program to start, for those that are not started at once. The error says what
/// is missing.
pub(crate) fn is_there(settings: &Settings) -> Result<(), String> {
    let name = settings.command.first().ok_or("the command is empty")?;
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        let path = settings.folder.join(name);
        return if runs(&path) {
            Ok(())
        } else {
            Err(format!("there is no program {}", path.display()))
        };
    }
    let path = settings.env.get("PATH").map(OsString::from);
    let path = path
        .or_else(|| std::env::var_os("PATH"))
        .unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| runs(&folder.join(name))) {
        return Ok(());
    }
    Err(format!("there is no program {name:?} in PATH"))
}

/// The end to read and the end to write.
fn new_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that may change their descriptor; an OwnedFd never does"
)]
fn watchable(end: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(end)
}

impl Process {
    fn watch(mut child: Child, sentinel: &Arc<Sentinel>) -> io::Result<Self> {
        let pid = Pid::from_child(&child);
        sentinel.guard(pid);
        let end = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)
            .map_err(io::Error::from)
            .and_then(watchable)
            .inspect_err(|_| {
                // Unwatched it could not be supervised: it must not run on.
                let _ = child.kill();
                let _ = child.wait();
                sentinel.release(pid);
            })?;
        Ok(Self {
            child,
            pid,
            end,
            sentinel: sentinel.clone(),
            reaped: false,
        })
    }

    /// The process's number, which is its group's too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ready once the process has ended. It is not reaped yet.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error of the watch itself is treated as the end: the group is killed then.
        self.end.poll_read_ready(cx).map(drop)
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        if !self.reaped {
            // That the group is gone already is as good.
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    /// Kills what is left of the group and reaps the process. To be called once it has ended; if
    /// it has not, it is killed.
    pub fn reap(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        let status = self.child.wait()?;
        self.reaped = true;
        self.sentinel.release(self.pid);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            // The process is killed and gone in a moment; there is no one to report to.
            let _ = self.reap();
        }
    }
}

/// How a process ended, for people.
pub fn describe_end(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => {
            let name = signal_name(signal);
            format!("was killed by signal {signal}{name}")
        }
        (None, None) => "ended".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        _ => "",
    }
}

/// Processor time that a process has used, with all its threads; none if it has ended.
pub(crate) fn cpu_time(pid: u32) -> Option<std::time::Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces and parentheses included.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Some(std::time::Duration::from_millis(
        (user + system) * 1000 / ticks,
    ))
}
