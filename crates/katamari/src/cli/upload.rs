//! Sends the files of programs to a cluster, over the control socket of one of its nodes, before a
//! change that names them is proposed.

use super::{client, client::Client, style};
use crate::config;
use crate::files::operations::{Hold, Holder, PIECE_BYTES, is_safe};
use crate::files::{Files, difference, shown_bytes};
use crate::membership::difference::Difference;
use crate::membership::files_of;
use anyhow::{Context, bail};
use bytes::Bytes;
use cluster::files::{ContentHash, Manifest};
use cluster::hard::{Hard, ProgramRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::time::Duration;

/// How often masters are asked how far they are.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often they are asked while nothing comes there: a minute of a network that is cut.
const IDLE_MAX: u32 = 300;

/// The programs of a difference that ship files, with these.
fn shipped<'a>(
    programs: &'a [config::Program],
    differences: &'a [Difference],
) -> impl Iterator<Item = (&'a Difference, &'a Files)> {
    differences.iter().filter_map(|difference| {
        let program = programs
            .iter()
            .find(|program| program.run.name == difference.name)?;
        Some((difference, program.files.as_ref()?))
    })
}

/// Adds a line to each difference for each file that differs.
pub async fn explain(
    client: &mut Client,
    hard: &Hard,
    programs: &[config::Program],
    differences: &mut [Difference],
) -> anyhow::Result<()> {
    let mut lines = BTreeMap::new();
    for (difference, files) in shipped(programs, differences) {
        let record = hard.programs.get(&difference.name);
        let before = record.and_then(newest_files);
        if before == Some(files.manifest.hash()) {
            continue;
        }
        // One that this node does not have is shown as if all files were new.
        let before = match before {
            Some(before) => manifest(client, before).await.ok(),
            None => None,
        };
        let changes = difference::lines(before.as_ref(), &files.manifest);
        lines.insert(difference.name.clone(), changes);
    }
    for difference in differences {
        difference
            .settings
            .extend(lines.remove(&difference.name).unwrap_or_default());
    }
    Ok(())
}

/// The manifest of the newest version that runs.
fn newest_files(record: &ProgramRecord) -> Option<ContentHash> {
    let version = record.version(record.newest_running())?;
    files_of(&version.spec)
}

async fn manifest(client: &mut Client, name: ContentHash) -> anyhow::Result<Manifest> {
    let path = format!("files/manifest/{name}");
    client::parse(&client.operate(&path, Bytes::new()).await?)
}

/// Sends the files that the cluster lacks, and waits until enough masters have them.
pub async fn send(
    client: &mut Client,
    programs: &[config::Program],
    differences: &[Difference],
) -> anyhow::Result<()> {
    for (difference, files) in shipped(programs, differences) {
        let name = &difference.name;
        let sent = send_files(client, name, files).await;
        sent.with_context(|| format!("the files of program {name} were not sent"))?;
    }
    Ok(())
}

async fn send_files(client: &mut Client, program: &str, files: &Files) -> anyhow::Result<()> {
    let manifest = &files.manifest;
    let offer = serde_json::to_vec(manifest)?;
    let answer = client.operate("files/offer", offer.into()).await?;
    let missing: BTreeSet<ContentHash> = client::parse(&answer)?;
    let mut to_send = BTreeMap::new();
    for entry in manifest.entries() {
        if missing.contains(&entry.content) {
            to_send.insert(entry.content, entry);
        }
    }
    let all = to_send.values().map(|entry| entry.size).sum();
    let mut bar = Progress::new(format!("{program}: sends files"));
    let mut sent = 0;
    for entry in to_send.values() {
        let path = files.folder.join(&entry.path);
        let changed = || format!("{} was changed meanwhile; apply again", path.display());
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        let mut offset = 0;
        loop {
            let mut piece = Vec::new();
            let left = entry.size - offset;
            let read = (&mut file).take(left.min(PIECE_BYTES as u64));
            { read }.read_to_end(&mut piece)?;
            let count = piece.len() as u64;
            if count == 0 && left > 0 {
                bail!(changed());
            }
            let path = format!("files/put/{}/{}/{offset}", entry.content, entry.size);
            let sent_piece = client.operate(&path, piece.into()).await;
            sent_piece.with_context(|| entry.path.clone())?;
            offset += count;
            sent += count;
            bar.show(sent, all);
            if offset == entry.size {
                break;
            }
        }
    }
    bar.end();
    spread(client, program, files).await
}

/// Waits until all masters that are up, and a majority, have the files.
async fn spread(client: &mut Client, program: &str, files: &Files) -> anyhow::Result<()> {
    let hold = Hold {
        manifest: files.manifest.hash(),
        bytes: files.manifest.bytes(),
    };
    let question = Bytes::from(serde_json::to_vec(&hold)?);
    let mut bar = Progress::new(format!("{program}: masters take files"));
    let (mut idle, mut most) = (0, 0);
    loop {
        let answer = client.operate("files/hold", question.clone()).await?;
        let holders: Vec<Holder> = client::parse(&answer)?;
        if is_safe(&holders) {
            bar.end();
            return Ok(());
        }
        let up = holders.iter().filter(|holder| holder.is_up).count();
        if up * 2 <= holders.len() {
            bail!(
                "{up} of {} masters are up, expected a majority; start the others",
                holders.len()
            );
        }
        let got: u64 = holders.iter().map(|holder| holder.progress.0).sum();
        // A master that fails begins again: what it gets a second time leads nowhere.
        idle = if got > most { 0 } else { idle + 1 };
        most = got.max(most);
        if idle > IDLE_MAX {
            let lacks = holders
                .iter()
                .filter(|holder| holder.is_up && !holder.is_whole);
            let why = lacks.map(|holder| {
                let problem = holder.problem.as_deref().unwrap_or("nothing comes there");
                format!("{}: {problem}", holder.name)
            });
            bail!(
                "not all masters have them: {}",
                why.collect::<Vec<_>>().join("; ")
            );
        }
        bar.show(got, holders.iter().map(|holder| holder.progress.1).sum());
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A line on a terminal that says how far something is. Elsewhere nothing.
struct Progress {
    what: String,
    is_shown: bool,
    shown: String,
}

impl Progress {
    fn new(what: String) -> Self {
        Self {
            what,
            is_shown: std::io::stderr().is_terminal(),
            shown: String::new(),
        }
    }

    fn show(&mut self, done: u64, all: u64) {
        let line = format!(
            "{}, {} of {}",
            self.what,
            shown_bytes(done),
            shown_bytes(all)
        );
        if self.is_shown && line != self.shown {
            // Without stderr nobody watches.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", style::clean(&line));
            self.shown = line;
        }
    }

    /// Clears the line.
    fn end(self) {
        if self.is_shown && !self.shown.is_empty() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
