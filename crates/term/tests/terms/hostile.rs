//! Bytes that mean harm or nothing: they are refused, within the limits, and nothing panics.

use crate::strategy::{json, term};
use crate::target::target;
use bytes::Bytes;
use proptest::prelude::*;
use std::path::Path;
use term::etf::{EncodeError, Limits, Tags, decode, encode};
use term::{Style, TERM_DEPTH_MAX, TRANSCODE_DEPTH_MAX, Term, from_json, to_json};

#[test]
fn every_file_of_the_corpus_is_refused_or_holds_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be read").path();
        let data = std::fs::read(&path).expect("the file can be read");
        let limits = Limits::default();
        let is_valid = decode(&data.clone().into(), &limits).is_ok()
            || from_json(&data.clone().into(), Style::Erlang, &limits).is_ok();
        let name = path.file_name().expect("it has a name").to_string_lossy();
        assert_eq!(is_valid, name.starts_with("good-"), "{name}");
        target(&data);
        count += 1;
    }
    assert!(count >= 20, "expected the corpus, got {count} files");
}

/// One change: where, and what is there afterwards.
fn change() -> impl Strategy<Value = (prop::sample::Index, u8, u8)> {
    // Tags and lengths do more harm than other bytes.
    let byte = prop_oneof![any::<u8>(), 97..=120_u8, Just(255), Just(0), Just(80)];
    (any::<prop::sample::Index>(), 0..3_u8, byte)
}

fn mutate(data: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) {
    for (place, kind, byte) in changes {
        if data.is_empty() {
            return;
        }
        let place = place.index(data.len());
        match kind {
            0 => data[place] = *byte,
            1 => data.insert(place, *byte),
            _ => drop(data.remove(place)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn random_bytes_do_no_harm(mut data in proptest::collection::vec(any::<u8>(), 0..200)) {
        target(&data);
        if let Some(version) = data.first_mut() {
            *version = 131;
        }
        target(&data);
    }

    #[test]
    fn random_tags_do_no_harm(
        tags in proptest::collection::vec(prop_oneof![97..=120_u8, 0..4_u8, 70..=90_u8], 0..100),
    ) {
        target(&[&[131], &tags[..]].concat());
    }

    #[test]
    fn changed_terms_do_no_harm(
        term in term(),
        changes in proptest::collection::vec(change(), 0..4),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut data = encode(&term, Tags::Modern).expect("today's tags have a form for all");
        mutate(&mut data, &changes);
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len() + 1));
        }
        target(&data);
    }

    #[test]
    fn changed_json_does_no_harm(
        json in json(),
        changes in proptest::collection::vec(change(), 0..4),
    ) {
        let mut data = json.into_bytes();
        mutate(&mut data, &changes);
        target(&data);
    }
}

#[test]
fn the_deepest_term_fits_on_a_small_stack() {
    let nested = |depth: usize| {
        let mut bytes = vec![131];
        bytes.extend([104, 1].repeat(depth));
        bytes.push(106);
        Bytes::from(bytes)
    };
    let small = std::thread::Builder::new().stack_size(1024 * 1024);
    let thread = small.spawn(move || {
        let limits = Limits {
            depth: usize::MAX,
            ..Limits::default()
        };
        let deepest = nested(TERM_DEPTH_MAX);
        let term = decode(&deepest, &limits).expect("it is as deep as may be");
        assert_eq!(encode(&term, Tags::Old).expect("it has a form"), deepest);
        assert_eq!(term.clone(), term);
        let error = decode(&nested(TERM_DEPTH_MAX + 1), &limits).expect_err("too deep");
        assert_eq!(error.expected(), "terms to nest at most 512 deep");
        assert_eq!(
            encode(&Term::Tuple(vec![term]), Tags::Old),
            Err(EncodeError::TooDeep)
        );
    });
    thread
        .expect("a thread starts")
        .join()
        .expect("nothing panics");
}

#[test]
fn the_deepest_json_fits_in_terms_and_on_a_small_stack() {
    let small = std::thread::Builder::new().stack_size(1024 * 1024);
    let thread = small.spawn(|| {
        let limits = Limits::default();
        let nested = |depth: usize| Bytes::from("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth));
        for style in [Style::Classic, Style::Bert, Style::Erlang] {
            let deepest = nested(TRANSCODE_DEPTH_MAX);
            let term = from_json(&deepest, style, &limits).expect("it is as deep as may be");
            let etf = encode(&term, Tags::Modern).expect("it has a form");
            assert_eq!(decode(&etf.into(), &limits).as_ref(), Ok(&term));
            assert_eq!(to_json(&term, style).expect("it came from JSON"), deepest);
            from_json(&nested(TRANSCODE_DEPTH_MAX + 1), style, &limits).expect_err("too deep");
            let deeper = Term::List(vec![term]);
            to_json(&deeper, style).expect_err("too deep");
        }
    });
    thread
        .expect("a thread starts")
        .join()
        .expect("nothing panics");
}
