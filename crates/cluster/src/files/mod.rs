//! Files of programs, shipped to the nodes that run them.
//!
//! ```text
//!   an apply ──> Files::offer, put ──> store ══ Hold ══> masters get what they lack
//!   hard state ──> Wants ──> plan ──> fetch ══ Piece ══> masters
//!                                       └──> store ──> programs/HASH/ ──> workers
//! ```
//!
//! Everything is content, named by its SHA-256: files, and the manifests that list them. A version of
//! a program names one manifest, and that names the rest. So content exists once, whoever uses it, and
//! what came is known to be what was meant.
//!
//! `hash` and `manifest` are the names; `plan` says what to get and to clear; `store` is the disk;
//! `message` is what nodes ask each other, `fetch` one attempt to get what a manifest names, and
//! `shell` the task that owns the plan. docs/files.md tells it to users.

mod fetch;
mod hash;
mod manifest;
mod message;
mod plan;
mod shell;
mod store;

pub use hash::{BadHash, ContentHash, Hasher};
pub use manifest::{
    BadManifest, Entry, FILE_BYTES_MAX, FILES_MAX, MANIFEST_BYTES_MAX, Manifest, PROGRAM_BYTES_MAX,
    check_path,
};
pub use message::{Held, VERSION};
pub use plan::{HELD_MAX, UNUSED_MAX, Wants};
pub use store::{Store, StoreError};

use bytes::Bytes;
use fetch::blocking;
use message::{ASKED_MAX, Question};
use pool::NodeId;
use shell::{Command, Shell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::Draft;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use wire::{Mesh, Service};

/// Commands that wait for the task: it takes each at once, so few ever do.
const COMMANDS_MAX: usize = 64;
/// Contents that come from command lines at a time; of more, those that began first are dropped.
const UPLOADS_MAX: usize = 16;
/// How long another node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The manifests that this node is to unpack, and how far they are.
pub type Unpacked = BTreeMap<ContentHash, Unpacking>;

/// How far a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpacking {
    /// Its files are on their way.
    Fetching {
        /// Bytes that are here, and of how many; both 0 while that is not known.
        progress: (u64, u64),
        /// Why the last attempt failed, if one did.
        problem: Option<Arc<str>>,
        /// Attempts that failed.
        failures: u32,
    },
    /// They are whole, in this folder.
    Ready(PathBuf),
}

/// The files of a node. Cheap to clone; they are served until the last clone or the mesh is gone.
#[derive(Clone)]
pub struct Files {
    me: NodeId,
    mesh: Mesh,
    store: Arc<Store>,
    commands: mpsc::Sender<Command>,
    unpacked: watch::Receiver<Arc<Unpacked>>,
    /// Contents that come from command lines, by what they are to be.
    uploads: Arc<Mutex<Vec<(ContentHash, Draft)>>>,
}

impl Files {
    /// Opens the store in a node's state folder and starts to serve it. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError::Disk`].
    ///
    /// # Panics
    ///
    /// If the mesh has a subscriber of [`Service::Files`] already.
    pub fn start(me: NodeId, mesh: Mesh, folder: &Path) -> Result<Self, StoreError> {
        let store = Arc::new(Store::open(folder)?);
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (show, unpacked) = watch::channel(Arc::default());
        let events = mesh.subscribe(Service::Files);
        let shell = Shell::new(me, mesh.clone(), events, Arc::clone(&store), inbox, show);
        tokio::spawn(shell.run());
        Ok(Self {
            me,
            mesh,
            store,
            commands,
            unpacked,
            uploads: Arc::default(),
        })
    }

    /// Says what the cluster's programs ask of this node from now on.
    pub async fn want(&self, wants: Wants) {
        self.command(Command::Want(wants)).await;
    }

    /// The manifests that this node is to unpack, and how far they are.
    pub fn unpacked(&self) -> watch::Receiver<Arc<Unpacked>> {
        self.unpacked.clone()
    }

    /// Begins an upload: keeps the manifest and whatever comes of it for [`HELD_MAX`], and says which
    /// contents nobody has, neither this node nor one of these masters.
    ///
    /// # Errors
    ///
    /// Why it is not taken.
    pub async fn offer(
        &self,
        manifest: Manifest,
        masters: &[NodeId],
    ) -> Result<Vec<ContentHash>, String> {
        let manifest = Arc::new(manifest);
        let (store, encoded) = (Arc::clone(&self.store), manifest.encode());
        let name = ContentHash::of(&encoded);
        let (answer, held) = oneshot::channel();
        self.command(Command::Hold {
            manifest: Arc::clone(&manifest),
            name,
            answer,
        })
        .await;
        held.await.unwrap_or_else(|_| Err(ended()))?;
        // Not before: what nobody holds may be cleared.
        let put = blocking(move || store.put(&encoded)).await;
        put.map_err(|error| error.to_string())?;
        let store = Arc::clone(&self.store);
        let missing = blocking(move || {
            let contents = manifest.contents();
            let missing = contents.filter(|(content, size)| store.size(*content) != Some(*size));
            Ok(missing.map(|(content, _)| content).collect::<BTreeSet<_>>())
        });
        let mut missing = missing.await.map_err(|error| error.to_string())?;
        for master in masters.iter().filter(|master| **master != self.me) {
            missing = self.missing_at(*master, missing).await;
        }
        Ok(missing.into_iter().collect())
    }

    /// Which of these a master lacks as well; all, if it does not answer.
    async fn missing_at(
        &self,
        master: NodeId,
        contents: BTreeSet<ContentHash>,
    ) -> BTreeSet<ContentHash> {
        let link = self.mesh.link(master);
        let Some(link) = link.filter(|link| link.peer().version >= VERSION) else {
            return contents;
        };
        let contents: Vec<ContentHash> = contents.into_iter().collect();
        let mut missing = BTreeSet::new();
        for part in contents.chunks(ASKED_MAX) {
            let question = Question::Missing(part.to_vec());
            let asked = link.request::<_, Vec<ContentHash>>(
                Service::Files,
                &question,
                Bytes::new(),
                ANSWER_TIMEOUT,
            );
            match asked.await {
                Ok((lacking, _)) => missing.extend(lacking),
                Err(_) => missing.extend(part),
            }
        }
        missing
    }

    /// Takes a piece of a content of `size` bytes that an upload has. Pieces come in order, from the
    /// first on; those that are here, from another upload or one that broke off, change nothing.
    ///
    /// # Errors
    ///
    /// Why it is not taken.
    pub async fn put(
        &self,
        content: ContentHash,
        size: u64,
        offset: u64,
        piece: Bytes,
    ) -> Result<(), String> {
        if size > FILE_BYTES_MAX {
            return Err(format!(
                "expected at most {FILE_BYTES_MAX} bytes, got {size}"
            ));
        }
        let (answer, is_wanted) = oneshot::channel();
        self.command(Command::IsWanted(content, answer)).await;
        if !is_wanted.await.unwrap_or(false) {
            return Err("expected a file of an upload, got another one; apply again".to_owned());
        }
        // One piece at a time: two command lines may send the same content.
        let mut uploads = self.uploads.lock().await;
        let begun = uploads.iter().position(|(known, _)| *known == content);
        let begun = begun.map(|index| uploads.remove(index).1);
        let store = Arc::clone(&self.store);
        let written = blocking(move || write(&store, begun, (content, size), offset, &piece));
        let draft = written.await.map_err(|error| match error {
            StoreError::Damaged { .. } => "it was changed meanwhile; apply again".to_owned(),
            StoreError::Gap { .. } => format!("{error}; apply again"),
            error => error.to_string(),
        })?;
        uploads.extend(draft.map(|draft| (content, draft)));
        let surplus = uploads.len().saturating_sub(UPLOADS_MAX);
        uploads.drain(..surplus);
        Ok(())
    }

    /// Takes the files of a manifest from a folder of this machine.
    ///
    /// # Errors
    ///
    /// Why not; above all that a file was changed meanwhile.
    pub async fn adopt(&self, manifest: Manifest, folder: &Path) -> Result<(), String> {
        let missing: BTreeSet<_> = self
            .offer(manifest.clone(), &[])
            .await?
            .into_iter()
            .collect();
        let (store, folder) = (Arc::clone(&self.store), folder.to_owned());
        let adopted = blocking(move || {
            let entries = manifest.entries().iter();
            for entry in entries.filter(|entry| missing.contains(&entry.content)) {
                store.adopt(entry, &folder.join(&entry.path))?;
            }
            store.settle()
        });
        adopted.await.map_err(|error| error.to_string())
    }

    /// Lets a master get the files of a manifest, of so many bytes, and says how far it is. To be
    /// called again until they are whole there.
    ///
    /// # Errors
    ///
    /// Why it does not, for people.
    pub async fn hold_at(
        &self,
        master: NodeId,
        manifest: ContentHash,
        bytes: u64,
    ) -> Result<Held, String> {
        if master == self.me {
            let (answer, held) = oneshot::channel();
            let get = Command::Get {
                manifest,
                bytes,
                answer,
            };
            self.command(get).await;
            return held.await.unwrap_or_else(|_| Err(ended()));
        }
        let link = self.mesh.link(master).ok_or("it is not reached")?;
        if link.peer().version < VERSION {
            return Err("it runs an older version of katamari: upgrade it".to_owned());
        }
        let question = Question::Hold { manifest, bytes };
        let asked = link.request(Service::Files, &question, Bytes::new(), ANSWER_TIMEOUT);
        let (held, _) = asked.await.map_err(|error| error.to_string())?;
        Ok(held)
    }

    /// A manifest that is here.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub async fn manifest(&self, name: ContentHash) -> Result<Manifest, String> {
        let store = Arc::clone(&self.store);
        let read = blocking(move || store.manifest(name)).await;
        read.map_err(|error| error.to_string())
    }

    /// Does nothing if the task has ended: the answer's sender is dropped, which says so.
    async fn command(&self, command: Command) {
        drop(self.commands.send(command).await);
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Files").field(&self.me).finish()
    }
}

/// Writes a piece of an upload, and gives the draft back as long as more is to come.
fn write(
    store: &Store,
    begun: Option<Draft>,
    (content, size): (ContentHash, u64),
    offset: u64,
    piece: &[u8],
) -> Result<Option<Draft>, StoreError> {
    if store.size(content) == Some(size) {
        return Ok(None);
    }
    let mut draft = match begun.filter(|begun| begun.size() == size) {
        Some(begun) => begun,
        None => store.begin(content, size)?,
    };
    if offset.saturating_add(piece.len() as u64) > draft.written() {
        draft.write(offset, piece)?;
    }
    if draft.is_whole() {
        store.finish(draft)?;
        return Ok(None);
    }
    Ok(Some(draft))
}

fn ended() -> String {
    "the node is stopping".to_owned()
}
