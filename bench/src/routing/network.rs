//! How long messages take, and how many there are.

use super::agenda::Nanos;

/// One way between two nodes: the least, and how much more it may be. 0.1 ms on average.
const WAY_LEAST_NS: Nanos = 90_000;
const JITTER_NS: Nanos = 20_000;

/// Draws the time that a message takes.
pub struct Delay(fastrand::Rng);

impl Delay {
    pub fn new(seed: u64) -> Self {
        // Not the numbers that the calls were drawn from.
        Self(fastrand::Rng::with_seed(seed ^ 0x6e65_7477_6f72_6b00))
    }

    pub fn draw(&mut self) -> Nanos {
        WAY_LEAST_NS + self.0.u64(0..=JITTER_NS)
    }
}

/// One direction of a link: what is sent arrives in order, and what is sent at one moment arrives
/// at one moment, since it goes in one frame.
#[derive(Clone, Copy, Default)]
pub struct Way {
    sent: Option<Nanos>,
    arrives: Nanos,
}

impl Way {
    /// When a message that is sent now arrives, and whether it needs a frame of its own.
    pub fn send(&mut self, now: Nanos, delay: &mut Delay) -> (Nanos, bool) {
        let is_new = self.sent != Some(now);
        if is_new {
            self.sent = Some(now);
            self.arrives = self.arrives.max(now + delay.draw());
        }
        (self.arrives, is_new)
    }

    /// Whether something is sent at this moment anyway.
    pub fn is_used(&self, now: Nanos) -> bool {
        self.sent == Some(now)
    }
}
