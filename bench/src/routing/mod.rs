//! Which slot gets which call across nodes, in simulated time: Katamari's own cores and exchanges,
//! an ideal queue, and the ways that others go, over the same calls.
//!
//! `workload` draws the calls, `cluster` runs them through the real code with a simulated network
//! in between (`network`, `agenda`), `baselines` through the others. Decision 0015 has the figures.

mod agenda;
mod baselines;
mod cluster;
mod network;
mod workload;

use anyhow::Result;
use std::time::Instant;

use crate::report::{Row, Table, column};
use crate::scenarios::{Plan, figure};
use agenda::Nanos;
use baselines::Early;
use cluster::{Size, Ways};
use workload::{Call, Load, MS, Runs};

/// The cluster of `routing`.
const SIZE: Size = Size {
    nodes: 10,
    workers: 8,
    slots: 1,
    dispatchers: 4,
};

/// The cluster of `routing-scale`.
const LARGE: Size = Size {
    nodes: 1_000,
    workers: 1,
    slots: 100,
    dispatchers: 16,
};

/// How long a call runs on average; at scale longer, to have fewer calls.
const RUN_MEAN_MS: f64 = 10.0;
const LARGE_RUN_MEAN_MS: f64 = 1_000.0;

/// The share of the time for which slots are busy.
const LOAD: f64 = 0.9;

/// Of the calls the first are left out, one in so many: the cluster begins empty.
const WARM_UP: usize = 5;

/// What a simulation gave.
struct Outcome {
    /// For each call how long it waited until its worker began.
    waits: Vec<Nanos>,
    /// Messages between nodes.
    messages: u64,
    /// Frames that these took: what goes one way at one moment goes together.
    frames: u64,
}

/// Who decides.
#[derive(Clone, Copy)]
enum Policy {
    Ideal,
    Central { hops: u64 },
    Early(Early),
    Katamari(Ways),
}

/// Everything there is.
const WHOLE: Ways = Ways {
    ahead: true,
    turns: true,
};

const POLICIES: [(&str, Policy); 9] = [
    ("ideal queue, no network", Policy::Ideal),
    ("Katamari", Policy::Katamari(WHOLE)),
    (
        "Katamari, nothing ahead",
        Policy::Katamari(Ways {
            ahead: false,
            ..WHOLE
        }),
    ),
    (
        "Katamari, nothing ahead, no turns",
        Policy::Katamari(Ways {
            ahead: false,
            turns: false,
        }),
    ),
    ("one central queue", Policy::Central { hops: 0 }),
    ("a home node for the pool", Policy::Central { hops: 1 }),
    ("join-idle-queue", Policy::Early(Early::JoinIdleQueue)),
    ("the shorter of two", Policy::Early(Early::TwoChoices)),
    ("random", Policy::Early(Early::Random)),
];

impl Policy {
    fn run(self, calls: &[Call], seed: u64) -> Outcome {
        let slots = SIZE.nodes * SIZE.workers * usize::from(SIZE.slots);
        match self {
            Self::Ideal => baselines::ideal(calls, slots),
            Self::Central { hops } => baselines::central(calls, slots, hops, seed),
            Self::Early(how) => baselines::early(calls, slots, SIZE.dispatchers, how, seed),
            Self::Katamari(ways) => cluster::run(calls, SIZE, ways, seed).0,
        }
    }
}

impl Outcome {
    /// The longest wait of all but one in a hundred.
    fn p99_ms(&self) -> f64 {
        let mut waits = self.waits[self.waits.len() / WARM_UP..].to_vec();
        waits.sort_unstable();
        let at = waits.len() * 99 / 100;
        waits.get(at).map_or(f64::NAN, |wait| *wait as f64 / MS)
    }

    fn per_call(&self, count: u64) -> f64 {
        figure(count) / self.waits.len() as f64
    }
}

fn load(runs: Runs, seconds: u64) -> Load {
    Load {
        runs,
        run_mean_ms: RUN_MEAN_MS,
        slots: SIZE.nodes * SIZE.workers * usize::from(SIZE.slots),
        load: LOAD,
        dispatchers: SIZE.dispatchers,
        seconds,
    }
}

/// Ten nodes, and every way to route.
pub fn run(plan: &Plan) -> Result<Table> {
    let (runs, seconds) = (plan.runs(5), plan.length(100).as_secs());
    let empty = |(name, _): &(&str, Policy)| Row {
        server: (*name).to_owned(),
        runs: vec![Vec::new(); runs],
        errors: Vec::new(),
    };
    let mut rows: Vec<Row> = POLICIES.iter().map(empty).collect();
    for run in 0..runs {
        for distribution in Runs::ALL {
            eprintln!("routing: run {} of {runs}: {distribution:?}", run + 1);
            let seed = plan.seed(run);
            let calls = workload::calls(load(distribution, seconds), seed);
            let ideal_ms = Policy::Ideal.run(&calls, seed).p99_ms();
            for ((_, policy), row) in POLICIES.iter().zip(&mut rows) {
                let outcome = policy.run(&calls, seed);
                let p99_ms = outcome.p99_ms();
                row.runs[run].extend([p99_ms, p99_ms / ideal_ms]);
                if distribution == Runs::Pareto {
                    let messages = outcome.per_call(outcome.messages);
                    row.runs[run].extend([messages, outcome.per_call(outcome.frames)]);
                }
            }
        }
    }
    Ok(Table {
        title: format!(
            "routing: {} nodes with {} workers, {} dispatchers, 90% load, simulated",
            SIZE.nodes, SIZE.workers, SIZE.dispatchers
        ),
        notes: vec![
            format!(
                "Waiting time at the 99th percentile, until the worker begins. Runs of 10 ms on \
                 average: exponential; lognormal with a coefficient of variation of 3; Pareto \
                 with exponent 1.5, bounded at 1,000 times the shortest. One way between nodes \
                 0.09 to 0.11 ms. {seconds} s a run, Poisson arrivals, seeds {} to {}; the first \
                 fifth is not counted.",
                plan.seed(0),
                plan.seed(runs - 1)
            ),
            "The central queue and the home node bind late, too, but without holding a call at a \
             node. Messages and frames per call are those with Pareto runs, outcomes included; \
             what goes one way at one moment is one frame."
                .to_owned(),
        ],
        columns: vec![
            column("exponential p99 ms", 2),
            column("of ideal", 2),
            column("lognormal p99 ms", 2),
            column("of ideal", 2),
            column("Pareto p99 ms", 2),
            column("of ideal", 2),
            column("messages per call", 1),
            column("frames per call", 1),
        ],
        rows,
    })
}

/// A cluster of full size.
pub fn run_scale(plan: &Plan) -> Result<Table> {
    let (runs, seconds) = (plan.runs(3), plan.length(3).as_secs());
    let slots = LARGE.nodes * LARGE.workers * usize::from(LARGE.slots);
    let mut measured = Vec::new();
    for run in 0..runs {
        eprintln!("routing-scale: run {} of {runs}", run + 1);
        let load = Load {
            runs: Runs::Exponential,
            run_mean_ms: LARGE_RUN_MEAN_MS,
            slots,
            load: LOAD,
            dispatchers: LARGE.dispatchers,
            seconds,
        };
        let seed = plan.seed(run);
        let calls = workload::calls(load, seed);
        let start = Instant::now();
        let (outcome, events) = cluster::run(&calls, LARGE, WHOLE, seed);
        let took_s = start.elapsed().as_secs_f64();
        measured.push(vec![
            calls.len() as f64,
            figure(events) / 1e6,
            figure(events) / 1e6 / took_s,
            outcome.p99_ms(),
            baselines::ideal(&calls, slots).p99_ms(),
            outcome.per_call(outcome.messages),
            outcome.per_call(outcome.frames),
        ]);
    }
    Ok(Table {
        title: format!(
            "routing-scale: {} nodes with {} slots, {} dispatchers, 90% load, simulated",
            LARGE.nodes, LARGE.slots, LARGE.dispatchers
        ),
        notes: vec![format!(
            "Exponential runs of 1 s on average, {seconds} s a run, seeds {} to {}. Events are \
             those of cores and exchanges; how many a second on one core of this machine, with \
             the simulation's own work in it.",
            plan.seed(0),
            plan.seed(runs - 1)
        )],
        columns: vec![
            column("calls", 0),
            column("million events", 1),
            column("million events/s", 2),
            column("p99 ms", 2),
            column("ideal p99 ms", 2),
            column("messages per call", 1),
            column("frames per call", 1),
        ],
        rows: vec![Row {
            server: "Katamari".to_owned(),
            runs: measured,
            errors: Vec::new(),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of calls, with the waits of each policy in ms, on average.
    fn means(policies: &[Policy]) -> Vec<f64> {
        let calls = workload::calls(load(Runs::Exponential, 4), 1);
        let mean = |policy: &Policy| {
            let outcome = policy.run(&calls, 1);
            assert_eq!(outcome.waits.len(), calls.len());
            outcome
                .waits
                .iter()
                .map(|wait| *wait as f64 / MS)
                .sum::<f64>()
                / calls.len() as f64
        };
        policies.iter().map(mean).collect()
    }

    #[test]
    fn no_policy_is_better_than_the_ideal_and_late_binding_is_better_than_early() {
        let means = means(&[
            Policy::Ideal,
            Policy::Central { hops: 0 },
            Policy::Central { hops: 1 },
            Policy::Katamari(WHOLE),
            Policy::Early(Early::JoinIdleQueue),
            Policy::Early(Early::TwoChoices),
            Policy::Early(Early::Random),
        ]);
        let early = &means[4..];
        assert!(means[1..].iter().all(|mean| *mean > means[0]), "{means:?}");
        assert!(means[1] < means[2], "{means:?}");
        assert!(early.iter().all(|mean| *mean > means[3]), "{means:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        let calls = workload::calls(load(Runs::Lognormal, 1), 7);
        let waits = || cluster::run(&calls, SIZE, WHOLE, 7).0.waits;
        assert_eq!(waits(), waits());
    }
}
