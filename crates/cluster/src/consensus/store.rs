//! openraft's log: all of it in memory, and on disk.
//!
//! The log between two snapshots is short, so it is read from memory; what is written goes to the
//! disk's queue, in order, and counts when the disk says so.

use super::disk::{Contents, Disk, Record, Write, encode};
use super::types::{Entry, LogId, Types, Vote};
use openraft::OptionalSend;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes of entries read for one message to another master, unless the first alone has more. With
/// the greatest change a message stays well below the limit of a frame.
const READ_BYTES_MAX: usize = 4 << 20;

/// The log of a master. Clones are the same log: openraft reads it from several tasks.
#[derive(Debug, Clone)]
pub struct LogStore {
    log: Arc<Mutex<Log>>,
    disk: Disk,
}

#[derive(Debug)]
struct Log {
    /// Entries by index, with their sizes on disk.
    entries: BTreeMap<u64, (Entry, usize)>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
}

impl LogStore {
    /// The log that was on the disk.
    pub fn new(contents: &mut Contents, disk: Disk) -> Self {
        let entries = std::mem::take(&mut contents.log).into_iter();
        let log = Log {
            entries: entries
                .map(|(index, entry)| {
                    let bytes = encode(&entry).len();
                    (index, (entry, bytes))
                })
                .collect(),
            vote: contents.vote,
            committed: contents.committed,
            purged: contents.purged,
        };
        Self {
            log: Arc::new(Mutex::new(log)),
            disk,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log
            .lock()
            .expect("nothing panics while it holds the log")
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let log = self.lock();
        let entries = log.entries.range(range);
        Ok(entries.map(|(_, (entry, _))| entry.clone()).collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let log = self.lock();
        let mut left = READ_BYTES_MAX;
        let mut entries: Vec<Entry> = Vec::new();
        for (entry, bytes) in log.entries.range(start..end).map(|(_, entry)| entry) {
            if *bytes > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(*bytes);
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.lock().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let log = self.lock();
        let last = log.entries.last_key_value();
        let last = last.map(|(_, (entry, _))| entry.log_id());
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: last.or(log.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.lock().vote = Some(*vote);
        let write = Write::Put(Record::Vote, encode(vote));
        self.disk.write_and_wait(vec![write]).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.lock().committed = committed;
        if let Some(committed) = committed {
            let write = Write::Put(Record::Committed, encode(&committed));
            // It may be lost, and a failure shows at the next write that may not.
            self.disk.write(vec![write], drop);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut writes = Vec::new();
        {
            let mut log = self.lock();
            for entry in entries {
                let index = entry.log_id().index;
                let bytes = encode(&entry);
                log.entries.insert(index, (entry, bytes.len()));
                writes.push(Write::Entry(index, bytes));
            }
        }
        self.disk
            .write(writes, |result| callback.io_completed(result));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index + 1);
        drop(self.lock().entries.split_off(&from));
        // What is appended next is written after it, and both count together.
        self.disk.write(vec![Write::CutFrom(from)], drop);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let mut log = self.lock();
            log.purged = Some(upto);
            log.entries = log.entries.split_off(&(upto.index + 1));
        }
        let purged = Write::Put(Record::Purged, encode(&upto));
        self.disk
            .write(vec![purged, Write::CutTo(upto.index)], drop);
        Ok(())
    }
}
