//! `katamari shadow`: what copies of calls to a new version came to, over the whole cluster.

use super::cluster::look;
use super::style::{self, Style};
use super::table::{Table, painted, plain};
use super::{NodeArgs, client, say};
use anyhow::{Context, bail};
use bytes::Bytes;
use cluster::hard::Shadow;
use dispatch::{Comparison, Counts, Example};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

/// The arguments of `katamari shadow`.
#[derive(Debug, clap::Args)]
pub struct ShadowArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The program of which a version was applied with --shadow
    program: String,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Seen {
    program: Arc<str>,
    /// The version that answers.
    from: u32,
    /// The one that shadows it.
    version: u32,
    percent: u32,
    /// All functions together.
    total: Counts,
    functions: BTreeMap<Arc<str>, Counts>,
    examples: Vec<Example>,
}

/// Shows the comparison.
pub async fn run(args: ShadowArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.node.connect().await?;
    let hard = look(&mut client).await?.hard;
    let program = args.program.as_str();
    let Some(Shadow { version, percent }) = hard.shadows.get(program).copied() else {
        bail!(
            "expected a program with a version that shadows, got {program:?}; \
             `katamari apply FILE --shadow` starts one"
        );
    };
    let rollout = hard.programs.get(program).and_then(|known| known.rollout);
    let from = rollout.context("a shadow without a roll-out")?.from;
    let comparisons = client.operate("shadows", Bytes::new()).await?;
    let comparisons: Vec<Comparison> = client::parse(&comparisons)?;
    let mut comparisons = comparisons.into_iter();
    let known = comparisons.find(|known| &*known.program == program && known.version == version);
    let mut total = Counts::default();
    for counts in known.iter().flat_map(|known| known.functions.values()) {
        total.add(counts);
    }
    let seen = Seen {
        program: program.into(),
        from,
        version,
        percent,
        total,
        functions: known
            .as_ref()
            .map(|k| k.functions.clone())
            .unwrap_or_default(),
        examples: known.map(|known| known.examples).unwrap_or_default(),
    };
    if args.node.json {
        say(&serde_json::to_string(&seen)?)?;
    } else {
        say(&show(&seen, style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(seen: &Seen, style: Style) -> String {
    let Seen {
        program,
        from,
        version,
        percent,
        total,
        ..
    } = seen;
    let mut text = format!(
        "{}: version {version} shadows version {from}: {percent}% of the calls are copied to it\n",
        style.bold(program)
    );
    text += &match (total.compared(), total.slowdown()) {
        (0, _) => "no answers were compared yet\n".to_owned(),
        (compared, None) => format!("{compared} answers compared\n"),
        (compared, Some(times)) => format!(
            "{compared} answers compared; version {version} takes {times:.1} times as long\n"
        ),
    };
    if total.compared() > 0 {
        text += "\n";
        text += &functions(seen).render(style);
    }
    for example in &seen.examples {
        text += &shown(example, style);
    }
    for (what, count, why) in [
        (
            "dropped",
            total.dropped,
            "too many at a time, or no worker in time",
        ),
        (
            "not copied",
            total.not_idempotent,
            "neither the calls nor their functions say that they may run twice (idempotent)",
        ),
        ("not copied", total.streamed, "their answers are streams"),
    ] {
        if count > 0 {
            text += &format!("\n{what}: {count}, {why}");
        }
    }
    text
}

fn functions(seen: &Seen) -> Table {
    let headings = [
        "FUNCTION",
        "SAME",
        "DIFFERENT",
        "FAILED: NEW",
        "OLD",
        "BOTH",
        "TIME",
    ];
    let mut table = Table::new(&headings);
    let compared = |counts: &Counts| counts.compared() > 0;
    for (function, counts) in seen.functions.iter().filter(|known| compared(known.1)) {
        let bad = |count: u64| match count {
            0 => plain(0),
            count => painted(count, Style::red),
        };
        let name = if function.is_empty() {
            "(others)"
        } else {
            function
        };
        let times = counts.slowdown().map(|times| format!("x {times:.1}"));
        table.row([
            painted(name, Style::bold),
            plain(counts.same),
            bad(counts.different),
            bad(counts.failed_new),
            plain(counts.failed_old),
            plain(counts.failed_both),
            plain(times.unwrap_or_else(|| "-".to_owned())),
        ]);
    }
    table
}

fn shown(example: &Example, style: Style) -> String {
    let Example {
        call,
        copy,
        function,
        at,
        old,
        new,
    } = example;
    let clean = |text: &str| style::clean(text);
    format!(
        "\n{} in call {call}, copied as {copy}\n  {}\n  old: {}\n  new: {}\n",
        style.bold(&clean(function)),
        clean(at),
        clean(old),
        clean(new)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_is_shown_with_its_examples_and_what_is_missing() {
        let counts = Counts {
            same: 90,
            different: 2,
            not_idempotent: 7,
            old_us: 1_000,
            new_us: 1_400,
            ..Counts::default()
        };
        let example = Example {
            call: "5f3c2a9e00000007".to_owned(),
            copy: "5f3c2a9e00000009".to_owned(),
            function: "linkage".into(),
            at: "$.words[3]".to_owned(),
            old: "\"time.n\"".to_owned(),
            new: "\"time.v\"".to_owned(),
        };
        let seen = Seen {
            program: "parse".into(),
            from: 3,
            version: 4,
            percent: 10,
            total: counts,
            functions: [("linkage".into(), counts)].into(),
            examples: vec![example],
        };
        let expected = "\
parse: version 4 shadows version 3: 10% of the calls are copied to it
92 answers compared; version 4 takes 1.4 times as long

FUNCTION  SAME  DIFFERENT  FAILED: NEW  OLD  BOTH  TIME
linkage   90    2          0            0    0     x 1.4

linkage in call 5f3c2a9e00000007, copied as 5f3c2a9e00000009
  $.words[3]
  old: \"time.n\"
  new: \"time.v\"

not copied: 7, neither the calls nor their functions say that they may run twice (idempotent)";
        assert_eq!(show(&seen, Style::plain()), expected);
    }
}
