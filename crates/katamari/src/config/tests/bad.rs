//! Bad configurations: each mistake is named with its place, what was expected, and what to do.

use super::*;

/// What is wrong with a text, as people see it.
fn problems(text: &str) -> String {
    read(text).expect_err("the text has a mistake").to_string()
}

#[test]
fn a_problem_is_shown_with_its_line() {
    assert_eq!(
        problems("[program.parse]\ncommand = [\"sh\"]\n\ttimeout = \"fast\"\n"),
        "katamari.toml:3:12: program.parse.timeout: expected a duration from 1ms to 1d, such as \
         \"500ms\", \"2s\", \"5m\", \"1h\" or \"1d\", got \"fast\"\n  \
         3 | \ttimeout = \"fast\"\n    | \t          ^"
    );
}

#[test]
fn all_problems_are_shown_at_once_in_the_order_of_the_file() {
    let text = "[program.b]\nworkers = 0\n[program.a]\ncommand = []\nspare = -1\n[nod]\n";
    let lines: Vec<_> = read(text)
        .unwrap_err()
        .list
        .iter()
        .map(|p| (p.line, p.key.clone()))
        .collect();
    let keys: Vec<_> = lines
        .iter()
        .map(|(line, key)| (*line, key.as_str()))
        .collect();
    assert_eq!(
        keys,
        [
            (1, "program.b"),
            (2, "program.b.workers"),
            (4, "program.a.command"),
            (5, "program.a.spare"),
            (6, "nod"),
        ]
    );
}

#[test]
fn a_flood_of_problems_is_cut() {
    let text: String = (0..30).map(|index| format!("key{index} = 1\n")).collect();
    assert!(problems(&text).ends_with("\nand 10 more"));
}

/// Texts with one mistake each, and the first line of what is said about it.
const MISTAKES: &[(&str, &str)] = &[
    ("[node", "1:6: not TOML: unclosed table, expected `]`"),
    ("a = 1\na = 2", "2:1: not TOML: duplicate key"),
    ("[nodes]", "1:2: nodes: unknown key; did you mean node?"),
    (
        "[faceplate.https]",
        "1:12: faceplate.https: is no protocol; did you mean http? A table of any name can say \
         protocol = \"http\"",
    ),
    (
        "[node]\nzone = 1",
        "2:1: node.zone: unknown key; expected one of name, labels, roles, listen, \
         advertise, state, control, drain_timeout, access_log, protocol",
    ),
    ("node = 3", "1:8: node: expected a table, got 3"),
    (
        "[node]\nlabels = { rack = 1 }",
        "2:19: node.labels.rack: expected a string, got 1",
    ),
    (
        "[cluster]\nmasters = [\"10.0.0.1\"]",
        "2:12: cluster.masters[0]: expected a host and a port, such as \"10.0.0.1:7400\", got \"10.0.0.1\"",
    ),
    (
        "[cluster]\ntimeout = 10",
        "2:11: cluster.timeout: expected a duration from 1ms to 1d, such as \"500ms\", \"2s\", \
         \"5m\", \"1h\" or \"1d\", got 10",
    ),
    (
        "[faceplate.http]\nlisten = \"7480\"",
        "2:10: faceplate.http.listen: expected an address and a port, such as \"127.0.0.1:7480\" \
         or \"[::1]:7480\", got \"7480\"",
    ),
    (
        "[faceplate.http]\nlisten = \"0.0.0.0:7480\"",
        "2:10: faceplate.http.listen: 0.0.0.0 can be reached from other machines, and anyone who \
         reaches this port can call; make tokens with `katamari token new`, and set tls, or \
         listen on 127.0.0.1, or take it upon you with accept_risk = \"anyone who reaches this \
         port can call\"",
    ),
    (
        "[faceplate.http]\nbody_max = \"1GiB\"",
        "2:12: faceplate.http.body_max: expected a size from 1KiB to 16MiB, such as \"64KiB\", \
         \"10MB\" or a number of bytes, got \"1GiB\"",
    ),
    (
        "[program]\nparse = \"./parse\"",
        "2:9: program.parse: expected a program's table, such as [program.parse]",
    ),
    (
        "[program.\"a b\"]\ncommand = [\"sh\"]",
        "1:10: program.a b: expected a program's name of 1 to 100 characters a-z A-Z 0-9 _ -, got \"a b\"",
    ),
    (
        "[program.p]",
        "1:10: program.p: command is missing; add, for example: command = [\"./worker\"]",
    ),
    (
        "[program.p]\ncommand = \"sh -c x\"",
        "2:11: program.p.command: expected an array of strings, such as [\"./worker\", \
         \"--verbose\"], got \"sh -c x\"",
    ),
    (
        "[program.p]\ncommand = [\"sh\", 3]",
        "2:18: program.p.command[1]: expected a string, got 3",
    ),
    (
        "[program.p]\ncommand = [\"no-such-program\"]",
        "2:12: program.p.command[0]: cannot find the program \"no-such-program\" in PATH; install \
         it, or for one beside the configuration write \"./no-such-program\"",
    ),
    (
        "[program.p]\ncommand = [\"/no/such\"]",
        "2:12: program.p.command[0]: cannot find /no/such: No such file or directory (os error 2)",
    ),
    (
        "[program.p]\ncommand = [\"/etc/passwd\"]",
        "2:12: program.p.command[0]: /etc/passwd is not executable; try: chmod +x /etc/passwd",
    ),
    (
        "[program.p]\ncommand = [\"/\"]",
        "2:12: program.p.command[0]: / is a folder, expected a program",
    ),
    (
        "[program.p]\ncommand = [\"sh\", \"${NO_SUCH}\"]",
        "2:18: program.p.command[1]: the environment variable NO_SUCH is not set; set it before \
         `katamari up`, or write \"$$\" for a dollar sign",
    ),
    (
        "[program.p]\ncommand = [\"sh\", \"${\"]",
        "2:18: program.p.command[1]: \"${\" begins a variable such as ${HOME}; for a dollar sign \
         write \"$$\"",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nworker = 2",
        "3:1: program.p.worker: unknown key; did you mean workers?",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nworkers = \"many\"",
        "3:11: program.p.workers: expected a whole number from 1 to 100000, got \"many\"",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nworkers = 100001",
        "3:11: program.p.workers: expected a whole number from 1 to 100000, got 100001",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nworkers = { min = 3, max = 2 }",
        "3:28: program.p.workers.max: expected at least min, which is 3, got 2",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nspare = 1.5",
        "3:9: program.p.spare: expected a whole number from 0 to 100000, got 1.5",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\ntimeout = \"0s\"",
        "3:11: program.p.timeout: expected a duration from 1ms to 1d, such as \"500ms\", \"2s\", \
         \"5m\", \"1h\" or \"1d\", got \"0s\"",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nmemory_max = \"2 gigs\"",
        "3:14: program.p.memory_max: expected a size from 1MiB to 1TiB, such as \"64KiB\", \
         \"10MB\" or a number of bytes, got \"2 gigs\"",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\ndialect = \"jsn\"",
        "3:11: program.p.dialect: expected \"json\" or \"lines\" or \"exec\" or \"http\" or \"classic\", got \"jsn\"",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\non_disconnect = true",
        "3:17: program.p.on_disconnect: expected \"finish\" or \"kill\", got true",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nuser = \"no-such-user\"",
        "3:8: program.p.user: there is no user \"no-such-user\" on this machine",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nfolder = \"/no/such\"",
        "3:10: program.p.folder: there is no folder /no/such",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nenv = { \"A=B\" = \"1\" }",
        "3:9: program.p.env.A=B: expected the name of a variable, letters, digits and _, got \"A=B\"",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nenv = { KATAMARI_PROTOCOL = \"1\" }",
        "3:9: program.p.env.KATAMARI_PROTOCOL: KATAMARI_... is set by Katamari; use another name",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\nkind = \"parse\"",
        "3:1: program.p.kind: only for dialect = \"lines\", \"exec\" or \"http\"; a worker of \
         dialect \"json\" describes itself",
    ),
    (
        "[program.p]\ncommand = [\"sh\"]\ncalls = [\"a.b\"]",
        "3:10: program.p.calls[0]: expected a kind of 1 to 100 characters a-z A-Z 0-9 _ -, got \"a.b\"",
    ),
];

#[test]
fn each_mistake_is_explained() {
    for (text, expected) in MISTAKES {
        let said = problems(text);
        let first = said.lines().next().unwrap_or_default();
        assert_eq!(first, format!("katamari.toml:{expected}"), "{text}");
        assert_eq!(said.lines().count(), 3, "one problem and its line: {said}");
    }
}

/// Mistakes in the last line of a `lines` program, and what is said about them.
const LINES_MISTAKES: &[(&str, &str)] = &[
    (
        "parameters = [\"text: strnig\"]",
        "8:15: program.p.functions.f.parameters[0]: expected a type (string, integer, number, boolean, bytes, object, any, [T], {T} or T?), got \"strnig\"",
    ),
    (
        "parameters = [\"a?\", \"b\"]",
        "8:21: program.p.functions.f.parameters[1]: required parameters come before optional \
         ones; move it, or write \"b?\"",
    ),
    (
        "parameters = [\"a\", \"a: any\"]",
        "8:20: program.p.functions.f.parameters[1]: there are two parameters \"a\"",
    ),
    (
        "parameters = [\": string\"]",
        "8:15: program.p.functions.f.parameters[0]: expected a parameter such as \"text: string\" \
         or \"times?: integer\", got \": string\"",
    ),
    (
        "result = \"text\"",
        "8:10: program.p.functions.f.result: expected a type (string, integer, number, boolean, bytes, object, any, [T], {T} or T?), got \"text\"",
    ),
    (
        "idempotent = 1",
        "8:14: program.p.functions.f.idempotent: expected true or false, got 1",
    ),
    (
        "stream = true",
        "8:1: program.p.functions.f.stream: unknown key; expected one of parameters, doc, \
         idempotent, result",
    ),
];

#[test]
fn each_mistake_about_a_lines_worker_is_explained() {
    for (line, expected) in LINES_MISTAKES {
        let text = format!(
            "[program.p]\ncommand = [\"sh\"]\ndialect = \"lines\"\nkind = \"k\"\n\
             [program.p.functions.other]\n\n[program.p.functions.f]\n{line}"
        );
        let said = problems(&text);
        let first = said.lines().next().unwrap_or_default();
        assert_eq!(first, format!("katamari.toml:{expected}"), "{text}");
    }
    let bare = "[program.p]\ncommand = [\"sh\"]\ndialect = \"lines\"";
    let said: Vec<_> = read(bare)
        .unwrap_err()
        .list
        .into_iter()
        .map(|p| p.message)
        .collect();
    assert_eq!(
        said,
        [
            "kind is missing; add, for example: kind = \"shout\"",
            "functions are missing; add a table for each, for example: \
             [program.shout.functions.upper]",
        ]
    );
}

#[test]
fn a_control_socket_needs_a_short_path() {
    let text = format!("[node]\ncontrol = \"/{}\"", "x".repeat(107));
    let said = problems(&text);
    assert!(
        said.starts_with("katamari.toml:2:11: node.control: the control socket's path /xxx"),
        "{said}"
    );
    assert!(
        said.contains("has 108 bytes, a socket's path can have 107; set control to a shorter one")
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/no/such/katamari.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/no/such/katamari.toml: no such file; write one (docs/configuration.md), or name another"
    );
}

#[test]
fn whatever_is_cut_off_or_garbled_is_explained_and_nothing_panics() {
    let text = "# \u{fc}\n[program.p]\ncommand = [\"s\u{2603}h\", 1]\nenv = { A = \"${B\" }\n";
    for (cut, _) in text.char_indices() {
        for garbage in ["", "\u{2603}", "\"", "]", "= {", "\0", "\r"] {
            if let Err(problems) = read(&format!("{}{garbage}", &text[..cut])) {
                assert!(
                    problems.to_string().starts_with("katamari.toml:"),
                    "{problems}"
                );
            }
        }
    }
    assert!(
        problems(text).starts_with("katamari.toml:3:19: program.p.command[1]: expected a string")
    );
}
