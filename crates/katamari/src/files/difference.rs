//! Which files of a program differ, for people. Pure.

use super::shown_bytes;
use cluster::files::{ContentHash, Entry, Manifest};
use std::collections::BTreeSet;

/// Files named one by one; of more, only how many.
const SHOWN_MAX: usize = 20;

/// A line for each file that differs, and what is to be sent. Without `before` all are new.
pub fn lines(before: Option<&Manifest>, after: &Manifest) -> Vec<String> {
    let old = |path: &str| before.and_then(|before| before.get(path));
    let mut changes: Vec<String> = Vec::new();
    for entry in after.entries() {
        match old(&entry.path) {
            None => changes.push(format!("+ {}", entry.path)),
            Some(same) if same == entry => {}
            Some(old) => changes.push(format!("~ {}{}", entry.path, mode_change(old, entry))),
        }
    }
    let gone = before.into_iter().flat_map(Manifest::entries);
    let gone = gone.filter(|entry| after.get(&entry.path).is_none());
    changes.extend(gone.map(|entry| format!("- {}", entry.path)));
    let more = changes.len().saturating_sub(SHOWN_MAX);
    changes.truncate(SHOWN_MAX);
    if more > 0 {
        changes.push(format!("and {more} more files"));
    }
    let known: BTreeSet<(ContentHash, u64)> = before
        .map(|before| before.contents().collect())
        .unwrap_or_default();
    let new: Vec<u64> = after
        .contents()
        .filter(|content| !known.contains(content))
        .map(|(_, size)| size)
        .collect();
    let bytes = shown_bytes(new.iter().sum());
    let files = if new.len() == 1 { "file" } else { "files" };
    changes.push(format!("to send: {} {files}, {bytes}", new.len()));
    changes
}

fn mode_change(before: &Entry, after: &Entry) -> &'static str {
    match (before.executable, after.executable) {
        (false, true) => " (may be run now)",
        (true, false) => " (may not be run any more)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let entries = files.iter().map(|(path, text)| Entry {
            path: (*path).to_owned(),
            executable: false,
            size: text.len() as u64,
            content: ContentHash::of(text.as_bytes()),
        });
        Manifest::new(entries.collect()).expect("a good one")
    }

    #[test]
    fn what_is_new_gone_or_changed_is_named() {
        let before = manifest(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = manifest(&[("a", "1"), ("b", "22"), ("d", "3")]);
        let expected = ["~ b", "+ d", "- c", "to send: 1 file, 2 bytes"];
        assert_eq!(lines(Some(&before), &after), expected);
        let all = lines(None, &after);
        assert_eq!(all, ["+ a", "+ b", "+ d", "to send: 3 files, 4 bytes"]);
    }

    #[test]
    fn many_files_are_counted() {
        let paths: Vec<String> = (0..30).map(|n| format!("{n:02}")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (&**path, "x")).collect();
        let lines = lines(None, &manifest(&files));
        assert_eq!(
            lines[20..],
            ["and 10 more files", "to send: 1 file, 1 bytes"]
        );
    }
}
