//! Which manifests a node gets, when it tries again, what it lets others have and what it clears.
//! Pure.
//!
//! The shell says what is wanted, what came of an attempt and what the time is; the plan says what to
//! do next.

use super::hash::ContentHash;
use super::manifest::Manifest;
use pool::{NodeId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long an upload may wait until it is applied.
pub const HELD_MAX: Duration = Duration::from_secs(3_600);
/// Uploads that wait at a time: each program of a large configuration may have one.
pub const HOLDS_MAX: usize = 200;
/// Bytes of all of them.
pub const HELD_BYTES_MAX: u64 = 4 << 30;
/// How long what nobody uses stays: a roll-back finds it, and so does the end of a long roll-out.
pub const UNUSED_MAX: Duration = Duration::from_secs(600);
/// Attempts at a time: each has megabytes on their way, and a master that joins wants all versions of
/// all programs at once.
const ATTEMPTS_MAX: usize = 4;
/// The pause after a failure; twice as long after each further one, so that three in a row are not
/// one short trouble.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the cluster's programs ask of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wants {
    /// Manifests whose contents are to be here: on masters those of all kept versions.
    pub keep: BTreeSet<ContentHash>,
    /// Manifests whose files are to be unpacked here, for workers.
    pub unpack: BTreeSet<ContentHash>,
    /// The masters, as sources.
    pub masters: Vec<NodeId>,
}

/// An upload that is not applied yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    until: Time,
    /// Who has the files.
    from: Option<NodeId>,
    /// Whether they are to be here: on masters.
    fetch: bool,
    /// Bytes of its files.
    bytes: u64,
}

/// How far a manifest is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stage {
    /// Nothing was tried yet.
    #[default]
    New,
    /// An attempt is under way.
    Busy,
    /// The last attempt failed.
    Failed,
    /// All contents are here.
    Whole,
    /// They are unpacked.
    Unpacked,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// Failures in a row.
    failures: u32,
    /// Why the last attempt failed.
    problem: Option<Arc<str>>,
    /// No attempt before this.
    again: Time,
}

/// Something to do for a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// The manifest.
    pub manifest: ContentHash,
    /// Whether its files are to be unpacked.
    pub unpack: bool,
    /// Who has the files, if that is not a master.
    pub from: Option<NodeId>,
    /// Bytes that its files may have; none if a version names it.
    pub bytes_max: Option<u64>,
}

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sweep {
    /// Contents.
    pub contents: Vec<ContentHash>,
    /// Unpacked manifests.
    pub folders: Vec<ContentHash>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Plan {
    wants: Wants,
    holds: BTreeMap<ContentHash, Hold>,
    states: BTreeMap<ContentHash, State>,
    known: BTreeMap<ContentHash, Arc<Manifest>>,
    /// All contents that are wanted, as far as they are known; none if that has to be looked up anew.
    used: Option<BTreeSet<ContentHash>>,
    /// Contents and folders that nobody uses, since when.
    unused: BTreeMap<(bool, ContentHash), Time>,
}

impl Plan {
    /// Takes up what is wanted now.
    pub fn want(&mut self, wants: Wants) {
        self.wants = wants;
        self.forget();
    }

    /// The masters, as sources.
    pub fn masters(&self) -> &[NodeId] {
        &self.wants.masters
    }

    /// Keeps the files of a manifest, of so many bytes, although no program has it yet: an upload
    /// begins. `fetch` says whether they are to come here, `from` the node that has them, if one has.
    ///
    /// # Errors
    ///
    /// Too much waits already.
    pub fn hold(
        &mut self,
        now: Time,
        manifest: ContentHash,
        bytes: u64,
        from: Option<NodeId>,
        fetch: bool,
    ) -> Result<(), String> {
        let old = self.holds.remove(&manifest);
        let held: u64 = self.holds.values().map(|hold| hold.bytes).sum();
        if self.holds.len() >= HOLDS_MAX || held.saturating_add(bytes) > HELD_BYTES_MAX {
            self.holds.extend(old.map(|old| (manifest, old)));
            return Err(format!(
                "expected at most {HOLDS_MAX} uploads of {} GiB together that wait to be applied, \
                 got more; apply them, or wait an hour until they are forgotten",
                HELD_BYTES_MAX >> 30
            ));
        }
        let hold = Hold {
            until: now.after(HELD_MAX),
            from: from.or(old.and_then(|old| old.from)),
            fetch: fetch || old.is_some_and(|old| old.fetch),
            bytes,
        };
        self.holds.insert(manifest, hold);
        self.used = None;
        // Whoever asks wants it now.
        if let Some(state) = self.states.get_mut(&manifest) {
            state.again = state.again.min(now.after(PAUSE_FIRST));
        }
        Ok(())
    }

    /// Learns what is in a manifest.
    pub fn learn(&mut self, name: ContentHash, manifest: Arc<Manifest>) {
        self.known.insert(name, manifest);
        self.used = None;
    }

    /// How far a manifest is, and why the last attempt failed, with how many before it.
    pub fn stage(&self, manifest: ContentHash) -> (Stage, Option<Arc<str>>, u32) {
        let state = self.states.get(&manifest);
        let parts = |state: &State| (state.stage.clone(), state.problem.clone(), state.failures);
        state.map(parts).unwrap_or_default()
    }

    /// Manifests that are wanted unpacked.
    pub fn to_unpack(&self) -> &BTreeSet<ContentHash> {
        &self.wants.unpack
    }

    /// Whether other nodes may have a content.
    pub fn serves(&mut self, content: ContentHash) -> bool {
        self.used().contains(&content)
    }

    /// What to begin now. Each is under way then, until [`Plan::ended`].
    pub fn begin(&mut self, now: Time) -> Vec<Job> {
        let is_busy = |state: &&State| state.stage == Stage::Busy;
        let busy = self.states.values().filter(is_busy).count();
        let mut due = self.due(now);
        due.truncate(ATTEMPTS_MAX.saturating_sub(busy));
        let jobs = due.into_iter().map(|manifest| {
            self.states.entry(manifest).or_default().stage = Stage::Busy;
            let unpack = self.wants.unpack.contains(&manifest);
            let hold = self.holds.get(&manifest);
            let is_held = !unpack && !self.wants.keep.contains(&manifest);
            Job {
                manifest,
                unpack,
                from: hold.and_then(|hold| hold.from),
                bytes_max: hold.filter(|_| is_held).map(|hold| hold.bytes),
            }
        });
        jobs.collect()
    }

    /// The manifests to get now: first those that workers wait for, then those that a command line
    /// waits for. What has failed comes later, so that it keeps no other from its turn.
    fn due(&self, now: Time) -> Vec<ContentHash> {
        let fetched = self.holds.iter().filter(|(_, hold)| hold.fetch);
        let fetched = fetched.map(|(manifest, _)| manifest);
        let unpack = &self.wants.unpack;
        let wanted = unpack.iter().chain(fetched).chain(&self.wants.keep);
        let mut seen = BTreeSet::new();
        let wanted = wanted.copied().filter(|manifest| seen.insert(*manifest));
        let failures = |manifest: &ContentHash| self.states.get(manifest).map_or(0, |s| s.failures);
        let is_due = |manifest: &ContentHash| {
            self.states
                .get(manifest)
                .is_none_or(|state| match state.stage {
                    Stage::New => true,
                    Stage::Failed => now >= state.again,
                    Stage::Whole => unpack.contains(manifest),
                    Stage::Busy | Stage::Unpacked => false,
                })
        };
        let mut due: Vec<ContentHash> = wanted.filter(is_due).collect();
        due.sort_by_key(failures);
        due
    }

    /// What became of an attempt.
    pub fn ended(&mut self, now: Time, job: Job, result: Result<(), Arc<str>>) {
        let state = self.states.entry(job.manifest).or_default();
        match result {
            Ok(()) => {
                *state = State::default();
                state.stage = if job.unpack {
                    Stage::Unpacked
                } else {
                    Stage::Whole
                };
            }
            Err(why) => {
                let doubled = PAUSE_FIRST * 2_u32.saturating_pow(state.failures.min(10));
                state.stage = Stage::Failed;
                state.failures += 1;
                state.again = now.after(doubled.min(PAUSE_MAX));
                state.problem = Some(why);
            }
        }
        self.forget();
    }

    /// A content has gone, or was damaged: what needs it is looked through again.
    pub fn lost(&mut self, content: ContentHash) {
        for (name, state) in &mut self.states {
            let is_in = |manifest: &Arc<Manifest>| {
                manifest
                    .entries()
                    .iter()
                    .any(|entry| entry.content == content)
            };
            let needs = *name == content || self.known.get(name).is_some_and(is_in);
            if needs && matches!(state.stage, Stage::Whole | Stage::Unpacked) {
                state.stage = Stage::New;
            }
        }
    }

    /// What is to be removed of all that is here: what was not used for [`UNUSED_MAX`].
    pub fn sweep(
        &mut self,
        now: Time,
        contents: impl IntoIterator<Item = ContentHash>,
        folders: impl IntoIterator<Item = ContentHash>,
    ) -> Sweep {
        self.holds.retain(|_, hold| now < hold.until);
        self.forget();
        let all = self
            .wants
            .keep
            .iter()
            .chain(&self.wants.unpack)
            .chain(self.holds.keys());
        // As long as it is not known what is in one of them, anything may be.
        if all
            .into_iter()
            .any(|manifest| !self.known.contains_key(manifest))
        {
            self.unused.clear();
            return Sweep::default();
        }
        let used = self.used();
        let contents = contents
            .into_iter()
            .filter(|content| !used.contains(content));
        let contents: Vec<ContentHash> = contents.collect();
        let folders = folders
            .into_iter()
            .filter(|name| !self.wants.unpack.contains(name));
        let unused = contents.into_iter().map(|content| (false, content));
        let unused = unused.chain(folders.map(|folder| (true, folder)));
        let unused: BTreeSet<(bool, ContentHash)> = unused.collect();
        self.unused.retain(|name, _| unused.contains(name));
        let mut sweep = Sweep::default();
        for name in unused {
            let since = *self.unused.entry(name).or_insert(now);
            if now.since(since) >= UNUSED_MAX {
                let list = match name.0 {
                    true => &mut sweep.folders,
                    false => &mut sweep.contents,
                };
                list.push(name.1);
            }
        }
        sweep
    }

    fn is_wanted(&self, manifest: ContentHash) -> bool {
        self.wants.keep.contains(&manifest)
            || self.wants.unpack.contains(&manifest)
            || self.holds.contains_key(&manifest)
    }

    /// All contents that are wanted, manifests among them.
    fn used(&mut self) -> &BTreeSet<ContentHash> {
        if self.used.is_none() {
            let known = self.known.iter().filter(|(name, _)| self.is_wanted(**name));
            let mut used = BTreeSet::new();
            for (name, manifest) in known {
                used.insert(*name);
                used.extend(manifest.entries().iter().map(|entry| entry.content));
            }
            self.used = Some(used);
        }
        self.used.get_or_insert_default()
    }

    /// What is wanted no more is not remembered. What was unpacked and is no longer wanted so is
    /// looked through if it ever is again.
    fn forget(&mut self) {
        let is_busy = |state: &State| state.stage == Stage::Busy;
        let mut states = std::mem::take(&mut self.states);
        states.retain(|name, state| is_busy(state) || self.is_wanted(*name));
        for (name, state) in &mut states {
            if state.stage == Stage::Unpacked && !self.wants.unpack.contains(name) {
                state.stage = Stage::Whole;
            }
        }
        let mut known = std::mem::take(&mut self.known);
        known.retain(|name, _| states.contains_key(name) || self.is_wanted(*name));
        (self.states, self.known) = (states, known);
        self.used = None;
    }
}

#[cfg(test)]
mod tests;
