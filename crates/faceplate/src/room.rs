//! The memory for messages that are on their way in, bounded for all connections of a listener.

use dispatch::{CallError, Code, Detail};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of all messages together. A few large ones at a time fit, and a crowd of slow clients
/// cannot take the memory.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of a message that has not come whole for which no room need be taken.
pub(crate) const FREE_BYTES: usize = 16 * 1024;

/// What one permit is worth.
const PERMIT_BYTES: usize = 1024;

/// What is left of the memory for messages that do not come in one piece.
#[derive(Debug)]
pub(crate) struct Rooms(Semaphore);

impl Default for Rooms {
    fn default() -> Self {
        Self(Semaphore::new(BYTES_MAX / PERMIT_BYTES))
    }
}

impl Rooms {
    /// Room for so many more bytes, until the permit is dropped.
    pub fn take(&self, bytes: usize) -> Result<SemaphorePermit<'_>, CallError> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        self.0.try_acquire_many(permits).map_err(|_| {
            let message = format!("requests of {BYTES_MAX} bytes are on their way in already");
            CallError::new(Code::Busy, message).with(Detail {
                retry_after: Some(Duration::from_secs(1)),
                ..Detail::default()
            })
        })
    }

    /// As [`Rooms::take`], for whoever cannot keep what it borrows from here: how much to
    /// [`Rooms::leave`] in the end.
    pub fn hold(&self, bytes: usize) -> Result<usize, CallError> {
        let permit = self.take(bytes)?;
        let held = permit.num_permits();
        permit.forget();
        Ok(held)
    }

    /// Gives back what was held.
    pub fn leave(&self, held: usize) {
        self.0.add_permits(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_runs_out_and_comes_back() {
        let rooms = Rooms::default();
        let most = rooms.take(BYTES_MAX - PERMIT_BYTES);
        let rest = rooms.take(1).expect("a permit is left");
        assert!(rooms.take(1).is_err(), "the smallest piece takes a permit");
        drop(most.expect("they are empty"));
        assert!(rooms.take(BYTES_MAX - PERMIT_BYTES).is_ok());
        drop(rest);
        let held = rooms.hold(BYTES_MAX).expect("all of it is back");
        assert!(rooms.take(1).is_err());
        rooms.leave(held);
        assert!(rooms.take(BYTES_MAX).is_ok());
    }
}
