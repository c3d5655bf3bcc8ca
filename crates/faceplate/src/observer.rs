//! What a faceplate can see of its node.

use dispatch::{Dispatcher, Status, Trace};
use futures_util::future::BoxFuture;
use manager::{Manager, ProgramStatus};

/// The node's state, asked for anew with each request that shows it.
pub trait Observer: Send + Sync + 'static {
    /// Pools and counts of calls; none once the node has stopped.
    fn pools(&self) -> BoxFuture<'_, Option<Status>>;

    /// Programs and their workers.
    fn programs(&self) -> BoxFuture<'_, Vec<ProgramStatus>>;

    /// The attempts at a call, oldest first; empty if it is not known.
    fn why(&self, number: u64) -> BoxFuture<'_, Vec<Trace>>;
}

/// The dispatcher and the manager of this very process.
#[derive(Debug, Clone)]
pub struct Local {
    /// Where calls go.
    pub dispatcher: Dispatcher,
    /// Who runs the workers.
    pub manager: Manager,
}

impl Observer for Local {
    fn pools(&self) -> BoxFuture<'_, Option<Status>> {
        Box::pin(self.dispatcher.status())
    }

    fn programs(&self) -> BoxFuture<'_, Vec<ProgramStatus>> {
        Box::pin(self.manager.status())
    }

    fn why(&self, number: u64) -> BoxFuture<'_, Vec<Trace>> {
        Box::pin(async move { self.dispatcher.why(number).await.unwrap_or_default() })
    }
}
