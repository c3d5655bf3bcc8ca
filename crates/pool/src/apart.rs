//! Programs that are set apart: a version that only shadows another takes the calls that name it,
//! and no others.
//!
//! It says so by its name, so that every node that hears of its workers knows. Its workers make a
//! pool of their own, also where they say of themselves what others say: in a common pool a slot
//! that was promised, or a place ahead, would lead to them.

use crate::choose::stable_hash;
use crate::event::Introduction;
use std::sync::Arc;

/// What the name of a program ends with that is set apart.
pub const APART: &str = "~shadow";

/// Whether a program is set apart.
pub fn is_apart(program: &str) -> bool {
    program.ends_with(APART)
}

impl Introduction {
    /// The program whose calls alone it takes; none if it takes all that match.
    pub(crate) fn only(&self) -> Option<&Arc<str>> {
        Some(&self.program).filter(|program| is_apart(program))
    }

    /// The hash of the worker's pool, the same on every node.
    pub fn pool_hash(&self) -> u64 {
        match self.only() {
            Some(program) => stable_hash(&(&*self.description, &**program)),
            None => stable_hash(&*self.description),
        }
    }

    /// What nodes take for that hash that know of no inputs. None if it is the same.
    pub fn pool_hash_without_inputs(&self) -> Option<u64> {
        let mut functions = self.description.functions.iter();
        functions.any(|function| function.input).then(|| {
            let mut description = (*self.description).clone();
            for function in &mut description.functions {
                function.input = false;
            }
            let description = Arc::new(description);
            let without = Self {
                description,
                ..self.clone()
            };
            without.pool_hash()
        })
    }
}
