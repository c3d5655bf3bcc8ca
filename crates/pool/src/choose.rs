//! Which of several pools that match equally well: weighted rendezvous hashing.
//!
//! Each pool draws a number from the hash of the key and its own identity, stretched by its weight;
//! the best draw wins (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
//! IEEE/ACM ToN 1998; weights by the logarithm as in Schindelhauer and Schomaker, SPAA 2005). A
//! key stays with its pool for as long as that pool is there, and a change of one weight moves no
//! key between two others. Calls without a key draw with their seed, which spreads them by weight.

use std::hash::{Hash, Hasher};

/// FNV-1a: not seeded, unlike the standard library's hashers, so that all nodes send a key the same
/// way. Lengths are hashed as the machine holds them: that takes nodes of one word size and byte
/// order.
#[derive(Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        scramble(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The hash of a sticky key, or of a pool's identity, the same on all nodes of one kind of machine.
pub fn stable_hash(value: &impl Hash) -> u64 {
    let mut hasher = Fnv::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every input bit moves every
/// output bit.
fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The draw of one pool for one key; the smallest wins. Infinite for weight 0.
pub(crate) fn draw(key: u64, pool: u64, weight: u32) -> f64 {
    // 53 bits, the precision of a double, and never zero.
    let uniform =
        ((scramble(key ^ pool.rotate_left(32)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    if weight == 0 {
        f64::INFINITY
    } else {
        -uniform.ln() / f64::from(weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(key: u64, pools: &[(u64, u32)]) -> u64 {
        let draw = |&&(pool, weight): &&(u64, u32)| draw(key, pool, weight);
        pools
            .iter()
            .min_by(|a, b| draw(a).total_cmp(&draw(b)))
            .unwrap()
            .0
    }

    #[test]
    fn shares_follow_the_weights() {
        let pools = [
            (stable_hash(&"a"), 9),
            (stable_hash(&"b"), 1),
            (stable_hash(&"c"), 0),
        ];
        let count = |pool: u64| {
            (0..10_000)
                .filter(|&key| chosen(key, &pools) == pool)
                .count()
        };
        let (a, b, c) = (count(pools[0].0), count(pools[1].0), count(pools[2].0));
        assert!(
            (8_800..9_200).contains(&a),
            "{a} of 10,000 where 9,000 are due"
        );
        assert_eq!((a + b, c), (10_000, 0));
    }

    #[test]
    fn a_changed_weight_moves_keys_only_to_or_from_its_pool() {
        let before = [
            (stable_hash(&"a"), 1),
            (stable_hash(&"b"), 1),
            (stable_hash(&"c"), 1),
        ];
        let mut after = before;
        after[2].1 = 5;
        for key in 0..2_000 {
            let (old, new) = (chosen(key, &before), chosen(key, &after));
            assert!(
                old == new || new == after[2].0,
                "key {key} moved between pools at rest"
            );
        }
    }
}
