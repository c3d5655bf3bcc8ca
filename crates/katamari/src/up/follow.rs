//! Makes this node do what the cluster says: its dispatcher knows the cluster's programs, its manager
//! runs what it was ordered to, its faceplates let those in who may come.

use super::tokens::Tokens;
use crate::membership::{State, decode, masters_of};
use cluster::hard::{AccessToken, Hard, ProgramRecord};
use cluster::member::{Member, Orders, View};
use dispatch::{Notice, Notices};
use faceplate::advice;
use manager::{Manager, Program};
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// Where what the cluster says goes.
pub struct Follower {
    /// This node.
    pub me: NodeId,
    /// The node's own part in the cluster.
    pub member: Member,
    /// Who runs workers here.
    pub manager: Manager,
    /// The dispatcher.
    pub notices: Notices,
    /// Who may call.
    pub tokens: Arc<Tokens>,
    /// Where the masters' addresses are kept; nowhere, on a machine that is alone.
    pub state: Option<State>,
    /// The revision of the orders that are followed.
    pub followed: watch::Sender<u64>,
}

/// What was passed on already.
#[derive(Default)]
struct Told {
    programs: BTreeMap<Arc<str>, pool::Program>,
    turn: Option<(u32, u32)>,
    masters: BTreeMap<NodeId, String>,
    tokens: BTreeMap<Arc<str>, AccessToken>,
    is_revoked: bool,
}

impl Follower {
    /// Follows for as long as the node is a member.
    pub async fn run(self) {
        let (mut views, mut orders) = (self.member.view(), self.member.orders());
        let mut told = Told::default();
        loop {
            let view = views.borrow_and_update().clone();
            let ordered = orders.borrow_and_update().clone();
            self.tell_dispatcher(&view, &mut told);
            self.tell_turn(&view.hard, &mut told);
            self.tell_doors(&view.hard, &mut told);
            self.keep_masters(&view.hard, &mut told);
            self.notice_end(&view.hard, &mut told);
            // Orders may come before what they are about.
            if let Some(orders) = ordered.filter(|orders| orders.revision <= view.hard.revision) {
                self.manager.apply(programs_of(&view.hard, &orders));
                self.followed.send_replace(orders.revision);
            }
            let changed = tokio::select! {
                changed = views.changed() => changed,
                changed = orders.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    fn tell_dispatcher(&self, view: &View, told: &mut Told) {
        let running = view.hard.programs.iter();
        let programs: BTreeMap<Arc<str>, pool::Program> = running
            .flat_map(|(_, record)| versions_that_run(record))
            .map(|program| (program.name.clone(), program.for_pool()))
            .collect();
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

/// The versions of a program that run, each as the program that managers and dispatchers know. Of
/// two, the newer one has its number in its name: calls are divided between them by weight.
fn versions_that_run(record: &ProgramRecord) -> impl Iterator<Item = Program> + '_ {
    let is_only = record.shares.len() == 1;
    let newest = record.newest_running();
    record.shares.iter().filter_map(move |share| {
        let spec = &record.version(share.version)?.spec;
        let mut program = match decode(spec) {
            Ok(program) => program,
            Err(error) => {
                tracing::error!("a program cannot be run: {error:#}");
                return None;
            }
        };
        program.version = share.version;
        if !is_only {
            program.weight *= share.weight;
            if share.version == newest {
                program.name = format!("{}@{}", program.name, share.version).into();
            }
        }
        Some(program)
    })
}

/// What the manager is to run.
fn programs_of(hard: &Hard, orders: &Orders) -> Vec<Program> {
    let mut programs = Vec::new();
    for order in &orders.programs {
        let record = hard.programs.get(&order.program);
        let mut versions = record.into_iter().flat_map(versions_that_run);
        if let Some(mut program) = versions.find(|program| program.version == order.version) {
            program.workers = order.workers as usize;
            program.spare = order.spare as usize;
            programs.push(program);
        }
    }
    programs
}
