//! What a master makes of announcements: who is up, and what each said last.

use super::report::{Announcement, Delta, News, Report, SILENCE};
use pool::{NodeId, Time};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What happens to a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A link to a node came up; a link before it is gone.
    LinkUp {
        /// Which node.
        node: NodeId,
        /// Which start of its process.
        incarnation: u64,
    },
    /// A node said something.
    Announced(NodeId, Announcement),
    /// The link to a node is gone, and why.
    LinkDown(NodeId, Arc<str>),
    /// Time passed. Wanted at least as often as a beacon.
    Tick,
}

/// What a master's shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A node is up; its report is there.
    Up(NodeId),
    /// A node that was up is down.
    Down(NodeId, Why),
    /// A node that is up has other roles, other capacity or other commands: placement may change.
    Changed(NodeId),
    /// Ask a node for a full report: what it said does not fit to what it said before.
    Ask(NodeId),
}

/// Why a node is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nothing was heard of it.
    Silent,
    /// Its link is gone.
    Link(Arc<str>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "no word for {} ms", SILENCE.as_millis()),
            Self::Link(why) => f.write_str(why),
        }
    }
}

/// What is known of a node with a link.
#[derive(Debug, Clone)]
pub struct Node {
    /// Which start of its process the link leads to.
    pub incarnation: u64,
    /// What it says of itself; none until it has reported in full.
    pub report: Option<Report>,
    /// Whether it is up: it has reported in full, and was heard of lately.
    pub is_up: bool,
    /// The number of its last announcement.
    sequence: u64,
    heard: Time,
    /// When it was asked for a full report that has not come yet.
    asked: Option<Time>,
}

/// All nodes with a link, as one master hears them. It forgets a node with its link; what is up or
/// down is a hint that placement acts upon, and nothing that masters have to agree on.
#[derive(Debug, Default)]
pub struct Soft {
    nodes: BTreeMap<NodeId, Node>,
}

impl Soft {
    /// Takes one event and appends what is to be done.
    pub fn handle(&mut self, now: Time, event: Event, outputs: &mut Vec<Output>) {
        match event {
            Event::LinkUp { node, incarnation } => self.link_up(now, node, incarnation, outputs),
            Event::Announced(node, announcement) => {
                self.announced(now, node, announcement, outputs);
            }
            Event::LinkDown(node, why) => self.link_down(node, &why, outputs),
            Event::Tick => self.tick(now, outputs),
        }
    }

    /// All nodes with a link.
    pub fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// The nodes that are up, with their reports.
    pub fn up(&self) -> impl Iterator<Item = (NodeId, &Node, &Report)> {
        let up = self.nodes.iter().filter(|(_, node)| node.is_up);
        up.filter_map(|(id, node)| Some((*id, node, node.report.as_ref()?)))
    }

    fn link_up(&mut self, now: Time, node: NodeId, incarnation: u64, outputs: &mut Vec<Output>) {
        self.link_down(node, "a newer link replaced its link", outputs);
        let known = Node {
            incarnation,
            report: None,
            is_up: false,
            sequence: 0,
            heard: now,
            asked: None,
        };
        self.nodes.insert(node, known);
    }

    fn announced(
        &mut self,
        now: Time,
        id: NodeId,
        announcement: Announcement,
        outputs: &mut Vec<Output>,
    ) {
        // What an earlier process of the node said, or one whose link is gone, is not true any more.
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if node.incarnation != announcement.incarnation {
            return;
        }
        node.heard = now;
        let fits = announcement.sequence == node.sequence.wrapping_add(1);
        let changed = match (announcement.news, &mut node.report) {
            (News::Full(report), known) => {
                let changed = known.as_ref().is_none_or(|old| differs(old, &report));
                *known = Some(*report);
                node.asked = None;
                changed
            }
            (News::Delta(delta), Some(known)) if fits => {
                let changed = concerns_placement(&delta);
                known.apply(delta);
                changed
            }
            (News::Nothing, Some(_)) if fits => false,
            (News::Delta(_) | News::Nothing, _) => {
                if node.asked.is_none_or(|asked| now.since(asked) >= SILENCE) {
                    node.asked = Some(now);
                    outputs.push(Output::Ask(id));
                }
                return;
            }
        };
        node.sequence = announcement.sequence;
        if !node.is_up {
            node.is_up = true;
            outputs.push(Output::Up(id));
        } else if changed {
            outputs.push(Output::Changed(id));
        }
    }

    fn link_down(&mut self, node: NodeId, why: &str, outputs: &mut Vec<Output>) {
        if self.nodes.remove(&node).is_some_and(|node| node.is_up) {
            outputs.push(Output::Down(node, Why::Link(why.into())));
        }
    }

    fn tick(&mut self, now: Time, outputs: &mut Vec<Output>) {
        for (id, node) in &mut self.nodes {
            if node.is_up && now.since(node.heard) >= SILENCE {
                node.is_up = false;
                outputs.push(Output::Down(*id, Why::Silent));
            }
        }
    }
}

fn concerns_placement(delta: &Delta) -> bool {
    delta.capacity.is_some() || delta.roles.is_some() || delta.can_run.is_some()
}

fn differs(old: &Report, new: &Report) -> bool {
    old.capacity != new.capacity || old.roles != new.roles || old.can_run != new.can_run
}
