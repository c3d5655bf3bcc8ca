//! Checks what a worker says about itself, from a hello or from the configuration.

use pool::{Description, Example, Function, LABELS_MAX, NAME_MAX, Type, VERSION_MAX};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use term::Shape;

/// Slots of one worker.
const SLOTS_MAX: u16 = 1024;
/// Functions of one worker.
const FUNCTIONS_MAX: usize = 1000;
/// Bytes of one text of documentation.
const DOC_MAX: usize = 16 * 1024;
/// Examples of one function: more than anybody reads.
const EXAMPLES_MAX: usize = 10;
/// Bytes of one example, arguments and result together.
const EXAMPLE_MAX: usize = 16 * 1024;

/// What a worker says in its hello.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
struct Hello {
    kind: Arc<str>,
    #[serde(default)]
    versions: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default)]
    tags: BTreeSet<Arc<str>>,
    #[serde(default)]
    roles: BTreeSet<Arc<str>>,
    #[serde(default = "one")]
    slots: u16,
    functions: Vec<Function>,
}

fn one() -> u16 {
    1
}

/// Reads the description in a hello: the pool it makes the worker part of, and its slots.
pub fn parse_hello(json: &[u8]) -> Result<(Description, u16), String> {
    let hello: Hello =
        serde_json::from_slice(json).map_err(|error| format!("bad hello: {error}"))?;
    if !(1..=SLOTS_MAX).contains(&hello.slots) {
        return Err(format!(
            "expected 1 to {SLOTS_MAX} slots, got {}",
            hello.slots
        ));
    }
    let details = pool::Details {
        kind: Some(hello.kind),
        versions: hello.versions,
        tags: hello.tags,
        roles: hello.roles,
    };
    let mut functions = hello.functions;
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    let description = Description {
        details,
        functions,
        terms: false,
    };
    check(&description)?;
    Ok((description, hello.slots))
}

/// Checks a description against the limits of the protocol. Its functions must be sorted by name.
pub fn check(description: &Description) -> Result<(), String> {
    let details = &description.details;
    check_name("kind", details.kind.as_deref().unwrap_or_default())?;
    for (what, count) in [
        ("versions", details.versions.len()),
        ("tags", details.tags.len()),
        ("roles", details.roles.len()),
    ] {
        at_most(what, count, LABELS_MAX)?;
    }
    for (key, version) in &details.versions {
        check_name("version key", key)?;
        if ["kind", "tags", "roles"].contains(&&**key) {
            return Err(format!(
                "{key:?} cannot be a version key; it has a meaning of its own"
            ));
        }
        at_most(
            &format!("bytes in version {key:?}"),
            version.len(),
            VERSION_MAX,
        )?;
    }
    for label in details.tags.iter().chain(&details.roles) {
        check_name("tag or role", label)?;
    }
    if description.functions.is_empty() {
        return Err("expected at least one function".to_owned());
    }
    at_most("functions", description.functions.len(), FUNCTIONS_MAX)?;
    for pair in description.functions.windows(2) {
        if pair[0].name == pair[1].name {
            return Err(format!("function {:?} is announced twice", pair[0].name));
        }
    }
    description.functions.iter().try_for_each(check_function)
}

fn check_function(function: &Function) -> Result<(), String> {
    check_name("function", &function.name)?;
    let within = |problem| format!("function {:?}: {problem}", function.name);
    at_most("bytes of doc", function.doc.len(), DOC_MAX).map_err(within)?;
    at_most("parameters", function.parameters.len(), term::ARGUMENTS_MAX).map_err(within)?;
    let mut names = BTreeSet::new();
    let mut optional = None;
    for parameter in &function.parameters {
        let name = &parameter.name;
        let length = name.chars().count();
        if !(1..=NAME_MAX).contains(&length) {
            let problem =
                format!("expected parameter names of 1 to {NAME_MAX} characters, got {length}");
            return Err(within(problem));
        }
        if !names.insert(name) {
            return Err(within(format!("parameter {name:?} is announced twice")));
        }
        match (parameter.required, optional) {
            (true, Some(before)) => {
                return Err(within(format!(
                    "required parameter {name:?} comes after optional {before:?}"
                )));
            }
            (false, _) => optional = Some(name),
            (true, None) => {}
        }
        at_most("bytes of doc", parameter.doc.len(), DOC_MAX).map_err(within)?;
    }
    at_most("examples", function.examples.len(), EXAMPLES_MAX).map_err(within)?;
    for (example, number) in function.examples.iter().zip(1..) {
        let problem = |problem| within(format!("example {number}: {problem}"));
        check_example(function, example).map_err(problem)?;
    }
    Ok(())
}

/// Checks that an example is a call that would be let through, with a result of the right type.
fn check_example(function: &Function, example: &Example) -> Result<(), String> {
    let arguments = example.arguments.text();
    let result = example.result.as_ref().map_or("", |result| result.text());
    let size = arguments.len() + result.len();
    at_most("bytes of arguments and result", size, EXAMPLE_MAX)?;
    let shape = Shape::of_json(arguments.as_bytes()).map_err(|error| error.to_string())?;
    function
        .accepts(&shape, Some(arguments.as_bytes()))
        .map_err(|misfit| misfit.to_string())?;
    if result.is_empty() {
        return Ok(());
    }
    let expected = if function.stream {
        &Type::Array(function.result.clone().into())
    } else {
        &function.result
    };
    expected
        .check(result, "result")
        .map_err(|wrong| wrong.to_string())
}

/// Checks a name of a kind, a function, a tag or a program.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(format!(
            "expected a {what} of 1 to {NAME_MAX} characters a-z A-Z 0-9 _ -, got {name:?}"
        ))
    }
}

fn at_most(what: &str, count: usize, max: usize) -> Result<(), String> {
    if count <= max {
        Ok(())
    } else {
        Err(format!("expected at most {max} {what}, got {count}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_becomes_a_description_with_sorted_functions() {
        let hello = br#"{"kind": "parse", "versions": {"grammar": "5"}, "tags": ["en"], "slots": 2,
            "functions": [{"name": "b"}, {"name": "a", "parameters": [{"name": "x", "type": "[string?]"}]}]}"#;
        let (description, slots) = parse_hello(hello).unwrap();
        assert_eq!(slots, 2);
        let names: Vec<_> = description.functions.iter().map(|f| &*f.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(description.functions[0].signature(), "a(x)");
    }

    #[test]
    fn nonsense_is_named() {
        let function = |text: &str| format!(r#"{{"kind":"k","functions":[{text}]}}"#);
        let cases = [
            ("[]".to_owned(), "bad hello"),
            (r#"{"kind":"k"}"#.to_owned(), "missing field `functions`"),
            (
                r#"{"kind":"k","functions":[]}"#.to_owned(),
                "at least one function",
            ),
            (
                r#"{"kind":"a b","functions":[{"name":"f"}]}"#.to_owned(),
                "got \"a b\"",
            ),
            (
                r#"{"kind":"k","slots":0,"functions":[{"name":"f"}]}"#.to_owned(),
                "1 to 1024 slots",
            ),
            (
                r#"{"kind":"k","versions":{"kind":"1"},"functions":[{"name":"f"}]}"#.to_owned(),
                "version key",
            ),
            (function(r#"{"name":"f"},{"name":"f"}"#), "announced twice"),
            (
                function(r#"{"name":"f","parameters":[{"name":"a"},{"name":"a"}]}"#),
                "announced twice",
            ),
            (
                function(r#"{"name":"f","parameters":[{"name":"a","type":"strnig"}]}"#),
                "got \"strnig\"",
            ),
            (
                function(
                    r#"{"name":"f","parameters":[{"name":"a","required":false},{"name":"b"}]}"#,
                ),
                "comes after optional",
            ),
            (
                function(
                    r#"{"name":"f","parameters":[{"name":"a","type":"integer"}],"examples":[{"arguments":["1"]}]}"#,
                ),
                "example 1: expected f(a); a: expected integer, got string \"1\"",
            ),
            (
                function(
                    r#"{"name":"f","stream":true,"result":"string","examples":[{"arguments":[],"result":["a",null]}]}"#,
                ),
                "example 1: result[1]: expected string, got null",
            ),
        ];
        for (hello, problem) in cases {
            let error = parse_hello(hello.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{hello}: {error}");
        }
    }
}
