//! The task of a node's files: the one owner of its plan. It answers other nodes, starts attempts, and
//! clears what nobody uses. Whatever blocks or waits is done by tasks of its own.

use super::fetch::{Fetcher, Progress, blocking};
use super::hash::ContentHash;
use super::manifest::Manifest;
use super::message::{ASKED_MAX, Held, PIECE_BYTES, Piece, Question};
use super::plan::{Job, Plan, Stage, Wants};
use super::store::Store;
use super::{Unpacked, Unpacking};
use bytes::Bytes;
use pool::{NodeId, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::{Frame, Link, Mesh, MeshEvent, MeshEvents};

/// Questions of others that read from the disk at a time; more wait for those.
const READS_AT_ONCE: usize = 16;
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked for what nobody uses.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What the handles ask of the task.
#[derive(Debug)]
pub enum Command {
    Want(Wants),
    /// Keep the files of a manifest that no program has yet.
    Hold {
        manifest: Arc<Manifest>,
        name: ContentHash,
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// As [`Question::Hold`], asked by this node itself.
    Get {
        manifest: ContentHash,
        bytes: u64,
        answer: oneshot::Sender<Result<Held, String>>,
    },
    /// Whether other nodes, or an upload, may have a content.
    IsWanted(ContentHash, oneshot::Sender<bool>),
}

/// See the module.
pub struct Shell {
    pub me: NodeId,
    pub mesh: Mesh,
    pub events: MeshEvents,
    pub store: Arc<Store>,
    pub commands: mpsc::Receiver<Command>,
    pub show: watch::Sender<Arc<Unpacked>>,
    plan: Plan,
    /// Attempts under way.
    attempts: JoinSet<(Job, Result<(), String>)>,
    progress: BTreeMap<ContentHash, Arc<Progress>>,
    learned: mpsc::UnboundedReceiver<(ContentHash, Arc<Manifest>)>,
    learned_sender: mpsc::UnboundedSender<(ContentHash, Arc<Manifest>)>,
    /// Answers under way; what turned out to be lost.
    answers: JoinSet<Option<ContentHash>>,
    reads: Arc<Semaphore>,
    started: Instant,
}

impl Shell {
    pub fn new(
        me: NodeId,
        mesh: Mesh,
        events: MeshEvents,
        store: Arc<Store>,
        commands: mpsc::Receiver<Command>,
        show: watch::Sender<Arc<Unpacked>>,
    ) -> Self {
        let (learned_sender, learned) = mpsc::unbounded_channel();
        Self {
            me,
            mesh,
            events,
            store,
            commands,
            show,
            plan: Plan::default(),
            attempts: JoinSet::new(),
            progress: BTreeMap::new(),
            learned,
            learned_sender,
            answers: JoinSet::new(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            started: Instant::now(),
        }
    }

    /// Runs until the mesh or the last handle is gone.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(SHOW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sweep = Instant::now() + SWEEP_EVERY;
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                event = self.events.recv() => match event {
                    Some(MeshEvent::Frame(link, frame)) => self.question(link, frame),
                    Some(MeshEvent::Up(_) | MeshEvent::Down(..)) => {}
                    None => return,
                },
                Some((name, manifest)) = self.learned.recv() => self.plan.learn(name, manifest),
                Some(Ok((job, result))) = self.attempts.join_next() => self.ended(job, result),
                Some(answered) = self.answers.join_next() => {
                    if let Ok(Some(lost)) = answered {
                        self.plan.lost(lost);
                    }
                }
                _ = ticks.tick() => {
                    if Instant::now() >= sweep {
                        sweep = Instant::now() + SWEEP_EVERY;
                        self.sweep().await;
                    }
                }
            }
            self.begin();
            self.show();
        }
    }

    fn now(&self) -> Time {
        Time::default().after(self.started.elapsed())
    }

    fn command(&mut self, command: Command) {
        // Whoever asked may have stopped waiting for an answer.
        match command {
            Command::Want(wants) => self.plan.want(wants),
            Command::Hold {
                manifest,
                name,
                answer,
            } => {
                let held = self
                    .plan
                    .hold(self.now(), name, manifest.bytes(), None, false);
                if held.is_ok() {
                    self.plan.learn(name, manifest);
                }
                let _ = answer.send(held);
            }
            Command::Get {
                manifest,
                bytes,
                answer,
            } => {
                let held = self.plan.hold(self.now(), manifest, bytes, None, true);
                let _ = answer.send(held.map(|()| self.held(manifest)));
            }
            Command::IsWanted(content, answer) => {
                let _ = answer.send(self.plan.serves(content));
            }
        }
    }

    /// Answers another node.
    fn question(&mut self, link: Link, frame: Frame) {
        match frame.message() {
            Ok(Question::Piece { content, offset }) => {
                if !self.plan.serves(content) {
                    return frame.refuse(&link, "no version of a program that is kept has it");
                }
                self.answer(move |store| {
                    match store.piece(content, offset, PIECE_BYTES) {
                        Ok((bytes, size)) => frame.answer(&link, &Piece { size }, bytes.into()),
                        Err(error) => frame.refuse(&link, &error.to_string()),
                    }
                    None
                });
            }
            Ok(Question::Check(content)) => self.answer(move |store| {
                let is_whole = store.verify(content);
                frame.answer(&link, &(), Bytes::new());
                (!is_whole.unwrap_or(false)).then_some(content)
            }),
            Ok(Question::Missing(asked)) if asked.len() > ASKED_MAX => {
                frame.refuse(&link, "expected fewer contents in one question");
            }
            Ok(Question::Missing(asked)) => self.answer(move |store| {
                let missing = asked
                    .into_iter()
                    .filter(|content| store.size(*content).is_none());
                frame.answer(&link, &missing.collect::<Vec<_>>(), Bytes::new());
                None
            }),
            Ok(Question::Hold { manifest, bytes }) => {
                if !self.plan.masters().contains(&self.me) {
                    return frame.refuse(&link, "this node is no master");
                }
                let from = Some(link.peer().node);
                match self.plan.hold(self.now(), manifest, bytes, from, true) {
                    Ok(()) => frame.answer(&link, &self.held(manifest), Bytes::new()),
                    Err(why) => frame.refuse(&link, &why),
                }
            }
            Err(error) => frame.refuse(&link, &error.to_string()),
        }
    }

    /// Answers on a thread that may block. As many questions wait as links let through.
    fn answer(&mut self, act: impl FnOnce(&Store) -> Option<ContentHash> + Send + 'static) {
        let (store, reads) = (Arc::clone(&self.store), Arc::clone(&self.reads));
        self.answers.spawn(async move {
            let _place = reads.acquire().await;
            let acted = blocking(move || Ok(act(&store))).await;
            acted.ok().flatten()
        });
    }

    fn held(&self, manifest: ContentHash) -> Held {
        let (stage, problem, _) = self.plan.stage(manifest);
        Held {
            is_whole: matches!(stage, Stage::Whole | Stage::Unpacked),
            progress: self.progress_of(manifest),
            problem: problem.as_deref().map(str::to_owned),
        }
    }

    fn progress_of(&self, manifest: ContentHash) -> (u64, u64) {
        let progress = self.progress.get(&manifest);
        progress.map_or((0, 0), |progress| {
            let of = progress.of.load(Ordering::Relaxed);
            (progress.got.load(Ordering::Relaxed).min(of), of)
        })
    }

    fn begin(&mut self) {
        for job in self.plan.begin(self.now()) {
            let progress = Arc::<Progress>::default();
            self.progress.insert(job.manifest, Arc::clone(&progress));
            let masters = self.plan.masters().iter().copied();
            let fetcher = Fetcher {
                me: self.me,
                mesh: self.mesh.clone(),
                store: Arc::clone(&self.store),
                masters: masters.filter(|master| *master != self.me).collect(),
                job,
                progress,
                learned: self.learned_sender.clone(),
            };
            self.attempts
                .spawn(async move { (job, fetcher.run().await) });
        }
    }

    fn ended(&mut self, job: Job, result: Result<(), String>) {
        // What it learned comes before it is done.
        while let Ok((name, manifest)) = self.learned.try_recv() {
            self.plan.learn(name, manifest);
        }
        if let Err(why) = &result {
            tracing::warn!(manifest = %job.manifest, "files of a program are not here: {why}");
        }
        self.plan.ended(self.now(), job, result.map_err(Into::into));
    }

    fn show(&mut self) {
        let wanted = self.plan.to_unpack();
        let shown = wanted.iter().map(|manifest| {
            let (stage, problem, failures) = self.plan.stage(*manifest);
            let unpacking = match stage {
                Stage::Unpacked => Unpacking::Ready(self.store.folder(*manifest)),
                _ => Unpacking::Fetching {
                    progress: self.progress_of(*manifest),
                    problem,
                    failures,
                },
            };
            (*manifest, unpacking)
        });
        let shown: Unpacked = shown.collect();
        self.show.send_if_modified(|before| {
            let is_news = **before != shown;
            if is_news {
                *before = Arc::new(shown);
            }
            is_news
        });
        self.progress
            .retain(|manifest, _| !matches!(self.plan.stage(*manifest).0, Stage::New));
    }

    /// Clears what nobody has used for a while. Waits for it: nothing is fetched meanwhile that it
    /// could take for useless.
    async fn sweep(&mut self) {
        if !self.attempts.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let here = blocking(move || Ok((store.contents()?, store.folders()?))).await;
        let Ok((contents, folders)) = here else {
            return;
        };
        let sweep = self.plan.sweep(self.now(), contents.into_keys(), folders);
        let store = Arc::clone(&self.store);
        let swept = blocking(move || {
            for content in sweep.contents {
                store.remove(content)?;
            }
            for folder in sweep.folders {
                store.remove_unpacked(folder)?;
            }
            Ok(())
        });
        if let Err(error) = swept.await {
            tracing::warn!("files that nobody uses are not removed: {error}");
        }
    }
}
