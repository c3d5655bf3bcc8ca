//! JSON to terms and back: the tables of docs/terms.md, row by row, and the identity they promise.

use crate::strategy::json;
use bytes::Bytes;
use proptest::prelude::*;
use term::etf::Limits;
use term::{Atom, Bert, Bits, FromJsonError, Style, Term, arguments_from_json, from_json, to_json};

const STYLES: [Style; 3] = [Style::Classic, Style::Bert, Style::Erlang];

fn parse(json: &str, style: Style) -> Result<Term, FromJsonError> {
    from_json(
        &Bytes::copy_from_slice(json.as_bytes()),
        style,
        &Limits::default(),
    )
}

fn print(term: &Term, style: Style) -> Result<String, String> {
    let json = to_json(term, style).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(json).expect("JSON is UTF-8"))
}

fn tuple(terms: &[Term]) -> Term {
    Term::Tuple(terms.to_vec())
}

fn list(terms: &[Term]) -> Term {
    Term::List(terms.to_vec())
}

fn integers(values: &[i64]) -> Term {
    Term::List(values.iter().copied().map(Term::Integer).collect())
}

const fn atom(name: &'static str) -> Term {
    Term::atom(name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn json_comes_back_as_it_was(json in json()) {
        for style in STYLES {
            let term = parse(&json, style).expect("it is JSON");
            let back = print(&term, style);
            prop_assert_eq!(back.as_ref(), Ok(&json), "{:?}", style);
        }
    }
}

#[test]
fn each_style_has_its_own_terms_for_json() {
    let json = r#"{"a":[null,true,"x",1,2.0],"b":{}}"#;
    let (a, b, x) = (Term::text("a"), Term::text("b"), Term::text("x"));
    let numbers = [Term::Integer(1), Term::Float(2.0)];
    let plain = list(&[&[atom("null"), atom("true"), x.clone()], &numbers[..]].concat());
    let classic = tuple(&[
        atom("struct"),
        list(&[
            Term::pair(a.clone(), Term::pair(atom("array"), plain.clone())),
            Term::pair(b.clone(), Term::pair(atom("struct"), list(&[]))),
        ]),
    ]);
    let bert_list = [Bert::Nil.into_term(), Bert::Bool(true).into_term(), x];
    let bert = Bert::Dict(vec![
        (a.clone(), list(&[&bert_list[..], &numbers[..]].concat())),
        (b.clone(), Bert::Dict(vec![]).into_term()),
    ]);
    let erlang = Term::Map(vec![(a, plain), (b, Term::Map(vec![]))]);
    for (style, term) in [
        (Style::Classic, classic),
        (Style::Bert, bert.into_term()),
        (Style::Erlang, erlang),
    ] {
        assert_eq!(parse(json, style).expect("it is JSON"), term);
        assert_eq!(print(&term, style).as_deref(), Ok(json));
    }
}

#[test]
fn numbers_stay_exact() {
    let long = "9".repeat(5000);
    let list = format!(
        "[18446744073709551616,-9223372036854775809,18446744073709551615,-9223372036854775808,\
         {long},-{long},0.1,1.7976931348623157e+308,5e-324,2.225073858507201e-308,-0.0]"
    );
    for style in STYLES {
        let term = parse(&list, style).expect("it is JSON");
        assert_eq!(print(&term, style).as_ref(), Ok(&list));
    }
    let float = |text: &str| parse(text, Style::Erlang).expect("it is JSON");
    // Other spellings of the same number, and those that no other float is nearer to.
    assert_eq!(float("1E2"), Term::Float(100.0));
    assert_eq!(print(&float("1E2"), Style::Erlang).as_deref(), Ok("100.0"));
    assert_eq!(float("-0"), Term::Float(-0.0));
    assert_eq!(
        float("0.30000000000000004440892098500626"),
        Term::Float(0.1 + 0.2)
    );
    assert_eq!(float("1e-400"), Term::Float(0.0));
    parse("1e400", Style::Erlang).expect_err("there is no such float");
    let limits = Limits {
        integer_bytes: 100,
        ..Limits::default()
    };
    let digits = Bytes::from("1".repeat(300));
    let error = from_json(&digits, Style::Bert, &limits).expect_err("it is too long");
    assert!(
        matches!(error, FromJsonError::LongInteger { digits: 300, .. }),
        "{error}"
    );
}

#[test]
fn numbers_are_not_mixed_up_where_some_are_long() {
    let json = r#"{"1":[1,"1234567890123456789012 \" 5",12345678901234567890123],"2":2,"x":[[],1e1,
        -98765432109876543210987,3.5,"\\"],"y":12345678901234567890124}"#;
    let term = parse(json, Style::Erlang).expect("it is JSON");
    let compact = json.replace("\n        ", "").replace("1e1", "10.0");
    assert_eq!(print(&term, Style::Erlang), Ok(compact));
    for bad in [
        "12345678901234567890123 4",
        "[-12345678901234567890123-]",
        "012345678901234567890",
    ] {
        parse(bad, Style::Erlang).expect_err(bad);
    }
}

#[test]
fn atoms_are_words_or_text() {
    for style in STYLES {
        for word in ["null", "nil", "undefined"] {
            let word = Term::Atom(Atom::new(word).expect("it is short"));
            assert_eq!(print(&word, style).as_deref(), Ok("null"));
        }
        assert_eq!(print(&atom("true"), style).as_deref(), Ok("true"));
        assert_eq!(print(&atom("false"), style).as_deref(), Ok("false"));
        assert_eq!(print(&atom("ok"), style).as_deref(), Ok("\"ok\""));
    }
}

#[test]
fn lists_of_code_points_are_text_for_old_workers_alone() {
    let text = integers(&[49, 46, 0xe9]);
    assert_eq!(print(&text, Style::Classic).as_deref(), Ok("\"1.\u{e9}\""));
    assert_eq!(print(&text, Style::Bert).as_deref(), Ok("[49,46,233]"));
    assert_eq!(print(&text, Style::Erlang).as_deref(), Ok("[49,46,233]"));
    for no_text in [integers(&[]), integers(&[49, 1]), integers(&[0xd800])] {
        let json = print(&no_text, Style::Classic).expect("it has a form");
        assert!(json.starts_with('['), "{json}");
    }
    let array = Term::pair(atom("array"), text);
    assert_eq!(print(&array, Style::Classic).as_deref(), Ok("[49,46,233]"));
}

#[test]
fn old_workers_may_mix_lists_and_tuples() {
    let pairs = |pair: fn(&[Term]) -> Term, all: fn(&[Term]) -> Term| {
        all(&[
            pair(&[Term::text("a"), Term::Integer(1)]),
            pair(&[integers(&[98]), Term::Integer(2)]),
        ])
    };
    for pairs in [
        pairs(tuple, list),
        pairs(list, list),
        pairs(tuple, tuple),
        pairs(list, tuple),
    ] {
        let term = Term::pair(atom("struct"), pairs);
        assert_eq!(
            print(&term, Style::Classic).as_deref(),
            Ok(r#"{"a":1,"b":2}"#)
        );
    }
    let array = Term::pair(atom("array"), tuple(&[Term::Integer(1)]));
    assert_eq!(print(&array, Style::Classic).as_deref(), Ok("[1]"));
    let map = Term::Map(vec![(atom("k"), Term::Integer(1))]);
    assert_eq!(print(&map, Style::Classic).as_deref(), Ok(r#"{"k":1}"#));
    let error = print(&Term::pair(atom("struct"), integers(&[1])), Style::Classic).unwrap_err();
    assert!(
        error.starts_with("expected {struct, [{Key, Value}]}"),
        "{error}"
    );
}

#[test]
fn erlang_has_objects_in_several_forms() {
    let pair = Term::pair(atom("k"), Term::Integer(1));
    for term in [
        Term::Map(vec![(Term::text("k"), Term::Integer(1))]),
        list(std::slice::from_ref(&pair)),
        tuple(&[list(std::slice::from_ref(&pair))]),
    ] {
        assert_eq!(print(&term, Style::Erlang).as_deref(), Ok(r#"{"k":1}"#));
    }
    let numbered = Term::Map(vec![(Term::Integer(7), Term::Integer(1))]);
    assert_eq!(print(&numbered, Style::Erlang).as_deref(), Ok(r#"{"7":1}"#));
    print(&numbered, Style::Bert).expect_err("keys are text");
    assert_eq!(
        print(&tuple(&[list(&[])]), Style::Erlang).as_deref(),
        Ok("{}")
    );
    assert_eq!(print(&pair, Style::Erlang).as_deref(), Ok(r#"["k",1]"#));
    let mixed = list(&[pair.clone(), atom("flag")]);
    assert_eq!(
        print(&mixed, Style::Erlang).as_deref(),
        Ok(r#"[["k",1],"flag"]"#)
    );
    assert_eq!(
        print(&list(&[pair]), Style::Bert).as_deref(),
        Ok(r#"[["k",1]]"#)
    );
}

#[test]
fn the_types_of_bert_become_json() {
    let time = Bert::Time {
        megaseconds: 1255,
        seconds: 295_581,
        microseconds: 446_228,
    };
    let dict = Bert::Dict(vec![(atom("at"), time.into_term())]).into_term();
    assert_eq!(
        print(&dict, Style::Bert).as_deref(),
        Ok(r#"{"at":"2009-10-11T21:13:01.446228Z"}"#)
    );
    let text = Bert::Text("\u{e9}".into()).into_term();
    assert_eq!(print(&text, Style::Bert).as_deref(), Ok("\"\u{e9}\""));
    let regex = Bert::Regex {
        source: "a".into(),
        options: vec![],
    }
    .into_term();
    let error = print(&regex, Style::Bert).unwrap_err();
    assert_eq!(
        error,
        "expected what JSON can express, got a regular expression"
    );
    let unknown = Term::pair(atom("bert"), atom("unknown"));
    print(&unknown, Style::Bert).expect_err("BERT has no such type");
    assert_eq!(
        print(&unknown, Style::Erlang).as_deref(),
        Ok(r#"["bert","unknown"]"#)
    );
}

#[test]
fn what_json_cannot_express_is_refused() {
    let node = Atom::from_static("n@h");
    let bits = Bits::new(vec![1].into(), 3).expect("there is a byte");
    for term in [
        Term::Binary(vec![0xff].into()),
        Term::Bits(bits),
        Term::ImproperList(vec![Term::Integer(1)], Box::new(Term::Integer(2))),
        term::etf::pid(&node, 1, 2, 3),
        Term::Float(f64::NAN),
        Term::Map(vec![(Term::Float(1.0), Term::Integer(1))]),
    ] {
        for style in STYLES {
            let error = print(&list(std::slice::from_ref(&term)), style).unwrap_err();
            assert!(error.starts_with("expected "), "{error}");
        }
    }
    let twice = Term::Map(vec![(atom("k"), atom("a")), (Term::text("k"), atom("b"))]);
    let error = print(&twice, Style::Erlang).unwrap_err();
    assert_eq!(
        error,
        "expected the keys of an object to differ, got \"k\" twice"
    );
    let error = parse(r#"{"a":{"b":1,"b":2}}"#, Style::Erlang).expect_err("b is there twice");
    assert!(
        error.to_string().contains("\"b\" is given twice"),
        "{error}"
    );
}

#[test]
fn arguments_are_pairs_with_atoms() {
    let limits = Limits::default();
    let arguments = |json: &'static str, style| {
        arguments_from_json(&Bytes::from_static(json.as_bytes()), style, &limits)
    };
    let pairs = arguments(r#"{"text": "a", "deep": {"b": [1]}}"#, Style::Classic);
    let array = Term::pair(atom("array"), integers(&[1]));
    let deep = Term::pair(atom("struct"), list(&[Term::pair(Term::text("b"), array)]));
    let expected = vec![
        (Atom::from_static("text"), Term::text("a")),
        (Atom::from_static("deep"), deep),
    ];
    assert_eq!(pairs.expect("it is an object"), expected);
    assert_eq!(
        arguments(" ", Style::Classic).expect("none is allowed"),
        vec![]
    );
    for bad in ["[1]", "1", r#"{"a":1,"a":2}"#] {
        arguments(bad, Style::Classic).expect_err(bad);
    }
    let name = |length: usize| Bytes::from(format!("{{\"{}\":1}}", "a".repeat(length)));
    arguments_from_json(&name(255), Style::Classic, &limits).expect("it is an atom");
    let error = arguments_from_json(&name(256), Style::Classic, &limits).expect_err("too long");
    assert!(
        error
            .to_string()
            .contains("at most 255 characters, got 256"),
        "{error}"
    );
    let many: Vec<String> = (0..101).map(|number| format!("\"a{number}\":1")).collect();
    let many = Bytes::from(format!("{{{}}}", many.join(",")));
    arguments_from_json(&many, Style::Classic, &limits).expect_err("100 is the most");
}

#[test]
fn limits_hold_for_json() {
    let json = Bytes::from_static(b"[1,[2],3]");
    let with = |limits| from_json(&json, Style::Bert, &limits).map_err(|error| error.to_string());
    let all = Limits::default;
    with(Limits {
        elements: 5,
        bytes: 9,
        ..all()
    })
    .expect("it is within them");
    let error = with(Limits {
        elements: 4,
        ..all()
    })
    .unwrap_err();
    assert!(error.contains("too many values"), "{error}");
    let error = with(Limits { bytes: 8, ..all() }).unwrap_err();
    assert_eq!(error, "expected JSON of at most 8 bytes, got 9");
}
