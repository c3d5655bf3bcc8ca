//! `katamari reload`: the node reads its configuration again and applies it.

use super::{NodeArgs, client, say};
use bytes::Bytes;
use serde::Deserialize;
use std::process::ExitCode;

/// The arguments of `katamari reload`.
#[derive(Debug, clap::Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, Deserialize)]
struct Changes {
    added: Vec<String>,
    replaced: Vec<String>,
    adjusted: Vec<String>,
    removed: Vec<String>,
}

/// Asks the node and prints what changed.
pub async fn run(args: ReloadArgs) -> anyhow::Result<ExitCode> {
    let bytes = args
        .node
        .connect()
        .await?
        .operate("reload", Bytes::new())
        .await?;
    if args.node.json {
        say(&String::from_utf8_lossy(&bytes))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Changes {
        added,
        replaced,
        adjusted,
        removed,
    } = client::parse(&bytes)?;
    let lists = [
        ("added", added),
        ("replaced", replaced),
        ("adjusted", adjusted),
        ("removed", removed),
    ];
    if lists.iter().all(|(_, names)| names.is_empty()) {
        say("no program has changed")?;
    }
    for (what, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        say(&format!("{what}: {}", names.join(", ")))?;
    }
    Ok(ExitCode::SUCCESS)
}
