//! The bounds of one listener, the same for all protocols.

use std::time::Duration;

/// Bytes of answers that are put together before they are written. While so many wait for a client
/// to read them, no more of its requests are begun.
pub(crate) const WRITE_BYTES: usize = 64 * 1024;

/// Bytes of answers that one connection's client may leave unread, if there is more than one of
/// them: calls run side by side, and their answers wait here. A client that reads as it writes has a
/// few of them at a time; one that does not is cut off.
pub(crate) const UNREAD_MAX: usize = 64 * 1024 * 1024;

/// What one client, and all of them together, may take up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message or of a request's body, and of an answer that has to be put together here:
    /// a batch, or a stream collected for JSON-RPC.
    pub body_max: usize,
    /// Bytes of a request's line and headers, where there are such; at least 8 KiB.
    pub header_max: usize,
    /// Connections at a time. Those beyond are told so and closed.
    pub connections_max: usize,
    /// From the start of a connection to the first byte of a message, to the end of a handshake, or
    /// where a token is needed, until one was shown; and over HTTP from the first byte of any
    /// headers to their last.
    pub header_timeout: Duration,
    /// From the first byte of a message to its last; over HTTP from the end of the headers to the end
    /// of the body, and where a function reads that while it comes, from one piece to the next.
    pub body_timeout: Duration,
    /// How long a client may read nothing while there is something to read.
    pub write_timeout: Duration,
    /// How long a client may say nothing while it waits for nothing.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max: 8 * 1024 * 1024,
            header_max: 32 * 1024,
            // Well below the usual limit of 1,024 descriptors, which workers need as well.
            connections_max: 768,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            // Clients that keep a connection for their next call are many, and some cannot open
            // another; those whose machine is gone are found out sooner, by keepalive.
            idle_timeout: Duration::from_secs(60 * 60),
        }
    }
}
