//! What a process is started with: environment, folder, user; shown by a `lines` worker in sh.

mod support;

use dispatch::Code;
use manager::{Dialect, Program, User};
use pool::{Description, Details, Function};
use serde_json::json;
use std::sync::Arc;
use support::Node;

/// A `lines` worker that answers every call with the words given, as sh expands them.
fn shell(words: &str) -> Program {
    let script = format!(r#"while read -r line; do printf '{{"result":"%s"}}\n' "{words}"; done"#);
    let mut program = support::program("shell", &["sh", "-c", &script]);
    let function = Function {
        name: "tell".into(),
        doc: "".into(),
        idempotent: true,
        stream: false,
        input: false,
        parameters: Vec::new(),
        result: pool::Type::String,
        examples: Vec::new(),
    };
    program.process.dialect = Dialect::Lines(Arc::new(Description {
        details: Details::of_kind("shell"),
        terms: false,
        functions: vec![function],
    }));
    program
}

async fn tell(program: Program) -> Result<String, dispatch::CallError> {
    let node = Node::start();
    node.apply(vec![program]);
    let reply = node.make(node.call_kind("shell", "tell", json!({}))).await;
    support::json(reply).map(|told| told.as_str().expect("text").to_owned())
}

#[tokio::test]
async fn environment_and_folder_are_as_configured() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = shell("$PWD $COLOUR $KATAMARI_PROGRAM $KATAMARI_PROTOCOL");
    program.process.folder = folder.path().to_owned();
    program
        .process
        .env
        .insert("COLOUR".to_owned(), "red".to_owned());
    let told = tell(program).await.unwrap();
    assert_eq!(told, format!("{} red shell lines", folder.path().display()));
}

#[tokio::test]
async fn a_worker_leads_a_group_of_its_own() {
    let told = tell(shell("$$ $(cut -d' ' -f5 /proc/self/stat)"))
        .await
        .unwrap();
    let (pid, group) = told.split_once(' ').unwrap();
    assert_eq!(pid, group);
}

#[tokio::test]
async fn a_worker_runs_as_its_user_or_not_at_all() {
    let mut program = shell("$(id -u) $(id -g) $(id -G) $USER");
    program.process.user = Some(User {
        name: "nobody".to_owned(),
        uid: 65_534,
        gid: 65_534,
    });
    program.process.folder = "/".into();
    program.timeouts.call = std::time::Duration::from_secs(2);
    let told = tell(program).await;
    if rustix::process::geteuid().is_root() {
        assert_eq!(told.unwrap(), "65534 65534 65534 nobody");
    } else {
        // Only root may become somebody else: the program never starts.
        let code = told.unwrap_err().code;
        assert!(matches!(code, Code::Deadline | Code::NoPool), "{code:?}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let node = Node::start();
    let mut program = shell("x");
    program.process.folder = "/no/such/folder".into();
    node.apply(vec![program]);
    let status = node
        .until("shell", |program| program.problem.is_some())
        .await;
    assert!(status.problem.unwrap().contains("/no/such/folder"));
}
