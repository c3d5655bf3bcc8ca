//! Placement by example: what a user sees when programs and nodes come and go.

use crate::world::{Node, World, job, workers};
use cluster::hard::Placement;
use cluster::placement::{Count, Placed, jobs_of};
use pool::NodeId;

fn why(placed: &Placed, name: &str) -> String {
    placed.unplaced[&job(name)].why.to_string()
}

#[test]
fn workers_are_even_relative_to_cores() {
    let mut world = World::of([Node::of(8), Node::of(4), Node::of(4)]).program("a", workers(8));
    world.place();
    assert_eq!([1, 2, 3].map(|node| world.on("a", node)), [4, 2, 2]);
}

#[test]
fn what_else_is_placed_counts() {
    let pinned = Placement {
        constraints: [("disk".into(), "ssd".into())].into(),
        ..workers(4)
    };
    let nodes = [Node::of(4).label("disk", "ssd"), Node::of(4)];
    let mut world = World::of(nodes)
        .program("pinned", pinned)
        .program("a", workers(4));
    world.place();
    assert_eq!([world.on("a", 1), world.on("a", 2)], [0, 4]);
}

#[test]
fn a_spread_is_even_over_values_and_then_over_nodes() {
    let spread = Placement {
        spread: Some("zone".into()),
        ..workers(9)
    };
    let zones = ["a", "a", "a", "b", "c", "c"];
    let nodes = zones.map(|zone| Node::of(if zone == "b" { 1 } else { 64 }).label("zone", zone));
    let mut world = World::of(nodes).program("p", spread);
    world.place();
    let on = [1, 2, 3, 4, 5, 6].map(|node| world.on("p", node));
    assert_eq!(on[..4], [1, 1, 1, 3]);
    assert_eq!(on[4] + on[5], 3);
}

#[test]
fn nodes_without_the_label_are_one_more_value() {
    let spread = Placement {
        spread: Some("zone".into()),
        ..workers(4)
    };
    let nodes = [Node::of(1).label("zone", "a"), Node::of(1), Node::of(1)];
    let mut world = World::of(nodes).program("p", spread);
    world.place();
    assert_eq!([1, 2, 3].map(|node| world.on("p", node)), [2, 1, 1]);
}

#[test]
fn a_dead_nodes_workers_are_placed_anew_and_come_back_with_it() {
    let mut world = World::of([Node::of(2), Node::of(2), Node::of(2)]).program("a", workers(6));
    world.place();
    world.node(2).up = false;
    let (_, moved) = world.place();
    assert_eq!(moved, 0, "those on living nodes stay");
    assert_eq!([1, 2, 3].map(|node| world.on("a", node)), [3, 0, 3]);
    world.node(2).up = true;
    let (_, moved) = world.place();
    assert_eq!(moved, 2);
    assert_eq!([1, 2, 3].map(|node| world.on("a", node)), [2, 2, 2]);
}

#[test]
fn a_draining_node_and_a_revoked_one_lose_their_workers() {
    let mut world = World::of([Node::of(2), Node::of(2), Node::of(2)]).program("a", workers(6));
    world.place();
    world.node(1).draining = true;
    world.nodes.remove(&NodeId(3));
    world.place();
    assert_eq!([1, 2, 3].map(|node| world.on("a", node)), [0, 6, 0]);
}

#[test]
fn an_imbalance_that_one_move_would_only_turn_round_stays() {
    let mut world = World::of([Node::of(1), Node::of(1)]).program("a", workers(3));
    world.assignment.entry(job("a")).or_default().insert(
        NodeId(2),
        Count {
            workers: 2,
            spare: 0,
        },
    );
    world.place();
    assert_eq!([world.on("a", 1), world.on("a", 2)], [1, 2]);
}

#[test]
fn reasons_say_what_is_missing() {
    let place = |nodes: Vec<Node>, wants: Placement| {
        let mut world = World::of(nodes).program("p", wants);
        why(&world.place().0, "p")
    };
    let zone = |value: &str| Placement {
        constraints: [("zone".into(), value.into())].into(),
        ..workers(8)
    };
    assert_eq!(place(vec![], workers(1)), "no node is a manager");
    let b = || Node::of(1).label("zone", "b");
    assert_eq!(
        place(vec![b()], zone("a")),
        "no node has label zone = \"a\""
    );
    let both = Placement {
        constraints: [("zone".into(), "b".into()), ("disk".into(), "ssd".into())].into(),
        ..workers(1)
    };
    let apart = vec![b(), Node::of(1).label("disk", "ssd")];
    assert_eq!(
        place(apart, both),
        "no node has together the labels disk = \"ssd\", zone = \"b\""
    );
    let parse = Placement {
        command: "./parse".into(),
        ..workers(8)
    };
    assert_eq!(place(vec![b().runs("./b")], parse), "none can run ./parse");
    let mut down = b();
    down.up = false;
    let mut draining = b();
    draining.draining = true;
    assert_eq!(
        place(vec![down, draining], zone("b")),
        "no node that could run it is up: 1 down, 1 draining"
    );
    let large = Placement {
        memory: 100,
        ..workers(8)
    };
    let nodes = vec![Node::of(1).memory(299), Node::of(1).memory(399)];
    assert_eq!(place(nodes, large), "memory: 3 of 8 workers do not fit");
    let spare = Placement {
        memory: 100,
        spare: 2,
        ..workers(2)
    };
    let node = vec![Node::of(1).memory(300)];
    assert_eq!(
        place(node, spare),
        "memory: 1 of 2 spare workers do not fit"
    );
}

#[test]
fn what_found_no_place_is_placed_as_soon_as_there_is_room() {
    let large = Placement {
        memory: 100,
        ..workers(4)
    };
    let mut world = World::of([Node::of(4).memory(200)]).program("a", large);
    assert_eq!(world.place().0.unplaced.len(), 1);
    world.nodes.insert(NodeId(2), Node::of(4).memory(200));
    assert!(world.place().0.unplaced.is_empty());
}

#[test]
fn a_move_may_make_room_for_another_program() {
    let mut world = World::of([Node::of(1).label("disk", "ssd").memory(300)]);
    world = world.program(
        "a",
        Placement {
            memory: 100,
            ..workers(3)
        },
    );
    world.place();
    let pinned = Placement {
        constraints: [("disk".into(), "ssd".into())].into(),
        memory: 100,
        ..workers(1)
    };
    world = world.program("pinned", pinned);
    assert_eq!(world.place().0.unplaced.len(), 1);
    world.nodes.insert(NodeId(2), Node::of(1).memory(300));
    assert!(world.place().0.unplaced.is_empty());
}

#[test]
fn workers_come_before_spares_of_other_programs() {
    let wants = |spare| Placement {
        memory: 100,
        spare,
        ..workers(1)
    };
    let mut world = World::of([Node::of(1).memory(200)]);
    world = world.program("a", wants(4)).program("b", wants(0));
    let (placed, _) = world.place();
    assert!(!placed.unplaced.contains_key(&job("b")));
    assert_eq!(why(&placed, "a"), "memory: 4 of 4 spare workers do not fit");
}

#[test]
fn spares_are_beside_most_workers_and_stay_where_they_are() {
    let wants = Placement {
        spare: 1,
        ..workers(3)
    };
    let mut world = World::of([Node::of(1), Node::of(1)]).program("a", wants);
    world.place();
    let counts = |world: &World| world.assignment[&job("a")].clone();
    let before = counts(&world);
    let spare: u32 = before.values().map(|count| count.spare).sum();
    assert_eq!(spare, 1);
    assert!(before.values().all(|count| count.total() == 2));
    // Where it was is kept, also if it is not where a first choice would put it.
    let turned = before.keys().map(|node| {
        let other = before.iter().find(|(other, _)| *other != node);
        (*node, *other.expect("two nodes").1)
    });
    let turned = turned.collect();
    world.assignment.insert(job("a"), turned);
    let turned = counts(&world);
    world.place();
    assert_eq!(counts(&world), turned);
}

#[test]
fn fewer_wanted_takes_from_the_fullest() {
    let mut world = World::of([Node::of(4), Node::of(2)]).program("a", workers(12));
    world.place();
    world.programs.insert(job("a"), workers(5));
    world.place();
    let on = [world.on("a", 1), world.on("a", 2)];
    assert!(on == [3, 2] || on == [4, 1], "{on:?}");
    world.programs.clear();
    world.place();
    assert!(world.assignment.is_empty());
}

#[test]
fn both_versions_of_a_roll_out_are_placed() {
    let mut world = World::of([Node::of(1), Node::of(1)]);
    world.programs.insert(("a".into(), 1), workers(2));
    world.programs.insert(("a".into(), 2), workers(2));
    world.place();
    for version in [1, 2] {
        assert_eq!(world.assignment[&("a".into(), version)].len(), 2);
    }
}

#[test]
fn hard_state_says_which_versions_run_and_divides_the_workers() {
    use cluster::hard::{Hard, ProgramRecord, Share};
    let jobs = |workers_wanted: u32, shares: &[(u32, u32)]| {
        let mut record = ProgramRecord::new(1, &Default::default(), &workers(workers_wanted));
        let mut second = record.versions[0].clone();
        second.number = 2;
        record.versions.push(second);
        let shares = shares.iter();
        record.shares = shares
            .map(|&(version, weight)| Share { version, weight })
            .collect();
        let hard = Hard {
            programs: [("a".into(), record)].into(),
            ..Hard::default()
        };
        let jobs = jobs_of(&hard).into_iter();
        jobs.map(|(id, wants)| (id.1, wants.workers, wants.spare))
            .collect::<Vec<_>>()
    };
    assert_eq!(jobs(4, &[(2, 1)]), [(2, 4, 0)]);
    assert_eq!(jobs(4, &[(1, 100), (2, 0)]), [(1, 4, 0), (2, 0, 1)]);
    assert_eq!(jobs(10, &[(1, 90), (2, 10)]), [(1, 9, 0), (2, 1, 0)]);
    assert_eq!(jobs(4, &[(1, 50), (2, 50)]), [(1, 2, 0), (2, 2, 0)]);
    assert_eq!(jobs(1, &[(1, 90), (2, 10)]), [(1, 1, 0), (2, 1, 0)]);
    assert_eq!(jobs(3, &[(1, 50), (2, 50)]), [(1, 2, 0), (2, 2, 0)]);
}
