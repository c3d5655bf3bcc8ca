//! Arguments: from Thrift to JSON, as they are read.

use super::codec::Kind;
use super::form::{Form, WRAPPED_ID, union};
use super::reader::Reader;
use crate::arguments::{OCTETS, of_json};
use crate::contract::thrift::{Field, Method, Schema, Value};
use bytes::Bytes;
use dispatch::{CallError, Code};
use std::fmt::Display;
use term::{Payload, Shape, check_json};

/// Arguments of a function that declares them.
pub(super) fn declared(
    reader: &mut Reader<'_>,
    method: &Method,
    schema: &Schema,
) -> Result<(Payload, Shape), CallError> {
    let mut object = Object::default();
    let mut seen = Vec::new();
    let mut last = 0;
    let options = options(method, schema);
    while let Some(found) = reader.field(&mut last)? {
        let Some(field) = method.arguments.iter().find(|field| field.id == found.id) else {
            reader.skip(found.kind)?;
            continue;
        };
        if !field.source.is_empty() {
            object.read(reader, found.kind, field, schema)?;
            continue;
        }
        expect(&field.name, found.kind, Kind::Struct)?;
        let mut last = 0;
        while let Some(found) = reader.field(&mut last)? {
            let Some(field) = options.iter().find(|field| field.id == found.id) else {
                reader.skip(found.kind)?;
                continue;
            };
            object.read(reader, found.kind, field, schema)?;
            seen.push(field.id);
        }
    }
    // What must be given, but may be null, is null where it is absent.
    if object.octets.is_none() {
        let absent = |field: &&Field| field.required && !seen.contains(&field.id);
        for field in options.iter().filter(absent) {
            object.name(&field.source);
            object.json.extend_from_slice(b"null");
        }
    }
    object.end()
}

fn options<'a>(method: &Method, schema: &'a Schema) -> &'a [Field] {
    let name = method
        .arguments
        .iter()
        .find_map(|field| match &field.value {
            Value::Struct(name) if field.source.is_empty() => Some(name),
            _ => None,
        });
    let found = name.and_then(|name| schema.structure(name));
    found.map_or(&[], |structure| &structure.fields)
}

/// Arguments by name, each of any type.
pub(super) fn named(reader: &mut Reader<'_>) -> Result<(Payload, Shape), CallError> {
    let mut object = Object::default();
    let (key, value, count) = reader.map()?;
    if count > 0 {
        expect("arguments", key, Kind::Text)?;
    }
    for _ in 0..count {
        let name = text("the name of an argument", reader.bytes()?)?;
        if let Some(octets) = octets(&mut reader.clone(), value)? {
            object.octets = Some(Bytes::copy_from_slice(octets));
            reader.skip(value)?;
            object.count += 1;
            continue;
        }
        object.name(name);
        json(reader, value, Form::Union, name, &mut object.json)?;
    }
    object.end()
}

/// The bytes in a union, if it holds some.
fn octets<'a>(reader: &mut Reader<'a>, kind: Kind) -> Result<Option<&'a [u8]>, CallError> {
    if kind != Kind::Struct {
        return Ok(None);
    }
    match reader.field(&mut 0)? {
        Some(field) if (field.id, field.kind) == (union::OCTETS, Kind::Text) => {
            Ok(Some(reader.bytes()?))
        }
        _ => Ok(None),
    }
}

/// Arguments in the making.
#[derive(Default)]
struct Object {
    json: Vec<u8>,
    /// Bytes that were given.
    octets: Option<Bytes>,
    /// How many arguments there are, bytes among them.
    count: usize,
}

impl Object {
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        kind: Kind,
        field: &Field,
        schema: &Schema,
    ) -> Result<(), CallError> {
        if field.value == Value::Binary {
            expect(&field.name, kind, Kind::Text)?;
            self.octets = Some(Bytes::copy_from_slice(reader.bytes()?));
            self.count += 1;
            return Ok(());
        }
        self.name(&field.source);
        let form = Form::Declared(&field.value, &schema.structs);
        json(reader, kind, form, &field.name, &mut self.json)
    }

    fn name(&mut self, name: &str) {
        self.count += 1;
        self.json
            .push(if self.json.is_empty() { b'{' } else { b',' });
        quote(name, &mut self.json);
        self.json.push(b':');
    }

    fn end(mut self) -> Result<(Payload, Shape), CallError> {
        match self.octets {
            Some(octets) if self.count == 1 => Ok((Payload::new(OCTETS, octets), Shape::Opaque)),
            Some(_) => Err(bad("bytes can only be the one argument of a call")),
            None if self.json.is_empty() => of_json(Bytes::new()),
            None => {
                self.json.push(b'}');
                of_json(self.json.into())
            }
        }
    }
}

/// Writes a value as JSON. `name` is that of the argument, for errors. The depth of messages is
/// bounded, and so is this.
fn json(
    reader: &mut Reader<'_>,
    kind: Kind,
    form: Form<'_>,
    name: &str,
    out: &mut Vec<u8>,
) -> Result<(), CallError> {
    let Form::Declared(value, _) = form else {
        expect(name, kind, Kind::Struct)?;
        return any(reader, name, out);
    };
    match (value, kind) {
        (Value::I64, Kind::I8 | Kind::I16 | Kind::I32) => {}
        _ => expect(name, kind, form.kind())?,
    }
    match value {
        Value::String => quote(text(name, reader.bytes()?)?, out),
        Value::I64 => put(reader.integer(kind)?, out),
        Value::Double => number(reader, name, out)?,
        Value::Bool => put(reader.boolean()?, out),
        Value::Binary => return Err(bad("bytes can only be the one argument of a call")),
        Value::Json => {
            let json = reader.bytes()?;
            check_json(json).map_err(|error| bad(format!("argument {name}: {error}")))?;
            out.extend_from_slice(json);
        }
        Value::List(_) => list(reader, form, name, out)?,
        Value::Map(_) => map(reader, form, name, out)?,
        Value::Struct(_) => {
            let inner = form
                .wrapped()
                .expect("a schema has the structs that it names");
            let (mut last, mut seen) = (0, false);
            while let Some(field) = reader.field(&mut last)? {
                if field.id == WRAPPED_ID && !seen {
                    json(reader, field.kind, inner, name, out)?;
                    seen = true;
                } else {
                    reader.skip(field.kind)?;
                }
            }
            if !seen {
                out.extend_from_slice(b"null");
            }
        }
    }
    Ok(())
}

fn list(
    reader: &mut Reader<'_>,
    form: Form<'_>,
    name: &str,
    out: &mut Vec<u8>,
) -> Result<(), CallError> {
    let (kind, count) = reader.list()?;
    let inner = form.inner().unwrap_or(Form::Union);
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        json(reader, kind, inner, name, out)?;
    }
    out.push(b']');
    Ok(())
}

fn map(
    reader: &mut Reader<'_>,
    form: Form<'_>,
    name: &str,
    out: &mut Vec<u8>,
) -> Result<(), CallError> {
    let (key, kind, count) = reader.map()?;
    let inner = form.inner().unwrap_or(Form::Union);
    out.push(b'{');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        expect(name, key, Kind::Text)?;
        quote(text(name, reader.bytes()?)?, out);
        out.push(b':');
        json(reader, kind, inner, name, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// The union `Value`.
fn any(reader: &mut Reader<'_>, name: &str, out: &mut Vec<u8>) -> Result<(), CallError> {
    let mut last = 0;
    let one = || {
        bad(format!(
            "argument {name}: expected one known field of Value"
        ))
    };
    let field = reader.field(&mut last)?.ok_or_else(one)?;
    let wanted = match field.id {
        union::NULL | union::BOOLEAN => Kind::Bool,
        union::INTEGER => Kind::I64,
        union::NUMBER => Kind::Double,
        union::TEXT | union::OCTETS => Kind::Text,
        union::ITEMS => Kind::List,
        union::MEMBERS => Kind::Map,
        _ => return Err(one()),
    };
    expect(name, field.kind, wanted)?;
    match field.id {
        union::NULL => {
            reader.boolean()?;
            out.extend_from_slice(b"null");
        }
        union::BOOLEAN => put(reader.boolean()?, out),
        union::INTEGER => put(reader.integer(field.kind)?, out),
        union::NUMBER => number(reader, name, out)?,
        union::TEXT => quote(text(name, reader.bytes()?)?, out),
        union::ITEMS => list(reader, Form::Union, name, out)?,
        union::MEMBERS => map(reader, Form::Union, name, out)?,
        _ => return Err(bad("bytes can only be the one argument of a call")),
    }
    match reader.field(&mut last)? {
        None => Ok(()),
        Some(_) => Err(one()),
    }
}

fn number(reader: &mut Reader<'_>, name: &str, out: &mut Vec<u8>) -> Result<(), CallError> {
    let number = reader.double()?;
    if !number.is_finite() {
        let message = format!("argument {name}: {number} is no number of JSON");
        return Err(bad(message));
    }
    serde_json::to_writer(out, &number).expect("finite numbers are JSON");
    Ok(())
}

fn expect(name: &str, came: Kind, expected: Kind) -> Result<(), CallError> {
    if came == expected {
        Ok(())
    } else {
        let message = format!("argument {name}: expected {expected}, got {came}");
        Err(bad(message))
    }
}

/// The text of a string of Thrift.
pub(super) fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, CallError> {
    std::str::from_utf8(bytes).map_err(|_| bad(format!("argument {name}: expected UTF-8")))
}

fn put(value: impl Display, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is JSON");
}

pub(super) fn bad(message: impl Into<String>) -> CallError {
    CallError::new(Code::BadArguments, message)
}
