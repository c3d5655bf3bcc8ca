//! Makes the programs of a configuration those of the cluster.

use crate::config;
use crate::membership::difference;
use anyhow::Context;
use cluster::member::Member;
use manager::Changes;
use std::time::Duration;

/// How long a node that has just started may take to hear of hard state.
const PATIENCE: Duration = Duration::from_secs(5);

/// Proposes what has changed, and says what that is.
pub async fn apply(member: &Member, programs: &[config::Program]) -> anyhow::Result<Changes> {
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
    member
        .propose(difference::change(&differences, hard.revision))
        .await?;
    for change in difference::promotions(&differences, &hard) {
        member.propose(change).await?;
    }
    Ok(difference::summary(&differences))
}
