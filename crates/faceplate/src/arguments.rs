//! Arguments as they came in, with what the core needs to know of them.

use bytes::Bytes;
use dispatch::{CallError, Code};
use term::{NotJson, Payload, Shape};

/// What bytes are where nobody has said more.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// JSON arguments with their shape. No arguments at all are written as an empty object, since
/// workers are promised JSON.
pub(crate) fn of_json(bytes: Bytes) -> Result<(Payload, Shape), CallError> {
    let shape = Shape::of_json(&bytes).map_err(|error| {
        let code = match error {
            NotJson::Arguments(_) => Code::BadArguments,
            NotJson::Syntax(_) | NotJson::Utf8(_) | NotJson::TooDeep => Code::BadRequest,
        };
        CallError::new(code, error.to_string())
    })?;
    let is_empty = bytes.trim_ascii().is_empty();
    Ok((
        Payload::Json(if is_empty {
            Bytes::from_static(b"{}")
        } else {
            bytes
        }),
        shape,
    ))
}
