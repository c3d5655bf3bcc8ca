//! A program's command: whether there is something to start.

use super::section::Entry;
use rustix::fs::{Access, access};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Arguments of one command.
const ARGUMENTS_MAX: usize = 1_000;

/// A command whose program can be started. A program with a slash is a path from `folder`; others
/// are searched in `path`, or else in this process's PATH.
pub fn read(entry: &Entry<'_>, folder: &Path, path: Option<&String>) -> Option<Vec<String>> {
    let what = "an array of strings, such as [\"./worker\", \"--verbose\"]";
    let entries = entry.list(what, ARGUMENTS_MAX)?;
    let mut command: Vec<String> = entries.iter().map(Entry::text).collect::<Option<_>>()?;
    let (Some(first), Some(program)) = (entries.first(), command.first_mut()) else {
        entry.report(format!("expected {what}, got none"));
        return None;
    };
    let found = if program.contains('/') {
        let absolute = folder.join(&*program);
        let checked = check(&absolute);
        *program = absolute.into_os_string().into_string().unwrap_or_default();
        checked
    } else {
        search(program, path)
    };
    found.map_err(|problem| first.report(problem)).ok()?;
    Some(command)
}

fn check(program: &Path) -> Result<(), String> {
    let shown = program.display();
    if program.is_dir() {
        return Err(format!("{shown} is a folder, expected a program"));
    }
    if let Err(error) = access(program, Access::EXISTS) {
        return Err(format!("cannot find {shown}: {error}"));
    }
    if access(program, Access::EXEC_OK).is_err() {
        return Err(format!("{shown} is not executable; try: chmod +x {shown}"));
    }
    Ok(())
}

fn search(program: &str, path: Option<&String>) -> Result<(), String> {
    if program.is_empty() {
        return Err("expected a program, got \"\"".to_owned());
    }
    let path = path
        .map(OsString::from)
        .or_else(|| std::env::var_os("PATH"))
        .unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| check(&folder.join(program)).is_ok());
    if is_there {
        return Ok(());
    }
    Err(format!(
        "cannot find the program \"{program}\" in PATH; install it, or for one beside the \
         configuration write \"./{program}\""
    ))
}

/// A working folder that exists.
pub fn folder(entry: &Entry<'_>, base: &Path) -> Option<PathBuf> {
    let folder = base.join(entry.text()?);
    if !folder.is_dir() {
        entry.report(format!("there is no folder {}", folder.display()));
        return None;
    }
    Some(folder)
}
