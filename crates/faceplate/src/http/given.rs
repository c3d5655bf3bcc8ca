//! Arguments that stand in a request's path, its query and a form: text, which becomes what the
//! function declares.

use super::problem::Problem;
use crate::desk::Desk;
use bytes::Bytes;
use dispatch::Code;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use pool::Type;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use term::JSON;

/// Values in the path, the query and the form of one request: more than people fill in, and little
/// enough memory beside a body of the usual size.
const TEXTS_MAX: usize = 10_000;

const FORM: &str = "application/x-www-form-urlencoded";

/// A part of a path, without its `%`.
pub(super) fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::new(Code::BadRequest, "expected a path in UTF-8"))
}

/// Whether a body is arguments, by its content type, and not bytes for a function to read.
pub(super) fn is_arguments(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    [JSON, FORM, ""]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}

/// A content type without its parameters; empty if there is none.
fn essence(headers: &HeaderMap) -> &str {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str());
    let content_type = content_type.and_then(Result::ok).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Arguments that stand in the path, the query and a form: text, by name.
#[derive(Default)]
pub(super) struct Given<'a> {
    /// More than one value of a name is an array.
    texts: BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
    /// How many values.
    count: usize,
    /// Whether the body was a form, and is among them.
    is_form: bool,
}

impl<'a> Given<'a> {
    /// Adds a value.
    pub fn text(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), Problem> {
        if self.count == TEXTS_MAX {
            let message = format!("expected at most {TEXTS_MAX} values in path, query and form");
            return Err(Problem::new(Code::TooLarge, message));
        }
        self.count += 1;
        self.texts.entry(name).or_default().push(value);
        Ok(())
    }

    /// Adds the values of a query or a form.
    pub fn query(&mut self, text: &'a [u8]) -> Result<(), Problem> {
        for (name, value) in form_urlencoded::parse(text) {
            self.text(name, value)?;
        }
        Ok(())
    }

    /// Takes the arguments of a form.
    pub fn form(&mut self, headers: &HeaderMap, body: &'a Bytes) -> Result<(), Problem> {
        let essence = essence(headers);
        if essence.eq_ignore_ascii_case(FORM) {
            self.query(body)?;
            self.is_form = true;
        } else if !body.is_empty() && !essence.eq_ignore_ascii_case(JSON) {
            let message = format!(
                "expected content-type: application/json or {FORM}, got {essence:?}; a function \
                 that declares an input takes anything, and so does one named http"
            );
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::with_status(status, Code::BadRequest, message));
        }
        Ok(())
    }

    /// All arguments as JSON, with those of a body in JSON, for a function of a kind.
    pub async fn to(
        self,
        desk: &Desk,
        kind: &str,
        function: &str,
        body: &Bytes,
    ) -> Result<Bytes, Problem> {
        if self.texts.is_empty() && !self.is_form {
            return Ok(body.clone());
        }
        let declared = match self.texts.is_empty() {
            true => None,
            // A node that stops tells the call.
            false => desk
                .node
                .catalogue
                .function(kind, function)
                .await
                .ok()
                .flatten(),
        };
        self.with(body, declared.as_deref())
    }

    fn with(self, body: &Bytes, declared: Option<&pool::Function>) -> Result<Bytes, Problem> {
        let mut members: BTreeMap<Cow<'_, str>, Box<RawValue>> = BTreeMap::new();
        if !self.is_form && !body.is_empty() {
            members = serde_json::from_slice(body).map_err(|error| {
                let message = format!("expected a JSON object beside other arguments: {error}");
                Problem::new(Code::BadRequest, message)
            })?;
        }
        for (name, values) in self.texts {
            let parameter = declared.and_then(|function| {
                let mut parameters = function.parameters.iter();
                parameters.find(|parameter| *parameter.name == *name)
            });
            let given_as = parameter.map(|parameter| &parameter.r#type);
            let value = value_of(&name, &values, given_as.unwrap_or(&Type::Any))?;
            if members.insert(name.clone(), value).is_some() {
                return Err(twice(&name));
            }
        }
        Ok(serde_json::to_vec(&members)
            .expect("values that were JSON are")
            .into())
    }
}

/// The value of an argument that was given as text: as it is declared, if it can be read so.
fn value_of(name: &str, texts: &[Cow<'_, str>], declared: &Type) -> Result<Box<RawValue>, Problem> {
    let declared = match declared {
        Type::Optional(inner) => inner,
        declared => declared,
    };
    if let Type::Array(element) = declared {
        let values: Vec<_> = texts.iter().map(|text| scalar(text, element)).collect();
        return Ok(raw(&values));
    }
    match texts {
        [text] => Ok(scalar(text, declared)),
        _ => Err(twice(name)),
    }
}

/// What does not fit stays text, which the check of types then names.
fn scalar(text: &str, declared: &Type) -> Box<RawValue> {
    let reads_as_json = matches!(
        declared,
        Type::Integer | Type::Number | Type::Boolean | Type::Object | Type::Array(_) | Type::Map(_)
    );
    let json = reads_as_json.then(|| serde_json::from_str(text).ok());
    json.flatten().unwrap_or_else(|| raw(&text))
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("text and JSON are JSON")
}

fn twice(name: &str) -> Problem {
    let message = format!("expected the argument {name} once, got it more often");
    Problem::new(Code::BadArguments, message)
}
