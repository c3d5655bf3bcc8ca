//! Lists of faults, made from a seed. They know nothing of what carries them out: channels, or a
//! simulated network.

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
    /// A change is proposed to this master.
    Propose(NodeId),
    /// These masters and the others do not reach each other.
    Partition(Vec<NodeId>),
    /// What the first sends to the second is lost.
    Lose(NodeId, NodeId),
    /// All masters reach each other again.
    Heal,
    /// What is sent takes up to this long, each way.
    Delay(Duration),
    /// So many of a hundred questions arrive twice.
    Duplicate(u32),
    /// The master ends without warning. What its disk has not synced is lost.
    Crash(NodeId),
    /// A master that crashed starts again.
    Restart(NodeId),
}

/// Small numbers that look random: xorshift64*, Vigna 2016.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        chance.below(2);
        chance
    }

    /// A number from 0 up to `limit`, exclusive.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    pub fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).expect("an index is small")]
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            let other = self.below(index as u64 + 1);
            list.swap(index, usize::try_from(other).expect("an index is small"));
        }
    }
}

/// A list of faults and proposals among `masters`. A master crashes only while it runs, and starts
/// only after it crashed.
pub fn scenario(chance: &mut Chance, masters: &[NodeId], steps: usize) -> Vec<Step> {
    let mut down: Vec<NodeId> = Vec::new();
    let mut list = Vec::new();
    for _ in 0..steps {
        let event = match chance.below(100) {
            0..50 => Event::Propose(chance.pick(masters)),
            50..58 => {
                let mut side = masters.to_vec();
                chance.shuffle(&mut side);
                let count = chance.below(masters.len() as u64);
                side.truncate(usize::try_from(count).expect("few masters"));
                Event::Partition(side)
            }
            58..64 => Event::Lose(chance.pick(masters), chance.pick(masters)),
            64..74 => Event::Heal,
            74..78 => Event::Delay(chance.millis(40)),
            78..82 => Event::Duplicate(u32::try_from(chance.below(50)).expect("below 50")),
            82..90 => {
                let up: Vec<NodeId> = masters
                    .iter()
                    .copied()
                    .filter(|node| !down.contains(node))
                    .collect();
                if up.is_empty() {
                    continue;
                }
                let node = chance.pick(&up);
                down.push(node);
                Event::Crash(node)
            }
            _ => {
                if down.is_empty() {
                    continue;
                }
                let index = chance.below(down.len() as u64);
                Event::Restart(down.swap_remove(usize::try_from(index).expect("few masters")))
            }
        };
        // Mostly quick, sometimes long enough for an election.
        let after = match chance.below(4) {
            0 => chance.millis(2_500),
            _ => chance.millis(120),
        };
        list.push(Step { after, event });
    }
    list
}

#[test]
fn a_seed_is_a_scenario() {
    let masters = [NodeId(1), NodeId(2), NodeId(3)];
    let list = |seed| scenario(&mut Chance::new(seed), &masters, 50);
    assert_eq!(list(7), list(7));
    assert_ne!(list(7), list(8));
}
