//! Tidiness as a test: what every file of the tree keeps to, and no compiler checks.
//!
//! Each rule looks at files and gives back [`Finding`]s: the place, what was expected, what to do.
//! [`tree`] lists the files, [`source`] has the rules for code, [`layers`] the one for the crates'
//! order, [`documents`] those for prose, [`chassis`] those that keep the chassis alike. Every rule has tests that show it can fail.

mod chassis;
mod documents;
mod layers;
mod source;
mod tree;

use tree::File;

/// Where a rule is broken, and what to do about it.
#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: &File, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line,
            message: message.into(),
        }
    }
}

/// Fails with every finding, one a line, in the form that editors jump to.
#[track_caller]
fn expect_none(mut findings: Vec<Finding>) {
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    let lines: Vec<String> = findings
        .iter()
        .map(
            |Finding {
                 path,
                 line,
                 message,
             }| format!("{path}:{line}: {message}"),
        )
        .collect();
    assert!(
        lines.is_empty(),
        "{} to tidy up:\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}

/// What a rule for single files finds in the whole tree.
fn in_all(rule: impl Fn(&File) -> Vec<Finding>) -> Vec<Finding> {
    tree::files().iter().flat_map(rule).collect()
}

#[test]
fn rust_files_say_what_they_are_for() {
    expect_none(in_all(source::header));
}

#[test]
fn files_are_short_enough_to_be_read() {
    let files = tree::files();
    for (path, lines) in source::longest(&files) {
        println!("{lines} lines: {path}");
    }
    expect_none(files.iter().flat_map(source::length).collect());
}

#[test]
fn nothing_is_left_for_later() {
    expect_none(in_all(source::left_over));
}

#[test]
fn pure_code_reaches_for_nothing() {
    expect_none(in_all(source::purity));
}

#[test]
fn whitespace_is_plain() {
    expect_none(in_all(source::whitespace));
}

#[test]
fn crates_use_only_crates_below_them() {
    expect_none(in_all(layers::layering));
}

#[test]
fn links_lead_somewhere() {
    let files = tree::files();
    let exists = |path: &str| tree::exists(path);
    expect_none(
        files
            .iter()
            .flat_map(|file| documents::links(file, exists))
            .collect(),
    );
}

#[test]
fn names_are_where_the_pages_say() {
    expect_none(in_all(|file| documents::names(file, tree::read)));
}

#[test]
fn decisions_follow_the_template() {
    expect_none(documents::decisions(&tree::files()));
}

#[test]
fn the_error_codes_of_the_code_and_of_the_docs_agree() {
    let codes = tree::file("crates/dispatch/src/error.rs");
    let table = tree::file("docs/errors.md");
    expect_none(documents::error_codes(&codes, &table));
}

#[test]
fn all_packages_have_the_version_of_the_workspace() {
    let workspace = tree::file("Cargo.toml");
    let packages = chassis::PACKAGES.map(|(path, before)| (tree::file(path), before));
    expect_none(chassis::versions(&workspace, &packages));
}

#[test]
fn the_guides_of_all_chassis_have_the_same_sections() {
    let list = tree::file("docs/chassis/README.md");
    let files = tree::files();
    let guides = files
        .iter()
        .filter(|file| file.path.starts_with("docs/chassis/") && file.path != list.path);
    expect_none(
        guides
            .flat_map(|file| chassis::sections(&list, file))
            .collect(),
    );
}
