//! The promises of the core, kept by a model that is as naive as can be: lists, searched from end
//! to end. It sees events and commands. Of the core it asks only in which of several equal pools
//! a call waits, and holds that choice against its own list of candidates.

mod after;
mod events;

use pool::{
    Call, CallId, Class, Command, Core, Description, Details, Event, Function, Lobby, PoolId,
    Program, SlotId, Time, WorkerId,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub static LOBBY: LazyLock<Lobby> = LazyLock::new(|| Lobby {
    timeout: Duration::from_millis(600),
    queue_max: 3,
    queue_bytes_max: 60,
});

/// What the workers of each version say. All have the function `f`, version 0 has `g` too. That of
/// version 1 reads an input.
pub static VERSIONS_OF: LazyLock<Vec<Arc<Description>>> = LazyLock::new(|| {
    let function = |name: &str, input| Function {
        name: name.into(),
        doc: "".into(),
        idempotent: false,
        stream: false,
        input,
        parameters: Vec::new(),
        result: pool::Type::Any,
        examples: Vec::new(),
    };
    let describes = |version: u8| {
        let mut details = Details::of_kind("k");
        details
            .versions
            .insert("v".into(), version.to_string().into());
        let names: &[&str] = if version == 0 { &["f", "g"] } else { &["f"] };
        let functions = names
            .iter()
            .map(|name| function(name, version == 1))
            .collect();
        Arc::new(Description {
            details,
            functions,
            terms: false,
        })
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
        let reads = |version: &Version| *version == 1 || !call.input;
        let fits = |version: &Version| has(version) && reads(version);
        (matching.into_iter().filter(fits).collect(), any)
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
}
