//! The manager of a node: a supervisor for each program, and changes to which programs there are.
//!
//! Of a program that runs in two versions each lane has its supervisor. A version that takes the
//! place of another in its lane takes over the supervisor, with the workers.

use crate::program::Program;
use crate::sentinel::Sentinel;
use crate::status::ProgramStatus;
use crate::supervisor::{Command, Shared, Supervised, supervise};
use crate::worker::Cluster;
use dispatch::{Caller, Notices, Numbers};
use pool::NodeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How long removed programs stay to cover for new ones that take their place.
const COVER_MAX: Duration = Duration::from_secs(60);

/// A handle on the manager of this node. Cheap to clone.
#[derive(Clone)]
pub struct Manager {
    shared: Shared,
    programs: Arc<Mutex<Programs>>,
}

/// Every supervisor, by what is to become of it.
#[derive(Default)]
struct Programs {
    /// Those of the last configuration, by the names that dispatchers know.
    known: BTreeMap<Arc<str>, Supervised>,
    /// Removed, but serving until others have taken their places.
    covering: BTreeMap<Arc<str>, Supervised>,
    /// Removed, and about to end.
    ending: Vec<Supervised>,
    /// Not started yet, for their files are on their way.
    fetching: Vec<ProgramStatus>,
}

impl Programs {
    fn all(&self) -> impl Iterator<Item = &Supervised> {
        self.known
            .values()
            .chain(self.covering.values())
            .chain(&self.ending)
    }
}

/// What an application of a configuration changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// Programs that are new.
    pub added: Vec<Arc<str>>,
    /// Programs whose processes differ: new workers are ready before old ones retire.
    pub replaced: Vec<Arc<str>>,
    /// Programs whose settings changed without touching their processes.
    pub adjusted: Vec<Arc<str>>,
    /// Programs that are gone.
    pub removed: Vec<Arc<str>>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Manager {
    /// A manager without programs. Workers' nested calls go to `caller`, with numbers of `numbers`.
    pub fn new(
        node: NodeId,
        notices: Notices,
        caller: Arc<dyn Caller>,
        numbers: Arc<Numbers>,
        sentinel: Sentinel,
    ) -> Self {
        let shared = Shared {
            node,
            notices,
            cluster: Cluster { caller, numbers },
            sentinel: Arc::new(sentinel),
            numbers: Arc::new(AtomicU32::new(0)),
        };
        Self {
            shared,
            programs: Arc::default(),
        }
    }

    /// Makes these the programs of this node, whatever they were before, and says what that
    /// changes. The new settings are on their way then, and nothing waits for them. Removed
    /// programs go on serving until the new ones run, in case these take their place.
    pub fn apply(&self, programs: Vec<Program>) -> Changes {
        let mut changes = Changes::default();
        let mut state = lock(&self.programs);
        state
            .ending
            .retain(|supervised| !supervised.task.is_finished());
        let mut before = std::mem::take(&mut state.known);
        let mut coming = Vec::new();
        for program in programs.into_iter().map(Arc::new) {
            let name = program.pool_name();
            let covering = state
                .covering
                .remove(&name)
                .inspect(|_| changes.added.push(name.clone()));
            let supervised = match covering.or_else(|| before.remove(&name)) {
                None => {
                    changes.added.push(name.clone());
                    supervise(program, self.shared.clone())
                }
                Some(supervised) => adapt(supervised, program, &mut changes),
            };
            coming.push(supervised.settled.clone());
            state.known.insert(name, supervised);
        }
        changes.removed = before.keys().cloned().collect();
        state.covering.extend(before);
        if !changes.removed.is_empty() {
            tokio::spawn(self.clone().end_covering(changes.removed.clone(), coming));
        }
        changes
    }

    /// Ends programs that were removed, unless they have come back, once the others are settled.
    async fn end_covering(self, names: Vec<Arc<str>>, coming: Vec<watch::Receiver<bool>>) {
        let settle = async {
            for mut settled in coming {
                // An error means that its supervisor has ended, which is settled, too.
                let _ = settled.wait_for(|settled| *settled).await;
            }
        };
        // After that time they have covered for long enough.
        let _ = tokio::time::timeout(COVER_MAX, settle).await;
        let mut state = lock(&self.programs);
        for program in names {
            if let Some(supervised) = state.covering.remove(&program) {
                tell(&supervised, Command::Remove);
                state.ending.push(supervised);
            }
        }
    }

    /// Shows these among the programs until told otherwise: they start once their files are here.
    pub fn show_fetching(&self, fetching: Vec<ProgramStatus>) {
        lock(&self.programs).fetching = fetching;
    }

    /// Every program, by name; then those that were removed and still end, and those whose files are
    /// on their way.
    pub async fn status(&self) -> Vec<ProgramStatus> {
        let mut asked = Vec::new();
        let fetching;
        {
            let mut state = lock(&self.programs);
            fetching = state.fetching.clone();
            state
                .ending
                .retain(|supervised| !supervised.task.is_finished());
            for supervised in state.all() {
                let (sender, receiver) = oneshot::channel();
                tell(supervised, Command::Status(sender));
                asked.push(receiver);
            }
        }
        let mut statuses = Vec::new();
        for answer in asked {
            // A program that is being removed may not answer.
            if let Ok(Ok(status)) = tokio::time::timeout(Duration::from_secs(1), answer).await {
                statuses.push(status);
            }
        }
        statuses.extend(fetching);
        statuses
    }

    /// Stops every worker, each within its program's timeouts, and comes back when none is left.
    pub async fn stop(&self) {
        self.end(|| Command::Stop).await;
    }

    /// Kills every worker's process group and comes back when none is left.
    pub async fn kill(&self) {
        self.end(|| Command::Kill).await;
    }

    async fn end(&self, command: impl Fn() -> Command) {
        let supervisors: Vec<_> = lock(&self.programs)
            .all()
            .map(|supervised| supervised.commands.clone())
            .collect();
        for commands in &supervisors {
            // One that has ended has nothing left to do, and has closed its inbox.
            let _ = commands.send(command());
        }
        for commands in &supervisors {
            commands.closed().await;
        }
        *lock(&self.programs) = Programs::default();
    }
}

/// Makes a supervised program what it is now.
fn adapt(mut supervised: Supervised, program: Arc<Program>, changes: &mut Changes) -> Supervised {
    let name = program.pool_name();
    if supervised.program == program {
        return supervised;
    }
    if !changes.added.contains(&name) {
        let replaced = supervised.program.process != program.process;
        let list = if replaced {
            &mut changes.replaced
        } else {
            &mut changes.adjusted
        };
        list.push(name);
    }
    tell(&supervised, Command::Apply(program.clone()));
    supervised.program = program;
    supervised
}

fn tell(supervised: &Supervised, command: Command) {
    // A supervisor that has ended has nothing left to do.
    let _ = supervised.commands.send(command);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = lock(&self.programs).known.keys().cloned().collect();
        f.debug_struct("Manager")
            .field("programs", &names)
            .finish_non_exhaustive()
    }
}
