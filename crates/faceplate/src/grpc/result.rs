//! From a worker's result to the message of the answer. docs/contract.md has the mapping.

use super::methods::Method;
use crate::contract::proto::{Field, Label, Schema, Value};
use dispatch::{CallError, Code};
use pool::Type;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::Value as Json;
use term::Payload;

/// Characters of a value that an error shows.
const TEXT_MAX: usize = 100;

/// The message of a result, or of a piece of it.
pub(super) fn write(method: &Method, payload: &Payload) -> Result<Vec<u8>, CallError> {
    let field = &method.response().fields[0];
    let mut message = Vec::new();
    if field.value == Value::Bytes && *method.function.result.required().0 == Type::Bytes {
        delimited(field.number, payload.bytes(), &mut message);
        return Ok(message);
    }
    let Payload::Json(bytes) = payload else {
        return Err(unfit(method, &format!("got {}", payload.content_type())));
    };
    let json: Json = serde_json::from_slice(bytes)
        .map_err(|error| unfit(method, &format!("got no JSON: {error}")))?;
    write_field(&method.schema, field, &json, &mut message)
        .map_err(|Unfit(why)| unfit(method, &why))?;
    Ok(message)
}

fn unfit(method: &Method, got: &str) -> CallError {
    let message = format!("result: expected {}, {got}", method.function.result);
    CallError::new(Code::Protocol, message)
}

/// A value is not of its type: what came, and what cannot hold it.
struct Unfit(String);

impl Unfit {
    fn new(json: &Json, expected: &str) -> Self {
        let text: String = json.to_string().chars().take(TEXT_MAX).collect();
        Self(format!("got {text}, which is no {expected}"))
    }
}

fn write_field(
    schema: &Schema,
    field: &Field,
    json: &Json,
    message: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let number = field.number;
    match field.label {
        Label::Optional if json.is_null() => Ok(()),
        Label::Optional | Label::Plain => {
            encode_key(number, wire_type(&field.value), message);
            write_value(schema, &field.value, json, message)
        }
        Label::Repeated => {
            let elements = json.as_array().ok_or_else(|| Unfit::new(json, "array"))?;
            let wire = wire_type(&field.value);
            if wire == WireType::LengthDelimited {
                return elements.iter().try_for_each(|element| {
                    encode_key(number, wire, message);
                    write_value(schema, &field.value, element, message)
                });
            }
            let mut packed = Vec::new();
            for element in elements {
                write_value(schema, &field.value, element, &mut packed)?;
            }
            if !packed.is_empty() {
                delimited(number, &packed, message);
            }
            Ok(())
        }
        Label::Map => {
            let members = json.as_object().ok_or_else(|| Unfit::new(json, "object"))?;
            write_entries(schema, number, &field.value, members, message)
        }
    }
}

fn write_entries(
    schema: &Schema,
    number: u32,
    of: &Value,
    members: &serde_json::Map<String, Json>,
    message: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let mut entry = Vec::new();
    for (key, value) in members {
        entry.clear();
        delimited(1, key.as_bytes(), &mut entry);
        encode_key(2, wire_type(of), &mut entry);
        write_value(schema, of, value, &mut entry)?;
        delimited(number, &entry, message);
    }
    Ok(())
}

/// One value, as it stands behind its key.
fn write_value(
    schema: &Schema,
    of: &Value,
    json: &Json,
    message: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let unfit = || Unfit::new(json, &of.to_string());
    let mut nested = Vec::new();
    match of {
        Value::Int64 => {
            let integer = json.as_i64().ok_or_else(unfit)?;
            encode_varint(integer.cast_unsigned(), message);
            return Ok(());
        }
        Value::Bool => {
            message.push(json.as_bool().ok_or_else(unfit)?.into());
            return Ok(());
        }
        Value::Double => {
            message.extend_from_slice(&json.as_f64().ok_or_else(unfit)?.to_le_bytes());
            return Ok(());
        }
        Value::String => nested.extend_from_slice(json.as_str().ok_or_else(unfit)?.as_bytes()),
        // JSON has no such value.
        Value::Bytes => return Err(unfit()),
        Value::Any => write_any(schema, json, &mut nested)?,
        Value::Struct => {
            let members = json.as_object().ok_or_else(unfit)?;
            write_entries(schema, 1, &Value::Any, members, &mut nested)?;
        }
        Value::Message(name) => {
            let wrapper = schema.message(name);
            let wrapper = wrapper.expect("a schema has the messages that its fields name");
            write_field(schema, &wrapper.fields[0], json, &mut nested)?;
        }
    }
    encode_varint(nested.len() as u64, message);
    message.extend_from_slice(&nested);
    Ok(())
}

/// `google.protobuf.Value`.
fn write_any(schema: &Schema, json: &Json, message: &mut Vec<u8>) -> Result<(), Unfit> {
    let (number, of) = match json {
        Json::Null => {
            encode_key(1, WireType::Varint, message);
            message.push(0);
            return Ok(());
        }
        Json::Number(_) => (2, Value::Double),
        Json::String(_) => (3, Value::String),
        Json::Bool(_) => (4, Value::Bool),
        Json::Object(_) => (5, Value::Struct),
        Json::Array(elements) => {
            let mut list = Vec::new();
            for element in elements {
                encode_key(1, WireType::LengthDelimited, &mut list);
                write_value(schema, &Value::Any, element, &mut list)?;
            }
            delimited(6, &list, message);
            return Ok(());
        }
    };
    encode_key(number, wire_type(&of), message);
    write_value(schema, &of, json, message)
}

fn wire_type(of: &Value) -> WireType {
    match of {
        Value::Int64 | Value::Bool => WireType::Varint,
        Value::Double => WireType::SixtyFourBit,
        _ => WireType::LengthDelimited,
    }
}

fn delimited(number: u32, bytes: &[u8], message: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, message);
    encode_varint(bytes.len() as u64, message);
    message.extend_from_slice(bytes);
}
