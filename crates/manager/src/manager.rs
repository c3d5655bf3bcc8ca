//! The manager of a node: a supervisor for each program, and changes to which programs there are.

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
use tokio::sync::oneshot;

/// How long removed programs stay to cover for new ones that take their place.
const COVER_MAX: Duration = Duration::from_secs(60);

/// A handle on the manager of this node. Cheap to clone.
#[derive(Clone)]
pub struct Manager {
    shared: Shared,
    programs: Arc<Mutex<BTreeMap<Arc<str>, Supervised>>>,
    /// Programs that were removed and still end.
    ending: Arc<Mutex<Vec<Supervised>>>,
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
            ending: Arc::default(),
        }
    }

    /// Makes these the programs of this node, whatever they were before, and says what that
    /// changes. Comes back once every new setting is in force; processes start and stop after that.
    /// Removed programs go on serving until the new ones run, in case these take their place.
    pub fn apply(&self, programs: Vec<Program>) -> Changes {
        let mut changes = Changes::default();
        let mut known = lock(&self.programs);
        let mut removed = std::mem::take(&mut *known);
        let mut coming = Vec::new();
        for program in programs.into_iter().map(Arc::new) {
            let name = program.name.clone();
            let supervised = match removed.remove(&name) {
                None => {
                    changes.added.push(name.clone());
                    let supervised = supervise(program, self.shared.clone());
                    coming.push(supervised.settled.clone());
                    supervised
                }
                Some(mut supervised) => {
                    if supervised.program.process != program.process {
                        changes.replaced.push(name.clone());
                    } else if supervised.program != program {
                        changes.adjusted.push(name.clone());
                    }
                    if supervised.program != program {
                        tell(&supervised, Command::Apply(program.clone()));
                    }
                    supervised.program = program;
                    supervised
                }
            };
            known.insert(name, supervised);
        }
        changes.removed = removed.keys().cloned().collect();
        if removed.is_empty() {
            return changes;
        }
        let going: Vec<_> = removed.values().map(|gone| gone.commands.clone()).collect();
        lock(&self.ending).extend(removed.into_values());
        tokio::spawn(async move {
            let settle = async {
                for mut settled in coming {
                    // An error means that its supervisor has ended, which is settled, too.
                    let _ = settled.wait_for(|settled| *settled).await;
                }
            };
            // After that time they have covered for long enough.
            let _ = tokio::time::timeout(COVER_MAX, settle).await;
            for commands in going {
                // One that has ended needs no removal.
                let _ = commands.send(Command::Remove);
            }
        });
        changes
    }

    /// Every program, by name; then those that were removed and still end.
    pub async fn status(&self) -> Vec<ProgramStatus> {
        let mut asked = Vec::new();
        {
            let (known, mut ending) = (lock(&self.programs), lock(&self.ending));
            ending.retain(|supervised| !supervised.task.is_finished());
            for supervised in known.values().chain(&*ending) {
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
        let supervised: Vec<_> = {
            let known = std::mem::take(&mut *lock(&self.programs));
            let ending = std::mem::take(&mut *lock(&self.ending));
            known.into_values().chain(ending).collect()
        };
        for supervised in &supervised {
            tell(supervised, command());
        }
        for supervised in supervised {
            // A supervisor that panicked has dropped its workers, which kills them.
            let _ = supervised.task.await;
        }
    }
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
        let names: Vec<_> = lock(&self.programs).keys().cloned().collect();
        f.debug_struct("Manager")
            .field("programs", &names)
            .finish_non_exhaustive()
    }
}
