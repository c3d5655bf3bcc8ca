//! `katamari.toml`: what a node is, what it serves, which programs it runs.
//!
//! [`Config::load`] gives a configuration that is whole and checked, or every problem of the
//! file with its place. Nothing else in Katamari looks at the file.

mod access;
mod classic;
mod command;
pub mod date;
mod exec;
pub mod faceplate;
mod http;
mod lines;
mod node;
mod page;
mod program;
mod section;
pub mod units;

#[cfg(test)]
mod tests;

pub use access::HASH_PREFIX;
pub use faceplate::Faceplate;
pub use node::{Cluster, Node};
pub use page::Problems;
pub use program::Program;

use ::faceplate::Statsd;
use ::faceplate::access::Token;
use page::Page;
use section::Section;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeTable;

/// Bytes of a configuration file; what is longer is something else by mistake.
const FILE_MAX: u64 = 1 << 20;

/// Nothing that somebody waits for takes longer.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Nor does anything that is left alone on purpose.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The shortest time that is worth writing down.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Programs of one node.
const PROGRAMS_MAX: usize = 1_000;

/// Labels of one node.
const LABELS_MAX: usize = 32;

/// Bytes of a label's value.
const VALUE_MAX: usize = 200;

/// Bytes of a Unix socket's path, as the kernel has it, without the NUL at its end.
const SOCKET_PATH_MAX: usize = 107;

/// Where the control socket is, beside the configuration.
pub const CONTROL_DEFAULT: &str = "katamari.sock";

/// A configuration, whole and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[node]`: this machine only.
    pub node: Node,
    /// `[faceplate.NAME]`, HTTP first: this machine only.
    pub faceplates: Vec<Faceplate>,
    /// `[statsd]`: this machine only.
    pub statsd: Option<Statsd>,
    /// `[access.token.NAME]`, by name.
    pub tokens: Vec<Token>,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[program.NAME]`, by name.
    pub programs: Vec<Program>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {why}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// The file says something that cannot be.
    #[error(transparent)]
    Problems(#[from] Problems),
}

impl Config {
    /// Reads and checks a file, with the variables of this process's environment.
    pub fn load(file: &Path) -> Result<Self, Error> {
        let unreadable = |why: String| Error::Unreadable {
            file: file.to_owned(),
            why,
        };
        let text = read_file(file).map_err(unreadable)?;
        let absolute = std::path::absolute(file).map_err(|error| unreadable(error.to_string()))?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        Ok(Self::read(file, folder, &text, &|name| {
            std::env::var(name).ok()
        })?)
    }

    /// `[faceplate.http]`, or what stands where there is none.
    pub fn http(&self) -> &Faceplate {
        let http = self.faceplates.first();
        http.expect("HTTP is there, and the first")
    }

    /// As [`Config::load`]; a file that is not there says nothing.
    pub fn load_or_default(file: &Path) -> Result<Self, Error> {
        if file.exists() {
            return Self::load(file);
        }
        let here = std::path::absolute(".").unwrap_or_default();
        Ok(Self::read(file, &here, "", &|_| None)?)
    }

    /// Checks the text of a file. Relative paths start at `folder`.
    fn read(
        file: &Path,
        folder: &Path,
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let page = Page::new(file, text, variable);
        let config = match DeTable::parse(text) {
            Ok(table) => Some(root(&page, table.get_ref(), folder)),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                page.report(&span, "", format!("not TOML: {}", error.message()));
                None
            }
        };
        page.close(config)
    }
}

fn read_file(file: &Path) -> Result<String, String> {
    use std::io::{ErrorKind, Read};
    let explain = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            "no such file; write one (docs/configuration.md), or name another".to_owned()
        }
        ErrorKind::InvalidData => "expected text in UTF-8".to_owned(),
        _ => error.to_string(),
    };
    let mut text = String::new();
    let open = std::fs::File::open(file).map_err(explain)?;
    open.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(explain)?;
    if text.len() as u64 > FILE_MAX {
        return Err(format!("expected at most {}", units::show_size(FILE_MAX)));
    }
    Ok(text)
}

fn root(page: &Page<'_>, table: &DeTable<'_>, folder: &Path) -> Config {
    let mut root = Section::root(page, table);
    let node = node::read(root.section("node"), folder);
    let faceplates = root.section("faceplate");
    let problems_before = root.problem_count();
    let tokens = access::read(root.section("access"));
    // A token with a mistake is one all the same.
    let has_tokens = !tokens.is_empty() || root.problem_count() > problems_before;
    let faceplates = faceplate::read(faceplates, folder, has_tokens);
    let statsd = faceplate::statsd(root.section("statsd"));
    let cluster = node::cluster(root.section("cluster"));
    let section = root.section("program");
    let mut programs = Vec::new();
    for (name, entry) in section.entries() {
        let is_program = entry.key_is_name("program's name", name) && entry.is_table();
        if is_program {
            programs.extend(program::read(
                name,
                entry.section(),
                folder,
                cluster.timeout,
            ));
        } else if !entry.is_table() {
            entry.report("expected a program's table, such as [program.parse]");
        }
    }
    if programs.len() > PROGRAMS_MAX {
        section.report(format!(
            "expected at most {PROGRAMS_MAX} programs, got {}",
            programs.len()
        ));
    }
    root.finish();
    Config {
        node,
        faceplates,
        statsd,
        tokens,
        cluster,
        programs,
    }
}

/// Names as the rest of Katamari shares them.
fn shared<T: FromIterator<Arc<str>>>(names: Vec<String>) -> T {
    names.into_iter().map(Arc::from).collect()
}
