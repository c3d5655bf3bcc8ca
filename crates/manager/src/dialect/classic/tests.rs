//! The codec of 2008 on bytes: what is written, what is taken, and what is refused.

use super::*;
use pool::Class;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

fn words(terms: &[Term]) -> Term {
    Term::Tuple(terms.to_vec())
}

fn frame(term: &Term) -> Vec<u8> {
    framed(&etf::encode(term, Tags::Modern).expect("tests write terms that have tags"))
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn result(value: Term) -> Term {
    Term::pair(Term::atom("result"), value)
}

/// `{{add, {a, true}}, [echo, [value]]}`.
fn api() -> Term {
    let add = words(&[Term::atom("a"), Term::atom("true")]);
    let echo = Term::List(vec![Term::text("value")]);
    words(&[
        Term::pair(Term::text("add"), add),
        Term::List(vec![Term::atom("echo"), echo]),
    ])
}

fn config(more: &[Term]) -> Term {
    let kind = Term::pair(Term::text("kind"), Term::text("fake"));
    Term::List([&[kind], more].concat())
}

/// What the codec makes of a worker's answers to `api` and `config`.
fn interrogated(api: Term, config: Term) -> Result<(Classic, serde_json::Value), Broken> {
    let mut codec = Classic::default();
    let bytes = [frame(&result(api)), frame(&result(config))].concat();
    let hello = codec.decode(&mut BytesMut::from(&bytes[..]))?;
    let Some(FromWorker::Hello { description, .. }) = hello else {
        panic!("expected a hello, got {hello:?}");
    };
    let hello = serde_json::from_slice(description.bytes()).expect("hellos are JSON");
    Ok((codec, hello))
}

fn ready() -> Classic {
    interrogated(api(), config(&[])).expect("a good worker").0
}

fn call(codec: &mut Classic, function: &str, payload: Payload) -> Result<Term, Unfit> {
    let call = ToWorker::Call {
        id: 7,
        call: "00000000000000ff".to_owned(),
        function: function.into(),
        timeout: Duration::from_secs(1),
        key: None,
        class: Class::Normal,
        payload,
        input: None,
    };
    let mut out = BytesMut::new();
    codec.encode(&call, &mut out)?;
    let message = message(&mut out, MESSAGE_MAX).expect("well-formed");
    assert!(out.is_empty());
    let term = etf::decode(&message.expect("whole"), &Limits::default());
    Ok(term.expect("a term"))
}

fn of_json(text: &'static str) -> Payload {
    Payload::Json(Bytes::from_static(text.as_bytes()))
}

fn of_term(term: &Term) -> Payload {
    Payload::Etf(etf::encode(term, Tags::Modern).expect("a term").into())
}

/// A call in that form, with these arguments.
fn expected(method: &'static str, form: &'static str, pairs: &[(&'static str, Term)]) -> Term {
    let mut all = vec![Term::atom(method), Term::atom(form)];
    let pairs = pairs.iter().cloned();
    all.extend(pairs.map(|(name, value)| Term::pair(Term::atom(name), value)));
    Term::pair(Term::atom("call"), Term::List(all))
}

#[test]
fn the_manager_asks_first_in_tags_of_2008() {
    let mut out = BytesMut::new();
    Classic::default().open(&mut out);
    let asked: [&[u8]; 2] = [b"\0\0\0\x07\x83d\0\x03api", b"\0\0\0\x0a\x83d\0\x06config"];
    assert_eq!(out, asked.concat());
}

#[test]
fn lists_tuples_and_texts_of_any_kind_are_a_description() {
    let number = |number| Term::Integer(number);
    let (_, hello) = interrogated(
        api(),
        config(&[
            words(&[Term::text("tags"), Term::text("a"), Term::atom("b")]),
            Term::List(vec![Term::atom("roles"), words(&[Term::text("x")])]),
            Term::pair(Term::text("tuple"), words(&[number(1), number(20)])),
            Term::pair(Term::text("list"), Term::List(vec![number(8), number(0)])),
            words(&[Term::text("row"), number(5), number(12)]),
            Term::pair(Term::atom("one"), number(7)),
            Term::pair(
                Term::text("spelled"),
                Term::List("1.2".bytes().map(|byte| number(byte.into())).collect()),
            ),
            Term::pair(Term::text("text"), Term::text("/tmp/a.lfg")),
        ]),
    )
    .expect("a good worker");
    assert_eq!(
        hello,
        json!({
            "kind": "fake", "tags": ["a", "b"], "roles": ["x"],
            "versions": {"tuple": "1.20", "list": "8.0", "row": "5.12", "one": "7",
                "spelled": "1.2", "text": "/tmp/a.lfg"},
            "functions": [
                {"name": "add", "parameters": [{"name": "a"}, {"name": "true"}]},
                {"name": "echo", "parameters": [{"name": "value"}]},
            ],
        })
    );
}

#[test]
fn answers_to_the_interrogation_that_are_none_are_named() {
    let problem = |api, config| interrogated(api, config).err().map(|Broken(what)| what);
    let pair = |key: &str, value| Term::pair(Term::text(key), value);
    let twice = [pair("g", Term::text("1")), pair("g", Term::text("2"))];
    for (api, config, expected) in [
        (Term::atom("none"), config(&[]), "got the atom \"none\""),
        (
            words(&[Term::atom("echo")]),
            config(&[]),
            "expected {Method, {Argument, ...}}",
        ),
        (
            words(&[Term::pair(Term::atom("f"), words(&[Term::Integer(1)]))]),
            config(&[]),
            "an argument's name of \"f\"",
        ),
        (
            words(&[Term::pair(
                Term::atom("f"),
                words(&[Term::text("\u{4f60}")]),
            )]),
            config(&[]),
            "in Latin-1",
        ),
        (words(&[]), config(&[]), "at least one function"),
        (api(), Term::List(vec![]), "missing field `kind`"),
        (api(), config(&twice), "\"g\" is there twice"),
        (
            api(),
            config(&[pair("g", words(&[Term::Integer(-1)]))]),
            "the integers of a version",
        ),
        (
            api(),
            config(&[pair("tags", Term::Integer(1))]),
            "names for \"tags\"",
        ),
        (
            api(),
            config(&[pair("a b", Term::text("1"))]),
            "version key",
        ),
    ] {
        let problem = problem(api, config).expect("it is not well");
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn json_goes_in_as_structs_and_arrays_by_name_and_by_position() {
    let mut codec = ready();
    let array = |terms: &[Term]| Term::pair(Term::atom("array"), Term::List(terms.to_vec()));
    let named = call(
        &mut codec,
        "add",
        of_json(r#"{"true":[null,true],"a":{"k":1.5}}"#),
    );
    let pairs = Term::List(vec![Term::pair(Term::text("k"), Term::Float(1.5))]);
    let a = Term::pair(Term::atom("struct"), pairs);
    let list = array(&[Term::atom("null"), Term::atom("true")]);
    assert_eq!(
        named,
        Ok(expected("add", "json", &[("true", list), ("a", a)]))
    );
    let placed = call(&mut codec, "add", of_json(r#" ["x", []]"#));
    let pairs = [("a", Term::text("x")), ("true", array(&[]))];
    assert_eq!(placed, Ok(expected("add", "json", &pairs)));
}

#[test]
fn terms_go_in_as_they_are_but_for_maps() {
    let mut codec = ready();
    let value = words(&[Term::atom("bert"), Term::atom("nil")]);
    let pairs = vec![Term::pair(Term::text("value"), value.clone())];
    let list = Term::List(pairs);
    let wanted = Ok(expected("echo", "pure", &[("value", value.clone())]));
    let word = |word| Term::atom(word);
    for arguments in [
        Term::Map(vec![(word("value"), value.clone())]),
        words(&[word("bert"), word("dict"), list.clone()]),
        Term::pair(word("struct"), list.clone()),
        words(std::slice::from_ref(&list)),
        list.clone(),
        Term::List(vec![value]),
    ] {
        let written = call(&mut codec, "echo", of_term(&arguments));
        assert_eq!(written, wanted, "{arguments:?}");
    }
    let pair = list.clone();
    let placed = call(
        &mut codec,
        "echo",
        of_term(&Term::pair(word("array"), list)),
    );
    let Term::List(mut pair) = pair else {
        panic!("a list");
    };
    let pair = pair.pop().expect("it has one element");
    assert_eq!(placed, Ok(expected("echo", "pure", &[("value", pair)])));
    let map = Term::Map(vec![(Term::atom("k"), Term::Integer(1))]);
    let pairs = Term::List(vec![Term::pair(Term::atom("k"), Term::Integer(1))]);
    let old = Term::List(vec![Term::pair(Term::atom("struct"), pairs)]);
    let written = call(
        &mut codec,
        "echo",
        of_term(&Term::List(vec![Term::List(vec![map])])),
    );
    assert_eq!(written, Ok(expected("echo", "pure", &[("value", old)])));
}

#[test]
fn arguments_that_2008_has_no_form_for_are_refused() {
    let mut codec = ready();
    let pair = Term::pair(Term::atom("value"), Term::Integer(1));
    let twice = Term::pair(Term::atom("struct"), Term::List(vec![pair.clone(), pair]));
    for (payload, expected) in [
        (of_json(r#"{"value":1e999}"#), "expected JSON"),
        (of_term(&Term::Integer(1)), "expected a list of arguments"),
        (of_term(&Term::List(vec![])), "missing: value"),
        (of_term(&twice), "\"value\" is given twice"),
        (Payload::Etf(Bytes::from_static(b"\x83")), "expected a term"),
        (Payload::new("image/png", Bytes::new()), "got image/png"),
        (
            of_term(&Term::List(vec![Term::Atom(
                Atom::new("\u{4f60}").expect("short"),
            )])),
            "of 2008",
        ),
    ] {
        let Err(Unfit::Arguments(why)) = call(&mut codec, "echo", payload) else {
            panic!("{expected}");
        };
        assert!(why.contains(expected), "{why}");
    }
    assert!(matches!(codec.asked, Asked::Nothing), "nothing was asked");
}

/// What the codec makes of an answer to a call.
fn answer(payload: Payload, answer: &Term) -> Result<FromWorker, Broken> {
    let mut codec = ready();
    call(&mut codec, "echo", payload).expect("good arguments");
    let message = codec.decode(&mut BytesMut::from(&frame(answer)[..]))?;
    Ok(message.expect("it came whole"))
}

#[test]
fn results_are_json_or_terms_as_the_caller_speaks() {
    let raw = Term::pair(Term::atom("raw"), Term::text(r#"{"a": 1}"#));
    for (value, expected) in [
        (raw.clone(), r#"{"a": 1}"#),
        (Term::List(vec![Term::atom("raw"), Term::text("1")]), "1"),
        (
            Term::pair(Term::atom("array"), Term::List(vec![Term::Integer(1)])),
            "[1]",
        ),
    ] {
        let said = answer(of_json("[1]"), &result(value));
        let Ok(FromWorker::Reply { payload, last, .. }) = said else {
            panic!("expected {expected}, got {said:?}");
        };
        assert_eq!((payload, last), (Payload::Json(expected.into()), false));
    }
    let arguments = of_term(&Term::List(vec![Term::Integer(1)]));
    let said = answer(
        arguments,
        &Term::pair(Term::atom("last_result"), raw.clone()),
    );
    let Ok(FromWorker::Reply { payload, last, .. }) = said else {
        panic!("expected a term, got {said:?}");
    };
    let term = etf::encode(&raw, Tags::Old).expect("old tags have it");
    assert_eq!((payload, last), (Payload::Etf(term.into()), true));
}

#[test]
fn an_error_is_a_message_and_a_backtrace() {
    for (text, expected) in [
        ("no\n\na:1\n\nb:2", ("no", Some("a:1\n\nb:2"))),
        ("no", ("no", None)),
        ("two\nlines\n\n", ("two\nlines", None)),
    ] {
        let error = Term::pair(Term::atom("error"), Term::text(text));
        let said = answer(of_json("[1]"), &error);
        let Ok(FromWorker::Error {
            message, backtrace, ..
        }) = said
        else {
            panic!("expected an error, got {said:?}");
        };
        assert_eq!((&*message, backtrace.as_deref()), expected);
    }
}

#[test]
fn a_result_that_is_no_json_is_an_error_of_its_call_alone() {
    let raw = |json: &str| Term::pair(Term::atom("raw"), Term::text(json));
    for (value, expected) in [
        (raw("{"), "expected a result {raw, Json}, got \"{\""),
        (raw(""), "expected a result {raw, Json}"),
        (Term::Binary(Bytes::from_static(b"\xff")), "becomes JSON"),
    ] {
        for (word, is_last) in [("result", false), ("last_result", true)] {
            let answered = Term::pair(Term::atom(word), value.clone());
            let said = answer(of_json("[1]"), &answered);
            let Ok(FromWorker::Error { message, last, .. }) = said else {
                panic!("expected an error, got {said:?}");
            };
            assert!(message.contains(expected), "{message}");
            assert_eq!(last, is_last, "it exits all the same");
        }
    }
}

#[test]
fn answers_that_break_the_protocol_say_how() {
    let raw = |json: &str| result(Term::pair(Term::atom("raw"), Term::text(json)));
    for (said, expected) in [
        (
            words(&[Term::atom("reply"), Term::Integer(1)]),
            "the atom \"reply\"",
        ),
        (Term::Integer(1), "got an integer"),
        (words(&[]), "got a tuple of 0 elements"),
    ] {
        let broken = answer(of_json("[1]"), &said).expect_err("it is none");
        assert!(broken.0.contains(expected), "{broken}");
    }
    let unasked = ready().decode(&mut BytesMut::from(&frame(&raw("1"))[..]));
    assert!(
        unasked
            .expect_err("nobody asked")
            .0
            .contains("nobody had called")
    );
    let early = Classic::default().decode(&mut BytesMut::from(&frame(&Term::atom("pong"))[..]));
    assert!(
        early
            .expect_err("no pong")
            .0
            .contains("answered api with pong")
    );
    let text = Classic::default().decode(&mut BytesMut::from("Traceback (most"));
    assert!(text.expect_err("text").0.contains("\"Traceback (most\""));
}

#[test]
fn an_interrogation_has_limits_of_its_own() {
    let mut deep = Term::List(vec![]);
    for _ in 0..INTERROGATION_LIMITS.depth {
        deep = Term::List(vec![deep]);
    }
    let many = Term::List(vec![Term::Float(0.5); INTERROGATION_LIMITS.elements]);
    let big = Term::Binary(vec![0; INTERROGATION_MAX].into());
    for answer in [deep, many, big] {
        let mut read = BytesMut::from(&frame(&result(answer))[..]);
        Classic::default()
            .decode(&mut read)
            .expect_err("beyond the limits");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_gives_a_message_an_error_or_waits(
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        is_ready: bool,
        is_framed: bool,
    ) {
        let mut codec = if is_ready { ready() } else { Classic::default() };
        if is_ready {
            call(&mut codec, "echo", of_json("[1]")).expect("good arguments");
        }
        let put = |part: &Vec<u8>| {
            if is_framed { framed(&[b"\x83", &part[..]].concat()) } else { part.clone() }
        };
        let mut read = BytesMut::from(&bytes.iter().flat_map(put).collect::<Vec<_>>()[..]);
        while let Ok(Some(_)) = codec.decode(&mut read) {}
    }

    #[test]
    fn a_good_interrogation_with_a_byte_changed_is_never_worse_than_refused(
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = [frame(&result(api())), frame(&result(config(&[])))].concat();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut read = BytesMut::from(&bytes[..]);
        let mut codec = Classic::default();
        if let Ok(Some(FromWorker::Hello { description, .. })) = codec.decode(&mut read) {
            prop_assert!(describe::parse_hello(description.bytes()).is_ok());
        }
    }

    #[test]
    fn messages_survive_being_cut_anywhere(cut in 0_usize..200) {
        let bytes = [frame(&result(api())), frame(&result(config(&[])))].concat();
        let cut = cut.min(bytes.len() - 1);
        let mut read = BytesMut::from(&bytes[..cut]);
        let mut codec = Classic::default();
        prop_assert!(matches!(codec.decode(&mut read), Ok(None)));
        read.extend_from_slice(&bytes[cut..]);
        let hello = codec.decode(&mut read);
        let is_hello = matches!(&hello, Ok(Some(FromWorker::Hello { .. })));
        prop_assert!(is_hello, "{hello:?}");
    }
}
