//! The files of the tree: what git knows, and what it would take.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file.
#[derive(Debug, Clone)]
pub struct File {
    /// From the root of the tree, with `/`.
    pub path: String,
    pub text: String,
}

impl File {
    /// A file that a test makes up.
    #[cfg(test)]
    pub fn of(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// What stands behind the last dot of its name, or else its name.
    pub fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit('.').next().unwrap_or_default()
    }

    /// Its lines with their numbers, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.split_terminator('\n'))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text file. One that is new and not ignored counts: it is about to be committed.
pub fn files() -> Vec<File> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("git lists the files of the tree; the tidy test needs it");
    assert!(
        listed.status.success(),
        "git ls-files failed; the tidy test needs a git checkout: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = String::from_utf8(listed.stdout).expect("paths in this tree are UTF-8");
    let mut files: Vec<File> = names
        .split_terminator('\0')
        // A file that was removed and not committed is listed still; others are no text.
        .filter_map(|path| {
            let text = read(path)?;
            let path = path.to_owned();
            Some(File { path, text })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    files
}

/// One file that must be there.
pub fn file(path: &str) -> File {
    let text = read(path).unwrap_or_else(|| panic!("expected a text file at {path}"));
    let path = path.to_owned();
    File { path, text }
}

/// Whether there is a file or folder at a path from the root of the tree.
pub fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// The text at a path, if there is a text file.
pub fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}
