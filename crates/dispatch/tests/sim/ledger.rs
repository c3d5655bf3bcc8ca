//! What became of each call, from both ends, and whether it may be.
//!
//! It stands outside of the simulation: it sees what no node can see.

use dispatch::{Answer, Code, Reply};
use pool::{CallId, NodeId, SlotId};
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How much later than its deadline a call may be answered on the node that dispatched it. Its
/// alarm is exact; the simulation goes on in ticks.
const GRACE: Duration = Duration::from_millis(25);

/// The same, of a nested call, which another node dispatches: until a lost link is noticed by the
/// silence on it, and what that node said at the last moment has come.
const NESTED_GRACE: Duration = Duration::from_millis(1_500);

/// Clones are the same ledger.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

/// A call as its maker sees it.
#[derive(Debug, Clone)]
pub struct Made {
    pub node: NodeId,
    pub is_idempotent: bool,
    pub is_nested: bool,
    /// Made when there are no faults.
    pub must_be_answered: bool,
    /// In simulated time.
    pub deadline: Duration,
}

#[derive(Debug)]
struct Entry {
    made: Made,
    is_open: bool,
    /// The attempts that a worker began to run.
    runs: Vec<CallId>,
}

#[derive(Default)]
struct Book {
    calls: BTreeMap<u64, Entry>,
    /// Bytes of the inputs of calls.
    inputs: BTreeMap<u64, usize>,
    /// Inputs that were read to their ends.
    read: u64,
    /// What each slot holds.
    slots: BTreeMap<SlotId, CallId>,
    /// Of calls that were answered.
    answered: u64,
    errors: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
    /// A hash of all that happened.
    trace: rustc_hash::FxHasher,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().expect("no panic under the lock")
    }

    /// A call is made.
    pub fn made(&self, number: u64, made: Made) {
        let mut book = self.book();
        book.note("made", number);
        let entry = Entry {
            made,
            is_open: true,
            runs: Vec::new(),
        };
        if book.calls.insert(number, entry).is_some() {
            book.wrong.push(format!("call {number:x} was made twice"));
        }
    }

    /// A call has an input.
    pub fn uploads(&self, number: u64, bytes: usize) {
        self.book().inputs.insert(number, bytes);
    }

    /// A worker has read an input to its end.
    pub fn read(&self, number: u64, bytes: usize, is_right: bool) {
        let mut book = self.book();
        book.note("read", number);
        book.read += 1;
        let sent = book.inputs.get(&number).copied();
        if !is_right || sent != Some(bytes) {
            let wrong =
                format!("call {number:x} read {bytes} bytes, right {is_right}, of {sent:?}");
            book.wrong.push(wrong);
        }
    }

    /// Its maker has left.
    pub fn left(&self, number: u64) {
        let mut book = self.book();
        book.note("left", number);
        if let Some(entry) = book.calls.get_mut(&number) {
            entry.is_open = false;
        }
    }

    /// Its maker got a reply.
    pub fn replied(&self, number: u64, reply: &Reply) {
        let mut book = self.book();
        let Some(made) = book.close(number) else {
            return;
        };
        match &reply.result {
            Ok(Answer::Whole(payload)) => {
                book.note("answered", number);
                book.answered += 1;
                if payload.bytes() != number.to_string().as_bytes() {
                    let got = payload.bytes();
                    let wrong = format!("call {number:x} was answered with {got:?}");
                    book.wrong.push(wrong);
                }
                if book.calls[&number].runs.is_empty() {
                    let wrong = format!("call {number:x} was answered, and no worker ran it");
                    book.wrong.push(wrong);
                }
            }
            Ok(Answer::Stream(_)) => book.wrong.push(format!("call {number:x} got a stream")),
            Err(error) => {
                let code = error.code;
                book.note(code.as_str(), number);
                *book.errors.entry(code.as_str()).or_default() += 1;
                let is_expected = match code {
                    Code::NotAllowed => made.is_nested,
                    Code::NoPool
                    | Code::Busy
                    | Code::Deadline
                    | Code::WorkerDied
                    | Code::WorkerLost
                    | Code::WorkerError
                    | Code::Stopping
                    | Code::Cancelled => true,
                    _ => false,
                };
                if made.must_be_answered || !is_expected {
                    let wrong = format!("call {number:x} of {:?} failed: {error}", made.node);
                    book.wrong.push(wrong);
                }
            }
        }
    }

    /// A worker begins to run a call.
    pub fn began(&self, slot: SlotId, call: CallId) {
        let book = &mut *self.book();
        book.note("began", call.number);
        if let Some(other) = book.slots.insert(slot, call) {
            let wrong = format!("{slot:?} got {call:?} while it held {other:?}");
            book.wrong.push(wrong);
        }
        let Some(entry) = book.calls.get_mut(&call.number) else {
            book.wrong
                .push(format!("{call:?} runs, and nobody made it"));
            return;
        };
        if entry.runs.contains(&call) {
            book.wrong.push(format!("{call:?} runs again in {slot:?}"));
        } else if !entry.made.is_idempotent && !entry.runs.is_empty() {
            let wrong = format!("{call:?} runs again in {slot:?}, and is not idempotent");
            book.wrong.push(wrong);
        }
        entry.runs.push(call);
    }

    /// It ran to its end, or the worker died.
    pub fn ended(&self, slot: SlotId, call: CallId) {
        let mut book = self.book();
        book.note("ended", call.number);
        book.slots.remove(&slot);
    }

    /// Nothing on this node goes on, and nobody there waits for answers any more.
    pub fn crashed(&self, node: NodeId) {
        let book = &mut *self.book();
        book.slots.retain(|slot, _| slot.worker.node != node);
        let entries = book.calls.values_mut();
        for entry in entries.filter(|entry| entry.made.node == node) {
            entry.is_open = false;
        }
    }

    /// Something happened that belongs into the trace.
    pub fn note(&self, what: &str, number: u64) {
        self.book().note(what, number);
    }

    /// What went wrong until `now`, and who has no reply by then and should.
    pub fn wrong(&self, now: Duration) -> Vec<String> {
        let book = self.book();
        let open = book.calls.iter().filter(|(_, entry)| entry.is_open);
        let late = open.filter(|(_, entry)| {
            let grace = if entry.made.is_nested {
                NESTED_GRACE
            } else {
                GRACE
            };
            now > entry.made.deadline + grace
        });
        let late = late.map(|(number, entry)| {
            let Made { node, deadline, .. } = entry.made;
            format!("call {number:x} of {node:?} has no reply, due at {deadline:?}")
        });
        book.wrong.iter().cloned().chain(late).collect()
    }

    /// Calls without a reply, and slots that hold calls.
    pub fn in_flight(&self) -> (usize, usize) {
        let book = self.book();
        let open = book.calls.values().filter(|entry| entry.is_open);
        (open.count(), book.slots.len())
    }

    /// A hash of all that happened, in its order and with its times.
    pub fn digest(&self) -> u64 {
        self.book().trace.finish()
    }

    /// How many calls there were, and what became of them.
    pub fn summary(&self) -> String {
        let book = self.book();
        let (calls, answered) = (book.calls.len(), book.answered);
        format!(
            "{calls} calls, {answered} answered, {} inputs read, errors {:?}",
            book.read, book.errors
        )
    }
}

impl Book {
    fn note(&mut self, what: &str, number: u64) {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        self.trace.write(what.as_bytes());
        self.trace.write_u64(number);
        self.trace.write_u128(now.as_micros());
    }

    /// Closes a call, and gives it if it was open.
    fn close(&mut self, number: u64) -> Option<Made> {
        let entry = self.calls.get_mut(&number)?;
        if !std::mem::replace(&mut entry.is_open, false) {
            self.wrong
                .push(format!("call {number:x} was answered twice"));
            return None;
        }
        Some(entry.made.clone())
    }
}
