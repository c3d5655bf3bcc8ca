//! That what is written is read again, however it comes in, and that nothing breaks the reader.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::answer::Place;
use super::arguments::named;
use super::codec::{Bad, Header, Kind, Message, Protocol};
use super::form::{Form, union};
use super::framing::{Cutter, Style};
use super::reader::Reader;
use super::result::{self, Returns};
use super::scan::Scan;
use super::writer::Writer;
use crate::exchange::Answer;
use bytes::Bytes;
use dispatch::Code;
use futures_util::FutureExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use term::Payload;

fn styles() -> impl Strategy<Value = Style> {
    let protocols = vec![Protocol::Strict, Protocol::Old, Protocol::Compact];
    (prop::sample::select(protocols), any::<bool>())
        .prop_map(|(protocol, framed)| Style { protocol, framed })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The answer to a call of the generic service.
fn written(style: Style, json: &Value) -> Result<Bytes, Code> {
    let place = Place {
        style,
        name: "call".to_owned(),
        sequence: -7,
    };
    let returns = Returns {
        form: Form::Union,
        pieces: false,
    };
    let answer = Answer::Whole(Payload::Json(json.to_string().into()));
    let written = result::answer(&place, returns, answer, 0).now_or_never();
    written
        .expect("nothing is waited for")
        .map_err(|error| error.code)
}

/// The union in an answer, as the one argument `v` of a call.
fn read(style: Style, answer: &[u8]) -> String {
    let mut reader = Reader::new(style.protocol, answer, style.start());
    let header = reader.header().unwrap();
    assert_eq!((header.message, header.sequence), (Message::Reply, -7));
    let success = reader.field(&mut 0).unwrap().unwrap();
    assert_eq!((success.id, success.kind), (0, Kind::Struct));
    let begun = reader.position();
    reader.skip(Kind::Struct).unwrap();
    let mut arguments = Writer::new(style.protocol, Vec::new());
    arguments.bytes(b"v");
    let mut arguments = arguments.into_bytes();
    arguments.extend_from_slice(&answer[begun..reader.position()]);
    let mut map = Writer::new(style.protocol, arguments);
    map.map(0, Kind::Struct, 1);
    let arguments = map.into_bytes();
    let (payload, _) = named(&mut Reader::new(style.protocol, &arguments, 0)).unwrap();
    // As text: to read it again would round some numbers.
    let json = std::str::from_utf8(payload.bytes()).unwrap();
    let value = json.strip_prefix("{\"v\":").unwrap().strip_suffix('}');
    value.unwrap().to_owned()
}

proptest! {
    #[test]
    fn any_value_comes_back_as_it_was(style in styles(), value in values()) {
        let answer = written(style, &value).unwrap();
        prop_assert_eq!(Cutter::new(1 << 20).measure(&answer), Ok(Some(answer.len())));
        prop_assert_eq!(read(style, &answer), value.to_string());
    }

    #[test]
    fn a_message_ends_where_it_ends_however_it_comes(
        style in styles(),
        value in values(),
        steps in prop::collection::vec(1_usize..40, 1..40),
    ) {
        let answer = written(style, &value).unwrap();
        let mut both = answer.to_vec();
        both.extend_from_slice(&answer);
        let mut cutter = Cutter::new(answer.len());
        let mut come = 0;
        let mut steps = steps.iter().cycle();
        let end = loop {
            come = both.len().min(come + steps.next().unwrap());
            match cutter.measure(&both[..come]).unwrap() {
                Some(end) => break end,
                None => prop_assert!(come < answer.len()),
            }
        };
        prop_assert_eq!(end, answer.len());
    }

    #[test]
    fn no_bytes_break_the_reader(
        style in styles(),
        value in values(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut changed = written(style, &value).unwrap().to_vec();
        for (place, byte) in &changes {
            *place.get_mut(&mut changed) = *byte;
        }
        for bytes in [&changed, &noise] {
            if let Ok(Some(end)) = Cutter::new(1 << 20).measure(bytes) {
                prop_assert!(end <= bytes.len());
            }
            // Whether or not it was checked as a whole before.
            let _ = named(&mut Reader::new(style.protocol, bytes, 0));
        }
    }
}

#[test]
fn first_bytes_tell_the_protocols_apart() {
    let style = |protocol, framed| Ok(Some(Style { protocol, framed }));
    for (bytes, expected) in [
        (&[0x80][..], style(Protocol::Strict, false)),
        (&[0x82], style(Protocol::Compact, false)),
        (&[0, 0, 0, 9, 0x80], style(Protocol::Strict, true)),
        (&[0, 0, 0, 9, 0x82], style(Protocol::Compact, true)),
        (&[0, 0, 0, 9, 0], style(Protocol::Old, true)),
        (b"\0\0\0\x04call", style(Protocol::Old, false)),
        (&[0, 0, 0, 9], Ok(None)),
        (&[], Ok(None)),
        (&[0xff], Err(Bad::Malformed("another protocol"))),
    ] {
        assert_eq!(Style::of(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn depth_is_bounded_both_ways() {
    let nested = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
    let style = Style {
        protocol: Protocol::Compact,
        framed: false,
    };
    assert_eq!(written(style, &nested(100)), Err(Code::Protocol));
    let deep = written(style, &nested(60)).unwrap();
    assert_eq!(Cutter::new(1 << 20).measure(&deep), Err(Bad::TooDeep));
    let fine = written(style, &nested(30)).unwrap();
    assert_eq!(read(style, &fine), nested(30).to_string());
}

#[test]
fn claims_are_not_believed() {
    for protocol in [Protocol::Strict, Protocol::Compact] {
        let mut list = Writer::new(protocol, Vec::new());
        list.header(&Header {
            name: "call",
            message: Message::Call,
            sequence: 1,
        });
        list.field(1, Kind::List, &mut 0);
        let begun = list.len();
        list.list(begun, Kind::Struct, 1 << 30);
        let bytes = list.into_bytes();
        let scanned = Scan::message(0).advance(protocol, &bytes, 1 << 20);
        assert_eq!(scanned, Err(Bad::TooLarge(1 << 20)));
    }
}

#[test]
fn a_union_is_one_thing() {
    let arguments = |fields: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new(Protocol::Strict, Vec::new());
        writer.bytes(b"v");
        fields(&mut writer);
        writer.stop();
        writer.map(0, Kind::Struct, 1);
        let bytes = writer.into_bytes();
        let read = named(&mut Reader::new(Protocol::Strict, &bytes, 0));
        read.map(|(payload, _)| payload).map_err(|error| error.code)
    };
    let wrong = Err(Code::BadArguments);
    assert_eq!(arguments(&|_| ()), wrong, "nothing");
    let both = arguments(&|writer| {
        let mut last = 0;
        for id in [union::NULL, union::BOOLEAN] {
            writer.field(id, Kind::Bool, &mut last);
            writer.boolean(true);
        }
    });
    assert_eq!(both, wrong);
    let infinite = arguments(&|writer| {
        writer.field(union::NUMBER, Kind::Double, &mut 0);
        writer.double(f64::INFINITY);
    });
    assert_eq!(infinite, wrong);
    let no_text = arguments(&|writer| {
        writer.field(union::TEXT, Kind::Text, &mut 0);
        writer.bytes(&[0xff]);
    });
    assert_eq!(no_text, wrong);
    let octets = arguments(&|writer| {
        writer.field(union::OCTETS, Kind::Text, &mut 0);
        writer.bytes(&[0xff]);
    });
    let octets = octets.unwrap();
    assert_eq!(
        octets,
        Payload::new("application/octet-stream", vec![0xff].into())
    );
}
