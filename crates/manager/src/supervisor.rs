//! One program: the task that carries out what its fleet decides and answers for it.

use crate::fleet::{Fleet, Number, Order, Time, Wanted};
use crate::log::ProgramLog;
use crate::memory;
use crate::program::Program;
use crate::sentinel::Sentinel;
use crate::status::{ProgramState, ProgramStatus, WorkerStatus};
use crate::worker::{self, Cluster, End, Handle, Message, Report, Setup, Tally};
use dispatch::Notices;
use pool::{NodeId, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// What every supervisor of a node shares.
#[derive(Clone)]
pub(crate) struct Shared {
    pub node: NodeId,
    pub notices: Notices,
    pub cluster: Cluster,
    pub sentinel: Arc<Sentinel>,
    /// Counts the workers of the node.
    pub numbers: Arc<AtomicU32>,
}

/// What comes to a supervisor.
pub(crate) enum Command {
    /// The program is now this.
    Apply(Arc<Program>),
    Status(oneshot::Sender<ProgramStatus>),
    /// The program was removed, and the dispatcher knows: those who wait are served, then every
    /// worker ends.
    Remove,
    /// End every worker.
    Stop,
    /// End every worker at once.
    Kill,
}

/// A supervisor's task, seen from the manager.
pub(crate) struct Supervised {
    pub program: Arc<Program>,
    pub commands: mpsc::UnboundedSender<Command>,
    /// Turns true when the program runs for the first time, or has failed to.
    pub settled: watch::Receiver<bool>,
    pub task: tokio::task::JoinHandle<()>,
}

struct Supervisor {
    program: Arc<Program>,
    shared: Shared,
    fleet: Fleet,
    origin: Instant,
    workers: BTreeMap<Number, Handle>,
    /// Its own inbox; weak, so that it ends when the manager lets go.
    commands: mpsc::WeakUnboundedSender<Command>,
    reports: mpsc::UnboundedReceiver<(Number, Report)>,
    reports_sender: mpsc::UnboundedSender<(Number, Report)>,
    log: Arc<ProgramLog>,
    problem: Option<String>,
    /// The log says that it crashes time after time.
    given_up: bool,
    /// Those who wait are still served.
    removing: bool,
    stopping: bool,
    settled: watch::Sender<bool>,
    starts: u64,
    failures: u64,
    retirements: u64,
    /// Of the present version.
    tally: Arc<Tally>,
}

/// Starts to supervise a program.
pub(crate) fn supervise(program: Arc<Program>, shared: Shared) -> Supervised {
    let (commands, receiver) = mpsc::unbounded_channel();
    let (reports_sender, reports) = mpsc::unbounded_channel();
    let (settled_sender, settled) = watch::channel(false);
    let supervisor = Supervisor {
        fleet: Fleet::new(wanted(&program)),
        program: program.clone(),
        shared,
        origin: Instant::now(),
        workers: BTreeMap::new(),
        commands: commands.downgrade(),
        reports,
        reports_sender,
        log: Arc::default(),
        problem: None,
        given_up: false,
        removing: false,
        stopping: false,
        settled: settled_sender,
        starts: 0,
        failures: 0,
        retirements: 0,
        tally: Arc::default(),
    };
    let task = tokio::spawn(supervisor.run(receiver));
    Supervised {
        program,
        commands,
        settled,
        task,
    }
}

fn wanted(program: &Program) -> Wanted {
    Wanted {
        workers: program.workers,
        spare: program.spare,
    }
}

impl Supervisor {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut orphaned = false;
        loop {
            self.carry_out();
            if self.stopping && self.fleet.is_empty() {
                return;
            }
            let now = self.now();
            let next_start = self.fleet.next_start(now).map(|at| self.origin + at);
            let pause = async {
                match next_start {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((number, report)) = self.reports.recv() => self.report(number, report),
                command = commands.recv(), if !orphaned => {
                    // Without commands the manager is gone.
                    orphaned = command.is_none();
                    self.command(command.unwrap_or(Command::Kill));
                }
                () = pause => {}
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Apply(program) => self.apply(program),
            Command::Status(answer) => {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(self.status());
            }
            Command::Remove => self.remove(),
            Command::Stop => {
                self.stopping = true;
                self.fleet.stop();
            }
            Command::Kill => {
                self.stopping = true;
                self.fleet.stop();
                self.tell_all(|| Message::Kill);
            }
        }
    }

    fn apply(&mut self, program: Arc<Program>) {
        let renewed = program.process != self.program.process;
        if program.version != self.program.version {
            self.tally = Arc::default();
        }
        self.program = program.clone();
        self.given_up = false;
        self.fleet.resize(wanted(&program));
        if renewed {
            self.settled.send_replace(false);
            self.fleet.renew();
        } else {
            // Fewer may be wanted while some of more still start, which nobody waits for then.
            self.settle();
        }
        self.tell_all(|| Message::Adjust(program.clone()));
    }

    /// The program runs once as many workers live as are wanted.
    fn settle(&self) {
        if self.fleet.live() >= self.program.workers {
            let turn = |settled: &mut bool| !std::mem::replace(settled, true);
            self.settled.send_if_modified(turn);
        }
    }

    /// Ends the workers once those who wait are served. Until then they are supervised as ever.
    fn remove(&mut self) {
        self.removing = true;
        let program = self.program.pool_name();
        let (notices, commands) = (self.shared.notices.clone(), self.commands.clone());
        let patience = self.program.timeouts.call;
        tokio::spawn(async move {
            // Whoever still waits after that has waited in vain anyway.
            let _ = tokio::time::timeout(patience, notices.served(program)).await;
            if let Some(commands) = commands.upgrade() {
                // A supervisor that has ended needs no telling.
                let _ = commands.send(Command::Stop);
            }
        });
    }

    fn report(&mut self, number: Number, report: Report) {
        match report {
            Report::Ready => {
                self.fleet.ready(number);
                self.problem = None;
                self.given_up = false;
            }
            Report::Proven => self.fleet.proven(number),
            Report::Tired(limit) => {
                self.note(
                    number,
                    &format!("has reached {limit} and is being replaced"),
                );
                self.worn(number, limit);
                self.fleet.tired(number);
            }
            Report::Leaving(why) => {
                if let Some(why) = why {
                    self.note(number, &format!("takes no more calls: {why}"));
                    self.worn(number, why);
                }
                self.fleet.leaving(number);
            }
            Report::Stuck(stuck) => self.fleet.stuck(number, stuck, self.now()),
            Report::Gone(end) => self.gone(number, end),
        }
    }

    fn gone(&mut self, number: Number, end: End) {
        self.retirements += u64::from(end.problem.is_none());
        if let Some(problem) = &end.problem {
            self.failures += 1;
            if let Some(handle) = self.workers.get(&number) {
                let pid = handle.shown.pid.load(Ordering::Relaxed);
                let program = &self.program.name;
                tracing::warn!(program = %program, pid, "worker {problem}");
                self.problem = Some(format!("worker {pid} {problem}"));
            }
        }
        self.workers.remove(&number);
        let now = self.now();
        self.fleet.gone(number, end.crash, now);
    }

    /// A worker is replaced because of a limit. Age and idleness say nothing about the next one,
    /// but one that reaches another limit before it has done anything will be followed by others.
    fn worn(&mut self, number: Number, limit: &str) {
        let now = self.now();
        if ["memory_max", "cpu_max"].contains(&limit) && self.fleet.worn_at_start(number, now) {
            self.problem = Some(format!(
                "workers reach {limit} before their first call; raise it"
            ));
        }
    }

    fn note(&self, number: Number, what: &str) {
        if let Some(handle) = self.workers.get(&number) {
            let program = &self.program.name;
            let pid = handle.shown.pid.load(Ordering::Relaxed);
            tracing::debug!(program = %program, pid, "worker {what}");
        }
    }

    fn carry_out(&mut self) {
        loop {
            let orders = self.fleet.decide(self.now());
            if orders.is_empty() {
                break;
            }
            for order in orders {
                match order {
                    Order::Start => self.start(),
                    Order::Promote(number) => {
                        self.tell(number, Message::Promote);
                        self.settle();
                    }
                    Order::Demote(number) => self.tell(number, Message::Demote),
                    Order::Retire(number) => self.tell(number, Message::Retire),
                }
            }
        }
        if self.fleet.is_crash_looping() && !self.given_up && !self.stopping && !self.removing {
            self.given_up = true;
            let program = self.program.name.clone();
            let problem = self.problem.as_deref().unwrap_or("no reason known");
            tracing::error!(%program, "crash loop: {problem}");
        }
        if self.fleet.is_crash_looping() {
            self.settled.send_replace(true);
        }
    }

    fn start(&mut self) {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let setup = Setup {
            number,
            id: WorkerId {
                node: self.shared.node,
                number,
            },
            program: self.program.clone(),
            log: self.log.clone(),
            sentinel: self.shared.sentinel.clone(),
            notices: self.shared.notices.clone(),
            cluster: self.shared.cluster.clone(),
            reports: self.reports_sender.clone(),
            numbers: self.shared.numbers.clone(),
            tally: self.tally.clone(),
        };
        let now = self.now();
        match worker::start(setup) {
            Ok(handle) => {
                self.starts += 1;
                self.workers.insert(number, handle);
                self.fleet.started(number, now);
            }
            Err(problem) => {
                self.failures += 1;
                tracing::warn!(program = %self.program.name, "{problem}");
                self.problem = Some(problem);
                self.fleet.not_started(now);
            }
        }
    }

    fn tell(&self, number: Number, message: Message) {
        if let Some(handle) = self.workers.get(&number) {
            // A worker that has just ended reports that itself.
            let _ = handle.inbox.send(message);
        }
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
        for number in self.workers.keys() {
            self.tell(*number, message());
        }
    }

    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    fn status(&self) -> ProgramStatus {
        let state = if self.stopping || self.removing {
            ProgramState::Stopping
        } else if self.fleet.live() > 0 {
            ProgramState::Running
        } else if self.fleet.is_crash_looping() {
            ProgramState::CrashLooping
        } else if self.fleet.next_start(self.now()).is_some() {
            ProgramState::BackingOff
        } else {
            ProgramState::Starting
        };
        ProgramStatus {
            name: self.program.name.clone(),
            version: self.program.version,
            state,
            problem: self.problem.clone(),
            workers_wanted: self.program.workers,
            spare_wanted: self.program.spare,
            workers_live: self.fleet.live(),
            starts: self.starts,
            failures: self.failures,
            retirements: self.retirements,
            calls: self.tally.calls.load(Ordering::Relaxed),
            errors: self.tally.errors.load(Ordering::Relaxed),
            log_lines_dropped: self.log.dropped(),
            workers: self
                .workers
                .values()
                .map(|handle| self.show(handle))
                .collect(),
            log: self.log.lines(),
        }
    }

    fn show(&self, handle: &Handle) -> WorkerStatus {
        let shown = &handle.shown;
        let pid = shown.pid.load(Ordering::Relaxed);
        WorkerStatus {
            id: WorkerId {
                node: self.shared.node,
                number: shown.id.load(Ordering::Relaxed),
            },
            pid,
            state: shown.state(),
            age_s: round_ms(shown.started.elapsed()),
            calls: shown.calls.load(Ordering::Relaxed),
            running: shown.running.load(Ordering::Relaxed),
            memory_bytes: memory::bytes_of(pid).unwrap_or(0),
        }
    }
}

fn round_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
