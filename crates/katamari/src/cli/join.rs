//! `katamari join`: brings this machine into a cluster, and runs its node.

use super::say;
use crate::config::Config;
use crate::membership::{LINK_PORT, Newcomer, State, enroll, labels, node_name};
use crate::up::{self, UpArgs};
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use wire::{JoinToken, Tcp};

const EXAMPLES: &str = "\
Examples:
  katamari join 10.0.0.1:7400 --token katamari-...
  katamari join 10.0.0.1:7400,10.0.0.2:7400 node.toml --token-file token --only-join";

/// The arguments of `katamari join`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct JoinArgs {
    /// Where masters of the cluster are, with commas between them; one that answers is enough
    #[arg(value_name = "MASTER[,MASTER..]", value_parser = masters)]
    masters: Masters,
    #[command(flatten)]
    up: UpArgs,
    /// The join token, as `katamari init` or `katamari invite` printed it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "KATAMARI_JOIN_TOKEN",
        hide_env_values = true
    )]
    token: Option<JoinToken>,
    /// A file with the join token: other users can see a command line
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Only become a node; start it later with `katamari up`
    #[arg(long)]
    only_join: bool,
}

/// Where masters are, as `host:port`.
#[derive(Debug, Clone)]
struct Masters(Vec<String>);

fn masters(text: &str) -> Result<Masters, String> {
    let masters: Vec<String> = text.split(',').map(str::to_owned).collect();
    let is_good = |master: &String| {
        let parts = master.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    match masters.iter().find(|master| !is_good(master)) {
        None => Ok(Masters(masters)),
        Some(other) => Err(format!(
            "expected host:port, such as 10.0.0.1:{LINK_PORT}, got {other:?}"
        )),
    }
}

/// Joins, unless this machine has joined before, and runs the node.
pub fn run(args: &JoinArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load_or_default(args.up.file())
        .map_err(|error| anyhow::anyhow!("the configuration cannot be used\n{error}"))?;
    let state = State::at(&config.node.state);
    if state.has_identity() {
        say("this machine is a node already")?;
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(become_node(args, &config, &state))?;
    }
    if args.only_join {
        return Ok(ExitCode::SUCCESS);
    }
    up::run(&args.up)
}

async fn become_node(args: &JoinArgs, config: &Config, state: &State) -> anyhow::Result<()> {
    let token = match (&args.token, &args.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .parse()?,
        (None, None) => bail!("no join token: give --token or --token-file"),
    };
    let node = &config.node;
    let address = match node.address() {
        Some(address) => address,
        None => own_address(&args.masters.0)?,
    };
    let newcomer = Newcomer {
        name: node_name(node),
        address: address.clone(),
        roles: node.roles,
        labels: labels(&node.labels),
        versions: node.versions(),
    };
    let id = enroll(state, &Tcp, &args.masters.0, &token, newcomer).await?;
    say(&format!(
        "joined as node {}, {} at {address}",
        id.0,
        node_name(node)
    ))
}

/// The address by which this machine reaches the first master that has one, and the usual port.
fn own_address(masters: &[String]) -> anyhow::Result<String> {
    let mut addresses = masters
        .iter()
        .flat_map(|master| master.to_socket_addrs().ok());
    let master = addresses
        .find_map(|mut all| all.next())
        .with_context(|| format!("expected masters as host:port, got {}", masters.join(",")))?;
    // Nothing is sent: to connect a datagram socket is to look up the route.
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let route = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(master)?;
        socket.local_addr()
    });
    let own = route.with_context(|| {
        format!("cannot tell by which address {master} reaches this machine: set [node] listen")
    })?;
    Ok(SocketAddr::new(own.ip(), LINK_PORT).to_string())
}
