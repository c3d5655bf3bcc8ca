//! `katamari token`: secrets for those who call over the network. A token holds at one node, by its
//! table in the configuration, or in a whole cluster, which `tokens` does.

use super::{NodeArgs, say, tokens};
use crate::config::{HASH_PREFIX, date};
use anyhow::Context;
use faceplate::access::hash;
use faceplate::clock::unix_now;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Bytes of chance in a secret: nobody guesses them, so their hash need not be slow.
const SECRET_BYTES: usize = 32;

/// What secrets begin with, so that people and scanners know one when they see it.
const SECRET_PREFIX: &str = "kat_";

const EXAMPLES: &str = "\
Examples:
  katamari token new ci > ci.token               the secret to a file, the table to the terminal
  katamari token new ci --cluster > ci.token     one that holds on every node of the cluster
  katamari token new grafana --kinds '' --observe
  katamari token new partner --kinds parse,spell --rate 100 --expires-in 30d";

/// The arguments of `katamari token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TokenCommand {
    /// Make a token: its secret goes to stdout, once, and its table for katamari.toml to stderr
    New(NewArgs),
    /// Show the tokens of the cluster
    List(tokens::ListArgs),
    /// End a token of the cluster; calls that it made go on
    Revoke(tokens::RevokeArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct NewArgs {
    /// What to call it by
    #[arg(value_parser = name)]
    pub name: String,
    /// Kinds of workers that it may call, with commas between them; all unless given
    #[arg(long, value_name = "KIND,..", value_parser = kinds)]
    pub kinds: Option<Names>,
    /// The highest class it may call with
    #[arg(long, value_parser = ["high", "normal", "low"])]
    pub class: Option<String>,
    /// Calls a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Calls at once; as many as in a second unless given
    #[arg(
        long,
        value_name = "N",
        requires = "rate",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub burst: Option<u32>,
    /// It may read status, metrics and the stories of calls
    #[arg(long)]
    pub observe: bool,
    /// How long it is good, such as 12h or 30d; for ever unless given
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    pub expires_in: Option<Duration>,
    /// Give it to the cluster, in place of a table for one node
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Names on the command line, with commas between them.
#[derive(Debug, Clone)]
pub struct Names(pub Vec<String>);

fn name(text: &str) -> Result<String, String> {
    manager::describe::check_name("name", text).map(|()| text.to_owned())
}

fn kinds(text: &str) -> Result<Names, String> {
    let kinds = text.split(',').filter(|kind| !kind.is_empty());
    kinds.map(name).collect::<Result<_, _>>().map(Names)
}

/// Makes, shows or ends tokens.
pub async fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        TokenCommand::New(args) => new(&args).await,
        TokenCommand::List(args) => tokens::list(args).await,
        TokenCommand::Revoke(args) => tokens::revoke(args).await,
    }
}

async fn new(args: &NewArgs) -> anyhow::Result<ExitCode> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).context("cannot draw random numbers")?;
    let secret = format!("{SECRET_PREFIX}{}", hex(&bytes));
    let now = Duration::from_secs(unix_now());
    if args.cluster {
        tokens::put(args, &secret, now).await?;
    } else {
        eprint!("{}", table(args, &secret, now)?);
    }
    say(&secret)?;
    Ok(ExitCode::SUCCESS)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The token's table, as it goes into katamari.toml.
fn table(args: &NewArgs, secret: &str, now: Duration) -> anyhow::Result<String> {
    let mut text = format!("[access.token.{}]\n", args.name);
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            // As above.
            let _ = writeln!(text, "{key} = {value}");
        }
    };
    let quoted = |text: &str| format!("\"{text}\"");
    let digest = hex(&hash(secret.as_bytes()));
    add("hash", Some(quoted(&format!("{HASH_PREFIX}{digest}"))));
    let names = |Names(names): &Names| {
        let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
        format!("[{}]", quoted.join(", "))
    };
    add("kinds", args.kinds.as_ref().map(names));
    add("class", args.class.as_deref().map(quoted));
    add("rate", args.rate.map(|rate| rate.to_string()));
    add("burst", args.burst.map(|burst| burst.to_string()));
    add("observe", args.observe.then(|| true.to_string()));
    let expires = expires(args, now)?.map(date::show);
    add("expires", expires.as_deref().map(quoted));
    Ok(text)
}

/// When a token is to end, in seconds since 1970.
pub fn expires(args: &NewArgs, now: Duration) -> anyhow::Result<Option<u64>> {
    let end = args.expires_in.map(|time| now.checked_add(time));
    end.map(|end| Ok(end.context("that is too long a time")?.as_secs()))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: NewArgs,
    }

    fn table_of(line: &[&str]) -> String {
        let line = ["new"].iter().chain(line);
        let args = Line::try_parse_from(line).expect("the line is good").args;
        table(&args, "abc", Duration::from_secs(1_798_761_600)).expect("the time is near")
    }

    const HASH: &str =
        "hash = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

    #[test]
    fn a_table_says_what_was_asked_for() {
        assert_eq!(table_of(&["ci"]), format!("[access.token.ci]\n{HASH}"));
        let line = "p --kinds parse,spell --class low --rate 9 --burst 3 --observe --expires-in 1d";
        let line: Vec<_> = line.split(' ').collect();
        let rest = "kinds = [\"parse\", \"spell\"]\nclass = \"low\"\nrate = 9\nburst = 3\n\
                    observe = true\nexpires = \"2027-01-02T00:00:00Z\"\n";
        assert_eq!(table_of(&line), format!("[access.token.p]\n{HASH}{rest}"));
        let none = table_of(&["p", "--kinds", ""]);
        assert_eq!(none, format!("[access.token.p]\n{HASH}kinds = []\n"));
    }

    #[test]
    fn a_bad_line_is_refused() {
        for line in [
            &["new"][..],
            &["new", "a b"],
            &["new", "a", "--kinds", "b c"],
            &["new", "a", "--class", "top"],
            &["new", "a", "--burst", "1"],
            &["new", "a", "--rate", "0"],
            &["new", "a", "--expires-in", "soon"],
        ] {
            assert!(Line::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
