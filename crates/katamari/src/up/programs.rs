//! Makes the programs of a configuration those of the cluster.

use crate::config;
use crate::membership::{NEWS_LEVEL, check_level, difference, have_news, ship};
use anyhow::Context;
use cluster::files::Files;
use cluster::hard::Pace;
use cluster::member::Member;
use manager::Changes;
use std::time::Duration;
use tokio::sync::watch;

/// How long a new cluster may take to become one of the level that its programs need.
const PATIENCE_FOR_NEWS: Duration = Duration::from_secs(10);

/// How long a node may take to hear of hard state, and of orders.
const PATIENCE: Duration = Duration::from_secs(2);

/// Proposes what has changed, and says what that is, once this node follows the orders that come of
/// it.
pub async fn apply(
    member: &Member,
    files: Option<&Files>,
    mut followed: watch::Receiver<u64>,
    programs: &[config::Program],
) -> anyhow::Result<Changes> {
    let mut views = member.view();
    let known = views.wait_for(|view| view.hard.is_founded());
    let known = tokio::time::timeout(PATIENCE, known).await;
    let mut hard = known
        .context("no master has said what the programs are")??
        .hard
        .clone();
    if have_news(programs) {
        // The leader raises the level of a new cluster as soon as it knows that it may.
        let raised = views.wait_for(|view| view.hard.level >= NEWS_LEVEL);
        if let Ok(raised) = tokio::time::timeout(PATIENCE_FOR_NEWS, raised).await {
            hard = raised?.hard.clone();
        }
    }
    check_level(&hard, programs)?;
    let mut programs = programs.to_vec();
    if let Some(files) = files
        && programs.iter().any(|program| program.files.is_some())
    {
        for program in &programs {
            let Some(found) = &program.files else {
                continue;
            };
            let adopted = files.adopt(found.manifest.clone(), &found.folder).await;
            adopted.map_err(|why| {
                let name = &program.run.name;
                anyhow::anyhow!("the files of program {name} were not kept: {why}")
            })?;
        }
        ship(&mut programs);
    }
    let differences = difference::between(&hard, &programs);
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
