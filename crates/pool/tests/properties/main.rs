//! Whatever happens, in whatever order: random lists of events, checked after each by a model that
//! knows only what went in and which commands came out.
//!
//! `steps` says what may happen, `world` makes events of it and ends with a liveness phase, `model`
//! holds the promises of the core. More lists: `PROPTEST_CASES=100000 cargo nextest run
//! -p katamari-pool --release`.

mod model;
mod steps;
mod world;

use proptest::prelude::*;
use world::World;

/// Events of one list. Long enough for queues to fill and programs to come and go.
const STEPS_MAX: usize = 300;

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_promise_holds_after_every_event(
        steps in prop::collection::vec(steps::any_step(), 1..STEPS_MAX)
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.come_to_rest();
    }

    /// The same events give the same commands: no randomly seeded map is iterated.
    #[test]
    fn the_core_is_deterministic(
        steps in prop::collection::vec(steps::any_step(), 1..STEPS_MAX)
    ) {
        let run = |steps: &[steps::Step]| {
            let mut world = World::new();
            steps.iter().for_each(|step| world.step(step.clone()));
            world.commands
        };
        prop_assert_eq!(run(&steps), run(&steps));
    }
}
