//! Rules that keep the chassis alike: one version for all packages.

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
}
