//! Which files `files = [...]` means, and what is in them.
//!
//! A pattern is the path of a file, of a folder with all that is in it, or has `*` and `?` in its
//! names. A symbolic link stands for what it leads to, which must be in the configuration's folder.

use super::Files;
use cluster::files::{
    ContentHash, Entry, FILE_BYTES_MAX, FILES_MAX, Hasher, Manifest, PROGRAM_BYTES_MAX, check_path,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Folders below each other: deeper ones are most likely links in a circle.
const DEPTH_MAX: usize = 32;

/// Folders that are not shipped with the one that they are in: what tools leave there changes by
/// itself.
const SKIPPED: [&str; 2] = ["__pycache__", ".git"];

/// Finds and reads the files of some patterns, relative to `folder`.
pub struct Finder<'a> {
    folder: &'a Path,
    /// The folder without links.
    real: PathBuf,
    /// By path: size, and whether it may be run.
    found: BTreeMap<String, (u64, bool)>,
    bytes: u64,
}

impl<'a> Finder<'a> {
    /// Finds files in a folder.
    pub fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            real: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
            found: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Adds what a pattern means. The error says what is wrong with it.
    pub fn add(&mut self, pattern: &str) -> Result<(), String> {
        let is_folder = pattern.ends_with('/');
        let trimmed = pattern.strip_prefix("./").unwrap_or(pattern);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        check_path(trimmed).map_err(|_| {
            format!(
                "expected a path below the configuration's folder, such as \"parse.py\", \"lib/\" or \
                 \"data/*.txt\", got \"{pattern}\""
            )
        })?;
        if trimmed.contains(['*', '?']) && !is_folder {
            let before = self.found.len();
            let names: Vec<&str> = trimmed.split('/').collect();
            self.matching(self.folder.to_owned(), &names)?;
            return match self.found.len() - before {
                0 => Err(format!("no file matches \"{pattern}\"")),
                _ => Ok(()),
            };
        }
        let path = self.folder.join(trimmed);
        let meta = fs::metadata(&path).map_err(failed(&path))?;
        if is_folder && !meta.is_dir() {
            return Err(format!("{} is a file, expected a folder", path.display()));
        }
        self.take(&path, 0)
    }

    /// Adds the files below `folder` whose paths match names with `*` and `?`.
    fn matching(&mut self, folder: PathBuf, names: &[&str]) -> Result<(), String> {
        let Some((name, rest)) = names.split_first() else {
            return Ok(());
        };
        for (found, path) in children(&folder)? {
            let hidden = found.starts_with('.') && !name.starts_with('.');
            if hidden || !matches(name.as_bytes(), found.as_bytes()) {
                continue;
            }
            let is_folder = path.is_dir();
            if rest.is_empty() && !is_folder {
                self.take(&path, 0)?;
            } else if !rest.is_empty() && is_folder {
                self.matching(path, rest)?;
            }
        }
        Ok(())
    }

    /// Adds a file, or all that is in a folder.
    fn take(&mut self, path: &Path, depth: usize) -> Result<(), String> {
        let shown = path.display();
        let real = path.canonicalize().map_err(failed(path))?;
        if !real.starts_with(&self.real) {
            return Err(format!(
                "{shown} leads to {}, which is outside of the configuration's folder; copy it there",
                real.display()
            ));
        }
        if depth > DEPTH_MAX {
            return Err(format!(
                "{shown} is more than {DEPTH_MAX} folders deep: a link in a circle?"
            ));
        }
        let meta = fs::metadata(path).map_err(failed(path))?;
        if meta.is_dir() {
            for (name, path) in children(path)? {
                if !SKIPPED.contains(&&*name) {
                    self.take(&path, depth + 1)?;
                }
            }
            return Ok(());
        }
        if !meta.is_file() {
            return Err(format!(
                "{shown} is neither a file nor a folder; leave it out"
            ));
        }
        let relative = path.strip_prefix(self.folder).unwrap_or(path);
        let relative = relative.to_str();
        let relative = relative.ok_or_else(|| format!("{shown}: expected a name in UTF-8"))?;
        check_path(relative).map_err(|error| error.to_string())?;
        if meta.len() > FILE_BYTES_MAX {
            let max = FILE_BYTES_MAX >> 20;
            return Err(format!(
                "{shown} has {} MiB, expected at most {max}",
                meta.len() >> 20
            ));
        }
        let executable = meta.mode() & 0o100 != 0;
        if self
            .found
            .insert(relative.to_owned(), (meta.len(), executable))
            .is_none()
        {
            self.bytes += meta.len();
        }
        if self.found.len() > FILES_MAX {
            return Err(format!("expected at most {FILES_MAX} files, got more"));
        }
        if self.bytes > PROGRAM_BYTES_MAX {
            let max = PROGRAM_BYTES_MAX >> 20;
            return Err(format!(
                "expected files of at most {max} MiB together, got more"
            ));
        }
        Ok(())
    }

    /// Reads what was found.
    pub fn read(self) -> Result<Files, String> {
        let mut entries = Vec::with_capacity(self.found.len());
        for (path, (_, executable)) in self.found {
            let (content, size) = content_of(&self.folder.join(&path))?;
            entries.push(Entry {
                path,
                executable,
                size,
                content,
            });
        }
        Ok(Files {
            folder: self.folder.to_owned(),
            manifest: Manifest::new(entries).map_err(|error| error.to_string())?,
        })
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("cannot read {}: {error}", path.display())
}

/// What is in a folder, by name.
fn children(folder: &Path) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut children = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let name = entry.file_name().into_string().map_err(|name| {
            let path = folder.join(name);
            format!("{}: expected a name in UTF-8", path.display())
        })?;
        children.insert(name, entry.path());
    }
    Ok(children)
}

fn content_of(path: &Path) -> Result<(ContentHash, u64), String> {
    let mut file = File::open(path).map_err(failed(path))?;
    let mut hasher = Hasher::default();
    let mut size = 0;
    let mut chunk = vec![0; 128 << 10];
    loop {
        let count = file.read(&mut chunk).map_err(failed(path))?;
        if count == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&chunk[..count]);
        size += count as u64;
    }
}

/// Whether a name matches one with `*`, any characters, and `?`, any one character.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on if it does not match: after the last `*`, and one byte further in the name.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, from + 1));
                at += 1;
            }
            Some(b'?') => {
                at += 1;
                from += 1;
                // The rest of a character of several bytes.
                while name.get(from).is_some_and(|byte| byte & 0xc0 == 0x80) {
                    from += 1;
                }
            }
            Some(byte) if *byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((after, next)) => {
                    (at, from) = (after, next);
                    star = Some((after, next + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    fn folder() -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in [
            ("parse.py", "print()"),
            ("lib/a.py", "a"),
            ("lib/deep/b.py", "b"),
            ("lib/__pycache__/a.pyc", "compiled"),
            ("data/one.txt", "1"),
            ("data/two.txt", "2"),
            ("data/.hidden.txt", "3"),
            ("data/three.csv", "3"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let run = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path().join("parse.py"), run).expect("a mode");
        folder
    }

    fn find(folder: &Path, patterns: &[&str]) -> Result<Vec<String>, String> {
        let mut finder = Finder::new(folder);
        for pattern in patterns {
            finder.add(pattern)?;
        }
        let files = finder.read()?;
        let entries = files.manifest.entries().iter();
        let shown = |entry: &Entry| match entry.executable {
            true => format!("{} runs", entry.path),
            false => entry.path.clone(),
        };
        Ok(entries.map(shown).collect())
    }

    #[test]
    fn files_folders_and_patterns_are_found() {
        let folder = folder();
        let found = find(folder.path(), &["./parse.py", "lib/", "data/*.txt"]);
        let expected = [
            "data/one.txt",
            "data/two.txt",
            "lib/a.py",
            "lib/deep/b.py",
            "parse.py runs",
        ];
        assert_eq!(found.expect("all is there"), expected);
        let found = find(folder.path(), &["lib", "*/t*.???", "lib/a.py"]);
        let expected = [
            "data/three.csv",
            "data/two.txt",
            "lib/a.py",
            "lib/deep/b.py",
        ];
        assert_eq!(found.expect("all is there"), expected);
    }

    #[test]
    fn what_is_missing_or_elsewhere_is_refused() {
        let folder = folder();
        let outside = tempfile::tempdir().expect("a temporary folder");
        symlink(outside.path(), folder.path().join("lib/out")).expect("a link");
        symlink("..", folder.path().join("data/circle")).expect("a link");
        for (pattern, why) in [
            ("../x", "below the configuration's folder"),
            ("/etc/passwd", "below the configuration's folder"),
            (".", "below the configuration's folder"),
            ("", "below the configuration's folder"),
            ("none.py", "No such file"),
            ("*.rs", "no file matches"),
            ("parse.py/", "expected a folder"),
            ("lib", "outside of the configuration's folder"),
            ("data", "folders deep"),
        ] {
            let error = find(folder.path(), &[pattern]).expect_err(pattern);
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_link_within_the_folder_is_what_it_leads_to() {
        let folder = folder();
        symlink("../parse.py", folder.path().join("lib/link.py")).expect("a link");
        let found = find(folder.path(), &["lib/link.py"]);
        assert_eq!(found.expect("it is within"), ["lib/link.py runs"]);
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, is_match) in [
            ("*", "a", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "axxbxxbc", true),
            ("a*b*c", "acb", false),
            ("?", "ä", true),
            ("??", "ä", false),
            ("a?", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                is_match,
                "{pattern} {name}"
            );
        }
    }
}
