//! What workers declare, as callers meet it: types that are checked, and what is made of them.

#![allow(missing_docs, reason = "a test binary has no API")]

mod support;

use serde_json::{Value, json};
use support::{Node, stdout};

const TYPED: &str = "[program.typed]\ncommand = [\"python3\", \"typed.py\"]\n";

#[test]
fn arguments_of_the_wrong_type_never_reach_a_worker() {
    let node = Node::running(TYPED);
    for (function, arguments, problem) in [
        (
            "join",
            r#"{"words": ["a", 5]}"#,
            "expected join(words, between?); words[1]: expected string, got integer 5",
        ),
        (
            "join",
            "[[], 5]",
            "expected join(words, between?); between: expected string?, got integer 5",
        ),
        (
            "scale",
            r#"{"by": 1.0, "vector": {}}"#,
            "expected scale(vector, by, exact?); by: expected integer, got number 1.0",
        ),
        (
            "scale",
            r#"[{"x": 1, "y": [2]}, 1]"#,
            "expected scale(vector, by, exact?); vector.y: expected number, got an array",
        ),
        (
            "from",
            r#"{"any": 1, "self": "me"}"#,
            "expected from(any, self); self: expected integer?, got string \"me\"",
        ),
    ] {
        let response = node.call(&format!("typed-kind/{function}"), arguments);
        let answer = response.json();
        assert_eq!(response.status, 400, "{arguments}: {answer}");
        assert_eq!(answer["code"], "bad_arguments");
        assert_eq!(answer["detail"], problem);
    }
    assert_eq!(node.program("typed")["workers"][0]["calls"], 0);
    for (function, arguments, result) in [
        ("join", r#"[["a", "b"], null]"#, json!("ab")),
        ("scale", r#"[{"x": 1.5}, 2, null]"#, json!({"x": 3.0})),
        (
            "from",
            r#"{"any": null, "self": null}"#,
            json!({"any": null, "self": null}),
        ),
    ] {
        let response = node.call(&format!("typed-kind/{function}"), arguments);
        assert_eq!(response.json(), result, "{function} {arguments}");
    }
}

#[test]
fn the_same_holds_for_json_rpc() {
    let node = Node::running(TYPED);
    let request = r#"{"jsonrpc": "2.0", "id": 1, "method": "typed-kind.join", "params": ["a"]}"#;
    let mut http = support::Http::connect(node.http);
    let headers = [("content-type", "application/json")];
    let response = http.send("POST", "/rpc", &headers, request.as_bytes());
    let error = &response.json()["error"];
    assert_eq!(error["code"], -32602);
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.ends_with("words: expected [string], got string \"a\""),
        "{message}"
    );
}

#[test]
fn docs_show_types_docs_and_examples() {
    let node = Node::running(TYPED);
    let text = stdout(&node.katamari(&["docs", "typed-kind"]));
    let join = "\
## join

    join(words: [string], between?: string?): string

Joins words.

Without anything between them if \"between\" is null.

- `words`: what to join

Is tried again when a worker dies.

    typed-kind.join {\"words\":[\"a\",\"b\"],\"between\":\"-\"}
    => \"a-b\"

    typed-kind.join [[\"a\"]]
";
    assert!(text.starts_with("# typed-kind\n\n## count\n"), "{text}");
    assert!(text.contains(join), "{text}");
    let json: Value =
        serde_json::from_str(&stdout(&node.katamari(&["docs", "--json"]))).expect("JSON");
    assert_eq!(json[0]["kind"], "typed-kind");
    assert_eq!(
        json[0]["functions"][0]["examples"][0]["result"],
        json!([1, 2])
    );
    let unknown = node.katamari(&["docs", "nothing"]);
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn the_open_api_lists_the_functions_that_live() {
    let node = Node::running(TYPED);
    let document = node.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let join = &document["paths"]["/call/typed-kind/join"]["post"];
    let media = &join["requestBody"]["content"]["application/json"];
    let named = &media["schema"]["anyOf"][0];
    assert_eq!(named["required"], json!(["words"]));
    assert_eq!(
        named["properties"]["between"],
        json!({"type": ["string", "null"]})
    );
    assert_eq!(media["examples"]["example-2"]["value"], json!([["a"]]));
    let count = &document["paths"]["/call/typed-kind/count"]["post"]["responses"]["200"];
    assert!(count["content"]["text/event-stream"].is_object());
}
