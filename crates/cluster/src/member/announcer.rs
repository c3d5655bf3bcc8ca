//! What a node is to announce next. Pure.

use crate::soft::{Announcement, News, Report};
use pool::NodeId;
use std::collections::BTreeSet;

/// What was said last, and to whom. All masters are told the same.
#[derive(Debug)]
pub struct Announcer {
    incarnation: u64,
    sequence: u64,
    said: Report,
    /// The masters that have a full report.
    told: BTreeSet<NodeId>,
}

impl Announcer {
    /// Of a process that has said nothing yet.
    pub fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            sequence: 0,
            said: Report::default(),
            told: BTreeSet::new(),
        }
    }

    /// The next beacon, for the masters that were told all before it.
    pub fn beacon(&mut self, report: &Report) -> Announcement {
        let news = match self.said.delta_to(report) {
            Some(delta) => {
                self.said = report.clone();
                News::Delta(delta)
            }
            None => News::Nothing,
        };
        self.sequence += 1;
        self.announcement(news)
    }

    /// Whether a master has a full report.
    pub fn has_told(&self, master: NodeId) -> bool {
        self.told.contains(&master)
    }

    /// A full report for a master: all that was said until now.
    pub fn full(&mut self, master: NodeId) -> Announcement {
        self.told.insert(master);
        self.announcement(News::Full(Box::new(self.said.clone())))
    }

    /// A master has to be told all again when it comes back.
    pub fn lost(&mut self, master: NodeId) {
        self.told.remove(&master);
    }

    /// Whether placement may wait for what this report says: it is not left to the next beacon.
    pub fn is_urgent(&self, report: &Report) -> bool {
        self.said.can_run != report.can_run
            || self.said.capacity != report.capacity
            || self.said.roles != report.roles
    }

    fn announcement(&self, news: News) -> Announcement {
        Announcement {
            incarnation: self.incarnation,
            sequence: self.sequence,
            news,
        }
    }
}
