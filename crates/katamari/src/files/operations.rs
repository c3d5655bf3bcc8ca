//! What the command line asks of a node about files, over its control socket: `POST
//! /operate/files/...`. Both ends' types are here.
//!
//! ```text
//! files/offer                    an upload begins: a manifest; answered by what is missing
//! files/put/HASH/SIZE/OFFSET     a piece of a file, raw
//! files/hold                     let masters have an upload; asked again until they do
//! files/manifest/HASH            a manifest that is here
//! ```

use cluster::files::ContentHash;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of a piece of a file: well below what a request may have.
pub const PIECE_BYTES: usize = 1 << 20;

/// A manifest that masters are to have, with its files.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Hold {
    /// Its name.
    pub manifest: ContentHash,
    /// Bytes of its files.
    pub bytes: u64,
}

/// How far one master is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The master's name.
    pub name: Arc<str>,
    /// Whether it is up; one that is not gets the files when it comes back.
    pub is_up: bool,
    /// Whether it has all files.
    pub is_whole: bool,
    /// Bytes that it has, and of how many; both 0 while that is not known.
    pub progress: (u64, u64),
    /// What goes wrong, if something does.
    pub problem: Option<String>,
}

/// Whether enough masters have the files: all that are up, and a majority of all, so that the loss of
/// any one loses nothing that the cluster can go on without it.
pub fn is_safe(holders: &[Holder]) -> bool {
    let whole = holders.iter().filter(|holder| holder.is_whole).count();
    let are_all = holders
        .iter()
        .all(|holder| holder.is_whole || !holder.is_up);
    are_all && whole * 2 > holders.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_masters_that_are_up_and_a_majority_have_the_files() {
        let holders = |states: &[(bool, bool)]| {
            let holder = |(is_up, is_whole): &(bool, bool)| Holder {
                name: "a".into(),
                is_up: *is_up,
                is_whole: *is_whole,
                progress: (0, 0),
                problem: None,
            };
            is_safe(&states.iter().map(holder).collect::<Vec<_>>())
        };
        let (has, lacks, down) = ((true, true), (true, false), (false, false));
        assert!(holders(&[has]));
        assert!(holders(&[has, has, down]));
        assert!(!holders(&[has, has, lacks]), "one that is up is waited for");
        assert!(!holders(&[has, down, down]));
        assert!(!holders(&[has, down]));
    }
}
