//! Connections that this node makes: one task for each wanted node with a smaller id.

use std::sync::Arc;
use std::time::Duration;

use pool::NodeId;
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use crate::hello::{HandshakeError, greet};
use crate::link::{Link, Peer};

/// The pause after the first failed attempt: a process that restarts is back soon.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause: so long after it is back a node waits for its links.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Keeps a link to `node` until the task is aborted.
pub(super) async fn keep(shared: Arc<Shared>, node: NodeId) {
    let mut pauses = Pauses::new(shared.settings.seed ^ u64::from(node.0));
    loop {
        shared.gone(node).await;
        let Some((address, attempt)) = shared.next_attempt(node) else {
            return;
        };
        match dial(&shared, node, &address, attempt).await {
            Ok(()) => {
                let start = Instant::now();
                shared.gone(node).await;
                // One that is closed at once, again and again, is dialed no faster than one that
                // never comes up.
                if start.elapsed() >= PAUSE_MAX {
                    pauses.reset();
                }
            }
            Err(error) => shared.note(node, &error),
        }
        sleep(pauses.next()).await;
    }
}

/// Makes a link to `node` at `address`.
async fn dial(
    shared: &Arc<Shared>,
    node: NodeId,
    address: &str,
    attempt: u64,
) -> Result<(), HandshakeError> {
    if shared.state().refused.contains(&node) {
        return Err(HandshakeError::Revoked(node));
    }
    let timing = shared.settings.timing;
    let late = |limit: Duration| HandshakeError::Timeout(limit.as_millis());
    let connection = timeout(timing.connect, shared.network.dial(address)).await;
    let connection = connection.map_err(|_| late(timing.connect))??;
    shared
        .security
        .check(connection.1, shared.network.is_simulated())?;
    let greeted = timeout(timing.handshake, async {
        let mut secured = shared
            .security
            .dialed(connection, node, &shared.me.cluster)
            .await?;
        let mine = shared.hello(attempt);
        let peer = greet(&mut *secured.stream, &mine, |theirs| {
            let version = mine.agree(theirs)?;
            if theirs.node != node {
                return Err(HandshakeError::OtherNode {
                    expected: node,
                    came: theirs.node,
                });
            }
            Ok(Peer {
                node,
                name: Arc::clone(&theirs.name),
                incarnation: theirs.incarnation,
                version,
                address: secured.address,
            })
        });
        Ok::<_, HandshakeError>((Link::new(peer.await?, true, attempt), secured.stream))
    });
    let (link, stream) = greeted.await.map_err(|_| late(timing.handshake))??;
    shared.admit(&link, stream).await
}

impl Shared {
    /// Where to dial `node` now, and the number of the connection; none if it is not wanted.
    fn next_attempt(&self, node: NodeId) -> Option<(Arc<str>, u64)> {
        let mut state = self.state();
        state.attempts += 1;
        let wanted = state.wanted.get(&node)?;
        Some((Arc::clone(&wanted.address), state.attempts))
    }

    /// Keeps why dialing failed, and says it once.
    fn note(&self, node: NodeId, error: &HandshakeError) {
        let why: Arc<str> = error.to_string().into();
        let mut state = self.state();
        if !state.wanted.contains_key(&node) {
            return;
        }
        let before = state.problems.insert(node, Arc::clone(&why));
        drop(state);
        if before.as_ref() != Some(&why) {
            tracing::warn!(node = node.0, %why, "no link; will dial again");
        }
    }
}

/// Growing pauses, each between half of what it could be and all of it, so that nodes that lost
/// the same peer do not come back to it at the same moment.
struct Pauses {
    next: Duration,
    random: u64,
}

impl Pauses {
    fn new(seed: u64) -> Self {
        Self {
            next: PAUSE_MIN,
            random: seed,
        }
    }

    fn reset(&mut self) {
        self.next = PAUSE_MIN;
    }

    fn next(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(PAUSE_MAX);
        longest / 2 + longest.mul_f64(self.fraction() / 2.0)
    }

    /// From 0 to below 1, by splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
    /// generators, OOPSLA 2014).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The 53 bits that a double holds.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_with_jitter_and_start_over() {
        for seed in 0..100 {
            let mut pauses = Pauses::new(seed);
            for longest in [50, 100, 200, 400, 800, 1000, 1000] {
                let (pause, longest) = (pauses.next(), Duration::from_millis(longest));
                assert!(
                    longest / 2 <= pause && pause <= longest,
                    "{pause:?} of {longest:?}"
                );
            }
            pauses.reset();
            assert!(pauses.next() <= PAUSE_MIN);
        }
        let first = |seed| Pauses::new(seed).next();
        assert_ne!(first(1), first(2), "nodes must not come back in step");
    }
}
