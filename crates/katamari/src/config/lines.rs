//! What a `lines` worker is: it cannot say so itself, so the configuration does.

use super::section::{Entry, Section};
use super::{shared, values};
use pool::{Description, Details, Function, Parameter};
use std::collections::BTreeSet;

/// Version keys, tags or roles of one worker.
const LABELS_MAX: usize = 32;

/// Functions of one worker.
const FUNCTIONS_MAX: usize = 1_000;

/// Parameters of one function.
const PARAMETERS_MAX: usize = 100;

/// Bytes of a parameter's name.
const PARAMETER_NAME_MAX: usize = 100;

/// Bytes of a function's documentation.
const DOC_MAX: usize = 16 << 10;

/// How deep types nest.
const TYPE_DEPTH_MAX: usize = 16;

/// The keys that describe a worker.
const KEYS: [&str; 5] = ["kind", "versions", "tags", "roles", "functions"];

/// Version keys that would be taken for something else in a call's details.
const NO_VERSIONS: [&str; 3] = ["kind", "tags", "roles"];

/// Notes every key that only a `lines` worker has.
pub fn refuse(section: &mut Section<'_>) {
    for key in KEYS {
        if let Some(entry) = section.get(key) {
            entry.report_key(
                "only for dialect = \"lines\"; a worker of dialect \"json\" describes itself",
            );
        }
    }
}

/// Reads the description of a `lines` worker.
pub fn read(section: &mut Section<'_>) -> Option<Description> {
    let kind = section
        .need("kind", "kind = \"shout\"")
        .and_then(|entry| entry.name());
    let versions = section
        .get("versions")
        .map(|entry| versions(&entry))
        .unwrap_or_default();
    let tags = section
        .get("tags")
        .map(|entry| entry.names(LABELS_MAX))
        .unwrap_or_default();
    let roles = section
        .get("roles")
        .map(|entry| entry.names(LABELS_MAX))
        .unwrap_or_default();
    let functions = section.section("functions");
    if !functions.is_present() {
        section.report(
            "functions are missing; add a table for each, for example: \
             [program.shout.functions.upper]",
        );
    }
    // The table comes sorted by name, as a description wants it.
    let functions: Vec<_> = functions
        .entries()
        .map(|(name, entry)| function(name, &entry))
        .collect();
    if functions.len() > FUNCTIONS_MAX {
        section.report(format!(
            "expected at most {FUNCTIONS_MAX} functions, got {}",
            functions.len()
        ));
    }
    let details = Details {
        kind: Some(kind?.into()),
        versions,
        tags: shared(tags),
        roles: shared(roles),
    };
    Some(Description { details, functions })
}

fn versions(
    entry: &Entry<'_>,
) -> std::collections::BTreeMap<std::sync::Arc<str>, std::sync::Arc<str>> {
    let section = entry.section();
    for (key, version) in section.entries() {
        if NO_VERSIONS.contains(&key) {
            version.report_key(format!("\"{key}\" cannot be a version; use another name"));
        }
    }
    let versions = values(&section);
    if versions.len() > LABELS_MAX {
        entry.report(format!(
            "expected at most {LABELS_MAX} versions, got {}",
            versions.len()
        ));
    }
    versions
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

fn function(name: &str, entry: &Entry<'_>) -> Function {
    entry.key_is_name(name);
    let mut section = entry.section();
    let parameters = section.get("parameters").map(|entry| parameters(&entry));
    let doc = section.get("doc").and_then(|entry| {
        let doc = entry.text()?;
        if doc.len() > DOC_MAX {
            entry.report(format!(
                "expected at most {DOC_MAX} bytes, got {}",
                doc.len()
            ));
        }
        Some(doc)
    });
    let idempotent = section.get("idempotent").and_then(|entry| entry.boolean());
    let result = section.get("result").and_then(|entry| {
        let text = entry.text()?;
        if !is_type(&text, TYPE_DEPTH_MAX) {
            entry.report(not_a_type(&text));
        }
        Some(text)
    });
    section.finish();
    Function {
        name: name.into(),
        doc: doc.unwrap_or_default().into(),
        idempotent: idempotent.unwrap_or(false),
        stream: false,
        parameters: parameters.unwrap_or_default(),
        result: result.unwrap_or_else(|| "any".to_owned()).into(),
    }
}

fn parameters(entry: &Entry<'_>) -> Vec<Parameter> {
    let what = "an array of parameters, such as [\"text: string\", \"times?: integer\"]";
    let entries = entry.list(what, PARAMETERS_MAX).unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut parameters: Vec<Parameter> = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(text) = entry.text() else { continue };
        match parameter(&text) {
            Err(problem) => entry.report(problem),
            Ok(parameter) if !names.insert(parameter.name.clone()) => {
                entry.report(format!("there are two parameters \"{}\"", parameter.name));
            }
            Ok(parameter) => {
                if parameter.required && parameters.last().is_some_and(|last| !last.required) {
                    entry.report(format!(
                        "required parameters come before optional ones; move it, or write \"{}?\"",
                        parameter.name
                    ));
                }
                parameters.push(parameter);
            }
        }
    }
    parameters
}

/// Reads `text: string`, `times?: integer`, `value`.
fn parameter(text: &str) -> Result<Parameter, String> {
    let (name, type_name) = text.split_once(':').unwrap_or((text, "any"));
    let (name, type_name) = (name.trim(), type_name.trim());
    let (name, required) = match name.strip_suffix('?') {
        Some(name) => (name, false),
        None => (name, true),
    };
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '?';
    if !(1..=PARAMETER_NAME_MAX).contains(&name.len()) || !name.chars().all(is_plain) {
        return Err(format!(
            "expected a parameter such as \"text: string\" or \"times?: integer\", got \"{text}\""
        ));
    }
    if !is_type(type_name, TYPE_DEPTH_MAX) {
        return Err(not_a_type(type_name));
    }
    Ok(Parameter {
        name: name.into(),
        type_name: type_name.into(),
        required,
        doc: "".into(),
    })
}

fn not_a_type(text: &str) -> String {
    format!(
        "expected a type: string, integer, number, boolean, bytes, object, any, [T], {{T}} or T?, \
         got \"{text}\""
    )
}

/// Whether a text is a type in the protocol's notation.
fn is_type(text: &str, depth: usize) -> bool {
    let inside = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    if depth == 0 {
        return false;
    }
    match text
        .strip_suffix('?')
        .or_else(|| inside('[', ']'))
        .or_else(|| inside('{', '}'))
    {
        Some(inner) => is_type(inner, depth - 1),
        None => matches!(
            text,
            "string" | "integer" | "number" | "boolean" | "bytes" | "object" | "any"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_the_protocol() {
        for text in [
            "string",
            "any",
            "[string]",
            "{[integer]}",
            "string?",
            "[{object?}]?",
        ] {
            assert!(is_type(text, TYPE_DEPTH_MAX), "{text}");
        }
        for text in [
            "",
            "str",
            "[string",
            "[]",
            "[string]]",
            "[a][b]",
            "?",
            "string ",
            "[string][",
        ] {
            assert!(!is_type(text, TYPE_DEPTH_MAX), "{text}");
        }
        let deep = |levels| format!("{}any{}", "[".repeat(levels), "]".repeat(levels));
        assert!(is_type(&deep(15), TYPE_DEPTH_MAX));
        assert!(!is_type(&deep(16), TYPE_DEPTH_MAX));
    }
}
