//! BERT-RPC 1.0 as clients see it: bytes in, bytes out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bert_support;
mod support;

use bert_support::{
    Peer, atom, berp, bert, call, cast, error_of, info, int, list, pair, reply_of, serve, text,
    tuple,
};
use dispatch::{CallError, Code};
use faceplate::Limits;
use faceplate::access::{Token, hash};
use pool::Class;
use std::sync::Arc;
use std::time::Duration;
use support::declared::declaring;
use support::{Server, all_codes, within};
use term::{Bert, Payload, Shape, Term};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn plain() -> Server {
    serve(&[], Limits::default()).await
}

fn echo(arguments: &[Term]) -> Term {
    call("echo", arguments)
}

fn valid() -> Term {
    tuple(&[atom("info"), atom("valid"), list(&[])])
}

fn noreply() -> Term {
    tuple(&[atom("noreply")])
}

#[tokio::test]
async fn calls_of_a_connection_are_answered_in_their_order() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    for number in 0..30 {
        peer.say(&echo(&[int(number)])).await;
    }
    for number in 0..30 {
        assert_eq!(peer.hear().await, reply_of(list(&[int(number)])));
    }
    let call = server.stage.next_call().await;
    assert_eq!(call.details.kind.as_deref(), Some("k"));
    assert_eq!(call.payload, Payload::Json("[0]".into()));
    assert_eq!(*call.shape, Shape::Positional(1));
}

#[tokio::test]
async fn values_keep_their_types_both_ways() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    let nil = Bert::Nil.into_term();
    let truth = Bert::Bool(true).into_term();
    let dict = Bert::Dict(vec![(text("k"), list(&[nil.clone(), truth.clone()]))]).into_term();
    let arguments = [
        text("\u{e9}"),
        Term::Float(1.5),
        int(1 << 40),
        nil,
        truth,
        dict,
    ];
    peer.say(&echo(&arguments)).await;
    assert_eq!(peer.hear().await, reply_of(list(&arguments)));
    // Without a type of BERT's they come back as JSON has them.
    peer.say(&echo(&[atom("a"), tuple(&[int(1), int(2)]), atom("true")]))
        .await;
    let truth = Bert::Bool(true).into_term();
    let expected = [text("a"), list(&[int(1), int(2)]), truth];
    assert_eq!(peer.hear().await, reply_of(list(&expected)));
    peer.say(&call("png", &[])).await;
    assert_eq!(peer.hear().await, reply_of(text("\u{1}png")));
}

#[tokio::test]
async fn a_dictionary_in_place_of_the_list_is_arguments_by_name() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    let named = Bert::Dict(vec![(atom("text"), text("a"))]).into_term();
    let by_name = tuple(&[atom("call"), atom("k"), atom("echo"), named.clone()]);
    peer.say(&by_name).await;
    let answered = Bert::Dict(vec![(text("text"), text("a"))]).into_term();
    assert_eq!(peer.hear().await, reply_of(answered.clone()));
    let call = server.stage.next_call().await;
    assert_eq!(*call.shape, Shape::Named(vec!["text".into()]));
    // In the list it is an argument like any other.
    peer.say(&echo(&[named])).await;
    assert_eq!(peer.hear().await, reply_of(list(&[answered])));
    assert_eq!(*server.stage.next_call().await.shape, Shape::Positional(1));
}

#[tokio::test]
async fn old_clients_names_are_understood() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    let points = |text: &str| list(&text.bytes().map(|b| int(b.into())).collect::<Vec<_>>());
    for elements in [
        [text("call"), text("k"), text("echo"), list(&[])],
        [atom("call"), points("k"), points("echo"), list(&[])],
    ] {
        for term in [tuple(&elements), list(&elements)] {
            peer.say(&term).await;
            assert_eq!(peer.hear().await, reply_of(list(&[])), "{term:?}");
        }
    }
}

#[tokio::test]
async fn each_error_has_its_type_and_number() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    let mut seen = std::collections::BTreeSet::new();
    for code in all_codes() {
        let function = code.as_str();
        peer.say(&tuple(&[
            atom("call"),
            atom("k"),
            text(function),
            list(&[]),
        ]))
        .await;
        let (kind, number, class, ..) = error_of(&peer.hear().await);
        let expected = match code {
            Code::BadRequest => ("protocol", 0),
            Code::NoPool => ("server", 1),
            Code::NoFunction => ("server", 2),
            Code::WorkerError => ("user", 0),
            Code::WorkerDied => ("proxy", 100),
            Code::WorkerLost => ("proxy", 101),
            Code::Protocol => ("proxy", 102),
            _ => ("server", number),
        };
        assert_eq!((kind.as_str(), number), expected, "{function}");
        assert_eq!(class, function);
        assert!(seen.insert((kind, number)), "{function}");
    }
}

#[tokio::test]
async fn errors_say_what_is_known() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&call("worker_died", &[])).await;
    let (_, _, _, detail, backtrace) = error_of(&peer.hear().await);
    assert_eq!(detail, "the worker died");
    assert_eq!(backtrace[..3], ["line 1", "one", "two"]);
    assert!(backtrace[3].starts_with("call "), "{backtrace:?}");
    peer.say(&call("busy", &[])).await;
    let (_, _, _, detail, _) = error_of(&peer.hear().await);
    assert_eq!(detail, "full; try again in 2 s");
    peer.say(&call("garbage", &[])).await;
    let (kind, number, class, ..) = error_of(&peer.hear().await);
    assert_eq!((&*kind, number, &*class), ("proxy", 102, "protocol"));
}

#[tokio::test]
async fn arguments_that_json_cannot_hold_are_told() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    let binary = Term::Binary(b"\xff\xfe".as_slice().into());
    let regex = Bert::Regex {
        source: "a".into(),
        options: vec![],
    };
    for argument in [binary, regex.into_term(), tuple(&[atom("bert"), int(1)])] {
        peer.say(&echo(&[argument])).await;
        let (kind, number, class, ..) = error_of(&peer.hear().await);
        assert_eq!((&*kind, number, &*class), ("server", 100, "bad_arguments"));
    }
    peer.say(&tuple(&[atom("call"), atom("k"), atom("echo"), int(1)]))
        .await;
    assert_eq!(error_of(&peer.hear().await).2, "bad_arguments");
}

#[tokio::test]
async fn a_cast_is_answered_before_it_is_done_and_too_many_are_refused() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    for _ in 0..support::CASTS_MAX {
        peer.say(&cast("hang", &[])).await;
        assert_eq!(peer.hear().await, noreply());
        server.stage.next_call().await;
    }
    peer.say(&cast("echo", &[])).await;
    assert_eq!(error_of(&peer.hear().await).2, "busy");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_calls() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&call("hang", &[])).await;
    let number = server.stage.next_call().await.number;
    drop(peer);
    assert_eq!(server.stage.next_dropped().await, number);
}

#[tokio::test]
async fn wishes_hold_for_the_next_request_alone() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    let wishes = list(&[
        pair("timeout_ms", int(500)),
        pair("class", atom("low")),
        pair("key", text("ada")),
        pair("details", list(&[pair("grammar", text("1.2.3"))])),
    ]);
    peer.say(&info("katamari", wishes)).await;
    peer.say(&info("weather", int(1))).await;
    peer.say(&echo(&[])).await;
    peer.hear().await;
    let shaped = server.stage.next_call().await;
    assert_eq!(shaped.class, Class::Low);
    assert_eq!(shaped.key.as_deref(), Some("ada"));
    assert!(shaped.deadline.is_some());
    assert_eq!(shaped.details.kind.as_deref(), Some("k"));
    assert!(shaped.details.versions.contains_key("grammar"));
    peer.say(&echo(&[])).await;
    peer.hear().await;
    let bare = server.stage.next_call().await;
    assert_eq!(
        (bare.class, bare.key, bare.deadline),
        (Class::Normal, None, None)
    );
    peer.say(&info("priority", list(&[atom("high")]))).await;
    peer.say(&echo(&[])).await;
    peer.hear().await;
    assert_eq!(server.stage.next_call().await.class, Class::High);
    // What is wrong with a directive is the answer to the request.
    peer.say(&info("katamari", list(&[pair("tiemout_ms", int(1))])))
        .await;
    peer.say(&echo(&[])).await;
    let (kind, number, ..) = error_of(&peer.hear().await);
    assert_eq!((&*kind, number), ("protocol", 0));
    peer.say(&echo(&[])).await;
    assert_eq!(peer.hear().await, reply_of(list(&[])));
}

#[tokio::test]
async fn an_answer_that_is_known_is_not_sent_again() {
    let server = plain().await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&info("cache", list(&[]))).await;
    peer.say(&echo(&[int(1)])).await;
    let directive = peer.hear().await;
    let (access, token) = cached(&directive);
    assert_eq!(access, atom("private"));
    assert_eq!(peer.hear().await, reply_of(list(&[int(1)])));
    for known in [
        list(&[pair("validation", token.clone())]),
        list(&[atom("validation"), token.clone()]),
    ] {
        peer.say(&info("cache", known.clone())).await;
        peer.say(&echo(&[int(1)])).await;
        assert_eq!(peer.hear().await, valid());
        assert_eq!(peer.hear().await, noreply());
        peer.say(&info("cache", known)).await;
        peer.say(&echo(&[int(2)])).await;
        assert_ne!(cached(&peer.hear().await).1, token);
        assert_eq!(peer.hear().await, reply_of(list(&[int(2)])));
    }
    // Who has not asked hears nothing of it.
    peer.say(&echo(&[int(1)])).await;
    assert_eq!(peer.hear().await, reply_of(list(&[int(1)])));
}

/// The access and the token of `{info, cache, [{access, A}, {validation, T}]}`.
fn cached(term: &Term) -> (Term, Term) {
    let Term::Tuple(elements) = term else {
        panic!("{term:?}");
    };
    assert_eq!(elements[..2], [atom("info"), atom("cache")]);
    let Term::List(options) = &elements[2] else {
        panic!("{term:?}");
    };
    let value = |place: usize, name| match &options[place] {
        Term::Tuple(pair) if pair[0] == atom(name) => pair[1].clone(),
        other => panic!("{other:?}"),
    };
    (value(0, "access"), value(1, "validation"))
}

#[tokio::test]
async fn a_streamed_request_gives_its_bytes_to_the_function() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&info("stream", list(&[]))).await;
    peer.say(&echo(&[])).await;
    for chunk in [&b"\xffone"[..], b" two", b""] {
        peer.write(&bert_support::framed(chunk)).await;
    }
    let bytes = Term::Binary(b"\xffone two".as_slice().into());
    assert_eq!(peer.hear().await, reply_of(bytes));
    let streamed = server.stage.next_call().await;
    assert_eq!(streamed.payload.content_type(), "application/octet-stream");
    // Beside other arguments it is the first of them.
    peer.say(&info("stream", list(&[]))).await;
    peer.say(&echo(&[int(99)])).await;
    for chunk in [&b"text"[..], b""] {
        peer.write(&bert_support::framed(chunk)).await;
    }
    assert_eq!(peer.hear().await, reply_of(list(&[text("text"), int(99)])));
    peer.say(&echo(&[])).await;
    assert_eq!(peer.hear().await, reply_of(list(&[])), "it goes on");
}

#[tokio::test]
async fn a_function_that_declares_an_input_reads_what_is_streamed() {
    let declared = r#"{"kind": "k", "functions": [{"name": "echo", "input": true}]}"#;
    let bert = support::faceplate("bert", []);
    let mut server = Server::of(bert, declaring(declared), Limits::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&info("stream", list(&[]))).await;
    peer.say(&echo(&[int(99)])).await;
    for chunk in [&b"\xffone"[..], b" two", b""] {
        peer.write(&bert_support::framed(chunk)).await;
    }
    let call = server.stage.next_call().await;
    assert_eq!(call.payload, Payload::Json("[99]".into()));
    let mut input = call.input.as_ref().unwrap().read().unwrap();
    let piece = within(input.next()).await;
    assert_eq!(piece, Some(Ok(b"\xffone two".as_slice().into())));
    assert_eq!(within(input.next()).await, None);
    assert_eq!(peer.hear().await, reply_of(list(&[int(99)])));
}

#[tokio::test]
async fn programs_that_take_terms_get_them_as_they_came() {
    let declared = r#"{"kind": "k", "functions": [{"name": "echo"}], "terms": true}"#;
    let bert = support::faceplate("bert", []);
    let mut server = Server::of(bert, declaring(declared), Limits::default()).await;
    let mut peer = Peer::connect(&server).await;
    let named = || pair("a", Term::Binary(b"\xff".as_slice().into()));
    let marked = |arguments: &[Term]| tuple(&[atom("array"), list(arguments)]);
    peer.say(&echo(&[named()])).await;
    assert_eq!(peer.hear().await, reply_of(marked(&[named()])));
    let call = server.stage.next_call().await;
    assert!(matches!(call.payload, Payload::Etf(_)), "{call:?}");
    assert_eq!(*call.shape, Shape::Positional(1));
    let dict = tuple(&[atom("bert"), atom("dict"), list(&[named()])]);
    peer.say(&tuple(&[
        atom("call"),
        atom("k"),
        atom("echo"),
        dict.clone(),
    ]))
    .await;
    assert_eq!(peer.hear().await, reply_of(dict));
    let call = server.stage.next_call().await;
    assert_eq!(*call.shape, Shape::Named(vec!["a".into()]));
    peer.say(&info("stream", list(&[]))).await;
    peer.say(&echo(&[int(1)])).await;
    for chunk in [&b"\xff"[..], b""] {
        peer.write(&bert_support::framed(chunk)).await;
    }
    let body = Term::Binary(b"\xff".as_slice().into());
    assert_eq!(peer.hear().await, reply_of(marked(&[body, int(1)])));
}

#[tokio::test]
async fn a_streamed_answer_comes_in_chunks_and_in_its_place() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&call("held", &[])).await;
    peer.say(&echo(&[int(1)])).await;
    let held = server.stage.next_held().await;
    held.send(Payload::new("text/plain", "one".into()));
    assert_eq!(peer.hear().await, info("stream", list(&[])));
    assert_eq!(peer.hear().await, reply_of(list(&[])));
    assert_eq!(peer.frame().await, b"one", "before its end");
    // An empty piece must not end the stream.
    held.send(Payload::new("text/plain", "".into()));
    held.send(Payload::Json("{\"a\":1}".into()));
    let value = Bert::Dict(vec![(text("a"), int(1))]).into_term();
    assert_eq!(peer.hear().await, value, "a value is a term");
    held.end(Ok(()));
    assert_eq!(peer.frame().await, b"");
    assert_eq!(peer.hear().await, reply_of(list(&[int(1)])));
}

#[tokio::test]
async fn a_stream_that_breaks_has_no_last_chunk() {
    let mut server = plain().await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&call("held", &[])).await;
    let held = server.stage.next_held().await;
    held.end(Err(CallError::new(Code::WorkerDied, "at once")));
    let (kind, _, _, detail, _) = error_of(&peer.hear().await);
    assert_eq!((&*kind, &*detail), ("proxy", "at once"));
    peer.say(&call("held", &[])).await;
    let held = server.stage.next_held().await;
    held.send(Payload::new("text/plain", "one".into()));
    held.end(Err(CallError::new(Code::WorkerDied, "later")));
    peer.hear().await;
    peer.hear().await;
    assert_eq!(peer.frame().await, b"one");
    assert_eq!(peer.rest().await, b"");
}

fn callback(service: &str) -> Term {
    let mfa = [atom("mfa"), atom("cron"), atom("done"), list(&[int(42)])];
    info(
        "callback",
        list(&[pair("service", text(service)), tuple(&mfa)]),
    )
}

#[tokio::test]
async fn the_result_of_a_cast_goes_to_a_service_that_is_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = listener.local_addr().unwrap().to_string();
    let server = serve(&[&service], Limits::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.say(&callback(&service)).await;
    peer.say(&cast("echo", &[int(7)])).await;
    assert_eq!(peer.hear().await, noreply());
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let length = within(stream.read_u32()).await.unwrap();
    let mut told = vec![0; length as usize];
    within(stream.read_exact(&mut told)).await.unwrap();
    let arguments = list(&[int(42), list(&[int(7)])]);
    let expected = tuple(&[atom("cast"), atom("cron"), atom("done"), arguments]);
    assert_eq!(bert(&told), expected);
    stream.write_all(&berp(&noreply())).await.unwrap();
}

#[tokio::test]
async fn nobody_is_called_back_who_is_not_in_the_configuration() {
    let mut server = serve(&["127.0.0.1:1"], Limits::default()).await;
    let mut peer = Peer::connect(&server).await;
    for service in ["127.0.0.1:2", "localhost:1", "127.0.0.1", ""] {
        peer.say(&callback(service)).await;
        peer.say(&cast("echo", &[])).await;
        assert_eq!(error_of(&peer.hear().await).2, "not_allowed", "{service:?}");
    }
    peer.say(&callback("127.0.0.1:1")).await;
    peer.say(&echo(&[])).await;
    assert_eq!(error_of(&peer.hear().await).2, "bad_request", "a call");
    assert!(server.stage.calls.try_recv().is_err(), "none was made");
}

#[test]
fn services_have_a_host_and_a_port() {
    assert!(bert_support::takes(&[
        "10.0.0.5:9000",
        "cron.example:1",
        "[::1]:80"
    ]));
    for bad in ["10.0.0.5", ":80", "host:0", "host:http", "host:70000"] {
        assert!(!bert_support::takes(&[bad]), "{bad}");
    }
}

#[tokio::test]
async fn a_token_is_shown_first_and_looked_at_each_time() {
    let token = |name: &str, secret: &str| Token {
        name: name.into(),
        hash: hash(secret.as_bytes()),
        kinds: Some([Arc::from("k")].into()),
        class_max: Class::Normal,
        rate: None,
        observe: false,
        expires_unix_s: None,
    };
    let server = plain().await;
    server.stage.node.set_tokens(vec![token("ci", "kat_1")]);
    let mut peer = Peer::connect(&server).await;
    peer.say(&echo(&[])).await;
    let (_, _, class, detail, _) = error_of(&peer.hear().await);
    assert_eq!(class, "not_allowed");
    assert!(detail.contains("{token,"), "{detail}");
    peer.say(&info("katamari", list(&[pair("token", text("kat_1"))])))
        .await;
    for _ in 0..2 {
        peer.say(&echo(&[])).await;
        assert_eq!(peer.hear().await, reply_of(list(&[])));
    }
    let other = tuple(&[atom("call"), atom("other"), atom("echo"), list(&[])]);
    peer.say(&other).await;
    assert_eq!(error_of(&peer.hear().await).2, "not_allowed");
    server.stage.node.set_tokens(vec![token("new", "kat_2")]);
    peer.say(&echo(&[])).await;
    assert_eq!(error_of(&peer.hear().await).2, "not_allowed");
}

#[tokio::test]
async fn what_is_too_long_or_too_slow_ends_the_connection() {
    let limits = Limits {
        body_max: 1_024,
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = serve(&[], limits).await;
    let mut long = Peer::connect(&server).await;
    long.write(&1_025_u32.to_be_bytes()).await;
    let (kind, number, class, ..) = error_of(&long.hear().await);
    assert_eq!((&*kind, number, &*class), ("protocol", 1, "too_large"));
    assert_eq!(long.rest().await, b"");
    let mut slow = Peer::connect(&server).await;
    slow.write(&berp(&echo(&[]))[..9]).await;
    assert_eq!(error_of(&slow.hear().await).1, 2);
    assert_eq!(slow.rest().await, b"");
    // Also if each of its chunks is in time.
    let mut stream = Peer::connect(&server).await;
    stream.say(&info("stream", list(&[]))).await;
    stream.say(&echo(&[])).await;
    stream.write(&bert_support::framed(b"one")).await;
    assert_eq!(error_of(&stream.hear().await).1, 2);
}

#[tokio::test]
async fn one_connection_too_many_is_told() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let server = serve(&[], limits).await;
    let mut first = Peer::connect(&server).await;
    first.say(&echo(&[])).await;
    first.hear().await;
    let mut second = Peer::connect(&server).await;
    assert_eq!(error_of(&second.hear().await).2, "busy");
}
