//! The command line. Each command is a file; all but `up`, `check` and `token` talk to a node, over
//! its control socket or the network.

mod call;
mod client;
mod cluster;
mod docs;
mod events;
mod generate;
mod idl;
mod init;
mod join;
mod live;
mod network;
mod nodes;
mod reload;
mod rollout;
mod shadow;
mod status;
pub mod style;
mod table;
mod token;
mod tokens;
mod upload;
mod why;

use crate::check::{self, CheckArgs};
use crate::config::{CONTROL_DEFAULT, units};
use crate::up::{self, UpArgs};
use clap::{Parser, Subcommand};
use client::Client;
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The exit status of a command that did not work out. A command line that cannot be read ends
/// with 2, as clap does it.
pub const FAILED: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  katamari up                                    run the programs of ./katamari.toml
  katamari call shout.upper '{\"text\": \"hello\"}'  make one call
  katamari status                                see pools, programs and workers
  katamari why 5f3c2a9e00000007                  see what happened to a call";

/// Rolls any program into a reliable, distributed API.
#[derive(Debug, Parser)]
#[command(name = "katamari", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: start the programs of a configuration and serve them
    Up(UpArgs),
    /// Make this machine the first master of a new cluster
    Init(init::InitArgs),
    /// Bring this machine into a cluster, and run its node
    Join(join::JoinArgs),
    /// Make one call and print its result
    Call(call::CallArgs),
    /// Show the cluster, pools, programs and workers
    Status(status::StatusArgs),
    /// Show what happened to a call
    Why(why::WhyArgs),
    /// Show the functions that can be called now, with types, docs and examples
    Docs(docs::DocsArgs),
    /// Describe a kind's functions for gRPC or Thrift
    Idl(idl::IdlArgs),
    /// Write a client of a kind in Python, TypeScript or Ruby
    Client(generate::ClientArgs),
    /// Let the node read its configuration again and apply it without losing a call
    Reload(reload::ReloadArgs),
    /// Make a configuration's programs those of the cluster, without losing a call
    Apply(cluster::ApplyArgs),
    /// Change how many workers a program has
    Scale(cluster::ScaleArgs),
    /// Let a program run as before its last change
    Rollback(rollout::RollbackArgs),
    /// Hold a program's new version at a part of the calls
    Canary(rollout::CanaryArgs),
    /// Show what copies of calls to a new version that shadows came to
    Shadow(shadow::ShadowArgs),
    /// Let a program's new version that is held, or shadows, go on to all calls
    Promote(rollout::PromoteArgs),
    /// Move a node's workers to other nodes
    Drain(cluster::DrainArgs),
    /// Put the masters into another order of priority
    Masters(cluster::MastersArgs),
    /// Make a join token for new machines
    Invite(cluster::InviteArgs),
    /// Never let a node in again
    Revoke(cluster::RevokeArgs),
    /// Make secrets for those who call over the network
    Token(token::TokenArgs),
    /// Check whether a command is a worker that keeps the protocol
    Check(CheckArgs),
    /// Kill the workers of a manager that died; started by the manager
    #[command(hide = true)]
    Sentinel,
}

/// What all commands have that talk to a node.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// The node's control socket
    #[arg(long, value_name = "PATH", env = "KATAMARI_CONTROL", default_value = CONTROL_DEFAULT)]
    control: PathBuf,
    #[command(flatten)]
    network: network::NetworkArgs,
    /// Print JSON for programs instead of text for people
    #[arg(long)]
    json: bool,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Up(args) => up::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Join(args) => join::run(&args),
        Command::Call(args) => block_on(call::run(args)),
        Command::Status(args) => block_on(status::run(args)),
        Command::Why(args) => block_on(why::run(args)),
        Command::Docs(args) => block_on(docs::run(args)),
        Command::Idl(args) => block_on(idl::run(args)),
        Command::Client(args) => block_on(generate::run(args)),
        Command::Reload(args) => block_on(reload::run(args)),
        Command::Apply(args) => block_on(cluster::apply(args)),
        Command::Scale(args) => block_on(cluster::scale(args)),
        Command::Rollback(args) => block_on(rollout::rollback(args)),
        Command::Canary(args) => block_on(rollout::canary(args)),
        Command::Shadow(args) => block_on(shadow::run(args)),
        Command::Promote(args) => block_on(rollout::promote(args)),
        Command::Drain(args) => block_on(cluster::drain(args)),
        Command::Masters(args) => block_on(cluster::masters(args)),
        Command::Invite(args) => block_on(cluster::invite(args)),
        Command::Revoke(args) => block_on(cluster::revoke(args)),
        Command::Token(args) => block_on(token::run(args)),
        Command::Check(args) => check::run(args),
        Command::Sentinel => manager::sentinel::main()
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
    };
    result.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::from(FAILED);
        }
        style::complain(&format!("{error:#}"));
        ExitCode::from(FAILED)
    })
}

/// Reads a time on the command line.
fn time(text: &str) -> Result<Duration, String> {
    let time = units::duration(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a time such as 12h or 30d".to_owned())
}

/// Prints a text and a line break on stdout.
pub fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.trim_end_matches('\n').as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// Whether the reader of our output has left, as `head` does: it has seen enough and wants no
/// complaint.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

impl NodeArgs {
    async fn connect(&self) -> anyhow::Result<Client> {
        match self.network.connect().await? {
            Some(client) => Ok(client),
            None => Client::connect(&self.control).await,
        }
    }
}
