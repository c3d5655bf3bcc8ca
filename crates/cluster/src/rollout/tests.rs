//! Roll-outs as lists of events, among managers that do what they are ordered in their own time.

use super::*;
use crate::hard::{Pace, Placement};
use crate::member::ordering::Ordering;
use crate::member::ordering::tests::{ProgramReports, World};
use crate::placement::Job;
use crate::soft::ProgramReport;
use bytes::Bytes;
use pool::NodeId;
use proptest::prelude::*;

/// From one report to the next.
const TICK: Duration = Duration::from_millis(250);

/// How a version behaves.
#[derive(Debug, Clone, Copy)]
struct Conduct {
    /// Its workers never become ready.
    crashes: bool,
    /// Of a hundred calls.
    errors: u64,
}

const GOOD: Conduct = Conduct {
    crashes: false,
    errors: 0,
};

/// A cluster with a program `p` that runs, and a leader that watches it.
struct Case {
    world: World,
    rollouts: Rollouts,
    /// Of each version, the first one first; good where not said.
    conduct: Vec<Conduct>,
    /// Calls of each live worker between two reports.
    calls: u64,
    reports: BTreeMap<NodeId, ProgramReports>,
    /// The new version's weights, one after the other.
    weights: Vec<u32>,
    least_live: u32,
}

impl Case {
    fn of(nodes: u32, workers: u32) -> Self {
        let mut case = Self {
            world: World::of(nodes, workers),
            rollouts: Rollouts::default(),
            conduct: vec![GOOD],
            calls: 10,
            reports: BTreeMap::new(),
            weights: Vec::new(),
            least_live: u32::MAX,
        };
        for _ in 0..workers {
            case.tick();
        }
        assert_eq!(case.live(), workers);
        case.least_live = u32::MAX;
        case
    }

    fn rolling(nodes: u32, workers: u32, conduct: Conduct) -> Self {
        let mut case = Self::of(nodes, workers);
        case.apply(conduct, Pace::Steps);
        case
    }

    fn change(&mut self, change: &Change) {
        self.world.hard.apply(change).expect("it makes sense");
        self.world.place();
    }

    fn apply(&mut self, conduct: Conduct, pace: Pace) {
        self.conduct.push(conduct);
        let spec = Bytes::from(self.conduct.len().to_string());
        let placement = Placement {
            workers: self.record().versions[0].placement.workers,
            ..Placement::default()
        };
        let programs = [("p".into(), Some((spec, placement)))].into();
        let expected = None;
        self.change(&Change::Apply {
            expected,
            programs,
            pace,
        });
    }

    fn record(&self) -> &ProgramRecord {
        &self.world.hard.programs["p"]
    }

    fn live(&self) -> u32 {
        let reports = self.reports.values().flat_map(BTreeMap::values);
        reports.map(|report| report.live).sum()
    }

    /// Managers start a worker or do what takes no time, and report; the leader looks at it.
    fn tick(&mut self) {
        self.world.wait(TICK);
        for (node, orders) in self.world.orders.clone() {
            let before = self.reports.remove(&node).unwrap_or_default();
            let reports = orders.into_iter().map(|order| {
                let job: Job = (order.program, order.version);
                let mut report = before.get(&job).cloned().unwrap_or_default();
                let conduct = self.conduct[order.version as usize - 1];
                report.wanted.workers = order.workers;
                report.wanted.spare = order.spare;
                if conduct.crashes {
                    report.failures += 1;
                    report.problem = Some("worker 7 exited with status 1".into());
                } else {
                    report.live = order.workers.min(report.live + 1);
                    report.standby = order.spare;
                }
                let calls = u64::from(report.live) * self.calls;
                report.calls += calls;
                report.errors += (calls * conduct.errors).div_ceil(100);
                (job, report)
            });
            let reports: ProgramReports = reports.collect();
            self.world.report(node.0, reports.clone());
            self.reports.insert(node, reports);
        }
        self.least_live = self.least_live.min(self.live());
        let (hard, soft) = (&self.world.hard, &self.world.soft);
        for change in self.rollouts.look(self.world.now, hard, soft) {
            self.change(&change);
            let record = self.record();
            let weight = weight_of(record, record.newest_running());
            self.weights.push(weight);
        }
    }

    fn run(&mut self) {
        for _ in 0..2_000 {
            if self.record().rollout.is_none() {
                return;
            }
            self.tick();
        }
        panic!("the roll-out does not end: {:?}", self.record());
    }

    fn serving(&self) -> Vec<u32> {
        let shares = self.record().shares.iter();
        shares.map(|share| share.version).collect()
    }

    fn why(&self) -> String {
        let taken_back = self.record().taken_back.clone();
        taken_back.expect("it was taken back").why.to_string()
    }

    /// Another leader, which knows hard state and what nodes report.
    fn elect(&mut self) {
        self.rollouts = Rollouts::default();
        let term = self.world.ordering.term() + 1;
        self.world.ordering = Ordering::take_over(term, &self.world.soft);
        self.world.place();
    }
}

#[test]
fn a_good_version_takes_over_step_by_step_and_no_worker_is_missing() {
    let mut case = Case::rolling(3, 10, GOOD);
    case.run();
    assert_eq!(case.weights, [10, 50, 100]);
    assert_eq!(case.serving(), [2]);
    for _ in 0..10 {
        case.tick();
    }
    assert_eq!(case.live(), 10);
    assert_eq!(case.least_live, 10);
}

#[test]
fn one_worker_takes_over_without_steps_that_change_nothing() {
    let mut case = Case::rolling(1, 1, GOOD);
    case.run();
    assert_eq!(case.weights, [10, 100]);
    assert_eq!(case.least_live, 1);
}

#[test]
fn a_version_that_does_not_start_never_gets_a_call() {
    let conduct = Conduct {
        crashes: true,
        ..GOOD
    };
    let mut case = Case::rolling(2, 4, conduct);
    case.run();
    assert_eq!(case.serving(), [1]);
    assert_eq!(case.weights, [100], "back at once");
    assert_eq!(
        case.why(),
        "3 of its workers failed before one was ready: worker 7 exited with status 1"
    );
    assert_eq!(case.least_live, 4);
}

#[test]
fn a_version_that_finds_no_place_is_taken_back_in_the_end() {
    let mut case = Case::of(1, 2);
    case.apply(GOOD, Pace::Steps);
    let record = case.world.hard.programs.get_mut("p").expect("a program");
    record.versions[1].placement.command = "./parse".into();
    case.world.place();
    case.run();
    assert_eq!(case.serving(), [1]);
    assert_eq!(case.why(), "0 of its 0 workers lived after 300 s");
}

#[test]
fn a_version_with_more_errors_goes_back_by_itself() {
    let conduct = Conduct { errors: 20, ..GOOD };
    let mut case = Case::rolling(2, 10, conduct);
    case.run();
    assert_eq!(case.serving(), [1]);
    assert_eq!(case.weights[0], 10);
    assert!(case.why().contains("calls failed"), "{}", case.why());
    assert_eq!(case.least_live, 10);
}

#[test]
fn a_version_with_as_many_errors_as_the_old_one_goes_on() {
    let conduct = Conduct { errors: 20, ..GOOD };
    let mut case = Case::of(2, 10);
    case.conduct[0] = conduct;
    case.apply(conduct, Pace::Steps);
    case.run();
    assert_eq!(case.serving(), [2]);
}

#[test]
fn nothing_is_said_of_errors_of_too_few_calls() {
    let conduct = Conduct {
        errors: 100,
        ..GOOD
    };
    let mut case = Case::of(1, 10);
    case.calls = 0;
    case.apply(conduct, Pace::Steps);
    case.tick();
    case.calls = 1;
    while case.record().rollout.is_some() && case.weights.len() < 2 {
        case.tick();
        case.calls = 0;
    }
    assert_eq!(case.weights, [10, 50]);
}

#[test]
fn a_new_leader_goes_on_where_the_last_one_was() {
    let mut case = Case::rolling(2, 10, GOOD);
    while case.weights.len() < 2 {
        case.tick();
    }
    case.elect();
    case.run();
    assert_eq!(case.weights, [10, 50, 100]);
    assert_eq!(case.least_live, 10);
}

#[test]
fn a_version_applied_during_a_rollout_takes_its_place() {
    let mut case = Case::rolling(2, 10, GOOD);
    while case.weights.is_empty() {
        case.tick();
    }
    case.apply(GOOD, Pace::Steps);
    assert_eq!(case.serving(), [1, 3]);
    case.run();
    assert_eq!(case.serving(), [3]);
    assert_eq!(case.least_live, 10);
}

#[test]
fn a_rollback_by_hand_ends_the_rollout() {
    let mut case = Case::rolling(2, 10, GOOD);
    while case.weights.len() < 2 {
        case.tick();
    }
    case.change(&Change::Rollback {
        program: "p".into(),
        version: None,
        why: "by hand".into(),
    });
    for _ in 0..40 {
        case.tick();
    }
    assert_eq!(case.serving(), [1]);
    assert_eq!((case.live(), case.least_live), (10, 10));
}

#[test]
fn a_program_that_is_scaled_meanwhile_ends_at_its_new_size() {
    let mut case = Case::rolling(2, 4, GOOD);
    while case.weights.is_empty() {
        case.tick();
    }
    let program = "p".into();
    case.change(&Change::Scale {
        program,
        workers: 8,
    });
    case.run();
    for _ in 0..10 {
        case.tick();
    }
    assert_eq!((case.live(), case.least_live), (8, 4));
}

#[test]
fn a_canary_stays_at_its_weight_until_it_is_let_go() {
    let mut case = Case::of(2, 10);
    case.apply(GOOD, Pace::Canary(20));
    for _ in 0..100 {
        case.tick();
    }
    assert_eq!(case.weights, [10, 20]);
    case.change(&Change::Hold {
        program: "p".into(),
        weight: Some(5),
    });
    for _ in 0..100 {
        case.tick();
    }
    assert_eq!(case.weights, [10, 20, 5], "and down at once");
    case.change(&Change::Hold {
        program: "p".into(),
        weight: None,
    });
    case.run();
    assert_eq!(case.serving(), [2]);
}

#[test]
fn a_change_that_did_not_come_to_be_is_proposed_again() {
    let mut case = Case::rolling(1, 1, GOOD);
    let mut asked = 0;
    for _ in 0..40 {
        case.world.wait(TICK);
        let reports = [(("p".into(), 1), live(1, 0)), (("p".into(), 2), live(0, 1))];
        case.world.report(1, reports.into());
        let (hard, soft) = (&case.world.hard, &case.world.soft);
        asked += case.rollouts.look(case.world.now, hard, soft).len();
    }
    assert_eq!(asked, 10, "once a second");
}

fn live(live: u32, standby: u32) -> ProgramReport {
    ProgramReport {
        live,
        standby,
        ..ProgramReport::default()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ticks(u32),
    Elect,
    Apply(Conduct, Pace),
    Back,
    Hold(Option<u32>),
}

fn steps() -> impl Strategy<Value = Step> {
    let conduct = (prop::bool::weighted(0.2), 0_u64..30);
    let conduct = conduct.prop_map(|(crashes, errors)| Conduct { crashes, errors });
    let pace = prop_oneof![3 => Just(Pace::Steps), 1 => (1_u32..100).prop_map(Pace::Canary)];
    prop_oneof![
        6 => (1_u32..40).prop_map(Step::Ticks),
        2 => Just(Step::Elect),
        2 => (conduct, pace).prop_map(|(conduct, pace)| Step::Apply(conduct, pace)),
        1 => Just(Step::Back),
        1 => prop::option::of(1_u32..100).prop_map(Step::Hold),
    ]
}

proptest! {
    #[test]
    fn live_workers_are_never_fewer_than_wanted_by_its_own_doing(
        nodes in 1_u32..4, workers in 1_u32..12, steps in prop::collection::vec(steps(), 1..20)
    ) {
        let mut case = Case::of(nodes, workers);
        for step in steps {
            match step {
                Step::Ticks(ticks) => (0..ticks).for_each(|_| case.tick()),
                Step::Elect => case.elect(),
                Step::Apply(conduct, pace) => case.apply(conduct, pace),
                Step::Back if case.record().rollout.is_some() => {
                    let program = "p".into();
                    let why = "by hand".into();
                    case.change(&Change::Rollback { program, version: None, why });
                }
                Step::Hold(weight) if case.record().rollout.is_some() => {
                    case.change(&Change::Hold { program: "p".into(), weight });
                }
                Step::Back | Step::Hold(_) => {}
            }
        }
        prop_assert!(case.least_live >= workers, "{} of {workers}", case.least_live);
    }
}

#[test]
fn a_shadow_is_left_alone_until_it_is_promoted_whatever_its_errors() {
    let conduct = Conduct {
        errors: 100,
        ..GOOD
    };
    let mut case = Case::of(3, 10);
    case.change(&Change::Raise(2));
    case.apply(conduct, Pace::Shadow(10));
    for _ in 0..200 {
        case.tick();
    }
    assert!(case.weights.is_empty(), "{:?}", case.weights);
    assert_eq!(case.live(), 11, "one for the copies");
    case.conduct[1] = GOOD;
    case.change(&Change::Hold {
        program: "p".into(),
        weight: None,
    });
    case.run();
    assert_eq!(
        case.weights,
        [10, 50, 100],
        "its errors as a shadow are past"
    );
    assert_eq!(case.serving(), [2]);
    assert_eq!(case.least_live, 10);
}

#[test]
fn a_shadow_that_does_not_start_is_taken_back() {
    let conduct = Conduct {
        crashes: true,
        ..GOOD
    };
    let mut case = Case::of(2, 4);
    case.change(&Change::Raise(2));
    case.apply(conduct, Pace::Shadow(10));
    case.run();
    assert_eq!(case.serving(), [1]);
    assert!(case.why().contains("failed before one was ready"));
}
