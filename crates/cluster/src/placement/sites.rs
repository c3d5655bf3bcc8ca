//! The nodes that may hold workers, while a placement is made.

use super::Site;
use pool::NodeId;
use std::collections::BTreeMap;

/// Processes per core, in units of 2^-32: fractions of up to 65,536 cores keep their exact order,
/// so that nodes of different sizes compare without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Load(pub u64);

impl Load {
    /// The load of so many processes on so many cores.
    pub fn of(processes: u32, cores: u32) -> Self {
        Self((u64::from(processes) << 32) / u64::from(cores))
    }
}

/// The nodes that are up and not draining, by index in the order of their ids.
#[derive(Debug)]
pub struct Sites<'a> {
    /// The node of each index.
    pub ids: Vec<NodeId>,
    /// What is known of each.
    pub facts: Vec<&'a Site<'a>>,
    /// Processes assigned to each.
    used: Vec<u32>,
    /// Bytes that are left on each.
    room: Vec<u64>,
}

impl<'a> Sites<'a> {
    pub fn new(nodes: &'a BTreeMap<NodeId, Site<'a>>) -> Self {
        let usable = || nodes.iter().filter(|(_, site)| site.up && !site.draining);
        let facts: Vec<&Site<'_>> = usable().map(|(_, site)| site).collect();
        Self {
            ids: usable().map(|(id, _)| *id).collect(),
            used: vec![0; facts.len()],
            room: facts.iter().map(|site| limit(site.memory)).collect(),
            facts,
        }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn index_of(&self, node: NodeId) -> Option<usize> {
        self.ids.binary_search(&node).ok()
    }

    /// Cores, at least one.
    pub fn cores(&self, site: usize) -> u32 {
        self.facts[site].cores.max(1)
    }

    /// How full it is.
    pub fn load(&self, site: usize) -> Load {
        Load::of(self.used[site], self.cores(site))
    }

    /// How full it would be with one process more.
    pub fn load_after(&self, site: usize) -> Load {
        Load::of(self.used[site].saturating_add(1), self.cores(site))
    }

    /// Whether a process of so many bytes fits.
    pub fn has_room(&self, site: usize, memory: u64) -> bool {
        self.room[site] >= memory
    }

    /// How many processes of so many bytes fit.
    pub fn fits(&self, site: usize, memory: u64) -> u32 {
        match self.room[site].checked_div(memory) {
            Some(fits) => u32::try_from(fits).unwrap_or(u32::MAX),
            None => u32::MAX,
        }
    }

    /// Takes room for processes; there must be enough.
    pub fn take(&mut self, site: usize, processes: u32, memory: u64) {
        self.used[site] = self.used[site].saturating_add(processes);
        if self.room[site] != u64::MAX {
            self.room[site] -= memory * u64::from(processes);
        }
    }

    /// Gives the room of one process back.
    pub fn give(&mut self, site: usize, memory: u64) {
        self.used[site] -= 1;
        if self.room[site] != u64::MAX {
            self.room[site] += memory;
        }
    }
}

/// Unknown memory is no limit.
fn limit(memory: u64) -> u64 {
    if memory == 0 { u64::MAX } else { memory }
}
