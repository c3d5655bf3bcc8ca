//! `files`: what a program ships has to fit its command.

use crate::config::Config;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// What is wrong with a program beside `parse.py` and `lib/run`; nothing, if it is good.
fn problem(program: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("lib")).expect("a folder");
    for name in ["parse.py", "lib/run"] {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let file = folder.path().join("katamari.toml");
    fs::write(&file, format!("[program.p]\n{program}")).expect("the file");
    let problem = Config::load(&file).err().map(|error| error.to_string());
    problem.unwrap_or_default()
}

#[test]
fn a_command_with_a_slash_is_one_of_the_files() {
    for good in [
        "command = [\"./lib/run\"]\nfiles = [\"lib/\"]",
        "command = [\"lib/run\"]\nfiles = [\"lib/*\"]",
        "command = [\"sh\", \"./parse.py\"]\nfiles = [\"parse.py\"]",
        "command = [\"/bin/sh\"]\nfiles = [\"parse.py\"]",
    ] {
        assert_eq!(problem(good), "", "{good}");
    }
    let left_out = problem("command = [\"./parse.py\"]\nfiles = [\"lib/\"]");
    assert!(
        left_out.contains("not among this program's files"),
        "{left_out}"
    );
    let around = problem("command = [\"./lib/../parse.py\"]\nfiles = [\"parse.py\"]");
    assert!(
        around.contains("not among this program's files"),
        "{around}"
    );
}

#[test]
fn each_pattern_means_something_and_there_is_no_other_folder() {
    let folder = problem("command = [\"sh\"]\nfolder = \"lib\"\nfiles = [\"parse.py\"]");
    assert!(folder.contains("leave folder out"), "{folder}");
    let none = problem("command = [\"sh\"]\nfiles = []");
    assert!(none.contains("expected an array of paths"), "{none}");
    let many = problem("command = [\"sh\"]\nfiles = [\"parse.py\", \"../x\", \"*.rs\"]");
    for why in [
        "files[1]: expected a path below",
        "files[2]: no file matches",
    ] {
        assert!(many.contains(why), "{many}");
    }
}
