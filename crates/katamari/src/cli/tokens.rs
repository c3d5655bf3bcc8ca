//! The access tokens of a cluster: `katamari token new --cluster`, `list` and `revoke`. The masters
//! keep them, as hashes, and every node that takes calls in follows.

use super::cluster::{look, propose, simple};
use super::style::{self, Style};
use super::table::{Table, painted, plain};
use super::token::{NewArgs, expires};
use super::{NodeArgs, say};
use crate::config::date;
use crate::membership::operations::Seen;
use anyhow::bail;
use cluster::hard::{AccessToken, Change, Digest, Rate};
use faceplate::access::hash;
use pool::Class;
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The arguments of `katamari token list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    node: NodeArgs,
}

/// The arguments of `katamari token revoke`.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The token that is to end
    name: String,
}

/// Gives a token to the cluster.
pub async fn put(args: &NewArgs, secret: &str, now: Duration) -> anyhow::Result<()> {
    let token = token_of(args, secret, now)?;
    let mut client = args.node.connect().await?;
    let seen = look(&mut client).await?;
    if tokens_of(&seen)?.contains_key(args.name.as_str()) {
        bail!(
            "the cluster has a token {} already; choose another name, or end it with `katamari \
             token revoke {}`",
            args.name,
            args.name
        );
    }
    let change = Change::PutAccessToken {
        name: args.name.as_str().into(),
        token,
        now_unix_s: now.as_secs(),
    };
    propose(&mut client, &change).await?;
    eprintln!(
        "token {} holds on every node that takes calls in; `katamari token revoke {}` ends it",
        args.name, args.name
    );
    Ok(())
}

fn token_of(args: &NewArgs, secret: &str, now: Duration) -> anyhow::Result<AccessToken> {
    let kinds = args.kinds.as_ref().map(|kinds| {
        let names = kinds.0.iter().map(|name| Arc::from(name.as_str()));
        names.collect()
    });
    let calls = args.rate.and_then(NonZeroU32::new);
    let burst = args.burst.and_then(NonZeroU32::new);
    let rate = calls.map(|calls_per_second| Rate {
        calls_per_second,
        burst: burst.unwrap_or(calls_per_second),
    });
    Ok(AccessToken {
        kinds,
        class_max: match args.class.as_deref() {
            Some("high") => Class::High,
            Some("low") => Class::Low,
            _ => Class::Normal,
        },
        rate,
        observe: args.observe,
        expires_unix_s: expires(args, now)?,
        ..AccessToken::new(Digest(hash(secret.as_bytes())))
    })
}

/// The tokens of a cluster, if the node that was asked knows them.
fn tokens_of(seen: &Seen) -> anyhow::Result<&BTreeMap<Arc<str>, AccessToken>> {
    if seen.fingerprint.is_none() {
        bail!(
            "this machine is alone: its tokens stand in its configuration; leave --cluster out and \
             put the table there"
        );
    }
    let is_told = seen.hard.masters.contains(&seen.me)
        || seen
            .hard
            .member(seen.me)
            .is_some_and(|node| node.roles.faceplate);
    if !is_told {
        bail!(
            "this node takes no calls in, so it is not told the tokens: ask a master, or a node \
             with the role faceplate"
        );
    }
    Ok(&seen.hard.access_tokens)
}

/// Shows the tokens of the cluster.
pub async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let seen = look(&mut args.node.connect().await?).await?;
    let tokens = tokens_of(&seen)?;
    if args.node.json {
        let shown: Vec<_> = tokens.iter().map(as_json).collect();
        say(&serde_json::to_string(&shown)?)?;
    } else if tokens.is_empty() {
        say("the cluster has no access tokens; `katamari token new NAME --cluster` makes one")?;
    } else {
        say(&shown(tokens).render(style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All but the hash, which is of no use to anybody.
fn as_json((name, token): (&Arc<str>, &AccessToken)) -> serde_json::Value {
    json!({
        "name": name,
        "kinds": token.kinds,
        "class": token.class_max,
        "rate": token.rate.map(|rate| rate.calls_per_second),
        "burst": token.rate.map(|rate| rate.burst),
        "observe": token.observe,
        "expires": token.expires_unix_s.map(date::show),
    })
}

fn shown(tokens: &BTreeMap<Arc<str>, AccessToken>) -> Table {
    let headings = [
        "TOKEN", "KINDS", "CLASS", "RATE", "BURST", "OBSERVE", "EXPIRES",
    ];
    let mut table = Table::new(&headings);
    for (name, token) in tokens {
        let kinds = token.kinds.as_ref().map(|kinds| {
            let kinds: Vec<&str> = kinds.iter().map(|kind| &**kind).collect();
            if kinds.is_empty() {
                "none".to_owned()
            } else {
                kinds.join(",")
            }
        });
        let class = match token.class_max {
            Class::High => "high",
            Class::Normal => "normal",
            Class::Low => "low",
        };
        let number = |of: fn(Rate) -> NonZeroU32| {
            let number = token.rate.map(|rate| of(rate).to_string());
            number.unwrap_or_else(|| "-".to_owned())
        };
        table.row([
            painted(name, Style::bold),
            plain(kinds.unwrap_or_else(|| "all".to_owned())),
            plain(class),
            plain(number(|rate| rate.calls_per_second)),
            plain(number(|rate| rate.burst)),
            plain(if token.observe { "yes" } else { "no" }),
            plain(
                token
                    .expires_unix_s
                    .map_or_else(|| "never".to_owned(), date::show),
            ),
        ]);
    }
    table
}

/// Ends a token of the cluster.
pub async fn revoke(args: RevokeArgs) -> anyhow::Result<ExitCode> {
    let change = Change::RemoveAccessToken(args.name.as_str().into());
    let done = format!("{} opens nothing any more", args.name);
    simple(&args.node, |_| Ok(change), &done).await
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

    #[test]
    fn a_token_of_the_cluster_grants_what_was_asked_for() {
        let token = |line: &str| {
            let line = Line::try_parse_from(line.split(' ')).expect("the line is good");
            token_of(&line.args, "abc", Duration::from_secs(100)).expect("the time is near")
        };
        let plain = AccessToken::new(Digest::of(b"abc"));
        assert_eq!(token("new ci --cluster"), plain);
        let all = "new ci --kinds b,a --class low --rate 9 --observe --expires-in 10s";
        let nine = NonZeroU32::new(9).expect("not zero");
        let expected = AccessToken {
            kinds: Some(["a".into(), "b".into()].into()),
            class_max: Class::Low,
            rate: Some(Rate {
                calls_per_second: nine,
                burst: nine,
            }),
            observe: true,
            expires_unix_s: Some(110),
            ..plain
        };
        assert_eq!(token(all), expected);
        let tokens = BTreeMap::from([("ci".into(), expected)]);
        assert_eq!(
            shown(&tokens).render(Style::plain()),
            "TOKEN  KINDS  CLASS  RATE  BURST  OBSERVE  EXPIRES\n\
             ci     a,b    low    9     9      yes      1970-01-01T00:01:50Z\n"
        );
    }
}
