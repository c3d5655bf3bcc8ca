//! The promises of the core, kept by a model that is as naive as can be: lists, searched from end
//! to end. It sees events and commands. Of the core it asks only in which of several equal pools
//! a call waits, and holds that choice against its own list of candidates.

use pool::{
    Call, CallId, Class, Command, Core, Description, Details, Epoch, Event, Function, Lobby,
    PoolId, Program, Rejection, SlotId, StopReason, Time, Withdrawal, WorkerId,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub static LOBBY: LazyLock<Lobby> = LazyLock::new(|| Lobby {
    timeout: Duration::from_millis(600),
    queue_max: 3,
    queue_bytes_max: 60,
});

/// What the workers of each version say. All have the function `f`, version 0 has `g` too.
pub static VERSIONS_OF: LazyLock<Vec<Arc<Description>>> = LazyLock::new(|| {
    let function = |name: &str| Function {
        name: name.into(),
        doc: "".into(),
        idempotent: false,
        stream: false,
        parameters: Vec::new(),
        result: "any".into(),
    };
    let describes = |version: u8| {
        let mut details = Details::of_kind("k");
        details
            .versions
            .insert("v".into(), version.to_string().into());
        let names: &[&str] = if version == 0 { &["f", "g"] } else { &["f"] };
        let functions = names.iter().map(|name| function(name)).collect();
        Arc::new(Description { details, functions })
    };
    (0..crate::steps::VERSIONS).map(describes).collect()
});

/// A pool is known by the version of its workers.
type Version = usize;

#[derive(Default)]
pub struct Model {
    now: Time,
    programs: BTreeMap<Arc<str>, Configured>,
    workers: BTreeMap<WorkerId, Worker>,
    calls: BTreeMap<CallId, CallState>,
    offers: u64,
    /// Commands that must follow from the event at hand.
    due: Vec<Command>,
}

struct Configured {
    settings: Program,
    latest: Option<Version>,
}

struct Worker {
    program: Arc<str>,
    version: Version,
    batch_max: usize,
    leaving: bool,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    epoch: u64,
    /// When it became free, in the order of offers.
    free: Option<u64>,
    held: Vec<CallId>,
    accepted: bool,
}

struct CallState {
    call: Call,
    arrived: Time,
    limit: Time,
    deadline: Time,
    stage: Stage,
    answers: usize,
    cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In no pool yet.
    New,
    Lobby,
    Waits(Version),
    /// `stopped` after the deadline.
    Held {
        slot: SlotId,
        stopped: bool,
    },
    Ended,
}

impl CallState {
    fn waits(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Lobby | Stage::Waits(_))
    }

    fn awaited(&self) -> bool {
        self.answers == 0 && !self.cancelled
    }

    /// Numbers count up with the arrivals.
    fn place(&self) -> (Class, u64) {
        (self.call.class, self.call.id.number)
    }

    fn answer(&mut self) {
        assert!(
            !self.cancelled,
            "{} is answered though it was cancelled",
            self.call.id
        );
        self.answers += 1;
        assert_eq!(self.answers, 1, "{} is answered again", self.call.id);
    }
}

fn version_of(core: &Core, pool: PoolId) -> Version {
    let description = core.description(pool).expect("the core named the pool");
    VERSIONS_OF
        .iter()
        .position(|known| known == description)
        .expect("a version of these tests")
}

/// What the steps choose from.
impl Model {
    pub fn slots(&self) -> Vec<SlotId> {
        let slots = |(id, worker): (&WorkerId, &Worker)| {
            let worker_id = *id;
            (0..worker.slots.len()).map(move |index| SlotId {
                worker: worker_id,
                index: u16::try_from(index).expect("few slots"),
            })
        };
        self.workers.iter().flat_map(slots).collect()
    }

    pub fn held(&self) -> Vec<(SlotId, CallId)> {
        let slots = self.slots().into_iter();
        slots
            .flat_map(|id| self.slot(id).held.iter().map(move |call| (id, *call)))
            .collect()
    }

    pub fn known(&self) -> Vec<CallId> {
        self.calls.keys().copied().collect()
    }

    pub fn epoch(&self, slot: SlotId) -> u64 {
        self.slot(slot).epoch
    }

    pub fn is_busy(&self, slot: SlotId) -> bool {
        !self.slot(slot).held.is_empty()
    }

    pub fn ended(&self) -> usize {
        self.calls
            .values()
            .filter(|call| call.stage == Stage::Ended)
            .count()
    }

    fn slot(&self, id: SlotId) -> &Slot {
        &self.workers[&id.worker].slots[usize::from(id.index)]
    }

    fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.workers
            .get_mut(&id.worker)?
            .slots
            .get_mut(usize::from(id.index))
    }

    fn call_mut(&mut self, id: CallId) -> &mut CallState {
        self.calls
            .get_mut(&id)
            .expect("the core speaks of calls that were made")
    }
}

/// What is true of pools, searched for each time.
impl Model {
    /// The programs that feed a pool: by a live worker, or by their latest introduction.
    fn feeders(&self, version: Version) -> Vec<&Arc<str>> {
        let live = self
            .workers
            .values()
            .filter(|w| !w.leaving && w.version == version);
        let latest = self
            .programs
            .iter()
            .filter(|(_, p)| p.latest == Some(version));
        live.map(|worker| &worker.program)
            .chain(latest.map(|(name, _)| name))
            .collect()
    }

    fn settings(&self, version: Version) -> Vec<&Program> {
        let programs = self
            .feeders(version)
            .into_iter()
            .filter_map(|name| self.programs.get(name));
        programs.map(|program| &program.settings).collect()
    }

    fn timeout(&self, version: Version) -> Duration {
        self.settings(version)
            .iter()
            .map(|p| p.timeout)
            .max()
            .expect("the pool takes calls")
    }

    fn has_room(&self, version: Version, calls: usize, bytes: usize) -> bool {
        let settings = self.settings(version);
        settings.iter().any(|p| calls <= p.queue_max)
            && settings.iter().any(|p| bytes <= p.queue_bytes_max)
    }

    fn is_starting(&self) -> bool {
        self.programs
            .values()
            .any(|program| program.latest.is_none())
    }

    /// The pools that match best among those that take calls, and whether any matches at all.
    fn candidates(&self, call: &Call) -> (Vec<Version>, bool) {
        let wanted = call
            .details
            .versions
            .get("v")
            .map(|version| version.parse().expect("digits"));
        let takes_calls = |version: &Version| !self.settings(*version).is_empty();
        let all = (0..VERSIONS_OF.len()).filter(takes_calls);
        let matching: Vec<Version> = all
            .filter(|version| wanted.is_none_or(|wanted: Version| wanted == *version))
            .collect();
        let any = !matching.is_empty();
        let has = |version: &Version| &*call.function == "f" || *version == 0;
        (matching.into_iter().filter(has).collect(), any)
    }

    fn waiting_in(&self, stage: Stage) -> Vec<&CallState> {
        let mut waiting: Vec<_> = self.calls.values().filter(|c| c.stage == stage).collect();
        waiting.sort_by_key(|call| call.place());
        waiting
    }

    /// Free slots of a pool that a call may use, the longest idle first.
    fn free_for(&self, version: Version, call: &Call) -> Vec<SlotId> {
        let of_pool = |slot: &SlotId| self.workers[&slot.worker].version == version;
        let mut free: Vec<(u64, SlotId)> = self
            .slots()
            .into_iter()
            .filter(of_pool)
            .filter(|slot| !call.avoid.worker(slot.worker))
            .filter_map(|slot| Some((self.slot(slot).free?, slot)))
            .collect();
        free.sort();
        free.into_iter().map(|(_, slot)| slot).collect()
    }

    fn is_deadlocked(&self, version: Version, call: &Call) -> bool {
        let mut ancestors = Vec::new();
        let mut next = call.parent;
        while let Some(id) = next {
            ancestors.push(id);
            next = self.calls[&id].call.parent;
        }
        let slots: Vec<SlotId> = self.slots();
        let mut live = slots.iter().filter(|slot| {
            let worker = &self.workers[&slot.worker];
            worker.version == version && !worker.leaving
        });
        let ours = |slot: &&SlotId| {
            self.slot(**slot)
                .held
                .iter()
                .any(|id| ancestors.contains(id))
        };
        live.clone().count() > 0 && live.all(|slot| ours(&slot))
    }
}

impl Model {
    /// Holds the commands that followed from an event against the promises.
    pub fn check(&mut self, now: Time, event: &Event, commands: &[Command], core: &Core) {
        self.now = now;
        let expired = self.expire();
        let (first, rest) = commands.split_at(expired.len().min(commands.len()));
        assert_eq!(first, expired, "deadlines come first, in order");
        self.due.clear();
        self.apply(event);
        for command in rest {
            if let Some(at) = self.due.iter().position(|due| due == command) {
                self.due.remove(at);
                continue;
            }
            match command {
                Command::Assign { slot, epoch, calls } => self.assigned(*slot, *epoch, calls),
                Command::Reject { call, why } => self.rejected(*call, why, event, core),
                Command::Deliver { .. } | Command::Stop { .. } => panic!("not due: {command:?}"),
            }
        }
        assert_eq!(self.due, [], "missing after {event:?}");
        self.settle(core);
        self.compare_views(core);
    }

    /// What must happen to those whose time has come.
    fn expire(&mut self) -> Vec<Command> {
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

    fn apply(&mut self, event: &Event) {
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
            Event::Tick => {}
        }
    }

    fn introduce(&mut self, new: &pool::Introduction) {
        let Some(program) = self.programs.get_mut(&new.program) else {
            return;
        };
        if self.workers.contains_key(&new.worker) {
            return;
        }
        let version = VERSIONS_OF
            .iter()
            .position(|known| *known == new.description);
        let version = version.expect("a version of these tests");
        program.latest = Some(version);
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
        self.lose(id);
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
        let version = self.workers[&id.worker].version;
        let slot = self
            .slot_mut(id)
            .expect("steps refuse for slots that there are");
        if slot.epoch != epoch.0 || slot.accepted {
            return;
        }
        for call in std::mem::take(&mut slot.held) {
            let state = self.call_mut(call);
            state.stage = if state.awaited() {
                Stage::Waits(version)
            } else {
                Stage::Ended
            };
        }
        self.forget_those_who_left();
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

/// What the core decided.
impl Model {
    fn assigned(&mut self, id: SlotId, epoch: Epoch, calls: &[CallId]) {
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

    fn rejected(&mut self, id: CallId, why: &Rejection, event: &Event, core: &Core) {
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
            Rejection::BadArguments(_) | Rejection::Lost { .. } | Rejection::Deadline { .. } => {
                false
            }
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
    fn settle(&mut self, core: &Core) {
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
    fn compare_views(&self, core: &Core) {
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
