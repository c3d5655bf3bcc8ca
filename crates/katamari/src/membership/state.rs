//! The state folder: what a node of a cluster must not forget. `katamari init` and `katamari join`
//! make it, `katamari up` finds it.
//!
//! ```text
//! identity.pem     this node's key and certificate (wire)
//! authority.pem    the cluster's authority, on masters: who has it can make nodes (wire)
//! founding.json    the first changes of a cluster that is yet to be founded, on its first master
//! masters.json     where the masters were last seen, so that a node finds them again
//! log/             what the masters agreed on, on masters (cluster)
//! files/           files of programs, by the hash of their content (cluster)
//! programs/        the same, as workers find them: a folder for each manifest (cluster)
//! ```

use anyhow::{Context, bail};
use cluster::hard::Change;
use pool::NodeId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wire::{Authority, Identity};

/// The format of the two files that this module writes.
const FORMAT: u32 = 1;

/// A node's state folder.
#[derive(Debug, Clone)]
pub struct State {
    folder: PathBuf,
}

/// A file of this module.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u32,
    content: T,
}

impl State {
    /// The state in a folder, which need not be there yet.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Whether this machine is a node of a cluster.
    pub fn has_identity(&self) -> bool {
        self.folder.join("identity.pem").exists()
    }

    /// Makes the folder of a node that has just become one.
    pub fn create(&self) -> anyhow::Result<()> {
        if self.has_identity() {
            bail!(
                "{} has an identity already: this machine is a node of a cluster; run `katamari \
                 up`, or remove the folder if that cluster is gone",
                self.folder.display()
            );
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("cannot make the folder {}", self.folder.display()))
    }

    /// Who this node is.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        Identity::load(&self.folder)
            .with_context(|| format!("no identity in {}", self.folder.display()))
    }

    /// Keeps who this node is.
    pub fn save_identity(&self, identity: &Identity) -> anyhow::Result<()> {
        identity.save(&self.folder)?;
        Ok(())
    }

    /// The cluster's authority, if this node may sign.
    pub fn authority(&self) -> anyhow::Result<Option<Authority>> {
        if !self.folder.join("authority.pem").exists() {
            return Ok(None);
        }
        let authority = Authority::load(&self.folder);
        let broken = || format!("the authority in {} is of no use", self.folder.display());
        authority.map(Some).with_context(broken)
    }

    /// Keeps the cluster's authority.
    pub fn save_authority(&self, authority: &Authority) -> anyhow::Result<()> {
        authority.save(&self.folder)?;
        Ok(())
    }

    /// The changes that found the cluster, until it is founded.
    pub fn founding(&self) -> anyhow::Result<Option<Vec<Change>>> {
        self.read("founding.json")
    }

    /// Keeps the changes that will found the cluster.
    pub fn save_founding(&self, changes: &[Change]) -> anyhow::Result<()> {
        self.write("founding.json", changes)
    }

    /// The cluster is founded.
    pub fn founded(&self) -> anyhow::Result<()> {
        let path = self.folder.join("founding.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Where the masters were last seen, as `host:port`.
    pub fn masters(&self) -> anyhow::Result<BTreeMap<NodeId, String>> {
        Ok(self.read("masters.json")?.unwrap_or_default())
    }

    /// Keeps where the masters are.
    pub fn save_masters(&self, masters: &BTreeMap<NodeId, String>) -> anyhow::Result<()> {
        self.write("masters.json", masters)
    }

    /// Where a master keeps its log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The folder, which has files of programs in it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets workers that run as other users through to the files of their programs. What else is in
    /// the folder is closed to them.
    pub fn let_workers_through(&self) -> anyhow::Result<()> {
        let open = fs::set_permissions(&self.folder, Permissions::from_mode(0o711));
        open.with_context(|| format!("cannot change the mode of {}", self.folder.display()))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.folder.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let file: Versioned<serde_json::Value> = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        if file.format != FORMAT {
            bail!(
                "expected format {FORMAT} in {}, got {}: it was written by another version of \
                 katamari; use that one",
                path.display(),
                file.format
            );
        }
        let content = serde_json::from_value(file.content);
        content
            .map(Some)
            .with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes under another name first: a crash leaves the old file or the new one.
    fn write<T: Serialize + ?Sized>(&self, name: &str, content: &T) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        let draft = self.folder.join(format!("{name}.new"));
        let file = Versioned {
            format: FORMAT,
            content,
        };
        let text = serde_json::to_vec_pretty(&file)?;
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_another_format_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::at(&folder.path().join("state"));
        assert!(!state.has_identity());
        state.create().expect("a folder that is not there is made");
        assert_eq!(
            state.masters().expect("no file is no masters"),
            BTreeMap::new()
        );
        let masters = BTreeMap::from([(NodeId(3), "10.0.0.3:7400".to_owned())]);
        state
            .save_masters(&masters)
            .expect("the folder can be written");
        assert_eq!(state.masters().expect("it was just written"), masters);
        fs::write(
            folder.path().join("state/masters.json"),
            r#"{"format": 9, "content": {}}"#,
        )
        .expect("the folder can be written");
        let error = state.masters().expect_err("format 9 is not known");
        assert!(format!("{error:#}").contains("got 9"), "{error:#}");
    }
}
