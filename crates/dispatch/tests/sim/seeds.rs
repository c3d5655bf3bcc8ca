//! Random faults from seeds. `KATAMARI_SEEDS` says how many, `KATAMARI_SEED` which one; a failure
//! prints the command that repeats it.

use crate::chance::Chance;
use crate::cluster::{Layout, Simulation};
use crate::scenario::scenario;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn run(seed: u64, layout: Layout, lasts: Duration) -> String {
    let mut chance = Chance::new(seed);
    let mut simulation = Simulation::found(seed, layout, &mut chance);
    let nodes: Vec<_> = simulation.plans.keys().copied().collect();
    let steps = scenario(&mut chance, &nodes, lasts);
    simulation.suffer(&steps);
    simulation.heal();
    let ledger = &simulation.world.ledger;
    format!("{}, trace {:016x}", ledger.summary(), ledger.digest())
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("expected a number in {name}, got {value:?}")))
}

/// Runs seeds on the cores that another test like this one leaves.
fn simulate(test: &str, usual: u64, layout: Layout, lasts: Duration) {
    let one = number("KATAMARI_SEED");
    let seeds: RangeInclusive<u64> = match one {
        Some(seed) => seed..=seed,
        None => 1..=number("KATAMARI_SEEDS").unwrap_or(usual),
    };
    let next = AtomicU64::new(*seeds.start());
    let has_failed = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while !has_failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| run(seed, layout, lasts))) {
                Ok(summary) => println!("seed {seed}: {summary}"),
                Err(_) => {
                    has_failed.store(true, Ordering::Relaxed);
                    eprintln!(
                        "seed {seed} fails; again: \
                         KATAMARI_SEED={seed} cargo test -p katamari-dispatch --test sim {test}"
                    );
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores.div_ceil(2) {
            scope.spawn(work);
        }
    });
    assert!(!has_failed.into_inner(), "a seed has failed, see above");
}

#[test]
fn equal_nodes_survive_faults_and_heal() {
    simulate(
        "equal_nodes",
        80,
        Layout::Equal,
        Duration::from_millis(2_500),
    );
}

#[test]
fn nodes_apart_survive_faults_and_heal() {
    simulate(
        "nodes_apart",
        40,
        Layout::Apart,
        Duration::from_millis(3_000),
    );
}
