//! `dialect = "classic"`: what a worker of 2008 is told on its command line.

use super::lines;
use super::section::{Entry, Section};

/// What the configuration lists of one thing, at the most: as many as the worker may announce.
const LISTED_MAX: usize = 32;

/// Words behind `--`.
const EXTRAS_MAX: usize = 1_000;

/// Reads what comes behind the command: `--tags=a,b --roles=x -- extras`. What is not there is left
/// out, and `--` as well if nothing is there.
pub fn read(section: &mut Section<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for (key, what) in [("tags", "tag"), ("roles", "role")] {
        let entry: Option<Entry<'_>> = section.get(key);
        let names = entry.map(|entry| entry.names(what, LISTED_MAX));
        let names = names.unwrap_or_default();
        if !names.is_empty() {
            words.push(format!("--{key}={}", names.join(",")));
        }
    }
    let extras = section.get("extras").map(|entry| {
        let what = "an array of strings, such as [\"--dict\", \"en\"]";
        let entries = entry.list(what, EXTRAS_MAX).unwrap_or_default();
        let texts = entries.iter().filter_map(Entry::text);
        texts.collect::<Vec<_>>()
    });
    if !words.is_empty() || extras.is_some() {
        words.push("--".to_owned());
        words.extend(extras.unwrap_or_default());
    }
    lines::refuse(section, "classic", &["tags", "roles"]);
    words
}
