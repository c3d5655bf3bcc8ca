//! `katamari why`: what happened to a call.

use super::style::{self, Style};
use super::{NodeArgs, client, say};
use http::Method;
use serde::Deserialize;
use std::process::ExitCode;

/// The arguments of `katamari why`.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// The call's id, as in the header katamari-id and in every error
    id: String,
    #[command(flatten)]
    node: NodeArgs,
}

/// What the node tells; times are milliseconds after the attempt came in.
#[derive(Debug, Deserialize)]
struct Story {
    id: String,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    details: serde_json::Value,
    function: String,
    arrived_ms_ago: f64,
    assigned: Option<Assigned>,
    deadline_ms: Option<f64>,
    state: String,
    ended_ms: Option<f64>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Assigned {
    worker: String,
    pid: u32,
    /// The node it is on, if that is another one than the one that was asked.
    node: Option<String>,
    after_ms: f64,
}

/// Asks the node and prints the call's story.
pub async fn run(args: WhyArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/why/{}", args.id);
    let bytes = args.node.connect().await?.ask(Method::GET, &path).await?;
    if args.node.json {
        say(&String::from_utf8_lossy(&bytes))?;
    } else {
        say(&tell(&client::parse(&bytes)?, style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(story: &Story, style: Style) -> String {
    let mut timeline = Timeline {
        text: String::new(),
        style,
        start: 0.0,
    };
    let Some(first) = story.attempts.first() else {
        return timeline.text;
    };
    let kind = first
        .details
        .get("kind")
        .and_then(|kind| kind.as_str())
        .unwrap_or("any");
    let ago = first.arrived_ms_ago / 1_000.0;
    let name = style::clean(&format!("{kind}.{}", first.function));
    timeline.text = format!("call {}  {}  {ago:.1} s ago\n", story.id, style.bold(&name));
    for (index, attempt) in story.attempts.iter().enumerate() {
        timeline.start = first.arrived_ms_ago - attempt.arrived_ms_ago;
        let deadline = attempt
            .deadline_ms
            .map(|ms| format!(", deadline in {}", shown_ms(ms)));
        let arrived = if index == 0 { "arrived" } else { "tried again" };
        timeline.add(0.0, &format!("{arrived}{}", deadline.unwrap_or_default()));
        attempt.tell(&mut timeline);
    }
    timeline.text
}

impl Attempt {
    fn tell(&self, timeline: &mut Timeline) {
        let waited = self
            .assigned
            .as_ref()
            .map_or(self.ended_ms, |assigned| Some(assigned.after_ms));
        if let Some(Assigned {
            worker,
            pid,
            node,
            after_ms,
        }) = &self.assigned
        {
            let place = node
                .as_deref()
                .map(|node| format!(" on node {}", style::clean(node)));
            let place = place.unwrap_or_default();
            let text = format!("assigned to worker {worker}, pid {pid}{place}");
            timeline.add(*after_ms, &text);
        }
        let style = timeline.style;
        let (code, message) = (self.code.as_deref(), self.message.as_deref());
        let error = format!(
            "{}: {}",
            code.unwrap_or_default(),
            style::clean(message.unwrap_or_default())
        );
        let took = self
            .ended_ms
            .zip(waited)
            .map(|(ended, waited)| ended - waited);
        let took = took
            .filter(|_| self.assigned.is_some())
            .map(|ms| format!(" after running {}", shown_ms(ms)));
        let took = took.unwrap_or_default();
        let what = match self.state.as_str() {
            "answered" => style.green("answered") + &took,
            "failed" => format!("{}{took}: {error}", style.red("failed")),
            "cancelled" => format!("{}{took}: the caller left", style.yellow("cancelled")),
            state => style.yellow(&format!("still {state}")),
        };
        match self.ended_ms {
            Some(ms) => timeline.add(ms, &what),
            None => timeline.add(self.arrived_ms_ago, &what),
        }
    }
}

/// Lines that begin with the time since the call came in.
struct Timeline {
    text: String,
    style: Style,
    /// When the present attempt came in.
    start: f64,
}

impl Timeline {
    fn add(&mut self, ms: f64, what: &str) {
        let time = format!("{:>12}", shown_ms(self.start + ms));
        self.text
            .push_str(&format!("{}  {what}\n", self.style.dim(&time)));
    }
}

fn shown_ms(ms: f64) -> String {
    format!("{ms:.1} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_tried_again_is_told_in_order() {
        let story = r#"{"id": "5f3c2a9e00000007", "attempts": [
            {"attempt": 0, "details": {"kind": "parse"}, "function": "linkage",
             "arrived_ms_ago": 2500.0, "assigned": {"worker": "0-3", "pid": 71, "after_ms": 12.5},
             "deadline_ms": 2000.0, "state": "failed", "ended_ms": 112.5,
             "code": "worker_died", "message": "killed by signal 9"},
            {"attempt": 1, "details": {"kind": "parse"}, "function": "linkage",
             "arrived_ms_ago": 2387.0, "assigned": {"worker": "2-4", "pid": 72, "node": "b", "after_ms": 0.5},
             "deadline_ms": 1887.0, "state": "answered", "ended_ms": 7.0}]}"#;
        let expected = "\
call 5f3c2a9e00000007  parse.linkage  2.5 s ago
      0.0 ms  arrived, deadline in 2000.0 ms
     12.5 ms  assigned to worker 0-3, pid 71
    112.5 ms  failed after running 100.0 ms: worker_died: killed by signal 9
    113.0 ms  tried again, deadline in 1887.0 ms
    113.5 ms  assigned to worker 2-4, pid 72 on node b
    120.0 ms  answered after running 6.5 ms
";
        assert_eq!(
            tell(&serde_json::from_str(story).unwrap(), Style::plain()),
            expected
        );
    }

    #[test]
    fn a_call_that_waits_or_left_is_told_so() {
        let story = r#"{"id": "1", "attempts": [{"details": {}, "function": "f",
            "arrived_ms_ago": 40.0, "state": "waiting"}]}"#;
        let told = tell(&serde_json::from_str(story).unwrap(), Style::plain());
        assert_eq!(
            told,
            "call 1  any.f  0.0 s ago\n      0.0 ms  arrived\n     40.0 ms  still waiting\n"
        );
    }
}
