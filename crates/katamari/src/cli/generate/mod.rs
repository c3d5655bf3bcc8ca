//! `katamari client`: a small typed client of one kind, as one file without dependencies.
//!
//! Each language has a fixed part, `client.py` and so on beside this file, and behind it a class of
//! the kind with a method for each of its functions. What these are called and what they tell is
//! found here; the languages write it.

mod python;
mod ruby;
mod typescript;

use super::{NodeArgs, live, say};
use clap::ValueEnum;
use faceplate::contract::Interface;
use faceplate::contract::names::{self, unreserved};
use pool::{Function, Parameter, Type};
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

/// What a language and the fixed part of its client do with names.
struct Names {
    /// Makes an identifier that can be a method or an argument.
    identifier: fn(&str) -> String,
    /// Words of the language, between spaces.
    keywords: &'static str,
    /// Methods that the client itself has, or needs to be left alone.
    taken: &'static [&'static str],
}

/// A function as a method.
struct Method<'a> {
    function: &'a Function,
    name: String,
    /// The names of its arguments in code, and what they carry; none: they are bytes as they are,
    /// instead of JSON.
    arguments: Option<Vec<(String, &'a Parameter)>>,
}

/// The methods of a client, in the order of the functions' names.
fn methods<'a>(interface: &'a Interface, names: &Names) -> Vec<Method<'a>> {
    let free = |name: &str| unreserved((names.identifier)(name), names.keywords);
    let mut scope = names::Names::with(names.taken);
    let functions = interface.functions.iter().map(|it| &*it.function);
    let method = |function: &'a Function| {
        let mut fields = names::Names::default();
        let parameters = function.parameters.iter();
        let argument = |it: &'a Parameter| (fields.unique(&free(&it.name)), it);
        Method {
            function,
            name: scope.unique(&free(&function.name)),
            arguments: (!takes_bytes(function)).then(|| parameters.map(argument).collect()),
        }
    };
    functions.map(method).collect()
}

fn takes_bytes(function: &Function) -> bool {
    let first = function.parameters.first();
    first.is_some_and(|first| *first.r#type.required().0 == Type::Bytes)
}

/// The text of a function's docs, a line each: its own, then those of its parameters, each behind
/// this mark and its name.
fn doc(function: &Function, mark: &str, separator: &str) -> Vec<String> {
    let mut lines: Vec<String> = function.doc.trim().lines().map(str::to_owned).collect();
    let with_docs = function.parameters.iter().filter(|it| !it.doc.is_empty());
    let text = |it: &Parameter| format!("{mark}{}{separator}{}", it.name, it.doc);
    let texts: Vec<String> = with_docs.map(text).collect();
    if !lines.is_empty() && !texts.is_empty() {
        lines.push(String::new());
    }
    lines.extend(
        texts
            .iter()
            .flat_map(|text| text.lines())
            .map(str::to_owned),
    );
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
