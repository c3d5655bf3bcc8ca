//! Arguments one by one, for dialects that pass them so: on a command line, in a path.

use super::Unfit;
use dispatch::{CallError, Code};
use pool::Function;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use term::Payload;

/// Arguments by name, each as its JSON.
pub(super) type Named<'a> = BTreeMap<String, &'a RawValue>;

/// The arguments of a call, by name, if they are JSON.
pub(super) fn named<'a>(function: &Function, payload: &'a Payload) -> Result<Named<'a>, CallError> {
    let Payload::Json(json) = payload else {
        return Err(CallError::new(
            Code::BadArguments,
            Unfit::NotJson.to_string(),
        ));
    };
    let bad = |error: serde_json::Error| CallError::new(Code::BadArguments, error.to_string());
    let json = json.trim_ascii();
    match json.first() {
        None => Ok(Named::new()),
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_slice(json).map_err(bad)?;
            let names = function.parameters.iter();
            let names = names.map(|parameter| parameter.name.to_string());
            Ok(names.zip(values).collect())
        }
        Some(_) => serde_json::from_slice(json).map_err(bad),
    }
}

/// An argument as plain text: a string without its quotes, nothing for `null`, and anything else as
/// its JSON.
pub(super) fn text(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        json if json.starts_with('"') => serde_json::from_str(json).ok(),
        json => Some(json.to_owned()),
    }
}
