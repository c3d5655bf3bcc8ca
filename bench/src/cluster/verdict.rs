//! What a scenario promises, whether it held, and how that is shown.

use std::fmt::Write as _;

use serde::Serialize;

/// Failed calls that are listed.
const LISTED_MAX: usize = 10;

/// Times on a machine that does other things as well may be so many times longer when the bench
/// only checks.
const GENEROUS: f64 = 15.0;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Things that must not be: calls lost, calls run twice.
    Count,
    /// Seconds.
    Seconds,
}

/// One promise in one run.
#[derive(Clone, Debug, Serialize)]
pub struct Promise {
    /// What is promised.
    pub text: &'static str,
    /// In what it is measured.
    pub unit: Unit,
    /// At most so much; `None` for what is only shown.
    pub bound: Option<f64>,
    /// What was measured; not a number if it did not come about.
    pub value: f64,
}

impl Promise {
    /// Nothing of a kind must be.
    pub fn none(text: &'static str, count: usize) -> Self {
        Self {
            bound: Some(0.0),
            ..Self::shown(text, count)
        }
    }

    /// A count for the record.
    #[allow(clippy::cast_precision_loss, reason = "no run makes 2^52 calls")]
    pub fn shown(text: &'static str, count: usize) -> Self {
        Self {
            text,
            unit: Unit::Count,
            bound: None,
            value: count as f64,
        }
    }

    /// Something comes about in time; `None` if it never did.
    pub fn within(text: &'static str, bound_s: f64, took: Option<std::time::Duration>) -> Self {
        Self {
            text,
            unit: Unit::Seconds,
            bound: Some(bound_s),
            value: took.map_or(f64::NAN, |took| took.as_secs_f64()),
        }
    }

    fn holds(&self, generous: bool) -> bool {
        let slack = match self.unit {
            Unit::Seconds if generous => GENEROUS,
            _ => 1.0,
        };
        self.bound.is_none_or(|bound| self.value <= bound * slack)
    }
}

/// One run of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// In the same order in every run.
    pub promises: Vec<Promise>,
    /// Calls made.
    pub calls: u64,
    /// What else is to be said: failed calls, what was left out.
    pub notes: Vec<String>,
}

impl Run {
    /// Whether all promises held; of times generously, if asked to.
    pub fn holds(&self, generous: bool) -> bool {
        self.promises.iter().all(|promise| promise.holds(generous))
    }

    /// Notes at most the first few of a list.
    pub fn list(&mut self, lines: impl IntoIterator<Item = String>) {
        self.notes.extend(lines.into_iter().take(LISTED_MAX));
    }
}

/// All runs of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The scenario, in one line.
    pub title: String,
    /// What it was measured under.
    pub setting: String,
    /// Its runs.
    pub runs: Vec<Run>,
}

impl Verdict {
    /// A table of the promises.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.setting);
        text.push_str("| | at most | measured, each run | holds |\n|---|--:|--:|---|\n");
        let first = self.runs.first().map_or(&[][..], |run| &run.promises);
        for (index, promise) in first.iter().enumerate() {
            let all: Vec<&Promise> = self.runs.iter().map(|run| &run.promises[index]).collect();
            let values: Vec<String> = all.iter().map(|p| figure(p.unit, p.value)).collect();
            let bound = promise
                .bound
                .map_or("–".to_owned(), |b| figure(promise.unit, b));
            let holds = match promise.bound {
                None => "",
                Some(_) if all.iter().all(|promise| promise.holds(false)) => "yes",
                Some(_) => "NO",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {bound} | {} | {holds} |",
                promise.text,
                values.join(", ")
            );
        }
        let calls: Vec<String> = self.runs.iter().map(|run| run.calls.to_string()).collect();
        let _ = writeln!(text, "| calls made | – | {} | |", calls.join(", "));
        for (number, run) in (1..).zip(&self.runs) {
            for note in &run.notes {
                let _ = writeln!(text, "\nrun {number}: {}", note.replace('\n', "\n    "));
            }
        }
        text
    }
}

fn figure(unit: Unit, value: f64) -> String {
    match unit {
        _ if value.is_nan() => "never".to_owned(),
        Unit::Count => format!("{value:.0}"),
        Unit::Seconds => format!("{value:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(lost: usize, took: Option<Duration>) -> Run {
        Run {
            promises: vec![
                Promise::none("calls lost", lost),
                Promise::within("a new leader", 1.0, took),
                Promise::shown("tried again", 7),
            ],
            calls: 100,
            notes: Vec::new(),
        }
    }

    #[test]
    fn loss_is_judged_strictly_and_times_generously() {
        let (soon, late) = (
            Some(Duration::from_millis(500)),
            Some(Duration::from_secs(3)),
        );
        assert!(run(0, soon).holds(false));
        assert!(!run(0, late).holds(false));
        assert!(run(0, late).holds(true));
        assert!(!run(1, soon).holds(true));
        assert!(
            !run(0, None).holds(true),
            "what never came about was not in time"
        );
    }

    #[test]
    fn the_table_shows_all_runs() {
        let verdict = Verdict {
            title: "leader".to_owned(),
            setting: "Nine nodes.".to_owned(),
            runs: vec![run(0, Some(Duration::from_millis(500))), run(0, None)],
        };
        let text = verdict.markdown();
        assert!(text.contains("| calls lost | 0 | 0, 0 | yes |"), "{text}");
        assert!(
            text.contains("| a new leader | 1.00 s | 0.50 s, never | NO |"),
            "{text}"
        );
        assert!(text.contains("| tried again | – | 7, 7 |  |"), "{text}");
    }
}
