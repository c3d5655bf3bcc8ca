//! openraft's state machine: hard state, to which the agreed changes are applied in order.
//!
//! It lives in memory. After a restart it is the last snapshot with the log applied from there.

use super::Committed;
use super::disk::{Contents, Disk, Record, Write, encode};
use super::types::{LogId, Membership, Outcome, Snapshot, SnapshotMeta, Types};
use crate::hard::Hard;
use crate::hard::grown::Grown;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, watch};

/// Hard state on this master, and who watches it.
#[derive(Debug)]
pub struct Machine {
    hard: Arc<Hard>,
    applied: Option<LogId>,
    membership: Membership,
    published: watch::Sender<Arc<Hard>>,
    changes: broadcast::Sender<Arc<Committed>>,
    snapshots: Snapshots,
}

/// The newest snapshot, in memory and on disk.
#[derive(Debug, Clone)]
struct Snapshots {
    newest: Arc<Mutex<Option<(SnapshotMeta, Bytes)>>>,
    disk: Disk,
}

impl Snapshots {
    fn newest(&self) -> Option<Snapshot> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest
            .clone()
            .map(|(meta, snapshot)| Snapshot { meta, snapshot })
    }

    async fn save(&self, meta: &SnapshotMeta, data: &Bytes) -> io::Result<()> {
        let newest = (meta.clone(), data.clone());
        let write = Write::Put(Record::Snapshot, encode(&newest));
        self.disk.write_and_wait(vec![write]).await?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(newest);
        Ok(())
    }
}

/// Makes a snapshot of the state as it was when the snapshot was asked for.
#[derive(Debug)]
pub struct Builder {
    hard: Arc<Hard>,
    meta: SnapshotMeta,
    snapshots: Snapshots,
}

impl Machine {
    /// The state of the snapshot that was on the disk; openraft applies the log to it.
    pub fn new(
        contents: &mut Contents,
        disk: Disk,
        published: watch::Sender<Arc<Hard>>,
        changes: broadcast::Sender<Arc<Committed>>,
    ) -> Self {
        let newest = Arc::new(Mutex::new(contents.snapshot.take()));
        Self {
            hard: Arc::default(),
            applied: None,
            membership: Membership::default(),
            published,
            changes,
            snapshots: Snapshots { newest, disk },
        }
    }

    /// Applies one entry, and notes the change if it altered something.
    fn apply_entry(
        &mut self,
        payload: openraft::alias::PayloadOf<Types>,
        at: LogId,
    ) -> (Outcome, Option<Committed>) {
        self.applied = Some(at);
        match payload {
            EntryPayload::Blank => (Outcome(None), None),
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(at), membership);
                (Outcome(None), None)
            }
            EntryPayload::Normal(proposal) => {
                let before = self.hard.revision;
                let result = Arc::make_mut(&mut self.hard).apply(&proposal.0);
                let revision = self.hard.revision;
                let committed = (revision > before).then_some(Committed {
                    revision,
                    change: proposal.0,
                });
                (Outcome(Some(result)), committed)
            }
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        let mut committed = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            let (outcome, change) = self.apply_entry(entry.payload, entry.log_id);
            committed.extend(change.map(Arc::new));
            answers.extend(responder.map(|responder| (responder, outcome)));
        }
        // Who is told that a change was applied must see it.
        if !committed.is_empty() {
            self.published.send_replace(Arc::clone(&self.hard));
        }
        for change in committed {
            // Nobody need listen.
            let _ = self.changes.send(change);
        }
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            hard: Arc::clone(&self.hard),
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Bytes) -> io::Result<()> {
        let hard = Hard::decode(&data)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.snapshots.save(meta, &data).await?;
        self.hard = Arc::new(hard);
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.published.send_replace(Arc::clone(&self.hard));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.newest())
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let snapshot = Bytes::from(self.hard.encode());
        self.snapshots.save(&self.meta, &snapshot).await?;
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot,
        })
    }
}
