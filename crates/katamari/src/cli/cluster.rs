//! The commands that change a cluster: `apply`, `scale`, `drain`, `masters`, `invite`, `revoke`.
//! Each looks at the cluster through a node, then proposes a change to the masters.

use super::client::{self, Client};
use super::rollout::{self, Outcome};
use super::style;
use super::{NodeArgs, say, upload};
use crate::config::Config;
use crate::membership::difference::{self, Difference, Step};
use crate::membership::operations::Seen;
use crate::membership::{check_level, ship};
use anyhow::{Context, bail};
use bytes::Bytes;
use cluster::hard::{Change, Digest, JoinToken, Pace, Roles};
use faceplate::advice;
use faceplate::clock::unix_now;
use pool::NodeId;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const APPLY_EXAMPLES: &str = "\
Examples:
  katamari apply katamari.toml --dry-run   see what would change
  katamari apply katamari.toml             change it, without losing a call
  katamari apply katamari.toml --canary 5  let new versions have 5% of the calls for now
  katamari apply katamari.toml --shadow 5  make 5% of the calls on new versions, too, and compare";

/// The arguments of `katamari apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = APPLY_EXAMPLES)]
pub struct ApplyArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The configuration; its programs become those of the cluster
    file: PathBuf,
    /// Only show the difference
    #[arg(long)]
    dry_run: bool,
    /// Don't wait for the end of roll-outs
    #[arg(long)]
    no_wait: bool,
    /// Let new versions take over at once, worker by worker, without watching them
    #[arg(long, conflicts_with = "canary")]
    at_once: bool,
    /// Hold new versions at this part of the calls, in percent, until `katamari promote`
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=99))]
    canary: Option<u32>,
    /// Let nobody have the answers of new versions: make this part of the calls on them as well, in
    /// percent, and compare, until `katamari promote`
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "10")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    #[arg(conflicts_with_all = ["canary", "at_once"])]
    shadow: Option<u32>,
}

impl ApplyArgs {
    /// How new versions take over.
    fn pace(&self, is_alone: bool) -> Pace {
        match (self.canary, self.shadow) {
            // The one machine there is renews its workers itself.
            _ if self.at_once || is_alone => Pace::AtOnce,
            (_, Some(percent)) => Pace::Shadow(percent),
            (Some(weight), None) => Pace::Canary(weight),
            (None, None) => Pace::Steps,
        }
    }
}

/// The arguments of `katamari scale`.
#[derive(Debug, clap::Args)]
pub struct ScaleArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The program
    program: String,
    /// How many workers it is to have in the whole cluster
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    workers: u32,
}

/// The arguments of `katamari drain`.
#[derive(Debug, clap::Args)]
pub struct DrainArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The node whose workers are to move to others, by name or number
    name: String,
    /// Let it have workers again
    #[arg(long)]
    end: bool,
}

/// The arguments of `katamari masters`.
#[derive(Debug, clap::Args)]
pub struct MastersArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// All masters, by name or number, the one first that is to lead while it is up
    #[arg(required = true)]
    names: Vec<String>,
}

/// The arguments of `katamari invite`.
#[derive(Debug, clap::Args)]
pub struct InviteArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// What to call the token by; a new one of the same name takes its place
    #[arg(default_value = "invite")]
    name: String,
    /// How long it is good, such as 2h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::time)]
    expires_in: Duration,
    /// Newcomers may not be masters: the authority's key stays where it is
    #[arg(long)]
    no_master: bool,
}

/// The arguments of `katamari revoke`.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The node that is never to be let in again, by name or number
    name: String,
}

/// Shows what a configuration changes, and makes it so.
pub async fn apply(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(&args.file)
        .map_err(|error| anyhow::anyhow!("the configuration cannot be used\n{error}"))?;
    let mut client = args.node.connect().await?;
    let seen = look(&mut client).await?;
    // The one machine there is runs programs where their files are.
    let is_alone = seen.fingerprint.is_none();
    if !is_alone {
        ship(&mut config.programs);
    }
    if let Some(advice) = advice(seen.hard.masters.len()) {
        style::warn(advice);
    }
    let mut differences = difference::between(&seen.hard, &config.programs);
    if !is_alone {
        check_level(&seen.hard, &config.programs)?;
        upload::explain(&mut client, &seen.hard, &config.programs, &mut differences).await?;
    }
    if !args.node.json {
        say(&shown(&differences))?;
    }
    let mut outcome = Outcome::default();
    if !args.dry_run && !differences.is_empty() {
        let pace = args.pace(is_alone);
        if !is_alone {
            upload::send(&mut client, &config.programs, &differences).await?;
        }
        let change = difference::change(&differences, seen.hard.revision, pace);
        propose(&mut client, &change).await?;
        if !args.no_wait && pace != Pace::AtOnce {
            let versions = difference::rolled_out(&differences);
            outcome = rollout::follow(&mut client, versions, !args.node.json).await?;
        }
    }
    if args.node.json {
        let changes = difference::summary(&differences);
        say(&serde_json::to_string(&Applied {
            changes,
            outcome: &outcome,
        })?)?;
    }
    Ok(outcome.code())
}

/// What `katamari apply --json` prints.
#[derive(serde::Serialize)]
struct Applied<'a> {
    #[serde(flatten)]
    changes: manager::Changes,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

fn shown(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "no program has changed".to_owned();
    }
    let mut lines = Vec::new();
    for difference in differences {
        let name = &difference.name;
        let version = match difference.versions {
            (Some(from), Some(to)) if from != to => format!(", version {from} to {to}"),
            (_, Some(version)) => format!(", version {version}"),
            _ => String::new(),
        };
        let (sign, what) = match difference.step {
            Step::Added => ('+', "is new"),
            Step::Replaced => ('~', "gets new workers before the old ones retire"),
            Step::Adjusted => ('~', "changes its settings"),
            Step::Removed => ('-', "is removed"),
        };
        lines.push(format!("{sign} {name} {what}{version}"));
        lines.extend(difference.settings.iter().map(|line| format!("    {line}")));
    }
    lines.join("\n")
}

/// Changes how many workers a program has.
pub async fn scale(args: ScaleArgs) -> anyhow::Result<ExitCode> {
    let change = Change::Scale {
        program: args.program.as_str().into(),
        workers: args.workers,
    };
    let done = format!("{} is to have {} workers", args.program, args.workers);
    simple(&args.node, |_| Ok(change), &done).await
}

/// Moves the workers of a node to others, or ends that.
pub async fn drain(args: DrainArgs) -> anyhow::Result<ExitCode> {
    let draining = !args.end;
    let change = |seen: &Seen| {
        let node = seen.node(&args.name)?;
        Ok(Change::Drain { node, draining })
    };
    let done = if draining {
        format!("the workers of {} move to other nodes", args.name)
    } else {
        format!("{} may have workers again", args.name)
    };
    simple(&args.node, change, &done).await
}

/// Puts the masters into another order of priority.
pub async fn masters(args: MastersArgs) -> anyhow::Result<ExitCode> {
    let change = |seen: &Seen| {
        let names = args.names.iter();
        let masters: Vec<NodeId> = names
            .map(|name| seen.node(name))
            .collect::<Result<_, _>>()?;
        let (mut given, mut present) = (masters.clone(), seen.hard.masters.clone());
        given.sort_unstable();
        present.sort_unstable();
        if given != present {
            let name = |id: &NodeId| seen.hard.nodes.get(id).map(|node| &*node.name);
            let names: Vec<&str> = seen.hard.masters.iter().filter_map(name).collect();
            bail!("expected each of the masters once: {}", names.join(" "));
        }
        Ok(Change::SetMasters(masters))
    };
    let done = format!("{} leads while it is up and has caught up", args.names[0]);
    simple(&args.node, change, &done).await
}

/// Voids the certificate of a node.
pub async fn revoke(args: RevokeArgs) -> anyhow::Result<ExitCode> {
    let change = |seen: &Seen| Ok(Change::RevokeNode(seen.node(&args.name)?));
    let done = format!("{} is in the cluster no more", args.name);
    simple(&args.node, change, &done).await
}

/// Makes a join token.
pub async fn invite(args: InviteArgs) -> anyhow::Result<ExitCode> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).context("cannot draw random numbers")?;
    let mut client = args.node.connect().await?;
    let seen = look(&mut client).await?;
    let Some(fingerprint) = seen.fingerprint else {
        bail!("this node is alone: `katamari init` makes a cluster that others can join");
    };
    let token = wire::JoinToken {
        cluster: seen.hard.cluster.to_string(),
        fingerprint,
        secret,
    };
    let now = unix_now();
    let change = Change::PutJoinToken {
        name: args.name.as_str().into(),
        token: JoinToken {
            secret: Digest(token.hash()),
            roles: Roles {
                master: !args.no_master,
                ..Roles::ALL
            },
            expires_unix_s: now + args.expires_in.as_secs(),
        },
        now_unix_s: now,
    };
    propose(&mut client, &change).await?;
    say(&token.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Proposes one change and says that it is done.
pub async fn simple(
    node: &NodeArgs,
    change: impl FnOnce(&Seen) -> anyhow::Result<Change>,
    done: &str,
) -> anyhow::Result<ExitCode> {
    let mut client = node.connect().await?;
    let seen = look(&mut client).await?;
    let applied = propose(&mut client, &change(&seen)?).await?;
    if node.json {
        say(&serde_json::to_string(&applied)?)?;
    } else {
        say(done)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cluster as the node sees it.
pub async fn look(client: &mut Client) -> anyhow::Result<Seen> {
    client::parse(&client.operate("cluster", Bytes::new()).await?)
}

/// Proposes a change, and waits for what comes of it.
pub async fn propose(
    client: &mut Client,
    change: &Change,
) -> anyhow::Result<cluster::hard::Applied> {
    let question = serde_json::to_vec(change)?;
    client::parse(&client.operate("propose", question.into()).await?)
}
