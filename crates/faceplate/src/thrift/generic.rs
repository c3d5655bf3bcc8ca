//! The generic service, `Katamari` in docs/protocol/katamari.thrift: any function of any kind, with
//! arguments as JSON or as a union.

use super::arguments::{named, text};
use super::codec::Kind;
use super::form::{Form, JSON};
use super::reader::Reader;
use super::result::Returns;
use crate::arguments::of_json;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::{CallError, Code};
use pool::Details;
use term::{Payload, Shape};

/// The service's name among those that share a connection.
pub(super) const SERVICE: &str = "Katamari";

/// The function that shows a token. Every service of a connection has it.
pub(super) const AUTHENTICATE: &str = "katamari_authenticate";

/// A function of the service that makes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Call,
    CallJson,
    CastJson,
    Pieces,
}

impl Operation {
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "call" => Some(Self::Call),
            "call_json" => Some(Self::CallJson),
            "cast_json" => Some(Self::CastJson),
            "pieces" => Some(Self::Pieces),
            _ => None,
        }
    }

    pub fn returns(self) -> Returns<'static> {
        Returns {
            form: match self {
                Self::Call => Form::Union,
                Self::CallJson | Self::CastJson | Self::Pieces => JSON,
            },
            pieces: self == Self::Pieces,
        }
    }
}

/// What a message asks for.
#[derive(Debug)]
pub(super) struct Request {
    pub details: Details,
    pub function: String,
    pub payload: Payload,
    pub shape: Shape,
    pub wishes: Wishes,
    /// What it shows besides what its connection has shown.
    pub token: Option<Bytes>,
}

/// Reads the arguments of an operation. What the connection wishes for holds unless the message
/// says otherwise.
pub(super) fn request(
    operation: Operation,
    reader: &mut Reader<'_>,
    wishes: &Wishes,
) -> Result<Request, CallError> {
    let mut request = Request {
        details: Details::default(),
        function: String::new(),
        payload: Payload::Json(Bytes::from_static(b"{}")),
        shape: Shape::Named(Vec::new()),
        wishes: wishes.clone(),
        token: None,
    };
    let (mut kind, mut last) = (String::new(), 0);
    while let Some(field) = reader.field(&mut last)? {
        match (field.id, field.kind) {
            (1, Kind::Text) => text("kind", reader.bytes()?)?.clone_into(&mut kind),
            (2, Kind::Text) => {
                text("function", reader.bytes()?)?.clone_into(&mut request.function);
            }
            (3, Kind::Map) if operation == Operation::Call => {
                (request.payload, request.shape) = named(reader)?;
            }
            (3, Kind::Text) if operation != Operation::Call => {
                let json = Bytes::copy_from_slice(reader.bytes()?);
                (request.payload, request.shape) = of_json(json)?;
            }
            (4, Kind::Struct) => options(reader, &mut request)?,
            (1..=4, came) => {
                let message = format!("argument {} is of another type, a {came}", field.id);
                return Err(CallError::new(Code::BadRequest, message));
            }
            (_, kind) => reader.skip(kind)?,
        }
    }
    request.details = request.wishes.details.take().unwrap_or_default();
    if !kind.is_empty() {
        request.details.kind = Some(kind.into());
    }
    Ok(request)
}

/// Reads `Options`.
fn options(reader: &mut Reader<'_>, request: &mut Request) -> Result<(), CallError> {
    let mut last = 0;
    while let Some(field) = reader.field(&mut last)? {
        let (wish, value) = match (field.id, field.kind) {
            (1, Kind::Text) => ("details", text("details_json", reader.bytes()?)?.to_owned()),
            (2, Kind::I64) => ("timeout-ms", reader.integer(field.kind)?.to_string()),
            (3, Kind::Text) => ("class", text("class_", reader.bytes()?)?.to_owned()),
            (4, Kind::Text) => ("key", text("key", reader.bytes()?)?.to_owned()),
            (5, Kind::Bool) => ("idempotent", reader.boolean()?.to_string()),
            (6, Kind::Text) => {
                request.token = Some(Bytes::copy_from_slice(reader.bytes()?));
                continue;
            }
            (1..=6, came) => {
                let message = format!("option {} is of another type, a {came}", field.id);
                return Err(CallError::new(Code::BadRequest, message));
            }
            (_, kind) => {
                reader.skip(kind)?;
                continue;
            }
        };
        request.wishes.set(wish, &value)?;
    }
    Ok(())
}

/// Reads the token that is shown.
pub(super) fn token(reader: &mut Reader<'_>) -> Result<Option<Bytes>, CallError> {
    let (mut token, mut last) = (None, 0);
    while let Some(field) = reader.field(&mut last)? {
        match (field.id, field.kind) {
            (1, Kind::Text) => token = Some(Bytes::copy_from_slice(reader.bytes()?)),
            (_, kind) => reader.skip(kind)?,
        }
    }
    Ok(token)
}
