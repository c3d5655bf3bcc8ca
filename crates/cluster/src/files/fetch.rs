//! Gets the files of one manifest from other nodes: what is missing alone, some files at a time, each
//! in pieces of which some are on their way. A source that fails is followed by the next, which goes on
//! where it ended; what came is kept only if it is what its name says.

use super::hash::ContentHash;
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::message::{PIECE_BYTES, Piece, Question, VERSION};
use super::plan::Job;
use super::store::{Draft, Store, StoreError};
use bytes::Bytes;
use pool::NodeId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};
use wire::{Link, Mesh, Service};

/// Files that are fetched at a time: small ones cost a round trip each.
const FILES_AT_ONCE: usize = 8;
/// Pieces of one file that are on their way: 1 MiB, what a gigabit carries in 8 ms.
const PIECES_IN_FLIGHT: usize = 4;
/// How long a piece may take: a source that is busy for longer than that is as good as gone.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files of a manifest are looked through before an attempt has failed: content may
/// turn out to be damaged when it is used.
const LOOKS_MAX: usize = 3;

/// How far an attempt is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes that are here.
    pub got: AtomicU64,
    /// Bytes of all files; 0 while that is not known.
    pub of: AtomicU64,
}

/// What an attempt works with.
#[derive(Clone)]
pub struct Fetcher {
    pub me: NodeId,
    pub mesh: Mesh,
    pub store: Arc<Store>,
    pub masters: Vec<NodeId>,
    pub job: Job,
    pub progress: Arc<Progress>,
    /// Where manifests go that it reads.
    pub learned: mpsc::UnboundedSender<(ContentHash, Arc<Manifest>)>,
}

/// Why a content does not come from a source.
enum Trouble {
    /// The source is to blame: another one may do better.
    There(String),
    /// This node's own disk is.
    Here(StoreError),
}

/// How many bytes a content is to have.
#[derive(Clone, Copy)]
enum Size {
    Exactly(u64),
    AtMost(u64),
}

impl Fetcher {
    /// Does the job. The error says why it could not.
    pub async fn run(self) -> Result<(), String> {
        let name = self.job.manifest;
        let manifest = self.manifest().await?;
        if self.job.bytes_max.is_some_and(|max| manifest.bytes() > max) {
            return Err("the manifest names more bytes than were announced".to_owned());
        }
        let manifest = Arc::new(manifest);
        // The task that listens may have ended with the node.
        let _ = self.learned.send((name, Arc::clone(&manifest)));
        let mut why = String::new();
        for _ in 0..LOOKS_MAX {
            self.contents(&manifest).await?;
            if !self.job.unpack {
                return Ok(());
            }
            let (store, unpacked) = (Arc::clone(&self.store), Arc::clone(&manifest));
            match blocking(move || store.unpack(name, &unpacked)).await {
                Ok(_) => return Ok(()),
                Err(error @ StoreError::Missing(_)) => why = error.to_string(),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(why)
    }

    async fn manifest(&self) -> Result<Manifest, String> {
        let name = self.job.manifest;
        let read = || {
            let store = Arc::clone(&self.store);
            blocking(move || store.manifest(name))
        };
        match read().await {
            Err(StoreError::Missing(_) | StoreError::Damaged { .. }) => {}
            read => return read.map_err(|error| error.to_string()),
        }
        self.content(name, Size::AtMost(MANIFEST_BYTES_MAX)).await?;
        read().await.map_err(|error| error.to_string())
    }

    /// Gets all contents of a manifest that are not here.
    async fn contents(&self, manifest: &Arc<Manifest>) -> Result<(), String> {
        let (store, whole) = (Arc::clone(&self.store), Arc::clone(manifest));
        let missing = spawn_blocking(move || {
            let contents = whole.contents();
            let missing = contents.filter(|(content, size)| store.size(*content) != Some(*size));
            missing.collect::<Vec<_>>()
        });
        let missing = missing.await.map_err(|error| error.to_string())?;
        let all: u64 = manifest.contents().map(|(_, size)| size).sum();
        let lacking: u64 = missing.iter().map(|(_, size)| size).sum();
        self.progress.of.store(all, Ordering::Relaxed);
        self.progress.got.store(all - lacking, Ordering::Relaxed);
        let places = Arc::new(Semaphore::new(FILES_AT_ONCE));
        let mut fetches = JoinSet::new();
        for (content, size) in missing {
            let place = Arc::clone(&places).acquire_owned().await;
            while let Some(ended) = fetches.try_join_next() {
                ended.map_err(|error| error.to_string())??;
            }
            let fetcher = self.clone();
            fetches.spawn(async move {
                let _place = place;
                fetcher.content(content, Size::Exactly(size)).await
            });
        }
        while let Some(ended) = fetches.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        let store = Arc::clone(&self.store);
        let settled = blocking(move || store.settle()).await;
        settled.map_err(|error| error.to_string())
    }

    /// Whom to ask: masters, each node another one first, then who says that it has the files.
    fn sources(&self) -> Vec<Link> {
        let mut nodes = self.masters.clone();
        if !nodes.is_empty() {
            let first = self.me.0 as usize % nodes.len();
            nodes.rotate_left(first);
        }
        nodes.extend(self.job.from.filter(|from| !self.masters.contains(from)));
        let links = nodes.into_iter().filter_map(|node| self.mesh.link(node));
        links
            .filter(|link| link.peer().version >= VERSION)
            .collect()
    }

    /// Gets one content from the first that has it.
    async fn content(&self, content: ContentHash, size: Size) -> Result<(), String> {
        let mut why = "no master is reached that can send files".to_owned();
        let mut draft: Option<Draft> = None;
        let mut givers = Vec::new();
        for link in self.sources() {
            let taken = self.take(&link, content, size, &mut draft).await;
            givers.push(link.clone());
            match taken {
                Ok(()) => {}
                Err(Trouble::There(error)) => {
                    let name = &link.peer().name;
                    why = format!("{name} does not send the file {content}: {error}");
                    continue;
                }
                Err(Trouble::Here(error)) => return Err(error.to_string()),
            }
            let (store, whole) = (Arc::clone(&self.store), draft.take());
            let whole = whole.expect("what was taken is there");
            let written = whole.written();
            match blocking(move || store.finish(whole)).await {
                Ok(()) => return Ok(()),
                Err(error @ StoreError::Damaged { .. }) => {
                    self.progress.got.fetch_sub(written, Ordering::Relaxed);
                    why = format!("{} sends something else: {error}", link.peer().name);
                    givers.drain(..).for_each(|giver| doubt(&giver, content));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let written = draft.map_or(0, |draft| draft.written());
        self.progress.got.fetch_sub(written, Ordering::Relaxed);
        Err(why)
    }

    /// Takes pieces from one source until a content is whole, from where the draft ends.
    async fn take(
        &self,
        link: &Link,
        content: ContentHash,
        size: Size,
        draft: &mut Option<Draft>,
    ) -> Result<(), Trouble> {
        let there = |error: wire::RequestError| Trouble::There(error.to_string());
        let ask = |offset| {
            let question = Question::Piece { content, offset };
            link.request::<_, Piece>(Service::Files, &question, Bytes::new(), PIECE_TIMEOUT)
        };
        let mut begun = match draft.take() {
            Some(begun) => begun,
            None => {
                let (piece, bytes) = ask(0).await.map_err(there)?;
                let is_expected = match size {
                    Size::Exactly(size) => piece.size == size,
                    Size::AtMost(max) => piece.size <= max,
                };
                if !is_expected {
                    let why = format!("it has {} bytes there", piece.size);
                    return Err(Trouble::There(why));
                }
                let store = Arc::clone(&self.store);
                let begun = blocking(move || store.begin(content, piece.size)).await;
                self.write(begun.map_err(Trouble::Here)?, bytes).await?
            }
        };
        let mut asked = VecDeque::new();
        let mut next = begun.written();
        while !begun.is_whole() {
            while asked.len() < PIECES_IN_FLIGHT && next < begun.size() {
                asked.push_back(Box::pin(ask(next)));
                next += PIECE_BYTES;
            }
            let answer = asked
                .pop_front()
                .expect("what is not whole has a next piece");
            let expected = PIECE_BYTES.min(begun.size() - begun.written());
            let bytes = match answer.await {
                Ok((_, bytes)) if bytes.len() as u64 == expected => bytes,
                Ok((_, bytes)) => {
                    *draft = Some(begun);
                    let why = format!("expected {expected} bytes, got {}", bytes.len());
                    return Err(Trouble::There(why));
                }
                Err(error) => {
                    *draft = Some(begun);
                    return Err(there(error));
                }
            };
            begun = self.write(begun, bytes).await?;
        }
        *draft = Some(begun);
        Ok(())
    }

    async fn write(&self, mut draft: Draft, piece: Bytes) -> Result<Draft, Trouble> {
        let count = piece.len() as u64;
        let offset = draft.written();
        let written = blocking(move || draft.write(offset, &piece).map(|()| draft)).await;
        self.progress.got.fetch_add(count, Ordering::Relaxed);
        written.map_err(|error| match error {
            StoreError::TooLong { .. } => Trouble::There(error.to_string()),
            error => Trouble::Here(error),
        })
    }
}

/// Lets a source look at what it sent.
fn doubt(link: &Link, content: ContentHash) {
    let question = Question::Check(content);
    let asked = link.request::<_, ()>(Service::Files, &question, Bytes::new(), PIECE_TIMEOUT);
    // It is asked already; what it finds is its own business.
    drop(asked);
}

/// Does something that blocks on a thread that may.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let (path, why) = (std::path::PathBuf::new(), std::io::Error::other(error));
        Err(StoreError::Disk { path, why })
    })
}
