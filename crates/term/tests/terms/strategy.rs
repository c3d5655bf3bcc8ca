//! Random terms and random JSON.

use bytes::Bytes;
use num_bigint::{BigInt, Sign};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use term::etf::{pid, reference};
use term::{Atom, Bits, Term};

/// Atoms of Latin-1, which all tags have a form for.
fn latin_atom() -> impl Strategy<Value = Term> {
    let name = proptest::string::string_regex("[a-z\u{e0}-\u{ff}@_]{0,20}").expect("it is regular");
    let longest = Just("\u{ff}".repeat(255));
    prop_oneof![20 => name, 1 => longest].prop_map(|name| atom(&name))
}

fn wide_atom() -> impl Strategy<Value = Term> {
    let name = proptest::string::string_regex("\\PC{0,10}").expect("it is regular");
    let longest = Just("\u{1f40c}".repeat(255));
    prop_oneof![20 => name, 1 => longest].prop_map(|name| atom(&name))
}

fn atom(name: &str) -> Term {
    Term::Atom(Atom::new(name).expect("it is short"))
}

fn integer() -> impl Strategy<Value = Term> {
    let big = (any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(minus, digits)| {
        let sign = if minus { Sign::Minus } else { Sign::Plus };
        Term::integer(BigInt::from_bytes_le(sign, &digits))
    });
    prop_oneof![
        any::<u8>().prop_map(|value| Term::Integer(value.into())),
        any::<i32>().prop_map(|value| Term::Integer(value.into())),
        any::<i64>().prop_map(Term::Integer),
        big,
    ]
}

fn float() -> impl Strategy<Value = Term> {
    let double = any::<f64>().prop_filter("floats are finite", |value| value.is_finite());
    prop_oneof![double, any::<i16>().prop_map(f64::from)].prop_map(Term::Float)
}

fn bytes(length_max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..length_max).prop_map(Bytes::from)
}

fn bits() -> impl Strategy<Value = Term> {
    (vec(any::<u8>(), 1..9), 1..8_u8)
        .prop_map(|(bytes, last)| Bits::new(bytes.into(), last).expect("there is a byte"))
        .prop_map(Term::Bits)
}

fn identifier() -> impl Strategy<Value = Term> {
    let node = Atom::from_static("somebody@somewhere");
    let words = vec(any::<u32>(), 3..4);
    (any::<bool>(), words).prop_map(move |(is_pid, words)| {
        if is_pid {
            // Erlang of today has 28 bits for the second number of a process.
            pid(&node, words[0], words[1] >> 4, words[2])
        } else {
            // And 18 for the first of a reference.
            let words = [words[0] >> 14, words[1], words[2]];
            reference(&node, 1, &words).expect("three words are allowed")
        }
    })
}

fn containers(leaf: BoxedStrategy<Term>, with_maps: bool) -> BoxedStrategy<Term> {
    let single = leaf.clone();
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let improper =
            (vec(inner.clone(), 1..4), inner.clone()).prop_map(|(elements, tail)| match tail {
                Term::List(_) | Term::ImproperList(..) => Term::List(elements),
                tail => Term::ImproperList(elements, Box::new(tail)),
            });
        let pairs = vec((any::<u16>(), inner.clone()), 0..6).prop_map(|pairs| {
            let mut seen = std::collections::BTreeSet::new();
            let pairs = pairs.into_iter().filter(|(key, _)| seen.insert(*key));
            let key = |key: u16| Term::text(&key.to_string());
            Term::Map(pairs.map(|(number, value)| (key(number), value)).collect())
        });
        let string = vec(any::<u8>(), 0..20).prop_map(|bytes| {
            let integer = |byte: u8| Term::Integer(byte.into());
            Term::List(bytes.into_iter().map(integer).collect())
        });
        let large = single.clone().prop_map(|term| Term::Tuple(vec![term; 256]));
        let list = vec(inner.clone(), 0..6).prop_map(Term::List);
        let tuple = vec(inner, 0..6).prop_map(Term::Tuple);
        if with_maps {
            prop_oneof![8 => list, 8 => tuple, 4 => improper, 4 => string, 1 => large, 8 => pairs]
                .boxed()
        } else {
            prop_oneof![8 => list, 8 => tuple, 4 => improper, 4 => string, 1 => large].boxed()
        }
    })
    .boxed()
}

/// What the old tags can express.
pub fn old_term() -> BoxedStrategy<Term> {
    let binary = bytes(30).prop_map(Term::Binary);
    let leaf = prop_oneof![latin_atom(), integer(), float(), binary];
    containers(leaf.boxed(), false)
}

/// Anything that today's tags can express.
pub fn term() -> BoxedStrategy<Term> {
    let binary = bytes(30).prop_map(Term::Binary);
    let leaf = prop_oneof![
        4 => latin_atom(),
        4 => wide_atom(),
        8 => integer(),
        4 => float(),
        8 => binary,
        2 => bits(),
        1 => identifier(),
    ];
    containers(leaf.boxed(), true)
}

/// JSON as text in which all integers, however long, and floats in their shortest form.
pub fn json() -> BoxedStrategy<String> {
    let text = |text: &str| Value::from(text).to_string();
    let digits = proptest::string::string_regex("-?[1-9][0-9]{0,60}").expect("it is regular");
    let float = any::<f64>()
        .prop_filter("JSON has finite numbers", |value| value.is_finite())
        .prop_map(|value| Value::from(value).to_string());
    let any_text = any::<String>().prop_map(move |any| text(&any));
    let word = prop_oneof![
        "null",
        "true",
        "false",
        "0",
        "\"struct\"",
        "\"array\"",
        "\"bert\""
    ];
    let leaf = prop_oneof![digits, float, any_text, word];
    let joined = |parts: Vec<String>| parts.join(",");
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let array = vec(inner.clone(), 0..6).prop_map(move |all| format!("[{}]", joined(all)));
        let names = proptest::collection::btree_map(any::<String>(), inner, 0..6);
        let object = names.prop_map(move |pairs| {
            let pair = |(name, value): (String, String)| format!("{}:{value}", text(&name));
            format!("{{{}}}", joined(pairs.into_iter().map(pair).collect()))
        });
        prop_oneof![array, object]
    })
    .boxed()
}
