//! The loop that shows `election` what this master sees and carries out what it says, and that
//! tells others who leads.

use super::Leadership;
use super::election::{Decision, Election, Follower, Patience, View};
use super::network::Desk;
use super::types::{Raft, Types};
use crate::hard::Hard;
use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, RaftMetrics, ServerState};
use pool::{NodeId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// How often to look, beside whenever openraft has news: well below the steps between masters.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What the loop works with.
pub struct Watcher {
    pub me: NodeId,
    pub raft: Raft,
    pub desk: Arc<Desk>,
    pub patience: Patience,
    pub hard: watch::Receiver<Arc<Hard>>,
    pub published: watch::Sender<Leadership>,
    /// The origin of this master's time.
    pub started: Instant,
}

impl Watcher {
    /// Runs until openraft ends.
    pub async fn run(self) {
        let mut election = Election::new(self.me, self.patience);
        let mut metrics = self.raft.metrics();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let seen = metrics.borrow_and_update().clone();
            if seen.running_state.is_err() {
                break;
            }
            self.look(&mut election, &seen).await;
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() { break },
                _ = ticks.tick() => {}
            }
        }
        // A master whose openraft has ended knows of no leader, and leads nobody.
        self.publish(|known| Leadership {
            term: known.term,
            leader: None,
            i_lead: false,
        });
    }

    fn publish(&self, next: impl FnOnce(&Leadership) -> Leadership) {
        self.published.send_if_modified(|known| {
            let next = next(known);
            let is_new = next != *known;
            *known = next;
            is_new
        });
    }

    fn time(&self, instant: Instant) -> Time {
        Time::default().after(instant.saturating_duration_since(self.started))
    }

    async fn look(&self, election: &mut Election, seen: &RaftMetrics<Types>) {
        let now = Instant::now();
        let heard = self.desk.heard();
        let is_leader = seen.state == ServerState::Leader;
        let voters = voters(seen);
        let known_leader = seen.current_leader.map(NodeId);
        let followers = self.followers(seen);
        let masters = Arc::clone(&self.hard.borrow());
        let view = View {
            masters: &masters.masters,
            voters: &voters,
            i_lead: is_leader,
            leader: known_leader,
            heard: self.time(heard),
            followers: &followers,
        };
        let i_lead = is_leader && self.is_effective(seen, &voters);
        let is_heard = now.saturating_duration_since(heard) < self.patience.down_after;
        let leader = match known_leader {
            Some(node) if node == self.me => i_lead.then_some(node),
            known => known.filter(|_| is_heard),
        };
        self.publish(|_| Leadership {
            term: seen.current_term,
            leader,
            i_lead,
        });
        let done = match election.decide(self.time(now), &view) {
            None => Ok(()),
            Some(Decision::Elect) => {
                tracing::debug!(term = seen.current_term, "no leader is heard; electing");
                // Alone there is nobody whom a pre-vote could spare.
                self.raft.trigger().elect(voters.len() > 1).await
            }
            Some(Decision::HandOver(to)) => {
                tracing::info!(to = to.0, "an earlier master is back; handing over");
                self.raft.trigger().transfer_leader(to.0).await
            }
        };
        if let Err(error) = done {
            tracing::error!(%error, "openraft has ended");
        }
    }

    /// Whether a leader decides: a majority answered of late, and it has applied an entry of its
    /// own term, hence all that leaders before it have agreed on.
    fn is_effective(&self, seen: &RaftMetrics<Types>, voters: &BTreeSet<NodeId>) -> bool {
        let is_alone = voters.len() == 1 && voters.contains(&self.me);
        let is_followed = seen
            .last_quorum_acked
            .is_some_and(|acked| acked.elapsed() < self.patience.down_after);
        let is_current = seen
            .last_applied
            .is_some_and(|applied| **applied.committed_leader_id() == seen.current_term);
        is_current && (is_alone || is_followed)
    }

    fn followers(&self, seen: &RaftMetrics<Types>) -> BTreeMap<NodeId, Follower> {
        let now = Instant::now();
        let caught_up = caught_up(seen);
        let progress = seen.replication.iter().flatten();
        progress
            .map(|(&node, _)| {
                let answers = seen.heartbeat.as_ref();
                let answered = answers.and_then(|answers| *answers.get(&node)?);
                let follower = Follower {
                    caught_up: caught_up.contains(&NodeId(node)),
                    answered: answered.map(|answered| self.time(now - answered.elapsed())),
                };
                (NodeId(node), follower)
            })
            .collect()
    }
}

/// Those who vote, by the latest membership that this master knows.
pub fn voters(seen: &RaftMetrics<Types>) -> BTreeSet<NodeId> {
    seen.membership_config.voter_ids().map(NodeId).collect()
}

/// For the leader `me`: whether a majority of the masters that stay answers when one is revoked.
/// Otherwise they could agree on nothing any more. Lists that hard state refuses are left to it.
pub fn outlives(
    seen: &RaftMetrics<Types>,
    me: NodeId,
    masters: &[NodeId],
    revoked: NodeId,
    patience: Duration,
) -> bool {
    let answers = |node: NodeId| {
        let answered = seen.heartbeat.as_ref().and_then(|all| *all.get(&node.0)?);
        node == me || answered.is_some_and(|at| at.elapsed() < patience)
    };
    let stay = masters.iter().filter(|master| **master != revoked);
    let (count, alive) = (
        stay.clone().count(),
        stay.filter(|node| answers(**node)).count(),
    );
    count < 2 || count == masters.len() || alive > count / 2
}

/// For a leader: those who have all of its log.
pub fn caught_up(seen: &RaftMetrics<Types>) -> BTreeSet<NodeId> {
    let progress = seen.replication.iter().flatten();
    progress
        .filter(|(_, matched)| matched.map(|matched| matched.index) == seen.last_log_index)
        .map(|(&node, _)| NodeId(node))
        .collect()
}
