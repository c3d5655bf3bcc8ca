//! Events per second of the pool core on one core: the figure that bounds a dispatcher.
//!
//! `cargo bench -p katamari-pool`. Throughput counts events. A call's details and shape are shared,
//! as they are in the dispatcher, so that what is measured is the core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pool::{
    Avoid, Call, CallId, Calls, Class, Command, Core, Description, Details, Epoch, Event, Function,
    Introduction, Lobby, NodeId, Parameter, Program, SlotId, Time, WorkerId,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use term::Shape;

/// Longer than any call takes here, on the benchmark's own clock of a microsecond an event.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The steady state: pools, workers of each with one slot, and calls that run at any time, which
/// is half of all slots.
const POOLS: u32 = 8;
const WORKERS: u32 = 32;
const RUNNING: usize = 128;

/// Calls that wait in the saturated queue.
const WAITING: u64 = 1_000;

/// Every second call of the saturated queue is cancelled when this many younger ones have come.
const CANCELLED_AFTER: u64 = 500;

/// Equal pools among which weight and key choose.
const EQUALS: u32 = 4;

/// Rounds of one measured iteration: long enough for the clock not to matter.
const ROUNDS: u64 = 1_000;

/// A core and what drives it.
struct Bench {
    core: Core,
    commands: Vec<Command>,
    now: u64,
    epoch: u64,
    calls: u64,
    /// The calls to make, in turn.
    templates: Vec<Call>,
    /// What runs, the longest running first.
    running: VecDeque<(SlotId, Calls)>,
}

fn details(kind: &str, version: u32) -> Details {
    let mut details = Details::of_kind(kind);
    details
        .versions
        .insert("grammar".into(), version.to_string().into());
    details
}

fn description(details: Details) -> Arc<Description> {
    let parameter = |name: &str, required| Parameter {
        name: name.into(),
        r#type: pool::Type::Any,
        required,
        doc: "".into(),
    };
    let function = |name: &str| Function {
        name: name.into(),
        doc: "Parses one sentence.".into(),
        idempotent: true,
        stream: false,
        input: false,
        parameters: vec![parameter("text", true), parameter("limit", false)],
        result: pool::Type::Object,
        examples: Vec::new(),
    };
    let functions = ["batch", "linkage", "parse", "tags"].map(function).to_vec();
    Arc::new(Description {
        details,
        functions,
        terms: false,
    })
}

fn call_of(details: Details) -> Call {
    Call {
        id: id(0),
        details: Arc::new(details),
        function: "linkage".into(),
        shape: Arc::new(Shape::Named(vec!["text".into()])),
        json: None,
        input: false,
        class: Class::Normal,
        key: None,
        seed: 0,
        deadline: None,
        bytes: 1_000,
        avoid: Avoid::default(),
        only: None,
        parent: None,
    }
}

fn id(number: u64) -> CallId {
    CallId { number, attempt: 0 }
}

fn slot(worker: u32) -> SlotId {
    SlotId {
        worker: WorkerId {
            node: NodeId(1),
            number: worker,
        },
        index: 0,
    }
}

impl Bench {
    /// A pool for each of these details, with so many workers of one slot, all on offer.
    fn new(pools: &[Details], workers: u32, templates: Vec<Call>) -> Self {
        let bounds = Lobby {
            timeout: TIMEOUT,
            queue_max: 0,
            queue_bytes_max: 0,
        };
        let mut bench = Self {
            core: Core::new(bounds),
            commands: Vec::new(),
            now: 0,
            epoch: 0,
            calls: 0,
            templates,
            running: VecDeque::new(),
        };
        for (number, details) in (0..).zip(pools) {
            let program: Arc<str> = format!("program {number}").into();
            bench.feed(Event::Program(Program {
                name: program.clone(),
                weight: number + 1,
                timeout: TIMEOUT,
                queue_max: 2_000,
                queue_bytes_max: 1 << 30,
            }));
            let description = description(details.clone());
            for index in 0..workers {
                let slot = slot(number * workers + index);
                bench.feed(Event::Introduced(Introduction {
                    worker: slot.worker,
                    program: program.clone(),
                    description: description.clone(),
                    slots: 1,
                    batch_max: 1,
                }));
                bench.offer(slot);
            }
        }
        bench
    }

    fn feed(&mut self, event: Event) {
        self.now += 1;
        self.core.handle(Time(self.now), event, &mut self.commands);
    }

    fn offer(&mut self, slot: SlotId) {
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        self.feed(Event::Offer { slot, epoch });
    }

    fn call(&mut self) {
        self.calls += 1;
        let template = &self.templates[self.calls as usize % self.templates.len()];
        let call = Call {
            id: id(self.calls),
            key: template.key.map(|_| self.calls),
            seed: self.calls,
            ..template.clone()
        };
        self.feed(Event::Call(call));
    }

    /// Takes the one assignment that must have come.
    fn accept(&mut self) {
        match self.commands.pop() {
            Some(Command::Assign { slot, epoch, calls }) => {
                self.feed(Event::Accepted { slot, epoch });
                self.running.push_back((slot, calls));
            }
            other => panic!("an assignment is due, not {other:?}"),
        }
    }

    /// Ends the call that has run longest and offers its slot.
    fn end(&mut self) {
        let (slot, calls) = self.running.pop_front().expect("calls run");
        self.feed(Event::Outcome {
            slot,
            call: calls[0],
        });
        assert_eq!(
            self.commands.pop(),
            Some(Command::Deliver { call: calls[0] })
        );
        self.offer(slot);
    }
}

/// Half of all slots are busy: a call arrives, another one ends. Four events a round.
fn steady(bench: &mut Bench) {
    bench.call();
    bench.accept();
    bench.end();
}

/// All slots are busy and a thousand calls wait: two arrive, one is served, one is cancelled. Six
/// events a round.
fn saturated(bench: &mut Bench) {
    bench.call();
    bench.end();
    bench.accept();
    bench.call();
    let call = id(bench.calls - CANCELLED_AFTER);
    bench.feed(Event::Cancel { call });
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    events: u64,
    bench: &mut Bench,
    round: fn(&mut Bench),
) {
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(ROUNDS * events));
    group.bench_function(name, |bencher| {
        bencher.iter(|| (0..ROUNDS).for_each(|_| round(bench)));
    });
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let kinds: Vec<Details> = (0..POOLS)
        .map(|n| details(&format!("kind {n}"), 0))
        .collect();
    let templates = kinds.iter().cloned().map(call_of).collect();
    let mut bench = Bench::new(&kinds, WORKERS, templates);
    for _ in 0..RUNNING {
        bench.call();
        bench.accept();
    }
    measure(criterion, "steady, 8 pools of 32", 4, &mut bench, steady);

    let kinds = [details("parse", 0)];
    let templates = kinds.iter().cloned().map(call_of).collect();
    let mut bench = Bench::new(&kinds, WORKERS, templates);
    for _ in 0..WORKERS {
        bench.call();
        bench.accept();
    }
    (0..WAITING).for_each(|_| bench.call());
    measure(criterion, "saturated, 1,000 wait", 6, &mut bench, saturated);
    assert_eq!(
        bench
            .core
            .pools()
            .map(|pool| pool.waiting.normal)
            .sum::<usize>(),
        1_000
    );

    let equals: Vec<Details> = (0..EQUALS)
        .map(|version| details("parse", version))
        .collect();
    let plain = call_of(Details::of_kind("parse"));
    let keyed = Call {
        key: Some(0),
        ..plain.clone()
    };
    let mut bench = Bench::new(&equals, WORKERS, vec![plain, keyed]);
    measure(
        criterion,
        "4 equal pools, weights and keys",
        4,
        &mut bench,
        steady,
    );
}

criterion_group!(events, benches);
criterion_main!(events);
