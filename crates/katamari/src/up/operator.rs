//! What the command line may ask of this node over its control socket.

use super::intake::Intake;
use super::reload::Request;
use super::shadows::of_cluster;
use crate::membership::operations::Seen;
use bytes::Bytes;
use cluster::hard::Change;
use cluster::member::Member;
use dispatch::Shadows;
use faceplate::control::Operator;
use futures_util::future::BoxFuture;
use pool::NodeId;
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wire::Credentials;

/// How long a change that the masters agreed on may take to be known here.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers the command line.
pub struct Desk {
    /// To the node's loop.
    pub reloads: mpsc::Sender<Request>,
    /// This node.
    pub me: NodeId,
    /// Its part in the cluster.
    pub member: Member,
    /// What it shows to other nodes; none on a machine that is alone.
    pub credentials: Option<Credentials>,
    /// What it saw of versions that shadow.
    pub shadows: Shadows,
    /// Where files of programs go.
    pub files: Intake,
}

impl Operator for Desk {
    fn operate(&self, what: &str, question: Bytes) -> Option<BoxFuture<'_, Result<Bytes, String>>> {
        match what {
            "reload" => Some(Box::pin(self.reload())),
            "cluster" => Some(Box::pin(async { json(&self.cluster()) })),
            "propose" => Some(Box::pin(self.propose(question))),
            "shadows" => Some(Box::pin(async {
                json(&of_cluster(self.me, &self.shadows, &self.member).await)
            })),
            _ => {
                let what = what.strip_prefix("files/")?;
                self.files
                    .operate(what.split('/').map(str::to_owned).collect(), question)
            }
        }
    }
}

impl Desk {
    async fn reload(&self) -> Result<Bytes, String> {
        let (answer, answered) = oneshot::channel();
        let stopping = |_| "the node is stopping".to_owned();
        self.reloads
            .send(answer)
            .await
            .map_err(|_| "the node is stopping".to_owned())?;
        json(&answered.await.map_err(stopping)??)
    }

    fn cluster(&self) -> Seen {
        let view = self.member.view().borrow().clone();
        let fingerprint = |credentials: &Credentials| credentials.identity().fingerprint();
        Seen {
            me: self.me,
            leader: view.leader,
            masters: view.masters.clone(),
            up: view.up.keys().copied().collect(),
            fingerprint: self.credentials.as_ref().map(fingerprint),
            hard: (*view.hard).clone(),
        }
    }

    async fn propose(&self, question: Bytes) -> Result<Bytes, String> {
        let change: Change = serde_json::from_slice(&question).map_err(text)?;
        let applied = self.member.propose(change).await.map_err(text)?;
        // Whoever looks next, sees it.
        let mut views = self.member.view();
        let known = views.wait_for(|view| view.hard.revision >= applied.revision);
        let _ = tokio::time::timeout(PATIENCE, known).await;
        json(&applied)
    }
}

/// An answer as JSON.
pub fn json(answer: &impl Serialize) -> Result<Bytes, String> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(text)
}

/// An error as an answer.
pub fn text(error: impl Display) -> String {
    error.to_string()
}
