//! What an event does to the model, and which commands must follow from it.

use super::{CallState, Configured, Model, Slot, Stage, VERSIONS_OF, Worker};
use pool::{Call, CallId, Command, Epoch, Event, Rejection, SlotId, StopReason, Time, Withdrawal};

impl Model {
    /// What must happen to those whose time has come.
    pub(super) fn expire(&mut self) -> Vec<Command> {
        let now = self.now;
        let mut late: Vec<&mut CallState> = self
            .calls
            .values_mut()
            .filter(|call| call.deadline <= now)
            .collect();
        late.sort_by_key(|call| (call.deadline, call.call.id));
        let mut commands = Vec::new();
        for state in late {
            let call = state.call.id;
            let running = match state.stage {
                Stage::Ended | Stage::Held { stopped: true, .. } => continue,
                Stage::Held { slot, .. } => Some(slot),
                _ => None,
            };
            if state.awaited() {
                state.answer();
                commands.push(Command::Reject {
                    call,
                    why: Rejection::Deadline { running },
                });
            }
            state.stage = match running {
                Some(slot) => {
                    commands.push(Command::Stop {
                        slot,
                        call,
                        why: StopReason::Deadline,
                    });
                    Stage::Held {
                        slot,
                        stopped: true,
                    }
                }
                None => Stage::Ended,
            };
        }
        commands
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event.clone() {
            Event::Program(settings) => {
                let latest = self
                    .programs
                    .get(&settings.name)
                    .and_then(|known| known.latest);
                self.programs
                    .insert(settings.name.clone(), Configured { settings, latest });
            }
            Event::Removed { program } => {
                self.programs.remove(&program);
            }
            Event::Introduced(new) => self.introduce(&new),
            Event::Offer { slot, epoch } => self.offer(slot, epoch),
            Event::Withdraw(what) => self.withdraw(what),
            Event::Call(call) => self.arrive(call),
            Event::Cancel { call } => self.cancel(call),
            Event::Accepted { slot, epoch } => {
                if let Some(slot) = self.slot_mut(slot).filter(|slot| slot.epoch == epoch.0) {
                    slot.accepted = true;
                }
            }
            Event::Refused { slot, epoch } => self.refuse(slot, epoch),
            Event::Outcome { slot, call } | Event::Lost { slot, call } => self.end(slot, call),
            Event::Placed { .. } => unreachable!("no step takes a place ahead"),
            Event::Tick => {}
        }
    }

    fn introduce(&mut self, new: &pool::Introduction) {
        let version = VERSIONS_OF
            .iter()
            .position(|known| *known == new.description);
        let version = version.expect("a version of these tests");
        let joins = |w: &Worker| !w.leaving && w.version == version && w.program == new.program;
        let replaces = self.workers.values().any(joins);
        if self.workers.contains_key(&new.worker) {
            return;
        }
        match self.programs.get_mut(&new.program) {
            Some(program) => program.latest = Some(version),
            // A removed program takes replacements while a worker of it serves those who wait.
            None if replaces => {}
            None => return,
        }
        let worker = Worker {
            program: new.program.clone(),
            version,
            batch_max: usize::from(new.batch_max),
            leaving: false,
            slots: (0..new.slots).map(|_| Slot::default()).collect(),
        };
        self.workers.insert(new.worker, worker);
    }

    fn offer(&mut self, id: SlotId, epoch: Epoch) {
        self.offers += 1;
        let order = self.offers;
        if self.workers[&id.worker].leaving || epoch.0 <= self.slot(id).epoch {
            return;
        }
        if self.slot(id).accepted {
            self.lose(id);
        } else {
            self.send_back(id);
        }
        let slot = self.slot_mut(id).expect("steps offer slots that there are");
        slot.epoch = epoch.0;
        slot.free = slot.free.or(Some(order));
    }

    fn withdraw(&mut self, what: Withdrawal) {
        let is_meant = |slot: &SlotId| match what {
            Withdrawal::Slot(id) => *slot == id,
            Withdrawal::Worker(worker) => slot.worker == worker,
            Withdrawal::Node(node) => slot.worker.node == node,
        };
        for slot in self.slots().into_iter().filter(is_meant) {
            self.slot_mut(slot).expect("listed above").free = None;
            let worker = self.workers.get_mut(&slot.worker).expect("listed above");
            worker.leaving |= !matches!(what, Withdrawal::Slot(_));
            if matches!(what, Withdrawal::Node(_)) {
                self.lose(slot);
            }
        }
        self.forget_those_who_left();
    }

    /// The outcome of what the slot holds will not come.
    fn lose(&mut self, slot: SlotId) {
        let held = std::mem::take(&mut self.slot_mut(slot).expect("a known slot").held);
        for call in held {
            let state = self.call_mut(call);
            state.stage = Stage::Ended;
            if state.awaited() {
                state.answer();
                self.due.push(Command::Reject {
                    call,
                    why: Rejection::Lost { slot },
                });
            }
        }
    }

    fn arrive(&mut self, mut call: Call) {
        let parent = call.parent.map(|parent| &self.calls[&parent]);
        call.class = parent.map_or(call.class, |parent| call.class.max(parent.call.class));
        let limit = call.deadline.unwrap_or(Time(u64::MAX));
        let limit = parent.map_or(limit, |parent| limit.min(parent.deadline));
        let state = CallState {
            arrived: self.now,
            limit,
            deadline: limit,
            stage: Stage::New,
            answers: 0,
            cancelled: false,
            call,
        };
        self.calls.insert(state.call.id, state);
    }

    fn cancel(&mut self, call: CallId) {
        let state = self.call_mut(call);
        match state.stage {
            Stage::Ended => {}
            Stage::Held { slot, .. } if state.awaited() => {
                state.cancelled = true;
                let why = StopReason::ClientLeft;
                self.due.push(Command::Stop { slot, call, why });
            }
            Stage::Held { .. } => {}
            Stage::New | Stage::Lobby | Stage::Waits(_) => {
                state.cancelled = true;
                state.stage = Stage::Ended;
            }
        }
    }

    fn refuse(&mut self, id: SlotId, epoch: Epoch) {
        let slot = self.slot(id);
        if slot.epoch == epoch.0 && !slot.accepted {
            self.send_back(id);
            self.forget_those_who_left();
        }
    }

    /// What the slot holds was not taken: those whose answer is awaited wait again.
    fn send_back(&mut self, id: SlotId) {
        let version = self.workers[&id.worker].version;
        let slot = self.slot_mut(id).expect("a known slot");
        for call in std::mem::take(&mut slot.held) {
            let state = self.call_mut(call);
            state.stage = if state.awaited() {
                Stage::Waits(version)
            } else {
                Stage::Ended
            };
        }
    }

    fn end(&mut self, id: SlotId, call: CallId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let Some(at) = slot.held.iter().position(|held| *held == call) else {
            return;
        };
        slot.held.remove(at);
        let state = self.call_mut(call);
        state.stage = Stage::Ended;
        if state.awaited() {
            state.answer();
            self.due.push(Command::Deliver { call });
        }
        self.forget_those_who_left();
    }

    fn forget_those_who_left(&mut self) {
        let holds = |worker: &Worker| worker.slots.iter().any(|slot| !slot.held.is_empty());
        self.workers
            .retain(|_, worker| !worker.leaving || holds(worker));
    }
}
