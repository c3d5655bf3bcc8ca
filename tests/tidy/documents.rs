//! Rules for prose: links lead somewhere, decisions follow their template, the table of error
//! codes says what the code says.

use crate::Finding;
use crate::source::has_word;
use crate::tree::File;

/// Where decision records are.
const DECISIONS: &str = "docs/decisions/";

/// The record that says what each of the others has.
const TEMPLATE: &str = "docs/decisions/template.md";

/// What a record's status may be.
const STATUSES: [&str; 3] = ["proposed", "accepted", "superseded by "];

/// Relative links in Markdown, and pages under `docs/` that code names, exist.
pub fn links(file: &File, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut check = |line: usize, target: &str, path: Option<String>| {
        if !path.is_some_and(|path| exists(&path)) {
            let message =
                format!("expected a file, got {target}; correct the link or write the page");
            findings.push(Finding::new(file, line, message));
        }
    };
    if file.extension() == "md" {
        for (line, target) in markdown_links(&file.text) {
            let place = target.split('#').next().unwrap_or_default();
            let is_elsewhere = place.contains("://") || place.starts_with("mailto:");
            if !place.is_empty() && !is_elsewhere {
                check(line, &target, resolve(&file.path, place));
            }
        }
    } else if matches!(file.extension(), "rs" | "toml" | "sh" | "py" | "hpp") {
        for (number, line) in file.lines() {
            for page in pages_named(line) {
                check(number, page, Some(page.to_owned()));
            }
        }
    }
    findings
}

/// The targets of links, outside of code.
fn markdown_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part stands between backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for (at, _) in prose.match_indices("](") {
            let target = prose[at + 2..].split([')', ' ']).next().unwrap_or_default();
            links.push((number, target.to_owned()));
        }
    }
    links
}

/// A relative target as a path from the root of the tree; none if it leaves the tree.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}

/// Paths such as `docs/errors.md` in a line of code.
fn pages_named(line: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    line.split(|c: char| !is_path(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.starts_with("docs/") && word.ends_with(".md"))
        .filter(|word| !word.contains("NNNN"))
        .collect()
}

/// Where a page says "`name` in [file](path)", the file has that name.
pub fn names(file: &File, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    if file.extension() != "md" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        for (at, joint) in line.match_indices("` in [") {
            let name = line[..at].rsplit('`').next().unwrap_or_default();
            let name = name.rsplit([':', '.']).next().unwrap_or_default();
            let target = line[at + joint.len()..].split_once("](");
            let target = target.and_then(|(_, rest)| rest.split(')').next());
            let path = target.and_then(|target| resolve(&file.path, target));
            // That there is such a file is for `links` to say.
            let text = path.and_then(|path| read(&path));
            if text.is_some_and(|text| !has_word(&text, name)) {
                let target = target.unwrap_or_default();
                let message = format!("expected `{name}` in {target}; say where it is now");
                findings.push(Finding::new(file, number, message));
            }
        }
    }
    findings
}

/// Every record is `NNNN-title.md`, numbered without gaps, opens with its number and has the
/// headings of the template in their order.
pub fn decisions(files: &[File]) -> Vec<Finding> {
    let Some(template) = files.iter().find(|file| file.path == TEMPLATE) else {
        return vec![Finding {
            path: TEMPLATE.to_owned(),
            line: 1,
            message: "expected the template of decision records; write it".to_owned(),
        }];
    };
    let headings = headings_of(&template.text);
    let records = files.iter().filter(|file| {
        file.path.starts_with(DECISIONS) && file.extension() == "md" && file.path != TEMPLATE
    });
    let mut findings = Vec::new();
    for (number, file) in (1..).zip(records) {
        let number = format!("{number:04}");
        if !file.path[DECISIONS.len()..].starts_with(&format!("{number}-")) {
            let message =
                format!("expected the name {number}-title.md; number records without gaps");
            findings.push(Finding::new(file, 1, message));
        }
        if !file.text.starts_with(&format!("# {number}. ")) {
            let message = format!("expected `# {number}. Title`; open with the record's number");
            findings.push(Finding::new(file, 1, message));
        }
        let status = file
            .lines()
            .find_map(|(_, line)| line.strip_prefix("Status: "));
        if !status.is_some_and(|status| STATUSES.iter().any(|known| status.starts_with(known))) {
            let message = format!(
                "expected a line `Status: ` with one of: {}",
                STATUSES.join(", ")
            );
            findings.push(Finding::new(file, 1, message));
        }
        let came = headings_of(&file.text);
        if came != headings {
            let message = format!(
                "expected the headings {}, got {}; follow {TEMPLATE}",
                headings.join(", "),
                came.join(", ")
            );
            findings.push(Finding::new(file, 1, message));
        }
    }
    findings
}

fn headings_of(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect()
}

/// The table of `docs/errors.md` has exactly the words of `Code::as_str`.
pub fn error_codes(code: &File, table: &File) -> Vec<Finding> {
    let in_code: Vec<(usize, &str)> = code
        .lines()
        .skip_while(|(_, line)| !line.contains("fn as_str("))
        .filter_map(|(number, line)| Some((number, line.split_once("=> \"")?.1.split('"').next()?)))
        .collect();
    let in_table: Vec<(usize, &str)> = table
        .lines()
        .filter_map(|(number, line)| Some((number, line.strip_prefix("| `")?.split('`').next()?)))
        .collect();
    let mut findings = missing(code, &in_code, &in_table, "in docs/errors.md; add its row");
    let gone = "in Code::as_str; remove its row";
    findings.extend(missing(table, &in_table, &in_code, gone));
    if in_code.is_empty() {
        let message = "expected `fn as_str(` with the codes; teach tests/tidy/documents.rs";
        findings.push(Finding::new(code, 1, message));
    }
    findings
}

/// Words of one list that the other does not have.
fn missing(
    file: &File,
    these: &[(usize, &str)],
    those: &[(usize, &str)],
    place: &str,
) -> Vec<Finding> {
    let is_missing = |word: &str| !those.iter().any(|(_, known)| *known == word);
    these
        .iter()
        .filter(|(_, word)| is_missing(word))
        .map(|(line, word)| Finding::new(file, *line, format!("expected `{word}` {place}")))
        .collect()
}

#[test]
fn a_link_to_nowhere_is_found() {
    let exists =
        |path: &str| ["README.md", "book", "book/errors.md", "docs/errors.md"].contains(&path);
    let found = |path: &str, text: &str| links(&File::of(path, text), exists).len();
    for text in [
        "[a](errors.md)",
        "[a](errors.md#codes) and [b](../README.md)",
        "[a](https://example.org/x.md) [b](#here)",
        "`[a](gone.md)`",
        "```\n[a](gone.md)\n```",
        "[a](../book/)",
    ] {
        assert_eq!(found("book/page.md", text), 0, "{text}");
    }
    for text in [
        "[a](gone.md)",
        "x\n[a](../errors.md)",
        "[a](../../README.md)",
        "`x` [a](x.md)",
    ] {
        assert_eq!(found("book/page.md", text), 1, "{text}");
    }
    assert_eq!(found("crates/a.rs", "//! See `docs/errors.md`."), 0);
    assert_eq!(
        found("crates/a.rs", &format!("//! See docs/{}.md.", "gone")),
        1
    );
}

#[test]
fn a_name_that_is_not_where_a_page_says_is_found() {
    let read =
        |path: &str| (path == "crates/a.rs").then(|| "fn run_on() {}\nfn go() {}".to_owned());
    let found = |text: &str| names(&File::of("book/page.md", text), read);
    assert_eq!(
        found("`Loop::go` in [a](../crates/a.rs), `go` in [b](gone.rs)"),
        []
    );
    assert_eq!(found("x\n`x`, `run` in [a](../crates/a.rs)")[0].line, 2);
    assert_eq!(
        found("`A::b` in [a](../crates/a.rs) and `go` in [a](../crates/a.rs)").len(),
        1
    );
}

#[test]
fn a_decision_off_the_template_is_found() {
    const GOOD: &str = "# 0001. Title\n\nStatus: accepted\n\n## Context\n\n## Decision\n";
    let template = File::of(
        TEMPLATE,
        "# NNNN. Title\n\nStatus: ...\n\n## Context\n\n## Decision\n",
    );
    let found = |path: &str, text: &str| {
        decisions(&[
            File::of(&format!("{DECISIONS}{path}"), text),
            template.clone(),
        ])
    };
    assert_eq!(found("0001-a.md", GOOD), []);
    assert_eq!(found("0002-a.md", GOOD).len(), 1);
    let bad = [
        GOOD.replace("# 0001.", "# 1."),
        GOOD.replace("accepted", "liked"),
        GOOD.replace("Status: ", ""),
        GOOD.replace("## Decision", "## Choice"),
        GOOD.replace("## Context\n\n", ""),
    ];
    for text in bad {
        assert_eq!(found("0001-a.md", &text).len(), 1, "{text}");
    }
    assert_eq!(
        decisions(&[File::of(&format!("{DECISIONS}0001-a.md"), GOOD)]).len(),
        1
    );
}

#[test]
fn a_code_that_only_one_side_knows_is_found() {
    let code = "fn as_str(self) {\n Self::Busy => \"busy\",\n Self::Late => \"late\",\n}\n";
    let table = "| code | when |\n|---|---|\n| `busy` | full |\n| `late` | over |\n";
    let found = |code: &str, table: &str| {
        error_codes(&File::of("error.rs", code), &File::of("errors.md", table))
    };
    assert_eq!(found(code, table), []);
    let undocumented = found(code, &table.replace("| `late` | over |\n", ""));
    assert_eq!((undocumented.len(), undocumented[0].line), (1, 3));
    let unknown = found(&code.replace(" Self::Late => \"late\",\n", ""), table);
    assert_eq!((unknown.len(), unknown[0].line), (1, 4));
    assert!(!found("", "").is_empty());
}
