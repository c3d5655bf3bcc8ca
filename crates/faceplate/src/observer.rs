//! What a faceplate can see of its node.

use crate::overview::{ClusterView, Standing};
use cluster::member::Member;
use dispatch::{Comparison, Dispatcher, Shadows, Status, Trace};
use futures_util::future::{BoxFuture, ready};
use manager::{Manager, ProgramStatus};
use pool::NodeId;
use std::fmt;
use std::sync::Arc;
use wire::Mesh;

/// The node's state, asked for anew with each request that shows it.
pub trait Observer: Send + Sync + 'static {
    /// Pools and counts of calls; none once the node has stopped.
    fn pools(&self) -> BoxFuture<'_, Option<Status>>;

    /// Programs and their workers.
    fn programs(&self) -> BoxFuture<'_, Vec<ProgramStatus>>;

    /// The attempts at a call, oldest first; empty if it is not known.
    fn why(&self, number: u64) -> BoxFuture<'_, Vec<Trace>>;

    /// What came of shadow copies of the calls that came in here.
    fn shadows(&self) -> Vec<Comparison> {
        Vec::new()
    }

    /// The cluster, as a master tells; none on a machine that is alone.
    fn cluster(&self) -> BoxFuture<'_, Option<ClusterView>> {
        Box::pin(ready(None))
    }

    /// The cluster in figures, as the node itself knows it; none on a machine that is alone.
    fn standing(&self) -> Option<Standing> {
        None
    }

    /// The name of another node of the cluster; none for this node itself.
    fn other_node(&self, _node: NodeId) -> Option<Arc<str>> {
        None
    }
}

/// The dispatcher and the manager of this very process.
#[derive(Debug, Clone)]
pub struct Local {
    /// Where calls go.
    pub dispatcher: Dispatcher,
    /// Who runs the workers.
    pub manager: Manager,
    /// Who makes shadow copies.
    pub shadows: Shadows,
    /// The node's place in its cluster; none on a machine that is alone.
    pub place: Option<Place>,
}

/// A node's place in its cluster.
#[derive(Clone)]
pub struct Place {
    /// Which node it is.
    pub me: NodeId,
    /// What it knows of the cluster.
    pub member: Member,
    /// Its links.
    pub mesh: Mesh,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.me).finish()
    }
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

    fn shadows(&self) -> Vec<Comparison> {
        self.shadows.comparisons()
    }

    fn cluster(&self) -> BoxFuture<'_, Option<ClusterView>> {
        Box::pin(async move {
            let place = self.place.as_ref()?;
            let status = place.member.status().await;
            let view = place.member.view().borrow().clone();
            Some(ClusterView::new(place.me, &view, status.as_ref()))
        })
    }

    fn standing(&self) -> Option<Standing> {
        let place = self.place.as_ref()?;
        let view = place.member.view().borrow().clone();
        Some(Standing::new(place.me, &view, place.mesh.links().len()))
    }

    fn other_node(&self, node: NodeId) -> Option<Arc<str>> {
        let place = self.place.as_ref().filter(|place| place.me != node)?;
        let view = place.member.view().borrow().clone();
        Some(view.hard.nodes.get(&node)?.name.clone())
    }
}
