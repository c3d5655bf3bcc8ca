//! `katamari init`: makes a cluster's identity on its first master.

use super::say;
use crate::config::{Config, units};
use crate::membership::{LINK_PORT, State, labels, node_name};
use anyhow::{Context, bail};
use cluster::hard::{Change, ClusterId, Digest, JoinToken, Roles};
use faceplate::clock::unix_now;
use pool::NodeId;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use wire::{Authority, Identity, NodeKey};

const EXAMPLES: &str = "\
Examples:
  katamari init                       this machine becomes the first master of a new cluster
  katamari init --expires-in 7d       with a join token that is good for a week";

/// The name of the token that `init` makes.
const TOKEN_NAME: &str = "init";

/// The arguments of `katamari init`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct InitArgs {
    /// The configuration; its `[node]` says where this machine listens for others
    #[arg(default_value = "katamari.toml")]
    file: PathBuf,
    /// How long the join token is good, such as 2h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::time)]
    expires_in: Duration,
}

/// Makes authority, identity and join token. Nothing is started.
pub fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.file)
        .map_err(|error| anyhow::anyhow!("the configuration cannot be used\n{error}"))?;
    if !config.node.roles.master {
        bail!("the first node must be a master: add \"master\" to [node] roles");
    }
    let address = config.node.address().with_context(|| {
        format!(
            "no address for other machines: set [node] listen, such as \"10.0.0.1:{LINK_PORT}\""
        )
    })?;
    let state = State::at(&config.node.state);
    state.create()?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).context("cannot draw random numbers")?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).context("cannot draw random numbers")?;
    let cluster = ClusterId(id);
    let now = unix_now();
    let name = node_name(&config.node);
    let authority = Authority::new(&cluster.to_string(), now)?;
    let key = NodeKey::generate()?;
    let first = NodeId(1);
    let certificate = authority.sign(first, &name, key.public(), now, wire::VALIDITY)?;
    let token = wire::JoinToken {
        cluster: cluster.to_string(),
        fingerprint: authority.fingerprint(),
        secret,
    };
    let changes = [
        Change::Found {
            cluster,
            name: name.as_str().into(),
            address: address.as_str().into(),
            roles: config.node.roles,
            labels: labels(&config.node.labels),
            request: Digest::of(key.public()),
            timeout: config.cluster.timeout,
        },
        Change::PutJoinToken {
            name: TOKEN_NAME.into(),
            token: JoinToken {
                secret: Digest(token.hash()),
                roles: Roles::ALL,
                expires_unix_s: now + args.expires_in.as_secs(),
            },
            now_unix_s: now,
        },
    ];
    state.save_founding(&changes)?;
    state.save_authority(&authority)?;
    // Last: a folder with an identity is a node.
    state.save_identity(&Identity::new(&key, certificate)?)?;
    let good_for = units::show_duration(args.expires_in);
    say(&format!(
        "cluster {cluster}; this machine is its first master, {name} at {address}\n\
         \n\
         start it with         katamari up {file}\n\
         on another machine    katamari join {address} --token {token}\n\
         \n\
         The token is good for {good_for}. Keep {folder} secret: its authority.pem makes nodes.",
        file = args.file.display(),
        folder = config.node.state.display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}
