//! The workers of this node: what their tasks tell, and who gets their slots.
//!
//! The exchange says which dispatcher a slot is offered to, and whose assignment is taken; the core
//! of this node is one of these dispatchers. What a worker reports of a call goes to the one that
//! assigned it.

use crate::error::CallError;
use crate::input::InputSender;
use crate::peer::message::{Encoding, Introduced, ToDispatcher};
use crate::shell::{Loop, Step};
use crate::slots::{Assigned, Assignment, Notice, Slots};
use bytes::Bytes;
use pool::exchange::{Command, Event as Trade, Want};
use pool::{
    CallId, Class, Epoch, Event, Introduction, NodeId, Program, SlotId, StopReason, Withdrawal,
    WorkerId,
};
use std::time::Duration;
use term::Payload;

/// A worker of this node.
pub(crate) struct Near {
    introduction: Introduction,
    /// The hash of its pool.
    pool: u64,
    program: Program,
    pub pid: u32,
    slots: Box<dyn Slots>,
    /// The last offer of each slot, as the worker counts them.
    epochs: Vec<Epoch>,
}

/// Calls that wait here for a slot.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The offer that they took up.
    epoch: Epoch,
    calls: Vec<Assigned>,
}

impl Near {
    /// The hash of its pool, if it is a worker of that program.
    pub fn feeds(&self, program: &str) -> Option<u64> {
        (&*self.introduction.program == program).then_some(self.pool)
    }
}

/// A call of another node's dispatcher on a worker here.
#[derive(Debug)]
pub(crate) struct Lent {
    pub dispatcher: NodeId,
    slot: SlotId,
    /// Where its input comes in.
    pub input: Option<InputSender>,
}

impl Loop {
    pub(crate) fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Program(program) => {
                self.programs.insert(program.name.clone(), program.clone());
                self.unconfigured.remove(&program.name);
                self.feed(Event::Program(program), None);
            }
            Notice::Removed { program } => {
                self.programs.remove(&program);
                self.unconfigured.insert(program);
                self.forget_unconfigured();
            }
            Notice::Turn { rank, of } => {
                self.core.set_turn(rank, of);
                self.exchange.set_ahead(of > 1);
            }
            Notice::Introduced {
                introduction,
                program,
                pid,
                slots,
            } => {
                self.meet(&program);
                self.introduced(introduction, program, pid, slots);
            }
            Notice::Offered { slot, epoch } => self.freed(slot, epoch),
            Notice::Withdrawn(worker) => {
                self.trade(Trade::Withdrawn(worker));
                self.dismiss(worker);
                self.forget_unconfigured();
            }
            Notice::Refused { slot, epoch } => {
                let last = self.near.get(&slot.worker);
                if last.is_some_and(|near| near.epochs[usize::from(slot.index)] == epoch) {
                    self.declined(slot);
                }
            }
            Notice::Begun { slot, call, pieces } => {
                match self.lent.get(&call).map(|lent| lent.dispatcher) {
                    None => self.begun(slot, call, pieces),
                    Some(dispatcher) => {
                        self.say_to(dispatcher, ToDispatcher::Begun { slot, call });
                        self.relay(dispatcher, call, pieces);
                    }
                }
            }
            Notice::Ended {
                slot,
                call,
                result,
                offer,
            } => {
                match self.lent.remove(&call) {
                    None => self.ended(slot, call, result),
                    Some(lent) => self.lent_ended(&lent, call, result),
                }
                self.trade(Trade::Ended { slot });
                match offer {
                    Some(epoch) => self.freed(slot, epoch),
                    None => self.dismiss(slot.worker),
                }
            }
            Notice::Lost { slot, call, error } => {
                match self.lent.remove(&call) {
                    None => self.feed(Event::Lost { slot, call }, Some(Err(error))),
                    Some(lent) => {
                        let message = ToDispatcher::Lost { slot, call, error };
                        self.say_to(lent.dispatcher, message);
                    }
                }
                self.trade(Trade::Ended { slot });
                self.dismiss(slot.worker);
            }
        }
    }

    /// Makes a program known that nobody has configured here, for as long as it has workers. What
    /// is configured here is as new as what a manager has heard.
    pub(crate) fn meet(&mut self, program: &Program) {
        if !self.programs.contains_key(&program.name) {
            self.unconfigured.insert(program.name.clone());
            self.feed(Event::Program(program.clone()), None);
        }
    }

    fn introduced(
        &mut self,
        introduction: Introduction,
        program: Program,
        pid: u32,
        slots: Box<dyn Slots>,
    ) {
        let worker = introduction.worker;
        let pool = introduction.pool_hash();
        let trade = Trade::Introduced {
            worker,
            pool,
            slots: introduction.slots,
        };
        let near = Near {
            pool,
            program,
            pid,
            slots,
            epochs: vec![Epoch::default(); usize::from(introduction.slots)],
            introduction,
        };
        if let Some(older) = near.introduction.pool_hash_without_inputs() {
            self.pools_of_older.insert(older, pool);
        }
        self.near.insert(worker, near);
        self.trade(trade);
    }

    /// A worker's slot is free.
    fn freed(&mut self, slot: SlotId, epoch: Epoch) {
        let near = self.near.get_mut(&slot.worker);
        if let Some(last) = near.and_then(|near| near.epochs.get_mut(usize::from(slot.index)))
            && *last < epoch
        {
            *last = epoch;
            self.trade(Trade::Free { slot });
        }
    }

    /// A worker has not taken what it was assigned.
    fn declined(&mut self, slot: SlotId) {
        self.lent.retain(|_, lent| lent.slot != slot);
        self.trade(Trade::Declined { slot });
        self.dismiss(slot.worker);
    }

    /// Passes on how a call of this node's core ended.
    pub(crate) fn ended(&mut self, slot: SlotId, call: CallId, result: Result<Payload, CallError>) {
        self.feed(Event::Outcome { slot, call }, Some(result));
        self.dismiss_far(slot.worker);
    }

    /// Passes on how a call of another node's core ended.
    fn lent_ended(&mut self, lent: &Lent, call: CallId, result: Result<Payload, CallError>) {
        let slot = lent.slot;
        let (result, payload) = match result {
            Ok(payload) => (Ok(Encoding::of(&payload)), payload.bytes().clone()),
            Err(error) => (Err(error), Bytes::new()),
        };
        let message = ToDispatcher::Ended { slot, call, result };
        self.say_to_with(lent.dispatcher, message, payload);
    }

    /// Forgets a worker of this node that has left and holds nothing more.
    fn dismiss(&mut self, worker: WorkerId) {
        if !self.exchange.knows(worker) {
            self.near.remove(&worker);
            let near = &self.near;
            let is_there = |pool: u64| near.values().any(|near| near.pool == pool);
            self.pools_of_older.retain(|_, pool| is_there(*pool));
        }
    }

    /// Another node's dispatcher wants to be told of the slots here.
    pub(crate) fn join(&mut self, dispatcher: NodeId) {
        self.trade(Trade::Joined(dispatcher));
    }

    /// Another node's dispatcher is gone.
    pub(crate) fn leave(&mut self, dispatcher: NodeId) {
        for lent in self.lent.values_mut() {
            if lent.dispatcher == dispatcher {
                lent.input = None;
            }
        }
        self.trade(Trade::Left(dispatcher));
    }

    /// Whether an assignment from another node is one that a dispatcher makes: as many calls as the
    /// worker takes at a time, and none that it was given before.
    pub(crate) fn is_sound(&self, slot: SlotId, calls: &[Assigned]) -> bool {
        let near = self.near.get(&slot.worker);
        let batch_max = near.map_or(1, |near| usize::from(near.introduction.batch_max.max(1)));
        let is_new = |call: &Assigned| !self.lent.contains_key(&call.id);
        (1..=batch_max).contains(&calls.len()) && calls.iter().all(is_new)
    }

    /// Another node's dispatcher takes up an offer.
    pub(crate) fn take(
        &mut self,
        dispatcher: NodeId,
        slot: SlotId,
        epoch: Epoch,
        calls: Vec<Assigned>,
    ) {
        self.take_up(dispatcher, slot, epoch, calls);
        self.carry_on();
    }

    /// Asks the exchange whether an assignment stands, and gives it to the worker if it does. What
    /// follows from that is left to [`Loop::carry_on`].
    pub(crate) fn take_up(
        &mut self,
        dispatcher: NodeId,
        slot: SlotId,
        epoch: Epoch,
        calls: Vec<Assigned>,
    ) {
        let trade = Trade::Assign {
            dispatcher,
            slot,
            epoch,
        };
        let mut calls = Some(calls);
        let mut commands = std::mem::take(&mut self.trades);
        self.exchange.handle(self.now(), trade, &mut commands);
        let refused = Command::Refuse {
            dispatcher,
            slot,
            epoch,
        };
        if slot.is_ahead() && !commands.contains(&refused) {
            let calls = calls.take().expect("nothing took them yet");
            self.keep_ahead(dispatcher, slot, epoch, calls);
        }
        for command in commands.drain(..) {
            match command {
                Command::Take { .. } => {
                    let calls = calls.take().expect("an assignment is taken once");
                    self.hand_over(dispatcher, slot, calls);
                }
                other => self.settle(other),
            }
        }
        self.trades = commands;
    }

    /// Keeps calls for whichever slot of their pool becomes free next.
    fn keep_ahead(&mut self, dispatcher: NodeId, slot: SlotId, epoch: Epoch, calls: Vec<Assigned>) {
        self.lend(dispatcher, slot, &calls);
        self.ahead.insert(slot, Kept { epoch, calls });
    }

    /// Notes where calls of another node are, also when they have moved.
    fn lend(&mut self, dispatcher: NodeId, slot: SlotId, calls: &[Assigned]) {
        if dispatcher == self.here {
            return;
        }
        for call in calls {
            let lent = self.lent.entry(call.id).or_insert(Lent {
                dispatcher,
                slot,
                input: None,
            });
            lent.slot = slot;
        }
    }

    /// Lets go of calls that were kept and are not to run here.
    fn let_go(&mut self, slot: SlotId) {
        if let Some(kept) = self.ahead.remove(&slot) {
            for call in kept.calls {
                self.lent.remove(&call.id);
            }
        }
    }

    /// Calls that were kept have their slot.
    fn place(&mut self, dispatcher: NodeId, from: SlotId, slot: SlotId, epoch: Epoch) {
        let Some(Kept { calls, .. }) = self.ahead.remove(&from) else {
            return;
        };
        let ids: Vec<CallId> = calls.iter().map(|call| call.id).collect();
        if dispatcher == self.here {
            let placed = Event::Placed { from, slot, epoch };
            self.pending.push_back(Step::Core(placed));
            self.placed(slot, &ids);
        } else {
            let placed = ToDispatcher::Placed {
                from,
                slot,
                epoch,
                calls: ids,
            };
            self.say_to(dispatcher, placed);
        }
        self.hand_over(dispatcher, slot, calls);
    }

    fn hand_over(&mut self, dispatcher: NodeId, slot: SlotId, calls: Vec<Assigned>) {
        self.lend(dispatcher, slot, &calls);
        let near = &self.near[&slot.worker];
        let assignment = Assignment {
            slot,
            epoch: near.epochs[usize::from(slot.index)],
            calls,
        };
        if near.slots.assign(assignment).is_err() {
            self.lent.retain(|_, lent| lent.slot != slot);
            self.pending
                .push_back(Step::Trade(Trade::Declined { slot }));
        }
    }

    /// Carries out what the exchange decided, as far as it goes at once.
    pub(crate) fn settle(&mut self, command: Command) {
        let here = self.here;
        match command {
            Command::Introduce { dispatcher, worker } => self.introduce(dispatcher, worker),
            Command::Retire { dispatcher, worker } if dispatcher == here => {
                let leaves = Event::Withdraw(Withdrawal::Worker(worker));
                self.pending.push_back(Step::Core(leaves));
            }
            Command::Retire { dispatcher, worker } => {
                self.say_to(dispatcher, ToDispatcher::Leaves { worker });
            }
            Command::Offer {
                dispatcher,
                slot,
                epoch,
                sole,
            } => {
                if dispatcher == here {
                    self.pending.push_back(Step::Offer { slot, epoch, sole });
                } else {
                    self.say_to(dispatcher, ToDispatcher::Offered { slot, epoch, sole });
                }
            }
            Command::Withdraw { dispatcher, slot } if dispatcher == here => {
                let taken = Event::Withdraw(Withdrawal::Slot(slot));
                self.pending.push_back(Step::Core(taken));
            }
            Command::Withdraw { dispatcher, slot } => {
                self.say_to(dispatcher, ToDispatcher::Taken { slot });
            }
            Command::Take { .. } => unreachable!("only an assignment is taken, by take_up"),
            Command::Place {
                dispatcher,
                from,
                slot,
                epoch,
            } => self.place(dispatcher, from, slot, epoch),
            Command::Refuse {
                dispatcher,
                slot,
                epoch,
            } => {
                let kept = self.ahead.get(&slot);
                if kept.is_some_and(|kept| kept.epoch == epoch) {
                    self.let_go(slot);
                }
                if dispatcher == here {
                    let refused = Event::Refused { slot, epoch };
                    self.pending.push_back(Step::Core(refused));
                } else {
                    self.say_to(dispatcher, ToDispatcher::Refused { slot, epoch });
                }
            }
            Command::Abandoned { slot, .. } => self.abandoned(slot),
        }
    }

    fn introduce(&mut self, dispatcher: NodeId, worker: WorkerId) {
        let Some(near) = self.near.get(&worker) else {
            return;
        };
        let introduction = &near.introduction;
        if dispatcher == self.here {
            let introduced = Event::Introduced(introduction.clone());
            self.pending.push_back(Step::Core(introduced));
        } else {
            let introduced = Introduced::new(introduction, near.program.clone(), near.pid);
            self.say_to(dispatcher, ToDispatcher::Introduced(introduced));
        }
    }

    /// Nobody is left to have the answers of what a slot holds.
    fn abandoned(&mut self, slot: SlotId) {
        if slot.is_ahead() {
            self.let_go(slot);
            return;
        }
        let calls = self.lent.iter().filter(|(_, lent)| lent.slot == slot);
        let near = self.near.get(&slot.worker);
        for (call, near) in calls.zip(near.into_iter().cycle()) {
            near.slots.stop(*call.0, StopReason::ClientLeft);
        }
    }

    /// Another node no longer wants the answer of a call that it assigned.
    pub(crate) fn stop_lent(&mut self, node: NodeId, call: CallId, why: StopReason) {
        if let Some(lent) = self.lent.get_mut(&call)
            && lent.dispatcher == node
        {
            // No more of it comes, and whoever reads it is to know.
            lent.input = None;
            let slot = lent.slot;
            self.stop_near(slot, call, why);
            self.carry_on();
        }
    }

    /// The answer to a call is not wanted any more: tells the worker, or lets go of what is kept.
    pub(crate) fn stop_near(&mut self, slot: SlotId, call: CallId, why: StopReason) {
        if slot.is_ahead() {
            self.pending
                .push_back(Step::Trade(Trade::Declined { slot }));
        } else if let Some(near) = self.near.get(&slot.worker) {
            near.slots.stop(call, why);
        }
    }

    /// Another node has no use for a slot that was promised to it.
    pub(crate) fn release(&mut self, dispatcher: NodeId, slot: SlotId, epoch: Epoch) {
        self.trade(Trade::Release {
            dispatcher,
            slot,
            epoch,
        });
    }

    /// Another node says how much waits there for slots of a pool.
    pub(crate) fn wanted(
        &mut self,
        dispatcher: NodeId,
        pool: u64,
        class: Class,
        oldest_us: u64,
        waiting: u32,
    ) {
        let pool = match self.pools_of_older.get(&pool) {
            Some(known_here) if !self.near.values().any(|near| near.pool == pool) => *known_here,
            _ => pool,
        };
        let want = Want {
            pool,
            class,
            age: Duration::from_micros(oldest_us),
            waiting: waiting as usize,
        };
        self.trade(Trade::Want { dispatcher, want });
    }
}
