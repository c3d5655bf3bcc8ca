//! `GET /metrics`: the node in Prometheus' text form.
//!
//! Everything is read at the moment of the scrape from counts that are kept anyway, so that calls
//! pay nothing for it.

use crate::node::Node;
use crate::overview::Standing;
use dispatch::{Comparison, LATENCY_BOUNDS_MS, Latencies, Status, Tally};
use manager::{ProgramState, ProgramStatus, WorkerState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::{Error, Write as _};
use std::sync::atomic::Ordering::Relaxed;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The exposition of this moment.
pub(crate) async fn scrape(node: &Node) -> String {
    let snapshot = Snapshot {
        status: node.observer.pools().await,
        programs: by_name(node.observer.programs().await),
        standing: node.observer.standing(),
        shadows: node.observer.shadows(),
        connections: node.traffic.connections.load(Relaxed) as u64,
        connections_refused: node.traffic.connections_refused.load(Relaxed),
        denied: node.guard.denied.load(Relaxed),
        casts: node.traffic.casts.load(Relaxed) as u64,
    };
    let mut registry = Registry::with_prefix("katamari");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes all that is written to it");
    text
}

#[derive(Debug)]
struct Snapshot {
    status: Option<Status>,
    programs: Vec<ProgramStatus>,
    standing: Option<Standing>,
    shadows: Vec<Comparison>,
    connections: u64,
    connections_refused: u64,
    denied: u64,
    casts: u64,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.encode_faceplate(&mut encoder)?;
        if let Some(status) = &self.status {
            encode_calls(&mut encoder, &status.tallies)?;
            encode_pools(&mut encoder, status)?;
        }
        if let Some(standing) = &self.standing {
            encode_standing(&mut encoder, standing)?;
        }
        encode_shadows(&mut encoder, &self.shadows)?;
        encode_programs(&mut encoder, &self.programs)
    }
}

impl Snapshot {
    fn encode_faceplate(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        gauge(encoder, "connections", "Open connections", self.connections)?;
        gauge(encoder, "casts", "Casts in flight", self.casts)?;
        let help = "Connections closed because there were too many";
        let refused = self.connections_refused;
        counter(encoder, "connections_refused", help, refused)?;
        let help = "Requests and entries of batches without a token that allows them";
        counter(encoder, "denied", help, self.denied)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    encoder
        .encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn encode_standing(encoder: &mut DescriptorEncoder<'_>, standing: &Standing) -> Result<(), Error> {
    let states = [
        ("up", standing.nodes_up),
        ("draining", standing.nodes_draining),
        ("down", standing.nodes_down),
    ];
    let name = ("nodes", "Nodes of the cluster as this one was told");
    family(
        encoder,
        name,
        MetricType::Gauge,
        &states,
        |(state, count), metric| {
            metric
                .encode_family(&[("state", *state)])?
                .encode_gauge(&(*count as i64))
        },
    )?;
    let help = "1 on the node that leads";
    gauge(encoder, "leader", help, u64::from(standing.is_leader))?;
    gauge(encoder, "links", "Links to other nodes", standing.links)?;
    let help = "How many changes hard state has seen";
    gauge(encoder, "hard_revision", help, standing.revision)
}

fn encode_shadows(
    encoder: &mut DescriptorEncoder<'_>,
    shadows: &[Comparison],
) -> Result<(), Error> {
    let counts = shadows.iter().flat_map(|shadow| {
        let functions = shadow.functions.iter();
        let version = shadow.version.to_string();
        functions
            .map(move |(function, counts)| (&shadow.program, version.clone(), function, counts))
    });
    let counts: Vec<_> = counts.collect();
    let help = "Copies made on versions that shadow, and calls not copied, by outcome";
    let name = ("shadow_calls", help);
    family(
        encoder,
        name,
        MetricType::Counter,
        &counts,
        |(program, version, function, counts), metric| {
            counts
                .by_name()
                .into_iter()
                .try_for_each(|(outcome, count)| {
                    let labels = [
                        ("program", &***program),
                        ("version", version.as_str()),
                        ("function", &***function),
                        ("outcome", outcome),
                    ];
                    metric
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&count, None)
                })
        },
    )?;
    let help = "How long the old version and the one that shadows took for what both answered";
    let unit = Some(&Unit::Seconds);
    let mut metric = encoder.encode_descriptor("shadow_ran", help, unit, MetricType::Counter)?;
    for (program, version, function, counts) in &counts {
        for (by, us) in [("old", counts.old_us), ("new", counts.new_us)] {
            let labels = [
                ("program", &***program),
                ("version", version.as_str()),
                ("function", &***function),
                ("by", by),
            ];
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&(us as f64 / 1e6), None)?;
        }
    }
    Ok(())
}

fn encode_calls(encoder: &mut DescriptorEncoder<'_>, tallies: &[Tally]) -> Result<(), Error> {
    encode_outcomes(encoder, tallies)?;
    let help = "How long calls waited for a slot";
    encode_latencies(encoder, "call_queued", help, tallies, |tally| &tally.queued)?;
    let help = "How long calls ran";
    encode_latencies(encoder, "call_ran", help, tallies, |tally| &tally.ran)
}

fn encode_outcomes(encoder: &mut DescriptorEncoder<'_>, tallies: &[Tally]) -> Result<(), Error> {
    let help = "Calls that have ended, by their error code or ok";
    let mut metric = encoder.encode_descriptor("calls", help, None, MetricType::Counter)?;
    for tally in tallies {
        let ok = std::iter::once((&"ok", &tally.answered));
        for (code, count) in ok.chain(&tally.errors) {
            let labels = [
                ("kind", &*tally.kind),
                ("function", &*tally.function),
                ("code", *code),
            ];
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
    }
    Ok(())
}

fn encode_latencies(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    tallies: &[Tally],
    of: impl Fn(&Tally) -> &Latencies,
) -> Result<(), Error> {
    let unit = Some(&Unit::Seconds);
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
    for tally in tallies {
        let latencies = of(tally);
        let bounds = LATENCY_BOUNDS_MS
            .iter()
            .map(|ms| ms / 1_000.0)
            .chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(latencies.buckets).collect();
        let labels = [("kind", &*tally.kind), ("function", &*tally.function)];
        metric
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(
                latencies.sum.as_secs_f64(),
                latencies.count(),
                &buckets,
                None,
            )?;
    }
    Ok(())
}

/// A family of gauges or counters with one value for each of some things.
fn family<T>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    of: MetricType,
    things: &[T],
    mut each: impl FnMut(&T, &mut MetricEncoder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, of)?;
    things.iter().try_for_each(|thing| each(thing, &mut metric))
}

fn encode_pools(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> Result<(), Error> {
    gauge(
        encoder,
        "calls_in_flight",
        "Calls that wait or run",
        status.calls as u64,
    )?;
    let help = "Calls that wait for a program to be interrogated";
    gauge(
        encoder,
        "calls_waiting_for_programs",
        help,
        status.lobby as u64,
    )?;
    let pools: Vec<_> = status
        .pools
        .iter()
        .map(|pool| (pool, pool_name(pool)))
        .collect();
    type Figure = (&'static str, &'static str, fn(&pool::PoolView) -> usize);
    let figures: [Figure; 4] = [
        ("pool_slots", "Slots of live workers", |pool| pool.slots),
        ("pool_free", "Slots on offer", |pool| pool.free),
        ("pool_running", "Calls that run", |pool| pool.running),
        (
            "pool_waiting_bytes",
            "Bytes of arguments that wait",
            |pool| pool.waiting.bytes,
        ),
    ];
    for (name, help, figure) in figures {
        family(
            encoder,
            (name, help),
            MetricType::Gauge,
            &pools,
            |(pool, label), metric| {
                let labels = [("pool", label.as_str())];
                metric
                    .encode_family(&labels)?
                    .encode_gauge(&(figure(pool) as i64))
            },
        )?;
    }
    let name = ("pool_waiting", "Calls that wait");
    family(
        encoder,
        name,
        MetricType::Gauge,
        &pools,
        |(pool, label), metric| {
            let waiting = pool.waiting;
            let classes = [
                ("high", waiting.high),
                ("normal", waiting.normal),
                ("low", waiting.low),
            ];
            classes.into_iter().try_for_each(|(class, count)| {
                let labels = [("pool", label.as_str()), ("class", class)];
                metric.encode_family(&labels)?.encode_gauge(&(count as i64))
            })
        },
    )
}

/// What tells a pool from every other: kind, versions, tags and roles, and the programs that feed
/// it, since pools may differ in their functions alone.
fn pool_name(pool: &pool::PoolView) -> String {
    let details = &pool.description.details;
    let mut name = details.kind.as_deref().unwrap_or_default().to_owned();
    for (key, version) in &details.versions {
        write!(name, " {key}={version}").expect("a string takes all that is written to it");
    }
    for (sign, label) in details
        .tags
        .iter()
        .map(|tag| ('+', tag))
        .chain(details.roles.iter().map(|role| ('@', role)))
    {
        write!(name, " {sign}{label}").expect("a string takes all that is written to it");
    }
    format!("{name} #{}", pool.id.0)
}

/// Adds up the versions of a program that run side by side, for series are told apart by its name.
fn by_name(statuses: Vec<ProgramStatus>) -> Vec<ProgramStatus> {
    let mut programs: Vec<ProgramStatus> = Vec::new();
    for status in statuses {
        let same = programs.iter_mut().find(|known| known.name == status.name);
        let Some(known) = same else {
            programs.push(status);
            continue;
        };
        known.starts += status.starts;
        known.failures += status.failures;
        known.retirements += status.retirements;
        known.log_lines_dropped += status.log_lines_dropped;
        known.workers_live += status.workers_live;
        known.workers_wanted += status.workers_wanted;
        known.workers.extend(status.workers);
        if status.state == ProgramState::Running {
            known.state = status.state;
        }
    }
    programs
}

fn encode_programs(
    encoder: &mut DescriptorEncoder<'_>,
    programs: &[ProgramStatus],
) -> Result<(), Error> {
    type Count = (&'static str, &'static str, fn(&ProgramStatus) -> u64);
    let counters: [Count; 4] = [
        ("worker_starts", "Worker processes started", |program| {
            program.starts
        }),
        ("worker_failures", "Workers that failed", |program| {
            program.failures
        }),
        (
            "worker_retirements",
            "Workers replaced in good order",
            |program| program.retirements,
        ),
        (
            "log_lines_dropped",
            "Log lines dropped because there were too many",
            |program| program.log_lines_dropped,
        ),
    ];
    for (name, help, count) in counters {
        family(
            encoder,
            (name, help),
            MetricType::Counter,
            programs,
            |program, metric| {
                metric
                    .encode_family(&[("program", &*program.name)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count(program), None)
            },
        )?;
    }
    let gauges: [Count; 5] = [
        ("workers_live", "Workers that take calls", |program| {
            program.workers_live as u64
        }),
        (
            "workers_wanted",
            "Workers that are to take calls",
            |program| program.workers_wanted as u64,
        ),
        ("workers_standby", "Ready workers in reserve", |program| {
            let standby = |state: WorkerState| state == WorkerState::Standby;
            program
                .workers
                .iter()
                .filter(|worker| standby(worker.state))
                .count() as u64
        }),
        (
            "program_crash_looping",
            "1 while workers die at once, time after time",
            |program| u64::from(program.state == ProgramState::CrashLooping),
        ),
        (
            "workers_memory_bytes",
            "Resident bytes of all workers",
            |program| {
                program
                    .workers
                    .iter()
                    .map(|worker| worker.memory_bytes)
                    .sum()
            },
        ),
    ];
    for (name, help, value) in gauges {
        family(
            encoder,
            (name, help),
            MetricType::Gauge,
            programs,
            |program, metric| {
                metric
                    .encode_family(&[("program", &*program.name)])?
                    .encode_gauge(&(value(program) as i64))
            },
        )?;
    }
    Ok(())
}
