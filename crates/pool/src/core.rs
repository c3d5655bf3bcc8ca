//! The core's state and its one entrance, [`Core::handle`].
//!
//! The state is split by idea over this module's neighbours: `demand` holds what happens to calls,
//! `supply` what happens to slots, `route` the choice of a pool, `invariants` what must hold in
//! between. All maps that are iterated are ordered, so that a list of events gives the same
//! commands on every run.

use crate::event::{Call, Calls, Command, Event, Program};
use crate::queue::{Place, Queue};
use crate::turn::Turn;
use crate::wants::Changed;
use crate::{CallId, Description, Epoch, PoolId, SlotId, Time, WorkerId};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Where calls wait that match no pool while programs start, and what holds for a call before a
/// pool is found for it.
#[derive(Debug, Clone)]
pub struct Lobby {
    /// How long a call may wait there at most.
    pub timeout: Duration,
    /// Calls that may wait.
    pub queue_max: usize,
    /// Bytes of arguments that may wait.
    pub queue_bytes_max: usize,
}

/// Owns every pool, slot and call of one dispatcher. One owner, one loop: a lock around shared maps
/// would let a slot be taken between the look and the grab, which is how the first Katamari came to
/// put busy workers back on its idle list. There is no cache of matches to go stale either: pools
/// are few, and scoring them is cheap.
#[derive(Debug)]
pub struct Core {
    pub(crate) lobby: Lobby,
    pub(crate) lobby_queue: Queue,
    pub(crate) programs: BTreeMap<Arc<str>, ProgramState>,
    pub(crate) pools: BTreeMap<PoolId, Pool>,
    pub(crate) pool_ids: BTreeMap<u64, Vec<PoolId>>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) calls: FxHashMap<CallId, CallState>,
    pub(crate) deadlines: BTreeSet<(Time, CallId)>,
    pub(crate) now: Time,
    /// Counts arrivals, for places in queues.
    pub(crate) arrivals: u64,
    /// Counts offers, for the order of idleness.
    pub(crate) offers: u64,
    pub(crate) pools_made: u32,
    pub(crate) changed: Changed,
    pub(crate) turn: Turn,
}

#[derive(Debug)]
pub(crate) struct ProgramState {
    pub settings: Program,
    /// The pool of the last worker introduced. None while the program is still waited for.
    pub latest: Option<PoolId>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    /// Hash of the description, and of the program that it is set apart for; the same on every node.
    pub hash: u64,
    pub description: Arc<Description>,
    /// The program that it is set apart for.
    pub only: Option<Arc<str>>,
    pub queue: Queue,
    /// Free slots by the order of their offers: the longest idle comes first.
    pub free: BTreeMap<u64, SlotId>,
    /// The programs that feed it, with how many live workers each has in it. A program without
    /// workers stays listed while this is the pool of its latest introduction.
    pub programs: BTreeMap<Arc<str>, usize>,
    /// Slots of its live workers, free or not.
    pub slots: usize,
    /// Calls that its slots hold.
    pub running: usize,
    /// Combined from the programs that feed it.
    pub settings: Settings,
    /// Whether one of these programs is still configured: otherwise it serves those who wait and
    /// takes no new calls.
    pub open: bool,
}

/// A pool's settings: of each the largest among its programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub weight: u32,
    pub timeout: Duration,
    pub queue_max: usize,
    pub queue_bytes_max: usize,
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub pool: PoolId,
    pub program: Arc<str>,
    pub batch_max: usize,
    pub slots: Vec<Slot>,
    /// Stands for the slot of the pool that becomes free next on the worker's node.
    pub ahead: Slot,
    /// Withdrawn, but it still holds calls.
    pub leaving: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub epoch: Epoch,
    pub state: SlotState,
}

#[derive(Debug, Default)]
pub(crate) enum SlotState {
    /// Not on offer: before the first offer, or between an outcome and the next one.
    #[default]
    Away,
    /// On offer, with its place in the order of idleness.
    Free(u64),
    /// Holds calls.
    Held { calls: Calls, accepted: bool },
}

#[derive(Debug)]
pub(crate) struct CallState {
    pub call: Call,
    pub arrived: Time,
    /// What the caller and the parent allow.
    pub limit: Time,
    /// The limit, or earlier if the program's timeout is.
    pub deadline: Time,
    pub place: Place,
    pub stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits for a program to start.
    Lobby,
    /// Waits for a slot.
    Waiting(PoolId),
    /// Runs. `awaited` until its caller is answered or leaves.
    Held { slot: SlotId, awaited: bool },
}

impl Core {
    /// An empty core.
    pub fn new(lobby: Lobby) -> Self {
        Self {
            lobby,
            lobby_queue: Queue::default(),
            programs: BTreeMap::new(),
            pools: BTreeMap::new(),
            pool_ids: BTreeMap::new(),
            workers: BTreeMap::new(),
            calls: FxHashMap::default(),
            deadlines: BTreeSet::new(),
            now: Time::default(),
            arrivals: 0,
            offers: 0,
            pools_made: 0,
            changed: Changed::default(),
            turn: Turn::default(),
        }
    }

    /// Takes one event at the time `now` and adds what follows to `commands`. Deadlines that have
    /// passed by then come first, so that no event can help an expired call to a slot.
    pub fn handle(&mut self, now: Time, event: Event, commands: &mut Vec<Command>) {
        self.now = self.now.max(now);
        self.expire(commands);
        match event {
            Event::Program(program) => self.program(program, commands),
            Event::Removed { program } => self.removed(&program, commands),
            Event::Introduced(introduction) => self.introduced(&introduction, commands),
            Event::Offer { slot, epoch } => self.offer(slot, epoch, commands),
            Event::Withdraw(withdrawal) => self.withdraw(withdrawal, commands),
            Event::Call(call) => self.call(call, commands),
            Event::Cancel { call } => self.cancel(call, commands),
            Event::Accepted { slot, epoch } => self.accepted(slot, epoch),
            Event::Refused { slot, epoch } => self.refused(slot, epoch, commands),
            Event::Placed { from, slot, epoch } => self.placed(from, slot, epoch, commands),
            Event::Outcome { slot, call } | Event::Lost { slot, call } => {
                self.ended(slot, call, commands);
            }
            Event::Tick => {}
        }
    }

    /// When the core next needs a [`Event::Tick`], unless something else happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(time, _)| *time)
    }

    /// By when this call must be answered; none if it has been.
    pub fn deadline(&self, call: CallId) -> Option<Time> {
        self.calls.get(&call).map(|state| state.deadline)
    }

    /// The pool a call waits or runs in.
    pub fn pool_of(&self, call: CallId) -> Option<PoolId> {
        match self.calls.get(&call)?.stage {
            Stage::Lobby => None,
            Stage::Waiting(pool) => Some(pool),
            Stage::Held { slot, .. } => self.workers.get(&slot.worker).map(|worker| worker.pool),
        }
    }

    /// The slot that holds a call.
    pub fn slot_of(&self, call: CallId) -> Option<SlotId> {
        match self.calls.get(&call)?.stage {
            Stage::Held { slot, .. } => Some(slot),
            Stage::Lobby | Stage::Waiting(_) => None,
        }
    }

    /// Whether a worker is live, or leaving and still holds calls.
    pub fn knows(&self, worker: WorkerId) -> bool {
        self.workers.contains_key(&worker)
    }

    /// Whether a slot is on offer here, and not taken up.
    pub fn is_free(&self, slot: SlotId) -> bool {
        let Some(worker) = self.workers.get(&slot.worker) else {
            return false;
        };
        let known = if slot.is_ahead() {
            Some(&worker.ahead)
        } else {
            worker.slots.get(usize::from(slot.index))
        };
        known.is_some_and(|known| matches!(known.state, SlotState::Free(_)))
    }

    /// The program of a worker that is live, or leaving and still holds calls.
    pub fn program_of(&self, worker: WorkerId) -> Option<&Arc<str>> {
        self.workers.get(&worker).map(|worker| &worker.program)
    }

    /// Whether a program has a live worker.
    pub fn has_workers(&self, program: &str) -> bool {
        let mut workers = self.workers.values();
        workers.any(|worker| !worker.leaving && &*worker.program == program)
    }

    pub(crate) fn slot_mut(&mut self, slot: SlotId) -> Option<&mut Slot> {
        let worker = self.workers.get_mut(&slot.worker)?;
        if slot.is_ahead() {
            Some(&mut worker.ahead)
        } else {
            worker.slots.get_mut(usize::from(slot.index))
        }
    }
}
