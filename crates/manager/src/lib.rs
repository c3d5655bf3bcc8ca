//! Starting, interrogating, supervising, limiting and stopping worker processes.

mod program;
mod status;

pub use program::{Dialect, Limits, OnDisconnect, Process, Program, Timeouts, User};
pub use status::{ProgramState, ProgramStatus, WorkerState, WorkerStatus};

use std::sync::Arc;

/// A handle on the manager of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Manager {}

/// What an application of a configuration changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// Programs that are new.
    pub added: Vec<Arc<str>>,
    /// Programs whose processes differ: their workers are replaced, new ones ready before old ones retire.
    pub replaced: Vec<Arc<str>>,
    /// Programs whose settings changed without touching their processes.
    pub adjusted: Vec<Arc<str>>,
    /// Programs that are gone.
    pub removed: Vec<Arc<str>>,
}

impl Manager {
    /// Makes these the programs of this node, whatever they were before, and says what that
    /// changes. Comes back once every new setting is in force; processes start and stop after that.
    pub async fn apply(&self, _programs: Vec<Program>) -> Changes {
        Changes::default()
    }

    /// Every program, by name.
    pub async fn status(&self) -> Vec<ProgramStatus> {
        Vec::new()
    }

    /// Stops every worker, each within its program's timeouts, and comes back when none is left.
    pub async fn stop(&self) {}

    /// Kills every worker's process group at once.
    pub fn kill(&self) {}
}
