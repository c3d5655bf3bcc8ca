//! What a member knows: hard state, who lives, who leads, and its orders. Pure.
//!
//! Fed by the shell with what masters say; gives the [`View`] that the rest of the node sees. What
//! was learned stays when the masters go.

use super::health::Health;
use super::message::{Leads, Living, Orders, Summary};
use super::patch::{Patch, Patched};
use crate::hard::Hard;
use pool::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The cluster as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The newest hard state that this node has seen, as far as it may: without join tokens, and
    /// without access tokens unless it takes calls in. Revision 0 until a master was heard.
    pub hard: Arc<Hard>,
    /// Who is up. Without masters, who was when the last was heard.
    pub up: Arc<BTreeMap<NodeId, Summary>>,
    /// Who leads, if a master that this node reaches hears a leader.
    pub leader: Option<NodeId>,
    /// The masters that this node reaches, itself included.
    pub masters: BTreeSet<NodeId>,
    /// How programs are doing. Without masters, how they were when the last was heard.
    pub health: Arc<Health>,
}

/// What one master said of the others.
#[derive(Debug, Default)]
struct Heard {
    leads: Leads,
    is_settled: bool,
    up: BTreeMap<NodeId, Summary>,
    health: Arc<Health>,
}

/// All that a member knows.
#[derive(Debug, Default)]
pub struct Knowledge {
    hard: Arc<Hard>,
    /// By master that is reached.
    heard: BTreeMap<NodeId, Heard>,
    up: Arc<BTreeMap<NodeId, Summary>>,
    health: Arc<Health>,
    orders: Option<Orders>,
    /// Whether the view may be another than the last one given.
    is_news: bool,
}

impl Knowledge {
    /// Hard state as far as it is known.
    pub fn hard(&self) -> &Arc<Hard> {
        &self.hard
    }

    /// The orders to follow.
    pub fn orders(&self) -> Option<&Orders> {
        self.orders.as_ref()
    }

    /// Whether to believe what a node says as a master: one that hard state does not know may be
    /// newer than it.
    pub fn may_teach(&self, node: NodeId) -> bool {
        let record = self.hard.nodes.get(&node);
        record.is_none_or(|record| record.roles.master && !record.revoked)
    }

    /// Takes all of hard state, if it is newer. Whether it was.
    pub fn snapshot(&mut self, hard: Arc<Hard>) -> bool {
        let is_newer = hard.revision > self.hard.revision;
        if is_newer {
            self.hard = hard;
            self.is_news = true;
        }
        is_newer
    }

    /// Takes a change of hard state.
    pub fn patch(&mut self, patch: Patch) -> Patched {
        if patch.to <= self.hard.revision {
            return Patched::Known;
        }
        self.is_news = true;
        patch.apply(Arc::make_mut(&mut self.hard))
    }

    /// Takes what a master says of who lives.
    pub fn living(&mut self, master: NodeId, living: Living) {
        self.is_news = true;
        let heard = self.heard.entry(master).or_default();
        heard.is_settled = living.is_settled;
        if let Some(health) = living.health {
            heard.health = Arc::new(health);
        }
        if living.is_full {
            heard.up = living.up;
        } else {
            heard.up.extend(living.up);
            for node in &living.down {
                heard.up.remove(node);
            }
        }
    }

    /// Takes what a master says of who leads.
    pub fn leads(&mut self, master: NodeId, leads: Leads) {
        self.is_news = true;
        self.heard.entry(master).or_default().leads = leads;
    }

    /// A master is reached no more.
    pub fn lost(&mut self, node: NodeId) {
        self.is_news |= self.heard.remove(&node).is_some();
    }

    /// Takes orders, unless they are not newer. Whether it did.
    pub fn order(&mut self, orders: Orders) -> bool {
        let old = self.orders.as_ref().map(|orders| orders.number);
        let is_newer = old.is_none_or(|old| orders.number > old);
        if is_newer {
            self.orders = Some(orders);
        }
        is_newer
    }

    /// Who leads, if a master that is reached hears a leader.
    pub fn leader(&self) -> Option<NodeId> {
        let leads = self.masters().map(|(_, heard)| heard.leads);
        leads.max().and_then(|leads| leads.leader)
    }

    /// The cluster as it is to be seen now; none if it has not changed since the last time.
    pub fn news(&mut self) -> Option<View> {
        if !std::mem::take(&mut self.is_news) {
            return None;
        }
        let leader = self.leader();
        let up = self.up_now(leader);
        if *self.up != up {
            self.up = Arc::new(up);
        }
        if let Some(heard) = self.believed(leader) {
            self.health = Arc::clone(&heard.health);
        }
        Some(View {
            health: Arc::clone(&self.health),
            hard: Arc::clone(&self.hard),
            up: Arc::clone(&self.up),
            leader,
            masters: self.masters().map(|(master, _)| master).collect(),
        })
    }

    /// The masters that are reached, by priority; any that speaks as long as there is no list.
    fn masters(&self) -> impl Iterator<Item = (NodeId, &Heard)> {
        let listed = self.hard.masters.iter();
        let listed = listed.filter_map(|master| self.heard.get_key_value(master));
        let any = self.heard.iter().filter(|_| self.hard.masters.is_empty());
        listed.chain(any).map(|(master, heard)| (*master, heard))
    }

    /// What the leader says, or else the first master, of those that know who is down.
    fn believed(&self, leader: Option<NodeId>) -> Option<&Heard> {
        let settled = || self.masters().filter(|(_, heard)| heard.is_settled);
        let by_leader = settled().find(|(master, _)| Some(*master) == leader);
        let (_, heard) = by_leader.or_else(|| settled().next())?;
        Some(heard)
    }

    /// Who is up by the word of the leader, or else of the first master. Masters that do not know
    /// yet who is down only add to what was known.
    fn up_now(&self, leader: Option<NodeId>) -> BTreeMap<NodeId, Summary> {
        if let Some(heard) = self.believed(leader) {
            return heard.up.clone();
        }
        let mut up = (*self.up).clone();
        for (_, heard) in self.masters() {
            up.extend(heard.up.iter().map(|(node, summary)| (*node, *summary)));
        }
        up
    }
}
