//! Programs as the cluster keeps them: opaque to the masters, read again by the managers that run
//! them.

use super::NEWS_LEVEL;
use crate::config;
use anyhow::{Context, bail};
use bytes::Bytes;
use cluster::files::ContentHash;
use cluster::hard::{Hard, Labels, Placement, Refusal};
use manager::{Dialect, Program};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The formats of specs: what builds of link protocol 1 can read, and what they cannot.
const FORMATS: [u32; 2] = [1, 2];

/// The variable that tells workers which files these are: the hash of the manifest. As a part of the
/// environment it also makes workers of other files other workers.
const FILES: &str = "KATAMARI_FILES";

#[derive(Serialize, Deserialize)]
struct Spec {
    format: u32,
    program: Program,
    /// The manifest of its files, from format 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<ContentHash>,
}

/// A program as a spec has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The program, without workers.
    pub program: Program,
    /// The manifest of its files.
    pub files: Option<ContentHash>,
}

impl Decoded {
    /// The files that have to come to whoever runs it. A machine that is alone has them in place.
    pub fn shipped(&self) -> Option<ContentHash> {
        let is_in_place = !self.program.process.folder.as_os_str().is_empty();
        self.files.filter(|_| !is_in_place)
    }

    /// The program with its files in `folder`.
    pub fn unpacked_in(mut self, folder: &Path) -> Program {
        let process = &mut self.program.process;
        process.folder = folder.to_owned();
        if let Some(first) = process.command.first_mut()
            && first.contains('/')
        {
            *first = folder.join(&*first).to_string_lossy().into_owned();
        }
        self.program
    }
}

/// Lets programs with files run wherever their files come to, and not where these are now.
pub fn ship(programs: &mut [config::Program]) {
    for program in programs {
        let Some(files) = &program.files else {
            continue;
        };
        let process = &mut program.run.process;
        // What is beside the files, but none of them, stays where it is on each machine.
        if let Some(first) = process.command.first_mut()
            && let Some(within) = files.path_of(Path::new(&*first))
            && files.manifest.get(&within).is_some()
        {
            *first = format!("./{within}");
        }
        process.folder = PathBuf::new();
    }
}

/// The part of a program that makes a version: a change of it is rolled out. How many workers there
/// are is up to placement, and versions are counted by the cluster.
pub fn encode(program: &config::Program) -> Bytes {
    let files = program.files.as_ref().map(|files| files.manifest.hash());
    let spec = Spec {
        format: FORMATS[usize::from(news(program).is_some())],
        program: Program {
            version: 0,
            lane: 0,
            workers: 0,
            spare: 0,
            ..program.run.clone()
        },
        files,
    };
    let json = serde_json::to_vec(&spec).expect("a program has no keys but text");
    json.into()
}

/// What of a program builds of link protocol 1 do not know.
fn news(program: &config::Program) -> Option<&'static str> {
    match program.run.process.dialect {
        _ if program.files.is_some() => Some("shipping files"),
        Dialect::Exec(_) => Some("a program of dialect exec"),
        Dialect::Http(_) => Some("a program of dialect http"),
        Dialect::Classic => Some("a program of dialect classic"),
        Dialect::Json | Dialect::Lines(_) => None,
    }
}

/// Whether a cluster has to be of [`NEWS_LEVEL`] for these programs.
pub fn have_news(programs: &[config::Program]) -> bool {
    programs.iter().any(|program| news(program).is_some())
}

/// Refuses programs that some node of the cluster is too old to read.
pub fn check_level(hard: &Hard, programs: &[config::Program]) -> Result<(), Refusal> {
    let mut news = programs.iter().filter_map(news);
    news.try_for_each(|what| hard.require(NEWS_LEVEL, what))
}

/// The program of a spec.
pub fn decode(spec: &[u8]) -> anyhow::Result<Decoded> {
    /// What all formats have.
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    let any: Any = serde_json::from_slice(spec).context("the program's spec is damaged")?;
    if !FORMATS.contains(&any.format) {
        bail!(
            "expected a program's spec of format {} or {}, got {}: another version of katamari \
             wrote it; upgrade this node",
            FORMATS[0],
            FORMATS[1],
            any.format
        );
    }
    let spec: Spec = serde_json::from_slice(spec).context("the program's spec is damaged")?;
    let (mut program, files) = (spec.program, spec.files);
    if let Some(files) = files {
        let env = &mut program.process.env;
        env.insert(FILES.to_owned(), files.to_string());
    }
    Ok(Decoded { program, files })
}

/// The manifest of a spec's files; none if it has none, or cannot be read.
pub fn files_of(spec: &[u8]) -> Option<ContentHash> {
    /// All that is needed of it.
    #[derive(Deserialize)]
    struct Named {
        files: Option<ContentHash>,
    }
    let named: Named = serde_json::from_slice(spec).ok()?;
    named.files
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

/// What is to be run, as each node can look for it: a path from the root, or a name in PATH. Nothing
/// if it comes with the program's files.
fn command(run: &Program) -> Arc<str> {
    let command = run.process.command.first().map_or("", String::as_str);
    let is_shipped = run.process.folder.as_os_str().is_empty();
    if is_shipped && command.contains('/') && !command.starts_with('/') {
        return "".into();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_older_builds_cannot_read_says_so_and_needs_a_level() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("katamari.toml");
        let old = Hard {
            level: 1,
            ..Hard::default()
        };
        let new = Hard {
            level: NEWS_LEVEL,
            ..Hard::default()
        };
        let exec = "dialect = \"exec\"\nkind = \"k\"\n[program.p.functions.f]\narguments = []";
        let classic = "dialect = \"classic\"";
        for (rest, format, is_news) in [("", 1, false), (exec, 2, true), (classic, 2, true)] {
            std::fs::write(&file, format!("[program.p]\ncommand = [\"sh\"]\n{rest}"))
                .expect("the file");
            let config = Config::load(&file).expect("a good file");
            let spec = encode(&config.programs[0]);
            let text = String::from_utf8_lossy(&spec);
            assert!(text.contains(&format!("\"format\":{format}")), "{text}");
            assert_eq!(decode(&spec).expect("its own").program.name, "p".into());
            assert_eq!(check_level(&old, &config.programs).is_err(), is_news);
            assert!(check_level(&new, &config.programs).is_ok());
        }
    }
}
