//! Files that a program ships: found beside the configuration ([`find`]), shown where they differ
//! ([`difference`]), and handed to a node by the command line ([`operations`]).

pub mod difference;
pub mod find;
pub mod operations;

use cluster::files::Manifest;
use std::path::{Path, PathBuf};

/// The files of `files = [...]` as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The configuration's folder, where they are.
    pub folder: PathBuf,
    /// Which they are.
    pub manifest: Manifest,
}

impl Files {
    /// What a file of the folder is called in the manifest, whether it is in it or not.
    pub fn path_of(&self, path: &Path) -> Option<String> {
        let within = path.strip_prefix(&self.folder).ok()?;
        // Components alone: `./parse.py` is `parse.py`.
        let within: PathBuf = within.components().collect();
        within.into_os_string().into_string().ok()
    }
}

/// A number of bytes as people read it.
pub fn shown_bytes(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
