//! What the configuration says of dialects `exec` and `http`.

use super::*;
use manager::Dialect;
use manager::dialect::exec::{Output, Stdin};
use manager::dialect::http::{FUNCTION, Health};
use manager::dialect::{Exec, Http};
use pool::Type;
use std::sync::Arc;

const EXEC: &str = "[program.p]\ncommand = [\"sh\"]\ndialect = \"exec\"\nkind = \"k\"\n\
                    [program.p.functions.f]\nparameters = [\"text: string\", \"n?: integer\"]\n";

const HTTP: &str =
    "[program.p]\ncommand = [\"sh\", \"{port}\"]\ndialect = \"http\"\nkind = \"k\"\n";

fn exec(more: &str) -> Arc<Exec> {
    let config = read(&format!("{EXEC}{more}")).expect("a good configuration");
    match &config.programs[0].run.process.dialect {
        Dialect::Exec(exec) => exec.clone(),
        other => panic!("expected exec, got {other:?}"),
    }
}

fn http(more: &str) -> Arc<Http> {
    let config = read(&format!("{HTTP}{more}")).expect("a good configuration");
    match &config.programs[0].run.process.dialect {
        Dialect::Http(http) => http.clone(),
        other => panic!("expected http, got {other:?}"),
    }
}

/// The first line of what is wrong.
fn problem(text: &str) -> String {
    let problems = read(text).expect_err("the text has a mistake").to_string();
    let first = problems.lines().next().unwrap_or_default();
    let (_, what) = first.split_once(": ").unwrap_or_default();
    what.to_owned()
}

#[test]
fn a_command_has_arguments_an_input_and_an_output() {
    let plain = exec("");
    let run = &plain.functions["f"];
    assert!(run.arguments.is_empty());
    assert_eq!((&run.stdin, &run.output), (&Stdin::Nothing, &Output::Text));
    assert_eq!(plain.description.functions[0].result, Type::String);
    let full = exec("arguments = [\"-n{n}\", \"--\"]\nstdin = \"*\"\noutput = \"image/png\"\n");
    let run = &full.functions["f"];
    assert_eq!(run.arguments.len(), 2);
    assert_eq!(run.stdin, Stdin::All);
    assert_eq!(run.output, Output::Bytes("image/png".into()));
    assert_eq!(full.description.functions[0].result, Type::Bytes);
    let json = exec("stdin = \"text\"\noutput = \"json\"\nresult = \"integer\"\n");
    assert_eq!(
        json.functions["f"].stdin,
        Stdin::Parameter("text".to_owned())
    );
    assert_eq!(json.description.functions[0].result, Type::Integer);
}

#[test]
fn a_server_needs_no_function_and_always_has_one() {
    let plain = http("");
    assert_eq!(
        (plain.slots, &plain.health),
        (1, &Health::Get("/".to_owned()))
    );
    assert_eq!(&*plain.description.functions[0].name, FUNCTION);
    let full = http(
        "slots = 8\nhealth = \"connect\"\n[program.p.functions.parse]\n\
         parameters = [\"lang: string\", \"text: string\"]\nrequest = \"POST /parse/{lang}\"\n",
    );
    assert_eq!((full.slots, &full.health), (8, &Health::Connect));
    let names: Vec<_> = full
        .description
        .functions
        .iter()
        .map(|f| &*f.name)
        .collect();
    assert_eq!(names, ["http", "parse"]);
    assert_eq!(full.functions["parse"].method, "POST");
}

#[test]
fn a_worker_of_2008_is_told_on_its_command_line() {
    let classic = |more: &str| {
        let text = format!("[program.p]\ncommand = [\"sh\", \"x\"]\ndialect = \"classic\"\n{more}");
        let process = read(&text).map(|config| config.programs[0].run.process.clone());
        process.map_err(|problems| problems.to_string())
    };
    let command = |more: &str| {
        let process = classic(more).expect("a good configuration");
        assert_eq!(process.dialect, Dialect::Classic);
        process.command[2..].to_vec()
    };
    assert!(command("").is_empty());
    assert_eq!(command("tags = [\"a\", \"b\"]\n"), ["--tags=a,b", "--"]);
    let all = "roles = [\"x\"]\ntags = [\"a\"]\nextras = [\"--dict\", \"a b\"]\n";
    let expected = ["--tags=a", "--roles=x", "--", "--dict", "a b"];
    assert_eq!(command(all), expected);
    let wrong = classic("kind = \"k\"\n").expect_err("it describes itself");
    assert!(
        wrong.contains("a worker of dialect \"classic\" describes itself"),
        "{wrong}"
    );
}

#[test]
fn mistakes_are_explained() {
    let exec = |more: &str| problem(&format!("{EXEC}{more}"));
    let http = |more: &str| problem(&format!("{HTTP}{more}"));
    for (said, expected) in [
        (
            exec("arguments = [\"{no}\"]\n"),
            "\"no\", which is no parameter",
        ),
        (
            exec("arguments = [\"{\"]\n"),
            "expected {name}, or {{ and }} for braces",
        ),
        (
            exec("stdin = \"no\"\n"),
            "expected the name of a parameter (text, n)",
        ),
        (
            exec("output = \"xml\"\n"),
            "\"bytes\" or a content type, got \"xml\"",
        ),
        (exec("request = \"GET /\"\n"), "unknown key"),
        (
            problem(&EXEC.replace("kind =", "max_calls = 3\nkind =")),
            "ends with its call; leave this out",
        ),
        (http("slots = 0\n"), "0"),
        (http("health = \"well\"\n"), "or \"connect\", got \"well\""),
        (http("[program.p.functions.f]\n"), "request is missing"),
        (
            http("[program.p.functions.f]\nrequest = \"FETCH /\"\n"),
            "got \"FETCH /\"",
        ),
        (
            http("[program.p.functions.f]\nrequest = \"GET /{x}\"\n"),
            "\"x\", which is no parameter",
        ),
        (
            http("[program.p.functions.f]\nparameters = [\"x?\"]\nrequest = \"GET /{x}\"\n"),
            "cannot be left out",
        ),
        (
            http("[program.p.functions.http]\nrequest = \"GET /\"\n"),
            "announced twice",
        ),
        (
            problem(&HTTP.replace("{port}", "{port} {socket}")),
            "got both",
        ),
    ] {
        assert!(said.contains(expected), "expected {expected:?} in {said:?}");
    }
}
