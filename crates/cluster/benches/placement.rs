//! How long a placement of 100,000 workers on 1,000 nodes takes, on one core.
//!
//! `cargo bench -p katamari-cluster --bench placement`. A third of the programs spread over zones, a
//! tenth are tied to one, all have memory and spares; nodes have three sizes. `nothing` is what a
//! change costs that moves nothing; the others start from the placed cluster.

use cluster::hard::{Labels, Placement};
use cluster::placement::{Assignment, Job, Site, place};
use criterion::{Criterion, criterion_group, criterion_main};
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;

const NODES: u32 = 1_000;
const PROGRAMS: u32 = 100;
const WORKERS: u32 = 950;
const SPARE: u32 = 50;

/// One command for each program; every node can run all of them.
fn command(program: u32) -> Arc<str> {
    format!("./program-{program}").into()
}

struct Cluster {
    labels: Vec<Labels>,
    can_run: BTreeSet<Arc<str>>,
    programs: Vec<(Job, Placement)>,
}

impl Cluster {
    fn new() -> Self {
        let zone = |number: u32| Arc::from(["a", "b", "c"][(number % 3) as usize]);
        let programs = (0..PROGRAMS).map(|number| {
            let wants = Placement {
                workers: WORKERS,
                spare: SPARE,
                spread: (number % 3 == 0).then(|| "zone".into()),
                constraints: (number % 10 == 1)
                    .then(|| (Arc::from("zone"), zone(number)))
                    .into_iter()
                    .collect(),
                memory: 1 << (20 + number % 8),
                command: command(number),
            };
            ((format!("program-{number}").into(), 1), wants)
        });
        Self {
            labels: (0..NODES)
                .map(|node| [(Arc::from("zone"), zone(node))].into())
                .collect(),
            can_run: (0..PROGRAMS).map(command).collect(),
            programs: programs.collect(),
        }
    }

    fn nodes(&self, up: impl Fn(u32) -> bool) -> BTreeMap<NodeId, Site<'_>> {
        let nodes = (0..NODES).map(|node| {
            let site = Site {
                labels: &self.labels[node as usize],
                cores: 8 << (node % 3),
                memory: 64 << (30 + node % 3),
                can_run: &self.can_run,
                up: up(node),
                draining: false,
            };
            (NodeId(node + 1), site)
        });
        nodes.collect()
    }

    fn programs(&self) -> BTreeMap<Job, &Placement> {
        let programs = self.programs.iter();
        programs.map(|(id, wants)| (id.clone(), wants)).collect()
    }
}

fn placement(criterion: &mut Criterion) {
    let cluster = Cluster::new();
    let programs = cluster.programs();
    let all = cluster.nodes(|_| true);
    let without_one = cluster.nodes(|node| node != 500);
    let without_zone = cluster.nodes(|node| node % 3 != 2);
    let placed = place(&programs, &all, &Assignment::new());
    assert!(placed.unplaced.is_empty());
    let settled = |nodes: &_| place(&programs, nodes, &placed.assignment).assignment;
    let (one_lost, zone_lost) = (settled(&without_one), settled(&without_zone));
    let cases = [
        ("from nothing", &all, &Assignment::new()),
        ("nothing", &all, &placed.assignment),
        ("a node fails", &without_one, &placed.assignment),
        ("a node returns", &all, &one_lost),
        ("a third fails", &without_zone, &placed.assignment),
        ("a third returns", &all, &zone_lost),
    ];
    let mut group = criterion.benchmark_group("placement");
    group.sample_size(20);
    for (name, nodes, current) in cases {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(place(&programs, nodes, current)));
        });
    }
    group.finish();
}

criterion_group!(benches, placement);
criterion_main!(benches);
