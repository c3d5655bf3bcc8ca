//! A worker of dialect `exec`: a slot without a process, the right to start one for each call.
//!
//! It has a task of its own instead of a place in the states of [`super::Worker`]: there is no
//! interrogation, no ping, no end to wait for while nothing runs. To the dispatcher and to the
//! supervisor it is a worker like any other, with the same [`Port`](super::port::Port), notices and
//! reports.

mod run;

use super::port::{End, Inbox, Message, Report, Shown};
use super::{Handle, Setup, life};
use crate::dialect::Exec;
use crate::process;
use crate::program::{OnDisconnect, Program};
use crate::status::WorkerState;
use dispatch::{Assigned, Assignment, CallError, Code, Notice};
use pool::{CallId, Epoch, SlotId, StopReason, WorkerId};
use run::{Order, Run};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use term::Payload;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The answer to a call.
type Answer = Result<Payload, CallError>;

/// A slot in which processes run, one at a time.
struct Slot {
    setup: Setup,
    /// Its number for the dispatcher. It gets a new one each time it comes back from standby.
    id: WorkerId,
    demoted: bool,
    program: Arc<Program>,
    exec: Arc<Exec>,
    inbox: mpsc::UnboundedReceiver<Message>,
    own_inbox: Inbox,
    shown: Arc<Shown>,
    state: State,
    epoch: Epoch,
    running: Option<Running>,
    proven: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Standby,
    Live,
    Retiring,
}

/// The call in the slot.
struct Running {
    call: CallId,
    /// Under the number that the worker had then.
    slot: SlotId,
    orders: mpsc::UnboundedSender<Order>,
    run: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

/// Starts a slot's task. The error says that there is no program to start.
pub(super) fn start(setup: Setup, exec: Arc<Exec>) -> Result<Handle, String> {
    let program = setup.program.clone();
    process::is_there(&program.process)?;
    let (own_inbox, inbox) = mpsc::unbounded_channel();
    let shown = Arc::new(Shown::new(setup.number, 0, Instant::now()));
    shown.set(WorkerState::Standby);
    let handle = Handle {
        inbox: own_inbox.clone(),
        shown: shown.clone(),
    };
    let slot = Slot {
        id: setup.id,
        demoted: false,
        setup,
        program,
        exec,
        inbox,
        own_inbox,
        shown,
        state: State::Standby,
        epoch: Epoch::default(),
        running: None,
        proven: false,
    };
    tokio::spawn(slot.run());
    Ok(handle)
}

impl Slot {
    async fn run(mut self) {
        self.report(Report::Ready);
        while self.state != State::Retiring || self.running.is_some() {
            let running = self.running.as_mut();
            let answer = async {
                match running {
                    Some(running) => (&mut running.run).await,
                    None => std::future::pending().await,
                }
            };
            // An answer comes first, so that the slot is offered before it is asked for.
            tokio::select! {
                biased;
                answer = answer => self.ended(answer),
                message = self.inbox.recv() => match message {
                    Some(message) => self.message(message),
                    None => return,
                },
            }
        }
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            if let Message::Assign(assignment) = message {
                self.refuse(&assignment);
            }
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Assign(assignment) => self.assign(assignment),
            Message::Stop(call, why) => self.stop(call, why),
            Message::Promote => self.promote(),
            Message::Demote => self.demote(),
            Message::Retire => self.retire(),
            Message::Kill => {
                self.retire();
                self.order(Order::Kill);
            }
            Message::Adjust(program) => {
                self.order(Order::Adjust(program.clone()));
                self.program = program;
            }
            // It neither streams nor calls, and speaks no HTTP.
            Message::Credit { .. }
            | Message::Input { .. }
            | Message::NestedDone { .. }
            | Message::Http(_) => {}
        }
    }

    fn promote(&mut self) {
        if self.state != State::Standby {
            return;
        }
        if self.demoted {
            // As any worker that comes back.
            self.id.number = self.setup.numbers.fetch_add(1, Ordering::Relaxed) + 1;
            self.shown.id.store(self.id.number, Ordering::Relaxed);
        }
        self.state = State::Live;
        self.shown.set(WorkerState::Ready);
        let description = self.exec.description.clone();
        let notice = life::introduction(&self.program, self.id, description, 1, 0, &self.own_inbox);
        self.setup.notices.send(notice);
        if self.running.is_none() {
            let (slot, epoch) = (self.slot(), self.next_epoch());
            self.setup.notices.send(Notice::Offered { slot, epoch });
        }
    }

    fn demote(&mut self) {
        if self.state == State::Live {
            self.state = State::Standby;
            self.demoted = true;
            self.shown.set(WorkerState::Standby);
            self.setup.notices.send(Notice::Withdrawn(self.id));
        }
    }

    fn retire(&mut self) {
        if self.state != State::Retiring {
            self.state = State::Retiring;
            self.shown.set(WorkerState::Retiring);
            self.setup.notices.send(Notice::Withdrawn(self.id));
            self.report(Report::Leaving(None));
        }
    }

    fn assign(&mut self, mut assignment: Assignment) {
        let takes = assignment.slot == self.slot() && self.running.is_none();
        let call = assignment.calls.pop().filter(|_| takes);
        let Some(call) = call else {
            self.refuse(&assignment);
            return;
        };
        self.take(call, assignment.slot);
    }

    fn refuse(&self, assignment: &Assignment) {
        let (slot, epoch) = (assignment.slot, assignment.epoch);
        self.setup.notices.send(Notice::Refused { slot, epoch });
    }

    fn take(&mut self, assigned: Assigned, slot: SlotId) {
        let (orders, received) = mpsc::unbounded_channel();
        let prepared = self.exec.prepare(&assigned.function, &assigned.payload);
        let run = prepared.map(|prepared| Run {
            prepared,
            call: assigned.id,
            deadline: assigned.deadline,
            worker: self.id,
            program: self.program.clone(),
            log: self.setup.log.clone(),
            sentinel: self.setup.sentinel.clone(),
            shown: self.shown.clone(),
            orders: received,
        });
        self.shown.running.store(1, Ordering::Relaxed);
        self.running = Some(Running {
            call: assigned.id,
            slot,
            orders,
            run: Box::pin(async move { run?.run().await }),
        });
    }

    /// The answer to a call is no longer wanted.
    fn stop(&mut self, call: CallId, why: StopReason) {
        let is_to_end = match why {
            StopReason::Deadline => true,
            StopReason::ClientLeft => self.program.on_disconnect == OnDisconnect::Kill,
        };
        if is_to_end && self.running.as_ref().is_some_and(|r| r.call == call) {
            self.order(Order::Terminate);
        }
    }

    fn order(&self, order: Order) {
        if let Some(running) = &self.running {
            // One that has just ended needs no order.
            let _ = running.orders.send(order);
        }
    }

    fn ended(&mut self, result: Answer) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.shown.running.store(0, Ordering::Relaxed);
        self.shown.calls.fetch_add(1, Ordering::Relaxed);
        self.setup.tally.count(result.is_err());
        if !std::mem::replace(&mut self.proven, true) {
            self.report(Report::Proven);
        }
        let (slot, call) = (running.slot, running.call);
        // Another attempt avoids the worker whose process died: from now on this is another.
        let died = matches!(&result, Err(error) if error.code == Code::WorkerDied);
        let comes_back = died && self.state == State::Live;
        if comes_back {
            self.demote();
        }
        let free = self.slot();
        let epoch = (self.state == State::Live).then(|| self.next_epoch());
        let offer = epoch.filter(|_| free == slot);
        self.setup.notices.send(Notice::Ended {
            slot,
            call,
            result,
            offer,
        });
        if let Some(epoch) = epoch.filter(|_| free != slot) {
            let slot = free;
            self.setup.notices.send(Notice::Offered { slot, epoch });
        }
        if comes_back {
            self.promote();
        }
    }

    fn slot(&self) -> SlotId {
        SlotId {
            worker: self.id,
            index: 0,
        }
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epoch.0 += 1;
        self.epoch
    }

    fn report(&self, report: Report) {
        // Without a supervisor the slot is about to be given up.
        let _ = self.setup.reports.send((self.setup.number, report));
    }
}

impl Drop for Slot {
    /// Nobody must wait for a slot that is gone, whatever ended it, nor for the call in it.
    fn drop(&mut self) {
        let is_fault = self.state != State::Retiring;
        self.retire();
        if let Some(running) = self.running.take() {
            let error = CallError::new(Code::WorkerDied, "its process was killed");
            self.setup.notices.send(Notice::Lost {
                slot: running.slot,
                call: running.call,
                error,
            });
        }
        let problem = is_fault.then(|| "was ended by a fault in Katamari; please report it".into());
        let crash = is_fault;
        self.report(Report::Gone(End { problem, crash }));
    }
}
