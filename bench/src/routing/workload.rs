//! The calls of a run: when each arrives, at which dispatcher, and how long it runs. Drawn before,
//! so that every policy gets the same ones.

use super::agenda::Nanos;

/// A millisecond.
pub const MS: f64 = 1e6;

/// The tail of the bounded Pareto distribution, and how many times the shortest the longest run is:
/// with a mean of 10 ms these are 3.4 ms and 3.4 s.
const PARETO_ALPHA: f64 = 1.5;
const PARETO_RANGE: f64 = 1_000.0;

/// The coefficient of variation of the lognormal distribution.
const LOGNORMAL_CV: f64 = 3.0;

/// How running times are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Memoryless.
    Exponential,
    /// Heavy-tailed: many short, some very long.
    Lognormal,
    /// Heavier, with a longest one.
    Pareto,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it arrives at its dispatcher.
    pub at: Nanos,
    /// Which one that is.
    pub dispatcher: usize,
    /// How long it runs.
    pub run: Nanos,
}

impl Runs {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exponential, Self::Lognormal, Self::Pareto];

    /// In units of the mean.
    fn draw(self, random: &mut fastrand::Rng) -> f64 {
        // Of (0, 1], so that its logarithm is finite.
        let uniform = 1.0 - random.f64();
        match self {
            Self::Exponential => -uniform.ln(),
            Self::Lognormal => {
                let variance = (1.0 + LOGNORMAL_CV * LOGNORMAL_CV).ln();
                // Box and Muller's transform.
                let angle = std::f64::consts::TAU * random.f64();
                let normal = (-2.0 * uniform.ln()).sqrt() * angle.cos();
                (normal * variance.sqrt() - variance / 2.0).exp()
            }
            Self::Pareto => {
                let (alpha, least) = (PARETO_ALPHA, 1.0 / PARETO_RANGE);
                let mean = alpha / (alpha - 1.0) * (1.0 - least.powf(alpha - 1.0))
                    / (1.0 - least.powf(alpha));
                let rest = 1.0 - uniform * (1.0 - least.powf(alpha));
                rest.powf(-1.0 / alpha) / mean
            }
        }
    }
}

/// Milliseconds as nanoseconds.
pub fn nanos(ms: f64) -> Nanos {
    (ms * MS) as Nanos
}

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How running times are distributed.
    pub runs: Runs,
    /// Their mean.
    pub run_mean_ms: f64,
    /// Slots there are.
    pub slots: usize,
    /// For which share of the time they are busy.
    pub load: f64,
    /// Dispatchers that the calls arrive at, evenly.
    pub dispatchers: usize,
    /// For how long calls arrive.
    pub seconds: u64,
}

/// Poisson arrivals.
pub fn calls(load: Load, seed: u64) -> Vec<Call> {
    let mut random = fastrand::Rng::with_seed(seed);
    let gap_ms = load.run_mean_ms / (load.load * load.slots as f64);
    let (mut at_ms, mut calls) = (0.0, Vec::new());
    while at_ms < load.seconds as f64 * 1e3 {
        at_ms -= (1.0 - random.f64()).ln() * gap_ms;
        calls.push(Call {
            at: nanos(at_ms),
            dispatcher: random.usize(0..load.dispatchers),
            run: nanos(load.runs.draw(&mut random) * load.run_mean_ms),
        });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(runs: Runs) -> Load {
        Load {
            runs,
            run_mean_ms: 10.0,
            slots: 80,
            load: 0.9,
            dispatchers: 4,
            seconds: 100,
        }
    }

    #[test]
    fn running_times_have_their_mean() {
        for (runs, off) in Runs::ALL.into_iter().zip([0.01, 0.06, 0.06]) {
            let calls = calls(load(runs), 1);
            let sum: f64 = calls.iter().map(|call| call.run as f64 / MS).sum();
            let mean = sum / calls.len() as f64;
            assert!((mean / 10.0 - 1.0).abs() < off, "{runs:?}: {mean} ms");
        }
    }

    #[test]
    fn arrivals_give_the_load() {
        let calls = calls(load(Runs::Exponential), 1);
        // 720,000 are due, with a standard deviation of 849.
        assert!((717_000..723_000).contains(&calls.len()), "{}", calls.len());
    }
}
