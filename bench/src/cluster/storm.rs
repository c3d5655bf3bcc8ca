//! A storm: faults of all kinds, drawn from a seed, under load. Then all faults end, and the cluster
//! has to become whole by itself.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::load::{AGAIN, Failed, Load, Rate};
use super::node::Fault;
use super::scenarios::{close, shown};
use super::town::{FACEPLATES, KINDS, Town};
use super::verdict::{Promise, Run};
use super::{Plan, rest};

/// Little, so that what is left of a cluster can do it.
const RATE: Rate = Rate {
    calls_per_s: 100.0,
    once: 0.2,
    run_ms: [5, 20],
};

/// Between two faults.
const PAUSE_MS: std::ops::Range<u64> = 200..1_500;

/// How long a fault lasts.
const FAULT_MS: std::ops::Range<u64> = 300..5_000;

/// All must be well so long after the storm.
const HEAL_PATIENCE: Duration = Duration::from_secs(60);

/// Calls after it, for so long.
const AFTER: Duration = Duration::from_secs(2);

/// How many nodes of a name may be struck at a time: a majority of masters stays, and half of the
/// managers, and a faceplate.
const STRUCK_MAX: [(&str, usize); 3] = [("master", 1), ("manager", 2), ("faceplate", 1)];

/// After a faceplate has come back, calls that it held up may still fail for so long.
const AFTERMATH: Duration = Duration::from_secs(2);

/// A storm that goes on.
struct Storm {
    random: fastrand::Rng,
    /// Who is struck, and until when.
    struck: Vec<(Instant, &'static str)>,
    /// Who was struck, from when until its consequences were over.
    outages: Vec<(&'static str, Range<Instant>)>,
    /// What was done, for whoever wants to know why something failed.
    script: Vec<String>,
    faults: usize,
}

/// Runs one.
pub fn storm(plan: &Plan, seed: u64) -> Result<Run> {
    let mut town = Town::start(&plan.places, "cluster.toml")?;
    let load = Load::start(&town.faceplates(), RATE, seed, 0);
    let end = Instant::now() + plan.storm;
    let mut storm = Storm {
        random: fastrand::Rng::with_seed(seed),
        struck: Vec::new(),
        outages: Vec::new(),
        script: vec![format!("seed {seed}")],
        faults: 0,
    };
    while Instant::now() < end {
        rest(Duration::from_millis(storm.random.u64(PAUSE_MS)));
        storm.heal(&mut town, Instant::now())?;
        storm.strike(&mut town)?;
    }
    storm.heal(
        &mut town,
        Instant::now() + Duration::from_millis(FAULT_MS.end),
    )?;
    let whole = town.wait_for(HEAL_PATIENCE, is_well);
    if whole.is_none() {
        storm.script.push(town.logs());
    }
    let during = load.stop()?;
    let load = Load::start(&town.faceplates(), RATE, seed, 1);
    rest(AFTER);
    let after = load.stop()?;
    let (struck, well): (Vec<&Failed>, _) = during
        .failed
        .iter()
        .partition(|failed| storm.explains(failed));
    let again = well.iter().filter(|failed| failed.request == AGAIN).count();
    let mut run = Run {
        promises: vec![
            Promise::none("calls failed after all has healed", after.failed.len()),
            Promise::within(
                "all nodes up, all workers live, the first master leads",
                20.0,
                whole,
            ),
            Promise::shown("faults", storm.faults),
            Promise::none(
                "idempotent calls failed at faceplates that were well",
                again,
            ),
            Promise::shown("others failed there", well.len() - again),
            Promise::shown("calls failed at faceplates that were struck", struck.len()),
        ],
        ..Run::default()
    };
    if whole.is_none() || !after.failed.is_empty() || again > 0 {
        run.notes.push(storm.script.join("; "));
    }
    run.list(well.into_iter().map(shown));
    run.list(after.failed.iter().map(shown));
    close(&mut run, &during, &town)?;
    Ok(run)
}

impl Storm {
    /// Ends the faults that lasted until now.
    fn heal(&mut self, town: &mut Town, now: Instant) -> Result<()> {
        let over = self.struck.extract_if(.., |(until, _)| *until <= now);
        for (_, name) in over.collect::<Vec<_>>() {
            town.node_mut(name).heal()?;
            self.script.push(format!("{name} heals"));
            let mut outages = self.outages.iter_mut().rev();
            if let Some((_, outage)) = outages.find(|(struck, _)| *struck == name) {
                outage.end = Instant::now() + AFTERMATH;
            }
        }
        Ok(())
    }

    /// Strikes one more node, unless too many are struck.
    fn strike(&mut self, town: &mut Town) -> Result<()> {
        let Some(name) = victim(town, &mut self.random) else {
            return Ok(());
        };
        let all = [
            Fault::Kill,
            Fault::Stop,
            Fault::Cut,
            Fault::Mute,
            Fault::Slow,
        ];
        let fault = all[self.random.usize(..all.len())];
        let lasts = Duration::from_millis(self.random.u64(FAULT_MS));
        let now = Instant::now();
        let how = town.node_mut(name).strike(fault)?;
        if fault == Fault::Slow && how.is_none() {
            // Nothing befell it, and nothing has to end.
            town.node_mut(name).spare();
            self.script
                .push("not slowed: the kernel has neither netem nor tbf".to_owned());
            return Ok(());
        }
        self.script
            .push(format!("{name} {fault:?} {}", how.unwrap_or_default()));
        self.faults += 1;
        self.struck.push((now + lasts, name));
        let far = now + Duration::from_secs(3_600);
        self.outages.push((name, now..far));
        Ok(())
    }

    /// Whether a call may have failed because its own faceplate was struck.
    fn explains(&self, failed: &Failed) -> bool {
        let faceplate = FACEPLATES[failed.loop_number()];
        self.outages.iter().any(|(name, outage)| {
            *name == faceplate && failed.made_at < outage.end && failed.ended_at > outage.start
        })
    }
}

/// Whether all is as it should be.
fn is_well(town: &Town) -> bool {
    town.leader() == Some("master1") && town.up().len() == KINDS.len() && town.is_whole()
}

fn victim(town: &Town, random: &mut fastrand::Rng) -> Option<&'static str> {
    let kind = random.choice(KINDS.iter())?;
    let role = kind.name.trim_end_matches(|c: char| c.is_ascii_digit());
    let struck = |name: &&str| town.node(name).struck().is_some();
    let alike = KINDS.iter().map(|kind| kind.name);
    let alike = alike.filter(|name| name.starts_with(role)).filter(struck);
    let max = STRUCK_MAX.iter().find(|(name, _)| *name == role)?.1;
    (!struck(&kind.name) && alike.count() < max).then_some(kind.name)
}
