//! Reading the configuration again, on SIGHUP and for `katamari reload`, one at a time.

use super::node::Node;
use crate::config::Config;
use manager::Changes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for one that is being carried out; nobody reloads that often.
const REQUESTS_MAX: usize = 16;

/// Where the answer to `katamari reload` goes.
pub type Request = oneshot::Sender<Result<Changes, String>>;

/// Owns the configuration that is in force.
pub struct Reloads {
    file: PathBuf,
    config: Config,
    requests: mpsc::Receiver<Request>,
}

impl Reloads {
    /// Reloads of a file whose configuration is in force, and the way to ask for one.
    pub fn new(file: PathBuf, config: Config) -> (mpsc::Sender<Request>, Self) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let reloads = Self {
            file,
            config,
            requests,
        };
        (sender, reloads)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The next `katamari reload`.
    pub async fn next_request(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            // The control faceplate has ended, so nothing will come.
            None => std::future::pending().await,
        }
    }

    /// Reads the file and applies it, and answers with what changed.
    pub async fn answer(&mut self, request: Request, node: &Node) {
        let result = self.apply(node).await;
        // Whoever asked may have left; the change stands all the same.
        let _ = request.send(result);
    }

    /// Reads the file and applies it; what changed is only logged.
    pub async fn reload(&mut self, node: &Node) {
        // The log has said it.
        let _ = self.apply(node).await;
    }

    async fn apply(&mut self, node: &Node) -> Result<Changes, String> {
        let file = self.file.clone();
        // It may read many files of programs.
        let loaded = tokio::task::spawn_blocking(move || Config::load(&file));
        let loaded = loaded.await.map_err(|error| error.to_string())?;
        let config = loaded.map_err(|error| {
            tracing::error!("the configuration stays as it was:\n{error}");
            error.to_string()
        })?;
        node.renew_access(&config);
        let changes = if node.is_alone() {
            let applied = node.apply(&config.programs).await;
            applied.map_err(|error| format!("{error:#}"))?
        } else {
            Changes::default()
        };
        tracing::info!("{}: {}", self.file.display(), describe(&changes));
        if !node.is_alone() && config.programs != self.config.programs {
            tracing::warn!(
                "the programs of a cluster change by `katamari apply {}`",
                self.file.display()
            );
        }
        for setting in local_changes(&self.config, &config) {
            tracing::warn!("{setting} has changed in the file; it takes effect at the next start");
        }
        // What needs a restart stays as it is, so that the next reload names it again.
        self.config.node.drain_timeout = config.node.drain_timeout;
        self.config.tokens = config.tokens;
        self.config.programs = config.programs;
        Ok(changes)
    }
}

/// What changed, in one line.
fn describe(changes: &Changes) -> String {
    let Changes {
        added,
        replaced,
        adjusted,
        removed,
    } = changes;
    let parts: Vec<_> = [
        ("added", added),
        ("replaced", replaced),
        ("adjusted", adjusted),
        ("removed", removed),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what} {}", names.join(", ")))
    .collect();
    if parts.is_empty() {
        "no program has changed".to_owned()
    } else {
        parts.join("; ")
    }
}

/// Settings that are taken up only at a start.
fn local_changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changed = Vec::new();
    let mut note = |setting: &str, has_changed: bool| {
        if has_changed {
            changed.push(setting.to_owned());
        }
    };
    note("[node] labels", old.node.labels != new.node.labels);
    note("[node] control", old.node.control != new.node.control);
    note("[node] protocol", old.node.protocol != new.node.protocol);
    note("[cluster]", old.cluster != new.cluster);
    note("[statsd]", old.statsd != new.statsd);
    let named = |config: &Config| {
        let faceplates = config.faceplates.iter();
        let named = faceplates.map(|faceplate| (faceplate.name.clone(), faceplate.clone()));
        named.collect::<BTreeMap<_, _>>()
    };
    let (old, new) = (named(old), named(new));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let has_changed = old.get(name) != new.get(name);
        note(&format!("[faceplate.{name}]"), has_changed);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_described_in_one_line() {
        assert_eq!(describe(&Changes::default()), "no program has changed");
        let changes = Changes {
            added: vec!["a".into(), "b".into()],
            removed: vec!["c".into()],
            ..Changes::default()
        };
        assert_eq!(describe(&changes), "added a, b; removed c");
    }
}
