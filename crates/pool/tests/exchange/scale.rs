//! The same promises for a cluster of full size.

use crate::network::Network;
use pool::Class;
use std::time::Duration;

/// A linear congruential generator (Knuth, MMIX).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits")
    }
}

#[test]
fn a_thousand_nodes_and_sixteen_dispatchers_keep_every_promise() {
    let mut network = Network::new(1_000, 1, 100, 16, false);
    let mut draw = Draw(1);
    // What all are told at the start: workers and slots.
    while network.deliver(draw.next()) {}
    for _ in 0..10_000 {
        network.call(draw.next(), Class::Normal, None);
        network.pass(Duration::from_micros(1));
        for _ in 0..16 {
            network.deliver(draw.next());
        }
        network.end(draw.next(), false);
    }
    network.come_to_rest();
    assert_eq!(network.delivered, 10_000);
    assert!(network.events > 2_000_000, "{} events", network.events);
}
