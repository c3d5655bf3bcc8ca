//! What happens to calls: they arrive, wait, are assigned, expire, are cancelled, end.

use crate::core::{CallState, Core, SlotState, Stage};
use crate::event::{Call, Calls, Command, Rejection, StopReason};
use crate::queue::Place;
use crate::{CallId, Epoch, PoolId, SlotId, Time};
use smallvec::smallvec;
use std::time::Duration;

impl Core {
    pub(crate) fn call(&mut self, mut call: Call, commands: &mut Vec<Command>) {
        assert!(
            !self.calls.contains_key(&call.id),
            "call id {} is used twice",
            call.id
        );
        let mut limit = call.deadline.unwrap_or(Time(u64::MAX));
        // A parent that is not known cannot be one later: chains of parents have an end.
        call.parent = call.parent.filter(|parent| self.calls.contains_key(parent));
        if let Some(parent) = call.parent.and_then(|parent| self.calls.get(&parent)) {
            call.class = call.class.max(parent.call.class);
            limit = limit.min(parent.deadline);
        }
        self.arrivals += 1;
        let place = Place {
            class: call.class,
            arrival: self.arrivals,
        };
        let id = call.id;
        let (arrived, deadline) = (self.now, limit);
        let state = CallState {
            call,
            arrived,
            limit,
            deadline,
            place,
            stage: Stage::Lobby,
        };
        self.deadlines.insert((deadline, id));
        self.calls.insert(id, state);
        if limit <= self.now {
            self.reject(id, Rejection::Deadline { running: None }, commands);
        } else {
            self.admit(id, commands);
        }
    }

    /// Finds a place for a call that is in no queue: a slot, a queue, the lobby or an error.
    pub(crate) fn admit(&mut self, id: CallId, commands: &mut Vec<Command>) {
        let state = &self.calls[&id];
        match self.route(&state.call) {
            Ok(pool) => self.enter(id, pool, commands),
            Err(why) if !self.is_starting() || state.call.only.is_some() => {
                self.reject(id, why, commands);
            }
            Err(_) if state.arrived.after(self.lobby.timeout) <= self.now => {
                self.reject(id, Rejection::Deadline { running: None }, commands);
            }
            Err(_) => {
                let (waiting, bytes) = (self.lobby_queue.len(), self.lobby_queue.bytes());
                let size = state.call.bytes;
                let full = waiting >= self.lobby.queue_max
                    || bytes.saturating_add(size) > self.lobby.queue_bytes_max;
                if full {
                    self.reject(
                        id,
                        Rejection::Busy {
                            pool: None,
                            waiting,
                        },
                        commands,
                    );
                    return;
                }
                self.lobby_queue.push(state.place, id, size);
                self.set_stage(id, Stage::Lobby);
                self.set_timeout(id, self.lobby.timeout);
            }
        }
    }

    fn enter(&mut self, id: CallId, pool_id: PoolId, commands: &mut Vec<Command>) {
        let pool = &self.pools[&pool_id];
        let state = &self.calls[&id];
        let timeout = pool.settings.timeout;
        if state.arrived.after(timeout) <= self.now {
            self.reject(id, Rejection::Deadline { running: None }, commands);
            return;
        }
        let avoid = &state.call.avoid;
        let slot = pool.free.iter().find(|(_, slot)| avoid.allows(**slot));
        if let Some((&order, &slot)) = slot {
            self.pool_mut(pool_id).free.remove(&order);
            self.set_timeout(id, timeout);
            self.assign(slot, smallvec![id], commands);
            return;
        }
        let (waiting, bytes) = (pool.queue.len(), pool.queue.bytes());
        if self.is_deadlocked(pool_id, id) {
            self.reject(id, Rejection::Deadlock, commands);
        } else if waiting >= pool.settings.queue_max
            || bytes.saturating_add(state.call.bytes) > pool.settings.queue_bytes_max
        {
            self.reject(
                id,
                Rejection::Busy {
                    pool: Some(pool_id),
                    waiting,
                },
                commands,
            );
        } else {
            let (place, bytes) = (state.place, state.call.bytes);
            self.pool_mut(pool_id).queue.push(place, id, bytes);
            self.queue_changed(pool_id);
            self.set_stage(id, Stage::Waiting(pool_id));
            self.set_timeout(id, timeout);
        }
    }

    /// Whether every slot of the pool is held by the call's own ancestors, so that it could only
    /// wait for itself.
    fn is_deadlocked(&self, pool: PoolId, call: CallId) -> bool {
        let mut held = Vec::new();
        let mut next = self.calls[&call].call.parent;
        while let Some(ancestor) = next.and_then(|id| self.calls.get(&id)) {
            next = ancestor.call.parent;
            if let Stage::Held { slot, .. } = ancestor.stage {
                let worker = &self.workers[&slot.worker];
                if worker.pool == pool && !worker.leaving && !held.contains(&slot) {
                    held.push(slot);
                }
            }
        }
        !held.is_empty() && held.len() == self.pools[&pool].slots
    }

    /// Hands calls that are in no queue to a slot that is on no list.
    pub(crate) fn assign(&mut self, slot: SlotId, calls: Calls, commands: &mut Vec<Command>) {
        for &call in &calls {
            self.set_stage(
                call,
                Stage::Held {
                    slot,
                    awaited: true,
                },
            );
        }
        let state = self.slot_mut(slot).expect("a slot on offer has a worker");
        state.state = SlotState::Held {
            calls: calls.clone(),
            accepted: false,
        };
        let epoch = state.epoch;
        let pool = self.workers[&slot.worker].pool;
        self.pool_mut(pool).running += calls.len();
        commands.push(Command::Assign { slot, epoch, calls });
    }

    /// Gives a slot that is on no list to those who wait: the oldest call of the highest class
    /// that may run there, with others of its function if the worker takes batches. False if
    /// there is none.
    pub(crate) fn serve(&mut self, slot: SlotId, commands: &mut Vec<Command>) -> bool {
        let worker = &self.workers[&slot.worker];
        // A place ahead leads to any worker of the pool: what one takes at a time, all take.
        let batch_max = if slot.is_ahead() { 1 } else { worker.batch_max };
        let pool = worker.pool;
        let mut chosen: Vec<(Place, CallId)> = Vec::new();
        for (place, id) in self.pools[&pool].queue.iter() {
            let call = &self.calls[&id].call;
            let joins = match chosen.first() {
                None => true,
                Some((_, first)) => self.calls[first].call.function == call.function,
            };
            if joins && call.avoid.allows(slot) {
                chosen.push((place, id));
                if chosen.len() == batch_max {
                    break;
                }
            }
        }
        if chosen.is_empty() {
            return false;
        }
        for (place, _) in &chosen {
            self.pool_mut(pool).queue.remove(*place);
        }
        self.queue_changed(pool);
        self.assign(
            slot,
            chosen.into_iter().map(|(_, id)| id).collect(),
            commands,
        );
        true
    }

    pub(crate) fn accepted(&mut self, slot: SlotId, epoch: Epoch) {
        if let Some(slot) = self.slot_mut(slot)
            && slot.epoch == epoch
            && let SlotState::Held { accepted, .. } = &mut slot.state
        {
            *accepted = true;
        }
    }

    pub(crate) fn refused(&mut self, id: SlotId, epoch: Epoch, commands: &mut Vec<Command>) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.epoch != epoch
            || !matches!(
                slot.state,
                SlotState::Held {
                    accepted: false,
                    ..
                }
            )
        {
            return;
        }
        self.give_back(id);
        let pool = self.workers[&id.worker].pool;
        self.bury(id.worker);
        self.prune(&[pool], commands);
        self.serve_free(pool, commands);
    }

    /// Takes the calls off a slot whose manager has not taken them.
    pub(crate) fn give_back(&mut self, id: SlotId) {
        for call in self.release(id) {
            match self.calls[&call].stage {
                Stage::Held { awaited: true, .. } => self.requeue(id, call),
                _ => self.forget(call),
            }
        }
    }

    /// Puts a refused call back in its place. The queue may exceed its bound by the calls that were
    /// refused: they had been admitted.
    fn requeue(&mut self, slot: SlotId, call: CallId) {
        let pool = self.workers[&slot.worker].pool;
        let state = &self.calls[&call];
        let (place, bytes) = (state.place, state.call.bytes);
        self.pool_mut(pool).queue.push(place, call, bytes);
        self.queue_changed(pool);
        self.set_stage(call, Stage::Waiting(pool));
    }

    /// Lets free slots take calls that came back to the queue.
    pub(crate) fn serve_free(&mut self, pool: PoolId, commands: &mut Vec<Command>) {
        while let Some((order, slot)) = self.first_fit(pool) {
            self.pool_mut(pool).free.remove(&order);
            let served = self.serve(slot, commands);
            assert!(served, "{slot:?} fits a call that waits");
        }
    }

    /// The slot for the first of those who wait that may use one. Calls come first: while slots
    /// are free, few wait, and there may be very many slots.
    fn first_fit(&self, pool: PoolId) -> Option<(u64, SlotId)> {
        let pool = self.pools.get(&pool).filter(|pool| !pool.free.is_empty())?;
        pool.queue.iter().find_map(|(_, id)| {
            let avoid = &self.calls[&id].call.avoid;
            let fit = pool.free.iter().find(|(_, slot)| avoid.allows(**slot));
            fit.map(|(order, slot)| (*order, *slot))
        })
    }

    pub(crate) fn ended(&mut self, slot: SlotId, call: CallId, commands: &mut Vec<Command>) {
        let Some(state) = self.calls.get(&call) else {
            return;
        };
        let Stage::Held {
            slot: holder,
            awaited,
        } = state.stage
        else {
            return;
        };
        if holder != slot {
            return;
        }
        if awaited {
            commands.push(Command::Deliver { call });
        }
        self.let_go(slot, call);
        self.forget(call);
        if let Some(pool) = self.bury(slot.worker) {
            self.prune(&[pool], commands);
        }
    }

    pub(crate) fn cancel(&mut self, id: CallId, commands: &mut Vec<Command>) {
        let Some(state) = self.calls.get_mut(&id) else {
            return;
        };
        match &mut state.stage {
            Stage::Held { slot, awaited } => {
                if std::mem::replace(awaited, false) {
                    let why = StopReason::ClientLeft;
                    commands.push(Command::Stop {
                        slot: *slot,
                        call: id,
                        why,
                    });
                }
            }
            Stage::Waiting(_) | Stage::Lobby => {
                self.leave_queue(id);
                self.forget(id);
            }
        }
    }

    /// Answers every call whose deadline has passed.
    pub(crate) fn expire(&mut self, commands: &mut Vec<Command>) {
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= self.now
        {
            self.deadlines.pop_first();
            let state = self
                .calls
                .get_mut(&id)
                .expect("deadlines are of known calls");
            if let Stage::Held { slot, awaited } = &mut state.stage {
                let slot = *slot;
                if std::mem::replace(awaited, false) {
                    let why = Rejection::Deadline {
                        running: Some(slot),
                    };
                    commands.push(Command::Reject { call: id, why });
                }
                commands.push(Command::Stop {
                    slot,
                    call: id,
                    why: StopReason::Deadline,
                });
            } else {
                self.leave_queue(id);
                self.reject(id, Rejection::Deadline { running: None }, commands);
            }
        }
    }

    /// Answers a call that is in no queue and no slot.
    pub(crate) fn reject(&mut self, call: CallId, why: Rejection, commands: &mut Vec<Command>) {
        self.forget(call);
        commands.push(Command::Reject { call, why });
    }

    fn leave_queue(&mut self, id: CallId) {
        let state = &self.calls[&id];
        let place = state.place;
        match state.stage {
            Stage::Lobby => self.lobby_queue.remove(place),
            Stage::Waiting(pool) => {
                self.pool_mut(pool).queue.remove(place);
                self.queue_changed(pool);
            }
            Stage::Held { .. } => {}
        }
    }

    pub(crate) fn forget(&mut self, id: CallId) {
        if let Some(state) = self.calls.remove(&id) {
            self.deadlines.remove(&(state.deadline, id));
        }
    }

    fn set_stage(&mut self, id: CallId, stage: Stage) {
        self.calls
            .get_mut(&id)
            .expect("only known calls change their stage")
            .stage = stage;
    }

    /// The deadline is the program's timeout after the arrival, or what the caller or the parent
    /// allows if that is less.
    fn set_timeout(&mut self, id: CallId, timeout: Duration) {
        let state = self
            .calls
            .get_mut(&id)
            .expect("only known calls have deadlines");
        let deadline = state.arrived.after(timeout).min(state.limit);
        self.deadlines.remove(&(state.deadline, id));
        state.deadline = deadline;
        self.deadlines.insert((deadline, id));
    }
}
