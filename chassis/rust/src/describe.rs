//! The description of a worker: what its hello says of it and of its functions.
//!
//! The limits are the protocol's. They are checked when a function is defined, so that a mistake
//! ends the program where it was made, not at the manager.

use crate::trace::Shape;
use serde::Serialize;
use std::collections::BTreeMap;

/// Characters of a name.
const NAME_MAX: usize = 100;

/// Version keys, tags and roles of a worker, each.
const DETAILS_MAX: usize = 32;

/// Bytes of a version.
const VERSION_BYTES_MAX: usize = 200;

/// How many calls a worker may take at a time.
const SLOTS_MAX: usize = 1024;

/// Functions of a worker.
const FUNCTIONS_MAX: usize = 1000;

/// Parameters of a function.
const PARAMETERS_MAX: usize = 100;

/// Bytes of a doc.
const DOC_BYTES_MAX: usize = 16 * 1024;

/// Levels of `[]` and `{}` around the word of a type.
const TYPE_DEPTH_MAX: usize = 16;

const TYPE_WORDS: [&str; 7] = [
    "string", "integer", "number", "boolean", "bytes", "object", "any",
];

/// What a worker says of itself.
#[derive(Serialize)]
pub(crate) struct Description {
    kind: String,
    versions: BTreeMap<String, String>,
    tags: Vec<String>,
    roles: Vec<String>,
    pub slots: usize,
    functions: Vec<Function>,
}

impl Description {
    pub fn new(kind: &str) -> Self {
        Self {
            kind: checked_name("the kind", kind),
            versions: BTreeMap::new(),
            tags: Vec::new(),
            roles: Vec::new(),
            slots: 1,
            functions: Vec::new(),
        }
    }

    pub fn add_version(&mut self, key: &str, value: &str) {
        let key = checked_name("a version key", key);
        let reserved = ["kind", "tags", "roles"].contains(&&*key);
        assert!(!reserved, "the version key {key:?} means something else");
        let bytes = value.len();
        assert!(
            bytes <= VERSION_BYTES_MAX,
            "the version {key:?} has {bytes} bytes, {VERSION_BYTES_MAX} are allowed"
        );
        self.versions.insert(key, value.to_owned());
        check_count("version keys", self.versions.len(), DETAILS_MAX);
    }

    pub fn add_tag(&mut self, tag: &str) {
        self.tags.push(checked_name("a tag", tag));
        check_count("tags", self.tags.len(), DETAILS_MAX);
    }

    pub fn add_role(&mut self, role: &str) {
        self.roles.push(checked_name("a role", role));
        check_count("roles", self.roles.len(), DETAILS_MAX);
    }

    pub fn set_slots(&mut self, slots: usize) {
        let right = (1..=SLOTS_MAX).contains(&slots);
        assert!(right, "expected 1 to {SLOTS_MAX} slots, got {slots}");
        self.slots = slots;
    }

    pub fn add_function(&mut self, function: Function) {
        let name = &function.name;
        let twice = self.functions.iter().any(|it| it.name == *name);
        assert!(!twice, "the function {name:?} is defined twice");
        self.functions.push(function);
        check_count("functions", self.functions.len(), FUNCTIONS_MAX);
    }

    pub fn has_functions(&self) -> bool {
        !self.functions.is_empty()
    }
}

/// What a worker says of a function. Its parameters are those of the struct that the function
/// takes, unless they are declared here.
///
/// ```
/// use katamari_worker::Function;
///
/// Function::new("linkage").doc("Parses one sentence.").idempotent().result("object");
/// ```
///
/// A type is written as the protocol writes it: `string`, `integer`, `number`, `boolean`, `bytes`,
/// `object`, `any`, `[T]`, `{T}` or `T?`.
///
/// # Panics
///
/// All of its methods panic on what the protocol does not allow: it is a mistake in the program.
#[derive(Debug, Clone, Serialize)]
pub struct Function {
    pub(crate) name: String,
    doc: String,
    idempotent: bool,
    stream: bool,
    /// The protocol's default is not written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    input: bool,
    parameters: Vec<Parameter>,
    result: String,
    #[serde(skip)]
    docs: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize)]
struct Parameter {
    name: String,
    r#type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    doc: String,
    required: bool,
}

impl Function {
    /// A function of a name: 1 to 100 characters of `a-z A-Z 0-9 _ -`.
    pub fn new(name: &str) -> Self {
        Self {
            name: checked_name("a function's name", name),
            doc: String::new(),
            idempotent: false,
            stream: false,
            input: false,
            parameters: Vec::new(),
            result: "any".to_owned(),
            docs: BTreeMap::new(),
        }
    }

    /// What it does, for people.
    pub fn doc(mut self, doc: &str) -> Self {
        self.doc = checked_doc(doc);
        self
    }

    /// It does no harm to run a call twice, so it may be tried again when a worker dies.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// It reads the request while it comes, from [`Call::input`](crate::Call::input).
    pub fn input(mut self) -> Self {
        self.input = true;
        self
    }

    /// What a parameter is for, for people.
    pub fn parameter_doc(mut self, name: &str, doc: &str) -> Self {
        self.docs.insert(name.to_owned(), checked_doc(doc));
        self
    }

    /// Declares a parameter. Those of the struct do not count any more.
    pub fn parameter(self, name: &str, type_name: &str) -> Self {
        self.declare(name, type_name, true)
    }

    /// Declares a parameter that may be left out; these come last.
    pub fn optional(self, name: &str, type_name: &str) -> Self {
        self.declare(name, type_name, false)
    }

    /// The type of the result; of a function that streams, of a piece. Without it, `any`.
    pub fn result(mut self, type_name: &str) -> Self {
        self.result = checked_type(type_name);
        self
    }

    fn declare(mut self, name: &str, type_name: &str, required: bool) -> Self {
        let right = (1..=NAME_MAX).contains(&name.chars().count());
        assert!(
            right,
            "a parameter's name has 1 to {NAME_MAX} characters, not {name:?}"
        );
        let twice = self.parameters.iter().any(|it| it.name == name);
        assert!(!twice, "the parameter {name:?} is declared twice");
        self.parameters.push(Parameter {
            name: name.to_owned(),
            r#type: checked_type(type_name),
            doc: String::new(),
            required,
        });
        check_count("parameters", self.parameters.len(), PARAMETERS_MAX);
        self
    }

    pub(crate) fn streaming(mut self) -> Self {
        self.stream = true;
        self
    }

    /// The description is complete: with the parameters that the struct tells, in the order in
    /// which positional arguments bind.
    pub(crate) fn complete(mut self, shape: Shape) -> Self {
        let name = self.name.clone();
        if self.parameters.is_empty() {
            match shape {
                Shape::Unit => {}
                Shape::Struct(traced) => {
                    for it in traced {
                        self = self.declare(it.name, &it.type_name, it.required);
                    }
                }
                Shape::Other => panic!(
                    "the arguments of {name:?} do not tell their names: use a struct, or declare \
                     its parameters"
                ),
            }
        }
        for (parameter, doc) in std::mem::take(&mut self.docs) {
            let found = self.parameters.iter_mut().find(|it| it.name == parameter);
            let Some(found) = found else {
                panic!("{name:?} has no parameter {parameter:?} to document")
            };
            found.doc = doc;
        }
        self.parameters.sort_by_key(|it| !it.required);
        self
    }

    /// The names of the parameters in the order in which positional arguments bind.
    pub(crate) fn names(&self) -> Vec<String> {
        self.parameters.iter().map(|it| it.name.clone()).collect()
    }
}

fn check_count(what: &str, count: usize, count_max: usize) {
    assert!(
        count <= count_max,
        "{count} {what}: at most {count_max} are allowed"
    );
}

fn checked_name(what: &str, name: &str) -> String {
    let right = name
        .bytes()
        .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-'));
    assert!(
        right && (1..=NAME_MAX).contains(&name.len()),
        "{what}: expected 1 to {NAME_MAX} characters of a-z A-Z 0-9 _ -, got {name:?}"
    );
    name.to_owned()
}

fn checked_doc(doc: &str) -> String {
    let bytes = doc.len();
    assert!(
        bytes <= DOC_BYTES_MAX,
        "a doc has {bytes} bytes, {DOC_BYTES_MAX} are allowed"
    );
    doc.to_owned()
}

fn checked_type(type_name: &str) -> String {
    assert!(
        is_type(type_name, 0),
        "expected a type such as string, integer, number, boolean, bytes, object, any, [string], \
         {{integer}} or string?, got {type_name:?}"
    );
    type_name.to_owned()
}

fn is_type(text: &str, depth: usize) -> bool {
    let text = text.strip_suffix('?').unwrap_or(text);
    let inside = |open, close| {
        text.strip_prefix(open)
            .and_then(|it: &str| it.strip_suffix(close))
    };
    match inside('[', ']').or_else(|| inside('{', '}')) {
        Some(inner) => depth < TYPE_DEPTH_MAX && is_type(inner, depth + 1),
        None => TYPE_WORDS.contains(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn types_are_those_of_the_protocol() {
        for type_name in ["any", "[string]", "{[integer]}", "string?", "[number?]?"] {
            assert!(is_type(type_name, 0), "{type_name}");
        }
        let deep = |levels: usize| "[".repeat(levels) + "any" + &"]".repeat(levels);
        assert!(is_type(&deep(16), 0));
        for type_name in [
            "",
            "text",
            "[string",
            "string]",
            "[]",
            "string??",
            &deep(17),
        ] {
            assert!(!is_type(type_name, 0), "{type_name}");
        }
    }

    #[test]
    fn mistakes_end_the_program_where_they_are_made() {
        let mistakes: [fn(); 9] = [
            || drop(Description::new("a kind")),
            || Description::new("k").add_version("tags", "1"),
            || Description::new("k").set_slots(0),
            || Description::new("k").set_slots(1025),
            || drop(Function::new("")),
            || drop(Function::new("f").parameter("p", "text")),
            || {
                drop(
                    Function::new("f")
                        .parameter("p", "any")
                        .optional("p", "any"),
                );
            },
            || drop(Function::new("f").complete(Shape::Other)),
            || {
                let function = Function::new("f").parameter_doc("p", "?");
                drop(function.complete(Shape::Unit));
            },
        ];
        for (number, mistake) in mistakes.into_iter().enumerate() {
            assert!(catch_unwind(mistake).is_err(), "mistake {number}");
        }
    }

    #[test]
    fn parameters_that_may_be_left_out_come_last() {
        let function = Function::new("f")
            .optional("b", "any")
            .parameter("a", "any");
        assert_eq!(function.complete(Shape::Other).names(), ["a", "b"]);
    }
}
