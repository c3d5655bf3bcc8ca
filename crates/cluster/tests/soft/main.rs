//! What a master makes of announcements, as lists of events; and that deltas are what they say.

use cluster::placement::{Count, Job};
use cluster::soft::{
    Announcement, Capacity, Event, Load, News, OrderNumber, Output, ProgramReport, Report, Soft,
    Why,
};
use pool::{NodeId, Time};
use proptest::prelude::*;

const NODE: NodeId = NodeId(7);

/// A master, and what it gave out.
#[derive(Default)]
struct Master {
    soft: Soft,
    now_ms: u64,
}

impl Master {
    fn feed(&mut self, event: Event) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.soft
            .handle(Time(self.now_ms * 1_000), event, &mut outputs);
        outputs
    }

    fn link_up(&mut self, incarnation: u64) -> Vec<Output> {
        self.feed(Event::LinkUp {
            node: NODE,
            incarnation,
        })
    }

    fn announce(&mut self, incarnation: u64, sequence: u64, news: News) -> Vec<Output> {
        let announcement = Announcement {
            incarnation,
            sequence,
            news,
        };
        self.feed(Event::Announced(NODE, announcement))
    }

    fn up() -> Self {
        let mut master = Self::default();
        master.link_up(1);
        assert_eq!(master.announce(1, 5, full(4)), [Output::Up(NODE)]);
        master
    }

    fn report(&self) -> &Report {
        self.soft.nodes()[&NODE].report.as_ref().expect("a report")
    }
}

fn report(cores: u32) -> Report {
    Report {
        capacity: Capacity { cores, memory: 0 },
        ..Report::default()
    }
}

fn full(cores: u32) -> News {
    News::Full(Box::new(report(cores)))
}

fn delta(from: &Report, to: &Report) -> News {
    News::Delta(from.delta_to(to).expect("they differ"))
}

#[test]
fn a_node_is_up_when_it_has_reported_and_not_before() {
    let mut master = Master::default();
    assert_eq!(master.link_up(1), []);
    assert_eq!(master.soft.up().count(), 0);
    assert_eq!(master.announce(1, 0, full(4)), [Output::Up(NODE)]);
    assert_eq!(master.soft.up().count(), 1);
}

#[test]
fn three_quarters_of_a_second_of_silence_is_death_and_a_word_is_life() {
    let mut master = Master::up();
    master.now_ms = 600;
    assert_eq!(master.announce(1, 6, News::Nothing), []);
    master.now_ms = 1_349;
    assert_eq!(master.feed(Event::Tick), []);
    master.now_ms = 1_350;
    assert_eq!(master.feed(Event::Tick), [Output::Down(NODE, Why::Silent)]);
    assert_eq!(master.feed(Event::Tick), [], "said once");
    assert_eq!(master.announce(1, 7, News::Nothing), [Output::Up(NODE)]);
}

#[test]
fn the_end_of_a_link_is_death_at_once() {
    let mut master = Master::up();
    let down = master.feed(Event::LinkDown(NODE, "reset".into()));
    assert_eq!(down, [Output::Down(NODE, Why::Link("reset".into()))]);
    assert_eq!(
        master.announce(1, 6, full(4)),
        [],
        "a late word of a closed link"
    );
    assert!(master.soft.nodes().is_empty());
}

#[test]
fn what_another_process_of_the_node_said_is_ignored() {
    let mut master = Master::up();
    assert_eq!(master.link_up(2).len(), 1, "the process before is down");
    assert_eq!(master.announce(1, 6, full(8)), []);
    assert_eq!(master.announce(2, 0, full(4)), [Output::Up(NODE)]);
    assert_eq!(master.announce(1, 7, full(8)), []);
    assert_eq!(master.report().capacity.cores, 4);
}

#[test]
fn a_delta_that_does_not_fit_asks_for_a_full_report_once() {
    let mut master = Master::up();
    let change = || delta(&report(4), &report(8));
    assert_eq!(master.announce(1, 7, change()), [Output::Ask(NODE)]);
    assert_eq!(master.report().capacity.cores, 4);
    assert_eq!(master.announce(1, 8, change()), [], "asked already");
    assert_eq!(master.announce(1, 8, full(16)), [Output::Changed(NODE)]);
    assert_eq!(master.announce(1, 9, change()), [Output::Changed(NODE)]);
    assert_eq!(master.report().capacity.cores, 8);
}

#[test]
fn a_request_for_a_full_report_that_is_not_heard_is_made_again() {
    let mut master = Master::default();
    master.link_up(1);
    assert_eq!(master.announce(1, 3, News::Nothing), [Output::Ask(NODE)]);
    master.now_ms = 750;
    assert_eq!(master.announce(1, 6, News::Nothing), [Output::Ask(NODE)]);
}

#[test]
fn load_changes_nothing_for_placement() {
    let mut master = Master::up();
    let mut next = report(4);
    next.load.running = 3;
    assert_eq!(master.announce(1, 6, delta(&report(4), &next)), []);
    assert_eq!(master.report().load.running, 3);
}

fn any_report() -> impl Strategy<Value = Report> {
    let program = (0..4_u32, 0..3_u32, prop::option::of(Just("no such file")));
    let programs = prop::collection::btree_map(0..5_u32, program, 0..5);
    let orders = (0..3_u64, 0..3_u64);
    let can_run = prop::collection::btree_set("[ab]", 0..3);
    (0..3_u32, 0..3_u32, programs, can_run, orders).prop_map(
        |(cores, running, programs, can_run, (term, sequence))| Report {
            capacity: Capacity { cores, memory: 0 },
            can_run: can_run.into_iter().map(Into::into).collect(),
            programs: programs
                .into_iter()
                .map(|(version, (workers, live, problem))| {
                    let job: Job = ("p".into(), version);
                    let program = ProgramReport {
                        wanted: Count { workers, spare: 0 },
                        live,
                        problem: problem.map(Into::into),
                        ..ProgramReport::default()
                    };
                    (job, program)
                })
                .collect(),
            load: Load {
                running,
                ..Load::default()
            },
            orders: Some(OrderNumber { term, sequence }),
            ..Report::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_delta_makes_one_report_the_other(before in any_report(), after in any_report()) {
        let mut report = before.clone();
        match before.delta_to(&after) {
            Some(delta) => report.apply(delta),
            None => prop_assert_eq!(&before, &after),
        }
        prop_assert_eq!(report, after);
    }

    /// Whatever of a node's announcements is lost, asking brings the truth.
    #[test]
    fn a_master_that_missed_some_knows_all_after_asking(
        reports in prop::collection::vec((any_report(), any::<bool>()), 1..20)
    ) {
        let mut master = Master::default();
        master.link_up(1);
        let mut said = Report::default();
        for (sequence, (next, is_lost)) in (1..).zip(reports) {
            let news = said.delta_to(&next).map_or(News::Nothing, News::Delta);
            said = next;
            master.now_ms += 1_000;
            let asked = !is_lost && !master.announce(1, sequence, news).iter()
                .all(|output| !matches!(output, Output::Ask(_)));
            if asked {
                master.announce(1, sequence, News::Full(Box::new(said.clone())));
            }
            prop_assert!(is_lost || *master.report() == said);
        }
    }
}
