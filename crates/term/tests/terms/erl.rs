//! Terms to and from a real Erlang: `erlang-base` of Debian.

use crate::peer::{OPTIONS, Peer};
use crate::strategy::{json, old_term, term};
use bytes::Bytes;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use term::etf::{Limits, Tags, decode, encode};
use term::{Shape, Style, Term, from_json, to_json};

/// Terms of each kind. Each takes Erlang some 100 µs.
const TERMS: u32 = 1500;

fn read(bytes: &[u8]) -> Term {
    decode(&Bytes::copy_from_slice(bytes), &Limits::default()).expect("Erlang wrote it")
}

fn write(term: &Term, tags: Tags) -> Vec<u8> {
    encode(term, tags).expect("it has a form")
}

/// The same random values in each run.
fn values<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>) -> impl Iterator<Item = T> {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    (0..TERMS).map(move |_| {
        let tree = strategy.new_tree(&mut runner);
        tree.expect("nothing is rejected for long").current()
    })
}

/// The same with what Erlang may write in another way in one form: maps in order, and identifiers,
/// whose node it writes with the old tag.
fn sorted(term: Term) -> Term {
    let all = |terms: Vec<Term>| terms.into_iter().map(sorted).collect();
    match term {
        Term::Tuple(elements) => Term::Tuple(all(elements)),
        Term::List(elements) => Term::List(all(elements)),
        Term::ImproperList(elements, tail) => {
            Term::ImproperList(all(elements), Box::new(sorted(*tail)))
        }
        Term::Map(pairs) => {
            let pair = |(key, value)| (sorted(key), sorted(value));
            let mut pairs: Vec<_> = pairs.into_iter().map(pair).collect();
            pairs.sort_by_cached_key(|(key, _)| write(key, Tags::Modern));
            Term::Map(pairs)
        }
        Term::Pid(opaque) | Term::Reference(opaque) => {
            let bytes = String::from_utf8_lossy(opaque.bytes()).into_owned();
            Term::text(&bytes.replace("d\0\u{12}somebody@", "w\u{12}somebody@"))
        }
        leaf => leaf,
    }
}

#[test]
fn erlang_prints_what_we_write_and_we_read_what_it_parses() {
    let Some(mut erl) = Peer::start() else {
        return;
    };
    let list = |terms: &[Term]| Term::List(terms.to_vec());
    let one = Term::Integer(1);
    for (term, text) in [
        (Term::atom("ok"), "ok"),
        (Term::atom("\u{e9}"), "\u{e9}"),
        (Term::atom("Not plain"), "'Not plain'"),
        (Term::Integer(-300), "-300"),
        (Term::Integer(i64::MIN), "-9223372036854775808"),
        (
            Term::integer("-1234567890123456789012345".parse().expect("digits")),
            "-1234567890123456789012345",
        ),
        (Term::Float(-1.5e-7), "-1.5e-7"),
        (Term::Float(0.1), "0.1"),
        (Term::text("text"), "<<\"text\">>"),
        (list(&[one.clone(), Term::Float(2.0)]), "[1,2.0]"),
        (list(&[Term::Integer(104), Term::Integer(105)]), "\"hi\""),
        (
            Term::ImproperList(vec![one.clone()], Box::new(Term::atom("b"))),
            "[1|b]",
        ),
        (
            Term::pair(Term::atom("bert"), Term::atom("nil")),
            "{bert,nil}",
        ),
        (Term::Tuple(vec![]), "{}"),
    ] {
        for tags in [Tags::Modern, Tags::Old] {
            assert_eq!(
                erl.print(&write(&term, tags)).as_deref(),
                Ok(text),
                "{tags:?}"
            );
        }
        assert_eq!(read(&erl.parse(text).expect("it is a term")), term);
    }
    let euro = Term::atom("\u{20ac}");
    let map = Term::Map(vec![(Term::text("k"), list(&[euro]))]);
    let printed = erl.print(&write(&map, Tags::Modern));
    assert_eq!(printed.as_deref(), Ok("#{<<\"k\">> => ['\u{20ac}']}"));
    let bits = term::Bits::new(vec![1, 0b1010_0000].into(), 3).expect("there is a byte");
    let printed = erl.print(&write(&Term::Bits(bits), Tags::Modern));
    assert_eq!(printed.as_deref(), Ok("<<1,5:3>>"));
}

#[test]
fn erlang_takes_every_term_of_ours_and_gives_it_back() {
    let Some(mut erl) = Peer::start() else {
        return;
    };
    for (number, term) in values(&term()).enumerate() {
        let bytes = write(&term, Tags::Modern);
        let options = OPTIONS.start + u8::try_from(number % OPTIONS.len()).expect("few options");
        let back = erl.rewrite(options, &bytes);
        let back = back.unwrap_or_else(|error| panic!("{error} from {term:?}"));
        assert_eq!(sorted(read(&back)), sorted(term), "options {options}");
    }
    for term in values(&old_term()) {
        let back = erl.rewrite(0, &write(&term, Tags::Old));
        let back = back.unwrap_or_else(|error| panic!("{error} from {term:?}"));
        assert_eq!(read(&back), term);
    }
}

#[test]
fn we_take_every_term_of_erlang_and_give_it_back() {
    let Some(mut erl) = Peer::start() else {
        return;
    };
    let mut old_ones = 0;
    for seed in 0..TERMS {
        for options in OPTIONS {
            let bytes = erl.make(options, seed);
            let term = read(&bytes);
            let same = Ok("same".to_owned());
            assert_eq!(
                erl.compare(&write(&term, Tags::Modern)),
                same,
                "{seed} {options}"
            );
            if let Ok(old) = encode(&term, Tags::Old) {
                assert_eq!(erl.compare(&old), same, "old tags, {seed} {options}");
                old_ones += 1;
            }
            crate::target::target(&bytes);
        }
    }
    assert!(
        old_ones > TERMS / 2,
        "expected terms for old tags, got {old_ones}"
    );
}

#[test]
fn json_survives_the_way_through_erlang() {
    let Some(mut erl) = Peer::start() else {
        return;
    };
    for json in values(&json()) {
        let json = Bytes::from(json);
        for (style, tags) in [
            (Style::Classic, Tags::Old),
            (Style::Bert, Tags::Old),
            (Style::Erlang, Tags::Modern),
        ] {
            let term = from_json(&json, style, &Limits::default()).expect("it is JSON");
            let back = erl
                .rewrite(0, &write(&term, tags))
                .expect("Erlang takes it");
            let back = read(&back);
            assert_eq!(sorted(back.clone()), sorted(term), "{style:?}");
            if style != Style::Erlang {
                // Only maps lose their order.
                assert_eq!(to_json(&back, style).expect("it was JSON"), json);
            }
        }
    }
}

#[test]
fn arguments_that_erlang_writes_are_seen() {
    let Some(mut erl) = Peer::start() else {
        return;
    };
    let named = |names: &[&str]| Shape::Named(names.iter().map(|&name| name.into()).collect());
    for (text, style, shape) in [
        (
            "#{text => <<\"a\">>, <<\"limit\">> => 5}",
            Style::Erlang,
            named(&["text", "limit"]),
        ),
        (
            "[{text, \"abc\"}, {limit, 5}]",
            Style::Erlang,
            named(&["text", "limit"]),
        ),
        (
            "{[{<<\"text\">>, {a, b}}]}",
            Style::Erlang,
            named(&["text"]),
        ),
        (
            "[<<\"abc\">>, 5, {a, b}]",
            Style::Erlang,
            Shape::Positional(3),
        ),
        ("[1, 2]", Style::Erlang, Shape::Positional(2)),
        ("[]", Style::Erlang, Shape::Positional(0)),
        (
            "{bert, dict, [{text, <<\"a\">>}]}",
            Style::Bert,
            named(&["text"]),
        ),
        ("[{text, <<\"a\">>}]", Style::Bert, Shape::Positional(1)),
    ] {
        let bytes = Bytes::from(erl.parse(text).expect("it is a term"));
        let mut seen = Shape::of_etf(&bytes, style, &Limits::default()).expect("arguments");
        // Erlang writes maps in an order of its own.
        if let (Shape::Named(seen), true) = (&mut seen, text.starts_with('#')) {
            seen.sort_by_key(|name| std::cmp::Reverse(name.clone()));
        }
        assert_eq!(seen, shape, "{text}");
    }
}
