//! From a request's message to the arguments of a call. docs/contract.md has the mapping.
//!
//! JSON is written while the message is read, with no tree of values between: eight bytes of a
//! hostile message must not become a thousand.

use super::methods::Method;
use crate::arguments::{OCTETS, of_json};
use crate::contract::proto::{Field, Label, Message, Schema, Value};
use bytes::{Buf, Bytes};
use dispatch::{CallError, Code};
use pool::Type;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::fmt::Write;
use term::{Payload, Shape};

/// How deep lists and objects may nest: what the JSON of arguments may.
const DEPTH_MAX: usize = term::DEPTH_MAX;

/// The greatest number below which all whole numbers are doubles.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The arguments that a message gives.
pub(super) fn read(method: &Method, message: Bytes) -> Result<(Payload, Shape), CallError> {
    let schema = &*method.schema;
    let found = fields(schema, method.request(), &message, 0)?;
    if let Some(bytes) = whole(method, &found)? {
        return Ok((Payload::new(OCTETS, bytes), Shape::Opaque));
    }
    let mut json = String::from("{");
    let parameters = method.function.parameters.iter();
    for ((field, parameter), found) in method.request().fields.iter().zip(parameters).zip(found) {
        if matches!(found, Found::Nothing) && !parameter.required {
            continue;
        }
        separate(&mut json);
        string(&field.source, &mut json);
        json.push(':');
        found.write(schema, field, &mut json, 0)?;
    }
    json.push('}');
    of_json(json.into())
}

/// The bytes that are all the arguments there are, if the first parameter is for such.
fn whole(method: &Method, found: &[Found]) -> Result<Option<Bytes>, CallError> {
    let first = method.function.parameters.first();
    let Some(parameter) = first.filter(|first| *first.r#type.required().0 == Type::Bytes) else {
        return Ok(None);
    };
    let bytes = match &found[0] {
        Found::Bytes(bytes) => bytes.clone(),
        _ if parameter.required => Bytes::new(),
        _ => return Ok(None),
    };
    if found[1..]
        .iter()
        .any(|found| !matches!(found, Found::Nothing))
    {
        let message = format!("expected nothing beside the bytes of {}", parameter.name);
        return Err(CallError::new(Code::BadArguments, message));
    }
    Ok(Some(bytes))
}

/// What a message has of one of its fields.
enum Found {
    Nothing,
    /// JSON.
    One(String),
    /// A list or a map as JSON, without its last bracket.
    Open(String),
    /// A message, of which parts may come one after another.
    Nested(Vec<u8>),
    Bytes(Bytes),
}

impl Found {
    fn write(
        self,
        schema: &Schema,
        field: &Field,
        json: &mut String,
        depth: usize,
    ) -> Result<(), CallError> {
        match self {
            Self::One(one) => json.push_str(&one),
            Self::Open(open) => {
                json.push_str(&open);
                json.push(if field.label == Label::Map { '}' } else { ']' });
            }
            Self::Nested(bytes) => nested(schema, &field.value, &bytes, json, depth)?,
            Self::Bytes(_) => return Err(no_json(&field.name)),
            Self::Nothing => json.push_str(match (field.label, &field.value) {
                (Label::Repeated, _) => "[]",
                (Label::Map, _) | (Label::Plain, Value::Struct) => "{}",
                (Label::Plain, Value::String) => "\"\"",
                (Label::Plain, Value::Int64 | Value::Double) => "0",
                (Label::Plain, Value::Bool) => "false",
                (Label::Plain, Value::Bytes) => return Err(no_json(&field.name)),
                (Label::Optional | Label::Plain, _) => "null",
            }),
        }
        Ok(())
    }
}

/// Reads a message. Fields that it does not know are left out.
fn fields(
    schema: &Schema,
    message: &Message,
    mut bytes: &[u8],
    depth: usize,
) -> Result<Vec<Found>, CallError> {
    let mut found: Vec<Found> = message.fields.iter().map(|_| Found::Nothing).collect();
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(broken)?;
        let known = message
            .fields
            .iter()
            .position(|field| field.number == number);
        let Some(at) = known else {
            skip(wire, number, &mut bytes)?;
            continue;
        };
        let field = &message.fields[at];
        let found = &mut found[at];
        match field.label {
            Label::Repeated => {
                let list = found.open('[');
                elements(schema, field, wire, &mut bytes, list, depth)?;
            }
            Label::Map => {
                let delimited = delimited(wire, &mut bytes)?;
                entry(schema, &field.value, delimited, found.open('{'), depth)?;
            }
            Label::Plain | Label::Optional => match field.value {
                Value::Any | Value::Struct | Value::Message(_) => {
                    let part = delimited(wire, &mut bytes)?;
                    match found {
                        Found::Nested(parts) => parts.extend_from_slice(part),
                        other => *other = Found::Nested(part.to_vec()),
                    }
                }
                Value::Bytes => {
                    let part = delimited(wire, &mut bytes)?;
                    *found = Found::Bytes(Bytes::copy_from_slice(part));
                }
                _ => {
                    let mut json = String::new();
                    value(schema, &field.value, wire, &mut bytes, &mut json, depth)?;
                    *found = Found::One(json);
                }
            },
        }
    }
    Ok(found)
}

impl Found {
    /// The list or the map, begun if this is the first of it.
    fn open(&mut self, bracket: char) -> &mut String {
        if !matches!(self, Self::Open(_)) {
            *self = Self::Open(bracket.to_string());
        }
        match self {
            Self::Open(json) => json,
            _ => unreachable!("it was just opened"),
        }
    }
}

/// One element of a list, or several numbers packed.
fn elements(
    schema: &Schema,
    field: &Field,
    wire: WireType,
    bytes: &mut &[u8],
    list: &mut String,
    depth: usize,
) -> Result<(), CallError> {
    let packed = match field.value {
        Value::Int64 | Value::Bool => WireType::Varint,
        Value::Double => WireType::SixtyFourBit,
        _ => WireType::LengthDelimited,
    };
    if wire != WireType::LengthDelimited || packed == wire {
        separate(list);
        return value(schema, &field.value, wire, bytes, list, depth + 1);
    }
    let mut rest = delimited(wire, bytes)?;
    while rest.has_remaining() {
        separate(list);
        value(schema, &field.value, packed, &mut rest, list, depth + 1)?;
    }
    Ok(())
}

/// One entry of a map: a message of key and value.
fn entry(
    schema: &Schema,
    of: &Value,
    mut bytes: &[u8],
    map: &mut String,
    depth: usize,
) -> Result<(), CallError> {
    let (mut key, mut json) = (String::new(), String::new());
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(broken)?;
        match number {
            1 => text(delimited(wire, &mut bytes)?)?.clone_into(&mut key),
            2 => {
                json.clear();
                value(schema, of, wire, &mut bytes, &mut json, depth + 1)?;
            }
            _ => skip(wire, number, &mut bytes)?,
        }
    }
    separate(map);
    string(&key, map);
    map.push(':');
    if !json.is_empty() {
        map.push_str(&json);
        return Ok(());
    }
    match of {
        Value::String => map.push_str("\"\""),
        Value::Int64 | Value::Double => map.push('0'),
        Value::Bool => map.push_str("false"),
        Value::Bytes => return Err(no_json("a map")),
        Value::Any | Value::Struct | Value::Message(_) => nested(schema, of, &[], map, depth + 1)?,
    }
    Ok(())
}

/// One value, as it stands behind its key.
fn value(
    schema: &Schema,
    of: &Value,
    wire: WireType,
    bytes: &mut &[u8],
    json: &mut String,
    depth: usize,
) -> Result<(), CallError> {
    match of {
        Value::String => string(text(delimited(wire, bytes)?)?, json),
        Value::Int64 => {
            let integer = varint(wire, bytes)?.cast_signed();
            json.push_str(itoa::Buffer::new().format(integer));
        }
        Value::Bool => json.push_str(if varint(wire, bytes)? == 0 {
            "false"
        } else {
            "true"
        }),
        Value::Double => number(double(wire, bytes)?, json)?,
        Value::Bytes => return Err(no_json("a list or a map")),
        Value::Any | Value::Struct | Value::Message(_) => {
            nested(schema, of, delimited(wire, bytes)?, json, depth)?;
        }
    }
    Ok(())
}

fn nested(
    schema: &Schema,
    of: &Value,
    bytes: &[u8],
    json: &mut String,
    depth: usize,
) -> Result<(), CallError> {
    if depth > DEPTH_MAX {
        let message = format!("expected lists and objects to nest at most {DEPTH_MAX} deep");
        return Err(CallError::new(Code::BadRequest, message));
    }
    match of {
        Value::Any => any(schema, bytes, json, depth),
        Value::Struct => structure(schema, bytes, json, depth),
        Value::Message(name) => {
            let wrapper = schema.message(name);
            let wrapper = wrapper.expect("a schema has the messages that its fields name");
            let found = fields(schema, wrapper, bytes, depth)?.pop();
            let found = found.expect("a wrapper has one field");
            found.write(schema, &wrapper.fields[0], json, depth + 1)
        }
        _ => unreachable!("the others are no messages"),
    }
}

/// `google.protobuf.Struct`: entries under number 1.
fn structure(
    schema: &Schema,
    mut bytes: &[u8],
    json: &mut String,
    depth: usize,
) -> Result<(), CallError> {
    json.push('{');
    while bytes.has_remaining() {
        match decode_key(&mut bytes).map_err(broken)? {
            (1, wire) => {
                let delimited = delimited(wire, &mut bytes)?;
                entry(schema, &Value::Any, delimited, json, depth)?;
            }
            (number, wire) => skip(wire, number, &mut bytes)?,
        }
    }
    json.push('}');
    Ok(())
}

/// `google.protobuf.ListValue`: values under number 1.
fn list(
    schema: &Schema,
    mut bytes: &[u8],
    json: &mut String,
    depth: usize,
) -> Result<(), CallError> {
    json.push('[');
    while bytes.has_remaining() {
        match decode_key(&mut bytes).map_err(broken)? {
            (1, wire) => {
                separate(json);
                let delimited = delimited(wire, &mut bytes)?;
                nested(schema, &Value::Any, delimited, json, depth + 1)?;
            }
            (number, wire) => skip(wire, number, &mut bytes)?,
        }
    }
    json.push(']');
    Ok(())
}

/// `google.protobuf.Value`: one of six, of which the last counts.
fn any(
    schema: &Schema,
    mut bytes: &[u8],
    json: &mut String,
    depth: usize,
) -> Result<(), CallError> {
    let begin = json.len();
    // Parts of one object or list may come one after another.
    let mut parts: Option<(u32, Vec<u8>)> = None;
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(broken)?;
        if !(1..=6).contains(&number) {
            skip(wire, number, &mut bytes)?;
            continue;
        }
        json.truncate(begin);
        if matches!(number, 5 | 6) {
            let part = delimited(wire, &mut bytes)?;
            match &mut parts {
                Some((same, parts)) if *same == number => parts.extend_from_slice(part),
                other => *other = Some((number, part.to_vec())),
            }
            continue;
        }
        parts = None;
        match number {
            1 => {
                varint(wire, &mut bytes)?;
                json.push_str("null");
            }
            2 => self::number(double(wire, &mut bytes)?, json)?,
            3 => string(text(delimited(wire, &mut bytes)?)?, json),
            _ => json.push_str(if varint(wire, &mut bytes)? == 0 {
                "false"
            } else {
                "true"
            }),
        }
    }
    match parts {
        Some((5, parts)) => structure(schema, &parts, json, depth),
        Some((_, parts)) => list(schema, &parts, json, depth),
        None if json.len() == begin => {
            json.push_str("null");
            Ok(())
        }
        None => Ok(()),
    }
}

fn separate(json: &mut String) {
    if !json.ends_with(['[', '{']) {
        json.push(',');
    }
}

fn string(text: &str, json: &mut String) {
    json.push_str(&serde_json::to_string(text).expect("a string is JSON"));
}

/// A double as JSON; a whole one without fraction, since that is what workers take for integers.
fn number(number: f64, json: &mut String) -> Result<(), CallError> {
    if !number.is_finite() {
        let message = format!("expected a number that JSON has, got {number}");
        return Err(CallError::new(Code::BadArguments, message));
    }
    if number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        json.push_str(itoa::Buffer::new().format(number as i64));
    } else {
        write!(json, "{}", serde_json::Value::from(number)).expect("a string takes all");
    }
    Ok(())
}

fn delimited<'b>(wire: WireType, bytes: &mut &'b [u8]) -> Result<&'b [u8], CallError> {
    expect(wire, WireType::LengthDelimited)?;
    let length = decode_varint(bytes).map_err(broken)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= bytes.len());
    let length = length.ok_or_else(|| broken("it ends within a field"))?;
    let (delimited, rest) = bytes.split_at(length);
    *bytes = rest;
    Ok(delimited)
}

fn varint(wire: WireType, bytes: &mut &[u8]) -> Result<u64, CallError> {
    expect(wire, WireType::Varint)?;
    decode_varint(bytes).map_err(broken)
}

fn double(wire: WireType, bytes: &mut &[u8]) -> Result<f64, CallError> {
    expect(wire, WireType::SixtyFourBit)?;
    bytes.try_get_f64_le().map_err(broken)
}

fn skip(wire: WireType, number: u32, bytes: &mut &[u8]) -> Result<(), CallError> {
    skip_field(wire, number, bytes, DecodeContext::default()).map_err(broken)
}

fn expect(wire: WireType, expected: WireType) -> Result<(), CallError> {
    if wire == expected {
        return Ok(());
    }
    Err(broken(format!(
        "expected wire type {expected:?}, got {wire:?}"
    )))
}

fn text(bytes: &[u8]) -> Result<&str, CallError> {
    std::str::from_utf8(bytes).map_err(broken)
}

fn broken(why: impl std::fmt::Display) -> CallError {
    let message = format!("expected a message as the schema has it: {why}");
    CallError::new(Code::BadRequest, message)
}

fn no_json(place: &str) -> CallError {
    let message =
        format!("{place}: bytes can only be the first parameter, since JSON has no such value");
    CallError::new(Code::BadArguments, message)
}
