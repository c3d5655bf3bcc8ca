//! One call of dialect `exec`: a process from its start to its end.

use super::Answer;
use crate::dialect::exec::{self, OUTPUT_MAX, Prepared};
use crate::log::{ProgramLog, Pump, Tail};
use crate::memory::Memory;
use crate::process::{self, Pipes, Process, cpu_time};
use crate::program::{Limits, Program};
use crate::sentinel::Sentinel;
use crate::worker::port::Shown;
use crate::worker::{LAST_LINES, READ_MIN, READ_SIZE};
use bytes::{Buf, Bytes, BytesMut};
use dispatch::{CallError, Code, Detail};
use pool::{CallId, WorkerId};
use rustix::process::Signal;
use std::future::poll_fn;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often memory and processor time of a process are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Lines of stderr that the message of an error repeats; the others are in its detail.
const LINES_SHOWN: usize = 3;

/// What a run is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Nobody waits any more.
    Terminate,
    /// At once.
    Kill,
    /// The settings changed.
    Adjust(Arc<Program>),
}

/// What it takes to run one process.
pub(super) struct Run {
    pub prepared: Prepared,
    pub call: CallId,
    pub deadline: Instant,
    pub worker: WorkerId,
    pub program: Arc<Program>,
    pub log: Arc<ProgramLog>,
    pub sentinel: Arc<Sentinel>,
    pub shown: Arc<Shown>,
    pub orders: mpsc::UnboundedReceiver<Order>,
}

/// Why a process is made to end.
#[derive(Debug, Clone)]
enum Cut {
    Deadline,
    Killed,
    TooLarge,
    /// It reached this limit.
    Limit(String),
}

/// A process that runs.
struct Alive {
    process: Process,
    memory: Option<Memory>,
    input: Bytes,
    to: Option<pipe::Sender>,
    from: Option<pipe::Receiver>,
    output: BytesMut,
    cut: Option<Cut>,
    /// When the next signal is due: SIGTERM at the deadline, then SIGKILL.
    next_signal: Instant,
    limits: Limits,
}

impl Run {
    pub async fn run(mut self) -> Answer {
        let mut settings = self.program.process.clone();
        settings.command.append(&mut self.prepared.arguments);
        let name = &self.program.name;
        let (process, pipes) = process::start(name, &settings, exec::MANNERS, &self.sentinel)
            .map_err(|why| CallError::new(Code::WorkerError, why))?;
        let Pipes {
            to_worker,
            from_worker,
            stderr,
            ..
        } = pipes;
        self.shown.pid.store(process.pid(), Ordering::Relaxed);
        let tail = Tail::default();
        let pump = Pump {
            program: name.clone(),
            pid: process.pid(),
            log: self.log.clone(),
            tail: Some(tail.clone()),
            lines_per_second: self.program.log_lines_per_second,
        };
        let mut pump = tokio::spawn(pump.run(stderr));
        let mut alive = Alive {
            memory: Memory::of(process.pid()),
            process,
            input: self.prepared.stdin.clone(),
            to: Some(to_worker),
            from: Some(from_worker),
            output: BytesMut::new(),
            cut: None,
            next_signal: self.deadline,
            limits: self.program.limits.clone(),
        };
        alive.see_to_its_end(&mut self).await;
        let pid = alive.process.pid();
        // Whatever is left of the group must not go on writing.
        alive.process.signal(Signal::KILL);
        alive.read_rest();
        let status = alive.process.reap();
        self.shown.pid.store(0, Ordering::Relaxed);
        if tokio::time::timeout(LAST_LINES, &mut pump).await.is_err() {
            pump.abort();
        }
        self.answer(pid, status.ok(), alive, &tail)
    }

    fn answer(&self, pid: u32, status: Option<ExitStatus>, alive: Alive, tail: &Tail) -> Answer {
        let stderr = tail.lines();
        let shown = stderr[stderr.len().saturating_sub(LINES_SHOWN)..].join("\n");
        let shown = if shown.is_empty() {
            shown
        } else {
            format!(": {shown}")
        };
        let detail = Detail {
            program: Some(self.program.name.clone()),
            pid: Some(pid),
            status: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stderr,
            worker: Some(self.worker),
            poisonous: matches!(alive.cut, Some(Cut::Limit(_))),
            ..Detail::default()
        };
        let how = status.map_or_else(|| "ended".to_owned(), process::describe_end);
        let (program, call) = (&self.program.name, self.call);
        let (code, message) = match alive.cut {
            Some(Cut::TooLarge) => {
                let message = format!("expected at most {OUTPUT_MAX} bytes on stdout");
                (Code::TooLarge, message)
            }
            Some(Cut::Deadline) => {
                let message = format!("process {pid} of program {program:?} did not end in time");
                (Code::Deadline, message)
            }
            Some(Cut::Limit(what)) => {
                let message =
                    format!("process {pid} of program {program:?} {what} while it ran call {call}");
                (Code::WorkerDied, message)
            }
            _ if status.is_some_and(|status| status.success()) => {
                match exec::result(&self.prepared.output, alive.output.freeze()) {
                    Ok(payload) => return Ok(payload),
                    Err(why) => (Code::WorkerError, why),
                }
            }
            _ if status.is_some_and(|status| status.code().is_some()) => {
                (Code::WorkerError, format!("{how}{shown}"))
            }
            _ => {
                let message =
                    format!("process {pid} of program {program:?} {how} while it ran call {call}");
                (Code::WorkerDied, message)
            }
        };
        Err(CallError::new(code, message).with(detail))
    }
}

impl Alive {
    /// Writes, reads, watches, until the process has ended.
    async fn see_to_its_end(&mut self, run: &mut Run) {
        loop {
            let next_look = Instant::now() + LOOK_EVERY;
            let watches = self.limits.memory_max.is_some() || self.limits.cpu_max.is_some();
            if self.input.is_empty() {
                // The end of its input.
                self.to = None;
            }
            if self.output.capacity() - self.output.len() < READ_MIN {
                self.output.reserve(READ_SIZE);
            }
            let (to, from) = (&mut self.to, &mut self.from);
            let write = async {
                match to {
                    Some(to) => to.write(&self.input).await,
                    None => std::future::pending().await,
                }
            };
            let read = async {
                match from {
                    Some(from) => from.read_buf(&mut self.output).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = poll_fn(|cx| self.process.poll_ended(cx)) => return,
                written = write => match written {
                    Ok(count) => self.input.advance(count),
                    // It reads no further, which it may.
                    Err(_) => self.input.clear(),
                },
                read = read => match read {
                    Ok(1..) => self.check_output(),
                    // Its end is seen elsewhere.
                    _ => self.from = None,
                },
                Some(order) = run.orders.recv() => self.obey(order, run),
                () = tokio::time::sleep_until(self.next_signal) => self.overrun(&run.program),
                () = tokio::time::sleep_until(next_look), if watches => {}
            }
            self.check_limits();
        }
    }

    fn obey(&mut self, order: Order, run: &mut Run) {
        match order {
            Order::Terminate if self.cut.is_none() => self.overrun(&run.program),
            Order::Terminate => {}
            Order::Kill => self.kill(Cut::Killed),
            Order::Adjust(program) => {
                self.limits = program.limits.clone();
                run.program = program;
            }
        }
    }

    /// SIGTERM, and SIGKILL if that did not help.
    fn overrun(&mut self, program: &Program) {
        if self.cut.is_some() {
            self.kill(Cut::Deadline);
        } else {
            self.cut = Some(Cut::Deadline);
            self.process.signal(Signal::TERM);
            self.next_signal = Instant::now() + program.timeouts.terminate;
        }
    }

    fn kill(&mut self, why: Cut) {
        self.cut.get_or_insert(why);
        self.process.signal(Signal::KILL);
        self.next_signal = Instant::now() + Duration::from_secs(3600);
        // What it still writes is of no interest.
        self.from = None;
    }

    fn check_output(&mut self) {
        if self.output.len() > OUTPUT_MAX {
            self.kill(Cut::TooLarge);
        }
    }

    fn check_limits(&mut self) {
        if let Some(max) = self.limits.memory_max
            && let Some(memory) = &mut self.memory
        {
            memory.find_others();
            if memory.bytes().is_some_and(|used| used > max) {
                let max_mib = max >> 20;
                self.kill(Cut::Limit(format!(
                    "was killed above its memory_max of {max_mib} MiB"
                )));
            }
        }
        if let Some(max) = self.limits.cpu_max
            && cpu_time(self.process.pid()).is_some_and(|used| used >= max)
        {
            self.kill(Cut::Limit(format!("was killed at its cpu_max of {max:?}")));
        }
    }

    /// What it wrote before it ended counts. A process that escaped from the group may write for
    /// ever: that is cut off like any output.
    fn read_rest(&mut self) {
        while let Some(from) = &self.from {
            self.output.reserve(READ_SIZE);
            match from.try_read_buf(&mut self.output) {
                Ok(1..) => self.check_output(),
                _ => return,
            }
        }
    }
}
