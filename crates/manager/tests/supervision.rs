//! Workers that die, hang, leak, grow old: what callers see of it, with real processes.

mod support;

use dispatch::{Answer, Code};
use manager::{Limits, OnDisconnect, ProgramState, WorkerState, WorkerStatus};
use std::collections::BTreeSet;
use std::time::Duration;
use support::{Node, json, kill, lives, raw};
use tokio::time::Instant;

#[tokio::test]
async fn a_call_reaches_a_worker_that_is_still_starting() {
    let node = Node::start();
    let changes = node.apply(vec![raw("a", "good")]);
    assert_eq!(changes.added, ["a".into()]);
    assert!(node.ask("echo", "x").await.unwrap()["pid"].is_number());
}

#[tokio::test]
async fn a_death_in_mid_call_is_answered_at_once_with_all_that_is_known() {
    let node = Node::start();
    node.apply(vec![raw("a", "good")]);
    let error = node.ask("once", "die").await.unwrap_err();
    assert_eq!(error.code, Code::WorkerDied);
    let detail = error.detail.clone().expect("details of the death");
    assert_eq!(detail.signal, Some(11));
    assert_eq!(detail.stderr, ["about to fall over"]);
    let pid = detail.pid.expect("the pid");
    assert!(error.message.contains(&pid.to_string()), "{error}");
    assert!(error.message.contains("SIGSEGV"), "{error}");
    let next = node.ask("once", "x").await.unwrap();
    assert_ne!(next["pid"], pid, "another worker has taken its place");
}

#[tokio::test]
async fn an_idempotent_call_survives_the_death_of_its_worker() {
    let node = Node::start();
    let mut program = raw("a", "good");
    program.workers = 2;
    node.apply(vec![program]);
    node.until("a", |program| program.workers_live == 2).await;
    let mut call = node.call("echo", serde_json::json!({ "value": "hang" }));
    call.idempotent = Some(true);
    let made = node.make(call);
    tokio::pin!(made);
    // Kill whoever runs it, twice; the third attempt hangs until it is killed as well.
    let mut killed = BTreeSet::new();
    loop {
        tokio::select! {
            reply = &mut made => {
                let error = json(reply).unwrap_err();
                assert_eq!(error.code, Code::WorkerDied, "after two repetitions it is final");
                break;
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                let status = node.program("a").await;
                if let Some(busy) = status.workers.iter().find(|worker| worker.running > 0)
                    && killed.insert(busy.pid)
                {
                    kill(busy.pid);
                }
            }
        }
    }
    assert_eq!(killed.len(), 3);
}

#[tokio::test]
async fn a_hung_call_is_answered_at_its_deadline_and_its_slot_comes_back() {
    let node = Node::start();
    let mut program = raw("a", "good");
    program.timeouts.call = Duration::from_millis(300);
    program.timeouts.stop = Duration::from_millis(100);
    node.apply(vec![program]);
    node.until("a", |program| program.workers_live == 1).await;
    let first = node.ask("once", "x").await.unwrap();
    let start = Instant::now();
    let error = node.ask("once", "hang").await.unwrap_err();
    assert_eq!(error.code, Code::Deadline);
    assert!(start.elapsed() >= Duration::from_millis(300));
    let pid = first["pid"].as_u64().unwrap();
    node.until("a", |program| program.failures == 1).await;
    assert!(!lives(pid), "the worker that hung was killed");
    let second = node.ask("once", "x").await.unwrap();
    assert_ne!(first["pid"], second["pid"]);
}

#[tokio::test]
async fn a_worker_that_ignores_sigterm_is_killed() {
    let node = Node::start();
    let mut program = raw("a", "stubborn");
    program.timeouts.call = Duration::from_millis(200);
    program.timeouts.stop = Duration::from_millis(50);
    program.timeouts.terminate = Duration::from_millis(50);
    node.apply(vec![program]);
    node.until("a", |program| program.workers_live == 1).await;
    let pid = node.ask("once", "x").await.unwrap()["pid"]
        .as_u64()
        .unwrap();
    assert_eq!(
        node.ask("once", "hang").await.unwrap_err().code,
        Code::Deadline
    );
    node.until("a", |program| program.failures == 1).await;
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_spare_takes_the_place_of_a_hung_worker_before_it_is_gone() {
    let node = Node::start();
    let mut program = raw("a", "good");
    program.spare = 1;
    program.timeouts.call = Duration::from_millis(200);
    program.timeouts.stop = Duration::from_secs(20);
    node.apply(vec![program]);
    let standby = |worker: &WorkerStatus| worker.state == WorkerState::Standby;
    node.until("a", |p| {
        p.workers_live == 1 && p.workers.iter().any(standby)
    })
    .await;
    assert_eq!(
        node.ask("once", "hang").await.unwrap_err().code,
        Code::Deadline
    );
    assert!(
        node.ask("once", "x").await.is_ok(),
        "while the first one is given 20 s to stop"
    );
}

#[tokio::test]
async fn a_client_that_leaves_has_its_call_finished_or_killed_as_configured() {
    for (policy, survives) in [(OnDisconnect::Finish, true), (OnDisconnect::Kill, false)] {
        let node = Node::start();
        let mut program = raw("a", "good");
        program.on_disconnect = policy;
        program.timeouts.stop = Duration::from_millis(50);
        node.apply(vec![program]);
        let pid = node.ask("once", "x").await.unwrap()["pid"]
            .as_u64()
            .unwrap();
        let call = node.call("once", serde_json::json!({ "value": "hang" }));
        let left = tokio::time::timeout(Duration::from_millis(200), node.caller.call(call)).await;
        assert!(left.is_err(), "it hangs");
        if survives {
            let status = node.program("a").await;
            assert_eq!(
                status.workers[0].running, 1,
                "it runs on until its deadline"
            );
            assert!(lives(pid));
        } else {
            node.until("a", |program| program.failures == 1).await;
            assert!(!lives(pid));
        }
    }
}

#[tokio::test]
async fn a_limit_of_calls_replaces_workers_without_losing_one() {
    let node = Node::start();
    let mut program = raw("a", "good");
    program.workers = 2;
    program.limits = Limits {
        max_calls: Some(10),
        ..Limits::default()
    };
    node.apply(vec![program]);
    let mut pids = BTreeSet::new();
    while pids.len() < 6 {
        pids.insert(
            node.ask("once", "x").await.unwrap()["pid"]
                .as_u64()
                .unwrap(),
        );
    }
    let status = node.until("a", |program| program.retirements >= 4).await;
    assert_eq!(status.failures, 0);
}

#[tokio::test]
async fn a_leaking_worker_is_replaced_before_it_reaches_its_limit() {
    let node = Node::start();
    let mut program = raw("a", "good");
    let memory_max = 64 << 20;
    program.limits = Limits {
        memory_max: Some(memory_max),
        ..Limits::default()
    };
    node.apply(vec![program]);
    for _ in 0..200 {
        node.ask("once", "leak").await.expect("no call fails");
        for worker in node.program("a").await.workers {
            assert!(worker.memory_bytes <= memory_max, "{worker:?}");
        }
    }
    let status = node.until("a", |program| program.retirements >= 3).await;
    assert_eq!(status.failures, 0);
}

/// A program that may hold 64 MiB is killed for a call that takes more.
async fn swells_beyond_64_mib(node: &Node, value: &str) {
    let mut program = raw("a", "good");
    program.limits = Limits {
        memory_max: Some(64 << 20),
        ..Limits::default()
    };
    node.apply(vec![program]);
    let error = node.ask("echo", value).await;
    let error = error.expect_err("it takes more than it may");
    assert_eq!(error.code, Code::WorkerDied);
    assert!(
        error.message.contains("its memory_max is 64 MiB"),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_that_takes_all_memory_is_killed_and_not_made_again() {
    let node = Node::start();
    swells_beyond_64_mib(&node, "swell").await;
    assert!(node.ask("echo", "x").await.is_ok());
    assert_eq!(
        node.program("a").await.failures,
        1,
        "echo is idempotent, but this call is poison"
    );
}

#[tokio::test]
async fn memory_of_a_child_counts_for_its_worker() {
    let node = Node::start();
    swells_beyond_64_mib(&node, "child swells").await;
    // Once its child was found, one that leaks is replaced before it reaches the limit.
    node.ask("once", "child leaks").await.expect("a new worker");
    node.ask("once", "nap").await.expect("time for some looks");
    for _ in 0..60 {
        node.ask("once", "child leaks")
            .await
            .expect("no call fails");
    }
    let status = node.until("a", |program| program.retirements >= 1).await;
    assert_eq!(status.failures, 1);
}

#[tokio::test]
async fn age_and_idleness_retire_workers() {
    let age = Limits {
        max_age: Some(Duration::from_millis(300)),
        ..Limits::default()
    };
    let idle = Limits {
        max_idle: Some(Duration::from_millis(300)),
        ..Limits::default()
    };
    for limits in [age, idle] {
        let node = Node::start();
        let mut program = raw("a", "good");
        program.limits = limits;
        node.apply(vec![program]);
        let status = node.until("a", |program| program.retirements >= 2).await;
        assert_eq!(status.failures, 0);
    }
}

#[tokio::test]
async fn processor_time_retires_workers_without_losing_a_call() {
    let node = Node::start();
    let mut program = raw("a", "good");
    program.limits.cpu_max = Some(Duration::from_millis(500));
    node.apply(vec![program]);
    let mut pids = BTreeSet::new();
    while pids.len() < 3 {
        pids.insert(
            node.ask("once", "burn").await.unwrap()["pid"]
                .as_u64()
                .unwrap(),
        );
    }
    let status = node.until("a", |program| program.retirements >= 2).await;
    assert_eq!(status.failures, 0);
}

#[tokio::test]
async fn a_worker_may_answer_and_exit() {
    let node = Node::start();
    node.apply(vec![raw("a", "good")]);
    assert_eq!(node.ask("once", "leave").await.unwrap(), "bye");
    assert!(node.ask("once", "x").await.is_ok());
    let status = node.until("a", |program| program.retirements == 1).await;
    assert_eq!(status.failures, 0, "that is no failure");
}

#[tokio::test]
async fn an_idle_worker_that_answers_no_ping_is_replaced() {
    let node = Node::start();
    let mut program = raw("a", "deaf");
    program.timeouts.ping_every = Duration::from_millis(50);
    program.timeouts.ping = Duration::from_millis(50);
    node.apply(vec![program]);
    let status = node.until("a", |program| program.failures > 0).await;
    assert!(status.problem.unwrap().contains("answered no ping"));
}

#[tokio::test]
async fn a_new_command_takes_over_without_losing_a_call() {
    let node = Node::start();
    let version = |mark: &str| {
        let mut program = raw("a", "good");
        program.workers = 2;
        program
            .process
            .env
            .insert("MARK".to_owned(), mark.to_owned());
        program
    };
    node.apply(vec![version("1")]);
    assert_eq!(node.ask("once", "x").await.unwrap()["env"], "1");
    let changes = node.apply(vec![version("2")]);
    assert_eq!(changes.replaced, ["a".into()]);
    let mut seen = Vec::new();
    while seen.last().is_none_or(|mark| mark != "2") {
        let answer = node.ask("once", "x").await.expect("no call is lost");
        seen.push(answer["env"].as_str().unwrap().to_owned());
    }
    node.until("a", |program| {
        program.workers.len() == 2 && program.workers_live == 2
    })
    .await;
    for _ in 0..10 {
        assert_eq!(node.ask("once", "x").await.unwrap()["env"], "2");
    }
    assert_eq!(node.apply(vec![version("2")]), manager::Changes::default());
}

#[tokio::test]
async fn a_program_that_takes_anothers_place_is_there_before_it_goes() {
    let node = Node::start();
    node.apply(vec![raw("old", "good")]);
    let old = node.ask("once", "x").await.unwrap();
    let changes = node.apply(vec![raw("new", "good")]);
    assert_eq!(
        (changes.added, changes.removed),
        (vec!["new".into()], vec!["old".into()])
    );
    loop {
        let answer = node
            .ask("once", "x")
            .await
            .expect("one of them is always there");
        if answer["pid"] != old["pid"] && node.manager.status().await.len() == 1 {
            break;
        }
    }
    assert!(!lives(old["pid"].as_u64().unwrap()));
}

#[tokio::test]
async fn a_removal_can_be_taken_back_while_its_successor_does_not_come_up() {
    let node = Node::start();
    node.apply(vec![raw("old", "good")]);
    let before = node.ask("once", "x").await.unwrap();
    node.apply(vec![raw("new", "silent")]);
    assert_eq!(
        node.ask("once", "x").await.unwrap(),
        before,
        "it covers for the new one"
    );
    node.apply(vec![raw("old", "good")]);
    assert_eq!(
        node.ask("once", "x").await.unwrap(),
        before,
        "it never went"
    );
    node.until("old", |program| program.state == ProgramState::Running)
        .await;
    while node.manager.status().await.len() > 1 {
        assert_eq!(node.ask("once", "x").await.unwrap(), before);
    }
}

#[tokio::test]
async fn a_program_that_goes_and_comes_back_serves() {
    let node = Node::start();
    for _ in 0..3 {
        node.apply(vec![raw("a", "good")]);
        node.ask("once", "x").await.expect("it is there");
        node.apply(Vec::new());
    }
}

#[tokio::test]
async fn a_worker_that_comes_back_from_standby_with_a_call_in_hand_is_not_lost() {
    let node = Node::start();
    let sized = |workers: usize, spare: usize| {
        let mut program = raw("a", "good");
        (program.workers, program.spare) = (workers, spare);
        program
    };
    node.apply(vec![sized(2, 0)]);
    node.until("a", |program| program.workers_live == 2).await;
    let nap = || node.make(node.call("once", serde_json::json!({ "value": "nap" })));
    let naps = tokio::join!(nap(), nap(), async {
        node.until("a", |p| {
            p.workers.iter().filter(|w| w.running == 1).count() == 2
        })
        .await;
        // One of the two is put on standby in the middle of its call, and called back at once.
        node.apply(vec![sized(1, 1)]);
        node.until("a", |program| program.workers_live == 1).await;
        node.apply(vec![sized(2, 0)]);
        node.until("a", |program| program.workers_live == 2).await;
    });
    assert!(json(naps.0).is_ok() && json(naps.1).is_ok());
    // Two calls at a time need both.
    let both = tokio::join!(nap(), nap());
    assert_ne!(json(both.0).unwrap()["pid"], json(both.1).unwrap()["pid"]);
}

#[tokio::test]
async fn a_worker_that_floods_its_pipe_can_still_be_stopped() {
    let node = Node::start();
    let mut program = raw("a", "pongs");
    program.timeouts.stop = Duration::from_millis(50);
    program.timeouts.terminate = Duration::from_millis(50);
    node.apply(vec![program]);
    let status = node.until("a", |program| program.workers_live == 1).await;
    node.manager.stop().await;
    assert!(!lives(u64::from(status.workers[0].pid)));
}

#[tokio::test]
async fn what_a_worker_leaves_behind_cannot_hold_the_node_up() {
    let node = Node::start();
    node.apply(vec![raw("a", "heir"), raw("b", "good")]);
    node.until("a", |program| program.failures > 0).await;
    assert!(node.ask("once", "x").await.is_ok());
}

#[tokio::test]
async fn a_call_that_kills_workers_does_not_take_the_program_down() {
    let node = Node::start();
    node.apply(vec![raw("a", "good")]);
    for _ in 0..8 {
        assert_eq!(
            node.ask("once", "die").await.unwrap_err().code,
            Code::WorkerDied
        );
    }
    assert!(node.ask("once", "x").await.is_ok());
}

#[tokio::test]
async fn a_key_that_fits_no_header_is_an_error_of_its_call_alone() {
    let node = Node::start();
    node.apply(vec![raw("a", "good")]);
    let mut call = node.call("once", serde_json::json!({}));
    call.key = Some("\"".repeat(60_000).into());
    assert!(node.make(call).await.result.is_err());
    assert!(node.ask("once", "x").await.is_ok());
    assert_eq!(node.program("a").await.failures, 0);
}

#[tokio::test]
async fn stopping_leaves_no_process() {
    let node = Node::start();
    let mut program = raw("a", "good");
    program.workers = 3;
    node.apply(vec![program]);
    let status = node.until("a", |program| program.workers_live == 3).await;
    node.manager.stop().await;
    for worker in status.workers {
        assert!(!lives(u64::from(worker.pid)));
    }
    assert!(node.manager.status().await.is_empty());
}

#[tokio::test]
async fn a_stream_beyond_its_credit_is_a_breach() {
    let node = Node::start();
    node.apply(vec![raw("a", "overdraw")]);
    let reply = node.make(node.call("pieces", serde_json::json!({}))).await;
    let Ok(Answer::Stream(mut pieces)) = reply.result else {
        panic!("a stream")
    };
    // Nothing is taken, so no credit goes back.
    let status = node.until("a", |program| program.failures > 0).await;
    assert!(status.problem.unwrap().contains("without credit"));
    let mut taken = 0;
    let error = loop {
        match pieces.next().await {
            Some(Ok(piece)) => taken += piece.size(),
            Some(Err(error)) => break error,
            None => panic!("a broken stream ends in an error"),
        }
    };
    assert_eq!(error.code, Code::Protocol);
    assert!(
        taken <= dispatch::CREDIT + 65_538,
        "{taken} bytes were held for a reader that sleeps"
    );
}

#[tokio::test]
async fn breaches_of_the_protocol_fail_the_call_and_the_worker_but_nobody_else() {
    let node = Node::start();
    node.apply(vec![raw("a", "good")]);
    for (wish, problem) in [
        ("garbage", "Segmentation fault (just kidding)"),
        ("not json", "{oops"),
    ] {
        let error = node.ask("once", wish).await.unwrap_err();
        assert_eq!(error.code, Code::Protocol, "{error}");
        assert!(error.message.contains(problem), "{error}");
    }
    assert_eq!(
        node.ask("once", "twice").await.unwrap(),
        1,
        "the first answer counts"
    );
    let status = node.until("a", |program| program.failures == 3).await;
    assert!(status.problem.unwrap().contains("which it does not hold"));
    assert!(node.ask("once", "x").await.is_ok());
}

#[tokio::test]
async fn a_nested_call_that_cannot_be_understood_is_answered() {
    let node = Node::start();
    node.apply(vec![raw("a", "good")]);
    let answer = node.ask("once", "bad nested").await.unwrap();
    assert_eq!(answer, serde_json::json!(["B", "bad_request"]));
    assert_eq!(node.program("a").await.failures, 0);
}

#[tokio::test]
async fn workers_that_never_get_going_have_a_clear_state_and_harm_nobody() {
    let node = Node::start();
    let mut silent = raw("silent", "silent");
    silent.timeouts.start = Duration::from_millis(200);
    let cases = [
        ("garbage", "Loading dictionary"),
        ("nonsense", "no such kind!"),
        (
            "early exit",
            "exited with status 3 during the interrogation",
        ),
        ("daemon", "exited with status 0 during the interrogation"),
    ];
    let mut programs = vec![raw("good", "good"), silent];
    programs.extend(cases.iter().map(|(mode, _)| raw(mode, mode)));
    programs.push(support::program("absent", &["/no/such/command"]));
    node.apply(programs);
    for (name, problem) in cases
        .iter()
        .chain(&[("silent", "said no hello"), ("absent", "/no/such/command")])
    {
        let status = node.until(name, |program| program.problem.is_some()).await;
        let said = status.problem.unwrap();
        assert!(said.contains(problem), "{name}: {said}");
    }
    assert!(node.ask("once", "x").await.is_ok());
    let looping = node
        .until("early exit", |p| p.state == ProgramState::CrashLooping)
        .await;
    assert_eq!(looping.workers_live, 0);
    assert!(
        looping
            .log
            .iter()
            .any(|line| line.contains("cannot open dictionary")),
        "{looping:?}"
    );
    assert!(node.ask("once", "x").await.is_ok());
}

#[tokio::test]
async fn a_flood_on_stderr_is_dropped_and_counted_and_blocks_nobody() {
    let node = Node::start();
    node.apply(vec![raw("a", "flood")]);
    assert!(node.ask("once", "x").await.is_ok());
    let status = node
        .until("a", |program| program.log_lines_dropped > 10_000)
        .await;
    assert!(status.log.len() <= 50);
}
