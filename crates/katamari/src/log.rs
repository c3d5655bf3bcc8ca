//! Log lines on stderr.
//!
//! They are written by a thread of their own behind a bounded queue: whoever reads them may be slow
//! or gone, and the node must not wait for a terminal. What does not fit into the queue is dropped.

use anyhow::Context;
use std::io::IsTerminal;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that may wait to be written.
const LINES_MAX: usize = 10_000;

/// Consensus tells every step of its own; unless asked for, only what is wrong is shown: a master that is gone is told below.
/// The access log is switched on and off by the configuration, whatever else is to be seen.
const USUAL: &str = "openraft=error,access=info";

/// Begins to log what `filter` lets through: a level, or a filter in tracing's notation. The last
/// lines are written when the guard is dropped.
pub fn start(filter: &str) -> anyhow::Result<WorkerGuard> {
    let filter = EnvFilter::try_new(format!("{USUAL},{filter}")).with_context(|| {
        format!(
            "expected a log level (error, warn, info, debug, trace) or a filter, got {filter:?}"
        )
    })?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would complain on stderr, of all places, and panic if it cannot.
        .log_internal_errors(false)
        .compact()
        .init();
    Ok(guard)
}
