//! Programs as the cluster keeps them: opaque to the masters, read again by the managers that run
//! them.

use crate::config;
use anyhow::{Context, bail};
use bytes::Bytes;
use cluster::hard::{Labels, Placement};
use manager::Program;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The format of what [`encode`] writes.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Spec {
    format: u32,
    program: Program,
}

/// The part of a program that makes a version: a change of it is rolled out. How many workers there
/// are is up to placement, and versions are counted by the cluster.
pub fn encode(program: &Program) -> Bytes {
    let spec = Spec {
        format: FORMAT,
        program: Program {
            version: 0,
            lane: 0,
            workers: 0,
            spare: 0,
            ..program.clone()
        },
    };
    let json = serde_json::to_vec(&spec).expect("a program has no keys but text");
    json.into()
}

/// The program of a spec, without workers.
pub fn decode(spec: &[u8]) -> anyhow::Result<Program> {
    /// What all formats have.
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    let any: Any = serde_json::from_slice(spec).context("the program's spec is damaged")?;
    if any.format != FORMAT {
        bail!(
            "expected a program's spec of format {FORMAT}, got {}: another version of katamari \
             wrote it; upgrade this node",
            any.format
        );
    }
    let spec: Spec = serde_json::from_slice(spec).context("the program's spec is damaged")?;
    Ok(spec.program)
}

/// What placement needs to know of a program.
pub fn placement(program: &config::Program) -> Placement {
    let run = &program.run;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Placement {
        workers: count(run.workers),
        spare: count(run.spare),
        spread: program.spread.as_deref().map(Into::into),
        constraints: labels(&program.constraints),
        memory: run.limits.memory_max.unwrap_or(0),
        command: command(run),
    }
}

/// What is to be run, as each node can look for it: a path from the root, or a name in PATH.
fn command(run: &Program) -> Arc<str> {
    let command = run.process.command.first().map_or("", String::as_str);
    if command.contains('/') {
        let path = run.process.folder.join(command);
        return path.to_string_lossy().into();
    }
    // Where its own PATH leads each node finds out by itself.
    if run.process.env.contains_key("PATH") {
        return "".into();
    }
    command.into()
}

/// Whether this node can run such a command.
pub fn can_run(command: &str) -> bool {
    let is_executable = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        let meta = path.metadata();
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if command.contains('/') {
        return is_executable(Path::new(command));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.is_empty()
        || std::env::split_paths(&path).any(|folder| is_executable(&folder.join(command)))
}

/// Labels as the cluster has them.
pub fn labels(labels: &BTreeMap<String, String>) -> Labels {
    let shared = |(key, value): (&String, &String)| (key.as_str().into(), value.as_str().into());
    labels.iter().map(shared).collect()
}
