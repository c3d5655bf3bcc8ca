//! What became of the calls of one run, and how long each took.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time a histogram holds, in microseconds; no run waits that long for a call.
const LATENCY_US_MAX: u64 = 120_000_000;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Status 200 with the right body.
    Answered,
    /// Status 429 or 503: the server says that it has no room.
    Refused,
    /// Another status.
    Failed,
    /// Status 200 with a body that belongs to another call, or to none.
    Wrong,
    /// The connection broke, or could not be made, or spoke no HTTP.
    Broken,
    /// The client had enough and closed the connection.
    GivenUp,
}

/// The latencies of a run in microseconds, by outcome, each counted from when the call was meant to
/// start: a client that is late, or waits for a connection, must not hide a server's delay.
#[derive(Clone, Debug)]
pub struct Tally {
    by_outcome: [Histogram<u64>; 6],
}

impl Default for Tally {
    fn default() -> Self {
        let empty =
            || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order");
        Self {
            by_outcome: std::array::from_fn(|_| empty()),
        }
    }
}

impl Tally {
    /// Counts one call.
    pub fn add(&mut self, outcome: Outcome, latency: Duration) {
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX);
        self.by_outcome[outcome as usize].saturating_record(latency_us);
    }

    /// Adds the calls of another tally.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.by_outcome.iter_mut().zip(&other.by_outcome) {
            *mine += theirs;
        }
    }

    /// How many calls ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.of(outcome).len()
    }

    /// How many calls ended in any way but an answer.
    pub fn lost(&self) -> u64 {
        self.by_outcome.iter().map(Histogram::len).sum::<u64>() - self.count(Outcome::Answered)
    }

    /// How many calls ended so between these latencies, both included.
    pub fn count_between(&self, outcome: Outcome, from: Duration, to: Duration) -> u64 {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(LATENCY_US_MAX);
        self.of(outcome).count_between(us(from), us(to))
    }

    /// The latency at a quantile (0 to 1) in milliseconds; `NaN` if no call ended so.
    pub fn quantile_ms(&self, outcome: Outcome, quantile: f64) -> f64 {
        let histogram = self.of(outcome);
        if histogram.is_empty() {
            return f64::NAN;
        }
        ms(histogram.value_at_quantile(quantile))
    }

    /// Shortest and longest latency of all calls that did not end in an answer, in milliseconds.
    pub fn lost_range_ms(&self) -> (f64, f64) {
        let lost = || {
            let histograms = self.by_outcome.iter().enumerate();
            histograms
                .filter(|(outcome, of)| *outcome != Outcome::Answered as usize && !of.is_empty())
        };
        let shortest = lost().map(|(_, of)| of.min()).min();
        let longest = lost().map(|(_, of)| of.max()).max();
        (shortest.map_or(f64::NAN, ms), longest.map_or(f64::NAN, ms))
    }

    fn of(&self, outcome: Outcome) -> &Histogram<u64> {
        &self.by_outcome[outcome as usize]
    }
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_apart() {
        let mut tally = Tally::default();
        for latency_ms in 1..=100 {
            tally.add(Outcome::Answered, Duration::from_millis(latency_ms));
        }
        tally.add(Outcome::Refused, Duration::from_millis(2));
        tally.add(Outcome::GivenUp, Duration::from_millis(1000));
        assert_eq!(tally.count(Outcome::Answered), 100);
        assert_eq!(tally.lost(), 2);
        let p99 = tally.quantile_ms(Outcome::Answered, 0.99);
        assert!((98.9..99.2).contains(&p99), "{p99}");
        let (shortest, longest) = tally.lost_range_ms();
        assert!((1.9..2.1).contains(&shortest), "{shortest}");
        assert!((999.0..1001.0).contains(&longest), "{longest}");
        let of = |from, to| {
            let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
            tally.count_between(Outcome::Answered, from, to)
        };
        assert_eq!((of(41, 60), of(101, 200)), (20, 0));
        assert!(tally.quantile_ms(Outcome::Broken, 0.5).is_nan());
    }
}
