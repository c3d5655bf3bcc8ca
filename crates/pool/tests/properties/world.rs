//! Makes events of steps, feeds them to the core and shows events and commands to the model.

use crate::model::{LOBBY, Model, VERSIONS_OF};
use crate::steps::{NewCall, Step};
use pool::{
    Avoid, Call, CallId, Command, Core, Details, Epoch, Event, Introduction, NodeId, Program, Time,
    Withdrawal, WorkerId,
};
use std::sync::Arc;
use std::time::Duration;
use term::Shape;

pub struct World {
    core: Core,
    model: Model,
    now: Time,
    calls: u64,
    /// Every command so far.
    pub commands: Vec<Command>,
}

/// The element at `pick`, round and round; none of none.
fn pick<T: Copy>(all: &[T], pick: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[pick % all.len()])
}

fn worker_id((node, number): (u32, u32)) -> WorkerId {
    WorkerId {
        node: NodeId(node),
        number,
    }
}

impl World {
    pub fn new() -> Self {
        let lobby = LOBBY.clone();
        Self {
            core: Core::new(lobby),
            model: Model::default(),
            now: Time::default(),
            calls: 0,
            commands: Vec::new(),
        }
    }

    fn feed(&mut self, event: Event) {
        let mut commands = Vec::new();
        self.core.handle(self.now, event.clone(), &mut commands);
        self.core.assert_invariants();
        self.model.check(self.now, &event, &commands, &self.core);
        self.commands.extend(commands);
    }

    pub fn step(&mut self, step: Step) {
        if let Some(event) = self.event(step) {
            self.feed(event);
        }
    }

    fn event(&mut self, step: Step) -> Option<Event> {
        let slots = self.model.slots();
        Some(match step {
            Step::Program {
                program,
                weight,
                timeout_ms,
                queue_max,
                bytes_max,
            } => Event::Program(Program {
                name: name(program),
                weight,
                timeout: Duration::from_millis(timeout_ms),
                queue_max,
                queue_bytes_max: bytes_max,
            }),
            Step::Removed { program } => Event::Removed {
                program: name(program),
            },
            Step::Introduce {
                node,
                number,
                program,
                version,
                slots,
                batch_max,
            } => Event::Introduced(Introduction {
                worker: worker_id((node, number)),
                program: name(program),
                description: VERSIONS_OF[usize::from(version)].clone(),
                slots,
                batch_max,
            }),
            Step::Offer {
                pick: at,
                ahead,
                forced,
            } => {
                let slot = pick(&slots, at)?;
                if !forced && self.model.is_busy(slot) {
                    return None;
                }
                let epoch = self.model.epoch(slot).saturating_add_signed(ahead);
                Event::Offer {
                    slot,
                    epoch: Epoch(epoch),
                }
            }
            Step::WithdrawSlot { pick: at } => Event::Withdraw(Withdrawal::Slot(pick(&slots, at)?)),
            Step::WithdrawWorker { pick: at } => {
                Event::Withdraw(Withdrawal::Worker(pick(&slots, at)?.worker))
            }
            Step::WithdrawNode { node } => Event::Withdraw(Withdrawal::Node(NodeId(node))),
            Step::Call(new) => Event::Call(self.call(new)),
            Step::Cancel { pick: at } => Event::Cancel {
                call: pick(&self.model.known(), at)?,
            },
            Step::Accept { pick: at } => {
                let (slot, _) = pick(&self.model.held(), at)?;
                Event::Accepted {
                    slot,
                    epoch: Epoch(self.model.epoch(slot)),
                }
            }
            Step::Refuse { pick: at, stale } => {
                let (slot, _) = pick(&self.model.held(), at)?;
                Event::Refused {
                    slot,
                    epoch: Epoch(self.model.epoch(slot) - u64::from(stale)),
                }
            }
            Step::End { pick: at, lost } => {
                let (slot, call) = pick(&self.model.held(), at)?;
                if lost {
                    Event::Lost { slot, call }
                } else {
                    Event::Outcome { slot, call }
                }
            }
            Step::Stray { slot, call } => {
                let slot = pick(&slots, slot)?;
                let number = call as u64 % (self.calls + 1);
                Event::Outcome {
                    slot,
                    call: CallId { number, attempt: 0 },
                }
            }
            // The next event brings the time along; only sometimes that is a tick.
            Step::Pass { ms } => {
                self.now = self.now.after(Duration::from_millis(ms));
                return None;
            }
            Step::PassToDeadline => {
                self.now = self.core.next_deadline()?.max(self.now);
                return None;
            }
            Step::Tick => Event::Tick,
        })
    }

    fn call(&mut self, new: NewCall) -> Call {
        self.calls += 1;
        let mut details = Details::of_kind("k");
        if let Some(version) = new.version {
            details
                .versions
                .insert("v".into(), version.to_string().into());
        }
        let running = self.model.held();
        Call {
            id: CallId {
                number: self.calls,
                attempt: 0,
            },
            details: Arc::new(details),
            function: if new.function < 2 {
                "f".into()
            } else {
                "g".into()
            },
            shape: Arc::new(Shape::Positional(0)),
            json: None,
            input: new.input,
            class: new.class,
            key: new.key,
            seed: new.seed,
            deadline: new
                .timeout_ms
                .map(|ms| self.now.after(Duration::from_millis(ms))),
            bytes: new.bytes,
            avoid: Avoid {
                workers: new.avoid_worker.map(worker_id).into_iter().collect(),
                nodes: new.avoid_node.map(NodeId).into_iter().collect(),
                pools: Vec::new(),
            },
            only: None,
            parent: new
                .parent
                .and_then(|at| pick(&running, at))
                .map(|(_, call)| call),
        }
    }

    /// The liveness phase: every worker ends what it holds and offers its slots, until nobody
    /// waits who could be served; then time runs out for the rest. Every call is answered once.
    pub fn come_to_rest(&mut self) {
        loop {
            let answered = self.model.ended();
            for (slot, call) in self.model.held() {
                self.feed(Event::Outcome { slot, call });
            }
            for slot in self.model.slots() {
                let epoch = Epoch(self.model.epoch(slot) + 1);
                self.feed(Event::Offer { slot, epoch });
            }
            if self.model.ended() == answered && self.model.held().is_empty() {
                break;
            }
        }
        self.model.assert_only_unserviceable_calls_wait();
        while let Some(deadline) = self.core.next_deadline() {
            self.now = deadline.max(self.now);
            self.feed(Event::Tick);
        }
        self.model.assert_every_call_was_answered_once();
        assert_eq!(self.core.calls_len(), 0);
        assert!(self.core.pools().all(|pool| pool.running == 0));
    }
}

fn name(program: u8) -> Arc<str> {
    format!("program {program}").into()
}
