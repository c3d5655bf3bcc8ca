//! `katamari docs`: the functions that can be called now, as Markdown.

use super::{NodeArgs, live, say, style};
use faceplate::contract::{Declaration, Interface};
use pool::{Function, Parameter};
use std::fmt::Write;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  katamari docs
  katamari docs parse > parse.md
  katamari docs --json | jq -r '.[].functions[].name'";

/// The arguments of `katamari docs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DocsArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The kind to describe; without it, all
    kind: Option<String>,
}

/// Prints the documentation.
pub async fn run(args: DocsArgs) -> anyhow::Result<ExitCode> {
    let interfaces = live::all(&args.node, args.kind.as_deref()).await?;
    if args.node.json {
        say(&serde_json::to_string(&interfaces)?)?;
    } else {
        let texts: Vec<_> = interfaces.iter().map(show).collect();
        let text = texts.join("\n");
        let lines: Vec<_> = text.lines().map(style::clean).collect();
        say(&lines.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(interface: &Interface) -> String {
    let mut text = format!("# {}\n", interface.kind);
    for declaration in &interface.functions {
        text.push_str(&function(&interface.kind, declaration));
    }
    text
}

fn function(kind: &str, declaration: &Declaration) -> String {
    let Declaration { function, varies } = declaration;
    let mut text = format!("\n## {}\n\n    {}\n", function.name, signature(function));
    let mut paragraph = |paragraph: &str| {
        if !paragraph.trim().is_empty() {
            let _ = write!(text, "\n{}\n", paragraph.trim());
        }
    };
    paragraph(&function.doc);
    let documented = function.parameters.iter().filter(|it| !it.doc.is_empty());
    let items = documented.map(|it| format!("- `{}`: {}", it.name, it.doc.trim()));
    paragraph(&items.collect::<Vec<_>>().join("\n"));
    let mut facts = Vec::new();
    if function.stream {
        facts.push("Answers in pieces.");
    }
    if function.idempotent {
        facts.push("Is tried again when a worker dies.");
    }
    if *varies {
        facts.push("Other pools of this kind declare it otherwise, or have it not.");
    }
    paragraph(&facts.join(" "));
    for example in &function.examples {
        let arguments = example.arguments.text();
        let mut lines = format!("    {kind}.{} {}", function.name, indented(arguments));
        if let Some(result) = &example.result {
            let _ = write!(lines, "\n    => {}", indented(result.text()));
        }
        // Not trimmed: four spaces are what makes it a block.
        let _ = write!(text, "\n{lines}\n");
    }
    text
}

/// JSON on several lines, all of which stand in the block of the first.
fn indented(json: &str) -> String {
    json.replace('\n', "\n    ")
}

/// `linkage(text: string, limit?: integer): object`.
fn signature(function: &Function) -> String {
    let parameter = |it: &Parameter| {
        let mark = if it.required { "" } else { "?" };
        format!("{}{mark}: {}", it.name, it.r#type)
    };
    let parameters: Vec<_> = function.parameters.iter().map(parameter).collect();
    let (name, result) = (&function.name, &function.result);
    format!("{name}({}): {result}", parameters.join(", "))
}
