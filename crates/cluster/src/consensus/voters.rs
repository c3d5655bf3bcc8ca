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
    loop {
        let masters: BTreeSet<NodeId> = hard.borrow_and_update().masters.iter().copied().collect();
        let i_lead = leadership.borrow_and_update().i_lead;
        if i_lead && !masters.is_empty() {
            let voters = voters(&raft.metrics().borrow_watched());
            if let Some(step) = next_step(&masters, &voters) {
                if let Err(problem) = take(&raft, step).await {
                    tracing::warn!(
                        ?step,
                        problem,
                        "the masters' votes could not be changed yet"
                    );
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                continue;
            }
        }
        tokio::select! {
            changed = hard.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

/// One change of those who vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Add(NodeId),
    Remove(NodeId),
}

/// New masters come in before old ones go, so that there are never fewer than need be.
fn next_step(masters: &BTreeSet<NodeId>, voters: &BTreeSet<NodeId>) -> Option<Step> {
    let add = masters.difference(voters).next().copied().map(Step::Add);
    add.or_else(|| voters.difference(masters).next().copied().map(Step::Remove))
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
                let remove = ChangeMembers::RemoveVoters(BTreeSet::from([node.0]));
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

    #[test]
    fn masters_come_before_others_go() {
        let set = |nodes: &[u32]| nodes.iter().copied().map(NodeId).collect();
        let next = |masters, voters| next_step(&set(masters), &set(voters));
        assert_eq!(next(&[1, 2], &[1, 2]), None);
        assert_eq!(next(&[2, 3], &[1, 2]), Some(Step::Add(NodeId(3))));
        assert_eq!(next(&[2, 3], &[1, 2, 3]), Some(Step::Remove(NodeId(1))));
    }
}
