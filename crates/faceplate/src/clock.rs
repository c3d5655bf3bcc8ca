//! The wall clock, for what has a date that people agreed upon: certificates and tokens. Nothing
//! else reads it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in seconds since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "the end of a token or a certificate is a date"
)]
pub fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
