//! What a worker is that cannot say so itself: the configuration does. All of it for dialect `lines`,
//! and what `exec` and `http` have in common with it.

use super::node::values;
use super::section::{Entry, Section};
use super::shared;
use manager::describe::check;
use pool::{BadType, Description, Details, Function, Parameter, Type};
use std::collections::BTreeSet;

/// What the configuration lists of one thing, at the most. The protocol's own limits, which are
/// lower, are checked in the end; this one keeps the way there short.
const LISTED_MAX: usize = 1_000;

/// The keys that describe a worker.
const KEYS: [&str; 5] = ["kind", "versions", "tags", "roles", "functions"];

/// Notes every key that is not for a worker which describes itself, but those that its dialect has
/// another use for.
pub fn refuse(section: &mut Section<'_>, dialect: &str, used: &[&str]) {
    for key in KEYS.into_iter().filter(|key| !used.contains(key)) {
        if let Some(entry) = section.get(key) {
            entry.report_key(format!(
                "only for dialect = \"lines\", \"exec\" or \"http\"; a worker of dialect \
                 \"{dialect}\" describes itself"
            ));
        }
    }
}

/// Reads the description of a `lines` worker.
pub fn read(section: &mut Section<'_>) -> Option<Description> {
    describe(section, Vec::new(), &mut |_, _| {})
}

/// Reads the description of a worker, and checks it as if the worker had sent it. It has `functions`
/// of its own, or needs some; `more` reads what else its dialect has to know of each.
pub fn describe(
    section: &mut Section<'_>,
    mut functions: Vec<Function>,
    more: &mut dyn FnMut(&mut Function, &mut Section<'_>),
) -> Option<Description> {
    let problems_before = section.problem_count();
    let kind = section
        .need("kind", "kind = \"shout\"")
        .and_then(|entry| entry.name("kind"));
    let versions = section
        .get("versions")
        .map(|entry| values(&entry.section()));
    let mut labels = |key, what| {
        let entry: Option<Entry<'_>> = section.get(key);
        shared(
            entry
                .map(|entry| entry.names(what, LISTED_MAX))
                .unwrap_or_default(),
        )
    };
    let (tags, roles) = (labels("tags", "tag"), labels("roles", "role"));
    let table = section.section("functions");
    if !table.is_present() && functions.is_empty() {
        section.report(
            "functions are missing; add a table for each, for example: \
             [program.shout.functions.upper]",
        );
    }
    let entries = table.entries();
    functions.extend(entries.map(|(name, entry)| function(name, &entry, more)));
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    let versions = versions.into_iter().flatten();
    let versions = versions
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    let details = Details {
        kind: Some(kind?.into()),
        versions,
        tags,
        roles,
    };
    let description = Description {
        details,
        functions,
        terms: false,
    };
    if section.problem_count() == problems_before {
        check(&description)
            .map_err(|problem| section.report(problem))
            .ok()?;
    }
    Some(description)
}

fn function(
    name: &str,
    entry: &Entry<'_>,
    more: &mut dyn FnMut(&mut Function, &mut Section<'_>),
) -> Function {
    entry.key_is_name("function", name);
    let mut section = entry.section();
    let parameters = section.get("parameters").map(|entry| parameters(&entry));
    let doc = section.get("doc").and_then(|entry| entry.text());
    let idempotent = section.get("idempotent").and_then(|entry| entry.boolean());
    let result = section.get("result").and_then(|entry| {
        let read = entry.text()?.parse::<Type>();
        read.map_err(|problem| entry.report(problem.to_string()))
            .ok()
    });
    let mut function = Function {
        name: name.into(),
        doc: doc.unwrap_or_default().into(),
        idempotent: idempotent.unwrap_or(false),
        stream: false,
        input: false,
        parameters: parameters.unwrap_or_default(),
        result: result.unwrap_or_default(),
        examples: Vec::new(),
    };
    more(&mut function, &mut section);
    section.finish();
    function
}

/// The names of a function's parameters.
pub fn names(function: &Function) -> Vec<&str> {
    let parameters = function.parameters.iter();
    parameters.map(|parameter| &*parameter.name).collect()
}

/// Reads the parameters of a function. What the protocol forbids is noted here as well, since here
/// the place is known.
fn parameters(entry: &Entry<'_>) -> Vec<Parameter> {
    let what = "an array of parameters, such as [\"text: string\", \"times?: integer\"]";
    let entries = entry.list(what, LISTED_MAX).unwrap_or_default();
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
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(format!(
            "expected a parameter such as \"text: string\" or \"times?: integer\", got \"{text}\""
        ));
    }
    Ok(Parameter {
        name: name.into(),
        r#type: type_name.parse().map_err(|bad: BadType| bad.to_string())?,
        required,
        doc: "".into(),
    })
}
