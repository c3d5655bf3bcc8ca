//! Good configurations: every key, and what stands where there is none.

use super::*;
use ::faceplate::Limits;
use manager::{Dialect, OnDisconnect};

#[test]
fn an_empty_file_is_a_node_without_programs() {
    let config = read("").unwrap();
    assert_eq!(config.http().listen.to_string(), "127.0.0.1:7480");
    assert_eq!(
        config.node.control,
        std::env::temp_dir().join("katamari.sock")
    );
    assert_eq!(config.node.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.cluster.timeout, Duration::from_secs(10));
    assert_eq!(config.programs, []);
}

#[test]
fn a_program_needs_only_its_command() {
    let config = read("[program.parse]\ncommand = [\"sh\"]").unwrap();
    let program = &config.programs[0].run;
    assert_eq!(&*program.name, "parse");
    assert_eq!(program.process.command, ["sh"]);
    assert_eq!(program.process.folder, std::env::temp_dir());
    assert_eq!(program.process.dialect, Dialect::Json);
    assert_eq!((program.workers, program.spare, program.weight), (1, 0, 1));
    assert_eq!(
        (program.queue_max, program.queue_bytes_max),
        (100, 64 << 20)
    );
    assert_eq!(
        program.timeouts.call,
        Duration::from_secs(10),
        "the cluster's"
    );
    assert_eq!(program.on_disconnect, OnDisconnect::Finish);
    assert_eq!(program.limits, manager::Limits::default());
}

#[test]
fn every_key_of_this_machine_is_read() {
    let config = read(
        r#"
        [node]
        labels = { rack = "r1" }
        control = "/run/k.sock"
        drain_timeout = "1m"
        access_log = true
        protocol = 1
        [faceplate.http]
        listen = "[::1]:0"
        body_max = "1MiB"
        header_max = 10_000
        connections_max = 10
        header_timeout = "1s"
        body_timeout = "2s"
        write_timeout = "3s"
        idle_timeout = "30d"
        [cluster]
        timeout = "3s"
        "#,
    )
    .unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(config.node.labels["rack"], "r1");
    assert_eq!(config.node.control, Path::new("/run/k.sock"));
    assert_eq!(config.node.drain_timeout, seconds(60));
    assert!(config.node.access_log);
    assert_eq!(config.node.versions(), 1..=1);
    assert_eq!(config.cluster.timeout, seconds(3));
    assert_eq!(config.http().listen.to_string(), "[::1]:0");
    let limits = Limits {
        body_max: 1 << 20,
        header_max: 10_000,
        connections_max: 10,
        header_timeout: seconds(1),
        body_timeout: seconds(2),
        write_timeout: seconds(3),
        idle_timeout: seconds(30 * 24 * 60 * 60),
    };
    assert_eq!(config.http().limits, limits);
}

#[test]
fn any_number_of_faceplates_and_a_statsd_server_are_read() {
    let config = read(
        r#"
        [faceplate.jsonrpc]
        framing = "lengths"
        [faceplate.lines]
        protocol = "tcp"
        listen = "127.0.0.1:0"
        function = "parse.linkage"
        [statsd]
        address = "stats:8125"
        "#,
    )
    .unwrap();
    let names: Vec<_> = config.faceplates.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["http", "jsonrpc", "lines"]);
    assert_eq!(config.faceplates[1].listen.port(), 7481);
    assert_eq!(config.faceplates[2].listen.port(), 0);
    let statsd = config.statsd.expect("it is set");
    assert_eq!(
        (&*statsd.address, &*statsd.prefix),
        ("stats:8125", "katamari")
    );
    assert_eq!(statsd.every, Duration::from_secs(10));
}

#[test]
fn what_a_program_starts_and_takes_is_read() {
    let config = read(
        r#"
        [program.parse]
        command = ["sh", "--dict", "${DICT}/en", "5$$"]
        dialect = "json"
        workers = { min = 2, max = 8 }
        spare = 1
        weight = 0
        queue_max = 7
        queue_bytes_max = 1000
        on_disconnect = "kill"
        calls = ["reform", "parse"]
        env = { LANG = "C", WORDS = "${DICT}" }
        folder = "/"
        log_lines_per_second = 5
        "#,
    )
    .unwrap();
    let program = &config.programs[0].run;
    assert_eq!(
        program.process.command,
        ["sh", "--dict", "/usr/share/dict/en", "5$"]
    );
    assert_eq!(program.process.env["WORDS"], "/usr/share/dict");
    assert_eq!(program.process.folder, Path::new("/"));
    assert_eq!((program.workers, program.spare, program.weight), (2, 1, 0));
    assert_eq!((program.queue_max, program.queue_bytes_max), (7, 1000));
    assert_eq!(program.on_disconnect, OnDisconnect::Kill);
    assert_eq!(program.calls, ["reform".into(), "parse".into()]);
    assert_eq!(program.log_lines_per_second, 5);
}

#[test]
fn the_limits_and_timeouts_of_a_program_are_read() {
    let config = read(
        r#"
        [program.parse]
        command = ["sh"]
        memory_max = "512MiB"
        max_calls = 10_000
        max_age = "1d"
        max_idle = "1h"
        cpu_max = "10m"
        timeout = "2s"
        start_timeout = "61s"
        stop_timeout = "500ms"
        terminate_timeout = "3s"
        ping_every = "6s"
        ping_timeout = "7s"
        "#,
    )
    .unwrap();
    let seconds = Duration::from_secs;
    let limits = manager::Limits {
        max_calls: Some(10_000),
        max_age: Some(seconds(86_400)),
        max_idle: Some(seconds(3_600)),
        memory_max: Some(512 << 20),
        cpu_max: Some(seconds(600)),
    };
    assert_eq!(config.programs[0].run.limits, limits);
    let timeouts = manager::Timeouts {
        start: seconds(61),
        call: seconds(2),
        stop: Duration::from_millis(500),
        terminate: seconds(3),
        ping_every: seconds(6),
        ping: seconds(7),
    };
    assert_eq!(config.programs[0].run.timeouts, timeouts);
}

#[test]
fn the_own_user_may_be_named_by_anybody() {
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap();
    let text = format!("[program.p]\ncommand = [\"sh\"]\nuser = \"{}\"", own.name);
    let config = read(&text).unwrap();
    let user = config.programs[0].run.process.user.clone().unwrap();
    assert_eq!(
        (user.name, user.uid, user.gid),
        (own.name, own.uid.as_raw(), own.gid.as_raw())
    );
}

#[test]
fn a_lines_worker_is_described_by_the_configuration() {
    let config = read(
        r#"
        [program.shout]
        command = ["awk"]
        dialect = "lines"
        kind = "shout"
        versions = { grammar = "1.2" }
        tags = ["en"]
        roles = ["staging"]
        [program.shout.functions.upper]
        parameters = ["text: string", "times?: integer", "rest?"]
        idempotent = true
        doc = "Shouts."
        result = "string"
        [program.shout.functions.lower]
        "#,
    )
    .unwrap();
    let Dialect::Lines(description) = &config.programs[0].run.process.dialect else {
        panic!("expected the dialect lines")
    };
    assert_eq!(description.details.kind.as_deref(), Some("shout"));
    assert_eq!(description.details.versions["grammar"], "1.2".into());
    assert!(
        description.details.tags.contains("en") && description.details.roles.contains("staging")
    );
    let upper = description.function("upper").unwrap();
    assert_eq!(upper.signature(), "upper(text, times?, rest?)");
    assert!(upper.idempotent && &*upper.doc == "Shouts." && upper.result == pool::Type::String);
    assert_eq!(upper.parameters[2].r#type, pool::Type::Any);
    assert_eq!(
        description.function("lower").unwrap().signature(),
        "lower()"
    );
}
