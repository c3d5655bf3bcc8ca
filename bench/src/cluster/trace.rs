//! What the workers have on record: which call of `once` began and ended on which node. It tells
//! whether a call that must not be made twice was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The records of all nodes.
#[derive(Default)]
pub struct Trace {
    /// By the inode of the node's namespace.
    nodes: BTreeMap<u64, Record>,
}

/// The record of one node.
#[derive(Default)]
struct Record {
    begun: Vec<u64>,
    ended: BTreeSet<u64>,
}

impl Trace {
    /// Reads what there is.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut trace = Self::default();
        for entry in fs::read_dir(folder).context("no folder of records")? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().parse();
            let inode: u64 = name.context("expected a file named by an inode")?;
            let text = fs::read_to_string(entry.path()).context("cannot read a record")?;
            trace.nodes.insert(inode, Record::of(&text));
        }
        Ok(trace)
    }

    /// Calls that began more than once, wherever.
    pub fn twice(&self) -> Vec<u64> {
        let mut seen = BTreeSet::new();
        let begun = self.nodes.values().flat_map(|record| &record.begun);
        begun
            .copied()
            .filter(|&number| !seen.insert(number))
            .collect()
    }

    /// Whether a call began on a node other than these.
    pub fn began_elsewhere(&self, inodes: &[u64], number: u64) -> bool {
        let others = self
            .nodes
            .iter()
            .filter(|(inode, _)| !inodes.contains(inode));
        let mut others = others.map(|(_, record)| record);
        others.any(|record| record.begun.contains(&number))
    }

    /// Calls that began on these nodes and did not end.
    pub fn unfinished(&self, inodes: &[u64]) -> usize {
        let records = inodes.iter().filter_map(|inode| self.nodes.get(inode));
        let begun = records.flat_map(|record| {
            let ended = &record.ended;
            record.begun.iter().filter(|number| !ended.contains(number))
        });
        begun.count()
    }
}

impl Record {
    fn of(text: &str) -> Self {
        let mut record = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("begin", number)) => record.begun.extend(number.parse::<u64>()),
                Some(("end", number)) => record.ended.extend(number.parse::<u64>()),
                _ => {}
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_ran_twice_is_found() {
        let trace = Trace {
            nodes: BTreeMap::from([
                (
                    1,
                    Record::of("begin 00000007\nend 00000007\nbegin 00000008\n"),
                ),
                (2, Record::of("begin 00000007\n")),
            ]),
        };
        assert_eq!(trace.twice(), [7]);
        assert_eq!(trace.unfinished(&[1]), 1);
        assert!(trace.began_elsewhere(&[2], 8));
        assert!(!trace.began_elsewhere(&[1], 8));
    }
}
