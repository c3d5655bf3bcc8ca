//! The control socket: for this user only, one node a path, and gone when the node is.

use anyhow::{Context, bail};
use rustix::fs::Mode;
use rustix::process::umask;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Reading and writing for the owner, nothing for others.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The file of a socket that this process listens on. Dropped, it is removed, unless it has become
/// another's meanwhile.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Listens on a path. The socket that a dead node left there is replaced; that of a live one is an
/// error, and so is any other file.
pub async fn bind(path: &Path) -> anyhow::Result<(UnixListener, SocketFile)> {
    remove_stale(path).await?;
    let listener = bind_private(path)
        .with_context(|| format!("cannot make the control socket {}", path.display()))?;
    let meta = fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        device: meta.dev(),
        inode: meta.ino(),
    };
    Ok((listener, file))
}

/// The socket has its mode from its creation on, so that nobody else can slip in before. The mask
/// is the whole process's; at this time there is only one thread, and it makes no other file.
fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    let before = umask(Mode::all() - MODE);
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

async fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {shown}")),
        Ok(meta) if !meta.file_type().is_socket() => {
            bail!("{shown} exists and is no socket; move it, or set [node] control to another path")
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => bail!(
            "already running: a node answers on {shown}; stop it, change it with `katamari \
             reload`, or set [node] control to another path"
        ),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("cannot replace the dead {shown}"))
        }
        Err(error) => Err(error).with_context(|| {
            format!("cannot tell whether a node runs on {shown}; if none does, remove the file")
        }),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| meta.dev() == self.device && meta.ino() == self.inode);
        if is_ours {
            // What cannot be removed is replaced by the next node.
            let _ = fs::remove_file(&self.path);
        }
    }
}
