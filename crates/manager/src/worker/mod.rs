//! One worker: the task that owns a process, its pipes and the calls in its slots.
//!
//! The task sleeps in one place ([`Worker::next`]) and handles one happening at a time. Its life:
//!
//! ```text
//! Starting ── hello ──> Standby <──> Live ──> Retiring ── last call ends ──> Ending ──> gone
//!     └─────────── timeouts, broken protocol, limits, overrun calls ────────────┘
//! ```

mod calls;
mod exec;
mod http;
mod life;
mod limits;
mod nested;
mod port;
mod running;
mod talk;

pub(crate) use nested::Cluster;
pub(crate) use port::{End, Inbox, Message, Report, Shown};

use crate::dialect::{Broken, FromWorker, Manners};
use crate::fleet::Number;
use crate::log::{ProgramLog, Pump, Tail};
use crate::process::{self, Process};
use crate::program::{Dialect, Program};
use crate::sentinel::Sentinel;
use bytes::BytesMut;
use dispatch::{CREDIT, INPUT_PIECE_MAX, Notice, Notices};
use limits::Worn;
use pool::{Description, Epoch, SlotId, WorkerId};
use running::Running;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use talk::{Talk, Talking};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_read_buf;

/// A `lines` worker that has lived this long counts as introduced.
const START_DELAY: Duration = Duration::from_millis(100);

/// What is read from a worker at a time. Answers are slices of what was read, so a buffer is used
/// up before there is a new one.
const READ_SIZE: usize = 64 * 1024;

/// Reads in a row, after which others get their turn: a worker that floods its pipe must not keep
/// its own end from being seen.
const READS_MAX: u8 = 8;

/// Bytes not yet written to a worker above which nothing more is read from it: one that asks and
/// never listens must not fill the memory with answers.
const UNWRITTEN_MAX: usize = 1024 * 1024;

/// Bytes to a worker that are written even if there is more to say: what a pipe takes at a time.
const TOGETHER_MAX: usize = 64 * 1024;

/// Room below which a new buffer is taken.
const READ_MIN: usize = 4 * 1024;

/// How long a worker may live after it has closed its end of the protocol.
const CLOSED_GRACE: Duration = Duration::from_secs(1);

/// How long the last lines of a dead worker are waited for. They are there already, unless a
/// process that escaped from the group holds the pipe open.
const LAST_LINES: Duration = Duration::from_millis(100);

/// Calls that the workers of a program's version ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub calls: AtomicU64,
    /// Those that ended in an error, too late, or with the worker.
    pub errors: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, is_error: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors
            .fetch_add(u64::from(is_error), Ordering::Relaxed);
    }
}

/// What a worker's task is given.
pub(crate) struct Setup {
    pub number: Number,
    pub id: WorkerId,
    pub program: Arc<Program>,
    pub log: Arc<ProgramLog>,
    pub sentinel: Arc<Sentinel>,
    pub notices: Notices,
    pub cluster: Cluster,
    pub reports: mpsc::UnboundedSender<(Number, Report)>,
    /// Counts the workers of the node.
    pub numbers: Arc<AtomicU32>,
    /// Where calls are counted.
    pub tally: Arc<Tally>,
}

/// A worker's task, seen from its supervisor.
pub(crate) struct Handle {
    pub inbox: Inbox,
    pub shown: Arc<Shown>,
}

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Until it is introduced, or this moment.
    Starting {
        until: Instant,
    },
    Standby,
    Live,
    Retiring,
    Ending {
        stage: Stage,
        until: Instant,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Asked,
    Terminated,
    Killed,
}

/// What wakes the task.
enum Happening {
    Message(Message),
    Read,
    Closed,
    Written,
    Ended,
    Alarm,
}

struct Worker {
    setup: Setup,
    /// Its number for the dispatcher. It gets a new one each time it comes back from standby.
    id: WorkerId,
    demoted: bool,
    program: Arc<Program>,
    manners: Manners,
    talk: Talk,
    process: Process,
    /// None once its input was closed.
    to_worker: Option<pipe::Sender>,
    /// None once it closed its output.
    from_worker: Option<pipe::Receiver>,
    read: BytesMut,
    reads_in_a_row: u8,
    write: BytesMut,
    inbox: mpsc::UnboundedReceiver<Message>,
    own_inbox: Inbox,
    shown: Arc<Shown>,
    tail: Tail,
    pumps: Vec<JoinHandle<()>>,
    phase: Phase,
    description: Option<Arc<Description>>,
    /// The last epoch of each slot.
    slots: Vec<Epoch>,
    /// By the number that the worker answers with.
    running: BTreeMap<u64, Running>,
    next_id: u64,
    worn: Worn,
    /// Since the last call or ping.
    idle_since: Instant,
    /// When the last call ended, or the worker was introduced.
    busy_until: Instant,
    ping_until: Option<Instant>,
    closed_until: Option<Instant>,
    stuck: bool,
    proven: bool,
    said_last: bool,
    /// What went wrong first, and whether by the worker's own doing.
    problem: Option<(String, bool)>,
    /// Whether the problem is a breach of the protocol.
    broken: bool,
    /// It was killed for its memory.
    over_memory: bool,
    /// Everyone has been told of its end.
    buried: bool,
    alarm: Pin<Box<Sleep>>,
}

/// Starts a process and its task.
pub(crate) fn start(setup: Setup) -> Result<Handle, String> {
    let program = setup.program.clone();
    if let Dialect::Exec(exec) = &program.process.dialect {
        return exec::start(setup, exec.clone());
    }
    let (own_inbox, inbox) = mpsc::unbounded_channel();
    let (process, talking) = talk::begin(&setup, &own_inbox)?;
    let manners = talking.talk.manners();
    let now = Instant::now();
    let shown = Arc::new(Shown::new(setup.number, process.pid(), now));
    let handle = Handle {
        inbox: own_inbox.clone(),
        shown: shown.clone(),
    };
    let Talking {
        mut talk,
        to_worker,
        from_worker,
        stdout,
        stderr,
    } = talking;
    let tail = Tail::default();
    let pump = |tail| Pump {
        program: program.name.clone(),
        pid: process.pid(),
        log: setup.log.clone(),
        tail,
        lines_per_second: program.log_lines_per_second,
    };
    let mut pumps = vec![tokio::spawn(pump(Some(tail.clone())).run(stderr))];
    pumps.extend(stdout.map(|stdout| tokio::spawn(pump(None).run(stdout))));
    let start = if manners.says_hello {
        program.timeouts.start
    } else {
        START_DELAY
    };
    let mut write = BytesMut::new();
    talk.open(&mut write);
    let worker = Worker {
        worn: Worn::new(&program.limits, setup.number, process.pid(), now),
        phase: Phase::Starting { until: now + start },
        alarm: Box::pin(tokio::time::sleep_until(now + start)),
        id: setup.id,
        demoted: false,
        setup,
        program,
        manners,
        talk,
        process,
        to_worker,
        from_worker,
        read: BytesMut::with_capacity(READ_SIZE),
        reads_in_a_row: 0,
        write,
        inbox,
        own_inbox,
        shown,
        tail,
        pumps,
        description: None,
        slots: Vec::new(),
        running: BTreeMap::new(),
        next_id: 0,
        idle_since: now,
        busy_until: now,
        ping_until: None,
        closed_until: None,
        stuck: false,
        proven: false,
        said_last: false,
        problem: None,
        broken: false,
        over_memory: false,
        buried: false,
    };
    tokio::spawn(worker.run());
    Ok(handle)
}

impl Worker {
    async fn run(mut self) {
        loop {
            let happening = poll_fn(|cx| self.next(cx)).await;
            let result = match happening {
                Happening::Message(message) => self.message(message),
                Happening::Read => self.receive(),
                Happening::Closed => {
                    self.from_worker = None;
                    self.closed_until = Some(Instant::now() + CLOSED_GRACE);
                    self.wake_by(Instant::now() + CLOSED_GRACE);
                    Ok(())
                }
                Happening::Written => Ok(()),
                Happening::Ended => break,
                Happening::Alarm => {
                    self.tick();
                    Ok(())
                }
            };
            if let Err(Broken(what)) = result {
                self.broken = true;
                self.fail(format!("broke the protocol: {what}"), true);
                self.end_by(Stage::Killed);
                // Nothing it still says can be understood.
                self.from_worker = None;
            }
        }
        self.bury().await;
    }

    /// Waits for whatever comes first. The worker's bytes come before new messages, so that a slot
    /// is offered before the next call is looked for.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        // What is said at once goes out at once: calls for several slots in one write.
        let says_more = !self.inbox.is_empty() && self.write.len() < TOGETHER_MAX;
        if !self.write.is_empty()
            && !says_more
            && let Poll::Ready(()) = self.poll_write(cx)
        {
            return Poll::Ready(Happening::Written);
        }
        if self.reads_in_a_row < READS_MAX
            && let Poll::Ready(happening) = self.poll_read(cx)
        {
            self.reads_in_a_row += 1;
            return Poll::Ready(happening);
        }
        let read_later = std::mem::take(&mut self.reads_in_a_row) == READS_MAX;
        if let Poll::Ready(Some(message)) = self.inbox.poll_recv(cx) {
            return Poll::Ready(Happening::Message(message));
        }
        if self.process.poll_ended(cx).is_ready() {
            return Poll::Ready(Happening::Ended);
        }
        if self.alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Happening::Alarm);
        }
        if read_later {
            return self.poll_read(cx);
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        if self.write.len() > UNWRITTEN_MAX && self.owes_too_much() {
            return Poll::Pending;
        }
        let Some(from_worker) = &mut self.from_worker else {
            return Poll::Pending;
        };
        if self.read.capacity() - self.read.len() < READ_MIN {
            self.read.reserve(READ_SIZE);
        }
        match poll_read_buf(Pin::new(from_worker), cx, &mut self.read) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Happening::Read),
            Poll::Ready(_) => Poll::Ready(Happening::Closed),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether more is unwritten than a worker that listens leaves behind. Input that its functions
    /// asked for and have not read yet counts for nothing: it may be writing answers meanwhile, and
    /// would for ever if nobody read them.
    fn owes_too_much(&self) -> bool {
        let inputs = self.running.values().filter(|it| it.input.is_some());
        let asked_for = inputs.count() * (CREDIT + INPUT_PIECE_MAX);
        self.write.len() > UNWRITTEN_MAX + asked_for
    }

    fn message(&mut self, message: Message) -> Result<(), Broken> {
        match message {
            Message::Assign(assignment) => self.assign(assignment),
            Message::Stop(call, why) => self.stop(call, why),
            Message::Credit { id, bytes } => self.credit(id, bytes),
            Message::Input { id, piece } => self.input(id, piece),
            Message::NestedDone { id, parent, result } => self.nested_done(id, parent, result),
            Message::Http(said) => return self.heard(said),
            Message::Promote => self.promote(),
            Message::Demote => self.demote(),
            Message::Retire => self.retire(),
            Message::Adjust(program) => self.adjust(program),
            Message::Kill => self.end_by(Stage::Killed),
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Broken> {
        while let Some(message) = self.talk.decode(&mut self.read)? {
            match message {
                FromWorker::Hello {
                    protocol,
                    description,
                } => {
                    self.hello(protocol, description.bytes())?;
                }
                _ if matches!(self.phase, Phase::Starting { .. }) && self.manners.says_hello => {
                    return Err(Broken("expected a hello first".to_owned()));
                }
                FromWorker::Pong => self.ping_until = None,
                FromWorker::Reply { id, payload, last } => self.reply(id, payload, last)?,
                FromWorker::Error {
                    id,
                    message,
                    type_name,
                    backtrace,
                    last,
                } => {
                    self.error(id, message, type_name, backtrace, last)?;
                }
                FromWorker::Piece { id, payload } => self.piece(id, payload)?,
                FromWorker::Grant { id, bytes } => self.grant(id, bytes)?,
                FromWorker::Nested(nested) => self.nested(*nested)?,
                FromWorker::BadNested { id, why } => self.bad_nested(id, why),
            }
        }
        Ok(())
    }

    fn report(&self, report: Report) {
        // Without a supervisor the worker is about to be killed.
        let _ = self.setup.reports.send((self.setup.number, report));
    }

    fn slot(&self, index: u16) -> SlotId {
        SlotId {
            worker: self.id,
            index,
        }
    }

    fn next_epoch(&mut self, index: u16) -> Epoch {
        let epoch = &mut self.slots[usize::from(index)];
        epoch.0 += 1;
        *epoch
    }

    /// The process has ended: takes what it still said, then answers for it.
    async fn bury(mut self) {
        self.withdraw();
        // Whatever is left of the group must not go on writing.
        self.process.signal(Signal::KILL);
        self.read_rest();
        let status = self.process.reap();
        let drained = async {
            for pump in &mut self.pumps {
                // A pump cannot fail; it ends when its pipe does.
                let _ = pump.await;
            }
        };
        if tokio::time::timeout(LAST_LINES, drained).await.is_err() {
            self.pumps.iter().for_each(JoinHandle::abort);
        }
        let how = match &status {
            Ok(status) => process::describe_end(*status),
            Err(error) => format!("ended, nobody knows how: {error}"),
        };
        let told = self.said_last || matches!(self.phase, Phase::Ending { .. });
        if !told {
            let when = match self.phase {
                Phase::Starting { .. } => " during the interrogation",
                _ if self.running.is_empty() => " while idle",
                _ => "",
            };
            // With a call in hand it is the call that may be to blame.
            self.fail(format!("{how}{when}"), self.running.is_empty());
        }
        self.hear_rest().await;
        self.lose_calls(&how, status.ok());
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            if let Message::Assign(assignment) = message {
                let (slot, epoch) = (assignment.slot, assignment.epoch);
                self.setup.notices.send(Notice::Refused { slot, epoch });
            }
        }
        self.report_end();
    }

    fn report_end(&mut self) {
        self.buried = true;
        self.shown.running.store(0, Ordering::Relaxed);
        let (problem, crash) = self.problem.take().unzip();
        let crash = crash.unwrap_or(false);
        self.report(Report::Gone(End { problem, crash }));
    }
}

impl Drop for Worker {
    /// Only a task that panicked, or was dropped with its runtime, comes here unburied. Its process
    /// is killed with it; nobody must wait for it, or count on it.
    fn drop(&mut self) {
        if !self.buried {
            self.fail(
                "was ended by a fault in Katamari; please report it".to_owned(),
                true,
            );
            self.lose_calls("was ended", None);
            self.withdraw();
            self.report_end();
        }
    }
}
