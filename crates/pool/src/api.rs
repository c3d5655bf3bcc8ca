//! The functions that a worker announces, and whether a call fits them.

use crate::examples::Example;
use crate::fit::{self, WrongType};
use crate::{Details, Type};
use serde::{Deserialize, Serialize};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use term::Shape;

/// Everything a worker says about itself. Workers of equal descriptions form a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Kind, versions, tags, roles.
    #[serde(flatten)]
    pub details: Details,
    /// The functions, sorted by name.
    pub functions: Vec<Function>,
    /// Whether its functions take Erlang's terms as they are, and give them back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terms: bool,
}

impl Hash for Description {
    /// Equal on nodes that know of `terms` and on those that do not, for workers that take none.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            details,
            functions,
            terms,
        } = self;
        (details, functions).hash(state);
        if *terms {
            terms.hash(state);
        }
    }
}

impl Description {
    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        let at = self
            .functions
            .binary_search_by(|function| (*function.name).cmp(name))
            .ok()?;
        Some(&self.functions[at])
    }
}

/// One function of a worker's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name, unique in the API.
    pub name: Arc<str>,
    /// What it does, for people.
    #[serde(default)]
    pub doc: Arc<str>,
    /// Whether it does no harm to run a call of it twice.
    #[serde(default)]
    pub idempotent: bool,
    /// Whether it answers in pieces.
    #[serde(default)]
    pub stream: bool,
    /// Whether it reads an input beside its arguments: a stream of bytes while it runs.
    #[serde(default)]
    pub input: bool,
    /// Its parameters, in the order in which positional arguments bind; required ones first.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The type of its result, or of a piece of it.
    #[serde(default)]
    pub result: Type,
    /// Calls that show how it is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// One parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, unique in the function.
    pub name: Arc<str>,
    /// Its type.
    #[serde(default)]
    pub r#type: Type,
    /// Whether a call must give it.
    #[serde(default = "yes")]
    pub required: bool,
    /// What it means, for people.
    #[serde(default)]
    pub doc: Arc<str>,
}

fn yes() -> bool {
    true
}

impl Hash for Function {
    /// Equal on nodes that know of `input` and on those that do not, for functions that read none.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            name,
            doc,
            idempotent,
            stream,
            input,
            parameters,
            result,
            examples,
        } = self;
        (name, doc, idempotent, stream, parameters, result, examples).hash(state);
        if *input {
            input.hash(state);
        }
    }
}

/// How the arguments of a call miss a function's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The parameters as a signature, for the message: `linkage(text, limit?)`.
    pub signature: String,
    /// Required parameters that the call does not give.
    pub missing: Vec<Arc<str>>,
    /// Arguments that the function does not know.
    pub unknown: Vec<Box<str>>,
    /// Positional arguments beyond the last parameter.
    pub surplus: usize,
    /// The first argument that is not of its type, if names and number are right.
    pub wrong: Option<Box<WrongType>>,
    /// The call has an input, and the function reads none.
    pub input: bool,
}

impl Function {
    /// Whether a call with arguments of this shape may run the function. Their types are looked at
    /// if they are given too, as JSON.
    pub fn accepts(&self, shape: &Shape, json: Option<&[u8]>) -> Result<(), Misfit> {
        let fits = match shape {
            Shape::Opaque => true,
            Shape::Positional(count) => {
                *count >= self.required_count() && *count <= self.parameters.len()
            }
            Shape::Named(names) => {
                names.iter().all(|name| self.knows(name))
                    && self
                        .parameters
                        .iter()
                        .all(|parameter| !parameter.is_missing(names))
            }
        };
        if !fits {
            return Err(self.misfit(shape));
        }
        match json {
            Some(json) if self.has_checked_types() => fit::arguments(&self.parameters, json)
                .map_err(|wrong| Misfit {
                    wrong: Some(Box::new(wrong)),
                    ..self.misfit(shape)
                }),
            _ => Ok(()),
        }
    }

    /// Whether it reads the input of a call that has one.
    pub(crate) fn takes_input(&self, shape: &Shape) -> Result<(), Misfit> {
        if self.input {
            return Ok(());
        }
        Err(Misfit {
            input: true,
            ..self.misfit(shape)
        })
    }

    fn has_checked_types(&self) -> bool {
        let mut types = self.parameters.iter().map(|parameter| &parameter.r#type);
        types.any(Type::is_checked)
    }

    fn knows(&self, name: &str) -> bool {
        self.parameters
            .iter()
            .any(|parameter| *parameter.name == *name)
    }

    /// Parameters that a call must give; they come first.
    pub fn required_count(&self) -> usize {
        self.parameters
            .iter()
            .filter(|parameter| parameter.required)
            .count()
    }

    fn misfit(&self, shape: &Shape) -> Misfit {
        let name = |parameter: &Parameter| parameter.name.clone();
        let (missing, unknown, surplus) = match shape {
            Shape::Opaque => (Vec::new(), Vec::new(), 0),
            Shape::Positional(count) => (
                self.parameters
                    .iter()
                    .skip(*count)
                    .filter(|p| p.required)
                    .map(name)
                    .collect(),
                Vec::new(),
                count.saturating_sub(self.parameters.len()),
            ),
            Shape::Named(names) => (
                self.parameters
                    .iter()
                    .filter(|p| p.is_missing(names))
                    .map(name)
                    .collect(),
                names
                    .iter()
                    .filter(|name| !self.knows(name))
                    .cloned()
                    .collect(),
                0,
            ),
        };
        Misfit {
            signature: self.signature(),
            missing,
            unknown,
            surplus,
            wrong: None,
            input: false,
        }
    }

    /// The function as people write it: `linkage(text, limit?)`.
    pub fn signature(&self) -> String {
        let parameter = |p: &Parameter| format!("{}{}", p.name, if p.required { "" } else { "?" });
        let parameters: Vec<_> = self.parameters.iter().map(parameter).collect();
        format!("{}({})", self.name, parameters.join(", "))
    }
}

impl Parameter {
    fn is_missing(&self, names: &[Box<str>]) -> bool {
        self.required && !names.iter().any(|name| **name == *self.name)
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}", self.signature)?;
        if !self.missing.is_empty() {
            write!(f, "; missing: {}", self.missing.join(", "))?;
        }
        if !self.unknown.is_empty() {
            write!(f, "; unknown: {}", self.unknown.join(", "))?;
        }
        if self.surplus > 0 {
            write!(f, "; {} too many", self.surplus)?;
        }
        if let Some(wrong) = &self.wrong {
            write!(f, "; {wrong}")?;
        }
        if self.input {
            write!(f, "; it reads no input, and the call has one")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linkage() -> Function {
        serde_json::from_str(
            r#"{"name": "linkage", "parameters": [{"name": "text"}, {"name": "limit", "required": false}]}"#,
        )
        .unwrap()
    }

    fn named(names: &[&str]) -> Shape {
        Shape::Named(names.iter().map(|&name| name.into()).collect())
    }

    #[test]
    fn arguments_fit_by_name_and_by_position() {
        let function = linkage();
        for fits in [
            named(&["text"]),
            named(&["limit", "text"]),
            Shape::Positional(1),
            Shape::Positional(2),
            Shape::Opaque,
        ] {
            assert_eq!(function.accepts(&fits, None), Ok(()), "{fits:?}");
        }
    }

    #[test]
    fn a_misfit_says_what_was_expected_and_what_came() {
        let function = linkage();
        let message = |shape| function.accepts(&shape, None).unwrap_err().to_string();
        let wrong = message(named(&["txt"]));
        assert_eq!(
            wrong,
            "expected linkage(text, limit?); missing: text; unknown: txt"
        );
        assert_eq!(
            message(Shape::Positional(0)),
            "expected linkage(text, limit?); missing: text"
        );
        assert_eq!(
            message(Shape::Positional(4)),
            "expected linkage(text, limit?); 2 too many"
        );
    }

    #[test]
    fn arguments_are_of_their_types_by_name_and_by_position() {
        let function: Function = serde_json::from_str(
            r#"{"name": "f", "parameters": [{"name": "text", "type": "string"},
                {"name": "limits", "type": "[integer]", "required": false}, {"name": "x", "required": false}]}"#,
        )
        .unwrap();
        let problem = |json: &str| {
            let shape = Shape::of_json(json.as_bytes()).unwrap();
            let misfit = function.accepts(&shape, Some(json.as_bytes())).err()?;
            Some(misfit.wrong?.to_string())
        };
        for fits in [
            r#"{"limits": [1], "te\u0078t": "a"}"#,
            r#"["a", [], {"any": 1}]"#,
            r#"["a"]"#,
            r#"["a", null]"#,
        ] {
            assert_eq!(problem(fits), None, "{fits}");
        }
        let wrong = "text: expected string, got integer 5";
        assert_eq!(problem(r#"{"text": 5}"#).as_deref(), Some(wrong));
        assert_eq!(problem(r#"{"te\u0078t": 5}"#).as_deref(), Some(wrong));
        let wrong = "text: expected string, got null";
        assert_eq!(problem("[null]").as_deref(), Some(wrong));
        let wrong = "limits[1]: expected integer, got string \"b\"";
        assert_eq!(problem(r#"["a", [1, "b"]]"#).as_deref(), Some(wrong));
    }
}
