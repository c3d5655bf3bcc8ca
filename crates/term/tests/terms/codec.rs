//! What is written is read as what it was, with all tags.

use crate::strategy::{old_term, term};
use proptest::prelude::*;
use term::Term;
use term::etf::{Limits, Tags, decode, decode_prefix, encode, encode_into};

/// The tags that old peers know.
fn assert_old(bytes: &[u8]) {
    // Without binaries, text and numbers a tag is hard to tell from what is not one; they can be
    // skipped, since all that the old tags have is known here.
    let mut rest = &bytes[1..];
    while let [tag, after @ ..] = rest {
        let u16 = || usize::from(u16::from_be_bytes([after[0], after[1]]));
        let u32 = || u32::from_be_bytes([after[0], after[1], after[2], after[3]]) as usize;
        let skipped = match tag {
            97 | 104 => 1,
            98 | 105 | 108 => 4,
            99 => 31,
            100 | 107 => 2 + u16(),
            106 => 0,
            109 => 4 + u32(),
            110 => 2 + usize::from(after[0]),
            111 => 5 + u32(),
            other => panic!("expected an old tag, got {other} in {bytes:?}"),
        };
        rest = &after[skipped..];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_term_comes_back_as_it_was(term in term()) {
        let bytes = encode(&term, Tags::Modern).expect("today's tags have a form for all");
        prop_assert_eq!(decode(&bytes.into(), &Limits::default()), Ok(term));
    }

    #[test]
    fn what_old_tags_can_express_comes_back_as_it_was(term in old_term()) {
        let bytes = encode(&term, Tags::Old).expect("it is made of what they can express");
        assert_old(&bytes);
        prop_assert_eq!(decode(&bytes.into(), &Limits::default()), Ok(term));
    }

    #[test]
    fn terms_follow_each_other(terms in proptest::collection::vec(term(), 1..4)) {
        let mut bytes = Vec::new();
        for term in &terms {
            encode_into(&mut bytes, term, Tags::Modern).expect("today's tags have a form for all");
            // What cannot be written leaves nothing behind.
            encode_into(&mut bytes, &Term::Float(f64::NAN), Tags::Modern).expect_err("not finite");
        }
        let mut rest = bytes::Bytes::from(bytes);
        for term in terms {
            let (read, end) = decode_prefix(&rest, &Limits::default()).expect("it was written");
            prop_assert_eq!(read, term);
            rest = rest.split_off(end);
        }
        prop_assert!(rest.is_empty());
    }
}
