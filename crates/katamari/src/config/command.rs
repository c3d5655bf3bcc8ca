//! A program's command and files: whether there is something to start.

use super::section::Entry;
use crate::files::Files;
use crate::files::find::Finder;
use rustix::fs::{Access, access};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Arguments of one command.
const ARGUMENTS_MAX: usize = 1_000;

/// Patterns of one program's files.
const PATTERNS_MAX: usize = 1_000;

/// A command whose program can be started. A program with a slash is a path from `folder`, and one of
/// `files` if there are any; others are searched in `path`, or else in this process's PATH.
pub fn read(
    entry: &Entry<'_>,
    folder: &Path,
    path: Option<&String>,
    files: Option<&Files>,
) -> Option<Vec<String>> {
    let what = "an array of strings, such as [\"./worker\", \"--verbose\"]";
    let entries = entry.list(what, ARGUMENTS_MAX)?;
    let mut command: Vec<String> = entries.iter().map(Entry::text).collect::<Option<_>>()?;
    let (Some(first), Some(program)) = (entries.first(), command.first_mut()) else {
        entry.report(format!("expected {what}, got none"));
        return None;
    };
    let found = if program.contains('/') {
        let absolute = folder.join(&*program);
        let is_absolute = program.starts_with('/');
        let checked = check(&absolute).and_then(|()| match files {
            Some(files) if !is_absolute => check_shipped(&absolute, program, files),
            _ => Ok(()),
        });
        *program = absolute.into_os_string().into_string().unwrap_or_default();
        checked
    } else {
        search(program, path)
    };
    found.map_err(|problem| first.report(problem)).ok()?;
    Some(command)
}

/// A program that is there has to come along.
fn check_shipped(absolute: &Path, program: &str, files: &Files) -> Result<(), String> {
    let within = files.path_of(absolute);
    let entry = within.and_then(|path| files.manifest.get(&path));
    if entry.is_some_and(|entry| entry.executable) {
        return Ok(());
    }
    Err(format!(
        "\"{program}\" is not among this program's files; add it to them"
    ))
}

/// The files of `files = [...]`, as they are now.
pub fn files(entry: &Entry<'_>, folder: &Path) -> Option<Files> {
    let what = "an array of paths, such as [\"parse.py\", \"lib/\", \"data/*.txt\"]";
    let patterns = entry.list(what, PATTERNS_MAX)?;
    if patterns.is_empty() {
        entry.report(format!("expected {what}, got none"));
        return None;
    }
    let mut finder = Finder::new(folder);
    let mut is_whole = true;
    for pattern in patterns {
        let added = pattern.text().map(|text| finder.add(&text));
        if let Some(Err(why)) = &added {
            pattern.report(why);
        }
        is_whole &= matches!(added, Some(Ok(())));
    }
    if !is_whole {
        return None;
    }
    finder.read().map_err(|why| entry.report(why)).ok()
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
