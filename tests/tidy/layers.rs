//! The order of the crates: each may use only crates below it.

use crate::Finding;
use crate::tree::File;

/// Every crate there is or will be, lowest first. One that is not listed has no place yet.
const LAYERS: [&str; 12] = [
    "term",
    "pool",
    "stage",
    "wire",
    "cluster",
    "store",
    "dispatch",
    "manager",
    "flow",
    "faceplate",
    "dashboard",
    "katamari",
];

/// The rule, for one `crates/NAME/Cargo.toml`. Tests count: what needs an upper crate belongs there.
pub fn layering(file: &File) -> Vec<Finding> {
    let Some(name) = crate_of(&file.path) else {
        return Vec::new();
    };
    let Some(height) = height_of(name) else {
        let message = format!(
            "expected a crate of the layers {}, got {name}; give it a place in LAYERS of \
             tests/tidy/layers.rs",
            LAYERS.join(" < ")
        );
        return vec![Finding::new(file, 1, message)];
    };
    let manifest: toml::Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::new(file, 1, format!("expected TOML: {error}"))],
    };
    let mut findings = Vec::new();
    for used in ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|section| section.iter())
        .map(|(key, settings)| package_of(key, settings))
    {
        if height_of(used).is_some_and(|used| used >= height) || used == "bench" {
            let below = LAYERS[..height].join(", ");
            let message = format!(
                "expected only crates below {name} ({below}), got {used}; move what needs it up, \
                 or what is needed down"
            );
            findings.push(Finding::new(file, line_of(file, used), message));
        }
    }
    findings
}

fn crate_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
    (!name.contains('/')).then_some(name)
}

fn height_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == name)
}

/// The crate behind a dependency, also if it was renamed: packages are `katamari-NAME`.
fn package_of<'a>(key: &'a str, settings: &'a toml::Value) -> &'a str {
    let package = settings.get("package").and_then(toml::Value::as_str);
    let package = package.unwrap_or(key);
    package.strip_prefix("katamari-").unwrap_or(package)
}

fn line_of(file: &File, used: &str) -> usize {
    let names = |line: &str| {
        let key = line.trim_start().trim_start_matches("katamari-");
        key.starts_with(used) || line.contains(&format!("-{used}\""))
    };
    let found = file.lines().find(|(_, line)| names(line));
    found.map_or(1, |(number, _)| number)
}

#[test]
fn a_crate_may_use_those_below() {
    let text = "[package]\nname = \"x\"\n[dependencies]\npool.workspace = true\nserde = \"1\"\n";
    assert_eq!(layering(&File::of("crates/dispatch/Cargo.toml", text)), []);
    assert_eq!(layering(&File::of("bench/Cargo.toml", text)), []);
}

#[test]
fn a_crate_may_not_use_its_equals_or_those_above() {
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for used in [
            "pool.workspace = true",
            "manager = { path = \"../manager\" }",
            "boss = { path = \"../manager\", package = \"katamari-manager\" }",
            "katamari-bench = { path = \"../../bench\" }",
        ] {
            let text = format!("[{section}]\nterm.workspace = true\n{used}\n");
            let findings = layering(&File::of("crates/pool/Cargo.toml", &text));
            assert_eq!(findings.len(), 1, "{used}");
            assert_eq!(findings[0].line, 3, "{used}");
        }
    }
}

#[test]
fn a_crate_without_a_place_is_found() {
    let findings = layering(&File::of("crates/helpers/Cargo.toml", "[package]\n"));
    assert!(findings[0].message.contains("got helpers"), "{findings:?}");
    assert_eq!(layering(&File::of("crates/pool/Cargo.toml", "[")).len(), 1);
}
