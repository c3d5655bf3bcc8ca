//! What the core decided, held against the promises, and what must hold before the next event.

use super::{CallState, LOBBY, Model, Stage, Version, version_of};
use pool::{CallId, Class, Core, Epoch, Event, Rejection, SlotId};

impl Model {
    pub(super) fn assigned(&mut self, id: SlotId, epoch: Epoch, calls: &[CallId]) {
        let worker = &self.workers[&id.worker];
        let slot = self.slot(id);
        assert!(
            !worker.leaving,
            "{id:?} is assigned though its worker retires"
        );
        assert!(
            slot.free.is_some(),
            "{id:?} is assigned and was not on offer"
        );
        assert_eq!(slot.held, [], "{id:?} is assigned while it holds calls");
        assert_eq!(slot.epoch, epoch.0, "the assignment takes up an old offer");
        let (version, first) = (worker.version, &self.calls[&calls[0]]);
        assert!(first.waits(), "{} is assigned and did not wait", calls[0]);
        assert_eq!(
            self.free_for(version, &first.call)[0],
            id,
            "not the longest idle slot"
        );
        let waiting = self.waiting_in(Stage::Waits(version));
        let mut queue = waiting
            .into_iter()
            .filter(|call| !call.call.avoid.worker(id.worker));
        if first.stage == Stage::Waits(version) {
            let same = |call: &&CallState| call.call.function == first.call.function;
            let oldest = queue.next().expect("the first waits there").call.id;
            let rest = queue.filter(same).map(|call| call.call.id);
            let batch: Vec<CallId> = std::iter::once(oldest)
                .chain(rest)
                .take(worker.batch_max)
                .collect();
            assert_eq!(calls, batch, "not the oldest of the highest class");
        } else {
            assert_eq!(calls.len(), 1, "a call that arrives is assigned alone");
            assert!(
                queue.next().is_none(),
                "{} overtakes one that waits",
                calls[0]
            );
            self.enters(calls[0], version);
        }
        for call in calls {
            let state = self.call_mut(*call);
            assert!(state.deadline > state.arrived, "{call} has no time");
            state.stage = Stage::Held {
                slot: id,
                stopped: false,
            };
            assert!(
                self.calls[call].deadline > self.now,
                "{call} is assigned after its deadline"
            );
        }
        let slot = self.slot_mut(id).expect("found above");
        (slot.free, slot.held, slot.accepted) = (None, calls.to_vec(), false);
    }

    /// A call that was in no pool, or in one that ended, is now in this one.
    fn enters(&mut self, id: CallId, version: Version) {
        let state = &self.calls[&id];
        assert!(
            self.candidates(&state.call).0.contains(&version),
            "{id} is in the wrong pool"
        );
        if let Stage::Waits(before) = state.stage {
            assert!(
                self.feeders(before).is_empty(),
                "{id} left a pool that has not ended"
            );
        }
        let timeout = self.timeout(version);
        let state = self.call_mut(id);
        state.deadline = state.limit.min(state.arrived.after(timeout));
    }

    pub(super) fn rejected(&mut self, id: CallId, why: &Rejection, event: &Event, core: &Core) {
        let state = &self.calls[&id];
        assert!(state.waits(), "{id} is rejected and did not wait");
        let (candidates, any) = self.candidates(&state.call);
        let nowhere = candidates.is_empty() && !self.is_starting();
        let was_in_pool = matches!(state.stage, Stage::Waits(_));
        // Calls that may have moved in this event before this one was rejected.
        let movers = |call: &&CallState| {
            let moves = match call.stage {
                Stage::Lobby => true,
                Stage::Waits(version) => self.feeders(version).is_empty(),
                _ => false,
            };
            moves && call.call.id != id && !matches!(event, Event::Call(_))
        };
        let movers: Vec<&CallState> = self.calls.values().filter(movers).collect();
        let load = |stage| -> (usize, usize) {
            let waiting = self.waiting_in(stage);
            let others = waiting
                .iter()
                .chain(&movers)
                .filter(|call| call.call.id != id);
            others.fold((1, state.call.bytes), |(n, bytes), c| {
                (n + 1, bytes + c.call.bytes)
            })
        };
        let is_right = match why {
            Rejection::NoPool => nowhere && !any && !was_in_pool,
            Rejection::NoFunction => nowhere && any && !was_in_pool,
            Rejection::BadArguments(misfit) => nowhere && any && !was_in_pool && misfit.input,
            Rejection::Removed => nowhere && was_in_pool,
            Rejection::Busy { pool: None, .. } => {
                let (calls, bytes) = load(Stage::Lobby);
                let room = calls <= LOBBY.queue_max && bytes <= LOBBY.queue_bytes_max;
                candidates.is_empty() && self.is_starting() && !room
            }
            Rejection::Busy {
                pool: Some(pool), ..
            } => {
                let version = version_of(core, *pool);
                let (calls, bytes) = load(Stage::Waits(version));
                let room = self.has_room(version, calls, bytes);
                let free = self.free_for(version, &state.call);
                candidates.contains(&version) && !room && free.is_empty()
            }
            Rejection::Deadlock => candidates
                .iter()
                .any(|v| self.is_deadlocked(*v, &state.call)),
            Rejection::Deadline { running: None } => {
                let late = |v: &Version| state.arrived.after(self.timeout(*v)) <= self.now;
                let no_lobby = state.arrived.after(LOBBY.timeout) <= self.now;
                state.limit <= self.now
                    || candidates.iter().any(late)
                    || candidates.is_empty() && self.is_starting() && no_lobby
            }
            Rejection::Lost { .. } | Rejection::Deadline { .. } => false,
        };
        assert!(
            is_right,
            "{id} in {:?} is rejected with {why:?}",
            state.stage
        );
        let state = self.call_mut(id);
        state.answer();
        state.stage = Stage::Ended;
    }

    /// Finds those who wait, and asserts that they wait in the right place, with reason.
    pub(super) fn settle(&mut self, core: &Core) {
        let waiting = |(id, call): (&CallId, &CallState)| call.waits().then_some(*id);
        let waiting: Vec<CallId> = self.calls.iter().filter_map(waiting).collect();
        let mut entered = Vec::new();
        for id in waiting {
            assert_eq!(core.slot_of(id), None, "{id} was never assigned");
            let before = self.calls[&id].stage;
            let stage = match core.pool_of(id) {
                Some(pool) => Stage::Waits(version_of(core, pool)),
                None => Stage::Lobby,
            };
            if stage != before {
                entered.push(stage);
                if let Stage::Waits(version) = stage {
                    let stuck = self.is_deadlocked(version, &self.calls[&id].call);
                    assert!(!stuck, "{id} waits for its own ancestors");
                    self.enters(id, version);
                } else {
                    let state = self.call_mut(id);
                    state.deadline = state.limit.min(state.arrived.after(LOBBY.timeout));
                }
            }
            self.call_mut(id).stage = stage;
            let state = &self.calls[&id];
            assert!(state.deadline > self.now, "{id} waits beyond its deadline");
            if let Stage::Waits(version) = stage {
                assert!(
                    !self.feeders(version).is_empty(),
                    "{id} waits for a pool that ended"
                );
                let free = self.free_for(version, &state.call);
                assert_eq!(free, [], "{id} waits while slots are free");
            } else {
                let nowhere = self.candidates(&state.call).0.is_empty();
                assert!(
                    nowhere && self.is_starting(),
                    "{id} waits in the lobby for nothing"
                );
            }
        }
        for stage in entered {
            let waiting = self.waiting_in(stage);
            let (calls, bytes) = (waiting.len(), waiting.iter().map(|c| c.call.bytes).sum());
            let room = match stage {
                Stage::Waits(version) => self.has_room(version, calls, bytes),
                _ => calls <= LOBBY.queue_max && bytes <= LOBBY.queue_bytes_max,
            };
            assert!(
                room,
                "{calls} calls of {bytes} bytes are too many for {stage:?}"
            );
        }
    }

    /// What the core shows of itself is what the model knows.
    pub(super) fn compare_views(&self, core: &Core) {
        let live = self
            .calls
            .values()
            .filter(|call| call.stage != Stage::Ended);
        assert_eq!(core.calls_len(), live.clone().count());
        assert_eq!(core.lobby_len(), self.waiting_in(Stage::Lobby).len());
        assert_eq!(core.waits_for_programs(), self.is_starting());
        let ahead = live.filter(|c| !matches!(c.stage, Stage::Held { stopped: true, .. }));
        assert_eq!(core.next_deadline(), ahead.map(|call| call.deadline).min());
        for view in core.pools() {
            let version = version_of(core, view.id);
            let workers = || self.workers.values().filter(move |w| w.version == version);
            let slots = || workers().flat_map(|worker| &worker.slots);
            let live = workers().filter(|worker| !worker.leaving);
            assert_eq!(
                view.slots,
                live.map(|worker| worker.slots.len()).sum::<usize>()
            );
            assert_eq!(
                view.free,
                slots().filter(|slot| slot.free.is_some()).count()
            );
            assert_eq!(
                view.running,
                slots().map(|slot| slot.held.len()).sum::<usize>()
            );
            let waiting = self.waiting_in(Stage::Waits(version));
            let of = |class| {
                waiting
                    .iter()
                    .filter(|call| call.call.class == class)
                    .count()
            };
            let counts = (view.waiting.high, view.waiting.normal, view.waiting.low);
            assert_eq!(counts, (of(Class::High), of(Class::Normal), of(Class::Low)));
        }
    }

    /// After every slot was offered.
    pub fn assert_only_unserviceable_calls_wait(&self) {
        for call in self.calls.values().filter(|call| call.waits()) {
            let Stage::Waits(version) = call.stage else {
                continue;
            };
            let mut workers = self
                .workers
                .iter()
                .filter(|(_, worker)| worker.version == version);
            let may_run = workers.any(|(id, _)| !call.call.avoid.worker(*id));
            assert!(!may_run, "{} was never served", call.call.id);
        }
    }

    pub fn assert_every_call_was_answered_once(&self) {
        for (id, call) in &self.calls {
            assert_eq!(
                call.answers,
                usize::from(!call.cancelled),
                "answers of {id}"
            );
            assert_eq!(call.stage, Stage::Ended, "{id}");
        }
    }
}
