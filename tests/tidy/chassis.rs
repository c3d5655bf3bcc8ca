//! Rules that keep the chassis alike: one version for all packages, one order for all guides.

use crate::Finding;
use crate::tree::File;

/// Packages beside the workspace's crates, and what stands before their version.
pub const PACKAGES: [(&str, &str); 5] = [
    ("chassis/cpp/Makefile", "VERSION  := "),
    ("chassis/node/package.json", "\"version\": \""),
    ("chassis/node/package-lock.json", "\"version\": \""),
    ("chassis/python/pyproject.toml", "version = \""),
    ("chassis/ruby/lib/katamari/version.rb", "VERSION = \""),
];

/// The first version in each package is the one in the workspace's `Cargo.toml`.
pub fn versions(workspace: &File, packages: &[(File, &str)]) -> Vec<Finding> {
    let Some((_, wanted)) = version(workspace, "version = \"") else {
        return vec![Finding::new(workspace, 1, "expected a version")];
    };
    let mut findings = Vec::new();
    for (file, before) in packages {
        let (line, found) = version(file, before).unwrap_or((1, "none"));
        if found != wanted {
            let message = format!("expected version {wanted}, got {found}; releases are of all");
            findings.push(Finding::new(file, line, message));
        }
    }
    findings
}

/// The first line that begins so, and the version after it.
fn version<'a>(file: &'a File, before: &str) -> Option<(usize, &'a str)> {
    file.lines().find_map(|(number, line)| {
        let rest = line.trim_start().strip_prefix(before)?;
        Some((number, rest.trim_end_matches([',', '"'])))
    })
}

/// The sections of a guide are among those that the list has in its table, in their order.
pub fn sections(list: &File, guide: &File) -> Vec<Finding> {
    let table = list.text.split("| section | what |").nth(1);
    let names: Vec<&str> = table
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .collect();
    let mut rest = names.as_slice();
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in guide.lines() {
        in_code ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix("## ").filter(|_| !in_code) else {
            continue;
        };
        if let Some(at) = rest.iter().position(|name| *name == heading) {
            rest = &rest[at + 1..];
        } else {
            let message = format!(
                "expected a section of {} in its order, got {heading}",
                list.path
            );
            findings.push(Finding::new(guide, number, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_another_version_is_found() {
        let workspace = File::of("Cargo.toml", "[workspace.package]\nversion = \"1.2.3\"\n");
        let same = File::of("package.json", "{\n  \"version\": \"1.2.3\",\n}\n");
        let other = File::of("version.rb", "module K\n  VERSION = \"1.2.4\"\nend\n");
        let before = (PACKAGES[1].1, PACKAGES[4].1);
        let found = versions(&workspace, &[(same.clone(), before.0), (other, before.1)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("version.rb", 2));
        assert_eq!(versions(&workspace, &[(same, before.1)]).len(), 1, "none");
    }

    #[test]
    fn sections_of_other_names_or_in_another_order_are_found() {
        let list = File::of(
            "list.md",
            "| section | what |\n|---|---|\n| A | a |\n| B | b |\n",
        );
        let found = |text| sections(&list, &File::of("guide.md", text)).len();
        assert_eq!(found("# T\n## A\n### C\n```\n## D\n```\n## B\n"), 0);
        assert_eq!(found("## B\n"), 0, "one may be left out");
        assert_eq!(found("## B\n## A\n"), 1);
        assert_eq!(found("## A\n## C\n## B\n"), 1);
    }
}
