//! Changes of programs: versions and the shares that they have of the calls.
//!
//! `crate::rollout` decides how the shares of a roll-out go on; here is what may become of them.

use super::change::{Pace, Refusal};
use super::limits::{
    CHANGE_BYTES_MAX, PROGRAMS_MAX, SHARES_MAX, SPEC_BYTES_MAX, SPECS_BYTES_MAX, VERSIONS_MAX,
    WEIGHT_MAX, WHY_BYTES_MAX,
};
use super::record::{Placement, ProgramRecord, ProgramVersion, Rollout, Shadow, Share, TakenBack};
use super::shadows::check_percent;
use super::{Hard, check};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a change says of one program: spec and placement, or none to remove it.
type Wanted = Option<(Bytes, Placement)>;

impl Hard {
    pub(super) fn apply_programs(
        &mut self,
        expected: Option<u64>,
        wanted: &BTreeMap<Arc<str>, Wanted>,
        pace: Pace,
    ) -> Result<(), Refusal> {
        match pace {
            Pace::Canary(weight) => check_weight(weight)?,
            Pace::Shadow(percent) => check_percent(percent)?,
            Pace::Steps | Pace::AtOnce => {}
        }
        // What nodes and tokens do meanwhile makes no difference to programs.
        let known = self.programs_revision..=self.revision;
        if let Some(expected) = expected.filter(|expected| !known.contains(expected)) {
            let revision = self.programs_revision;
            return Err(Refusal::Outdated { expected, revision });
        }
        self.check_programs(wanted)?;
        // Specs are shared bytes, so a copy is cheap, and a refusal leaves the original alone.
        let mut programs = self.programs.clone();
        let mut last_removed_version = self.last_removed_version;
        let (mut given_up, mut shadows) = (Vec::new(), Vec::new());
        for (name, wanted) in wanted {
            match (wanted, programs.get_mut(name)) {
                (Some((spec, placement)), Some(program)) => {
                    let before = program.rollout.map(|rollout| rollout.to);
                    program.set(spec, placement, pace);
                    // A roll-out that another one replaced: its version went no further.
                    let version = before.filter(|version| !program.runs(*version));
                    given_up.extend(version.map(|version| (name.clone(), version)));
                    let rollout = program.rollout.map(|rollout| rollout.to);
                    if let (Pace::Shadow(percent), Some(version)) = (pace, rollout)
                        && rollout != before
                    {
                        shadows.push((name.clone(), Shadow { version, percent }));
                    }
                }
                (Some((spec, placement)), None) => {
                    let program =
                        ProgramRecord::new(self.last_removed_version + 1, spec, placement);
                    programs.insert(name.clone(), program);
                }
                (None, Some(program)) => {
                    last_removed_version = last_removed_version.max(program.last_version());
                    programs.remove(name);
                }
                (None, None) => return Err(Refusal::UnknownProgram(name.clone())),
            }
        }
        check::limit("programs", programs.len(), PROGRAMS_MAX)?;
        let versions = programs.values().flat_map(|program| &program.versions);
        let bytes = versions.map(|version| version.spec.len()).sum();
        check::limit(
            "bytes of specs, old versions included",
            bytes,
            SPECS_BYTES_MAX,
        )?;
        self.programs = programs;
        self.last_removed_version = last_removed_version;
        self.shadows.extend(shadows);
        self.forget_shadows();
        for (name, version) in given_up {
            self.never_again(&name, version);
        }
        self.forget_unserved();
        Ok(())
    }

    /// Nobody is to go back to this version. Not noted below level 2, where builds take part that
    /// would go back to it.
    fn never_again(&mut self, name: &Arc<str>, version: u32) {
        if self.level >= 2 {
            let unserved = self.unserved.entry(name.clone()).or_default();
            unserved.insert(version);
        }
    }

    /// At level 2: what is known of versions that were taken back before.
    pub(super) fn begin_unserved(&mut self) {
        for (name, program) in &self.programs {
            if let Some(taken_back) = &program.taken_back {
                let version = BTreeSet::from([taken_back.version]);
                self.unserved.insert(name.clone(), version);
            }
        }
    }

    /// Forgets versions that are not kept any more.
    fn forget_unserved(&mut self) {
        let programs = &self.programs;
        self.unserved.retain(|name, unserved| {
            let program = programs.get(name);
            unserved.retain(|number| program.is_some_and(|p| p.version(*number).is_some()));
            !unserved.is_empty()
        });
    }

    fn check_programs(&self, wanted: &BTreeMap<Arc<str>, Wanted>) -> Result<(), Refusal> {
        let mut bytes = 0;
        for (name, wanted) in wanted {
            check::name(name)?;
            let Some((spec, placement)) = wanted else {
                continue;
            };
            check::limit("bytes of a program's spec", spec.len(), SPEC_BYTES_MAX)?;
            check::placement(placement)?;
            bytes += spec.len();
        }
        check::limit("bytes of specs in one change", bytes, CHANGE_BYTES_MAX)
    }

    fn program_mut(&mut self, name: &Arc<str>) -> Result<&mut ProgramRecord, Refusal> {
        let program = self.programs.get_mut(name);
        program.ok_or_else(|| Refusal::UnknownProgram(name.clone()))
    }

    pub(super) fn scale(&mut self, name: &Arc<str>, workers: u32) -> Result<(), Refusal> {
        let program = self.program_mut(name)?;
        for version in program.running() {
            check::workers(workers, version.placement.spare)?;
        }
        for version in program.running() {
            version.placement.workers = workers;
        }
        Ok(())
    }

    pub(super) fn roll_back(
        &mut self,
        name: &Arc<str>,
        version: Option<u32>,
        why: &Arc<str>,
    ) -> Result<(), Refusal> {
        check::limit("bytes of a reason", why.len(), WHY_BYTES_MAX)?;
        let unserved = self.unserved.get(name).cloned().unwrap_or_default();
        let program = self.program_mut(name)?;
        let newest = program.newest_running();
        if let Some(version) = version.filter(|version| *version != newest) {
            let program = name.clone();
            return Err(Refusal::AnotherRuns { program, version });
        }
        let from = program.rollout.map(|rollout| rollout.from);
        let before = program.versions.iter().rfind(|version| match from {
            Some(from) => version.number == from,
            None => version.number < newest && !unserved.contains(&version.number),
        });
        let before = before.ok_or_else(|| Refusal::NoVersionBefore(name.clone()))?;
        let before = before.number;
        program.replace(before);
        program.taken_back = Some(TakenBack {
            version: newest,
            why: why.clone(),
        });
        self.never_again(name, newest);
        self.forget_shadows();
        Ok(())
    }

    pub(super) fn hold(&mut self, name: &Arc<str>, weight: Option<u32>) -> Result<(), Refusal> {
        weight.map_or(Ok(()), check_weight)?;
        let program = self.program_mut(name)?;
        let rollout = program.rollout.as_mut();
        rollout
            .ok_or_else(|| Refusal::NoRollout(name.clone()))?
            .held = weight;
        // From now on it is to answer calls itself.
        self.shadows.remove(name);
        Ok(())
    }

    pub(super) fn set_shares(&mut self, name: &Arc<str>, shares: &[Share]) -> Result<(), Refusal> {
        let program = self.program_mut(name)?;
        check::limit("versions that run", shares.len(), SHARES_MAX)?;
        for share in shares {
            check::limit("weight", share.weight as usize, WEIGHT_MAX as usize)?;
            if !program.runs(share.version) {
                return Err(Refusal::UnknownVersion {
                    program: name.clone(),
                    version: share.version,
                });
            }
        }
        let mut shares = shares.to_vec();
        shares.sort_by_key(|share| share.version);
        let is_repeated = shares
            .windows(2)
            .any(|two| two[0].version == two[1].version);
        if is_repeated || shares.iter().all(|share| share.weight == 0) {
            return Err(Refusal::BadShares(name.clone()));
        }
        if shares.len() == 1 {
            program.rollout = None;
            program.taken_back = None;
        }
        program.shares = shares;
        Ok(())
    }
}

/// A canary's weight, in percent.
fn check_weight(weight: u32) -> Result<(), Refusal> {
    if (1..100).contains(&weight) {
        Ok(())
    } else {
        Err(Refusal::BadWeight(weight))
    }
}

impl Share {
    /// All calls to one version.
    fn whole(version: u32) -> Self {
        Self { version, weight: 1 }
    }
}

impl ProgramRecord {
    /// A program of one version.
    pub fn new(number: u32, spec: &Bytes, placement: &Placement) -> Self {
        Self {
            versions: vec![ProgramVersion {
                number,
                lane: 0,
                spec: spec.clone(),
                placement: placement.clone(),
            }],
            shares: vec![Share::whole(number)],
            rollout: None,
            taken_back: None,
        }
    }

    /// The number of the newest version.
    fn last_version(&self) -> u32 {
        let newest = self.versions.last();
        newest.expect("a program has at least one version").number
    }

    fn runs(&self, version: u32) -> bool {
        self.shares.iter().any(|share| share.version == version)
    }

    /// The version that gets most calls; of equals the older one, which has shown what it can do.
    fn serving(&self) -> u32 {
        let serving = self.shares.iter().rev().max_by_key(|share| share.weight);
        serving.expect("a program has at least one share").version
    }

    /// Gives all calls to one version. If it does not run yet it takes the lane of the one that
    /// serves, whose place it takes.
    fn replace(&mut self, number: u32) {
        if !self.runs(number) {
            let serving = self.version(self.serving()).map(|version| version.lane);
            let version = self.versions.iter_mut().find(|v| v.number == number);
            if let (Some(lane), Some(version)) = (serving, version) {
                version.lane = lane;
            }
        }
        self.shares = vec![Share::whole(number)];
        self.rollout = None;
        self.taken_back = None;
    }

    /// The first lane that no version has.
    fn free_lane(&self) -> u32 {
        let is_free = |lane: &u32| self.versions.iter().all(|version| version.lane != *lane);
        let lane = (0..).find(is_free);
        lane.expect("there are fewer versions than numbers")
    }

    /// The versions that have a share.
    fn running(&mut self) -> impl Iterator<Item = &mut ProgramVersion> {
        let Self {
            versions, shares, ..
        } = self;
        versions
            .iter_mut()
            .filter(|version| shares.iter().any(|share| share.version == version.number))
    }

    /// Takes a new spec as a new version, and a new placement of the old spec as it is.
    fn set(&mut self, spec: &Bytes, placement: &Placement, pace: Pace) {
        let newest_running = self.newest_running();
        let same = self
            .running()
            .find(|version| version.number == newest_running && version.spec == *spec);
        if let Some(version) = same {
            version.placement = placement.clone();
            return;
        }
        let number = self.last_version() + 1;
        self.versions.push(ProgramVersion {
            number,
            lane: self.free_lane(),
            spec: spec.clone(),
            placement: placement.clone(),
        });
        let held = match pace {
            Pace::AtOnce => None,
            Pace::Steps | Pace::Shadow(_) => Some(None),
            Pace::Canary(weight) => Some(Some(weight)),
        };
        let from = self.serving();
        if let Some(held) = held {
            let shares = [(from, 100), (number, 0)];
            let shares = shares.map(|(version, weight)| Share { version, weight });
            self.shares = shares.to_vec();
            let to = number;
            self.rollout = Some(Rollout { from, to, held });
            self.taken_back = None;
        } else {
            self.replace(number);
        }
        if self.versions.len() > VERSIONS_MAX {
            let oldest = self
                .versions
                .iter()
                .position(|version| !self.runs(version.number));
            self.versions
                .remove(oldest.expect("only two of several versions run"));
        }
    }
}
