//! The life of a worker: interrogated, introduced, taken off, ended, with the time each may take.

use super::{Phase, Report, Stage, Worker};
use crate::describe;
use crate::dialect::{Broken, PROTOCOL_VERSION, ToWorker};
use crate::program::{Dialect, Program};
use crate::status::WorkerState;
use crate::worker::port::{Inbox, Port};
use crate::worker::talk::Talk;
use dispatch::Notice;
use pool::{Description, Epoch, Introduction, WorkerId};
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// What the dispatcher is told of a worker that takes calls from now on.
pub(super) fn introduction(
    program: &Program,
    worker: WorkerId,
    description: Arc<Description>,
    slots: u16,
    pid: u32,
    inbox: &Inbox,
) -> Notice {
    let introduction = Introduction {
        worker,
        program: program.pool_name(),
        description,
        slots,
        batch_max: 1,
    };
    Notice::Introduced {
        introduction,
        program: program.for_pool(),
        pid,
        slots: Box::new(Port(inbox.clone())),
    }
}

impl Worker {
    pub(super) fn hello(&mut self, protocol: u64, description: &[u8]) -> Result<(), Broken> {
        match self.phase {
            Phase::Starting { .. } => {}
            // It was told to end before it was ready.
            Phase::Ending { .. } => return Ok(()),
            _ => return Err(Broken("said hello twice".to_owned())),
        }
        if protocol != PROTOCOL_VERSION {
            return Err(Broken(format!(
                "expected protocol {PROTOCOL_VERSION}, got {protocol}"
            )));
        }
        let (mut description, slots) = describe::parse_hello(description).map_err(Broken)?;
        description.terms = self.manners.takes_terms;
        self.send(&ToWorker::Welcome {
            worker: self.id.to_string(),
        });
        self.interrogated(Arc::new(description), slots);
        Ok(())
    }

    pub(super) fn interrogated(&mut self, description: Arc<Description>, slots: u16) {
        self.description = Some(description);
        self.slots = vec![Epoch::default(); usize::from(slots)];
        self.phase = Phase::Standby;
        self.idle_since = Instant::now();
        self.busy_until = self.idle_since;
        self.shown.set(WorkerState::Standby);
        self.report(Report::Ready);
        self.plan_wake();
    }

    pub(super) fn promote(&mut self) {
        let Some(description) = self.description.clone() else {
            return;
        };
        if self.phase != Phase::Standby {
            return;
        }
        if self.demoted {
            // To the dispatcher a worker that has withdrawn is leaving, and what was on its way to
            // it then may still arrive. Under a new number the two cannot be mixed up.
            self.id.number = self.setup.numbers.fetch_add(1, Ordering::Relaxed) + 1;
            self.shown.id.store(self.id.number, Ordering::Relaxed);
        }
        self.phase = Phase::Live;
        self.shown.set(WorkerState::Ready);
        self.busy_until = Instant::now();
        let slots = u16::try_from(self.slots.len()).expect("a hello has at most 1,024 slots");
        let (pid, inbox) = (self.process.pid(), &self.own_inbox);
        let notice = introduction(&self.program, self.id, description, slots, pid, inbox);
        self.setup.notices.send(notice);
        for index in 0..slots {
            if !self
                .running
                .values()
                .any(|running| running.slot.index == index)
            {
                let (slot, epoch) = (self.slot(index), self.next_epoch(index));
                self.setup.notices.send(Notice::Offered { slot, epoch });
            }
        }
    }

    pub(super) fn demote(&mut self) {
        if self.phase == Phase::Live {
            self.phase = Phase::Standby;
            self.demoted = true;
            self.shown.set(WorkerState::Standby);
            self.withdraw();
        }
    }

    pub(super) fn retire(&mut self) {
        match self.phase {
            Phase::Starting { .. } => self.end_by(Stage::Terminated),
            Phase::Standby | Phase::Live => {
                self.phase = Phase::Retiring;
                self.shown.set(WorkerState::Retiring);
                self.withdraw();
                self.end_if_done();
            }
            Phase::Retiring | Phase::Ending { .. } => {}
        }
    }

    pub(super) fn end_if_done(&mut self) {
        if self.phase == Phase::Retiring && self.running.is_empty() {
            self.end_by(Stage::Asked);
        }
    }

    pub(super) fn withdraw(&self) {
        self.setup.notices.send(Notice::Withdrawn(self.id));
    }

    pub(super) fn adjust(&mut self, program: Arc<Program>) {
        self.worn.adjust(&program.limits, self.setup.number);
        self.program = program;
        self.plan_wake();
    }

    /// Notes what went wrong, unless something did before.
    pub(super) fn fail(&mut self, what: String, crash: bool) {
        self.problem.get_or_insert((what, crash));
    }

    /// Ends the process, starting at this stage; each later one follows if it does not end.
    pub(super) fn end_by(&mut self, stage: Stage) {
        if let Phase::Ending { stage: reached, .. } = self.phase
            && (reached as u8) >= (stage as u8)
        {
            return;
        }
        if matches!(self.phase, Phase::Live | Phase::Standby) {
            self.withdraw();
            self.report(Report::Leaving(None));
        }
        self.shown.set(WorkerState::Stopping);
        let timeouts = &self.program.timeouts;
        let patience = match stage {
            Stage::Asked => timeouts.stop,
            Stage::Terminated => timeouts.terminate,
            Stage::Killed => Duration::from_secs(3600),
        };
        match stage {
            Stage::Asked => {
                self.send(&ToWorker::Quit);
                if self.manners.quits_by_signal {
                    self.process.signal(Signal::TERM);
                } else if !self.manners.hears_quit {
                    self.to_worker = None;
                }
            }
            Stage::Terminated => self.process.signal(Signal::TERM),
            Stage::Killed => self.process.signal(Signal::KILL),
        }
        let until = Instant::now() + patience;
        self.phase = Phase::Ending { stage, until };
        self.wake_by(until);
    }

    /// Everything that depends on time.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        match self.phase {
            Phase::Starting { until } if now >= until => self.start_time_is_over(),
            Phase::Ending { stage, until } if now >= until => match stage {
                Stage::Asked => self.end_by(Stage::Terminated),
                Stage::Terminated | Stage::Killed => self.end_by(Stage::Killed),
            },
            Phase::Live | Phase::Standby | Phase::Retiring => {
                self.check_limits(now);
                self.check_broken(now);
                self.check_overruns(now);
                self.check_pings(now);
            }
            Phase::Starting { .. } | Phase::Ending { .. } => {}
        }
        let ending = matches!(self.phase, Phase::Ending { .. });
        if !ending && self.closed_until.is_some_and(|until| now >= until) {
            self.fail(
                "closed its end of the protocol and lived on".to_owned(),
                true,
            );
            self.end_by(Stage::Killed);
        }
        self.plan_wake();
    }

    /// The time to start has passed: a worker of dialect `lines` is introduced, another has failed.
    pub(super) fn start_time_is_over(&mut self) {
        if let Dialect::Lines(description) = &self.program.process.dialect {
            self.interrogated(description.clone(), 1);
            return;
        }
        let after = self.program.timeouts.start;
        let what = match &self.talk {
            Talk::Pipes(_) if self.program.process.dialect == Dialect::Classic => {
                "did not answer api and config".to_owned()
            }
            Talk::Pipes(_) => "said no hello".to_owned(),
            Talk::Http(http) => {
                let problem = http.problem.as_deref().unwrap_or("no answer");
                format!("was not well ({problem})")
            }
        };
        self.fail(
            format!("{what} within its start_timeout of {after:?}"),
            true,
        );
        self.end_by(Stage::Terminated);
    }

    pub(super) fn check_pings(&mut self, now: Instant) {
        if !self.manners.answers_pings {
            return;
        }
        let timeouts = &self.program.timeouts;
        match self.ping_until {
            Some(until) if now >= until && self.running.is_empty() => {
                let after = timeouts.ping;
                self.fail(format!("answered no ping within {after:?}"), true);
                self.end_by(Stage::Terminated);
            }
            None if self.running.is_empty() && now >= self.idle_since + timeouts.ping_every => {
                self.ping_until = Some(now + timeouts.ping);
                self.idle_since = now;
                self.send(&ToWorker::Ping);
            }
            _ => {}
        }
    }

    /// Sets the alarm for whatever is due next.
    pub(super) fn plan_wake(&mut self) {
        let now = Instant::now();
        let mut next = self.worn.next_look(now);
        match self.phase {
            Phase::Starting { until } | Phase::Ending { until, .. } => next = next.min(until),
            Phase::Standby | Phase::Live | Phase::Retiring => {
                if self.manners.answers_pings {
                    // Busy workers are looked at again when they might be idle for long enough.
                    let since = if self.running.is_empty() {
                        self.idle_since
                    } else {
                        now
                    };
                    next = next.min(since + self.program.timeouts.ping_every);
                }
            }
        }
        if !matches!(self.phase, Phase::Ending { .. }) {
            let running = self.running.values();
            let kills = running.filter_map(|running| running.kill_at.or(running.late_at()));
            let broken = self.running.values();
            let broken = broken.filter_map(|running| Some(running.broke.as_ref()?.1));
            let kills = kills.chain(broken);
            let others = kills.chain(self.ping_until).chain(self.closed_until);
            next = others.fold(next, Instant::min);
        }
        self.alarm.as_mut().reset(next.max(now));
    }

    pub(super) fn wake_by(&mut self, at: Instant) {
        if at < self.alarm.deadline() {
            self.alarm.as_mut().reset(at);
        }
    }
}
