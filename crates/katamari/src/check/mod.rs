//! `katamari check`: plays the manager of a worker, strictly, and says which promises of
//! `docs/protocol/worker.md` it keeps.
//!
//! A [`case::Case`] is one promise, on a process of its own. [`every`] has those of every worker;
//! [`calls`], [`running`], [`streams`], [`inputs`] and [`nested`] those of the conformance worker,
//! by which a chassis is tested, and [`slots`] those of the same with several slots; [`lines`],
//! [`classic`], [`commands`] and [`served`] those of the other dialects. [`launch`] starts the
//! process, and [`worker`] speaks with it. The codec and the checks of a hello are the manager's own,
//! so that what passes here is what a node accepts.

mod calls;
mod case;
mod classic;
mod commands;
mod every;
mod inputs;
mod launch;
mod lines;
mod nested;
mod report;
mod running;
mod served;
mod slots;
mod streams;
mod verdict;
mod worker;

use crate::config::units;
use case::Case;
use launch::Bench;
use manager::Sentinel;
use report::{Outcome, Report};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use verdict::Trouble;

/// The kind of the worker for which the check runs in full.
const CONFORMANCE: &str = "conformance";

/// What to check.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The dialect that the worker speaks
    #[arg(long, value_enum, default_value_t = Dialect::Json)]
    dialect: Dialect,
    /// How long the worker may take to say hello, a server to start, or a command to end, such as
    /// 30s
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = read_duration)]
    start_timeout: Duration,
    /// With --dialect exec, what the command reads
    #[arg(long, value_name = "TEXT", default_value = "")]
    stdin: String,
    /// With --dialect http, the path that is answered when all is well, or `connect`
    #[arg(long, value_name = "PATH", default_value = "/")]
    health: String,
    /// Print JSON for programs instead of text for people
    #[arg(long)]
    json: bool,
    /// The command that starts the worker
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Dialect {
    Json,
    Lines,
    Classic,
    Exec,
    Http,
}

fn read_duration(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .ok_or_else(|| "expected a number and ms, s, m or h, such as 30s".to_owned())
}

/// Runs the cases and prints what came of them. The status is 1 if one failed.
pub fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let sentinel = Sentinel::start(&std::env::current_exe()?)?;
    let bench = Bench {
        command: args.command,
        environment: BTreeMap::new(),
        start_max: args.start_timeout,
        sentinel: Arc::new(sentinel),
        stderr: launch::Printed::default(),
        asked: match args.dialect {
            Dialect::Exec => args.stdin,
            _ => args.health,
        },
    };
    let report = Report::new(args.json, &bench.command);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ok = runtime.block_on(async {
        let mut checked = Checked { bench, report };
        match args.dialect {
            Dialect::Json => checked.json().await?,
            Dialect::Lines => checked.lines().await?,
            Dialect::Classic => {
                let (first, rest) = (classic::INTERROGATION, classic::CASES);
                checked.first_then(first, rest).await?;
            }
            Dialect::Exec => checked.first_then(commands::RUN, commands::CASES).await?,
            Dialect::Http => checked.first_then(served::HEALTH, served::CASES).await?,
        }
        checked.report.finish()
    })?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(crate::cli::FAILED)
    })
}

/// A worker that is being checked.
struct Checked {
    bench: Bench,
    report: Report,
}

impl Checked {
    async fn json(&mut self) -> anyhow::Result<()> {
        if !self.run(every::HELLO).await? {
            for cases in [every::PING, every::PINGED, every::CASES] {
                self.skip(cases, "without a hello there is nothing more to see")?;
            }
            return Ok(());
        }
        if self.run(every::PING).await? {
            self.run(every::PINGED).await?;
        } else {
            self.skip(every::PINGED, "it answers no ping")?;
        }
        self.run(every::CASES).await?;
        let suites = [
            calls::CASES,
            running::CASES,
            streams::CASES,
            inputs::CASES,
            nested::CASES,
        ];
        let kind = self.kind().await;
        for cases in suites {
            if kind == CONFORMANCE {
                self.run(cases).await?;
            } else {
                self.skip(cases, &format!("the kind is {kind:?}, not {CONFORMANCE:?}"))?;
            }
        }
        if kind != CONFORMANCE {
            let why = format!("the kind is {kind:?}");
            self.skip(slots::CASES, &why)?;
            return self.skip(inputs::SLOTS, &why);
        }
        self.with_slots().await
    }

    /// The conformance worker again, with several slots.
    async fn with_slots(&mut self) -> anyhow::Result<()> {
        let (name, slots) = (slots::SLOTS_VARIABLE, slots::SLOTS.to_string());
        self.bench.environment.insert(name.to_owned(), slots);
        if slots::are_taken(&self.bench).await {
            self.run(slots::CASES).await?;
            self.run(inputs::SLOTS).await?;
            return Ok(());
        }
        let why = format!("it has one slot, also with {name}={}", slots::SLOTS);
        self.skip(slots::CASES, &why)?;
        self.skip(inputs::SLOTS, &why)
    }

    async fn lines(&mut self) -> anyhow::Result<()> {
        let sound = self.run(lines::CASES).await?;
        if lines::is_conformance_worker(&self.bench, sound).await {
            self.run(lines::CONFORMANCE).await?;
            return Ok(());
        }
        self.skip(lines::CONFORMANCE, "it has no \"echo\" that answers")
    }

    /// The rest makes sense only after the first.
    async fn first_then(&mut self, first: &[Case], rest: &[Case]) -> anyhow::Result<()> {
        if self.run(first).await? {
            self.run(rest).await?;
            return Ok(());
        }
        self.skip(rest, "without that there is nothing more to see")
    }

    async fn kind(&self) -> String {
        let worker = self.bench.hello("1").await;
        let kind = worker.ok().and_then(|it| it.description.details.kind);
        kind.as_deref().unwrap_or("unknown").to_owned()
    }

    /// Whether all went well.
    async fn run(&mut self, cases: &[Case]) -> anyhow::Result<bool> {
        let mut ok = true;
        for case in cases {
            self.bench.stderr.clear();
            let outcome = match (case.run)(&self.bench).await {
                Ok(()) => Outcome::Ok,
                Err(Trouble::Skipped(why)) => Outcome::Skipped(why),
                Err(Trouble::Failed(why)) => Outcome::Failed {
                    why,
                    stderr: self.bench.stderr.last_text().await,
                },
            };
            ok &= !matches!(outcome, Outcome::Failed { .. });
            self.report.add(case, outcome)?;
        }
        Ok(ok)
    }

    fn skip(&mut self, cases: &[Case], why: &str) -> anyhow::Result<()> {
        for case in cases {
            self.report.add(case, Outcome::Skipped(why.to_owned()))?;
        }
        Ok(())
    }
}
