//! What happens to a cluster: a list of faults and changes, made from a seed.

use crate::chance::Chance;
use pool::NodeId;
use std::time::Duration;

/// One thing that happens, some time after the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub after: Duration,
    pub event: Event,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The node ends without warning. Only what a master's disk has synced survives.
    Crash(NodeId),
    /// A node that crashed starts again.
    Restart(NodeId),
    /// These nodes and the others do not reach each other.
    Partition(Vec<NodeId>),
    /// What the first sends to the second is lost.
    Lose(NodeId, NodeId),
    /// What these two send each other is lost for a moment: a hole in their connection.
    Cut(NodeId, NodeId),
    /// What these two send each other arrives only when all is healed.
    Hold(NodeId, NodeId),
    /// All reach each other again, and what was held arrives.
    Heal,
    /// What is sent takes up to this long.
    Delay(Duration),
    /// This node proposes that a program have so many workers.
    Scale(NodeId, bool, u32),
    /// This node proposes another timeout: a change unlike all others.
    Propose(NodeId),
    /// This node proposes that the other be drained, or no longer.
    Drain(NodeId, NodeId, bool),
    /// This node proposes another order of masters; a number says which.
    Reorder(NodeId, u64),
}

/// How long what is sent takes at the most, if nothing is said.
pub const DELAY: Duration = Duration::from_millis(2);

/// Workers of a program at the least and below what.
pub const WORKERS: (u64, u64) = (2, 7);

/// A list for a cluster of `nodes`, that lasts about as long as `lasts`.
pub fn scenario(chance: &mut Chance, nodes: &[NodeId], lasts: Duration) -> Vec<Step> {
    // Some seeds are about crashes, some about the network, most about both.
    let about = chance.pick(&[(40, 30), (10, 60), (45, 10), (25, 40)]);
    let mut down: Vec<NodeId> = Vec::new();
    let mut list = Vec::new();
    let mut elapsed = Duration::ZERO;
    while elapsed < lasts {
        let dice = chance.below(100);
        let event = if dice < about.0 {
            crash_or_restart(chance, nodes, &mut down)
        } else if dice < about.0 + about.1 {
            Some(of_network(chance, nodes))
        } else {
            Some(change(chance, nodes))
        };
        let Some(event) = event else { continue };
        // Mostly quick, sometimes long enough for an election.
        let after = match chance.percent(25) {
            true => chance.millis(300, 2_000),
            false => chance.millis(0, 250),
        };
        elapsed += after;
        list.push(Step { after, event });
    }
    list
}

fn crash_or_restart(
    chance: &mut Chance,
    nodes: &[NodeId],
    down: &mut Vec<NodeId>,
) -> Option<Event> {
    if chance.percent(50) && !down.is_empty() {
        let node = chance.pick(down);
        down.retain(|other| *other != node);
        return Some(Event::Restart(node));
    }
    let up: Vec<NodeId> = nodes
        .iter()
        .copied()
        .filter(|node| !down.contains(node))
        .collect();
    if up.is_empty() {
        return None;
    }
    let node = chance.pick(&up);
    down.push(node);
    Some(Event::Crash(node))
}

fn of_network(chance: &mut Chance, nodes: &[NodeId]) -> Event {
    let mut some = nodes.to_vec();
    chance.shuffle(&mut some);
    let (one, other) = (some[0], some[1]);
    match chance.below(100) {
        0..20 => {
            let count = 1 + chance.below(nodes.len() as u64 - 1);
            some.truncate(usize::try_from(count).expect("few nodes"));
            Event::Partition(some)
        }
        20..35 => Event::Lose(one, other),
        35..50 => Event::Cut(one, other),
        50..62 => Event::Hold(one, other),
        62..75 => Event::Delay(chance.millis(2, 80)),
        _ => Event::Heal,
    }
}

fn change(chance: &mut Chance, nodes: &[NodeId]) -> Event {
    let node = chance.pick(nodes);
    match chance.below(100) {
        0..40 => return Event::Propose(node),
        40..52 => return Event::Drain(node, chance.pick(nodes), chance.percent(50)),
        52..60 => return Event::Reorder(node, chance.next()),
        _ => {}
    }
    let (least, limit) = WORKERS;
    let workers = least + chance.below(limit - least);
    let workers = u32::try_from(workers).expect("few workers");
    Event::Scale(node, chance.percent(50), workers)
}

#[test]
fn a_seed_is_a_scenario() {
    let nodes = [NodeId(1), NodeId(2), NodeId(3)];
    let list = |seed| scenario(&mut Chance::new(seed), &nodes, Duration::from_secs(5));
    assert_eq!(list(7), list(7));
    assert_ne!(list(7), list(8));
}
