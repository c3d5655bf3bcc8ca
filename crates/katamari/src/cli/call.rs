//! `katamari call`: one call from the shell.

use super::client::{self, Problem};
use super::events::Events;
use super::{FAILED, NodeArgs, say, style};
use crate::config::units;
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::ValueEnum;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  katamari call shout.upper '{\"text\": \"hello\"}'
  katamari call shout.upper '[\"hello\"]' --timeout 2s
  katamari call parse.linkage @sentence.json --details '{\"grammar\": \"5.12.0\"}'
  generate | katamari call store.put - --cast

Exit status: 0 if the function answered, 1 if not, 2 if the command line is wrong.";

/// The arguments of `katamari call`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CallArgs {
    /// Kind of worker and function
    #[arg(value_name = "KIND.FUNCTION", value_parser = target)]
    target: (String, String),
    /// An object or array of arguments; `-` reads it from stdin, `@FILE` from a file
    #[arg(value_name = "JSON", default_value = "{}")]
    arguments: String,
    /// How long to wait for the answer, such as 500ms, 2s, 1m; never longer than the program allows
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Calls of one key stay with one of several equal pools
    #[arg(long)]
    key: Option<String>,
    /// Its priority
    #[arg(long)]
    class: Option<Class>,
    /// Which pool: version keys, tags and roles, such as '{"grammar": "1.2.3", "tags": ["en"]}'
    #[arg(long, value_name = "JSON")]
    details: Option<String>,
    /// The call may be run twice, so it is tried again when a worker dies
    #[arg(long)]
    idempotent: bool,
    /// Do not wait for an answer; print the call's id
    #[arg(long)]
    cast: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// The priority classes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Class {
    High,
    Normal,
    Low,
}

fn target(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((kind, function)) if is_path(kind) && is_path(function) => {
            Ok((kind.to_owned(), function.to_owned()))
        }
        _ => Err("expected KIND.FUNCTION, such as shout.upper".to_owned()),
    }
}

/// Whether a name can stand in a path as it is; names of kinds and functions can.
fn is_path(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.bytes().all(fits)
}

fn timeout(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 500ms, 2s or 1m".to_owned();
    units::duration(text)
        .filter(|time| !time.is_zero())
        .ok_or_else(expected)
}

/// What is printed with `--json`, a line each.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<'a> {
    Result(&'a RawValue),
    Piece(&'a RawValue),
    Error(&'a RawValue),
}

/// Makes the call and prints what comes.
pub async fn run(args: CallArgs) -> anyhow::Result<ExitCode> {
    let (kind, function) = &args.target;
    let body = arguments(&args.arguments)?;
    let mut request =
        Request::post(format!("/call/{kind}/{function}")).header(CONTENT_TYPE, "application/json");
    for (name, value) in wishes(&args) {
        request = request.header(name, value);
    }
    let response = args.node.connect().await?.send(request, body).await?;
    let status = response.status();
    let answer = Printer::new(response.headers(), args.node.json);
    if status == StatusCode::ACCEPTED {
        answer.print_id()?;
        return Ok(ExitCode::SUCCESS);
    }
    if !status.is_success() {
        let bytes = response.into_body().collect().await?.to_bytes();
        return answer.fail(status, &bytes);
    }
    let content_type = response.headers().get(CONTENT_TYPE);
    match content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
    {
        "application/json" => {
            let bytes = response
                .into_body()
                .collect()
                .await
                .context(BROKEN)?
                .to_bytes();
            answer.print(&bytes, Outcome::Result)?;
            Ok(ExitCode::SUCCESS)
        }
        "text/event-stream" => stream(response, &answer).await,
        _ if args.node.json => bail!("the answer is not JSON; leave --json out to get its bytes"),
        _ => copy(response).await,
    }
}

const BROKEN: &str = "the answer broke off";

fn wishes(args: &CallArgs) -> Vec<(&'static str, String)> {
    let mut wishes = Vec::new();
    let timeout = args
        .timeout
        .map(|time| time.as_millis().min(u32::MAX.into()).to_string());
    let class = args.class.map(|class| match class {
        Class::High => "high".to_owned(),
        Class::Normal => "normal".to_owned(),
        Class::Low => "low".to_owned(),
    });
    let flag = |set: bool| set.then(|| "true".to_owned());
    for (name, value) in [
        ("katamari-timeout-ms", timeout),
        ("katamari-class", class),
        ("katamari-key", args.key.clone()),
        ("katamari-details", args.details.clone()),
        ("katamari-idempotent", flag(args.idempotent)),
        ("katamari-cast", flag(args.cast)),
    ] {
        wishes.extend(value.map(|value| (name, value)));
    }
    wishes
}

fn arguments(text: &str) -> anyhow::Result<Bytes> {
    if text == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read stdin")?;
        return Ok(bytes.into());
    }
    if let Some(file) = text.strip_prefix('@') {
        return Ok(std::fs::read(file)
            .with_context(|| format!("cannot read {file}"))?
            .into());
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

async fn stream(response: Response<Incoming>, answer: &Printer) -> anyhow::Result<ExitCode> {
    let mut body = response.into_body();
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.context(BROKEN)?.into_data() else {
            continue;
        };
        for event in events.take(&bytes) {
            match event.name.as_str() {
                "end" => return Ok(ExitCode::SUCCESS),
                "error" => return answer.fail(StatusCode::OK, event.data.as_bytes()),
                _ => answer.print(event.data.as_bytes(), Outcome::Piece)?,
            }
        }
    }
    bail!(BROKEN)
}

async fn copy(response: Response<Incoming>) -> anyhow::Result<ExitCode> {
    let mut body = response.into_body();
    let mut stdout = std::io::stdout().lock();
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.context(BROKEN)?.into_data() {
            stdout.write_all(&bytes)?;
            stdout.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what came for one call.
struct Printer {
    id: String,
    worker: Option<String>,
    json: bool,
}

impl Printer {
    fn new(headers: &HeaderMap, json: bool) -> Self {
        let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        Self {
            id: text("katamari-id").unwrap_or_default(),
            worker: text("katamari-worker"),
            json,
        }
    }

    /// Prints the id of a call that nobody waits for.
    fn print_id(&self) -> anyhow::Result<()> {
        let id = &self.id;
        if self.json {
            say(&format!("{{\"id\":\"{id}\"}}"))
        } else {
            say(id)
        }
    }

    /// Prints a result or a piece of it on a line of its own.
    fn print<'a>(
        &self,
        bytes: &'a [u8],
        outcome: impl Fn(&'a RawValue) -> Outcome<'a>,
    ) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        if self.json {
            let value = client::parse(bytes)?;
            let line = Line {
                id: &self.id,
                worker: self.worker.as_deref(),
                outcome: outcome(value),
            };
            serde_json::to_writer(&mut stdout, &line)?;
        } else {
            stdout.write_all(bytes)?;
        }
        stdout.write_all(b"\n")?;
        Ok(stdout.flush()?)
    }

    /// Prints an error: on stderr for people, on stdout for programs.
    fn fail(&self, status: StatusCode, bytes: &[u8]) -> anyhow::Result<ExitCode> {
        let problem = client::problem(status, bytes)?;
        if self.json {
            self.print(bytes, Outcome::Error)?;
        } else {
            style::complain(&self.explain(&problem));
        }
        Ok(ExitCode::from(FAILED))
    }

    fn explain(&self, problem: &Problem) -> String {
        let error_type = problem.error_type.as_ref().map(|name| format!("{name}: "));
        let mut detail = problem.detail.lines();
        let mut text = format!(
            "{}: {}{}",
            problem.code,
            style::clean(&error_type.unwrap_or_default()),
            style::clean(detail.next().unwrap_or_default())
        );
        let mut add = |line: String| {
            text.push_str("\n  ");
            text.push_str(&style::clean(&line));
        };
        for line in detail {
            add(line.to_owned());
        }
        if let Some(seconds) = problem.retry_after_s {
            add(format!("try again in {seconds} s"));
        }
        for line in problem.backtrace.iter().flat_map(|text| text.lines()) {
            add(line.to_owned());
        }
        for line in &problem.stderr {
            add(format!("stderr: {line}"));
        }
        if !self.id.is_empty() {
            let pid = problem
                .pid
                .map(|pid| format!(", pid {pid}"))
                .unwrap_or_default();
            add(format!(
                "call {}{pid}; see: katamari why {}",
                self.id, self.id
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_kind_and_a_function() {
        assert_eq!(target("shout.upper"), Ok(("shout".into(), "upper".into())));
        for text in ["shout", ".upper", "shout.", "a.b.c", "a/b.c", "a b.c"] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
