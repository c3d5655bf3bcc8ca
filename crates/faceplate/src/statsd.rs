//! Figures pushed to a statsd server, for those who do not scrape `/metrics`.
//!
//! The node is read every few seconds, as for a scrape, and what changed since the last reading is
//! sent in a few datagrams. [`Reading`] is the pure half of it.

use crate::node::Node;
use dispatch::{Status, Tally};
use manager::{ProgramStatus, plain_name};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

/// Bytes of a datagram that pass any usual network in one piece.
const DATAGRAM_MAX: usize = 1_400;

/// Where figures go, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statsd {
    /// `host:port` of the server.
    pub address: String,
    /// What all names begin with.
    pub prefix: String,
    /// From one reading to the next.
    pub every: Duration,
}

impl Statsd {
    /// Pushes for as long as the node lives. A server that is not there is tried again each time.
    pub async fn push(self, node: Arc<Node>) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Reading::default();
        let mut was_sent = true;
        loop {
            ticks.tick().await;
            let now = read(&node).await;
            let sent = self.send(&now.lines(&before)).await;
            if let Err(error) = &sent
                && was_sent
            {
                tracing::warn!(
                    "no figures reach the statsd server {}: {error}",
                    self.address
                );
            }
            was_sent = sent.is_ok();
            before = now;
        }
    }

    async fn send(&self, lines: &[String]) -> io::Result<()> {
        let target = tokio::net::lookup_host(&self.address).await?.next();
        let target = target.ok_or(io::ErrorKind::NotFound)?;
        let own = if target.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(own).await?;
        socket.connect(target).await?;
        for datagram in datagrams(&self.prefix, lines) {
            socket.send(datagram.as_bytes()).await?;
        }
        Ok(())
    }
}

/// Lines under a prefix, as many in a datagram as fit.
fn datagrams(prefix: &str, lines: &[String]) -> Vec<String> {
    let mut datagrams: Vec<String> = Vec::new();
    for line in lines {
        let line = format!("{prefix}.{line}");
        match datagrams.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= DATAGRAM_MAX => {
                last.push('\n');
                last.push_str(&line);
            }
            _ => datagrams.push(line),
        }
    }
    datagrams
}

async fn read(node: &Node) -> Reading {
    let mut reading = Reading::default();
    reading.gauge(["connections"], node.traffic.connections.load(Relaxed));
    if let Some(status) = node.observer.pools().await {
        reading.take_calls(&status.tallies);
        reading.take_pools(&status);
    }
    reading.take_programs(&node.observer.programs().await);
    reading
}

/// The figures of one moment, by name.
#[derive(Debug, Default)]
struct Reading {
    /// What only grows.
    counters: BTreeMap<String, u64>,
    /// What is as it is.
    gauges: BTreeMap<String, u64>,
    /// Calls that ran, and how long all of them together, in microseconds.
    times: BTreeMap<String, (u64, u64)>,
}

impl Reading {
    fn gauge<const N: usize>(&mut self, name: [&str; N], value: usize) {
        *self.gauges.entry(join(name)).or_default() += value as u64;
    }

    fn count<const N: usize>(&mut self, name: [&str; N], value: u64) {
        *self.counters.entry(join(name)).or_default() += value;
    }

    fn take_calls(&mut self, tallies: &[Tally]) {
        for tally in tallies {
            let (kind, function) = (&*tally.kind, &*tally.function);
            self.count(["calls", kind, function, "ok"], tally.answered);
            for (code, count) in &tally.errors {
                self.count(["calls", kind, function, code], *count);
            }
            for (what, latencies) in [("queued", &tally.queued), ("ran", &tally.ran)] {
                let sum_us = u64::try_from(latencies.sum.as_micros()).unwrap_or(u64::MAX);
                let name = join([what, kind, function]);
                self.times.insert(name, (latencies.count(), sum_us));
            }
        }
    }

    fn take_pools(&mut self, status: &Status) {
        self.gauge(["calls_in_flight"], status.calls);
        for pool in &status.pools {
            let kind = pool.description.details.kind.as_deref().unwrap_or_default();
            let waiting = pool.waiting;
            let waiting = waiting.high + waiting.normal + waiting.low;
            self.gauge(["pools", kind, "workers"], pool.workers.values().sum());
            self.gauge(["pools", kind, "slots"], pool.slots);
            self.gauge(["pools", kind, "free"], pool.free);
            self.gauge(["pools", kind, "running"], pool.running);
            self.gauge(["pools", kind, "waiting"], waiting);
        }
    }

    fn take_programs(&mut self, programs: &[ProgramStatus]) {
        for program in programs {
            let name = plain_name(&program.name);
            self.gauge(["programs", name, "workers_live"], program.workers_live);
            self.count(["programs", name, "worker_starts"], program.starts);
            self.count(["programs", name, "worker_failures"], program.failures);
        }
    }

    /// What there is to say after an earlier reading: counters by what came since, and of calls the
    /// mean time of those that came since.
    fn lines(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, count) in &self.counters {
            let came = count.saturating_sub(before.counters.get(name).copied().unwrap_or(0));
            if came > 0 {
                lines.push(line(name, came, "c"));
            }
        }
        for (name, value) in &self.gauges {
            lines.push(line(name, value, "g"));
        }
        // What is gone is nothing from now on; a server would go on with the last value.
        for name in before.gauges.keys() {
            if !self.gauges.contains_key(name) {
                lines.push(line(name, 0, "g"));
            }
        }
        for (name, (count, sum_us)) in &self.times {
            let (count_before, sum_before) = before.times.get(name).copied().unwrap_or((0, 0));
            let calls = count.saturating_sub(count_before);
            if let Some(mean_us) = sum_us.saturating_sub(sum_before).checked_div(calls) {
                let ms = format!("{}.{:03}", mean_us / 1_000, mean_us % 1_000);
                lines.push(line(name, ms, "ms"));
            }
        }
        lines
    }
}

/// Parts of a name between dots. Kinds and functions may be anything that a caller asked for, so
/// what means something to statsd is replaced.
fn join<const N: usize>(parts: [&str; N]) -> String {
    let is_kept = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let part = |part: &str| match part {
        "" => "none".to_owned(),
        part => part.replace(|letter| !is_kept(letter), "_"),
    };
    parts.map(part).join(".")
}

fn line(name: &str, value: impl Display, kind: &str) -> String {
    format!("{name}:{value}|{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(calls: u64, ran_us: u64) -> Reading {
        let mut reading = Reading::default();
        let mut tally = Tally {
            kind: "parse".into(),
            function: "link age".into(),
            answered: calls,
            ..Tally::default()
        };
        tally.ran.sum = Duration::from_micros(ran_us);
        tally.ran.buckets[0] = calls;
        reading.take_calls(&[tally]);
        reading
    }

    #[test]
    fn counters_say_what_came_since_and_times_their_mean() {
        let (first, second) = (reading(3, 3_000), reading(5, 8_000));
        let name = "parse.link_age";
        let expected = [
            format!("calls.{name}.ok:3|c"),
            format!("ran.{name}:1.000|ms"),
        ];
        assert_eq!(first.lines(&Reading::default()), expected);
        let expected = [
            format!("calls.{name}.ok:2|c"),
            format!("ran.{name}:2.500|ms"),
        ];
        assert_eq!(second.lines(&first), expected);
        assert!(second.lines(&second).is_empty(), "nothing came");
    }

    #[test]
    fn a_gauge_that_is_gone_is_nothing() {
        let mut before = Reading::default();
        before.gauge(["pools", "a", "slots"], 3);
        before.gauge(["pools", "a", "slots"], 4);
        assert_eq!(before.lines(&Reading::default()), ["pools.a.slots:7|g"]);
        assert_eq!(Reading::default().lines(&before), ["pools.a.slots:0|g"]);
    }

    #[test]
    fn lines_share_datagrams_as_far_as_they_fit() {
        let lines = vec!["x".repeat(500); 3];
        let datagrams = datagrams("k", &lines);
        assert_eq!(datagrams.len(), 2);
        assert_eq!(datagrams[0].lines().count(), 2);
        assert!(
            datagrams
                .iter()
                .all(|datagram| datagram.starts_with("k.xx"))
        );
    }
}
