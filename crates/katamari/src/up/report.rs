//! Says to the masters what this node has, and how what it runs is doing.

use super::shadows::note;
use crate::membership::can_run;
use cluster::hard::Roles;
use cluster::member::Member;
use cluster::placement::Count;
use cluster::soft::{Capacity, Load, ProgramReport, Report};
use dispatch::{Dispatcher, Shadows};
use manager::{Manager, ProgramState, ProgramStatus, WorkerState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often there is a new report.
const EVERY: Duration = Duration::from_millis(250);

/// Reports after which it is looked again which commands there are: files come and go seldom.
const LOOK_AFTER: u32 = 20;

/// Whose reports these are.
pub struct Reporter {
    /// Where they go.
    pub member: Member,
    /// What is reported.
    pub manager: Manager,
    /// What is reported.
    pub dispatcher: Dispatcher,
    /// What is noted.
    pub shadows: Shadows,
    /// What the node is for.
    pub roles: Roles,
}

impl Reporter {
    /// Reports for as long as the node is a member.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut views = self.member.view();
        let capacity = capacity();
        let mut commands = BTreeSet::new();
        let mut count = 0;
        loop {
            let hard = views.borrow_and_update().hard.clone();
            if count % LOOK_AFTER == 0 || views.has_changed().unwrap_or(false) {
                let versions = hard.programs.values().flat_map(|program| &program.versions);
                let named: BTreeSet<Arc<str>> = versions
                    .map(|version| version.placement.command.clone())
                    .collect();
                commands = named.into_iter().filter(|name| can_run(name)).collect();
            }
            count += 1;
            self.member.announce(self.report(capacity, &commands).await);
            self.member.note(note(&self.shadows.comparisons()));
            tokio::select! {
                _ = ticks.tick() => {}
                changed = views.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    count = 0;
                }
            }
        }
    }

    async fn report(&self, capacity: Capacity, commands: &BTreeSet<Arc<str>>) -> Report {
        let mut programs = BTreeMap::new();
        for program in &self.manager.status().await {
            let job = (program.name.clone(), program.version);
            // Those that only end come last, and must not hide one that runs; nor may one whose files
            // are on their way, but what it waits for is worth to know.
            let report = of_program(program);
            let known = programs.entry(job).or_insert_with(|| report.clone());
            if program.state == ProgramState::Fetching && known.problem.is_none() {
                known.problem = report.problem;
            }
        }
        Report {
            roles: self.roles,
            capacity,
            can_run: commands.clone(),
            programs,
            load: self.load().await,
            ..Report::default()
        }
    }

    async fn load(&self) -> Load {
        let Some(status) = self.dispatcher.status().await else {
            return Load::default();
        };
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let waiting = status.pools.iter().map(|pool| pool.waiting);
        let errors = status
            .tallies
            .iter()
            .flat_map(|tally| tally.errors.values());
        let errors: u64 = errors.sum();
        let answered: u64 = status.tallies.iter().map(|tally| tally.answered).sum();
        Load {
            running: count(status.pools.iter().map(|pool| pool.running).sum()),
            waiting: count(
                waiting
                    .map(|queue| queue.high + queue.normal + queue.low)
                    .sum(),
            ),
            errors,
            calls: answered + errors,
        }
    }
}

fn of_program(program: &ProgramStatus) -> ProgramReport {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let in_state = |state| {
        let workers = program.workers.iter();
        count(workers.filter(|worker| worker.state == state).count())
    };
    let is_failing = program.state == ProgramState::CrashLooping;
    ProgramReport {
        wanted: Count {
            workers: count(program.workers_wanted),
            spare: count(program.spare_wanted),
        },
        live: count(program.workers_live),
        standby: in_state(WorkerState::Standby),
        starting: in_state(WorkerState::Starting),
        failing: u32::from(is_failing),
        problem: program.problem.as_deref().map(Into::into),
        failures: program.failures,
        calls: program.calls,
        errors: program.errors,
    }
}

/// What there is for workers.
fn capacity() -> Capacity {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = rustix::system::sysinfo();
    Capacity {
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        memory: memory.totalram.saturating_mul(u64::from(memory.mem_unit)),
    }
}
