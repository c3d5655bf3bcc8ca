//! Who should lead: the first caught-up master of the list that a majority reaches. Pure.
//!
//! openraft's own elections, whose timeouts are random, are off. The loop in `leadership` shows
//! this module what it sees, many times a second, and carries out what it says. An `Elect` is only
//! an attempt: openraft first asks the others (a pre-vote), who refuse while they hear a leader or
//! have a longer log, so a master that lags or is cut off disturbs nobody.

use pool::{NodeId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How patient masters are.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A leader not heard for this long is taken for dead.
    pub down_after: Duration,
    /// How much longer each master waits than the one before it in the list.
    pub step: Duration,
    /// How long a master must have been reached without a break before it is handed leadership.
    pub settle: Duration,
}

/// What this master sees.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The list of masters.
    pub masters: &'a [NodeId],
    /// Those who vote, by the latest membership this master knows.
    pub voters: &'a BTreeSet<NodeId>,
    /// Whether this master leads.
    pub i_lead: bool,
    /// The leader of whom this master heard last.
    pub leader: Option<NodeId>,
    /// When it heard of that leader; or when it started.
    pub heard: Time,
    /// For a leader: how the others follow.
    pub followers: &'a BTreeMap<NodeId, Follower>,
}

/// How another master follows.
#[derive(Debug, Clone, Copy)]
pub struct Follower {
    /// Whether it has all of the leader's log.
    pub caught_up: bool,
    /// When it answered last.
    pub answered: Option<Time>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try to become the leader.
    Elect,
    /// Give leadership to a master earlier in the list.
    HandOver(NodeId),
}

/// What a master remembers between views.
#[derive(Debug)]
pub struct Election {
    me: NodeId,
    patience: Patience,
    /// When this master tried last to become the leader, or to hand over.
    tried: Option<Time>,
    /// Since when each master earlier in the list has been reached without a break.
    reached_since: BTreeMap<NodeId, Time>,
}

impl Election {
    /// For the master `me`, at its start.
    pub fn new(me: NodeId, patience: Patience) -> Self {
        Self {
            me,
            patience,
            tried: None,
            reached_since: BTreeMap::new(),
        }
    }

    /// What to do now.
    pub fn decide(&mut self, now: Time, view: &View<'_>) -> Option<Decision> {
        let decision = if !view.voters.contains(&self.me) {
            self.reached_since.clear();
            None
        } else if view.i_lead {
            self.heir(now, view).map(Decision::HandOver)
        } else {
            self.reached_since.clear();
            (now >= self.due(view)).then_some(Decision::Elect)
        };
        if decision.is_some() {
            self.tried = Some(now);
        }
        decision
    }

    /// When to try to become the leader.
    fn due(&self, view: &View<'_>) -> Time {
        let Patience {
            down_after, step, ..
        } = self.patience;
        let order = order(view);
        // Alone there is nobody to hear of and nobody to ask.
        let is_alone = order.len() == 1;
        match self.tried {
            // One after the other again, each in its turn.
            Some(tried) if tried >= view.heard => {
                tried.after(step * u32::try_from(order.len()).unwrap_or(u32::MAX))
            }
            _ if is_alone => view.heard,
            _ => {
                let others = order.iter().filter(|&&node| Some(node) != view.leader);
                let before_me = others.take_while(|&&node| node != self.me).count();
                let turn = step * u32::try_from(before_me).unwrap_or(u32::MAX);
                view.heard.after(down_after + turn)
            }
        }
    }

    /// The first master before this one that has been reached for long enough and has all of the
    /// log.
    fn heir(&mut self, now: Time, view: &View<'_>) -> Option<NodeId> {
        let Patience {
            down_after, settle, ..
        } = self.patience;
        let mut reached_since = BTreeMap::new();
        let mut heir = None;
        for node in order(view) {
            if node == self.me {
                break;
            }
            let Some(follower) = view.followers.get(&node) else {
                continue;
            };
            let is_reached = follower
                .answered
                .is_some_and(|answered| now.since(answered) < down_after);
            if !is_reached {
                continue;
            }
            let since = self.reached_since.get(&node).copied().unwrap_or(now);
            reached_since.insert(node, since);
            if heir.is_none() && follower.caught_up && now.since(since) >= settle {
                heir = Some(node);
            }
        }
        self.reached_since = reached_since;
        // A hand-over that came to nothing is not tried again at once.
        let is_patient = |tried| now.since(tried) >= down_after;
        heir.filter(|_| self.tried.is_none_or(is_patient))
    }
}

/// The voters in the order of the list; those that left the list and still vote come last.
fn order(view: &View<'_>) -> Vec<NodeId> {
    let listed = view
        .masters
        .iter()
        .filter(|node| view.voters.contains(node));
    let others = view
        .voters
        .iter()
        .filter(|node| !view.masters.contains(node));
    listed.chain(others).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        down_after: Duration::from_millis(750),
        step: Duration::from_millis(150),
        settle: Duration::from_secs(10),
    };

    fn at(millis: u64) -> Time {
        Time(millis * 1_000)
    }

    /// The list is 3, 1, 2: the order is not that of the ids.
    struct Scene {
        election: Election,
        voters: BTreeSet<NodeId>,
        i_lead: bool,
        leader: Option<NodeId>,
        heard: u64,
        followers: BTreeMap<NodeId, Follower>,
    }

    const LIST: [NodeId; 3] = [NodeId(3), NodeId(1), NodeId(2)];

    impl Scene {
        fn follower(me: u32, leader: Option<u32>) -> Self {
            Self {
                election: Election::new(NodeId(me), PATIENCE),
                voters: LIST.into(),
                i_lead: false,
                leader: leader.map(NodeId),
                heard: 0,
                followers: BTreeMap::new(),
            }
        }

        fn leader(me: u32) -> Self {
            Self {
                i_lead: true,
                ..Self::follower(me, Some(me))
            }
        }

        fn follows(&mut self, node: u32, answered: u64, caught_up: bool) {
            let answered = Some(at(answered));
            let follower = Follower {
                caught_up,
                answered,
            };
            self.followers.insert(NodeId(node), follower);
        }

        fn decide(&mut self, now: u64) -> Option<Decision> {
            let view = View {
                masters: &LIST,
                voters: &self.voters,
                i_lead: self.i_lead,
                leader: self.leader,
                heard: at(self.heard),
                followers: &self.followers,
            };
            self.election.decide(at(now), &view)
        }

        /// The times below `until` at which it decides something.
        fn decisions(&mut self, until: u64) -> Vec<(u64, Decision)> {
            let times = (0..until).step_by(10);
            times
                .filter_map(|now| Some((now, self.decide(now)?)))
                .collect()
        }
    }

    #[test]
    fn masters_wait_in_the_order_of_the_list() {
        for (me, first) in [(3, 750), (1, 900), (2, 1_050)] {
            let decisions = Scene::follower(me, None).decisions(1_100);
            assert_eq!(decisions, [(first, Decision::Elect)], "master {me}");
        }
    }

    #[test]
    fn the_lost_leader_has_no_turn() {
        let decisions = Scene::follower(1, Some(3)).decisions(1_100);
        assert_eq!(decisions, [(750, Decision::Elect)]);
        let decisions = Scene::follower(2, Some(3)).decisions(1_100);
        assert_eq!(decisions, [(900, Decision::Elect)]);
    }

    #[test]
    fn an_attempt_that_fails_is_repeated_when_all_had_their_turn() {
        let times: Vec<u64> = Scene::follower(1, Some(3))
            .decisions(2_000)
            .iter()
            .map(|&(time, _)| time)
            .collect();
        assert_eq!(times, [750, 1_200, 1_650]);
    }

    #[test]
    fn who_hears_a_leader_is_quiet() {
        let mut scene = Scene::follower(1, Some(3));
        for now in (0..5_000).step_by(10) {
            scene.heard = now - now % 700;
            assert_eq!(scene.decide(now), None);
        }
        scene.heard = 5_000;
        assert_eq!(scene.decide(5_740), None);
        assert_eq!(scene.decide(5_750), Some(Decision::Elect));
    }

    #[test]
    fn alone_it_elects_at_once() {
        let mut scene = Scene::follower(3, None);
        scene.voters = [NodeId(3)].into();
        assert_eq!(scene.decide(0), Some(Decision::Elect));
        assert_eq!(scene.decide(10), None, "and not in every view");
    }

    #[test]
    fn who_has_no_vote_never_elects() {
        let mut scene = Scene::follower(3, None);
        scene.voters = [NodeId(1), NodeId(2)].into();
        assert_eq!(scene.decisions(5_000), []);
    }

    #[test]
    fn a_leader_hands_over_to_an_earlier_master_that_stays() {
        let mut scene = Scene::leader(2);
        for now in (0..10_000).step_by(100) {
            scene.follows(1, now, true);
            assert_eq!(scene.decide(now), None);
        }
        scene.follows(1, 10_000, true);
        let hand_over = Some(Decision::HandOver(NodeId(1)));
        assert_eq!(scene.decide(10_000), hand_over);
        scene.follows(1, 10_700, true);
        assert_eq!(scene.decide(10_700), None, "one attempt at a time");
        assert_eq!(scene.decide(10_750), hand_over, "tried again");
    }

    #[test]
    fn of_several_heirs_the_first_of_the_list_is_taken() {
        let mut scene = Scene::leader(2);
        for now in [0, 500, 1_000] {
            scene.follows(1, now, true);
            scene.follows(3, now, true);
            scene.decide(now);
        }
        scene.election.patience.settle = Duration::from_secs(1);
        assert_eq!(scene.decide(1_000), Some(Decision::HandOver(NodeId(3))));
    }

    #[test]
    fn never_to_one_that_lags_or_comes_and_goes() {
        let mut scene = Scene::leader(2);
        for now in (0..30_000).step_by(100) {
            scene.follows(3, now, false);
            let last_word = now - now % 5_000;
            scene.follows(1, last_word, true);
            assert_eq!(scene.decide(now), None, "at {now} ms");
        }
        scene.follows(3, 30_000, true);
        assert_eq!(scene.decide(30_000), Some(Decision::HandOver(NodeId(3))));
    }

    #[test]
    fn never_to_one_later_in_the_list() {
        let mut scene = Scene::leader(3);
        for now in (0..30_000).step_by(100) {
            scene.follows(1, now, true);
            scene.follows(2, now, true);
            assert_eq!(scene.decide(now), None);
        }
    }

    #[test]
    fn who_lost_leadership_forgets_who_followed() {
        let mut scene = Scene::leader(2);
        for now in (0..9_000).step_by(100) {
            scene.follows(1, now, true);
            scene.decide(now);
        }
        scene.i_lead = false;
        scene.heard = 9_000;
        scene.decide(9_000);
        scene.i_lead = true;
        for now in (9_100..19_000).step_by(100) {
            scene.follows(1, now, true);
            assert_eq!(scene.decide(now), None);
        }
    }
}
