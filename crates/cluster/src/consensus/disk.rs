//! Where a master keeps its log: a redb file with one thread that writes it, or memory.
//!
//! Each record begins with a byte that says its format. A batch is written, synced, and then
//! acknowledged; what waits meanwhile is the next batch. Torn writes are redb's affair.

use super::StartError;
use super::types::{Entry, LogId, SnapshotMeta, Vote};
use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The format of all records that this build writes, and the only one that it reads.
const FORMAT: u8 = 1;
/// The file in a master's folder.
const FILE: &str = "consensus.redb";
/// Batches written in one go: enough to share a sync, few enough to answer soon.
const BATCHES_MAX: usize = 256;
/// Log entries by index.
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Single records by name.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// A single record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// Whom this master voted for.
    Vote,
    /// Up to where it knows the log to be agreed on.
    Committed,
    /// Up to where the log was dropped.
    Purged,
    /// The newest snapshot.
    Snapshot,
}

impl Record {
    fn name(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Committed => "committed",
            Self::Purged => "purged",
            Self::Snapshot => "snapshot",
        }
    }
}

/// One write.
#[derive(Debug)]
pub enum Write {
    /// Replaces a record.
    Put(Record, Vec<u8>),
    /// Adds an entry to the log.
    Entry(u64, Vec<u8>),
    /// Drops the log from an index on.
    CutFrom(u64),
    /// Drops the log up to an index, inclusive.
    CutTo(u64),
}

/// Called when writes are on disk, or cannot be.
type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What the writer is told.
enum Order {
    /// Writes that become durable together.
    Batch { writes: Vec<Write>, done: Done },
    /// To end, after all that came before.
    Stop,
}

/// Where to keep the log.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a file of this folder, which is made if need be.
    Folder(PathBuf),
    /// In memory: for tests, and for a lone node that need not remember.
    Memory(Memory),
}

/// A disk in memory. Clones are the same disk; it outlives the master that writes to it.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    contents: Arc<Mutex<Raw>>,
    sync: Duration,
}

/// Records as they are on disk.
#[derive(Debug, Default)]
struct Raw {
    /// How often the disk was taken from a master that crashed.
    crashes: u64,
    log: BTreeMap<u64, Vec<u8>>,
    records: BTreeMap<Record, Vec<u8>>,
}

/// What was on the disk.
#[derive(Debug, Default)]
pub struct Contents {
    pub log: BTreeMap<u64, Entry>,
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub snapshot: Option<(SnapshotMeta, Bytes)>,
}

/// Takes writes in order, and says when they are durable.
#[derive(Debug, Clone)]
pub struct Disk {
    inbox: mpsc::UnboundedSender<Order>,
}

/// The writer, to wait for after [`Disk::stop`].
#[derive(Debug)]
pub enum Writer {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Disk {
    /// Opens the place, reads all of it, and starts the writer.
    pub fn open(place: Place) -> Result<(Self, Writer, Contents), StartError> {
        // Unbounded: openraft waits for what it writes, and has limits of its own.
        let (inbox, orders) = mpsc::unbounded_channel();
        let (raw, path, writer) = match place {
            Place::Memory(memory) => {
                let raw = read_memory(&memory);
                let task = tokio::spawn(write_memory(memory, raw.crashes, orders));
                (raw, PathBuf::from("memory"), Writer::Task(task))
            }
            Place::Folder(folder) => {
                let path = folder.join(FILE);
                let failed = |what, source| StartError::File {
                    what,
                    path: path.clone(),
                    source,
                };
                // Programs are in it, with what their environment says.
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&folder)
                    .map_err(|error| failed("make its folder", error))?;
                let database = Database::create(&path)
                    .map_err(|error| failed("open it", io::Error::other(error)))?;
                let raw = read_file(&database).map_err(|error| failed("read it", error))?;
                let thread = std::thread::Builder::new()
                    .name("consensus-log".to_owned())
                    .spawn(move || write_file(&database, orders))
                    .map_err(|error| failed("start its writer", error))?;
                (raw, path, Writer::Thread(thread))
            }
        };
        let contents = Contents::decode(&raw, &path)?;
        Ok((Self { inbox }, writer, contents))
    }

    /// Queues writes; `done` is called when they are durable.
    pub fn write(&self, writes: Vec<Write>, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        let done: Done = Box::new(done);
        let order = Order::Batch { writes, done };
        if let Err(mpsc::error::SendError(Order::Batch { done, .. })) = self.inbox.send(order) {
            done(Err(stopped()));
        }
    }

    /// Queues writes and waits until they are durable.
    pub async fn write_and_wait(&self, writes: Vec<Write>) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.write(writes, |result| drop(sender.send(result)));
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Tells the writer to end when all is written.
    pub fn stop(&self) {
        // It has ended already if nobody takes the order.
        let _ = self.inbox.send(Order::Stop);
    }
}

impl Writer {
    /// Waits until all is written.
    pub async fn stop(self) {
        match self {
            // A task must not block on a thread; this one ends with its last batch.
            Self::Thread(thread) => drop(tokio::task::spawn_blocking(|| thread.join()).await),
            Self::Task(task) => drop(task.await),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the writer of the consensus log has stopped")
}

impl Memory {
    /// An empty disk that takes this long to sync. What is not synced when its master crashes is
    /// lost.
    pub fn new(sync: Duration) -> Self {
        Self {
            contents: Arc::default(),
            sync,
        }
    }

    /// Keeps what is synced and nothing that comes later from those who write now.
    pub fn crash(&self) {
        self.lock().crashes += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Raw> {
        self.contents
            .lock()
            .expect("nothing panics while it holds the contents")
    }
}

impl Raw {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Put(record, bytes) => drop(self.records.insert(record, bytes)),
            Write::Entry(index, bytes) => drop(self.log.insert(index, bytes)),
            Write::CutFrom(index) => drop(self.log.split_off(&index)),
            Write::CutTo(index) => self.log.retain(|&known, _| known > index),
        }
    }
}

fn read_memory(memory: &Memory) -> Raw {
    let raw = memory.lock();
    Raw {
        crashes: raw.crashes,
        log: raw.log.clone(),
        records: raw.records.clone(),
    }
}

async fn write_memory(memory: Memory, crashes: u64, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(Order::Batch { writes, done }) = orders.recv().await {
        if !memory.sync.is_zero() {
            tokio::time::sleep(memory.sync).await;
        }
        {
            let mut raw = memory.lock();
            if raw.crashes != crashes {
                return;
            }
            for write in writes {
                raw.apply(write);
            }
        }
        done(Ok(()));
    }
}

fn read_file(database: &Database) -> io::Result<Raw> {
    let mut raw = Raw::default();
    let read = database.begin_read().map_err(io::Error::other)?;
    // A table exists once something was written to it.
    let log = match read.open_table(LOG) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(raw),
        log => log.map_err(io::Error::other)?,
    };
    for entry in log.iter().map_err(io::Error::other)? {
        let (index, bytes) = entry.map_err(io::Error::other)?;
        raw.log.insert(index.value(), bytes.value().to_vec());
    }
    // All writes open both tables.
    let records = read.open_table(RECORDS).map_err(io::Error::other)?;
    for record in [
        Record::Vote,
        Record::Committed,
        Record::Purged,
        Record::Snapshot,
    ] {
        if let Some(bytes) = records.get(record.name()).map_err(io::Error::other)? {
            raw.records.insert(record, bytes.value().to_vec());
        }
    }
    Ok(raw)
}

/// The writer's thread: takes what waits, writes it in one transaction, acknowledges all of it.
fn write_file(database: &Database, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(first) = orders.blocking_recv() {
        let mut is_stopped = false;
        let mut writes = Vec::new();
        let mut acknowledged = Vec::new();
        let more = std::iter::from_fn(|| orders.try_recv().ok());
        for order in std::iter::once(first).chain(more).take(BATCHES_MAX) {
            match order {
                Order::Batch { writes: next, done } => {
                    writes.extend(next);
                    acknowledged.push(done);
                }
                Order::Stop => is_stopped = true,
            }
        }
        let result = write_batch(database, writes);
        if let Err(error) = &result {
            tracing::error!(%error, "the consensus log cannot be written; this master stops");
        }
        for done in acknowledged {
            let result = result.as_ref().map(|&()| ());
            done(result.map_err(|error| io::Error::other(error.to_string())));
        }
        if is_stopped || result.is_err() {
            return;
        }
    }
}

fn write_batch(database: &Database, writes: Vec<Write>) -> io::Result<()> {
    // How far the log is agreed on is found again by asking the others: no sync for that alone.
    let needs_sync = writes
        .iter()
        .any(|write| !matches!(write, Write::Put(Record::Committed, _)));
    let mut transaction = database.begin_write().map_err(io::Error::other)?;
    if !needs_sync {
        transaction
            .set_durability(Durability::None)
            .map_err(io::Error::other)?;
    }
    {
        let mut log = transaction.open_table(LOG).map_err(io::Error::other)?;
        let mut records = transaction.open_table(RECORDS).map_err(io::Error::other)?;
        for write in writes {
            match write {
                Write::Put(record, bytes) => {
                    let old = records.insert(record.name(), bytes.as_slice());
                    drop(old.map_err(io::Error::other)?);
                }
                Write::Entry(index, bytes) => {
                    let old = log.insert(index, bytes.as_slice());
                    drop(old.map_err(io::Error::other)?);
                }
                Write::CutFrom(index) => log
                    .retain_in(index.., |_, _| false)
                    .map_err(io::Error::other)?,
                Write::CutTo(index) => log
                    .retain_in(..=index, |_, _| false)
                    .map_err(io::Error::other)?,
            }
        }
    }
    transaction.commit().map_err(io::Error::other)
}

/// A record as it goes to disk.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    postcard::to_extend(record, vec![FORMAT]).expect("what is kept on disk always serializes")
}

fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8], path: &Path) -> Result<T, StartError> {
    let broken = |problem: &str| StartError::Broken {
        record: name.to_owned(),
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let Some((&format, record)) = bytes.split_first() else {
        return Err(broken("it is empty"));
    };
    if format != FORMAT {
        return Err(StartError::UnknownFormat {
            record: name.to_owned(),
            path: path.to_owned(),
            came: format,
            known: FORMAT,
        });
    }
    postcard::from_bytes(record).map_err(|error| broken(&error.to_string()))
}

impl Contents {
    fn decode(raw: &Raw, path: &Path) -> Result<Self, StartError> {
        fn record<T: DeserializeOwned>(
            raw: &Raw,
            record: Record,
            path: &Path,
        ) -> Result<Option<T>, StartError> {
            let bytes = raw.records.get(&record);
            bytes
                .map(|bytes| decode(record.name(), bytes, path))
                .transpose()
        }
        let mut log = BTreeMap::new();
        for (&index, bytes) in &raw.log {
            log.insert(index, decode(&format!("log entry {index}"), bytes, path)?);
        }
        Ok(Self {
            log,
            vote: record(raw, Record::Vote, path)?,
            committed: record(raw, Record::Committed, path)?,
            purged: record(raw, Record::Purged, path)?,
            snapshot: record(raw, Record::Snapshot, path)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_format_is_named_with_what_to_do() {
        let mut bytes = encode(&7_u64);
        assert_eq!(decode::<u64>("vote", &bytes, Path::new("f")).ok(), Some(7));
        bytes[0] = 9;
        let error = decode::<u64>("vote", &bytes, Path::new("data/f")).expect_err("format 9");
        assert_eq!(
            error.to_string(),
            "expected format 1 of the vote in data/f, got 9: another version of Katamari wrote \
             it; run that version, or revoke this master and join it again from an empty folder"
        );
        let error = decode::<u64>("vote", &[], Path::new("f")).expect_err("no format at all");
        assert!(error.to_string().contains("it is empty"), "{error}");
    }
}
