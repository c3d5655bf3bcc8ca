//! Clients of a kind with awkward names, read by the languages they are for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Language, write};
use faceplate::contract::{Declared, Interface, interfaces};
use pool::Description;
use std::fs;
use std::process::Command;

fn awkward() -> Interface {
    let json = include_str!("../../../../faceplate/src/contract/awkward.json");
    let description: Description = serde_json::from_str(json).unwrap();
    let declared = Declared {
        description: &description,
        weight: 1,
    };
    interfaces([declared]).remove(0)
}

fn reads(language: Language, command: &[&str], file: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    fs::write(&path, write(language, &awkward())).unwrap();
    let output = Command::new(command[0])
        .args(&command[1..])
        .arg(&path)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{errors}\n{}",
        write(language, &awkward())
    );
    assert_eq!(errors, "");
}

#[test]
fn python_reads_a_client_with_awkward_names() {
    reads(
        Language::Python,
        &["python3", "-W", "error", "-m", "py_compile"],
        "c.py",
    );
}

#[test]
fn names_of_functions_and_arguments_that_are_no_identifiers_are_kept_on_the_wire() {
    let text = write(Language::Typescript, &awkward());
    for line in [
        "async get_user(args: { \"name\": string; \"parent\": number | null; ",
        "\"limits\"?: (number | null)[] }",
        "this.call(\"odd-kind/get-user\", args, options)",
        "async getUser_2(",
        "AsyncGenerator<number[][], void>",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
