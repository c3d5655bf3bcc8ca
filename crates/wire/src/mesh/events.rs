//! What services hear of the mesh: links that come and go, and their frames.
//!
//! The channels are unbounded, and what is in them is not: each link is read no further while too
//! much of it waits here (`UNREAD_MAX`), so that one link's flood takes no other link's room.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::frame::{Frame, Service};
use crate::link::drive::Deliver;
use crate::link::{Link, Peer};

/// What happens on the links of a mesh, as one service sees it.
#[derive(Debug)]
pub enum MeshEvent {
    /// There is a link to this node.
    Up(Link),
    /// A message or request came in.
    Frame(Link, Frame),
    /// The link to this node is gone, and why. Nothing more comes of it.
    Down(Peer, Arc<str>),
}

/// The events of one service, in order. See [`crate::Mesh::subscribe`].
#[derive(Debug)]
pub struct MeshEvents(UnboundedReceiver<MeshEvent>);

impl MeshEvents {
    /// The next event; none when the mesh is gone. Dropping the future loses none.
    pub async fn recv(&mut self) -> Option<MeshEvent> {
        let event = self.0.recv().await;
        event.iter().for_each(taken);
        event
    }

    /// Waits for at least one event and appends at most `limit` to `events`. Gives how many there
    /// were, 0 when the mesh is gone. Dropping the future loses none.
    pub async fn recv_many(&mut self, events: &mut Vec<MeshEvent>, limit: usize) -> usize {
        let count = self.0.recv_many(events, limit).await;
        events[events.len() - count..].iter().for_each(taken);
        count
    }

    /// The next event, if it is there already.
    pub fn try_recv(&mut self) -> Option<MeshEvent> {
        let event = self.0.try_recv().ok();
        event.iter().for_each(taken);
        event
    }
}

impl Drop for MeshEvents {
    /// Nobody takes the rest, so it must not hold up its links.
    fn drop(&mut self) {
        self.0.close();
        while self.try_recv().is_some() {}
    }
}

/// Lets the link of a frame be read further.
fn taken(event: &MeshEvent) {
    if let MeshEvent::Frame(link, frame) = event {
        link.taken(frame.weight());
    }
}

/// The subscriber of each service.
#[derive(Default)]
pub(super) struct Subscribers([OnceLock<UnboundedSender<MeshEvent>>; Service::ALL.len()]);

impl Subscribers {
    pub fn subscribe<'a>(
        &self,
        service: Service,
        links: impl Iterator<Item = &'a Link>,
    ) -> MeshEvents {
        let (sender, receiver) = unbounded_channel();
        // Before others can send: a link's `Up` stands before its frames.
        for link in links {
            drop(sender.send(MeshEvent::Up(link.clone())));
        }
        let set = self.0[service.index()].set(sender);
        assert!(
            set.is_ok(),
            "expected one subscriber for {service:?}, got a second"
        );
        MeshEvents(receiver)
    }

    pub fn up(&self, link: &Link) {
        self.all(|| MeshEvent::Up(link.clone()));
    }

    pub fn down(&self, peer: &Peer, why: &Arc<str>) {
        self.all(|| MeshEvent::Down(peer.clone(), Arc::clone(why)));
    }

    fn all(&self, event: impl Fn() -> MeshEvent) {
        for sender in self.0.iter().filter_map(OnceLock::get) {
            // One that left wants to know nothing.
            drop(sender.send(event()));
        }
    }
}

impl Deliver for Subscribers {
    fn deliver(&self, link: &Link, frame: Frame) -> Result<(), Frame> {
        let Some(sender) = self.0[frame.service().index()].get() else {
            return Err(frame);
        };
        let sent = sender.send(MeshEvent::Frame(link.clone(), frame));
        sent.map_err(|unsent| match unsent.0 {
            MeshEvent::Frame(_, frame) => frame,
            MeshEvent::Up(_) | MeshEvent::Down(..) => unreachable!("a frame was sent"),
        })
    }
}
