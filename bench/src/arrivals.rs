//! When calls arrive, and what the best possible server would make of them.
//!
//! Arrivals are drawn before a run, so that every server gets the same ones and the load generator
//! has nothing to compute while it measures.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// One call to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, since the start of the run.
    pub at: Duration,
    /// Which of the run's requests it sends.
    pub request: usize,
}

/// Poisson arrivals at `rate` calls a second for as long as `length`. A share of `rare` of them
/// (0 to 1) sends request 1, the others request 0.
pub fn poisson(rate: f64, length: Duration, rare: f64, seed: u64) -> Vec<Arrival> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = 0.0;
    let mut arrivals = Vec::new();
    loop {
        // Gaps of a Poisson process are exponential: the logarithm of a uniform number of (0, 1].
        at -= (1.0 - random.f64()).ln() / rate;
        if at >= length.as_secs_f64() {
            return arrivals;
        }
        let request = usize::from(random.f64() < rare);
        arrivals.push(Arrival {
            at: Duration::from_secs_f64(at),
            request,
        });
    }
}

/// How long each call takes, waiting and running, with `workers` workers and one queue that is
/// first in, first out, costs nothing and knows at once when a worker is free. `services` gives the
/// running time for each request of [`Arrival::request`].
pub fn ideal_fifo(arrivals: &[Arrival], workers: usize, services: &[Duration]) -> Vec<Duration> {
    let mut free_at: BinaryHeap<_> = (0..workers).map(|_| Reverse(Duration::ZERO)).collect();
    let serve = |arrival: &Arrival| {
        let Reverse(free) = free_at.pop().expect("each turn puts back what it takes");
        let end = free.max(arrival.at) + services[arrival.request];
        free_at.push(Reverse(end));
        end - arrival.at
    };
    arrivals.iter().map(serve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(200);

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        assert_eq!(poisson(50.0, LONG, 0.1, 7), poisson(50.0, LONG, 0.1, 7));
        assert_ne!(poisson(50.0, LONG, 0.1, 7), poisson(50.0, LONG, 0.1, 8));
    }

    #[test]
    fn arrivals_are_poisson() {
        let arrivals = poisson(100.0, LONG, 0.01, 1);
        assert!(arrivals.windows(2).all(|pair| pair[0].at <= pair[1].at));
        // 20,000 expected; the standard deviation of a Poisson count is its root, 141.
        assert!(
            (19_400..20_600).contains(&arrivals.len()),
            "{}",
            arrivals.len()
        );
        let rare = arrivals
            .iter()
            .filter(|arrival| arrival.request == 1)
            .count();
        assert!((140..260).contains(&rare), "{rare}");
        // For exponential gaps the standard deviation equals the mean.
        let gaps: Vec<f64> = arrivals
            .windows(2)
            .map(|pair| (pair[1].at - pair[0].at).as_secs_f64())
            .collect();
        let count = f64::from(u32::try_from(gaps.len()).unwrap());
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        let ratio = variance.sqrt() / mean;
        assert!((0.95..1.05).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_ideal_queue_waits_only_for_workers() {
        let at = |at: u64, request| Arrival {
            at: ms(at),
            request,
        };
        let services = [ms(10), ms(1000)];
        // Two workers: the first call holds one for a second, so the rest share the other.
        let arrivals = [at(0, 1), at(0, 0), at(1, 0), at(2, 0), at(100, 0)];
        let times = ideal_fifo(&arrivals, 2, &services);
        assert_eq!(times, [ms(1000), ms(10), ms(19), ms(28), ms(10)]);
        // With as many workers as calls nobody waits.
        let times = ideal_fifo(&arrivals, 5, &services);
        assert_eq!(times, [ms(1000), ms(10), ms(10), ms(10), ms(10)]);
    }
}
