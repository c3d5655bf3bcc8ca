//! The node behind the faceplates: whom they call, what they observe, and what they share.

use crate::access::Token;
use crate::contract::catalogue::Catalogue;
use crate::guard::Guard;
use crate::observer::Observer;
use dispatch::{Caller, Numbers};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Casts in flight that a node takes from its faceplates: what a few thousand callers leave behind
/// in a second, and little enough memory while they wait.
pub const CASTS_MAX: usize = 10_000;

/// What all faceplates of a node share.
pub struct Node {
    pub(crate) name: String,
    pub(crate) caller: Arc<dyn Caller>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) catalogue: Catalogue,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) started: Instant,
    pub(crate) traffic: Traffic,
    pub(crate) guard: Guard,
    draining: AtomicBool,
    logs_access: AtomicBool,
    casts: Arc<Semaphore>,
}

/// Counts that only faceplates know.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub connections: AtomicUsize,
    pub connections_refused: AtomicU64,
    pub casts: Arc<AtomicUsize>,
}

impl Node {
    /// A node of the given name. `casts_max` is how many casts may be in flight at a time; usually
    /// [`CASTS_MAX`].
    pub fn new(
        name: impl Into<String>,
        caller: Arc<dyn Caller>,
        observer: Arc<dyn Observer>,
        numbers: Arc<Numbers>,
        casts_max: usize,
    ) -> Self {
        Self {
            name: name.into(),
            caller,
            catalogue: Catalogue::new(observer.clone()),
            observer,
            numbers,
            started: Instant::now(),
            traffic: Traffic::default(),
            guard: Guard::new(),
            draining: AtomicBool::new(false),
            logs_access: AtomicBool::new(false),
            casts: Arc::new(Semaphore::new(casts_max)),
        }
    }

    /// These tokens hold from now on, and no others: each request is checked, also on connections
    /// that are open already. Calls that run go on.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.guard.replace(tokens);
    }

    /// From now on the node says that it is not ready, so that no more clients are sent here.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on each call leaves a line in the log, of level `info` and target
    /// [`crate::ACCESS_LOG`].
    pub fn log_access(&self) {
        self.logs_access.store(true, Ordering::Relaxed);
    }

    pub(crate) fn logs_access(&self) -> bool {
        self.logs_access.load(Ordering::Relaxed)
    }

    /// A place for a call that goes on without its client; none if too many do so already.
    pub(crate) fn may_cast(&self) -> Option<Cast> {
        let permit = self.casts.clone().try_acquire_owned().ok()?;
        let casts = self.traffic.casts.clone();
        casts.fetch_add(1, Ordering::Relaxed);
        Some(Cast {
            casts,
            _permit: permit,
        })
    }
}

/// One cast in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Cast {
    casts: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.casts.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
