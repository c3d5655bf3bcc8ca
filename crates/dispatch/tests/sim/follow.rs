//! Makes a node do what the cluster says, as the binary does: its dispatcher knows the cluster's
//! programs, its fleet has the workers that it was ordered to have.

use crate::fleet::{Fleet, program};
use cluster::member::Member;
use cluster::soft::{Capacity, Report};
use dispatch::{Notice, Notices};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often there is a new report.
const REPORT: Duration = Duration::from_millis(250);

/// Follows for as long as the node is a member.
pub async fn follow(member: Member, notices: Notices, fleet: Fleet) {
    let (mut views, mut orders) = (member.view(), member.orders());
    let mut told: BTreeSet<Arc<str>> = BTreeSet::new();
    loop {
        let view = views.borrow_and_update().clone();
        let ordered = orders.borrow_and_update().clone();
        let programs: BTreeSet<Arc<str>> = view.hard.programs.keys().cloned().collect();
        for name in programs.difference(&told) {
            notices.send(Notice::Program(program(name)));
        }
        for name in told.difference(&programs) {
            let program = name.clone();
            notices.send(Notice::Removed { program });
        }
        told = programs;
        // Orders may come before what they are about.
        if let Some(orders) = ordered.filter(|orders| orders.revision <= view.hard.revision) {
            fleet.apply(&orders.programs);
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

/// Reports for as long as the node runs. `start` is what is said of it before.
pub async fn report(member: Member, start: Report, fleet: Fleet) {
    loop {
        member.announce(Report {
            capacity: Capacity {
                cores: 4,
                memory: 0,
            },
            can_run: BTreeSet::from(["".into()]),
            programs: fleet.report(),
            ..start.clone()
        });
        tokio::time::sleep(REPORT).await;
    }
}
