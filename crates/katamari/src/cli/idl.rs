//! `katamari idl`: a kind's functions in the language of gRPC or Thrift.

use super::{NodeArgs, live, say};
use clap::ValueEnum;
use faceplate::contract::{proto, thrift};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  katamari idl proto parse > parse.proto
  katamari idl thrift parse > parse.thrift";

/// The arguments of `katamari idl`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct IdlArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The language to write it in
    language: Language,
    /// The kind to describe, if there are several
    kind: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Protocol buffers, with a service for gRPC
    Proto,
    /// Thrift
    Thrift,
}

/// Prints the file.
pub async fn run(args: IdlArgs) -> anyhow::Result<ExitCode> {
    let interface = live::interface(&args.node, args.kind.as_deref()).await?;
    say(&match args.language {
        Language::Proto => proto::Schema::of(&interface).to_string(),
        Language::Thrift => thrift::Schema::of(&interface).to_string(),
    })?;
    Ok(ExitCode::SUCCESS)
}
