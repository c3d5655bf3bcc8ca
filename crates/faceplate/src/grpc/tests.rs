//! The mapping next to prost-reflect, a library that reads and writes messages by descriptors alone:
//! what one writes the other must read, and bytes at random must only ever be errors.

use super::descriptor;
use super::methods::{Method, Services};
use super::{arguments, frames, result};
use crate::contract::catalogue::Form;
use crate::contract::{Declared, interfaces};
use bytes::{Bytes, BytesMut};
use dispatch::Code;
use pool::Description;
use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use std::sync::Arc;
use term::Payload;

/// A kind with every type, as an argument and as the result of a function that echoes it.
const TYPES: [&str; 12] = [
    "string",
    "integer?",
    "number",
    "boolean",
    "object",
    "any",
    "[integer]",
    "{[string]}",
    "[boolean?]?",
    "[[number]]",
    "{any}",
    "{object?}",
];

fn services() -> (Services, DescriptorPool) {
    let functions = TYPES.iter().enumerate().map(|(at, of)| {
        let given = json!({"name": "given", "type": of});
        let more = json!({"name": "more", "type": of, "required": false});
        json!({"name": format!("f{at:02}"), "parameters": [given, more], "result": of})
    });
    let raw = json!({"name": "raw", "result": "bytes", "parameters": [
        {"name": "data", "type": "bytes"}, {"name": "note", "type": "string", "required": false}]});
    let functions: Vec<_> = functions.chain([raw]).collect();
    let description = json!({"kind": "odd-kind", "functions": functions});
    let description: Description = serde_json::from_value(description).expect("a description");
    let interfaces = interfaces([Declared {
        description: &description,
        weight: 1,
    }]);
    let services = Services::of(&interfaces);
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(descriptor::structs())
        .expect("the file of Value fits together");
    let file = &services.all[0].file.bytes;
    pool.decode_file_descriptor_proto(&file[..])
        .expect("the file of a kind fits together");
    (services, pool)
}

fn method(services: &Services, name: &str) -> Arc<Method> {
    let path = format!("/katamari.odd_kind.OddKind/{name}");
    services.methods[&path].clone()
}

fn message(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    let name = format!("katamari.odd_kind.{name}");
    pool.get_message_by_name(&name).expect("it is in the file")
}

/// A value of a type, such as both sides can hold.
fn value_of(of: &str) -> BoxedStrategy<Value> {
    if let Some(inner) = of.strip_suffix('?') {
        return prop_oneof![Just(Value::Null), value_of(inner)].boxed();
    }
    if let Some(inner) = of.strip_prefix('[') {
        let inner = value_of(&inner[..inner.len() - 1]);
        return prop::collection::vec(inner, 0..4)
            .prop_map(Value::from)
            .boxed();
    }
    if let Some(inner) = of.strip_prefix('{') {
        let inner = value_of(&inner[..inner.len() - 1]);
        let map = prop::collection::btree_map("[a-zé\"]{0,3}", inner, 0..4);
        return map
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed();
    }
    match of {
        "string" => "\\PC{0,8}".prop_map(Value::from).boxed(),
        "integer" => any::<i64>().prop_map(Value::from).boxed(),
        "number" => (-1e6..1e6_f64).prop_map(Value::from).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "object" => value_of("{any}"),
        _ => {
            let leaf = prop_oneof![
                Just(Value::Null),
                value_of("string"),
                value_of("boolean"),
                (-1000..1000_i32).prop_map(Value::from),
            ];
            let deeper = |inner: BoxedStrategy<Value>| {
                let map = prop::collection::btree_map("[a-z]{0,2}", inner.clone(), 0..3);
                let map = map.prop_map(|map| Value::Object(map.into_iter().collect()));
                let list = prop::collection::vec(inner, 0..3).prop_map(Value::from);
                prop_oneof![map, list].boxed()
            };
            leaf.prop_recursive(4, 16, 3, deeper).boxed()
        }
    }
}

fn case() -> impl Strategy<Value = (usize, Value, Option<Value>)> {
    (0..TYPES.len()).prop_flat_map(|at| {
        let value = value_of(TYPES[at]);
        (Just(at), value.clone(), prop::option::of(value))
    })
}

fn read_json(method: &Method, bytes: Vec<u8>) -> Value {
    let (payload, _) = arguments::read(method, bytes.into()).expect("a message of the schema");
    serde_json::from_slice(payload.bytes()).expect("arguments are JSON")
}

proptest! {
    #[test]
    fn what_one_writes_the_other_reads((at, given, more) in case()) {
        let (services, pool) = services();
        let method = method(&services, &format!("F{at:02}"));
        // The result of a function is of the type of its argument, and so are their fields.
        let payload = Payload::Json(given.to_string().into());
        let answer = result::write(&method, &payload).expect("it is of its type");
        let response = message(&pool, &format!("F{at:02}Response"));
        let answer = DynamicMessage::decode(response, &answer[..]).expect("a message");
        let mut request = DynamicMessage::new(message(&pool, &format!("F{at:02}Request")));
        if answer.has_field_by_number(1) {
            request.set_field_by_number(1, answer.get_field_by_number(1).unwrap().into_owned());
        }
        let is_given = more.as_ref().is_some_and(|more| !more.is_null());
        if let Some(more) = more.clone().filter(|_| is_given) {
            let of = method.request().fields[1].label;
            // In the second place lists and maps are wrapped; a request with that alone is written
            // by the other side.
            if of == crate::contract::proto::Label::Optional && !more.is_array() && !more.is_object() {
                let payload = Payload::Json(more.to_string().into());
                let bytes = result::write(&method, &payload).expect("it is of its type");
                let response = message(&pool, &format!("F{at:02}Response"));
                let answer = DynamicMessage::decode(response, &bytes[..]).expect("a message");
                let value = answer.get_field_by_number(1).unwrap().into_owned();
                request.set_field_by_number(2, value);
            }
        }
        let back = read_json(&method, prost::Message::encode_to_vec(&request));
        prop_assert_eq!(numbers(&back["given"]), numbers(&given));
        if request.has_field_by_number(2) {
            prop_assert_eq!(numbers(&back["more"]), numbers(&more.unwrap()));
        } else {
            prop_assert_eq!(back.get("more"), None);
        }
    }

    #[test]
    fn bytes_at_random_are_read_or_refused(
        at in 0..TYPES.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (services, pool) = services();
        let method = method(&services, &format!("F{at:02}"));
        let ours = arguments::read(&method, bytes.clone().into());
        let request = message(&pool, &format!("F{at:02}Request"));
        // What the library takes we take, unless it has no place in JSON.
        match (ours, DynamicMessage::decode(request, &bytes[..])) {
            (Err(error), Ok(_)) => prop_assert_eq!(error.code, Code::BadArguments),
            (Err(error), Err(_)) => {
                prop_assert!(matches!(error.code, Code::BadRequest | Code::BadArguments));
            }
            (Ok((payload, _)), _) => {
                prop_assert!(serde_json::from_slice::<Value>(payload.bytes()).is_ok());
            }
        }
    }

    #[test]
    fn frames_are_cut_within_their_limit(
        bytes in prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..100),
        max in 0..50_usize,
    ) {
        let mut read = BytesMut::from(&bytes[..]);
        let mut taken = 0;
        while let Ok(Some(message)) = frames::take(&mut read, max) {
            prop_assert!(message.len() <= max);
            taken += message.len() + 5;
        }
        prop_assert_eq!(&read[..], &bytes[taken..]);
    }

    #[test]
    fn frames_come_as_they_were_wrapped(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5),
        cut in 0..8_usize,
    ) {
        let wrapped = messages.iter().map(|message| frames::wrap(message).expect("it is short"));
        let bytes: Vec<u8> = wrapped.flatten().collect();
        let (mut read, mut seen) = (BytesMut::new(), Vec::new());
        for part in bytes.chunks(cut + 1) {
            read.extend_from_slice(part);
            while let Some(message) = frames::take(&mut read, 20).expect("they are whole") {
                seen.push(message.to_vec());
            }
        }
        prop_assert_eq!(seen, messages);
    }
}

/// JSON whose numbers are all doubles, as protobuf has them in a `Value`; integers stay exact.
fn numbers(json: &Value) -> Value {
    match json {
        Value::Number(number) if number.as_i64().is_none() => {
            let double = number.as_f64().expect("a number");
            if double.fract() == 0.0 {
                json!(double as i64)
            } else {
                json!(double)
            }
        }
        Value::Array(elements) => elements.iter().map(numbers).collect(),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.clone(), numbers(value)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

#[test]
fn bytes_are_the_whole_payload_or_nothing() {
    let (services, _) = services();
    let raw = method(&services, "Raw");
    let read = |message: &'static [u8]| arguments::read(&raw, Bytes::from_static(message));
    let (payload, shape) = read(b"\n\x03abc").expect("bytes");
    assert_eq!(
        payload,
        Payload::new("application/octet-stream", "abc".into())
    );
    assert_eq!(shape, term::Shape::Opaque);
    assert_eq!(read(b"").expect("no bytes").0.bytes(), "");
    assert_eq!(
        read(b"\n\x01a\x12\x01b").map_err(|error| error.code),
        Err(Code::BadArguments)
    );
    let answer = result::write(&raw, &Payload::new("image/png", "abc".into()));
    assert_eq!(answer, Ok(b"\n\x03abc".to_vec()));
}

#[test]
fn parts_of_one_message_are_one_and_unknown_fields_are_none() {
    let (services, _) = services();
    let list = method(&services, "F08");
    // `given` is a wrapper, here in two parts; field 15 is not known.
    let json = read_json(&list, b"\n\x04\n\x02\x08\x01\x78\x05\n\x02\n\x00".to_vec());
    assert_eq!(json, json!({"given": [true, null]}));
    let any = method(&services, "F05");
    // The last of the six counts; of two objects the members are joined.
    let json = read_json(&any, b"\n\x02 \x01\n\x03\x1a\x01x".to_vec());
    assert_eq!(json, json!({"given": "x"}));
    assert_eq!(read_json(&any, Vec::new()), json!({"given": null}));
}

#[test]
fn results_that_are_not_of_their_type_are_told_in_words() {
    let (services, _) = services();
    for (name, json, expected) in [
        (
            "F01",
            "1.5",
            "result: expected integer?, got 1.5, which is no int64",
        ),
        ("F01", "9223372036854775808", "which is no int64"),
        (
            "F06",
            "{}",
            "result: expected [integer], got {}, which is no array",
        ),
        ("F04", "[]", "which is no google.protobuf.Struct"),
        ("F00", "{\"a\":", "got no JSON"),
    ] {
        let written = result::write(&method(&services, name), &Payload::Json(json.into()));
        let error = written.expect_err(json);
        assert_eq!(error.code, Code::Protocol);
        assert!(error.message.contains(expected), "{}", error.message);
    }
    let png = Payload::new("image/png", "x".into());
    let error = result::write(&method(&services, "F00"), &png).expect_err("it is no JSON");
    assert!(error.message.contains("got image/png"), "{}", error.message);
}

#[test]
fn what_nests_too_deep_is_refused() {
    let (services, _) = services();
    let any = method(&services, "F05");
    let mut value = Vec::new();
    for _ in 0..200 {
        let mut list = vec![];
        prost::encoding::bytes::encode(1, &value, &mut list);
        value.clear();
        prost::encoding::bytes::encode(6, &list, &mut value);
    }
    let mut message = Vec::new();
    prost::encoding::bytes::encode(1, &value, &mut message);
    let error = arguments::read(&any, message.into()).expect_err("too deep");
    assert_eq!(error.code, Code::BadRequest);
}
