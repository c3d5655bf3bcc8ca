//! What builds of version 1 of the link protocol wrote: it is read, and below level 2 what is written
//! is the same, byte for byte. `version1.txt` was written by such a build, and stays as it is.

use super::super::grown::Grown;
use super::everything::everything;
use super::*;

/// What such a build made of `everything`: `changes` as in its log, hard state `before` the change of
/// the index `BEFORE` and `after` all of them, and the `patch` between the two for a faceplate.
pub fn fixture(name: &str) -> Vec<u8> {
    let lines = include_str!("version1.txt").lines();
    let mut lines = lines.filter_map(|line| line.split_once(' '));
    let (_, hex) = lines
        .find(|(known, _)| *known == name)
        .expect("it is in the file");
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16);
    digits
        .map(|two| byte(two).expect("two hexadecimal digits"))
        .collect()
}

/// How many changes came before `before`.
const BEFORE: usize = 9;

#[test]
fn the_log_of_an_older_build_is_read_and_written() {
    let bytes = fixture("changes");
    let changes: Vec<Change> = postcard::from_bytes(&bytes).expect("they are read");
    assert_eq!(changes, everything());
    let again = postcard::to_stdvec(&everything()).expect("they are written");
    assert_eq!(again, bytes);
}

#[test]
fn the_same_changes_make_the_state_of_an_older_build() {
    for (name, count) in [("before", BEFORE), ("after", everything().len())] {
        let hard = after(&everything()[..count]);
        assert_eq!(Hard::decode(&fixture(name)).as_ref(), Ok(&hard), "{name}");
        assert_eq!(hard.encode(), fixture(name), "{name}");
    }
}

#[test]
fn an_older_build_reads_what_a_higher_level_appends_as_if_it_were_not_there() {
    let mut hard = Hard::decode(&fixture("after")).expect("it is read");
    hard.level = 2;
    hard.unserved.insert("parse".into(), [3, 4].into());
    // Such a build reads as far as it knows, and no further.
    let bytes = hard.encode();
    assert!(bytes.starts_with(&fixture("after")));
    assert!(bytes.len() > fixture("after").len());
}
