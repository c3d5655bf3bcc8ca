//! Starts the command under test as a manager would, over real pipes, and never waits for ever.
//!
//! What is written goes out in a task of its own, as in a real manager: a worker that answers
//! before it has read everything blocks nobody. What the worker prints is kept for the cases that
//! look at it.

use super::verdict::{Trouble, Verdict, unexpected};
use bytes::{Bytes, BytesMut};
use manager::dialect::Manners;
use manager::process::{self, Pipes, Process, describe_end};
use manager::{Dialect, Sentinel};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{RwLock, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

/// How long anything may take that a worker must do at once. It is `ping_timeout`'s default.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What a worker that has nothing to say is listened to for.
pub const QUIET: Duration = Duration::from_millis(300);

/// Bytes kept of what a worker prints.
const PRINTED_MAX: usize = 4 * 1024 * 1024;

/// What is read at a time.
const READ_SIZE: usize = 64 * 1024;

/// The name in `KATAMARI_PROGRAM`.
const PROGRAM: &str = "check";

/// Starts workers, one for each case.
pub struct Bench {
    /// The command under test.
    pub command: Vec<String>,
    /// What its environment has besides that of this process.
    pub environment: BTreeMap<String, String>,
    /// How long it may take to introduce itself.
    pub start_max: Duration,
    /// Kills what is left if this process is killed.
    pub sentinel: Arc<Sentinel>,
    /// What the last worker wrote on stderr.
    pub stderr: Printed,
    /// What a program that knows no protocol of ours is asked: the input of a command, the path of
    /// a server's health.
    pub asked: String,
}

/// What a process has printed so far.
#[derive(Clone, Default)]
pub struct Printed {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Whoever reads on holds it to read.
    reading: Arc<RwLock<()>>,
}

impl Printed {
    /// As text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        let bytes = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The same when the process has ended: it may be seen to end before all of it was read.
    pub async fn last_text(&self) -> String {
        // What the process has left behind may hold the pipe open.
        let _ = timeout(QUIET, self.reading.write()).await;
        self.text()
    }

    /// Forgets it.
    pub fn clear(&self) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn keep_from(&self, mut pipe: pipe::Receiver) {
        let kept = self.kept.clone();
        let reading = self.reading.clone().try_read_owned();
        tokio::spawn(async move {
            let _reading = reading;
            let mut chunk = BytesMut::with_capacity(READ_SIZE);
            while let Ok(1..) = pipe.read_buf(&mut chunk).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = PRINTED_MAX.saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                chunk.clear();
            }
        });
    }
}

/// A started process. Its group is killed when this is dropped.
pub struct Launched {
    process: Process,
    writer: Option<mpsc::UnboundedSender<Written>>,
    from_worker: pipe::Receiver,
    /// The numbers of both pipes, by which their other ends are found in the worker.
    pub pipes: [u64; 2],
    /// What came and was not taken yet.
    pub read: BytesMut,
    /// What it printed; nothing where stdout carries the protocol.
    pub stdout: Printed,
}

/// What became of waiting for bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// There are more.
    Some,
    /// There will never be any more.
    End,
    /// Too late.
    Late,
}

enum Written {
    Whole(Bytes),
    /// Each byte only after the one before it was read.
    ByteByByte(Bytes),
}

impl Bench {
    /// Starts the command.
    pub fn launch(&self, manners: Manners) -> Verdict<Launched> {
        self.launch_command(self.command.clone(), manners)
    }

    /// Starts the command as a person would, who does not set `KATAMARI_PROTOCOL`.
    pub fn launch_by_hand(&self, manners: Manners) -> Verdict<Launched> {
        let without = ["env", "-u", "KATAMARI_PROTOCOL", "-u", "KATAMARI_PROGRAM"];
        let command = without.map(str::to_owned).into_iter();
        self.launch_command(command.chain(self.command.clone()).collect(), manners)
    }

    fn launch_command(&self, command: Vec<String>, manners: Manners) -> Verdict<Launched> {
        let settings = manager::Process {
            command,
            env: self.environment.clone(),
            folder: PathBuf::from("."),
            user: None,
            dialect: Dialect::Json,
        };
        let (process, pipes) =
            process::start(PROGRAM, &settings, manners, &self.sentinel).map_err(Trouble::Failed)?;
        let Pipes {
            to_worker,
            from_worker,
            stdout,
            stderr,
        } = pipes;
        let number = |end: rustix::fd::BorrowedFd<'_>| {
            let status = rustix::fs::fstat(end).map_err(|error| Trouble::Failed(error.to_string()));
            status.map(|status| status.st_ino)
        };
        let pipes = [number(to_worker.as_fd())?, number(from_worker.as_fd())?];
        self.stderr.clear();
        self.stderr.keep_from(stderr);
        let printed = Printed::default();
        if let Some(stdout) = stdout {
            printed.keep_from(stdout);
        }
        Ok(Launched {
            process,
            writer: Some(write_from(to_worker)),
            from_worker,
            pipes,
            read: BytesMut::with_capacity(READ_SIZE),
            stdout: printed,
        })
    }
}

fn write_from(mut to_worker: pipe::Sender) -> mpsc::UnboundedSender<Written> {
    let (sender, mut queue) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(written) = queue.recv().await {
            let result = match written {
                Written::Whole(bytes) => to_worker.write_all(&bytes).await,
                Written::ByteByByte(bytes) => trickle(&mut to_worker, &bytes).await,
            };
            // A worker that has closed its input is judged by what it says and how it ends.
            if result.is_err() {
                return;
            }
        }
    });
    sender
}

async fn trickle(to_worker: &mut pipe::Sender, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        to_worker.write_all(&[*byte]).await?;
        while rustix::io::ioctl_fionread(&*to_worker)? > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}

impl Launched {
    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends bytes in one piece; returns at once.
    pub fn write(&self, bytes: impl Into<Bytes>) {
        self.enqueue(Written::Whole(bytes.into()));
    }

    /// Sends bytes one by one, each when the one before it was read; returns at once.
    pub fn write_byte_by_byte(&self, bytes: impl Into<Bytes>) {
        self.enqueue(Written::ByteByByte(bytes.into()));
    }

    fn enqueue(&self, written: Written) {
        if let Some(writer) = &self.writer {
            // An error says that the worker has closed its input; see `write_from`.
            let _ = writer.send(written);
        }
    }

    /// Closes the worker's input once everything is written.
    pub fn close_input(&mut self) {
        self.writer = None;
    }

    /// Reads what comes next into `read`.
    pub async fn read_more(&mut self, until: Instant) -> Read {
        self.read.reserve(READ_SIZE);
        match timeout_at(until, self.from_worker.read_buf(&mut self.read)).await {
            Ok(Ok(1..)) => Read::Some,
            Ok(_) => Read::End,
            Err(_) => Read::Late,
        }
    }

    /// Asks the process to end.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// How the process ended, if it did: for telling why there are no more bytes.
    pub async fn end_for_people(&mut self) -> String {
        let end = self.end_within(QUIET).await;
        end.unwrap_or_else(|| "the process lives on".to_owned())
    }

    /// How the process ends, for people, if it does within this time.
    pub async fn end_within(&mut self, wait: Duration) -> Option<String> {
        let status = timeout(wait, self.ended()).await.ok()?.ok()?;
        Some(format!("the process {}", describe_end(status)))
    }

    /// Waits until the process ends.
    pub async fn exit(&mut self) -> Verdict<ExitStatus> {
        match timeout(PATIENCE, self.ended()).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(Trouble::Failed(format!("cannot wait for it: {error}"))),
            Err(_) => unexpected(
                "the process to end",
                format_args!("it lives on after {PATIENCE:?}"),
            ),
        }
    }

    /// Waits until the process ends, which must be with this status.
    pub async fn exit_with(&mut self, status: i32) -> Verdict {
        let got = self.exit().await?;
        if got.code() == Some(status) {
            return Ok(());
        }
        unexpected(
            format_args!("an exit with status {status}"),
            format_args!("the process {}", describe_end(got)),
        )
    }

    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        poll_fn(|cx| self.process.poll_ended(cx)).await;
        self.process.reap()
    }
}
