//! Makes the programs of a configuration those of the cluster.

use crate::config;
use crate::membership::difference;
use anyhow::Context;
use cluster::hard::Pace;
use cluster::member::Member;
use manager::Changes;
use std::time::Duration;
use tokio::sync::watch;

/// How long a node may take to hear of hard state, and of orders.
const PATIENCE: Duration = Duration::from_secs(2);

/// Proposes what has changed, and says what that is, once this node follows the orders that come of
/// it.
pub async fn apply(
    member: &Member,
    mut followed: watch::Receiver<u64>,
    programs: &[config::Program],
) -> anyhow::Result<Changes> {
    let mut views = member.view();
    let known = views.wait_for(|view| view.hard.is_founded());
    let known = tokio::time::timeout(PATIENCE, known).await;
    let hard = known
        .context("no master has said what the programs are")??
        .hard
        .clone();
    let differences = difference::between(&hard, programs);
    if differences.is_empty() {
        return Ok(Changes::default());
    }
    // The one machine there is renews its workers itself.
    let change = difference::change(&differences, hard.revision, Pace::AtOnce);
    let revision = member.propose(change).await?.revision;
    // Where the change makes no difference to this node there are no new orders.
    let follows = followed.wait_for(|followed| *followed >= revision);
    let _ = tokio::time::timeout(PATIENCE, follows).await;
    Ok(difference::summary(&differences))
}
