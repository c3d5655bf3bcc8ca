//! The commands for roll-outs: `rollback`, `canary`, `promote`; and following one until its end,
//! which `apply` does, too.

use super::client::Client;
use super::cluster::{look, propose, simple};
use super::{FAILED, NodeArgs, say};
use cluster::hard::{Change, Hard, ProgramRecord, TakenBack};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How often a roll-out is looked at: each step takes longer.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The arguments of `katamari rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The program that is to run as before its last change
    program: String,
}

/// The arguments of `katamari canary`.
#[derive(Debug, clap::Args)]
pub struct CanaryArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The program that is being rolled out
    program: String,
    /// The part of the calls that the new version is to get, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=99))]
    weight: u32,
}

/// The arguments of `katamari promote`.
#[derive(Debug, clap::Args)]
pub struct PromoteArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The program whose new version is to get all calls in the end
    program: String,
    /// Don't wait for the end
    #[arg(long)]
    no_wait: bool,
}

/// How roll-outs ended.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Versions that are not to run, by program, and why.
    pub taken_back: BTreeMap<Arc<str>, TakenBack>,
}

impl Outcome {
    /// The exit status that says so.
    pub fn code(&self) -> ExitCode {
        if self.taken_back.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        }
    }
}

/// Lets a program run as it did before its last change.
pub async fn rollback(args: RollbackArgs) -> anyhow::Result<ExitCode> {
    let change = Change::Rollback {
        program: args.program.as_str().into(),
        version: None,
        why: "it was taken back by hand".into(),
    };
    let done = format!("{} goes back to the version before", args.program);
    simple(&args.node, |_| Ok(change), &done).await
}

/// Holds a roll-out at a weight.
pub async fn canary(args: CanaryArgs) -> anyhow::Result<ExitCode> {
    let change = Change::Hold {
        program: args.program.as_str().into(),
        weight: Some(args.weight),
    };
    let (program, weight) = (&args.program, args.weight);
    let done = format!("the new version of {program} is to have {weight}% of the calls");
    simple(&args.node, |_| Ok(change), &done).await
}

/// Lets a roll-out go on to its end.
pub async fn promote(args: PromoteArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.node.connect().await?;
    let change = Change::Hold {
        program: args.program.as_str().into(),
        weight: None,
    };
    propose(&mut client, &change).await?;
    if args.no_wait {
        return Ok(ExitCode::SUCCESS);
    }
    let hard = look(&mut client).await?.hard;
    let program: Arc<str> = args.program.as_str().into();
    let record = hard.programs.get(&program);
    let versions = record.map(|record| (program.clone(), record.newest_running()));
    let show = !args.node.json;
    let outcome = follow(&mut client, versions.into_iter().collect(), show).await?;
    if args.node.json {
        say(&serde_json::to_string(&outcome)?)?;
    }
    Ok(outcome.code())
}

/// Follows the roll-outs of these versions until each is done, held or taken back; shows a line for
/// each step if asked to.
pub async fn follow(
    client: &mut Client,
    mut versions: BTreeMap<Arc<str>, u32>,
    show: bool,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut shown: BTreeMap<Arc<str>, String> = BTreeMap::new();
    loop {
        let hard = look(client).await?.hard;
        for (program, version) in versions.clone() {
            let (line, is_end) = match stage(&hard, &program, version) {
                Stage::Shadow(percent) => {
                    let line = format!("shadows: {percent}% of the calls are copied to it");
                    (line, true)
                }
                Stage::Weight(0) => ("warms up".to_owned(), false),
                Stage::Weight(weight) => (format!("has {weight}% of the calls"), false),
                Stage::Held(weight) => (format!("is held at {weight}% of the calls"), true),
                Stage::Done => ("has all calls".to_owned(), true),
                Stage::TakenBack(taken_back) => {
                    let line = format!("is taken back: {}", taken_back.why);
                    outcome.taken_back.insert(program.clone(), taken_back);
                    (line, true)
                }
            };
            if is_end {
                versions.remove(&program);
            }
            let line = format!("{program}: version {version} {line}");
            if shown.get(&program) != Some(&line) && show {
                say(&line)?;
            }
            shown.insert(program, line);
        }
        if versions.is_empty() {
            return Ok(outcome);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How far a version has come.
enum Stage {
    /// So many percent of the calls, and more to come.
    Weight(u32),
    /// So many percent, until told otherwise.
    Held(u32),
    /// So many percent are copied, until told otherwise.
    Shadow(u32),
    Done,
    TakenBack(TakenBack),
}

fn stage(hard: &Hard, program: &Arc<str>, version: u32) -> Stage {
    let over = |why: &str| {
        let why = why.into();
        Stage::TakenBack(TakenBack { version, why })
    };
    let Some(record) = hard.programs.get(program) else {
        return over("the program was removed");
    };
    match (&record.rollout, &record.taken_back) {
        (Some(rollout), _) if rollout.to == version => {
            if let Some(percent) = hard.shadow_percent(program, version) {
                return Stage::Shadow(percent);
            }
            let weight = weight(record, version);
            if rollout.held == Some(weight) {
                Stage::Held(weight)
            } else {
                Stage::Weight(weight)
            }
        }
        (_, Some(taken_back)) if taken_back.version == version => {
            Stage::TakenBack(taken_back.clone())
        }
        (None, _) if record.newest_running() == version => Stage::Done,
        _ => over("another version was applied meanwhile"),
    }
}

fn weight(record: &ProgramRecord, version: u32) -> u32 {
    let all: u32 = record.shares.iter().map(|share| share.weight).sum();
    let share = record.shares.iter().find(|share| share.version == version);
    share.map_or(0, |share| share.weight * 100 / all.max(1))
}
