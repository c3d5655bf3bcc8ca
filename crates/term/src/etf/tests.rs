//! Bytes written by hand, for each tag: what they mean, and what is wrong with those that are no
//! terms.

use super::{DecodeError, EncodeError, Limits, Tags, decode, decode_prefix, encode};
use super::{pid, reference};
use crate::{Atom, Bits, Term};
use bytes::Bytes;
use num_bigint::BigInt;

fn read(bytes: &[u8]) -> Result<Term, DecodeError> {
    decode(&Bytes::copy_from_slice(bytes), &Limits::default())
}

/// `bytes` mean `term`, and that is written as `modern` and as `old`.
#[track_caller]
fn check(bytes: &[u8], term: &Term) {
    let bytes = [&[131], bytes].concat();
    assert_eq!(read(&bytes).as_ref(), Ok(term), "{bytes:?}");
}

#[track_caller]
fn writes(term: &Term, modern: &[u8], old: &[u8]) {
    for (tags, bytes) in [(Tags::Modern, modern), (Tags::Old, old)] {
        let expected = [&[131], bytes].concat();
        assert_eq!(encode(term, tags).as_ref(), Ok(&expected), "{tags:?}");
        check(bytes, term);
    }
}

fn integers(values: &[i64]) -> Vec<Term> {
    values.iter().copied().map(Term::Integer).collect()
}

#[test]
fn integers_take_the_shortest_form() {
    for (value, bytes) in [
        (0, &[97, 0][..]),
        (255, &[97, 255]),
        (256, &[98, 0, 0, 1, 0]),
        (-1, &[98, 255, 255, 255, 255]),
        (i32::MIN.into(), &[98, 128, 0, 0, 0]),
        (1 << 31, &[110, 4, 0, 0, 0, 0, 128]),
        (-(1 << 31) - 1, &[110, 4, 1, 1, 0, 0, 128]),
        (
            i64::MAX,
            &[110, 8, 0, 255, 255, 255, 255, 255, 255, 255, 127],
        ),
        (i64::MIN, &[110, 8, 1, 0, 0, 0, 0, 0, 0, 0, 128]),
    ] {
        writes(&Term::Integer(value), bytes, bytes);
    }
    let value: BigInt = BigInt::from(1) << 64;
    let bytes = [110, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    writes(&Term::Big(value), &bytes, &bytes);
    let mut bytes = vec![111, 0, 0, 1, 0, 1];
    bytes.extend([0; 255]);
    bytes.push(1);
    let value: BigInt = BigInt::from(-1) << (255 * 8);
    writes(&Term::Big(value), &bytes, &bytes);
    // Zeros in front are none of its digits.
    check(&[110, 3, 0, 7, 0, 0], &Term::Integer(7));
    check(&[110, 0, 1], &Term::Integer(0));
    check(&[111, 0, 0, 0, 1, 1, 7], &Term::Integer(-7));
}

#[test]
fn floats_are_eight_bytes_or_text() {
    let text = |text: &str| {
        let mut bytes = vec![99];
        bytes.extend(text.as_bytes());
        bytes.resize(32, 0);
        bytes
    };
    for (value, modern, old) in [
        (
            1.5,
            [63, 248, 0, 0, 0, 0, 0, 0],
            "1.50000000000000000000e+00",
        ),
        (
            -0.1,
            [191, 185, 153, 153, 153, 153, 153, 154],
            "-1.00000000000000005551e-01",
        ),
        (
            1e300,
            [126, 55, 228, 60, 136, 0, 117, 156],
            "1.00000000000000005250e+300",
        ),
        (0.0, [0; 8], "0.00000000000000000000e+00"),
    ] {
        let modern = [&[70], &modern[..]].concat();
        writes(&Term::Float(value), &modern, &text(old));
    }
    check(&text("+2.5E3"), &Term::Float(2500.0));
    for bad in ["", "inf", "nan", "1e999", "1.5 ", "0x10"] {
        let error = read(&[&[131], &text(bad)[..]].concat()).unwrap_err();
        assert_eq!(error.offset(), 2, "{error}");
    }
    for bad in [f64::INFINITY, f64::NAN] {
        let bytes = [&[131, 70], &bad.to_be_bytes()[..]].concat();
        assert_eq!(read(&bytes).unwrap_err().expected(), "a finite float");
        assert!(matches!(
            encode(&Term::Float(bad), Tags::Old),
            Err(EncodeError::NotFinite(_))
        ));
    }
}

#[test]
fn atoms_are_in_utf_8_or_latin_1() {
    writes(
        &Term::atom("ok"),
        &[119, 2, b'o', b'k'],
        &[100, 0, 2, b'o', b'k'],
    );
    writes(&Term::atom(""), &[119, 0], &[100, 0, 0]);
    writes(
        &Term::atom("\u{e9}"),
        &[119, 2, 0xc3, 0xa9],
        &[100, 0, 1, 0xe9],
    );
    check(&[115, 1, 0xe9], &Term::atom("\u{e9}"));
    check(&[118, 0, 2, 0xc3, 0xa9], &Term::atom("\u{e9}"));
    let euro = Term::atom("\u{20ac}");
    check(&[119, 3, 0xe2, 0x82, 0xac], &euro);
    assert!(matches!(
        encode(&euro, Tags::Old),
        Err(EncodeError::NoForm(_))
    ));
    let long = Term::Atom(Atom::new(&"\u{e9}".repeat(255)).unwrap());
    let modern = [&[118, 1, 254], "\u{e9}".repeat(255).as_bytes()].concat();
    writes(&long, &modern, &[&[100, 0, 255], &[0xe9; 255][..]].concat());
    for bad in [&[131, 119, 1, 0xff][..], &[131, 118, 0, 2, 0xc3, 0x28]] {
        assert_eq!(read(bad).unwrap_err().expected(), "an atom in UTF-8");
    }
    let too_long = [&[131, 100, 1, 0], &[b'a'; 256][..]].concat();
    let error = read(&too_long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 2: expected an atom of at most 255 characters, got 256"
    );
}

#[test]
fn binaries_and_bit_strings() {
    let binary = Term::text("abc");
    let bytes = [109, 0, 0, 0, 3, b'a', b'b', b'c'];
    writes(&binary, &bytes, &bytes);
    let bits = Term::Bits(Bits::new(vec![1, 0b1010_0000].into(), 3).unwrap());
    check(&[77, 0, 0, 0, 2, 3, 1, 0b1010_0000], &bits);
    check(&[77, 0, 0, 0, 2, 3, 1, 0b1011_1111], &bits);
    check(&[77, 0, 0, 0, 1, 8, b'a'], &Term::text("a"));
    assert_eq!(encode(&bits, Tags::Modern).unwrap()[..3], [131, 77, 0]);
    assert!(matches!(
        encode(&bits, Tags::Old),
        Err(EncodeError::NoForm(_))
    ));
    for bad in [
        &[131, 77, 0, 0, 0, 0, 3][..],
        &[131, 77, 0, 0, 0, 1, 0, 7],
        &[131, 77, 0, 0, 0, 1, 9, 7],
    ] {
        assert_eq!(read(bad).unwrap_err().offset(), 2);
    }
}

#[test]
fn tuples_and_lists() {
    let tuple = Term::Tuple(integers(&[1, 2]));
    let bytes = [104, 2, 97, 1, 97, 2];
    writes(&tuple, &bytes, &bytes);
    writes(&Term::Tuple(Vec::new()), &[104, 0], &[104, 0]);
    check(
        &[105, 0, 0, 0, 1, 106],
        &Term::Tuple(vec![Term::List(vec![])]),
    );
    let large = Term::Tuple(vec![Term::List(vec![]); 256]);
    let bytes = [&[105, 0, 0, 1, 0], &[106; 256][..]].concat();
    writes(&large, &bytes, &bytes);
    writes(&Term::List(vec![]), &[106], &[106]);
    let list = Term::List(integers(&[256]));
    let bytes = [108, 0, 0, 0, 1, 98, 0, 0, 1, 0, 106];
    writes(&list, &bytes, &bytes);
    // A list of bytes has a form of its own, up to 65535 of them.
    writes(
        &Term::List(integers(&[0, 255])),
        &[107, 0, 2, 0, 255],
        &[107, 0, 2, 0, 255],
    );
    check(
        &[108, 0, 0, 0, 2, 97, 0, 97, 255, 106],
        &Term::List(integers(&[0, 255])),
    );
    let long = Term::List(integers(&[7; 65_536]));
    assert_eq!(encode(&long, Tags::Old).unwrap()[1..6], [108, 0, 1, 0, 0]);
    let improper = Term::ImproperList(integers(&[1]), Box::new(Term::Integer(2)));
    let bytes = [108, 0, 0, 0, 1, 97, 1, 97, 2];
    writes(&improper, &bytes, &bytes);
    // Tails that are lists are more of the list.
    let nested = [108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 107, 0, 1, 3];
    check(&nested, &Term::List(integers(&[1, 2, 3])));
    check(&[108, 0, 0, 0, 0, 97, 5], &Term::Integer(5));
}

#[test]
fn maps_keep_their_order() {
    let map = Term::Map(vec![
        (Term::Integer(2), Term::Integer(1)),
        (Term::Integer(1), Term::Integer(2)),
    ]);
    let bytes = [116, 0, 0, 0, 2, 97, 2, 97, 1, 97, 1, 97, 2];
    check(&bytes, &map);
    assert_eq!(encode(&map, Tags::Modern).unwrap()[1..], bytes);
    let error = encode(&map, Tags::Old).unwrap_err().to_string();
    assert!(error.contains("a map of 2 keys"), "{error}");
}

#[test]
fn identifiers_are_kept_as_they_are() {
    let node = [100, 0, 1, b'n'];
    let newer = [119, 1, b'n'];
    let closure = |free: &[u8], size: u8| {
        let mut bytes = vec![112, 0, 0, 0, size, 0];
        bytes.extend([9; 16 + 4]);
        bytes.extend([0, 0, 0, u8::try_from(free.len() / 2).unwrap()]);
        bytes.extend([119, 1, b'm', 97, 1, 98, 0, 0, 0, 2, 88, 119, 1, b'n']);
        bytes.extend([0; 12]);
        bytes.extend(free);
        bytes
    };
    let kinds: [(Vec<u8>, &str); 12] = [
        ([&[103], &node[..], &[0; 9]].concat(), "a pid"),
        ([&[88], &newer[..], &[0; 12]].concat(), "a pid"),
        ([&[102], &node[..], &[0; 5]].concat(), "a port"),
        ([&[89], &newer[..], &[0; 8]].concat(), "a port"),
        ([&[120], &newer[..], &[0; 12]].concat(), "a port"),
        ([&[101], &node[..], &[0; 5]].concat(), "a reference"),
        ([&[114, 0, 3], &node[..], &[0; 13]].concat(), "a reference"),
        ([&[90, 0, 3], &newer[..], &[0; 16]].concat(), "a reference"),
        (
            [&[113], &newer[..], &newer[..], &[97, 2]].concat(),
            "a function",
        ),
        (closure(&[], 55), "a function"),
        (closure(&[97, 7, 97, 8], 59), "a function"),
        (closure(&[104, 0, 104, 0], 59), "a function"),
    ];
    for (bytes, kind) in kinds {
        let whole = [&[131], &bytes[..]].concat();
        let term = read(&whole).unwrap();
        assert_eq!(term.describe(), kind);
        assert_eq!(encode(&term, Tags::Modern), Ok(whole.clone()));
        assert!(matches!(
            encode(&term, Tags::Old),
            Err(EncodeError::NoForm(_))
        ));
        for end in 0..whole.len() {
            read(&whole[..end]).unwrap_err();
        }
    }
    read(&[&[131], &closure(&[97, 7], 56)[..]].concat()).unwrap_err();
    read(&[&[131, 90, 0, 6], &newer[..], &[0; 28]].concat()).unwrap_err();
}

#[test]
fn a_node_can_name_its_own_processes_and_references() {
    let node = Atom::from_static("k@host");
    let bytes = |term: &Term| Bytes::from(encode(term, Tags::Modern).unwrap());
    let own = pid(&node, 1, 2, 3);
    assert_eq!(bytes(&own)[..9], *b"\x83X\x77\x06k@hos");
    assert_eq!(bytes(&own)[10..], [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    assert_eq!(decode(&bytes(&own), &Limits::default()), Ok(own));
    let made = reference(&node, 3, &[4, 5]).unwrap();
    assert_eq!(decode(&bytes(&made), &Limits::default()), Ok(made));
    assert_eq!(reference(&node, 3, &[]), None);
    assert_eq!(reference(&node, 3, &[0; 6]), None);
}

#[test]
fn compressed_terms_are_inflated_within_the_limit() {
    // term_to_binary(binary:copy(<<0>>, 1000), [compressed])
    let zeros = [&[109, 0, 0, 3, 232], &[0; 1000][..]].concat();
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&zeros, 6);
    let bytes = [&[131, 80, 0, 0, 3, 237], &packed[..]].concat();
    assert_eq!(read(&bytes), Ok(Term::Binary(vec![0; 1000].into())));
    let (_, end) =
        decode_prefix(&[&bytes[..], &[131]].concat().into(), &Limits::default()).unwrap();
    assert_eq!(end, bytes.len());
    let limits = Limits {
        inflated_bytes: 1004,
        ..Limits::default()
    };
    let error = decode(&bytes.clone().into(), &limits).unwrap_err();
    assert_eq!(error.expected(), "a compressed term of 1 to 1004 bytes");
    // It is longer or shorter than it says, ends too early, or is damaged.
    for at in [4, 5, bytes.len() - 1] {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        read(&wrong).unwrap_err();
    }
    for end in 0..bytes.len() {
        read(&bytes[..end]).unwrap_err();
    }
    let inner = miniz_oxide::deflate::compress_to_vec_zlib(&[80, 0, 0, 0, 1], 6);
    let error = read(&[&[131, 80, 0, 0, 0, 5], &inner[..]].concat()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 0 of the inflated term: expected a term, got a compressed term inside another, \
         tag 80"
    );
}

#[test]
fn errors_say_where_and_what() {
    for (bytes, message) in [
        (
            &[][..],
            "at byte 0: expected the version of the format, byte 131, got nothing",
        ),
        (
            &[130, 106],
            "at byte 0: expected the version of the format, byte 131, got byte 130",
        ),
        (&[131], "at byte 1: expected a term, got the end"),
        (
            &[131, 106, 0],
            "at byte 2: expected the end of the term, got 1 more bytes",
        ),
        (&[131, 97], "at byte 2: expected 1 bytes of a length, got 0"),
        (
            &[131, 109, 0, 0, 0, 9, 1],
            "at byte 6: expected 9 bytes of a binary, got 1",
        ),
        (
            &[131, 82, 0],
            "at byte 1: expected a term, got a reference to the atom cache of a \
            distribution header, tag 82",
        ),
        (
            &[131, 1],
            "at byte 1: expected a term, got an unknown tag, tag 1",
        ),
        (
            &[131, 110, 1, 2, 7],
            "at byte 3: expected a sign, 0 or 1, got 2",
        ),
        (
            &[131, 105, 0, 0, 1, 0, 106],
            "at byte 6: expected 256 elements of a tuple, got 1 bytes \
            in which they could be",
        ),
    ] {
        assert_eq!(read(bytes).unwrap_err().to_string(), message);
    }
}

#[test]
fn claims_that_the_input_cannot_keep_take_no_memory() {
    for tag in [105, 108, 109, 116] {
        let error = read(&[131, tag, 255, 255, 255, 255, 106]).unwrap_err();
        assert_eq!(error.offset(), 6);
    }
    // Each of the lists could be had alone, but not one inside the other.
    let mut bytes = vec![131, 108, 0, 0, 0, 9, 108, 0, 0, 0, 9];
    bytes.extend([106; 12]);
    assert_eq!(read(&bytes).unwrap_err().offset(), 11);
}

#[test]
fn limits_hold() {
    let list = Bytes::from(encode(&Term::List(vec![Term::atom("ab"); 3]), Tags::Modern).unwrap());
    let with = |limits: Limits| decode(&list, &limits).map_err(|error| error.to_string());
    let all = Limits::default();
    assert!(with(all.clone()).is_ok());
    for (limits, expected) in [
        (
            Limits {
                bytes: list.len() - 1,
                ..all.clone()
            },
            "a term of at most 18 bytes",
        ),
        (
            Limits {
                elements: 3,
                ..all.clone()
            },
            "at most 3 terms",
        ),
        (
            Limits {
                atoms: 2,
                ..all.clone()
            },
            "at most 2 atoms",
        ),
        (
            Limits {
                atom_characters: 1,
                ..all.clone()
            },
            "an atom of at most 1 characters",
        ),
        (
            Limits {
                depth: 0,
                ..all.clone()
            },
            "terms to nest at most 0 deep",
        ),
    ] {
        let error = with(limits).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let big = Bytes::from_static(&[131, 110, 3, 0, 1, 2, 3]);
    let limits = Limits {
        integer_bytes: 2,
        ..all
    };
    let error = decode(&big, &limits).unwrap_err();
    assert_eq!(error.expected(), "an integer of at most 2 bytes");
}
