//! Thrift: `call_json` of the generic service, framed, in the binary protocol with its version.

use super::Measured;
use crate::faceplates::template::NUMBER;

/// The version, and in its last byte the type of message: a call, or a reply.
const CALL: u32 = 0x8001_0001;
const REPLY: u32 = 0x8001_0002;

/// The type of a field that is a string.
const STRING: u8 = 11;

/// What follows the last field of a struct.
const STOP: u8 = 0;

/// A client.
pub fn new() -> Measured {
    let arguments = format!(r#"{{"value":"{NUMBER}"}}"#);
    let result = format!("\"{NUMBER}\"");
    Measured::new(
        &message(CALL, &[(1, "echo"), (2, "echo"), (3, &arguments)]),
        &message(REPLY, &[(0, &result)]),
    )
}

/// A message of `call_json` whose fields are all strings.
fn message(kind: u32, fields: &[(u16, &str)]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    put_text(&mut bytes, "call_json");
    let sequence_number: u32 = 1;
    bytes.extend(sequence_number.to_be_bytes());
    for (id, text) in fields {
        bytes.push(STRING);
        bytes.extend(id.to_be_bytes());
        put_text(&mut bytes, text);
    }
    bytes.push(STOP);
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("texts of the bench are short");
    bytes.extend(length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}
