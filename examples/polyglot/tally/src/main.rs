//! Counts the words of a text while it comes, however long it is.

use katamari_worker::{Call, Function, Result, Worker};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::ExitCode;

/// Words shorter than this say little of what a text is about.
const LETTERS_MIN: usize = 4;

#[derive(Deserialize)]
struct Top {
    /// How many words; 10 unless the caller says.
    count: Option<usize>,
}

#[derive(Serialize)]
struct Counted {
    word: String,
    times: u64,
}

/// The words that come most often.
fn top(call: &Call, Top { count }: Top) -> Result<Vec<Counted>> {
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    // The input is read like a file. It waits for the client, and the client for it.
    for line in call.input().lines() {
        for word in line?.split(|letter: char| !letter.is_alphabetic()) {
            if word.chars().count() >= LETTERS_MIN {
                *times.entry(word.to_lowercase()).or_default() += 1;
            }
        }
    }
    let mut words: Vec<_> = times
        .into_iter()
        .map(|(word, times)| Counted { word, times })
        .collect();
    words.sort_by_key(|it| std::cmp::Reverse(it.times));
    words.truncate(count.unwrap_or(10));
    Ok(words)
}

fn main() -> ExitCode {
    let function = Function::new("top")
        .doc("The words that a text has most often. The text is the input.")
        .result("[object]")
        .input();
    Worker::new("tally").function(function, top).run()
}
