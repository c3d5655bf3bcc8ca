//! The first of many sites by group and by a key, while groups and keys change one site at a time.
//!
//! Two levels of heaps: groups by their total and then by their first site, and the sites of each
//! group by their key. A change of a site pushes its new key; old keys are recognized and dropped
//! when they come up. So a change costs a logarithm, and not a search.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Orders sites; compared as a whole.
pub type Key = (u64, u64);

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The least total and key.
    Lowest,
    /// The greatest total and key.
    Highest,
}

/// A min-heap.
type Heap<T> = BinaryHeap<Reverse<T>>;

/// The sites that take part, ranked.
#[derive(Debug)]
pub struct Ranking {
    end: End,
    groups: Vec<Group>,
    /// The key that counts for each site; none if it does not take part.
    keys: Vec<Option<Key>>,
    order: Heap<(u64, Key, usize)>,
}

#[derive(Debug, Default)]
struct Group {
    total: u64,
    sites: Heap<(Key, usize)>,
}

impl Ranking {
    /// Ranks sites: each with its group, and its key if it takes part. `totals` are those of the
    /// groups.
    pub fn new(
        end: End,
        totals: &[u32],
        sites: impl Iterator<Item = (usize, Option<Key>)>,
    ) -> Self {
        let mut members: Vec<Vec<Reverse<(Key, usize)>>> = vec![Vec::new(); totals.len()];
        let mut keys = Vec::new();
        for (site, (group, key)) in sites.enumerate() {
            let key = key.map(|key| turn_key(end, key));
            members[group].extend(key.map(|key| Reverse((key, site))));
            keys.push(key);
        }
        let groups = members.into_iter().zip(totals).map(|(sites, total)| Group {
            total: turn(end, u64::from(*total)),
            sites: BinaryHeap::from(sites),
        });
        let mut ranking = Self {
            end,
            groups: groups.collect(),
            keys,
            order: BinaryHeap::new(),
        };
        (0..totals.len()).for_each(|group| ranking.enter(group));
        ranking
    }

    /// The first site of the first group that has one.
    pub fn first(&mut self) -> Option<usize> {
        while let Some(Reverse((total, key, group))) = self.order.peek().copied() {
            let first = self.first_of(group);
            let first_key = first.and_then(|site| self.keys[site]);
            if self.groups[group].total == total && first_key == Some(key) {
                return first;
            }
            // Whatever made this entry old has entered a new one.
            self.order.pop();
        }
        None
    }

    /// The first site of one group.
    pub fn first_in(&mut self, group: usize) -> Option<usize> {
        self.first_of(group)
    }

    /// A site has another key, or takes no part any more; its group has another total.
    pub fn update(&mut self, site: usize, group: usize, total: u32, key: Option<Key>) {
        self.groups[group].total = turn(self.end, u64::from(total));
        let key = key.map(|key| turn_key(self.end, key));
        if self.keys[site] != key {
            self.keys[site] = key;
            if let Some(key) = key {
                self.groups[group].sites.push(Reverse((key, site)));
            }
        }
        self.enter(group);
    }

    fn first_of(&mut self, group: usize) -> Option<usize> {
        let sites = &mut self.groups[group].sites;
        while let Some(Reverse((key, site))) = sites.peek() {
            if self.keys[*site] == Some(*key) {
                return Some(*site);
            }
            sites.pop();
        }
        None
    }

    /// Ranks a group by its total and its first site.
    fn enter(&mut self, group: usize) {
        let first = self.first_of(group);
        if let Some(key) = first.and_then(|site| self.keys[site]) {
            let total = self.groups[group].total;
            self.order.push(Reverse((total, key, group)));
        }
    }
}

/// For the highest first, all numbers count down.
fn turn(end: End, number: u64) -> u64 {
    match end {
        End::Lowest => number,
        End::Highest => u64::MAX - number,
    }
}

fn turn_key(end: End, key: Key) -> Key {
    (turn(end, key.0), turn(end, key.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_group_comes_before_the_lowest_site() {
        let sites = [(0, Some((0, 0))), (1, Some((5, 0))), (1, Some((4, 0)))];
        let mut ranking = Ranking::new(End::Lowest, &[3, 2], sites.into_iter());
        assert_eq!(ranking.first(), Some(2));
        assert_eq!(ranking.first_in(0), Some(0));
        ranking.update(2, 1, 3, Some((6, 0)));
        assert_eq!(ranking.first(), Some(0));
        ranking.update(0, 0, 4, None);
        assert_eq!(ranking.first(), Some(1));
    }

    #[test]
    fn the_highest_is_the_other_end() {
        let sites = [(0, Some((1, 0))), (0, Some((1, 7))), (0, None)];
        let mut ranking = Ranking::new(End::Highest, &[9], sites.into_iter());
        assert_eq!(ranking.first(), Some(1));
        ranking.update(1, 0, 8, Some((0, 0)));
        assert_eq!(ranking.first(), Some(0));
        ranking.update(0, 0, 7, None);
        ranking.update(1, 0, 7, None);
        assert_eq!(ranking.first(), None);
    }
}
