//! Versions that only shadow: which they are, and until when.
//!
//! A shadow is a roll-out that has not begun, so whatever ends or replaces that ends the shadow, too.

use super::Hard;
use super::change::Refusal;
use super::record::Shadow;

impl Hard {
    /// What part of a program's calls is copied to this version, in percent; none if it is no
    /// shadow.
    pub fn shadow_percent(&self, program: &str, version: u32) -> Option<u32> {
        let shadow = self.shadows.get(program);
        let shadow = shadow.filter(|shadow| shadow.version == version);
        shadow.map(|shadow| shadow.percent)
    }

    /// Forgets those that are rolled out no more, or that another roll-out has replaced.
    pub(super) fn forget_shadows(&mut self) {
        let programs = &self.programs;
        self.shadows.retain(|name, shadow| {
            let rollout = programs.get(name).and_then(|program| program.rollout);
            rollout.is_some_and(|rollout| rollout.to == shadow.version)
        });
    }
}

/// A shadow's part of the calls, in percent.
pub(super) fn check_percent(percent: u32) -> Result<(), Refusal> {
    if (1..=100).contains(&percent) {
        Ok(())
    } else {
        Err(Refusal::BadPercent(percent))
    }
}

impl Shadow {
    /// How many workers copies need, of so many that calls need: its part, at least one.
    pub(crate) fn workers(self, workers: u32) -> u32 {
        let part = (u64::from(workers) * u64::from(self.percent)).div_ceil(100);
        u32::try_from(part).map_or(workers, |part| part.max(1))
    }
}
