//! Masters over the links of a mesh.

use super::Consensus;
use super::network::{Carried, Carrier, CarryError};
use bytes::Bytes;
use pool::NodeId;
use std::time::Duration;
use tokio::task::JoinSet;
use wire::{Frame, Link, Mesh, MeshEvent, MeshEvents, RequestError, Service};

/// Events taken from the mesh in one go.
const EVENTS_MAX: usize = 64;
/// Questions answered at a time, of all links; more wait in the mesh.
const ANSWERS_MAX: usize = 256;

/// Carries the questions of masters over a mesh, as requests whose payload is the question.
pub struct MeshCarrier(pub Mesh);

impl Carrier for MeshCarrier {
    fn ask(&self, to: NodeId, question: Bytes, timeout: Duration) -> Carried {
        let link = self.0.link(to);
        Box::pin(async move {
            let link = link.ok_or_else(|| CarryError::NotSent("there is no link".into()))?;
            match link.request(Service::Raft, &(), question, timeout).await {
                Ok(((), answer)) => Ok(answer),
                Err(
                    error @ (RequestError::NotSent(_)
                    | RequestError::TooMany
                    | RequestError::Refused(_)),
                ) => Err(CarryError::NotSent(error.to_string().into())),
                Err(error) => Err(CarryError::NotAnswered(error.to_string().into())),
            }
        })
    }
}

/// Answers other masters' questions until the mesh stops.
pub async fn serve(consensus: Consensus, mut events: MeshEvents) {
    let mut inbox = Vec::with_capacity(EVENTS_MAX);
    let mut answers = JoinSet::new();
    while events.recv_many(&mut inbox, EVENTS_MAX).await > 0 {
        for event in inbox.drain(..) {
            let MeshEvent::Frame(link, frame) = event else {
                continue;
            };
            while answers.len() >= ANSWERS_MAX {
                answers.join_next().await;
            }
            while answers.try_join_next().is_some() {}
            answers.spawn(answer(consensus.clone(), link, frame));
        }
    }
}

async fn answer(consensus: Consensus, link: Link, frame: Frame) {
    let answer = consensus.answer(link.peer().node, frame.payload()).await;
    frame.answer(&link, &(), answer);
}

impl Consensus {
    /// Answers other masters that ask over `mesh`. Takes the subscription of
    /// [`Service::Raft`]; ends with the mesh or when dropped.
    pub fn serve_on(&self, mesh: &Mesh) -> impl Future<Output = ()> + Send + use<> {
        serve(self.clone(), mesh.subscribe(Service::Raft))
    }
}
