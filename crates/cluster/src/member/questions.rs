//! Questions to masters: proposals and status, asked by this node and by others.
//!
//! The task only starts what may take long; the answers come from tasks of their own.

use super::master::MasterPart;
use super::message::{Proposed, Question, Status};
use super::shell::Shell;
use crate::consensus::ProposeError;
use crate::hard::grown::Grown;
use crate::hard::{Applied, Change, Refusal};
use bytes::Bytes;
use pool::NodeId;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::{Frame, Link, RequestError, Service};

/// Questions that are being answered, asked by others or by this node; more are refused.
const QUESTIONS_MAX: usize = 256;

/// How long a question may take: longer than a master waits for a leader and a majority.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the answer to a proposal goes.
type Answer = oneshot::Sender<Result<Applied, ProposeError>>;

impl Shell {
    /// Answers another node.
    pub(super) fn question(&mut self, link: &Link, frame: Frame) {
        let Some(master) = &self.master else {
            return frame.refuse(link, "this node is no master");
        };
        match frame.message() {
            Ok(Question::Status) => {
                frame.answer(link, &(), master.status().encode().into());
            }
            Ok(Question::Renew(ask)) => self.renew_for(master, link, &frame, &ask),
            Ok(Question::Propose(_)) if self.questions.len() >= QUESTIONS_MAX => {
                frame.refuse(link, "too many questions wait for their answers; ask again");
            }
            Ok(Question::Propose(change)) if change.is_of_leaders() => {
                let refused = Proposed::Refused(Refusal::OfLeaders);
                frame.answer(link, &refused, Bytes::new());
            }
            Ok(Question::Propose(change)) => {
                let proposed = master.proposals().propose(change);
                let (link, versions) = (link.clone(), master.versions().clone());
                self.questions.spawn(async move {
                    let proposed = Proposed::from(versions.name(proposed.await));
                    frame.answer(&link, &proposed, Bytes::new());
                });
            }
            Err(error) => frame.refuse(link, &error.to_string()),
        }
    }

    /// Proposes a change, to this node or over a link.
    pub(super) fn propose(&mut self, change: Change, answer: Answer) {
        if self.questions.len() >= QUESTIONS_MAX {
            // Nobody waits for the answer any more, if that fails.
            return drop(answer.send(Err(ProposeError::NoLeader)));
        }
        if change.is_of_leaders() {
            return drop(answer.send(Err(Refusal::OfLeaders.into())));
        }
        if let Some(master) = &self.master {
            let proposed = master.proposals().propose(change);
            let versions = master.versions().clone();
            self.questions.spawn(async move {
                drop(answer.send(versions.name(proposed.await)));
            });
            return;
        }
        let mut links = self.masters_to_ask();
        // One that is older could not even read it.
        links.retain(|link| link.peer().version >= change.needs().0);
        if let Err(refusal) = self.knowledge.hard().admits(&change)
            && links.is_empty()
        {
            return drop(answer.send(Err(refusal.into())));
        }
        self.questions.spawn(async move {
            drop(answer.send(propose_over(links, change).await));
        });
    }

    /// Asks a master what it knows.
    pub(super) fn status(&mut self, answer: oneshot::Sender<Option<Status>>) {
        let leader = self.knowledge.leader();
        let i_lead = leader == Some(self.settings.me);
        let links = self.masters_to_ask();
        let mine = self.master.as_ref().map(MasterPart::status);
        // A master that does not lead knows as much, but for what found no place.
        if i_lead || links.is_empty() || self.questions.len() >= QUESTIONS_MAX {
            return drop(answer.send(mine));
        }
        self.questions.spawn(async move {
            drop(answer.send(status_over(links).await.or(mine)));
        });
    }

    /// Links to masters, the leader's first and then by priority.
    pub(super) fn masters_to_ask(&self) -> Vec<Link> {
        let hard = self.knowledge.hard();
        let listed = hard.masters.iter().copied();
        let nodes = self.knowledge.leader().into_iter().chain(listed);
        let mut links: Vec<Link> = Vec::new();
        for node in nodes {
            let is_new = |node: NodeId| links.iter().all(|link| link.peer().node != node);
            if let Some(link) = self.links.get(&node)
                && is_new(node)
            {
                links.push(link.clone());
            }
        }
        links
    }
}

/// Proposes to the first master that takes the question.
async fn propose_over(links: Vec<Link>, change: Change) -> Result<Applied, ProposeError> {
    let question = Question::Propose(change);
    for link in links {
        let asked = link.request(Service::Members, &question, Bytes::new(), ANSWER_TIMEOUT);
        match asked.await {
            Ok((proposed, _)) => return Proposed::into(proposed),
            // It has not seen the question, or not looked at it.
            Err(RequestError::NotSent(_) | RequestError::TooMany | RequestError::Refused(_)) => {}
            Err(error) => return Err(ProposeError::Uncertain(error.to_string().into())),
        }
    }
    Err(ProposeError::NoLeader)
}

/// The status of the first master that answers.
async fn status_over(links: Vec<Link>) -> Option<Status> {
    for link in links {
        let question = Question::Status;
        let asked = link.request(Service::Members, &question, Bytes::new(), ANSWER_TIMEOUT);
        if let Ok(((), status)) = asked.await
            && let Ok(status) = Status::decode(&status)
        {
            return Some(status);
        }
    }
    None
}
