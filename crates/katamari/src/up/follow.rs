//! Makes this node do what the cluster says: its dispatcher knows the cluster's programs, its manager
//! runs what it was ordered to, its faceplates let those in who may come.

use super::running::{Running, wants};
use super::shadows;
use super::tokens::Tokens;
use crate::membership::{Decoded, Itself, State, decode, masters_of};
use cluster::files::{Files, Wants};
use cluster::hard::{AccessToken, Hard, ProgramRecord};
use cluster::member::{Health, Member, Order, Orders, View};
use cluster::placement::jobs_of;
use dispatch::{Notice, Notices, Shadows};
use faceplate::advice;
use manager::Manager;
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// What the weights of a program's versions are parts of.
const WHOLE: u32 = 1_000;

/// Where what the cluster says goes.
pub struct Follower {
    /// This node.
    pub me: NodeId,
    /// What its configuration says of it; nothing that matters, on a machine that is alone.
    pub itself: Option<Itself>,
    /// The node's own part in the cluster.
    pub member: Member,
    /// Who runs workers here.
    pub manager: Manager,
    /// The dispatcher.
    pub notices: Notices,
    /// Who makes copies of calls.
    pub shadows: Shadows,
    /// Who may call.
    pub tokens: Arc<Tokens>,
    /// Where the masters' addresses are kept; nowhere, on a machine that is alone.
    pub state: Option<State>,
    /// The revision of the orders that are followed.
    pub followed: watch::Sender<u64>,
    /// Whether the dispatcher knows the cluster's programs.
    pub knows: watch::Sender<bool>,
    /// Files of programs; none on a machine that is alone, which has them in place.
    pub files: Option<Files>,
}

/// What was passed on already.
#[derive(Default)]
struct Told {
    programs: BTreeMap<Arc<str>, pool::Program>,
    turn: Option<(u32, u32)>,
    masters: BTreeMap<NodeId, String>,
    tokens: BTreeMap<Arc<str>, AccessToken>,
    is_revoked: bool,
    /// Which files were wanted.
    wants: Wants,
    /// The programs that run, and their files.
    running: Running,
}

impl Follower {
    /// Follows for as long as the node is a member.
    pub async fn run(self) {
        let (mut views, mut orders) = (self.member.view(), self.member.orders());
        let unpacked = self.files.as_ref().map(Files::unpacked);
        let (_in_place, never) = watch::channel(Arc::default());
        let mut unpacked = unpacked.unwrap_or(never);
        let mut told = Told::default();
        loop {
            let view = views.borrow_and_update().clone();
            let ordered = orders.borrow_and_update().clone();
            self.tell_dispatcher(&view, &mut told);
            self.shadows.set(shadows::targets(&view.hard));
            self.knows.send_if_modified(|knows| {
                let was_known = std::mem::replace(knows, view.hard.is_founded());
                *knows != was_known
            });
            self.tell_turn(&view.hard, &mut told);
            self.tell_doors(&view.hard, &mut told);
            if let Some(itself) = &self.itself {
                itself.tell(&view.hard, &self.member);
            }
            self.keep_masters(&view.hard, &mut told);
            self.notice_end(&view.hard, &mut told);
            // Orders may come before what they are about.
            if let Some(orders) = ordered.filter(|orders| orders.revision <= view.hard.revision) {
                let ordered = ordered_programs(&view.hard, &orders);
                self.want_files(&view.hard, &ordered, &mut told).await;
                let here = unpacked.borrow_and_update().clone();
                let fetching = told.running.follow(ordered, &here);
                self.manager.apply(told.running.programs());
                self.manager.show_fetching(fetching);
                self.followed.send_replace(orders.revision);
            } else {
                self.want_files(&view.hard, &[], &mut told).await;
            }
            let changed = tokio::select! {
                changed = views.changed() => changed,
                changed = orders.changed() => changed,
                changed = unpacked.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Sees to it that the files come here that this node needs.
    async fn want_files(&self, hard: &Hard, ordered: &[Decoded], told: &mut Told) {
        let Some(files) = &self.files else { return };
        let wants = wants(self.me, hard, ordered, &told.running);
        if wants != told.wants {
            told.wants = wants.clone();
            files.want(wants).await;
        }
    }

    fn tell_dispatcher(&self, view: &View, told: &mut Told) {
        let programs = callable(&view.hard, &view.health);
        for (name, program) in &programs {
            if told.programs.get(name) != Some(program) {
                self.notices.send(Notice::Program(program.clone()));
            }
        }
        let known: BTreeSet<_> = told.programs.keys().cloned().collect();
        for program in known
            .into_iter()
            .filter(|name| !programs.contains_key(name))
        {
            self.notices.send(Notice::Removed { program });
        }
        told.programs = programs;
    }

    /// Which of those that dispatch calls this one is.
    fn tell_turn(&self, hard: &Hard, told: &mut Told) {
        let dispatchers = hard.members().filter(|(_, record)| record.roles.faceplate);
        let dispatchers: Vec<NodeId> = dispatchers.map(|(node, _)| node).collect();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let rank = dispatchers.iter().position(|node| *node == self.me);
        let (rank, of) = (count(rank.unwrap_or(0)), count(dispatchers.len()));
        if told.turn.replace((rank, of)) != Some((rank, of)) {
            self.notices.send(Notice::Turn { rank, of });
        }
    }

    fn tell_doors(&self, hard: &Hard, told: &mut Told) {
        if hard.access_tokens != told.tokens {
            told.tokens.clone_from(&hard.access_tokens);
            self.tokens.set_cluster(&told.tokens);
        }
    }

    /// Says it once if the cluster does not want this node any more.
    fn notice_end(&self, hard: &Hard, told: &mut Told) {
        let mine = hard.nodes.get(&self.me);
        if mine.is_some_and(|record| record.revoked) && !told.is_revoked {
            told.is_revoked = true;
            tracing::error!(
                "this node was revoked, and no other talks to it any more: stop it; if it is to \
                 come back, remove its state folder and join again"
            );
        }
    }

    /// So that this node finds the cluster again after a restart.
    fn keep_masters(&self, hard: &Hard, told: &mut Told) {
        let masters = masters_of(hard);
        let Some(state) = &self.state else { return };
        if masters.is_empty() || masters == told.masters {
            return;
        }
        match state.save_masters(&masters) {
            Ok(()) => {
                if let Some(advice) = advice(masters.len()) {
                    tracing::warn!("{advice}");
                }
                told.masters = masters;
            }
            Err(error) => tracing::warn!("where the masters are was not kept: {error:#}"),
        }
    }
}

/// A program whose calls are divided among versions.
struct Divided<'a> {
    record: &'a ProgramRecord,
    /// Workers that each version is to have.
    jobs: BTreeMap<u32, u32>,
    /// Live ones; empty while only one version has any.
    live: BTreeMap<u32, u32>,
}

/// The programs that take calls, by the names that dispatchers know them by: no version that warms
/// up, and none that fails wherever it runs.
fn callable(hard: &Hard, health: &Health) -> BTreeMap<Arc<str>, pool::Program> {
    // Then all weights are greater, so that they stay what they are beside each other.
    let is_divided =
        hard.programs.values().any(|record| record.shares.len() > 1) || !health.live.is_empty();
    let jobs = jobs_of(hard);
    let mut programs = BTreeMap::new();
    for (name, record) in &hard.programs {
        let range = (name.clone(), 0)..=(name.clone(), u32::MAX);
        let placed = jobs.range(range.clone());
        let live = health.live.range(range);
        let divided = Divided {
            record,
            jobs: placed.map(|(job, wants)| (job.1, wants.workers)).collect(),
            live: live.map(|(job, live)| (job.1, *live)).collect(),
        };
        for version in record.versions.iter().map(|version| version.number) {
            let is_failing = health.failing.contains(&(name.clone(), version));
            let is_wanted = divided
                .jobs
                .get(&version)
                .is_some_and(|workers| *workers > 0);
            let lives = divided.live.get(&version).is_some_and(|live| *live > 0);
            if is_failing || !(is_wanted || lives) {
                continue;
            }
            let Some(decoded) = read(hard, name, version) else {
                continue;
            };
            let mut program = decoded.program.for_pool();
            if is_divided {
                program.weight = program.weight.saturating_mul(share_of(&divided, version));
            }
            programs.insert(program.name.clone(), program);
        }
    }
    programs
}

/// What a version's weight is multiplied by: its share, as far as the workers for it live. While
/// workers move from one version to another calls go where they are.
fn share_of(program: &Divided<'_>, version: u32) -> u32 {
    let Divided { record, jobs, live } = program;
    let all: u32 = record.shares.iter().map(|share| share.weight).sum();
    let share = record.shares.iter().find(|share| share.version == version);
    let share = share.map_or(0, |share| share.weight);
    let placed = |version: u32| jobs.get(&version).copied().unwrap_or(0);
    let (part, of) = if live.is_empty() {
        (u64::from(share), u64::from(all))
    } else {
        let live = u64::from(live.get(&version).copied().unwrap_or(0));
        match placed(version) {
            // It has no share any more, or none yet: worth as much as as many workers of the rest.
            0 => (live, jobs.values().map(|workers| u64::from(*workers)).sum()),
            placed => (u64::from(share) * live, u64::from(all) * u64::from(placed)),
        }
    };
    let part = (u64::from(WHOLE) * part).div_ceil(of.max(1));
    u32::try_from(part).unwrap_or(u32::MAX)
}

/// A version of a program, without workers.
pub fn read(hard: &Hard, name: &str, number: u32) -> Option<Decoded> {
    let version = hard.programs.get(name)?.version(number)?;
    match decode(&version.spec) {
        Ok(mut decoded) => {
            decoded.program.version = number;
            decoded.program.lane = version.lane;
            if hard.shadow_percent(name, number).is_some() {
                decoded.program = decoded.program.as_shadow();
            }
            Some(decoded)
        }
        Err(error) => {
            tracing::error!("a program cannot be run: {error:#}");
            None
        }
    }
}

/// What the manager is to run: of versions in one lane the one that is to have calls, and of such the
/// newest. It takes over from the others, which the leader orders as well until it lives: after a
/// roll-back that is the older one.
fn ordered_programs(hard: &Hard, orders: &Orders) -> Vec<Decoded> {
    let has_share = |order: &&Order| {
        let record = hard.programs.get(&order.program);
        let mut shares = record.into_iter().flat_map(|record| &record.shares);
        shares.any(|share| share.version == order.version)
    };
    let mut ordered: Vec<&Order> = orders.programs.iter().collect();
    ordered.sort_by_key(|order| (has_share(order), order.version));
    let mut programs: BTreeMap<Arc<str>, Decoded> = BTreeMap::new();
    for order in ordered {
        if let Some(mut decoded) = read(hard, &order.program, order.version) {
            decoded.program.workers = order.workers as usize;
            decoded.program.spare = order.spare as usize;
            programs.insert(decoded.program.pool_name(), decoded);
        }
    }
    programs.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::membership::difference;
    use cluster::hard::{Change, Pace, Shadow, Share};
    use cluster::soft::OrderNumber;

    /// A program of four workers in two versions, and their shares.
    fn hard(shares: &[(u32, u32)]) -> Hard {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("katamari.toml");
        let mut hard = Hard {
            revision: 1,
            ..Hard::default()
        };
        for timeout in ["1s", "2s"] {
            let program =
                format!("[program.p]\ncommand = [\"sh\"]\nworkers = 4\ntimeout = {timeout:?}");
            std::fs::write(&file, program).expect("the file");
            let config = Config::load(&file).expect("a good file");
            let differences = difference::between(&hard, &config.programs);
            let change = difference::change(&differences, hard.revision, Pace::Steps);
            hard.apply(&change).expect("it makes sense");
        }
        let record = hard.programs.get_mut("p").expect("it was applied");
        let shares = shares.iter();
        record.shares = shares
            .map(|&(version, weight)| Share { version, weight })
            .collect();
        hard
    }

    fn weights(shares: &[(u32, u32)], live: &[(u32, u32)]) -> Vec<(String, u32)> {
        let live = live.iter();
        let live = live.map(|&(version, live)| (("p".into(), version), live));
        let health = Health {
            live: live.collect(),
            ..Health::default()
        };
        let programs = callable(&hard(shares), &health).into_values();
        programs
            .map(|program| (program.name.to_string(), program.weight))
            .collect()
    }

    fn both(old: u32, new: u32) -> Vec<(String, u32)> {
        vec![("p".to_owned(), old), ("p@1".to_owned(), new)]
    }

    #[test]
    fn calls_are_divided_by_shares_as_far_as_workers_live() {
        assert_eq!(weights(&[(1, 1)], &[]), both(1, 0)[..1]);
        assert_eq!(
            weights(&[(1, 90), (2, 10)], &[(1, 4), (2, 1)]),
            both(900, 100)
        );
        let early = weights(&[(1, 50), (2, 50)], &[(1, 4), (2, 1)]);
        assert_eq!(early, both(1_000, 250), "four and one, not two and two");
        let late = weights(&[(2, 1)], &[(1, 2), (2, 2)]);
        assert_eq!(late, both(500, 500), "until the old ones have gone");
    }

    #[test]
    fn a_shadow_is_set_apart_and_changes_no_share_until_it_is_promoted() {
        let mut hard = hard(&[(1, 100), (2, 0)]);
        let shadow = Shadow {
            version: 2,
            percent: 30,
        };
        hard.shadows.insert("p".into(), shadow);
        let health = Health {
            live: [(("p".into(), 1), 4), (("p".into(), 2), 2)].into(),
            ..Health::default()
        };
        let programs = callable(&hard, &health);
        assert_eq!(programs["p"].weight, 1_000);
        assert!(pool::is_apart("p@1~shadow"));
        let names: Vec<_> = programs.keys().map(|name| &**name).collect();
        assert_eq!(names, ["p", "p@1~shadow"]);
        let target = &shadows::targets(&hard)[0];
        assert_eq!([&*target.old, &target.new], names[..]);
        hard.shadows.clear();
        assert!(shadows::targets(&hard).is_empty());
        let program = read(&hard, "p", 2).expect("it is kept").program;
        assert_eq!(&*program.pool_name(), "p@1");
    }

    #[test]
    fn the_version_that_is_to_have_calls_takes_over_in_its_lane() {
        let mut hard = hard(&[(2, 1)]);
        let order = |version| Order {
            program: "p".into(),
            version,
            workers: 2,
            spare: 0,
        };
        let orders = Orders {
            number: OrderNumber::default(),
            revision: hard.revision,
            programs: vec![order(1), order(2)],
        };
        let runs = |hard: &Hard| {
            let ordered = ordered_programs(hard, &orders).into_iter();
            let ordered = ordered.map(|decoded| decoded.program);
            let ordered = ordered.map(|program| (program.pool_name().to_string(), program.version));
            ordered.collect::<Vec<_>>()
        };
        let beside = [("p".to_owned(), 1), ("p@1".to_owned(), 2)];
        assert_eq!(runs(&hard), beside, "each in its own lane");
        let back = Change::Rollback {
            program: "p".into(),
            version: None,
            why: "it was bad".into(),
        };
        hard.apply(&back).expect("there is one before");
        assert_eq!(
            runs(&hard),
            [("p@1".to_owned(), 1)],
            "in the place of the newer one"
        );
    }

    #[test]
    fn who_warms_up_has_gone_or_fails_takes_no_calls() {
        assert_eq!(
            weights(&[(1, 100), (2, 0)], &[(1, 4), (2, 0)]),
            both(1_000, 0)[..1]
        );
        assert_eq!(weights(&[(2, 1)], &[(1, 0), (2, 4)]), both(0, 1_000)[1..]);
        let health = Health {
            failing: [("p".into(), 1)].into(),
            ..Health::default()
        };
        assert!(callable(&hard(&[(1, 1)]), &health).is_empty());
    }
}
