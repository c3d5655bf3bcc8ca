//! New certificates for nodes that have one: asked of a master over a link, which proves who asks.
//!
//! What a question and its answer are made of is up to who signs, for identities are not this
//! crate's business.

use super::master::MasterPart;
use super::message::Question;
use super::shell::Shell;
use bytes::Bytes;
use pool::NodeId;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::{Frame, Link, Service};

/// How long a master may take: it only signs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Signs for nodes on a master, or a script in tests. Must not take long.
pub trait Renewals: Send + Sync + 'static {
    /// Answers the question of a node that is in good standing and has this name. The error says
    /// why there is no answer.
    fn renew(&self, node: NodeId, name: &str, question: &[u8]) -> Result<Bytes, String>;
}

impl MasterPart {
    /// Lets a node have a new certificate, if the cluster knows it and has not revoked it.
    fn renew(&self, node: NodeId, question: &[u8]) -> Result<Bytes, String> {
        let renewals = self.renewals().ok_or("this master signs no certificates")?;
        let record = self.hard().member(node);
        let record =
            record.ok_or_else(|| format!("node {} is none of this cluster's any more", node.0))?;
        renewals.renew(node, &record.name, question)
    }
}

impl Shell {
    /// Answers another node; who it is, its link has proved.
    pub(super) fn renew_for(&self, master: &MasterPart, link: &Link, frame: &Frame, ask: &[u8]) {
        match master.renew(link.peer().node, ask) {
            Ok(answer) => frame.answer(link, &(), answer),
            Err(why) => frame.refuse(link, &why),
        }
    }

    /// Asks this node, if it is a master, or else others.
    pub(super) fn renew(&mut self, ask: Vec<u8>, answer: oneshot::Sender<Result<Bytes, String>>) {
        if let Some(master) = &self.master {
            return drop(answer.send(master.renew(self.settings.me, &ask)));
        }
        let links = self.masters_to_ask();
        self.questions.spawn(async move {
            drop(answer.send(renew_over(links, ask).await));
        });
    }
}

/// The answer of the first master that has one, or why the last had none.
async fn renew_over(links: Vec<Link>, ask: Vec<u8>) -> Result<Bytes, String> {
    let question = Question::Renew(ask);
    let mut why = "no master is reached".to_owned();
    for link in links {
        let asked = link.request(Service::Members, &question, Bytes::new(), ANSWER_TIMEOUT);
        match asked.await {
            Ok(((), answer)) => return Ok(answer),
            Err(error) => why = format!("{}: {error}", link.peer().name),
        }
    }
    Err(why)
}
