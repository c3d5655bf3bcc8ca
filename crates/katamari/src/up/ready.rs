//! The ready file: says where a node listens, once it does. For scripts and tests, which choose
//! port 0 and need to know what came of it.

use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the file says, as JSON.
#[derive(Debug, serde::Serialize)]
pub struct Ready {
    /// Where each faceplate listens, by its name.
    #[serde(flatten)]
    pub faceplates: BTreeMap<String, SocketAddr>,
    /// The control socket.
    pub control: PathBuf,
    /// The node's process.
    pub pid: u32,
}

/// A ready file that was written. Dropped, it is removed.
#[derive(Debug)]
pub struct ReadyFile(PathBuf);

impl Ready {
    /// Writes the file under another name first, so that whoever waits for it finds it whole.
    pub fn write(&self, path: &Path) -> anyhow::Result<ReadyFile> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", self.pid));
        let text = serde_json::to_string(self)? + "\n";
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .with_context(|| format!("cannot write the ready file {}", path.display()))?;
        Ok(ReadyFile(path.to_owned()))
    }
}

/// Removes the file that a node left which was killed, so that nobody takes it for the new one's.
pub fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error)
            .with_context(|| format!("cannot remove the old ready file {}", path.display())),
        _ => Ok(()),
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Whoever removed it before us wanted the same.
        let _ = fs::remove_file(&self.0);
    }
}
