//! `dialect = "exec"`: what a call is on a command line, on stdin and on stdout.

use super::lines;
use super::section::{Entry, Section};
use manager::dialect::Exec;
use manager::dialect::exec::{Output, Run, Stdin};
use manager::dialect::template::Template;
use pool::{Function, Type};
use std::collections::BTreeMap;

/// Arguments of one function.
const ARGUMENTS_MAX: usize = 1_000;

/// Settings of processes that take more calls than one.
const LASTING: [&str; 4] = ["max_calls", "max_age", "max_idle", "spare"];

/// Reads what an `exec` program is.
pub fn read(section: &mut Section<'_>) -> Option<Exec> {
    for key in LASTING {
        if let Some(entry) = section.get(key) {
            entry.report_key("a process of dialect \"exec\" ends with its call; leave this out");
        }
    }
    let mut functions = BTreeMap::new();
    let description = lines::describe(section, Vec::new(), &mut |function, section| {
        let run = run(function, section);
        function.result = match run.output {
            Output::Text => Type::String,
            Output::Bytes(_) => Type::Bytes,
            Output::Json => function.result.clone(),
        };
        functions.insert(function.name.clone(), run);
    })?;
    Some(Exec {
        description: description.into(),
        functions,
    })
}

fn run(function: &Function, section: &mut Section<'_>) -> Run {
    let names = lines::names(function);
    let arguments = section.get("arguments").map(|entry| {
        let what = "an array of strings, such as [\"--to\", \"{format}\"]";
        let entries = entry.list(what, ARGUMENTS_MAX).unwrap_or_default();
        let read = |entry: &Entry<'_>| {
            let template = Template::parse(&entry.text()?, &names);
            template.map_err(|problem| entry.report(problem)).ok()
        };
        entries.iter().filter_map(read).collect()
    });
    let stdin = section.get("stdin").and_then(|entry| {
        let text = entry.text()?;
        if text == "*" {
            return Some(Stdin::All);
        }
        if !names.contains(&&*text) {
            let names = names.join(", ");
            entry.report(format!(
                "expected the name of a parameter ({names}), or \"*\" for all as JSON, got \"{text}\""
            ));
        }
        Some(Stdin::Parameter(text))
    });
    let output = section.get("output").and_then(|entry| {
        Some(match &*entry.text()? {
            "text" => Output::Text,
            "json" => Output::Json,
            "bytes" => Output::Bytes("application/octet-stream".into()),
            text if text.contains('/') => Output::Bytes(text.into()),
            text => {
                entry.report(format!(
                    "expected \"text\", \"json\", \"bytes\" or a content type, got \"{text}\""
                ));
                return None;
            }
        })
    });
    Run {
        arguments: arguments.unwrap_or_default(),
        stdin: stdin.unwrap_or(Stdin::Nothing),
        output: output.unwrap_or(Output::Text),
    }
}
