//! What the cases came to, as lines for people while it happens or as JSON at the end.

use super::case::Case;
use crate::cli::style::{Style, of_stdout};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Lines of a failed worker's stderr that are shown.
const STDERR_LINES_MAX: usize = 10;

/// What a case came to.
pub enum Outcome {
    /// The worker keeps the promise.
    Ok,
    /// It does not.
    Failed {
        /// What was expected and what came.
        why: String,
        /// What the worker wrote there.
        stderr: String,
    },
    /// The promise does not apply.
    Skipped(String),
}

/// Collects outcomes.
pub struct Report {
    json: bool,
    style: Style,
    command: String,
    cases: Vec<Value>,
    ok: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// An empty report about a command.
    pub fn new(json: bool, command: &[String]) -> Self {
        Self {
            json,
            style: of_stdout(),
            command: command.join(" "),
            cases: Vec::new(),
            ok: 0,
            failed: 0,
            skipped: 0,
        }
    }

    /// Notes an outcome, and prints it.
    pub fn add(&mut self, case: &Case, outcome: Outcome) -> io::Result<()> {
        let (name, promise) = (case.name, case.promise);
        let mut noted = match &outcome {
            Outcome::Ok => json!({"outcome": "ok"}),
            Outcome::Failed { why, stderr } => {
                json!({"outcome": "failed", "why": why, "stderr": tail(stderr)})
            }
            Outcome::Skipped(why) => json!({"outcome": "skipped", "why": why}),
        };
        noted["case"] = json!(name);
        noted["promise"] = json!(promise);
        self.cases.push(noted);
        let style = self.style;
        let line = match outcome {
            Outcome::Ok => {
                self.ok += 1;
                format!("{}       {name}: {promise}\n", style.green("ok"))
            }
            Outcome::Failed { why, stderr } => {
                self.failed += 1;
                let mut lines = format!("{}   {name}: {promise}: {why}\n", style.red("FAILED"));
                for line in tail(&stderr) {
                    lines += &format!("         {}\n", style.dim(&format!("stderr: {line}")));
                }
                lines
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                format!("{}  {name} ({why})\n", style.yellow("skipped"))
            }
        };
        if self.json {
            return Ok(());
        }
        io::stdout().write_all(line.as_bytes())
    }

    /// Prints the sum. Whether no case failed.
    pub fn finish(self) -> anyhow::Result<bool> {
        let text = if self.json {
            let sum = json!({
                "command": self.command,
                "ok": self.ok,
                "failed": self.failed,
                "skipped": self.skipped,
                "cases": self.cases,
            });
            serde_json::to_string_pretty(&sum)?
        } else {
            let (ok, failed, skipped) = (self.ok, self.failed, self.skipped);
            format!(
                "\n{ok} ok, {failed} failed, {skipped} skipped: {}",
                self.command
            )
        };
        io::stdout().write_all(format!("{text}\n").as_bytes())?;
        Ok(self.failed == 0)
    }
}

fn tail(stderr: &str) -> Vec<&str> {
    let lines: Vec<_> = stderr.lines().collect();
    lines[lines.len().saturating_sub(STDERR_LINES_MAX)..].to_vec()
}
