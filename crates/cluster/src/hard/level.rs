//! The cluster's level: the version of the link protocol that every member is known to speak.
//!
//! Masters of two builds apply the same log, and must come to the same state. So what a change does
//! may differ by the level alone, never by the build, and a change that older builds do not know is
//! refused below its level, before it is sent to anybody. The leader raises the level
//! (`member/upgrade.rs`); it never goes down.

use super::Hard;
use super::change::{Change, Refusal};

impl Hard {
    /// Whether the cluster has a level.
    ///
    /// # Errors
    ///
    /// That it has not, and what needs it: `what` is in the singular, such as "shipping files".
    pub fn require(&self, level: u16, what: &str) -> Result<(), Refusal> {
        if self.level >= level {
            return Ok(());
        }
        Err(Refusal::Level {
            what: what.into(),
            needs: level,
            level: self.level,
            old: Vec::new(),
        })
    }

    /// Whether all masters know a change. Asked before a change is sent, for those who do not know
    /// it cannot even refuse it.
    ///
    /// # Errors
    ///
    /// As [`Hard::require`].
    pub fn admits(&self, change: &Change) -> Result<(), Refusal> {
        let (level, what) = change.needs();
        if level > 1 {
            self.require(level, what)?;
        }
        Ok(())
    }

    /// Raises the level. One that is not higher changes nothing.
    pub(super) fn raise(&mut self, level: u16) {
        if self.level < 2 && level >= 2 {
            self.begin_unserved();
        }
        self.level = self.level.max(level);
    }
}
