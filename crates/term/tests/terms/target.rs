//! What must hold for any bytes at all: the function that a fuzzer calls. Here properties call it,
//! with random and with mutated bytes, and so do the files of `tests/corpus`.

use bytes::Bytes;
use term::etf::{Limits, Tags, decode, decode_prefix, encode};
use term::{Shape, Style, Term, arguments_from_json, from_json, to_json};

const STYLES: [Style; 3] = [Style::Classic, Style::Bert, Style::Erlang];

/// Reads `data` in every way there is, and checks that what was read holds together. Panics if not.
pub fn target(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let limits = Limits::default();
    match decode(&bytes, &limits) {
        Ok(term) => {
            let (again, end) = decode_prefix(&bytes, &limits).expect("it was a term before");
            assert_eq!((&again, end), (&term, bytes.len()));
            well_formed(&term, &bytes);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            for style in STYLES {
                Shape::of_etf(&bytes, style, &limits).expect_err("it is no term");
            }
            // A part of it may be one.
            if let Ok((_, end)) = decode_prefix(&bytes, &limits) {
                assert!(end < bytes.len());
            }
        }
    }
    for style in STYLES {
        let value = from_json(&bytes, style, &limits);
        let arguments = arguments_from_json(&bytes, style, &limits);
        if let (Ok(term), Ok(_)) = (value, arguments) {
            json(&term, style);
        }
    }
}

fn well_formed(term: &Term, bytes: &Bytes) {
    let limits = Limits::default();
    let modern = encode(term, Tags::Modern).expect("today's tags have a form for all");
    assert_eq!(decode(&modern.into(), &limits).as_ref(), Ok(term));
    if let Ok(old) = encode(term, Tags::Old) {
        assert_eq!(decode(&old.into(), &limits).as_ref(), Ok(term));
    }
    for style in STYLES {
        let Some(json) = json(term, style) else {
            continue;
        };
        let (Ok(of_json), false) = (Shape::of_json(&json), style == Style::Classic) else {
            continue;
        };
        let of_etf = Shape::of_etf(bytes, style, &limits).expect("its JSON has arguments");
        assert_eq!(of_etf, of_json, "{style:?}");
    }
}

/// The JSON of a term, if it has one, is JSON, and becomes the same JSON again.
fn json(term: &Term, style: Style) -> Option<Vec<u8>> {
    let json = to_json(term, style).ok()?;
    term::check_json(&json).expect("what is written is JSON");
    let limits = Limits::default();
    // A term at the limits may be beyond them as JSON.
    if let Ok(again) = from_json(&json.clone().into(), style, &limits) {
        assert_eq!(to_json(&again, style).as_ref(), Ok(&json));
    }
    Some(json)
}
