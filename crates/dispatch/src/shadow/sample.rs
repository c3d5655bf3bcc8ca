//! Which calls are copied: of each hundred exactly as many as the percent says, at places that are
//! drawn. To count instead would copy the same calls of a client that repeats itself; to draw for each
//! call alone would at times copy more.

/// Draws without replacement from each hundred (Knuth, TAOCP 2, 3.4.2, algorithm S).
#[derive(Debug)]
pub struct Sample {
    state: u64,
    /// Calls of this hundred that are still to come.
    left: u32,
    /// Of them to be copied.
    wanted: u32,
}

impl Sample {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            left: 0,
            wanted: 0,
        }
    }

    /// Whether the next call is copied. Another percent than before holds from the next hundred on.
    pub fn takes(&mut self, percent: u32) -> bool {
        if self.left == 0 {
            (self.left, self.wanted) = (100, percent.min(100));
        }
        let takes = self.draw() % u64::from(self.left) < u64::from(self.wanted);
        self.left -= 1;
        self.wanted -= u32::from(takes);
        takes
    }

    /// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_hundred_exactly_the_percent_is_taken_at_no_fixed_places() {
        for percent in [1, 10, 37, 100] {
            let mut sample = Sample::new(7);
            let mut places = Vec::new();
            for _ in 0..50 {
                let hundred: Vec<bool> = (0..100).map(|_| sample.takes(percent)).collect();
                let taken = hundred.iter().filter(|takes| **takes).count();
                assert_eq!(taken, percent as usize);
                places.push(hundred);
            }
            places.sort();
            places.dedup();
            assert!(
                percent == 100 || places.len() > 25,
                "{percent}: {}",
                places.len()
            );
        }
    }

    #[test]
    fn a_seed_decides() {
        let taken = |seed| {
            let mut sample = Sample::new(seed);
            (0..300).map(|_| sample.takes(10)).collect::<Vec<_>>()
        };
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
    }
}
