//! What a program ships: its files by path, each with the name of its content. Pure.
//!
//! A manifest is content itself, so its hash names all that is in it. It has no times and no owners:
//! equal files make equal manifests, on whatever machine. It comes from a command line or from
//! another node, and neither is trusted: a [`Manifest`] exists only if every path in it stays within
//! the folder where it is unpacked.

use super::hash::ContentHash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Files of one program: a virtual environment for Python has some thousand.
pub const FILES_MAX: usize = 10_000;
/// Bytes of one file: a model of moderate size.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of all files of one program: every master keeps those of ten versions.
pub const PROGRAM_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a path: more than any tree of sources has, so that manifests stay small.
pub const PATH_BYTES_MAX: usize = 1_024;
/// Bytes of one name in a path, on every file system in use.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a manifest: [`FILES_MAX`] files with paths of usual lengths.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// The format of manifests.
const FORMAT: u32 = 1;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is in the program's folder: names with slashes between them.
    pub path: String,
    /// Whether it may be run.
    pub executable: bool,
    /// Bytes.
    pub size: u64,
    /// Its content.
    pub content: ContentHash,
}

/// The files of a program, by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct Manifest(Vec<Entry>);

/// Why something is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// A path that leads elsewhere, or that no file should have.
    #[error("expected a path within the program's folder, got {path:?}: {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Paths are not in order, or one comes twice.
    #[error("expected each path once and in order, got {0:?} too late")]
    Order(String),
    /// A file is a folder, too.
    #[error("expected {0:?} to be a file or a folder, got both")]
    Both(String),
    /// A limit is passed.
    #[error("expected at most {max} {what}, got {came}")]
    OverLimit {
        /// What is counted, in the plural.
        what: &'static str,
        /// The limit.
        max: u64,
        /// What came.
        came: u64,
    },
    /// It has nothing in it.
    #[error("expected files, got none")]
    Empty,
    /// It cannot be read.
    #[error("expected a manifest of format {FORMAT}, got something else: {0}")]
    Garbled(String),
}

impl Manifest {
    /// The manifest of these files, in any order.
    ///
    /// # Errors
    ///
    /// [`BadManifest`], if it would break a limit or a path leads elsewhere.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, BadManifest> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        check(&entries)?;
        Ok(Self(entries))
    }

    /// The files, by path.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        let found = self
            .0
            .binary_search_by(|entry| entry.path.as_str().cmp(path));
        found.ok().map(|index| &self.0[index])
    }

    /// Each content once, with its size.
    pub fn contents(&self) -> impl Iterator<Item = (ContentHash, u64)> {
        let contents = self.0.iter().map(|entry| (entry.content, entry.size));
        contents.collect::<BTreeSet<_>>().into_iter()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|entry| entry.size).sum()
    }

    /// As it is kept and sent.
    pub fn encode(&self) -> Vec<u8> {
        let encoded = postcard::to_stdvec(&(FORMAT, &self.0));
        encoded.expect("a manifest has nothing that cannot be encoded")
    }

    /// Reads what [`Manifest::encode`] wrote, here or anywhere.
    ///
    /// # Errors
    ///
    /// [`BadManifest`]: nothing of it is to be used.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadManifest> {
        let garbled = |error: postcard::Error| BadManifest::Garbled(error.to_string());
        limit(
            "bytes of a manifest",
            bytes.len() as u64,
            MANIFEST_BYTES_MAX,
        )?;
        let (format, rest): (u32, &[u8]) = postcard::take_from_bytes(bytes).map_err(garbled)?;
        if format != FORMAT {
            return Err(BadManifest::Garbled(format!("format {format}")));
        }
        let (entries, rest): (Vec<Entry>, &[u8]) =
            postcard::take_from_bytes(rest).map_err(garbled)?;
        if !rest.is_empty() {
            return Err(BadManifest::Garbled("bytes behind its end".to_owned()));
        }
        check(&entries)?;
        Ok(Self(entries))
    }

    /// Its name.
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(&self.encode())
    }
}

impl TryFrom<Vec<Entry>> for Manifest {
    type Error = BadManifest;

    fn try_from(entries: Vec<Entry>) -> Result<Self, BadManifest> {
        check(&entries)?;
        Ok(Self(entries))
    }
}

impl From<Manifest> for Vec<Entry> {
    fn from(manifest: Manifest) -> Self {
        manifest.0
    }
}

fn limit(what: &'static str, came: u64, max: u64) -> Result<(), BadManifest> {
    if came <= max {
        return Ok(());
    }
    Err(BadManifest::OverLimit { what, max, came })
}

fn check(entries: &[Entry]) -> Result<(), BadManifest> {
    if entries.is_empty() {
        return Err(BadManifest::Empty);
    }
    limit("files of a program", entries.len() as u64, FILES_MAX as u64)?;
    let mut bytes = 0_u64;
    let mut paths = 0;
    let mut folders: BTreeSet<&str> = BTreeSet::new();
    for entry in entries {
        check_path(&entry.path)?;
        limit("bytes of a file", entry.size, FILE_BYTES_MAX)?;
        bytes += entry.size;
        paths += entry.path.len() as u64;
        folders.extend(folders_of(&entry.path));
    }
    limit("bytes of files of a program", bytes, PROGRAM_BYTES_MAX)?;
    // A path has at most 64 bytes beside it.
    let encoded = paths + 64 * entries.len() as u64;
    limit("bytes of a manifest", encoded, MANIFEST_BYTES_MAX)?;
    for two in entries.windows(2) {
        if two[0].path >= two[1].path {
            return Err(BadManifest::Order(two[1].path.clone()));
        }
    }
    match entries.iter().find(|entry| folders.contains(&*entry.path)) {
        Some(both) => Err(BadManifest::Both(both.path.clone())),
        None => Ok(()),
    }
}

/// The folders that a path is in, within the program's.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

/// Whether a path names a file within a folder, and can be written on any Linux machine.
///
/// # Errors
///
/// [`BadManifest::Path`], which says what is wrong.
pub fn check_path(path: &str) -> Result<(), BadManifest> {
    let why = if path.len() > PATH_BYTES_MAX {
        "it is longer than 1,024 bytes"
    } else if path.starts_with('/') {
        "it begins at the root"
    } else if path.chars().any(char::is_control) {
        "it has a control character"
    } else {
        let wrong = path.split('/').find_map(|name| match name {
            "" => Some("it has an empty name"),
            "." | ".." => Some("it has . or .. in it"),
            name if name.len() > NAME_BYTES_MAX => Some("it has a name of more than 255 bytes"),
            _ => None,
        });
        let Some(wrong) = wrong else { return Ok(()) };
        wrong
    };
    // A message shows the beginning of what is too long.
    let path = path.chars().take(200).collect();
    Err(BadManifest::Path { path, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            executable: false,
            size: 1,
            content: ContentHash::of(path.as_bytes()),
        }
    }

    /// What a hostile peer would send: nothing that `Manifest::new` checked.
    fn encoded(entries: &[Entry]) -> Vec<u8> {
        postcard::to_stdvec(&(FORMAT, entries)).expect("plain values")
    }

    fn refused(entries: &[Entry]) -> String {
        let error = Manifest::decode(&encoded(entries));
        error.expect_err("it is hostile").to_string()
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let long = "a/".repeat(600) + "a";
        let name = "n".repeat(256);
        for path in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "a/",
            "",
            ".",
            "a/./b",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            &long,
            &name,
        ] {
            assert!(
                refused(&[entry(path)]).contains("within the program's folder"),
                "{path:?}"
            );
        }
        for path in ["..x", "a/...", "a b/c", ".hidden", "ä/ö", "-rf", "A", "a"] {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn a_path_comes_once_in_order_and_is_no_folder() {
        assert!(refused(&[entry("a"), entry("a")]).contains("each path once"));
        assert!(refused(&[entry("b"), entry("a")]).contains("each path once"));
        let both = [entry("a"), entry("a-b"), entry("a/b")];
        assert!(refused(&both).contains("got both"));
        let case = [entry("A"), entry("a")];
        assert!(
            Manifest::decode(&encoded(&case)).is_ok(),
            "Linux tells them apart"
        );
        assert!(refused(&[]).contains("got none"));
    }

    #[test]
    fn limits_are_kept() {
        let many: Vec<Entry> = (0..=FILES_MAX).map(|n| entry(&format!("{n:06}"))).collect();
        assert!(refused(&many).contains("at most 10000 files"));
        let mut large = entry("a");
        large.size = FILE_BYTES_MAX + 1;
        assert!(refused(&[large]).contains("bytes of a file"));
        let full = |n: u32| {
            let mut full = entry(&n.to_string());
            full.size = FILE_BYTES_MAX;
            full
        };
        let five: Vec<Entry> = (0..5).map(full).collect();
        assert!(refused(&five).contains("bytes of files of a program"));
        let mut huge = full(1);
        huge.size = u64::MAX;
        assert!(refused(&[full(0), huge]).contains("bytes of a file"));
        let long: Vec<Entry> = (0..5_000).map(|n| entry(&format!("{n:0999}"))).collect();
        assert!(
            Manifest::new(long).is_err(),
            "the manifest itself would be too large"
        );
    }

    #[test]
    fn equal_files_have_one_name_in_whatever_order_they_came() {
        let one = Manifest::new(vec![entry("b"), entry("a/c")]).expect("a good one");
        let two = Manifest::new(vec![entry("a/c"), entry("b")]).expect("a good one");
        assert_eq!(one.hash(), two.hash());
        let mut other = entry("b");
        other.executable = true;
        let other = Manifest::new(vec![entry("a/c"), other]).expect("a good one");
        assert_ne!(one.hash(), other.hash());
    }

    proptest! {
        #[test]
        fn what_is_garbled_is_refused_or_keeps_the_rules(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cut in 0_usize..100,
            flip in 0_usize..100,
        ) {
            let good = Manifest::new(vec![entry("a/b"), entry("c")]).expect("a good one").encode();
            prop_assert!(Manifest::decode(&good[..cut.min(good.len() - 1)]).is_err());
            let mut flipped = good.clone();
            let at = flip % good.len();
            flipped[at] ^= 0x55;
            for bytes in [&bytes, &flipped] {
                if let Ok(manifest) = Manifest::decode(bytes) {
                    for entry in manifest.entries() {
                        prop_assert_eq!(check_path(&entry.path), Ok(()));
                    }
                }
            }
        }

        #[test]
        fn any_good_manifest_is_read_as_it_was_written(
            paths in prop::collection::btree_set("[a-c]{1,3}(/[d-f]{1,3}){0,2}", 1..20),
        ) {
            let entries: Vec<Entry> = paths.iter().map(|path| entry(path)).collect();
            if let Ok(manifest) = Manifest::new(entries) {
                prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
            }
        }
    }
}
