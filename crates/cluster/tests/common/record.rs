//! What all masters were seen to do, and whether it may be: at most one leader a term, and one
//! content for each revision of hard state, everywhere and for ever. The tests of the masters alone
//! and those of whole clusters keep such a record.
#![allow(dead_code, reason = "each test uses its own part of this")]

use cluster::consensus::{Committed, Consensus, Leadership};
use cluster::hard::{Applied, Change, Hard};
use pool::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

/// Everything seen, of all masters and all their lives. Clones are the same record.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Who led in which term.
    leaders: BTreeMap<u64, NodeId>,
    /// The change that made each revision.
    changes: BTreeMap<u64, Change>,
    /// The state at each revision.
    states: BTreeMap<u64, Arc<Hard>>,
    /// What proposers were told.
    acknowledged: Vec<(u64, Change)>,
    /// The newest revision that each master had.
    newest: BTreeMap<NodeId, u64>,
    /// What masters that are cut off from the majority must not get beyond.
    bounds: BTreeMap<NodeId, u64>,
    wrong: Vec<String>,
}

impl Record {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no panic under the lock")
    }

    /// Watches a master until the task is aborted.
    pub fn watch(&self, node: NodeId, consensus: &Consensus) -> JoinHandle<()> {
        let record = self.clone();
        let mut changes = consensus.changes();
        let mut hard = consensus.hard();
        let mut leadership = consensus.leadership();
        record.see_state(node, &hard.borrow_and_update());
        record.see_leadership(node, *leadership.borrow_and_update());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    change = changes.recv() => match change {
                        Ok(change) => record.see_change(node, &change),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    },
                    changed = hard.changed() => {
                        if changed.is_err() { return }
                        record.see_state(node, &hard.borrow_and_update());
                    }
                    changed = leadership.changed() => {
                        if changed.is_err() { return }
                        record.see_leadership(node, *leadership.borrow_and_update());
                    }
                }
            }
        })
    }

    fn see_leadership(&self, node: NodeId, leadership: Leadership) {
        if !leadership.i_lead {
            return;
        }
        let mut seen = self.seen();
        let term = leadership.term;
        let first = *seen.leaders.entry(term).or_insert(node);
        if first != node {
            let wrong = format!("term {term} has two leaders, {first:?} and {node:?}");
            seen.wrong.push(wrong);
        }
    }

    fn see_change(&self, node: NodeId, committed: &Committed) {
        let mut seen = self.seen();
        let revision = committed.revision;
        let change = seen.changes.entry(revision);
        let known = change.or_insert_with(|| committed.change.clone()).clone();
        if known != committed.change {
            let came = &committed.change;
            let wrong = format!("revision {revision} is {came:?} on {node:?}, and {known:?}");
            seen.wrong.push(wrong);
        }
        seen.see_revision(node, revision);
    }

    fn see_state(&self, node: NodeId, hard: &Arc<Hard>) {
        let mut seen = self.seen();
        let known = seen.states.entry(hard.revision);
        let known = Arc::clone(known.or_insert_with(|| Arc::clone(hard)));
        if known != *hard {
            let revision = hard.revision;
            let wrong = format!("{node:?} has another state at revision {revision}");
            seen.wrong.push(wrong);
        }
        seen.see_revision(node, hard.revision);
    }

    /// A proposer was told that its change was applied.
    pub fn acknowledge(&self, change: &Change, applied: Applied) {
        let change = change.clone();
        self.seen().acknowledged.push((applied.revision, change));
    }

    pub fn acknowledged(&self) -> usize {
        self.seen().acknowledged.len()
    }

    /// From now on these masters reach no majority: they are to commit nothing.
    pub fn bound(&self, minority: &[NodeId]) {
        let seen = &mut *self.seen();
        let newest = &seen.newest;
        let bounds = minority.iter();
        let bounds = bounds.map(|node| (*node, newest.get(node).copied().unwrap_or(0)));
        seen.bounds = bounds.collect();
    }

    /// All masters may reach each other again.
    pub fn unbound(&self) {
        self.seen().bounds.clear();
    }

    /// What went wrong so far.
    pub fn wrong(&self) -> Vec<String> {
        self.seen().wrong.clone()
    }

    /// After the faults: every change that a proposer was told of is there.
    pub fn lost(&self) -> Vec<String> {
        let seen = self.seen();
        let last = seen.states.keys().next_back().copied().unwrap_or(0);
        let acknowledged = seen.acknowledged.iter();
        let lost = acknowledged.filter(|(revision, change)| {
            let known = seen.changes.get(revision);
            *revision > last || known.is_some_and(|known| known != change)
        });
        lost.map(|(revision, change)| format!("revision {revision}, {change:?}, is lost"))
            .collect()
    }

    /// # Panics
    ///
    /// If masters did what they must not.
    pub fn check(&self) {
        let seen = self.seen();
        assert!(seen.wrong.is_empty(), "{}", seen.wrong.join("\n"));
        for (revision, change) in &seen.acknowledged {
            if let Some(known) = seen.changes.get(revision) {
                assert_eq!(
                    known, change,
                    "revision {revision} was acknowledged otherwise"
                );
            }
        }
    }

    /// After the faults: every acknowledged change was seen to be committed.
    ///
    /// # Panics
    ///
    /// If one is lost.
    pub fn check_acknowledged(&self) {
        self.check();
        let seen = self.seen();
        let last = *seen.states.keys().next_back().expect("a state was seen");
        for (revision, change) in &seen.acknowledged {
            assert!(
                *revision <= last,
                "{change:?}, acknowledged as {revision}, is lost"
            );
            let known = seen.changes.get(revision);
            assert_eq!(known, Some(change), "revision {revision} is lost");
        }
    }
}

impl Seen {
    fn see_revision(&mut self, node: NodeId, revision: u64) {
        let newest = self.newest.entry(node).or_default();
        *newest = revision.max(*newest);
        if self
            .bounds
            .get(&node)
            .is_some_and(|bound| revision > *bound)
        {
            let wrong = format!("{node:?} has come to revision {revision} without a majority");
            self.wrong.push(wrong);
        }
    }
}
