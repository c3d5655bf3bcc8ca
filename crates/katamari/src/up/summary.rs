//! What a node says when it starts: where it listens and what it runs.

use super::ready::Ready;
use super::shown;
use crate::cli::style::{self, Style};
use crate::config::Config;
use crate::config::faceplate::HTTP;
use std::fmt::Write;
use std::path::Path;

/// Programs that are listed one by one.
const LISTED_MAX: usize = 20;

/// Prints the summary on stdout. A closed stdout is no reason not to serve.
pub fn print(ready: &Ready, config: &Config, is_alone: bool) {
    use std::io::Write as _;
    let text = text(ready, config, is_alone, style::of_stdout());
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn text(ready: &Ready, config: &Config, is_alone: bool, style: Style) -> String {
    let mut doors = Vec::new();
    for faceplate in &config.faceplates {
        let Some(address) = ready.faceplates.get(&faceplate.name) else {
            continue;
        };
        let (name, secure) = (&faceplate.name, faceplate.tls.is_some());
        doors.push(match (&**name, secure) {
            (HTTP, false) => format!("http://{address}"),
            (HTTP, true) => format!("https://{address}"),
            (_, false) => format!("{name} {address}"),
            (_, true) => format!("{name} {address} (TLS)"),
        });
    }
    if doors.is_empty() {
        doors.push("without a faceplate".to_owned());
    }
    let doors = doors.join("  ");
    let mut text = format!(
        "{} {doors}  control {}  pid {}\n",
        style.bold("katamari"),
        shown(&ready.control),
        ready.pid
    );
    if !is_alone {
        text.push_str("  a node of a cluster; what runs there: katamari status\n");
        return text;
    }
    if config.programs.is_empty() {
        text.push_str("  no programs yet; add [program.NAME] to the file, then: katamari reload\n");
    }
    for program in config.programs.iter().take(LISTED_MAX) {
        let spare = if program.run.spare > 0 {
            format!(" + {} spare", program.run.spare)
        } else {
            String::new()
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {} × {}{spare}  {}",
            style.bold(&program.run.name),
            program.run.workers,
            style.dim(&program.run.process.command.join(" "))
        );
    }
    let more = config.programs.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

/// What `--dry-run` says about a good file.
pub fn dry_run(file: &Path, config: &Config) -> String {
    let names: Vec<&str> = config
        .programs
        .iter()
        .map(|program| &*program.run.name)
        .collect();
    let programs = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    let advice = faceplate::advice(config.cluster.masters.len());
    let advice = advice.map(|advice| format!("\nwarning: {advice}"));
    let advice = advice.unwrap_or_default();
    format!("{} is fine; programs: {programs}{advice}", file.display())
}
