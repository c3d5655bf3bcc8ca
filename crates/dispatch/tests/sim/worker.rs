//! Plays a worker as the manager's task of one shows it: takes calls, answers each with its own
//! number after a while, sometimes dies, and retires when it is told to.

use crate::chance::Chance;
use crate::client::make;
use crate::fleet::{AGAIN, Fleet, LEAF, ONCE, TREE, description, program, slots_of};
use crate::upload::read;
use dispatch::{
    Assigned, Assignment, BrokenInput, Call, CallError, Code, Detail, Notice, Refused, Slots,
};
use pool::{CallId, Details, Epoch, Introduction, SlotId, StopReason, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use term::{Payload, Shape};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Of a hundred calls, those that kill their worker.
const DEADLY_PERCENT: u64 = 3;
/// Of a hundred calls with an input, those that are answered before it is read.
const EARLY_PERCENT: u64 = 10;
/// Of a hundred calls that are to stop, those that kill it; of the rest some run on.
const KILLED_PERCENT: u64 = 30;
/// Of a hundred offers, those that are said twice.
const OFFERED_TWICE_PERCENT: u64 = 10;

/// What comes to a worker's task.
#[derive(Debug)]
pub enum Told {
    Assigned(Assignment),
    Stop(CallId, StopReason),
    Done(CallId, Result<Payload, CallError>),
    Die,
    Retire,
}

struct Port(mpsc::UnboundedSender<Told>);

impl Slots for Port {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        self.0.send(Told::Assigned(assignment)).map_err(|_| Refused)
    }

    fn stop(&self, call: CallId, why: StopReason) {
        // A worker that is gone has stopped.
        let _ = self.0.send(Told::Stop(call, why));
    }
}

pub struct Worker {
    id: WorkerId,
    program: Arc<str>,
    fleet: Fleet,
    own: mpsc::UnboundedSender<Told>,
    inbox: mpsc::UnboundedReceiver<Told>,
    chance: Chance,
    epochs: Vec<Epoch>,
    running: BTreeMap<CallId, (SlotId, JoinHandle<()>)>,
    is_leaving: bool,
}

impl Worker {
    pub fn new(
        id: WorkerId,
        program: Arc<str>,
        fleet: Fleet,
        own: mpsc::UnboundedSender<Told>,
        inbox: mpsc::UnboundedReceiver<Told>,
        chance: Chance,
    ) -> Self {
        Self {
            epochs: vec![Epoch::default(); usize::from(slots_of(&program))],
            id,
            program,
            fleet,
            own,
            inbox,
            chance,
            running: BTreeMap::new(),
            is_leaving: false,
        }
    }

    pub async fn run(mut self) {
        let start = self.chance.millis(10, 200);
        tokio::time::sleep(start).await;
        if self.fleet.is_live(self.id.number) {
            self.introduce();
            self.serve().await;
        }
        self.bury();
    }

    fn say(&self, notice: Notice) {
        self.fleet.shared().notices.send(notice);
    }

    fn introduce(&mut self) {
        let slots = slots_of(&self.program);
        self.say(Notice::Introduced {
            introduction: Introduction {
                worker: self.id,
                program: self.program.clone(),
                description: Arc::new(description(&self.program)),
                slots,
                batch_max: 1,
            },
            program: program(&self.program),
            pid: self.id.number,
            slots: Box::new(Port(self.own.clone())),
        });
        for index in 0..slots {
            let slot = SlotId {
                worker: self.id,
                index,
            };
            let epoch = self.next_epoch(slot);
            self.say(Notice::Offered { slot, epoch });
        }
    }

    fn next_epoch(&mut self, slot: SlotId) -> Epoch {
        let epoch = &mut self.epochs[usize::from(slot.index)];
        epoch.0 += 1;
        *epoch
    }

    /// Until it dies, or has left and holds nothing more.
    async fn serve(&mut self) {
        while !(self.is_leaving && self.running.is_empty()) {
            let told = self.inbox.recv().await.expect("it has a sender itself");
            match told {
                Told::Assigned(assignment) => self.assigned(assignment),
                Told::Done(call, result) => self.done(call, result),
                Told::Stop(call, why) => {
                    if self.running.contains_key(&call) && self.stopped(call, why) {
                        return;
                    }
                }
                Told::Die => return,
                Told::Retire => self.leave(),
            }
        }
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.is_leaving, true) {
            self.fleet.leaves(self.id.number);
            self.say(Notice::Withdrawn(self.id));
        }
    }

    fn assigned(&mut self, assignment: Assignment) {
        let Assignment { slot, epoch, calls } = assignment;
        if self.is_leaving {
            self.say(Notice::Refused { slot, epoch });
            return;
        }
        for call in calls {
            let id = call.id;
            self.fleet.shared().world.ledger.began(slot, id);
            let task = tokio::spawn(self.function(call));
            self.running.insert(id, (slot, task));
        }
    }

    /// What its program does with a call.
    fn function(&mut self, call: Assigned) -> impl Future<Output = ()> + Send + use<> {
        let own = self.own.clone();
        let fleet = self.fleet.clone();
        let is_deadly = self.chance.percent(DEADLY_PERCENT);
        let before = match self.chance.percent(90) {
            true => self.chance.millis(1, 60),
            false => self.chance.millis(60, 400),
        };
        let is_tree = *self.program == *TREE;
        let is_again = self.chance.percent(50);
        let reads = !self.chance.percent(EARLY_PERCENT);
        async move {
            tokio::time::sleep(before).await;
            let told = if is_deadly && fleet.shared().world.has_faults() {
                Told::Die
            } else if is_tree {
                let nested = nested(&fleet, &call, if is_again { AGAIN } else { ONCE });
                let failed = make(&fleet, nested, call.deadline, false).await;
                let result = failed.map(|()| answer(call.id));
                Told::Done(call.id, result)
            } else {
                let ledger = &fleet.shared().world.ledger;
                let input = call.input.as_ref().filter(|_| reads);
                let read = match input {
                    Some(input) => read(call.id.number, input, ledger).await,
                    None => Ok(()),
                };
                let failed =
                    |error: BrokenInput| CallError::new(Code::WorkerError, error.to_string());
                Told::Done(call.id, read.map(|()| answer(call.id)).map_err(failed))
            };
            // Nobody listens once it has died.
            let _ = own.send(told);
        }
    }

    fn done(&mut self, call: CallId, result: Result<Payload, CallError>) {
        let Some((slot, _)) = self.running.remove(&call) else {
            return;
        };
        self.fleet.shared().world.ledger.ended(slot, call);
        let offer = (!self.is_leaving).then(|| self.next_epoch(slot));
        self.say(Notice::Ended {
            slot,
            call,
            result,
            offer,
        });
        if let Some(epoch) = offer
            && self.chance.percent(OFFERED_TWICE_PERCENT)
        {
            self.say(Notice::Offered { slot, epoch });
        }
    }

    /// The answer is wanted no more. Whether it is killed for not listening.
    fn stopped(&mut self, call: CallId, why: StopReason) -> bool {
        let runs_on = why == StopReason::ClientLeft || self.chance.percent(KILLED_PERCENT);
        if self.fleet.shared().world.has_faults() && self.chance.percent(KILLED_PERCENT) {
            return true;
        }
        if !runs_on {
            self.running[&call].1.abort();
            let stopped = CallError::new(Code::WorkerError, "stopped");
            self.done(call, Err(stopped));
        }
        false
    }

    fn bury(mut self) {
        self.leave();
        for (call, (slot, task)) in std::mem::take(&mut self.running) {
            task.abort();
            self.fleet.shared().world.ledger.ended(slot, call);
            let detail = Detail {
                program: Some(self.program.clone()),
                pid: Some(self.id.number),
                worker: Some(self.id),
                ..Detail::default()
            };
            let error = CallError::new(Code::WorkerDied, "scripted").with(detail);
            self.say(Notice::Lost { slot, call, error });
        }
        self.inbox.close();
        while let Ok(told) = self.inbox.try_recv() {
            if let Told::Assigned(Assignment { slot, epoch, .. }) = told {
                self.say(Notice::Refused { slot, epoch });
            }
        }
        self.fleet.gone(self.id.number);
    }
}

fn answer(call: CallId) -> Payload {
    Payload::Json(call.number.to_string().into())
}

/// The call that a tree makes.
fn nested(fleet: &Fleet, parent: &Assigned, function: &str) -> Call {
    let number = fleet.shared().numbers.next();
    let payload = Payload::Json("{}".into());
    let shape = Shape::Named(Vec::new());
    let mut call = Call::new(number, Details::of_kind(LEAF), function, payload, shape);
    call.parent = Some(parent.id);
    call.depth = parent.depth + 1;
    call.class = parent.class;
    call.deadline = Some(parent.deadline);
    call
}
