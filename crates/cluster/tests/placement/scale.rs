//! A large cluster through a long time: nodes fail and return by a schedule drawn from a seed.
//!
//! Small by itself; `KATAMARI_SCALE=full` is 1,000 nodes and 100,000 workers, best with `--release`.

use crate::world::{Node, World, workers};
use cluster::hard::Placement;
use pool::NodeId;
use std::collections::BTreeSet;

const SEED: u64 = 0x6b61_7461_6d61_7269;

struct Scale {
    nodes: u32,
    programs: u32,
    workers: u32,
    steps: u32,
}

const SMALL: Scale = Scale {
    nodes: 60,
    programs: 20,
    workers: 100,
    steps: 40,
};

const FULL: Scale = Scale {
    nodes: 1_000,
    programs: 100,
    workers: 1_000,
    steps: 200,
};

/// The generator of Marsaglia, "Xorshift RNGs" (2003): the schedule is the same on every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(limit)) as u32
    }
}

fn world(scale: &Scale) -> World {
    let zone = |node: u32| ["a", "b", "c"][(node % 3) as usize];
    let nodes = (0..scale.nodes).map(|node| {
        let node_of = Node::of(8 << (node % 3)).label("zone", zone(node));
        node_of.memory(u64::from(scale.workers) << (10 + node % 3))
    });
    let mut world = World::of(nodes);
    for program in 0..scale.programs {
        let mut wants = Placement {
            spare: scale.workers / 20,
            memory: 1 << (program % 8),
            ..workers(scale.workers - scale.workers / 20)
        };
        if program % 3 == 0 {
            wants.spread = Some("zone".into());
        }
        if program % 10 == 1 {
            let value = zone(program).into();
            wants.constraints.insert("zone".into(), value);
        }
        world = world.program(&format!("p{program}"), wants);
    }
    world
}

#[test]
fn a_large_cluster_keeps_every_promise_while_nodes_fail_and_return() {
    let full = std::env::var("KATAMARI_SCALE").is_ok_and(|scale| scale == "full");
    let scale = if full { FULL } else { SMALL };
    let mut world = world(&scale);
    let mut chance = Chance(SEED);
    let (placed, _) = world.place();
    assert!(placed.unplaced.is_empty());
    for step in 0..scale.steps {
        // Mostly single nodes; at times a whole zone, and in the end all come back.
        let outage = (step % 20 == 10).then(|| ["a", "b", "c"][(step / 20 % 3) as usize]);
        let heals = step + 1 == scale.steps || step % 20 == 15;
        let flips = [(); 3].map(|()| NodeId(1 + chance.below(scale.nodes)));
        let up = world.nodes.iter().filter(|(_, node)| node.up);
        let was_up: BTreeSet<NodeId> = up.map(|(id, _)| *id).collect();
        for (id, node) in &mut world.nodes {
            let in_outage = outage.is_some_and(|zone| &*node.labels["zone"] == zone);
            node.up = heals || (!in_outage && node.up != flips.contains(id));
        }
        let (placed, moved) = world.place();
        // Those that came back hold what moved; where a zone is tied or spread, a little more moves.
        let came = world
            .nodes
            .iter()
            .filter(|(id, node)| node.up && !was_up.contains(id));
        let came: u32 = came.map(|(id, _)| world.all_on(*id)).sum();
        let limit = came + scale.programs * scale.workers / 20;
        assert!(
            moved <= limit,
            "seed {SEED:x}, step {step}: {moved} moved, {limit} expected"
        );
        let is_last = step + 1 == scale.steps;
        assert!(
            !is_last || placed.unplaced.is_empty(),
            "it heals: seed {SEED:x}"
        );
    }
    let idle = world.nodes.keys().filter(|node| world.all_on(**node) == 0);
    assert_eq!(idle.count(), 0, "every node that came back has work again");
}
