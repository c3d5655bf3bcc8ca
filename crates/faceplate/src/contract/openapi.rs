//! Interfaces as OpenAPI 3.1: what can be called over HTTP, with JSON Schema of arguments and
//! results.

use super::catalogue::Form;
use super::{Declaration, Interface};
use crate::arguments::OCTETS;
use crate::errors::{http_status, title};
use dispatch::Code;
use pool::{Example, Function, Parameter, Type};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The headers that shape a call, with what they are for and the schema of their values.
const WISHES: [(&str, &str, &str); 6] = [
    (
        "katamari-timeout-ms",
        "By when it must be answered; the program's own timeout holds if it is shorter.",
        r#"{"type": "integer", "minimum": 1, "maximum": 4294967295}"#,
    ),
    (
        "katamari-class",
        "Its priority.",
        r#"{"enum": ["high", "normal", "low"]}"#,
    ),
    (
        "katamari-details",
        "Which pool: a JSON object such as {\"grammar\": \"1.2.3\", \"tags\": [\"en\"]}.",
        r#"{"type": "string"}"#,
    ),
    (
        "katamari-key",
        "Calls of one key stay with one of several equal pools.",
        r#"{"type": "string", "maxLength": 1024}"#,
    ),
    (
        "katamari-idempotent",
        "Whether it may be run twice; overrides the function's declaration.",
        r#"{"type": "boolean"}"#,
    ),
    (
        "katamari-cast",
        "Answered at once with the call's id; the answer is dropped.",
        r#"{"type": "boolean"}"#,
    ),
];

/// The headers of answers.
const RECEIPT: [(&str, &str); 3] = [
    (
        "katamari-id",
        "The call's id; `katamari why ID` tells what happened.",
    ),
    ("katamari-worker", "The worker that ran it."),
    ("server-timing", "Milliseconds of waiting and running."),
];

/// What a call can end with besides an answer, in the order of the statuses.
const ERRORS: [Code; 15] = [
    Code::BadRequest,
    Code::BadArguments,
    Code::NotAllowed,
    Code::NoPool,
    Code::NoFunction,
    Code::TooLarge,
    Code::Cancelled,
    Code::WorkerError,
    Code::WorkerDied,
    Code::WorkerLost,
    Code::Protocol,
    Code::Busy,
    Code::Stopping,
    Code::Deadline,
    Code::Deadlock,
];

/// A path of the document, and what its methods are.
type Path = (String, Box<RawValue>);

/// The paths of each kind: what of a document takes work, as it is written.
#[derive(Debug)]
pub struct Paths(Vec<(Arc<str>, Vec<Path>)>);

impl Form for Paths {
    fn of(interfaces: &[Interface]) -> Self {
        let paths = |interface: &Interface| {
            let functions = interface.functions.iter();
            let paths = functions.map(|declaration| path(&interface.kind, declaration));
            (interface.kind.clone(), paths.collect())
        };
        Self(interfaces.iter().map(paths).collect())
    }
}

fn path(kind: &str, declaration: &Declaration) -> Path {
    let methods = json!({"post": operation(kind, declaration)});
    let methods = to_raw_value(&methods).expect("a value is JSON");
    (
        format!("/call/{kind}/{}", declaration.function.name),
        methods,
    )
}

/// A document of OpenAPI.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    openapi: &'static str,
    info: Value,
    servers: Value,
    tags: Vec<Value>,
    #[serde(serialize_with = "as_map")]
    paths: Vec<&'a Path>,
    components: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    security: Option<Value>,
}

fn as_map<S: Serializer>(paths: &[&Path], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(paths.iter().map(|(path, methods)| (path, methods)))
}

/// The document with the paths of those kinds that are shown. With `tokens`, requests need one.
pub fn document<'a>(
    paths: &'a Paths,
    is_shown: impl Fn(&Arc<str>) -> bool,
    node: &str,
    tokens: bool,
) -> Document<'a> {
    let kinds = || paths.0.iter().filter(|(kind, _)| is_shown(kind));
    let mut components = json!({
        "parameters": WISHES.iter().map(wish).collect::<Map<_, _>>(),
        "headers": RECEIPT.iter().map(receipt).collect::<Map<_, _>>(),
        "schemas": {"Problem": problem()},
        "responses": responses(),
    });
    if tokens {
        let scheme = json!({"type": "http", "scheme": "bearer"});
        components["securitySchemes"] = json!({"token": scheme});
    }
    Document {
        openapi: "3.1.0",
        info: json!({
            "title": format!("Katamari on {node}"),
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The functions of the workers that live now.",
        }),
        servers: json!([{"url": "/"}]),
        tags: kinds().map(|(kind, _)| json!({"name": kind})).collect(),
        paths: kinds().flat_map(|(_, paths)| paths).collect(),
        components,
        security: tokens.then(|| json!([{"token": []}])),
    }
}

fn operation(kind: &str, declaration: &Declaration) -> Value {
    let function = &declaration.function;
    let wishes = WISHES
        .iter()
        .map(|(name, ..)| reference("parameters", name));
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(function));
    responses.insert("202".to_owned(), reference("responses", "cast"));
    let status = |code: &Code| http_status(*code).as_str().to_owned();
    for status in ERRORS
        .iter()
        .map(status)
        .chain(["429".to_owned(), "401".to_owned()])
    {
        let response = reference("responses", &status);
        responses.insert(status, response);
    }
    let mut description = function.doc.to_string();
    if declaration.varies {
        description += "\n\nOther pools of this kind declare it otherwise, or have it not.";
    }
    json!({
        "operationId": format!("{kind}.{}", function.name),
        "summary": function.signature(),
        "description": description.trim(),
        "tags": [kind],
        "x-katamari-idempotent": function.idempotent,
        "x-katamari-stream": function.stream,
        "parameters": wishes.collect::<Vec<_>>(),
        "requestBody": request(function),
        "responses": responses,
    })
}

fn request(function: &Function) -> Value {
    let mut media = json!({"schema": {"anyOf": [named(function), positional(function)]}});
    if !function.examples.is_empty() {
        let examples = function.examples.iter().zip(1..);
        let example = |(example, number): (&Example, usize)| {
            (
                format!("example-{number}"),
                json!({"value": read(example.arguments.text())}),
            )
        };
        media["examples"] = examples.map(example).collect::<Map<_, _>>().into();
    }
    let mut content = json!({"application/json": media});
    if function
        .parameters
        .iter()
        .any(|parameter| parameter.r#type == Type::Bytes)
    {
        content[OCTETS] = json!({});
    }
    json!({"required": true, "content": content})
}

/// The arguments as an object.
fn named(function: &Function) -> Value {
    let property = |parameter: &Parameter| (parameter.name.to_string(), described(parameter));
    let required = function
        .parameters
        .iter()
        .filter(|parameter| parameter.required);
    json!({
        "type": "object",
        "properties": function.parameters.iter().map(property).collect::<Map<_, _>>(),
        "required": required.map(|parameter| &parameter.name).collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

/// The arguments as an array.
fn positional(function: &Function) -> Value {
    let mut schema = json!({
        "type": "array",
        "minItems": function.required_count(),
        "maxItems": function.parameters.len(),
    });
    if !function.parameters.is_empty() {
        schema["prefixItems"] = function.parameters.iter().map(described).collect();
    }
    schema
}

fn described(parameter: &Parameter) -> Value {
    let mut schema = match &parameter.r#type {
        // What may be left out may be null as well.
        given if !parameter.required => schema(&Type::Optional(given.required().0.clone().into())),
        given => schema(given),
    };
    if !parameter.doc.is_empty() {
        schema["description"] = json!(parameter.doc);
    }
    schema
}

/// A type as JSON Schema. Bytes are no value of JSON, so that any is let through.
pub fn schema(of: &Type) -> Value {
    match of {
        Type::Any | Type::Bytes => json!({}),
        Type::Array(inner) => json!({"type": "array", "items": schema(inner)}),
        Type::Map(inner) => json!({"type": "object", "additionalProperties": schema(inner)}),
        Type::Optional(inner) => match schema(inner) {
            Value::Object(mut inner) if inner.contains_key("type") => {
                let word = inner["type"].take();
                inner["type"] = json!([word, "null"]);
                Value::Object(inner)
            }
            unchecked => unchecked,
        },
        word => json!({"type": word.to_string()}),
    }
}

fn answer(function: &Function) -> Value {
    let mut content = Map::new();
    let mut media = json!({"schema": schema(&function.result)});
    let results = function
        .examples
        .iter()
        .zip(1..)
        .filter_map(|(example, number)| {
            let result = read(example.result.as_ref()?.text());
            Some((format!("example-{number}"), json!({"value": result})))
        });
    let results: Map<_, _> = results.collect();
    if function.stream {
        let text = "A piece in the data of each event; the last event is `end` or `error`.";
        media = json!({"schema": {"type": "string", "description": text},
            "x-katamari-piece": schema(&function.result)});
    } else if !results.is_empty() {
        media["examples"] = results.into();
    }
    let content_type = match (function.stream, function.result.required().0) {
        (true, _) => "text/event-stream",
        (false, Type::Bytes) => "*/*",
        (false, _) => "application/json",
    };
    content.insert(content_type.to_owned(), media);
    json!({"description": "The result.", "headers": receipts(), "content": content})
}

/// An example, which has been checked to be JSON when it was declared.
fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

fn responses() -> Map<String, Value> {
    let mut responses = Map::new();
    let id =
        json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}});
    responses.insert(
        "cast".to_owned(),
        json!({
            "description": "The call goes on without its client.",
            "content": {"application/json": {"schema": id}},
        }),
    );
    let mut meanings: Vec<(String, Vec<String>)> = vec![
        (
            "401".to_owned(),
            vec!["`not_allowed`: A token is needed".to_owned()],
        ),
        (
            "429".to_owned(),
            vec!["`busy`: The token is used too fast".to_owned()],
        ),
    ];
    for code in ERRORS {
        let status = http_status(code).as_str().to_owned();
        let meaning = format!("`{}`: {}", code.as_str(), title(code));
        match meanings.iter_mut().find(|(known, _)| *known == status) {
            Some((_, codes)) => codes.push(meaning),
            None => meanings.push((status, vec![meaning])),
        }
    }
    let content = json!({"application/problem+json": {"schema": reference("schemas", "Problem")}});
    for (status, codes) in meanings {
        let response = json!({
            "description": codes.join("; "),
            "headers": receipts(),
            "content": content,
        });
        responses.insert(status, response);
    }
    responses
}

/// The schema of an error: problem details (RFC 9457) with Katamari's code and facts.
fn problem() -> Value {
    let codes = ERRORS.map(Code::as_str);
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": text, "title": text, "status": number, "detail": text,
            "code": {"enum": codes}, "id": text, "program": text, "pid": number,
            "exit_status": number, "signal": number,
            "stderr": {"type": "array", "items": text},
            "error_type": text, "backtrace": text, "retry_after_s": number,
        },
    })
}

fn wish((name, doc, schema): &(&str, &str, &str)) -> (String, Value) {
    let parameter = json!({
        "name": name, "in": "header", "description": doc, "schema": read(schema),
    });
    ((*name).to_owned(), parameter)
}

fn receipt((name, doc): &(&str, &str)) -> (String, Value) {
    let header = json!({"description": doc, "schema": {"type": "string"}});
    ((*name).to_owned(), header)
}

fn receipts() -> Map<String, Value> {
    let header = |(name, _): &(&str, &str)| ((*name).to_owned(), reference("headers", name));
    RECEIPT.iter().map(header).collect()
}

fn reference(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{name}")})
}
