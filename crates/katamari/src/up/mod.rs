//! `katamari up`: a node, assembled from its parts, from its first listener to its last worker.
//!
//! ```text
//!   listeners bound ──> dispatch, manager, faceplates ──> programs applied ──> ready file
//!   SIGHUP, POST /apply ──> the file is read again and applied
//!   SIGTERM, SIGINT ──> drain: new calls refused, running ones finish ──> workers stop ──> exit 0
//!     a second one ──> workers killed, exit 128 + signal
//! ```

mod follow;
mod intake;
mod node;
mod operator;
mod programs;
mod ready;
mod reload;
mod report;
mod running;
mod shadows;
mod signals;
mod socket;
mod summary;
mod tokens;

use crate::cli;
use crate::config::{self, Config};
use crate::log;
use anyhow::Context;
use node::{Doors, Node};
use ready::Ready;
use reload::Reloads;
use rustix::process::{Resource, getrlimit, setrlimit};
use signals::{Asked, Signals, StopSignal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;

/// The arguments of `katamari up`.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// The configuration
    #[arg(default_value = "katamari.toml")]
    file: PathBuf,
    /// Write where the node listens to this file once it does, as JSON
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Only check the configuration, start nothing
    #[arg(long)]
    dry_run: bool,
    /// Least level of log lines: error, warn, info, debug, trace, or a tracing filter
    #[arg(
        long,
        value_name = "LEVEL",
        env = "KATAMARI_LOG",
        default_value = "info"
    )]
    log_level: String,
}

impl UpArgs {
    /// The configuration.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// Runs a node until a signal ends it.
pub fn run(args: &UpArgs) -> anyhow::Result<ExitCode> {
    let _last_lines = log::start(&args.log_level)?;
    let config = Config::load(&args.file)
        .map_err(|error| anyhow::anyhow!("the configuration cannot be used\n{error}"))?;
    if args.dry_run {
        cli::say(&summary::dry_run(&args.file, &config))?;
        return Ok(ExitCode::SUCCESS);
    }
    // One thread: all there is to do here is to pass bytes on, and a wake-up on another core costs
    // more than that.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(args, config))
}

async fn serve(args: &UpArgs, config: Config) -> anyhow::Result<ExitCode> {
    raise_descriptor_limit();
    let mut signals = Signals::new().context("cannot listen for signals")?;
    // Listeners come first: a port in use must not cost the start of any process.
    let mut listeners = Vec::new();
    if config.node.roles.faceplate {
        for faceplate in &config.faceplates {
            listeners.push(bind(faceplate).await?);
        }
    }
    let addresses = config.faceplates.iter().zip(&listeners);
    let addresses = addresses
        .map(|(faceplate, listener)| Ok((faceplate.name.clone(), listener.local_addr()?)))
        .collect::<std::io::Result<_>>()?;
    let (control, _socket_file) = socket::bind(&config.node.control).await?;
    if let Some(path) = &args.ready_file {
        ready::remove_stale(path)?;
    }
    let (sender, mut reloads) = Reloads::new(args.file.clone(), config.clone());
    let doors = Doors {
        listeners,
        control,
        reloads: sender,
    };
    let mut node = Node::start(&config, doors).await?;
    if node.is_new() {
        node.apply(&config.programs).await?;
        node.founded()?;
    }
    let ready = Ready {
        faceplates: addresses,
        control: config.node.control.clone(),
        pid: std::process::id(),
    };
    summary::print(&ready, &config, node.is_alone());
    let _ready_file = match &args.ready_file {
        Some(path) => Some(ready.write(path)?),
        None => None,
    };
    let signal = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop(signal) => break signal,
                Asked::Reload => reloads.reload(&node).await,
            },
            request = reloads.next_request() => reloads.answer(request, &node).await,
            error = node.broken() => return Err(error),
        }
    };
    let drain_timeout = reloads.config().node.drain_timeout;
    // Whoever asks for a reload now is told at once that there is none.
    drop(reloads);
    Ok(stop(node, signal, &mut signals, drain_timeout).await)
}

/// Takes as many descriptors as the system allows: each connection is one, and each worker six.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
}

async fn bind(faceplate: &config::Faceplate) -> anyhow::Result<TcpListener> {
    let listen = faceplate.listen;
    TcpListener::bind(listen).await.with_context(|| {
        format!(
            "cannot listen on {listen}; stop what uses that port, or set [faceplate.{}] listen \
             to another one",
            faceplate.name
        )
    })
}

/// Stops in good order, unless a second signal asks for haste.
async fn stop(
    node: Node,
    signal: StopSignal,
    signals: &mut Signals,
    drain_timeout: Duration,
) -> ExitCode {
    tracing::info!(
        "{}: no new calls, running ones have {} s; once more to stop at once",
        signal.name(),
        drain_timeout.as_secs_f64()
    );
    let manager = node.manager.clone();
    tokio::select! {
        () = node.stop(drain_timeout) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        signal = signals.next_stop() => {
            tracing::warn!("{} again: killing all workers", signal.name());
            manager.kill().await;
            ExitCode::from(signal.exit_status())
        }
    }
}

/// A path as it is shown to people: relative to here where that is shorter.
fn shown(path: &Path) -> std::path::Display<'_> {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
        .display()
}
