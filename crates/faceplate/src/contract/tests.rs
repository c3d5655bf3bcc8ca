//! The schemas of an interface with every kind of type and awkward names.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::catalogue::Form;
use super::openapi::{Paths, document, schema};
use super::{Declared, Interface, interfaces, proto, thrift};
use pool::Description;
use serde_json::json;

fn description(json: &str) -> Description {
    let mut description: Description = serde_json::from_str(json).unwrap();
    description.functions.sort_by(|a, b| a.name.cmp(&b.name));
    description
}

fn awkward() -> Interface {
    let description = description(include_str!("awkward.json"));
    let mut all = interfaces([Declared {
        description: &description,
        weight: 1,
    }]);
    all.remove(0)
}

#[test]
fn the_protobuf_of_an_interface_stays_as_it_is() {
    let text = proto::Schema::of(&awkward()).to_string();
    assert_eq!(text, include_str!("awkward.proto"));
}

#[test]
fn the_thrift_of_an_interface_stays_as_it_is() {
    let text = thrift::Schema::of(&awkward()).to_string();
    assert_eq!(text, include_str!("awkward.thrift"));
}

#[test]
fn types_become_json_schema() {
    for (text, expected) in [
        ("string", json!({"type": "string"})),
        ("any?", json!({})),
        ("bytes", json!({})),
        ("integer?", json!({"type": ["integer", "null"]})),
        (
            "{[number?]}",
            json!({"type": "object", "additionalProperties":
                {"type": "array", "items": {"type": ["number", "null"]}}}),
        ),
    ] {
        assert_eq!(schema(&text.parse().unwrap()), expected, "{text}");
    }
}

#[test]
fn of_pools_that_differ_the_one_most_calls_see_counts() {
    let pool = |version: &str, result: &str| {
        description(&format!(
            r#"{{"kind": "k", "versions": {{"v": "{version}"}},
                "functions": [{{"name": "f", "result": "{result}"}}, {{"name": "g"}}]}}"#
        ))
    };
    let (old, new, small) = (
        pool("1", "string"),
        pool("2", "integer"),
        pool("3", "boolean"),
    );
    let declared = |description, weight| Declared {
        description,
        weight,
    };
    let all = interfaces([declared(&old, 2), declared(&small, 1), declared(&new, 2)]);
    let functions = &all[0].functions;
    assert_eq!(functions[0].function.result.to_string(), "integer");
    assert!(functions[0].varies && !functions[1].varies);
}

#[test]
fn a_document_asks_for_tokens_only_where_they_are_needed() {
    let paths = Paths::of(&[awkward()]);
    let written = |tokens| serde_json::to_value(document(&paths, |_| true, "n", tokens)).unwrap();
    assert_eq!(written(false).get("security"), None);
    let closed = written(true);
    assert_eq!(closed["security"], json!([{"token": []}]));
    assert!(closed["paths"]["/call/odd-kind/get-user"]["post"].is_object());
}
