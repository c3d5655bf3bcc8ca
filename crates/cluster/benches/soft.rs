//! How many load reports a second one core of a master takes, from 10,000 managers.
//!
//! `cargo bench -p katamari-cluster --bench soft`. Each report is decoded as it came over the link;
//! throughput counts reports, with a tick for each beacon's worth of them. The bar is a hundred times the
//! 1,800 announcements a second that the manager of the SNS paper (SOSP 1997) took.

use cluster::hard::Roles;
use cluster::placement::Count;
use cluster::soft::{
    Announcement, Capacity, Delta, Event, Load, News, ProgramReport, Report, Soft,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pool::{NodeId, Time};
use std::hint::black_box;

const MANAGERS: u32 = 10_000;
const PROGRAMS: u32 = 10;

fn encode(announcement: &Announcement) -> Vec<u8> {
    postcard::to_stdvec(announcement).expect("an announcement can be encoded")
}

fn full() -> Announcement {
    let programs = (0..PROGRAMS).map(|number| {
        let report = ProgramReport {
            wanted: Count {
                workers: 10,
                spare: 1,
            },
            live: 10,
            ..ProgramReport::default()
        };
        ((format!("program-{number}").into(), 1), report)
    });
    let report = Report {
        roles: Roles::ALL,
        capacity: Capacity {
            cores: 32,
            memory: 64 << 30,
        },
        can_run: (0..PROGRAMS)
            .map(|n| format!("./program-{n}").into())
            .collect(),
        programs: programs.collect(),
        ..Report::default()
    };
    Announcement {
        incarnation: 1,
        sequence: 0,
        news: News::Full(Box::new(report)),
    }
}

/// A load, and for every tenth manager a program whose workers changed.
fn beacon(node: u32) -> Announcement {
    let load = Load {
        running: 17,
        waiting: 4,
        errors: 12,
        calls: 123_456_789,
    };
    let mut delta = Delta {
        load: Some(load),
        ..Delta::default()
    };
    if node.is_multiple_of(10) {
        let program = ProgramReport {
            live: 9,
            starting: 1,
            ..ProgramReport::default()
        };
        let job = ("program-3".into(), 1);
        delta.programs.insert(job, Some(program));
    }
    Announcement {
        incarnation: 1,
        sequence: 1,
        news: News::Delta(delta),
    }
}

/// What a frame of a link leads to.
fn hear(soft: &mut Soft, node: u32, bytes: &[u8], outputs: &mut Vec<cluster::soft::Output>) {
    let announcement = postcard::from_bytes(bytes).expect("it was encoded here");
    soft.handle(
        Time(1),
        Event::Announced(NodeId(node), announcement),
        outputs,
    );
}

fn registered() -> Soft {
    let mut soft = Soft::default();
    let mut outputs = Vec::new();
    let full = encode(&full());
    for node in 0..MANAGERS {
        let link_up = Event::LinkUp {
            node: NodeId(node),
            incarnation: 1,
        };
        soft.handle(Time(0), link_up, &mut outputs);
        hear(&mut soft, node, &full, &mut outputs);
    }
    assert_eq!(soft.up().count(), MANAGERS as usize);
    soft
}

fn reports(criterion: &mut Criterion) {
    let beacons: Vec<Vec<u8>> = (0..MANAGERS).map(|node| encode(&beacon(node))).collect();
    let mut group = criterion.benchmark_group("soft");
    group.throughput(Throughput::Elements(u64::from(MANAGERS)));
    group.sample_size(20);
    group.bench_function("load reports", |bencher| {
        bencher.iter_batched_ref(
            registered,
            |soft| {
                let mut outputs = Vec::new();
                for (node, bytes) in (0..).zip(&beacons) {
                    hear(soft, node, bytes, &mut outputs);
                }
                soft.handle(Time(2), Event::Tick, &mut outputs);
                assert!(black_box(outputs).is_empty(), "all of them fit");
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, reports);
criterion_main!(benches);
