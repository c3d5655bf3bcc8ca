//! Whatever the cluster: random nodes, programs and histories.

use crate::world::{Node, World, workers};
use cluster::hard::Placement;
use cluster::placement::Job;
use pool::NodeId;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const ZONES: [&str; 3] = ["a", "b", "c"];
const COMMANDS: [&str; 3] = ["", "./parse", "./model"];

fn any_node() -> impl Strategy<Value = Node> {
    let zone = prop::option::weighted(0.8, 0..ZONES.len());
    let runs = prop::collection::vec(any::<bool>(), COMMANDS.len());
    let memory = prop_oneof![Just(0), 50..400_u64];
    (zone, 0..9_u32, memory, runs, 0..10_u8).prop_map(|(zone, cores, memory, runs, state)| {
        let mut node = Node::of(cores).memory(memory);
        if let Some(zone) = zone {
            node = node.label("zone", ZONES[zone]);
        }
        for (command, _) in COMMANDS.iter().zip(runs).filter(|(_, runs)| *runs) {
            node = node.runs(command);
        }
        node.up = state != 0;
        node.draining = state == 1;
        node
    })
}

fn any_program() -> impl Strategy<Value = Placement> {
    let zone = prop::option::weighted(0.3, 0..ZONES.len());
    let command = 0..COMMANDS.len();
    let memory = prop_oneof![Just(0), 1..60_u64];
    (0..20_u32, 0..4_u32, any::<bool>(), zone, memory, command).prop_map(
        |(workers, spare, spread, zone, memory, command)| Placement {
            workers,
            spare,
            spread: spread.then(|| "zone".into()),
            constraints: zone
                .map(|zone| (Arc::from("zone"), Arc::from(ZONES[zone])))
                .into_iter()
                .collect(),
            memory,
            command: COMMANDS[command].into(),
        },
    )
}

/// What happens to a cluster.
#[derive(Debug, Clone)]
enum Step {
    SetNode(u32, Node),
    RemoveNode(u32),
    SetProgram(u8, Placement),
    RemoveProgram(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..9_u32, any_node()).prop_map(|(id, node)| Step::SetNode(id, node)),
        1 => (1..9_u32).prop_map(Step::RemoveNode),
        3 => (0..6_u8, any_program()).prop_map(|(id, wants)| Step::SetProgram(id, wants)),
        1 => (0..6_u8).prop_map(Step::RemoveProgram),
    ]
}

fn step(world: &mut World, step: Step) {
    let job = |id: u8| -> Job { (format!("p{id}").into(), 1) };
    match step {
        Step::SetNode(id, node) => drop(world.nodes.insert(NodeId(id), node)),
        Step::RemoveNode(id) => drop(world.nodes.remove(&NodeId(id))),
        Step::SetProgram(id, wants) => drop(world.programs.insert(job(id), wants)),
        Step::RemoveProgram(id) => drop(world.programs.remove(&job(id))),
    }
}

/// Nodes that can hold everything, and programs without constraints.
fn plain() -> impl Strategy<Value = World> {
    let nodes = prop::collection::vec(1..9_u32, 1..12);
    let programs = prop::collection::vec((0..40_u32, 0..5_u32), 1..6);
    (nodes, programs).prop_map(|(nodes, programs)| {
        let mut world = World::of(nodes.into_iter().map(Node::of));
        for (index, (count, spare)) in programs.into_iter().enumerate() {
            let wants = Placement {
                spare,
                ..workers(count)
            };
            world = world.program(&format!("p{index}"), wants);
        }
        world
    })
}

/// No move alone makes the load more even.
fn assert_level(world: &World) {
    let loads = world
        .nodes
        .iter()
        .filter(|(_, node)| node.up && !node.draining);
    let loads: Vec<(u32, u32)> = loads
        .map(|(id, node)| (world.all_on(*id), node.cores.max(1)))
        .collect();
    for (more, of_more) in &loads {
        for (less, of_less) in &loads {
            assert!((less + 1) * of_more >= more * of_less, "uneven: {loads:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// `World::place` checks constraints, memory, totals, reasons and that a second run moves
    /// nothing; the order of input cannot matter, for maps have none.
    #[test]
    fn every_placement_of_a_history_is_valid(
        steps in prop::collection::vec(any_step(), 1..40)
    ) {
        let mut world = World::default();
        for next in steps {
            step(&mut world, next);
            world.place();
        }
    }

    #[test]
    fn an_unconstrained_cluster_is_level_also_after_changes(
        mut world in plain(), gone in prop::collection::vec(any::<bool>(), 12)
    ) {
        world.place();
        assert_level(&world);
        for (node, gone) in world.nodes.values_mut().zip(gone) {
            node.up = !gone;
        }
        world.place();
        assert_level(&world);
        world.nodes.values_mut().for_each(|node| node.up = true);
        world.place();
        assert_level(&world);
    }

    #[test]
    fn a_new_node_takes_only_what_it_should_hold(mut world in plain(), cores in 1..9_u32) {
        world.place();
        let newcomer = NodeId(100);
        world.nodes.insert(newcomer, Node::of(cores));
        let (_, moved) = world.place();
        prop_assert_eq!(moved, world.all_on(newcomer));
        assert_level(&world);
    }

    #[test]
    fn a_lost_node_moves_only_its_workers(mut world in plain(), which in any::<prop::sample::Index>()) {
        world.place();
        let nodes: Vec<NodeId> = world.nodes.keys().copied().collect();
        world.nodes.remove(which.get(&nodes));
        let (_, moved) = world.place();
        prop_assert_eq!(moved, 0);
    }

    /// Over values and over the nodes of a value, total and workers alone, also after nodes left.
    #[test]
    fn a_spread_is_even_within_one(
        zones in prop::collection::vec((0..ZONES.len(), 1..9_u32), 1..12),
        programs in prop::collection::vec((0..40_u32, 0..5_u32), 1..4),
        gone in prop::collection::vec(any::<bool>(), 12),
    ) {
        let nodes = zones.iter().map(|(zone, cores)| Node::of(*cores).label("zone", ZONES[*zone]));
        let mut world = World::of(nodes);
        for (index, (count, spare)) in programs.into_iter().enumerate() {
            let wants = Placement { spare, spread: Some("zone".into()), ..workers(count) };
            world = world.program(&format!("p{index}"), wants);
        }
        world.place();
        assert_spread(&world);
        for (node, gone) in world.nodes.values_mut().zip(&gone) {
            node.up = !gone;
        }
        world.place();
        assert_spread(&world);
        world.nodes.values_mut().for_each(|node| node.up = true);
        world.place();
        assert_spread(&world);
    }

    /// Programs and nodes under other names are placed alike: nothing but the order of names counts.
    #[test]
    fn the_same_cluster_is_placed_the_same(
        steps in prop::collection::vec(any_step(), 1..20)
    ) {
        let run = || {
            let mut world = World::default();
            steps.iter().for_each(|next| step(&mut world, next.clone()));
            world.look()
        };
        let mut turned = World::default();
        // The last word on each node and program counts; the order in which they come does not.
        let mut last: BTreeMap<(bool, u32), Step> = BTreeMap::new();
        for next in &steps {
            let key = match next {
                Step::SetNode(id, _) | Step::RemoveNode(id) => (true, *id),
                Step::SetProgram(id, _) | Step::RemoveProgram(id) => (false, u32::from(*id)),
            };
            last.insert(key, next.clone());
        }
        last.into_values().rev().for_each(|next| step(&mut turned, next));
        prop_assert_eq!(run(), turned.look());
    }
}

fn assert_spread(world: &World) {
    for id in world.programs.keys() {
        let totals = world.by_value(id, "zone", |count| count.total());
        assert_within_one(totals.values().copied());
        let workers = world.by_value(id, "zone", |count| count.workers);
        assert_within_one(workers.values().copied());
        for zone in ZONES {
            let of_zone = world.nodes.iter().filter(|(_, node)| {
                node.up
                    && node
                        .labels
                        .get("zone")
                        .is_some_and(|value| &**value == zone)
            });
            let on = |node: &NodeId| world.assignment.get(id).and_then(|nodes| nodes.get(node));
            assert_within_one(of_zone.map(|(node, _)| on(node).map_or(0, |count| count.total())));
        }
    }
}

fn assert_within_one(counts: impl Iterator<Item = u32>) {
    let counts: Vec<u32> = counts.collect();
    let least = counts.iter().min().copied().unwrap_or(0);
    assert!(counts.iter().all(|count| *count <= least + 1), "{counts:?}");
}
