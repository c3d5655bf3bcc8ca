//! The loop by which a leader makes those who vote the same as the list of masters, one at a time:
//! a new master first learns, and gets its vote when it has caught up.

use super::Leadership;
use super::leadership::voters;
use super::types::Raft;
use crate::hard::Hard;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use pool::NodeId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long one step may take; a master that does not catch up in that time is asked again later.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a step that failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs until those it watches are gone.
pub async fn reconcile(
    raft: Raft,
    mut hard: watch::Receiver<Arc<Hard>>,
    mut leadership: watch::Receiver<Leadership>,
) {
    // Masters that could not be brought in; they must not stand in the way of other steps.
    let mut absent = BTreeSet::new();
    loop {
        let masters = masters(&hard.borrow_and_update());
        let i_lead = leadership.borrow_and_update().i_lead;
        let step = next_step(&masters, &absent, &Standing::of(&raft)).filter(|_| i_lead);
        let Some(step) = step else {
            let is_complete = absent.is_empty();
            absent.clear();
            tokio::select! {
                changed = hard.changed() => if changed.is_err() { return },
                changed = leadership.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY_AFTER), if !is_complete => {}
            }
            continue;
        };
        let is_other = |hard: &Arc<Hard>| self::masters(hard) != masters;
        tokio::select! {
            result = take(&raft, step) => if let Err(problem) = result {
                tracing::warn!(?step, problem, "the masters' votes could not be changed yet");
                match step {
                    Step::Add(node) => drop(absent.insert(node)),
                    Step::Remove(_) => tokio::time::sleep(RETRY_AFTER).await,
                }
            },
            // Another list has other steps.
            _ = async { hard.wait_for(is_other).await.is_ok() } => {}
        }
    }
}

fn masters(hard: &Hard) -> BTreeSet<NodeId> {
    hard.masters.iter().copied().collect()
}

/// Who takes part, by openraft.
#[derive(Debug, Default)]
struct Standing {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
}

impl Standing {
    fn of(raft: &Raft) -> Self {
        let metrics = raft.metrics();
        let seen = metrics.borrow_watched();
        let membership = seen.membership_config.membership();
        Self {
            voters: voters(&seen),
            learners: membership.learner_ids().map(NodeId).collect(),
        }
    }
}

/// One change of those who take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Lets a master learn, and vote when it has caught up.
    Add(NodeId),
    /// Takes one out that is no master any more.
    Remove(NodeId),
}

/// New masters come in before old ones go, so that there are never fewer than need be.
fn next_step(
    masters: &BTreeSet<NodeId>,
    absent: &BTreeSet<NodeId>,
    standing: &Standing,
) -> Option<Step> {
    if masters.is_empty() {
        return None;
    }
    let mut new = masters.difference(&standing.voters);
    let add = new.find(|&node| !absent.contains(node));
    let mut present = standing.voters.union(&standing.learners);
    let remove = present.find(|&node| !masters.contains(node));
    let add = add.copied().map(Step::Add);
    add.or_else(|| remove.copied().map(Step::Remove))
}

async fn take(raft: &Raft, step: Step) -> Result<(), String> {
    let steps = async {
        match step {
            Step::Add(node) => {
                // openraft's own waiting takes a master that was never reached for one that has
                // caught up, while the log is short.
                let added = raft.add_learner(node.0, (), false).await?;
                caught_up(raft, node, added.log_id.index).await;
                let add = ChangeMembers::AddVoterIds(BTreeSet::from([node.0]));
                raft.change_membership(add, false).await
            }
            Step::Remove(node) => {
                let node = BTreeSet::from([node.0]);
                let is_voter = Standing::of(raft)
                    .voters
                    .iter()
                    .any(|voter| node.contains(&voter.0));
                let remove = if is_voter {
                    ChangeMembers::RemoveVoters(node)
                } else {
                    ChangeMembers::RemoveNodes(node)
                };
                raft.change_membership(remove, false).await
            }
        }
    };
    match tokio::time::timeout(STEP_TIMEOUT, steps).await {
        Ok(result) => result.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err("it did not answer in time".to_owned()),
    }
}

/// Waits until a learner has the log up to an index.
async fn caught_up(raft: &Raft, node: NodeId, index: u64) {
    let mut metrics = raft.metrics();
    loop {
        let matched = {
            let seen = metrics.borrow_and_update();
            let progress = seen.replication.as_ref();
            progress.and_then(|progress| *progress.get(&node.0)?)
        };
        let is_caught_up = matched.is_some_and(|matched| matched.index >= index);
        if is_caught_up || metrics.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u32]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    fn next(masters: &[u32], absent: &[u32], voters: &[u32], learners: &[u32]) -> Option<Step> {
        let standing = Standing {
            voters: set(voters),
            learners: set(learners),
        };
        next_step(&set(masters), &set(absent), &standing)
    }

    #[test]
    fn masters_come_before_others_go() {
        assert_eq!(next(&[1, 2], &[], &[1, 2], &[]), None);
        assert_eq!(next(&[2, 3], &[], &[1, 2], &[]), Some(Step::Add(NodeId(3))));
        assert_eq!(
            next(&[2, 3], &[], &[1, 2, 3], &[]),
            Some(Step::Remove(NodeId(1)))
        );
        assert_eq!(next(&[], &[], &[1], &[]), None, "no list yet");
    }

    #[test]
    fn a_master_that_is_absent_stops_no_other_step() {
        assert_eq!(
            next(&[2, 3, 4], &[3], &[1, 2], &[3]),
            Some(Step::Add(NodeId(4)))
        );
        assert_eq!(
            next(&[2, 3], &[3], &[1, 2], &[3]),
            Some(Step::Remove(NodeId(1)))
        );
    }

    #[test]
    fn who_was_to_become_a_master_and_is_not_is_forgotten() {
        assert_eq!(next(&[1], &[], &[1], &[2]), Some(Step::Remove(NodeId(2))));
    }
}
