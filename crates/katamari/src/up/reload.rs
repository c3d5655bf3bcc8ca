//! Reading the configuration again, on SIGHUP and on `POST /apply`, one at a time.

use crate::config::Config;
use faceplate::control::Operator;
use manager::{Changes, Manager};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for one that is being carried out; nobody reloads that often.
const REQUESTS_MAX: usize = 16;

/// Where the answer to `POST /apply` goes.
pub type Request = oneshot::Sender<Result<Changes, String>>;

/// Owns the configuration that is in force.
pub struct Reloads {
    file: PathBuf,
    config: Config,
    requests: mpsc::Receiver<Request>,
}

/// The control socket's way to the node's loop.
struct Door(mpsc::Sender<Request>);

impl Operator for Door {
    fn apply(&self) -> Pin<Box<dyn Future<Output = Result<Changes, String>> + Send + '_>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let stopping = || "the node is stopping".to_owned();
            self.0.send(answer).await.map_err(|_| stopping())?;
            answered.await.map_err(|_| stopping())?
        })
    }
}

impl Reloads {
    /// Reloads of a file whose configuration is in force, and the door for the control socket.
    pub fn new(file: PathBuf, config: Config) -> (Arc<dyn Operator>, Self) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        (
            Arc::new(Door(sender)),
            Self {
                file,
                config,
                requests,
            },
        )
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The next `POST /apply`.
    pub async fn next_request(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            // The control faceplate has ended, so nothing will come.
            None => std::future::pending().await,
        }
    }

    /// Reads the file and applies it, and answers with what changed.
    pub fn answer(&mut self, request: Request, manager: &Manager) {
        let result = self.apply(manager);
        // Whoever asked may have left; the change stands all the same.
        let _ = request.send(result);
    }

    /// Reads the file and applies it; what changed is only logged.
    pub fn reload(&mut self, manager: &Manager) {
        // The log has said it.
        let _ = self.apply(manager);
    }

    fn apply(&mut self, manager: &Manager) -> Result<Changes, String> {
        let config = Config::load(&self.file).map_err(|error| {
            tracing::error!("the configuration stays as it was:\n{error}");
            error.to_string()
        })?;
        let changes = manager.apply(config.programs.clone());
        tracing::info!("{}: {}", self.file.display(), describe(&changes));
        for setting in local_changes(&self.config, &config) {
            tracing::warn!("{setting} has changed in the file; it takes effect at the next start");
        }
        // What needs a restart stays as it is, so that the next reload names it again.
        self.config.node.drain_timeout = config.node.drain_timeout;
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
fn local_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("[node] labels", old.node.labels != new.node.labels),
        ("[node] control", old.node.control != new.node.control),
        (
            "[faceplate.http] listen",
            old.http.listen != new.http.listen,
        ),
        (
            "[faceplate.http] limits",
            old.http.limits != new.http.limits,
        ),
        (
            "[cluster] timeout for calls that wait for a program to start",
            old.timeout != new.timeout,
        ),
    ]
    .into_iter()
    .filter(|(_, has_changed)| *has_changed)
    .map(|(setting, _)| setting)
    .collect()
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
