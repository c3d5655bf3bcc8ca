//! The bounds of one listener, the same for all protocols.

use std::time::Duration;

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
    /// For a handshake; and over HTTP from the start of a connection, or the end of an answer, to the
    /// end of the next headers.
    pub header_timeout: Duration,
    /// From the first byte of a message to its last; over HTTP from the end of the headers to the end
    /// of the body.
    pub body_timeout: Duration,
    /// How long a client may read nothing while there is something to read.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max: 8 * 1024 * 1024,
            header_max: 32 * 1024,
            // Well below the usual limit of 1,024 descriptors, which workers need as well.
            connections_max: 768,
            // Longer than the pauses of a keep-alive client that calls every now and then.
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
        }
    }
}
