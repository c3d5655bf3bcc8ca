//! Who may reach the node: tokens, TLS, and the words that it takes to do without.

use super::*;
use ::faceplate::Risk;
use ::faceplate::TokenPolicy;
use ::faceplate::access::hash;
use pool::Class;

/// The hash of `abc`.
const HASH: &str =
    "hash = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";

/// What is wrong with a text, as a line for each mistake.
fn problems(text: &str) -> Vec<String> {
    let list = read(text).expect_err("the text has a mistake").list;
    list.into_iter()
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect()
}

fn tokens(text: &str) -> Vec<Token> {
    read(text).expect("the text is good").tokens
}

#[test]
fn a_token_needs_only_its_hash() {
    let tokens = tokens(&format!("[access.token.ci]\n{HASH}"));
    let [token] = &tokens[..] else {
        panic!("expected one token, got {tokens:?}");
    };
    assert_eq!((&*token.name, token.hash), ("ci", hash(b"abc")));
    assert_eq!((&token.kinds, token.rate), (&None, None));
    assert_eq!((token.class_max, token.observe), (Class::Normal, false));
    assert_eq!(token.expires_unix_s, None);
}

#[test]
fn every_key_of_a_token_is_read() {
    let text = format!(
        r#"
        [access.token.ci]
        {HASH}
        kinds = ["parse", "store"]
        class = "high"
        rate = 100
        burst = 7
        observe = true
        expires = "2027-01-01"
        "#
    );
    let token = &tokens(&text)[0];
    let kinds = token.kinds.clone().expect("they are set");
    assert!(kinds.iter().map(|kind| &**kind).eq(["parse", "store"]));
    let rate = token.rate.expect("it is set");
    assert_eq!((rate.calls_per_second.get(), rate.burst.get()), (100, 7));
    assert_eq!((token.class_max, token.observe), (Class::High, true));
    assert_eq!(token.expires_unix_s, Some(1_798_761_600));

    let text = text
        .replace("burst = 7", "")
        .replace("\"2027-01-01\"", "2027-01-01T01:00:00+01:00");
    let token = &tokens(&text)[0];
    assert_eq!(token.rate.map(|rate| rate.burst.get()), Some(100));
    assert_eq!(token.expires_unix_s, Some(1_798_761_600));
}

#[test]
fn mistakes_in_tokens_are_named() {
    for (text, expected) in [
        (
            "",
            "access.token.ci: hash is missing; add, for example: hash = ",
        ),
        (
            "hash = \"kat_0123\"",
            "access.token.ci.hash: expected \"sha256:\" and 64 hexadecimal digits",
        ),
        (
            "hash = \"sha256:zz\"",
            "access.token.ci.hash: expected \"sha256:\" and 64 hexadecimal digits",
        ),
        (
            "HASH\nkinds = \"parse\"",
            "access.token.ci.kinds: expected an array of names",
        ),
        (
            "HASH\nclass = \"top\"",
            "access.token.ci.class: expected \"high\" or \"normal\" or \"low\", got \"top\"",
        ),
        (
            "HASH\nrate = 0",
            "access.token.ci.rate: expected a whole number from 1 to 1000000, got 0",
        ),
        (
            "HASH\nburst = 1",
            "access.token.ci.burst: expected a rate beside it",
        ),
        (
            "HASH\nexpires = \"soon\"",
            "access.token.ci.expires: expected a date such as \"2027-01-01\"",
        ),
        (
            "HASH\nexpires = 12:00:00",
            "access.token.ci.expires: expected a date such as \"2027-01-01\"",
        ),
        (
            "HASH\nkind = \"parse\"",
            "access.token.ci.kind: unknown key; did you mean kinds?",
        ),
        (
            "HASH\n[access.token.other]\nHASH",
            "access.token.other: the hash is that of the token \"ci\" as well",
        ),
    ] {
        let text = format!("[access.token.ci]\n{}", text.replace("HASH", HASH));
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{}", problems[0]);
    }
    let unknown = problems("[access.tokens.ci]");
    assert_eq!(unknown, ["access.tokens: unknown key; did you mean token?"]);
}

#[test]
fn ten_thousand_tokens_fit_and_one_more_does_not() {
    let text = |count: u32| -> String {
        let token = |number| format!("[access.token.t{number}]\nhash = \"sha256:{number:064x}\"\n");
        (0..count).map(token).collect()
    };
    assert_eq!(tokens(&text(10_000)).len(), 10_000);
    let problems = problems(&text(10_001));
    assert_eq!(
        problems,
        ["access.token: expected at most 10000 tokens, got 10001"]
    );
}

/// A certificate for nobody, and its key, in a folder of their own.
fn tls_files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    let write = |name, text| std::fs::write(folder.path().join(name), text);
    write("server.pem", include_str!("server.pem")).expect("there is room");
    write("server.key", include_str!("server.key")).expect("there is room");
    folder
}

#[test]
fn beyond_loopback_it_takes_tokens_and_tls_or_words() {
    let folder = tls_files();
    let path = folder.path().display();
    let tls =
        format!("tls = {{ certificate = \"{path}/server.pem\", key = \"{path}/server.key\" }}\n");
    let token = format!("[access.token.ci]\n{HASH}\n");
    let call = format!("accept_risk = \"{}\"\n", Risk::AnyoneCanCall.words());
    let look = format!("accept_risk = \"{}\"\n", Risk::AnyoneCanRead.words());
    let none = String::new();
    let wants = "access = \"token\"\n".to_owned();
    let open = "access = \"open\"\n".to_owned();
    for (keys, tables, risk) in [
        ([&none, &none], &none, Some(Risk::AnyoneCanCall)),
        ([&none, &tls], &none, Some(Risk::AnyoneCanCall)),
        ([&none, &none], &token, Some(Risk::AnyoneCanRead)),
        ([&none, &tls], &token, None),
        ([&wants, &tls], &none, None),
        ([&open, &tls], &token, Some(Risk::AnyoneCanCall)),
        ([&open, &call], &token, None),
        ([&none, &call], &none, None),
        ([&none, &look], &none, Some(Risk::AnyoneCanCall)),
        ([&none, &look], &token, None),
        ([&none, &call], &token, Some(Risk::AnyoneCanRead)),
    ] {
        let [first, second] = keys;
        let text = format!("[faceplate.http]\nlisten = \"0.0.0.0:7480\"\n{first}{second}{tables}");
        let Some(risk) = risk else {
            read(&text).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
            continue;
        };
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{text}\n{problems:?}");
        assert!(
            problems[0].contains(risk.words()),
            "{text}\n{}",
            problems[0]
        );
        read(&text.replace("0.0.0.0", "127.0.0.1")).expect("on loopback all of it is fine");
    }
}

#[test]
fn what_keeps_strangers_out_is_read() {
    let folder = tls_files();
    let text = r#"
        [faceplate.http]
        tls = { certificate = "server.pem", key = "server.key" }
        access = "token"
        hosts = ["api.example.org"]
        "#;
    let variable = |_: &str| None;
    let http = Config::read(Path::new("katamari.toml"), folder.path(), text, &variable)
        .expect("the text is good");
    let http = http.http().clone();
    let tls = http.tls.expect("it is set");
    assert_eq!(tls.certificate, folder.path().join("server.pem"));
    assert_eq!(tls.key, folder.path().join("server.key"));
    assert_eq!(http.tokens, TokenPolicy::Required);
    let server = format!("{:?}", http.server);
    assert!(server.contains("api.example.org"), "{server}");
    let config = read("").expect("an empty text is good");
    let http = config.http().clone();
    assert_eq!((http.tls, http.accepted), (None, None));
    assert_eq!(http.tokens, TokenPolicy::IfAny);
}

#[test]
fn mistakes_about_strangers_are_named() {
    for (keys, expected) in [
        (
            "tls = { certificate = \"/none.pem\", key = \"/none.key\" }",
            "faceplate.http.tls: /none.pem: expected a certificate in PEM: ",
        ),
        (
            "tls = { certificate = \"/none.pem\" }",
            "faceplate.http.tls: key is missing; add, for example: key = \"server.key\"",
        ),
        (
            "tls = true",
            "faceplate.http.tls: expected a table, got true",
        ),
        (
            "access = \"closed\"",
            "faceplate.http.access: expected \"token\" or \"open\", got \"closed\"",
        ),
        (
            "hosts = [\"https://a.example\"]",
            "faceplate.http.hosts[0]: expected a name without scheme and port, such as ",
        ),
        (
            "accept_risk = \"yes\"",
            "faceplate.http.accept_risk: expected \"anyone who reaches this port can call\" or ",
        ),
    ] {
        let problems = problems(&format!("[faceplate.http]\n{keys}"));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{}", problems[0]);
    }
}
