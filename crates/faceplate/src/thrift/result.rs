//! Results: from JSON to Thrift, as it is read. Nothing is built in between.

use super::answer::{Place, SUCCESS_ID};
use super::codec::{DEPTH_MAX, Kind, Message};
use super::form::{Form, WRAPPED_ID, union};
use super::writer::Writer;
use crate::contract::thrift::Value;
use crate::exchange::{Answer, Pieces};
use bytes::Bytes;
use dispatch::{CallError, Code};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use term::Payload;

/// What a function returns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Returns<'a> {
    /// Its form, or that of a piece of it.
    pub form: Form<'a>,
    /// Whether it is a list of pieces, even if the answer is a whole.
    pub pieces: bool,
}

/// The answer to a message, within so many bytes if it has to be put together of pieces.
pub(super) async fn answer(
    place: &Place,
    returns: Returns<'_>,
    answer: Answer,
    bytes_max: usize,
) -> Result<Bytes, CallError> {
    let mut writer = place.begin(Message::Reply);
    let form = returns.form;
    let mut last = 0;
    match answer {
        Answer::Whole(payload) if !returns.pieces => {
            writer.field(SUCCESS_ID, form.kind(), &mut last);
            write(&mut writer, form, &payload)?;
        }
        Answer::Whole(payload) => {
            writer.field(SUCCESS_ID, Kind::List, &mut last);
            let begun = writer.len();
            write(&mut writer, form, &payload)?;
            writer.list(begun, form.kind(), 1);
        }
        Answer::Stream(pieces) if returns.pieces => {
            writer.field(SUCCESS_ID, Kind::List, &mut last);
            list(&mut writer, form, pieces, bytes_max).await?;
        }
        Answer::Stream(pieces) => collected(&mut writer, form, pieces, bytes_max).await?,
    }
    Ok(place.end(writer))
}

/// A stream where one value is expected: an array of the pieces.
async fn collected(
    writer: &mut Writer,
    form: Form<'_>,
    mut pieces: Pieces,
    bytes_max: usize,
) -> Result<(), CallError> {
    let mut last = 0;
    match form {
        Form::Union => {
            writer.field(SUCCESS_ID, Kind::Struct, &mut last);
            let mut last = 0;
            writer.field(union::ITEMS, Kind::List, &mut last);
            list(writer, form, pieces, bytes_max).await?;
            writer.stop();
        }
        Form::Declared(..) => {
            let mut json = vec![b'['];
            while let Some(piece) = pieces.next().await {
                let piece = piece?;
                fits(json.len() + piece.size(), bytes_max)?;
                if json.len() > 1 {
                    json.push(b',');
                }
                json.extend_from_slice(of_json(&piece)?);
            }
            json.push(b']');
            writer.field(SUCCESS_ID, form.kind(), &mut last);
            write(writer, form, &Payload::Json(json.into()))?;
        }
    }
    Ok(())
}

async fn list(
    writer: &mut Writer,
    form: Form<'_>,
    mut pieces: Pieces,
    bytes_max: usize,
) -> Result<(), CallError> {
    let (begun, mut count) = (writer.len(), 0);
    while let Some(piece) = pieces.next().await {
        write(writer, form, &piece?)?;
        fits(writer.len() - begun, bytes_max)?;
        count += 1;
    }
    writer.list(begun, form.kind(), count);
    Ok(())
}

fn fits(bytes: usize, bytes_max: usize) -> Result<(), CallError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let message = format!("expected a stream of at most {bytes_max} bytes in all");
    Err(CallError::new(Code::TooLarge, message))
}

/// Writes a payload in a form.
fn write(writer: &mut Writer, form: Form<'_>, payload: &Payload) -> Result<(), CallError> {
    let is_json = matches!(payload, Payload::Json(_));
    match (form, form.wrapped()) {
        (Form::Declared(Value::Binary, _), _) => writer.bytes(payload.bytes()),
        (_, Some(Form::Declared(Value::Binary, _))) if !is_json => {
            writer.field(WRAPPED_ID, Kind::Text, &mut 0);
            writer.bytes(payload.bytes());
            writer.stop();
        }
        (Form::Union, _) if !is_json => {
            writer.field(union::OCTETS, Kind::Text, &mut 0);
            writer.bytes(payload.bytes());
            writer.stop();
        }
        _ => {
            let mut json = serde_json::Deserializer::from_slice(of_json(payload)?);
            let encode = Encode {
                writer,
                form,
                depth: 1,
            };
            let written = encode.deserialize(&mut json).and_then(|()| json.end());
            written.map_err(|error| {
                let message = format!("the worker's answer is not what it declares: {error}");
                CallError::new(Code::Protocol, message)
            })?;
        }
    }
    Ok(())
}

fn of_json(payload: &Payload) -> Result<&[u8], CallError> {
    match payload {
        Payload::Json(bytes) => Ok(bytes),
        other => {
            let message = format!(
                "the answer is {}, which this function has no place for; Katamari's call gives it \
                 as it is",
                other.content_type()
            );
            Err(CallError::new(Code::BadRequest, message))
        }
    }
}

fn too_great<E: Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!(
        "{number} is beyond 64 bits with a sign; call_json gives it as it is"
    ))
}

/// Writes the value that is read.
struct Encode<'a, 'w> {
    writer: &'w mut Writer,
    form: Form<'a>,
    /// Structs around it.
    depth: usize,
}

impl<'a> Encode<'a, '_> {
    fn within(&mut self, form: Form<'a>) -> Encode<'a, '_> {
        Encode {
            writer: self.writer,
            form,
            depth: self.depth + 1,
        }
    }

    /// The head of a field of the union, if that is the form; else whether it is that value.
    fn head<E: Error>(&mut self, id: i16, kind: Kind, is: bool) -> Result<bool, E> {
        match self.form {
            Form::Union if self.depth >= DEPTH_MAX => Err(E::custom(format_args!(
                "nested deeper than {DEPTH_MAX}; call_json gives it as it is"
            ))),
            Form::Union => {
                self.writer.field(id, kind, &mut 0);
                Ok(true)
            }
            Form::Declared(..) if is => Ok(true),
            Form::Declared(..) => Ok(false),
        }
    }

    /// Writes a number. The reader would round some of them.
    fn number<E: Error>(self, text: &str) -> Result<(), E> {
        let is_whole = !text.contains(['.', 'e', 'E']);
        if is_whole && !self.declares(&Value::Double) {
            return match text.parse() {
                Ok(number) => self.visit_i64(number),
                Err(_) => Err(too_great(text)),
            };
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => self.visit_f64(number),
            _ => Err(E::custom(format_args!("{text} is beyond a double"))),
        }
    }

    fn declares(&self, value: &Value) -> bool {
        matches!(self.form, Form::Declared(declared, _) if declared == value)
    }

    fn end(self) {
        if matches!(self.form, Form::Union) {
            self.writer.stop();
        }
    }
}

impl<'de> DeserializeSeed<'de> for Encode<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.form.wrapped().is_some() {
            return json.deserialize_option(self);
        }
        let may_be_number = matches!(self.form, Form::Union) || self.declares(&Value::Double);
        if !may_be_number && !self.declares(&Value::Json) {
            return json.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(json)?.get();
        if !may_be_number {
            self.writer.bytes(raw.as_bytes());
            return Ok(());
        }
        if raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return self.number(raw);
        }
        let mut inner = serde_json::Deserializer::from_str(raw);
        inner.deserialize_any(self).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for Encode<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.form {
            Form::Union => f.write_str("any value"),
            Form::Declared(value, _) => write!(f, "{value}"),
        }
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.writer.stop();
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(mut self, json: D) -> Result<(), D::Error> {
        let inner = self.form.wrapped().expect("only wrappers are asked for");
        self.writer.field(WRAPPED_ID, inner.kind(), &mut 0);
        self.within(inner).deserialize(json)?;
        self.writer.stop();
        Ok(())
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        if !self.head(union::NULL, Kind::Bool, false)? {
            return Err(E::invalid_type(Unexpected::Unit, &self));
        }
        self.writer.boolean(true);
        self.end();
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        let is = self.declares(&Value::Bool);
        if !self.head(union::BOOLEAN, Kind::Bool, is)? {
            return Err(E::invalid_type(Unexpected::Bool(value), &self));
        }
        self.writer.boolean(value);
        self.end();
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        let is = self.declares(&Value::I64);
        if !self.head(union::INTEGER, Kind::I64, is)? {
            return Err(E::invalid_type(Unexpected::Signed(value), &self));
        }
        self.writer.i64(value);
        self.end();
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(too_great(value)),
        }
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        let is = self.declares(&Value::Double);
        if !self.head(union::NUMBER, Kind::Double, is)? {
            return Err(E::invalid_type(Unexpected::Float(value), &self));
        }
        self.writer.double(value);
        self.end();
        Ok(())
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        let is = self.declares(&Value::String) || self.declares(&Value::Binary);
        if !self.head(union::TEXT, Kind::Text, is)? {
            return Err(E::invalid_type(Unexpected::Str(value), &self));
        }
        self.writer.bytes(value.as_bytes());
        self.end();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let is = matches!(self.form, Form::Declared(Value::List(_), _));
        if !self.head(union::ITEMS, Kind::List, is)? {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let inner = self.form.inner().unwrap_or(Form::Union);
        let (begun, mut count) = (self.writer.len(), 0);
        while items.next_element_seed(self.within(inner))?.is_some() {
            count += 1;
        }
        self.writer.list(begun, inner.kind(), count);
        self.end();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let is = matches!(self.form, Form::Declared(Value::Map(_), _));
        if !self.head(union::MEMBERS, Kind::Map, is)? {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        }
        let inner = self.form.inner().unwrap_or(Form::Union);
        let (begun, mut count) = (self.writer.len(), 0);
        while let Some(name) = members.next_key::<String>()? {
            self.writer.bytes(name.as_bytes());
            members.next_value_seed(self.within(inner))?;
            count += 1;
        }
        self.writer.map(begun, inner.kind(), count);
        self.end();
        Ok(())
    }
}
