//! `katamari client`: a small typed client of one kind, as one file without dependencies.
//!
//! Each language has a fixed part, `client.py` and so on beside this file, and behind it a class of
//! the kind with a method for each of its functions.

mod python;
mod ruby;
mod typescript;

use super::{NodeArgs, live, say};
use clap::ValueEnum;
use faceplate::contract::Interface;
use pool::{Function, Type};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  katamari client python parse > parse.py
  katamari client typescript parse > parse.ts
  katamari client ruby parse > parse.rb";

/// The arguments of `katamari client`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ClientArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The language to write it in
    language: Language,
    /// The kind to write it for
    kind: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Python,
    Typescript,
    Ruby,
}

/// Prints the client.
pub async fn run(args: ClientArgs) -> anyhow::Result<ExitCode> {
    let interface = live::interface(&args.node, Some(&args.kind)).await?;
    say(&write(args.language, &interface))?;
    Ok(ExitCode::SUCCESS)
}

fn write(language: Language, interface: &Interface) -> String {
    match language {
        Language::Python => python::write(interface),
        Language::Typescript => typescript::write(interface),
        Language::Ruby => ruby::write(interface),
    }
}

/// Whether the function's arguments are bytes as they are, instead of JSON.
fn takes_bytes(function: &Function) -> bool {
    let first = function.parameters.first();
    first.is_some_and(|first| *first.r#type.required().0 == Type::Bytes)
}

/// The text of a function's docs, a line each: its own, then those of its parameters.
fn doc(function: &Function, parameter: impl Fn(&str, &str) -> String) -> Vec<String> {
    let mut lines: Vec<String> = function.doc.trim().lines().map(str::to_owned).collect();
    let with_docs = function.parameters.iter().filter(|it| !it.doc.is_empty());
    let parameters = with_docs.flat_map(|it| {
        let text = parameter(&it.name, &it.doc);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let parameters: Vec<String> = parameters.collect();
    if !lines.is_empty() && !parameters.is_empty() {
        lines.push(String::new());
    }
    lines.extend(parameters);
    lines
}

/// A text as a literal that all three languages read.
fn quoted(text: &str) -> String {
    // Names have no `#`, which Ruby would look at; parameters may.
    serde_json::to_string(text)
        .expect("a text is JSON")
        .replace('#', "\\u0023")
}

#[cfg(test)]
mod tests;
