//! Rules for code: headers, lengths, purity, whitespace, nothing left for later.

use crate::Finding;
use crate::tree::File;

/// Lines of a file, tests included. About 500 is the aim; beyond this it holds two ideas.
const LINES_MAX: usize = 600;

/// Files whose lengths are shown.
const LONGEST_SHOWN: usize = 5;

/// Where no clock, no chance and no operating system may be: the same events must give the same
/// commands, in production, in tests and in simulations.
const PURE: [&str; 17] = [
    "crates/pool/src/",
    "crates/stage/src/",
    "crates/term/src/",
    "crates/cluster/src/consensus/election.rs",
    "crates/cluster/src/files/hash.rs",
    "crates/cluster/src/files/manifest.rs",
    "crates/cluster/src/files/plan.rs",
    "crates/cluster/src/hard/",
    "crates/cluster/src/member/announcer.rs",
    "crates/cluster/src/member/knowledge.rs",
    "crates/cluster/src/member/ordering.rs",
    "crates/cluster/src/member/patch.rs",
    "crates/cluster/src/member/upgrade.rs",
    "crates/cluster/src/member/wanted.rs",
    "crates/cluster/src/placement/",
    "crates/cluster/src/soft/",
    "crates/manager/src/fleet.rs",
];

/// Names that pure code has no use for, with what to do instead.
const IMPURE: [(&str, &str); 16] = [
    ("Instant", "take the time as a value"),
    ("SystemTime", "take the time as a value"),
    ("tokio", "give back a command; the shell carries it out"),
    ("tracing", "give back a command; the shell carries it out"),
    ("std::env", "take the setting as a value"),
    ("std::fs", "give back a command; the shell carries it out"),
    ("std::io", "give back a command; the shell carries it out"),
    ("std::net", "give back a command; the shell carries it out"),
    ("std::os", "give back a command; the shell carries it out"),
    (
        "std::process",
        "give back a command; the shell carries it out",
    ),
    ("std::thread", "one owner, one loop"),
    ("Mutex", "one owner, one loop"),
    ("rand", "take a seed as a value"),
    ("getrandom", "take a seed as a value"),
    (
        "HashMap",
        "use a BTreeMap, or FxHashMap if it is never iterated",
    ),
    (
        "HashSet",
        "use a BTreeSet, or FxHashSet if it is never iterated",
    ),
];

/// What must not be committed.
const LEFT_OVER: [(&str, &str); 4] = [
    ("todo!", "write it now, or leave it out"),
    ("unimplemented!", "write it now, or leave it out"),
    ("dbg!", "remove it, or log with tracing"),
    ("#[ignore", "make the test fit to run always, or remove it"),
];

/// A Rust file opens with `//!`.
pub fn header(file: &File) -> Vec<Finding> {
    if file.extension() != "rs" || file.text.starts_with("//! ") {
        return Vec::new();
    }
    let message =
        "expected `//! ` and what the file is for; say it, and where the reader comes from";
    vec![Finding::new(file, 1, message)]
}

/// A source file has one idea, and so a length that can be read in one go.
pub fn length(file: &File) -> Vec<Finding> {
    let lines = file.lines().count();
    if !is_source(file) || lines <= LINES_MAX {
        return Vec::new();
    }
    let message = format!("expected at most {LINES_MAX} lines, got {lines}; split it by idea");
    vec![Finding::new(file, LINES_MAX + 1, message)]
}

/// The files that come nearest to the limit, longest first.
pub fn longest(files: &[File]) -> Vec<(&str, usize)> {
    let sources = files.iter().filter(|file| is_source(file));
    let mut lengths: Vec<_> = sources
        .map(|file| (&*file.path, file.lines().count()))
        .collect();
    lengths.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    lengths.truncate(LONGEST_SHOWN);
    lengths
}

fn is_source(file: &File) -> bool {
    matches!(file.extension(), "rs" | "py" | "cpp" | "hpp" | "sh")
}

/// Nothing is unfinished, switched off or still being debugged.
pub fn left_over(file: &File) -> Vec<Finding> {
    if file.extension() != "rs" {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let lines = (1..).zip(code.lines());
    let found = lines.flat_map(|(number, line)| {
        let hits = LEFT_OVER
            .iter()
            .filter(move |(word, _)| has_word(line, word));
        hits.map(move |(word, instead)| (number, format!("expected no `{word}`; {instead}")))
    });
    found
        .map(|(number, message)| Finding::new(file, number, message))
        .collect()
}

/// Pure code names nothing that is not pure. To see what it uses, no `use std::{...}` either.
pub fn purity(file: &File) -> Vec<Finding> {
    let is_pure = PURE.iter().any(|prefix| file.path.starts_with(prefix));
    if !is_pure || file.extension() != "rs" {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for (word, instead) in IMPURE {
            if has_word(line, word) {
                let message = format!("expected no `{word}` in pure code; {instead}");
                findings.push(Finding::new(file, number, message));
            }
        }
        if line.contains("std::{") {
            let message = "expected one `use` for each module of std; write them apart";
            findings.push(Finding::new(file, number, message));
        }
    }
    findings
}

/// No tabs but where make needs them, no blanks at the ends of lines, one newline at the end.
pub fn whitespace(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let needs_tabs = matches!(file.extension(), "Makefile" | "mk");
    for (number, line) in file.lines() {
        if line.contains('\t') && !needs_tabs {
            findings.push(Finding::new(file, number, "expected no tab; use blanks"));
        }
        if line.ends_with([' ', '\t', '\r']) {
            let message = "expected no blanks at the end of the line; remove them";
            findings.push(Finding::new(file, number, message));
        }
    }
    let is_closed = file.text.ends_with('\n') && !file.text.ends_with("\n\n");
    if !file.text.is_empty() && !is_closed {
        let last = file.lines().count();
        findings.push(Finding::new(
            file,
            last,
            "expected one newline at the end of the file",
        ));
    }
    findings
}

/// Whether a word stands in a text, not as a part of a longer name.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let ends_as_name = word.ends_with(is_name);
        let goes_on = ends_as_name && after.is_some_and(is_name);
        !(before.is_some_and(is_name) || goes_on)
    })
}

/// Rust without its comments and without what stands in its strings; every line keeps its number.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped_length(rest, code.chars().next_back());
        let (taken, keep) = match skipped {
            Some(length) => (length, false),
            None => (first.len_utf8(), true),
        };
        let piece = &rest[..taken];
        if keep {
            code.push(first);
        } else {
            // A blank keeps the words on both sides apart.
            code.push(' ');
            code.extend(piece.chars().filter(|c| *c == '\n'));
        }
        rest = &rest[taken..];
    }
    code
}

/// How long the comment or literal is that begins here, if one does.
fn skipped_length(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(comment_length(rest));
    }
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with('r') && !in_name {
        let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        if rest[1 + hashes..].starts_with('"') {
            let body = 2 + hashes;
            let end = format!("\"{}", "#".repeat(hashes));
            let length = rest[body..].find(&end).map(|at| body + at + end.len());
            return Some(length.unwrap_or(rest.len()));
        }
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    // A quote begins a character if another one ends it at once; otherwise it is a lifetime.
    let mut after = rest.strip_prefix('\'')?.chars();
    let is_character = after.next() == Some('\\') || after.next() == Some('\'');
    is_character.then(|| quoted_length(rest, '\''))
}

/// Block comments nest.
fn comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}

#[test]
fn a_file_without_a_header_is_found() {
    assert_eq!(header(&File::of("a.rs", "//! What for.\n")), []);
    assert_eq!(header(&File::of("a.py", "import os\n")), []);
    for text in [
        "",
        "use std::fmt;\n",
        "// Not a doc comment.\n",
        "\n//! Late.\n",
        "//!\n",
    ] {
        assert_eq!(header(&File::of("a.rs", text)).len(), 1, "{text:?}");
    }
}

#[test]
fn a_long_file_is_found() {
    let fits = "x\n".repeat(LINES_MAX);
    assert_eq!(length(&File::of("a.rs", &fits)), []);
    assert_eq!(length(&File::of("words.txt", &fits.repeat(2))), []);
    let found = length(&File::of("a.py", &format!("{fits}x\n")));
    assert_eq!(found[0].line, LINES_MAX + 1);
}

#[test]
fn the_longest_files_come_first() {
    let files = [
        File::of("a.rs", "x\n"),
        File::of("b.sh", "x\nx\n"),
        File::of("c.md", "\n\n\n"),
    ];
    assert_eq!(longest(&files), [("b.sh", 2), ("a.rs", 1)]);
}

#[test]
fn what_is_left_for_later_is_found() {
    for text in [
        "    todo!()\n",
        "unimplemented!(\"x\")\n",
        "dbg!(x);\n",
        "#[ignore = \"slow\"]\n",
    ] {
        assert_eq!(
            left_over(&File::of("a.rs", &format!("\n{text}")))[0].line,
            2,
            "{text}"
        );
    }
    for text in [
        "// todo!()\n",
        "\"dbg!(x)\"\n",
        "r#\"a \" todo!()\"#\n",
        "not_todo!()\n",
    ] {
        assert_eq!(left_over(&File::of("a.rs", text)), [], "{text}");
    }
}

#[test]
fn what_is_not_pure_is_found() {
    for text in [
        "use std::time::{Duration, Instant};\n",
        "let now = std::time::SystemTime::now();\n",
        "tokio::spawn(x);\n",
        "use std::fs::File;\n",
        "let x = rand::random();\n",
        "let m: HashMap<u8, u8>;\n",
        "use std::{fmt, net};\n",
    ] {
        let found = purity(&File::of("crates/pool/src/core.rs", text));
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(
            purity(&File::of("crates/dispatch/src/shell.rs", text)),
            [],
            "{text}"
        );
        let fleet = purity(&File::of("crates/manager/src/fleet.rs", text));
        assert_eq!(fleet.len(), 1, "{text}");
    }
    for text in [
        "use std::time::Duration;\n",
        "/// Not an Instant, see tokio.\n",
        "let map: FxHashMap<u8, u8>;\n",
        "let operand = 1; // std::fs\n",
    ] {
        assert_eq!(
            purity(&File::of("crates/pool/src/core.rs", text)),
            [],
            "{text}"
        );
    }
}

#[test]
fn whitespace_out_of_place_is_found() {
    let found = |path, text| whitespace(&File::of(path, text)).len();
    assert_eq!(found("a.rs", "fine\n\nfine\n"), 0);
    assert_eq!(found("a.rs", ""), 0);
    assert_eq!(found("a.rs", "\ttab\n"), 1);
    assert_eq!(found("Makefile", "\trecipe\n"), 0);
    assert_eq!(found("a.md", "blank \n"), 1);
    assert_eq!(found("a.md", "from elsewhere\r\n"), 1);
    assert_eq!(found("a.md", "open"), 1);
    assert_eq!(found("a.md", "too much\n\n"), 1);
}

#[test]
fn code_is_told_from_comments_and_literals() {
    let text =
        "a /* b /* c */ d\n */ e // f\n'g' '\\'' &'h str b\"i\\\"j\" r\"k\" r#\"l\"m\"# var\"n\"";
    let code: Vec<_> = code_of(text)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(code, ["a", "e", "&'h", "str", "b", "var"]);
    assert_eq!(code_of(text).lines().count(), text.lines().count());
}
