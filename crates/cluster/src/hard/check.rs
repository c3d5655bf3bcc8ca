//! Whether what a change brings keeps the limits.

use super::change::Refusal;
use super::limits::{
    ADDRESS_BYTES_MAX, COMMAND_BYTES_MAX, KINDS_MAX, LABELS_MAX, NAME_BYTES_MAX, RATE_MAX,
    TIMEOUT_MAX, WORKERS_MAX,
};
use super::record::{AccessToken, Labels, Placement};
use std::time::Duration;

/// `came` of something, of which there may be `max`.
pub fn limit(what: &str, came: usize, max: usize) -> Result<(), Refusal> {
    if came <= max {
        return Ok(());
    }
    Err(Refusal::OverLimit {
        what: what.into(),
        max: max as u64,
        came: came as u64,
    })
}

/// A text that must not be empty.
fn text(what: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::Empty { what: what.into() });
    }
    limit(&format!("bytes of {what}"), text.len(), bytes_max)
}

/// The name of a node, a program, a token.
pub fn name(name: &str) -> Result<(), Refusal> {
    text("a name", name, NAME_BYTES_MAX)
}

/// `host:port`.
pub fn address(address: &str) -> Result<(), Refusal> {
    text("an address", address, ADDRESS_BYTES_MAX)
}

/// Labels of a node, or constraints of a program.
pub fn labels(labels: &Labels) -> Result<(), Refusal> {
    limit("labels", labels.len(), LABELS_MAX)?;
    for (label, value) in labels {
        text("the name of a label", label, NAME_BYTES_MAX)?;
        limit("bytes of a label's value", value.len(), NAME_BYTES_MAX)?;
    }
    Ok(())
}

/// What an access token grants.
pub fn access_token(token: &AccessToken) -> Result<(), Refusal> {
    let kinds = token.kinds.iter().flatten();
    limit("kinds of a token", kinds.clone().count(), KINDS_MAX)?;
    for kind in kinds {
        text("the name of a kind", kind, NAME_BYTES_MAX)?;
    }
    let rate = token.rate.iter();
    for rate in rate.flat_map(|rate| [rate.calls_per_second, rate.burst]) {
        let came = rate.get() as usize;
        limit("calls a second, or at once", came, RATE_MAX as usize)?;
    }
    Ok(())
}

/// The timeout of calls that say none.
pub fn timeout(timeout: Duration) -> Result<(), Refusal> {
    if timeout.is_zero() {
        let what = "a timeout above zero".into();
        return Err(Refusal::Empty { what });
    }
    let came = usize::try_from(timeout.as_millis()).unwrap_or(usize::MAX);
    let max = usize::try_from(TIMEOUT_MAX.as_millis()).unwrap_or(usize::MAX);
    limit("milliseconds of timeout", came, max)
}

/// Workers and spares.
pub fn workers(workers: u32, spare: u32) -> Result<(), Refusal> {
    let came = workers as usize + spare as usize;
    limit(
        "workers of a program, with its spares",
        came,
        WORKERS_MAX as usize,
    )
}

/// Where a program may run.
pub fn placement(placement: &Placement) -> Result<(), Refusal> {
    workers(placement.workers, placement.spare)?;
    if let Some(label) = &placement.spread {
        text("the label to spread over", label, NAME_BYTES_MAX)?;
    }
    labels(&placement.constraints)?;
    limit(
        "bytes of a command",
        placement.command.len(),
        COMMAND_BYTES_MAX,
    )
}
