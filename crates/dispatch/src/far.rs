//! Other nodes, as this one's loop knows them: their workers' slots, their calls on workers here,
//! and the nested calls of both.
//!
//! What a node says of its workers, the core hears as if they were near; what a dispatcher on
//! another node asks for goes to the exchange, as what the core here asks for does. A node that is
//! gone takes its workers, its calls and its streams with it.

use crate::call::{Answer, Call, Reply};
use crate::error::{CallError, Code};
use crate::flight::Origin;
use crate::peer::inputs::assignment;
use crate::peer::message::{
    Flow, Introduced, Message, NestedAnswer, NestedCall, NestedReply, ToDispatcher, ToManager,
};
use crate::peer::relay::{LinkCredit, Relay};
use crate::shell::{Loop, Step};
use crate::slots::Assigned;
use crate::stream::{PieceSender, Pieces, stream};
use bytes::{Bytes, BytesMut};
use pool::exchange::{Event as Trade, Want};
use pool::{CallId, Epoch, Event, NodeId, PoolWant, SlotId, Withdrawal, WorkerId};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use wire::{Frame, Link, MeshEvent, Service};

/// What the loop keeps of another node.
pub(crate) struct Peer {
    link: Link,
    /// Streams that come from there.
    incoming: FxHashMap<CallId, PieceSender>,
    /// Streams that go there.
    outgoing: FxHashMap<CallId, Relay>,
    /// Nested calls of workers here that are dispatched there.
    nested: FxHashMap<CallId, oneshot::Sender<Reply>>,
}

impl Peer {
    fn new(link: Link) -> Self {
        Self {
            link,
            incoming: FxHashMap::default(),
            outgoing: FxHashMap::default(),
            nested: FxHashMap::default(),
        }
    }

    /// Sends a stream there.
    fn relay(&mut self, call: CallId, pieces: Pieces) {
        // Those that are through are forgotten with the next one.
        self.outgoing.retain(|_, relay| !relay.is_done());
        let relay = Relay::start(call, pieces, self.link.clone());
        self.outgoing.insert(call, relay);
    }
}

/// A worker of another node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Far {
    pub pid: u32,
    /// The hash of its pool.
    pool: u64,
}

/// Managers that are told of one pool's queue: with hundreds, each wants to know of few waiting
/// calls, and what is offered to all serves the rest.
const TOLD_MAX: usize = 16;

/// Sends a message without a payload.
fn say(link: &Link, message: impl Into<Message>) {
    say_with(link, message, Bytes::new());
}

/// Sends a message. What a link cannot take ends it: the peer has missed something, and must begin
/// anew. Then its end is told by the mesh.
fn say_with(link: &Link, message: impl Into<Message>, payload: Bytes) {
    if let Err(error) = link.send(Service::Calls, &message.into(), payload) {
        link.close(&format!("cannot send: {error}"));
    }
}

impl Loop {
    pub(crate) fn mesh(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Up(link) => self.up(link),
            MeshEvent::Down(peer, why) => {
                tracing::debug!(node = %peer.name, "its link has ended: {why}");
                self.down(peer.node);
            }
            MeshEvent::Frame(link, frame) => self.frame(&link, &frame),
        }
    }

    fn up(&mut self, link: Link) {
        if self.dispatches {
            say(&link, ToManager::Join);
        }
        let node = link.peer().node;
        self.names.insert(node, link.peer().name.clone());
        self.peers.insert(node, Peer::new(link));
    }

    /// Everything that was on that node, or for it, is gone.
    fn down(&mut self, node: NodeId) {
        let Some(peer) = self.peers.remove(&node) else {
            return;
        };
        for (call, answer) in peer.nested {
            // The worker that asked may be gone, too.
            let _ = answer.send(Reply::unanswered(call.number, self.dispatcher_gone(node)));
        }
        self.leave(node);
        let from_there: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, flight)| flight.is_from(node))
            .map(|(id, _)| *id)
            .collect();
        for call in from_there {
            self.cancel(call);
        }
        self.feed(Event::Withdraw(Withdrawal::Node(node)), None);
        self.far.retain(|id, _| id.node != node);
        self.forget_unconfigured();
    }

    /// Forgets programs that are not configured, once their last worker has left: until others have
    /// taken their places, removed ones serve.
    pub(crate) fn forget_unconfigured(&mut self) {
        for program in std::mem::take(&mut self.unconfigured) {
            if self.core.has_workers(&program) {
                self.unconfigured.insert(program);
            } else {
                self.feed(Event::Removed { program }, None);
            }
        }
    }

    fn frame(&mut self, link: &Link, frame: &Frame) {
        let payload = frame.payload().clone();
        match frame.message::<Message>() {
            Ok(Message::Manager(message)) => self.as_manager(link, message, payload),
            Ok(Message::Dispatcher(message)) => self.as_dispatcher(link, message, payload),
            Ok(Message::Stream { call, what }) => {
                if let Some(payload) = self.flow_of_input(link, call, &what, payload) {
                    self.flow(link.peer().node, call, what, payload);
                }
            }
            Err(error) => link.close(&format!("not a message about calls: {error}")),
        }
    }

    /// Does what a dispatcher asks of the manager here.
    fn as_manager(&mut self, link: &Link, message: ToManager, payload: Bytes) {
        let node = link.peer().node;
        match message {
            ToManager::Join => self.join(node),
            ToManager::Assign { slot, epoch, calls } => {
                self.assigned(link, slot, epoch, (calls, Vec::new()), payload);
            }
            ToManager::AssignWithInputs {
                slot,
                epoch,
                calls,
                inputs,
            } => self.assigned(link, slot, epoch, (calls, inputs), payload),
            ToManager::Release { slot, epoch } => self.release(node, slot, epoch),
            ToManager::Want {
                pool,
                class,
                oldest_us,
                waiting,
            } => self.wanted(node, pool, class, oldest_us, waiting),
            ToManager::Stop { call, why } => {
                self.end_relay(node, call);
                self.stop_lent(node, call, why);
            }
            ToManager::NestedEnded(reply) => self.nested_ended(link, reply, payload),
        }
    }

    /// Takes what a manager says to the dispatcher here. It can speak of its own workers only.
    fn as_dispatcher(&mut self, link: &Link, message: ToDispatcher, payload: Bytes) {
        let node = link.peer().node;
        if message.worker().is_some_and(|worker| worker.node != node) {
            link.close("a word about a worker of another node");
            return;
        }
        match message {
            ToDispatcher::Introduced(introduced) => self.far_introduced(link, introduced),
            ToDispatcher::Offered { slot, epoch, sole } => {
                self.pending.push_back(Step::Offer { slot, epoch, sole });
                self.carry_on();
            }
            ToDispatcher::Taken { slot } => {
                self.feed(Event::Withdraw(Withdrawal::Slot(slot)), None);
            }
            ToDispatcher::Leaves { worker } => {
                self.feed(Event::Withdraw(Withdrawal::Worker(worker)), None);
                self.dismiss_far(worker);
                self.forget_unconfigured();
            }
            ToDispatcher::Placed {
                from,
                slot,
                epoch,
                calls,
            } => {
                if from.worker.node != node || !from.is_ahead() || slot.is_ahead() {
                    link.close("calls were placed that did not wait there");
                    return;
                }
                self.feed(Event::Placed { from, slot, epoch }, None);
                self.placed(slot, &calls);
                self.dismiss_far(from.worker);
            }
            ToDispatcher::Refused { slot, epoch } => {
                self.feed(Event::Refused { slot, epoch }, None);
                self.dismiss_far(slot.worker);
            }
            ToDispatcher::Begun { slot, call } => self.far_begun(link, slot, call),
            ToDispatcher::Ended { slot, call, result } => {
                let result = result.map(|encoding| encoding.payload(payload));
                self.ended(slot, call, result);
            }
            ToDispatcher::Lost { slot, call, error } => {
                self.feed(Event::Lost { slot, call }, Some(Err(error)));
                self.dismiss_far(slot.worker);
            }
            ToDispatcher::Nested(nested) => self.nested(link, nested, payload),
            ToDispatcher::NestedCancel { call } => {
                self.end_relay(node, call);
                let flight = self.calls.get(&call);
                if flight.is_some_and(|flight| flight.is_from(node)) {
                    self.cancel(call);
                }
            }
        }
    }

    fn flow(&mut self, node: NodeId, call: CallId, what: Flow, payload: Bytes) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        match what {
            Flow::Piece(encoding) => {
                if let Some(sender) = peer.incoming.get(&call)
                    && !sender.send(encoding.payload(payload))
                {
                    // The client has left; the worker hears of it by the call's cancellation.
                    peer.incoming.remove(&call);
                }
            }
            Flow::End(result) => {
                if let Some(sender) = peer.incoming.remove(&call) {
                    sender.end(result);
                }
            }
            Flow::Credit(bytes) => {
                if let Some(relay) = peer.outgoing.get(&call) {
                    relay.credit(bytes);
                }
            }
        }
    }

    fn far_introduced(&mut self, link: &Link, introduced: Introduced) {
        let pid = introduced.pid;
        let (program, introduction) = match introduced.open() {
            Ok(opened) => opened,
            Err(error) => {
                link.close(&format!("not the description of a worker: {error}"));
                return;
            }
        };
        self.meet(&program);
        let pool = introduction.pool_hash();
        self.far.insert(introduction.worker, Far { pid, pool });
        self.feed(Event::Introduced(introduction), None);
    }

    /// Forgets a worker of another node that the core has forgotten. One that retires still needs to
    /// hear of stops, until its last call has ended.
    pub(crate) fn dismiss_far(&mut self, worker: WorkerId) {
        if worker.node != self.here && !self.core.knows(worker) {
            self.far.remove(&worker);
        }
    }

    /// Hands calls to a slot of another node. If that cannot be, they keep their places.
    pub(crate) fn assign_far(&mut self, slot: SlotId, epoch: Epoch, calls: &[Assigned]) {
        let payloads = match calls {
            [call] => call.payload.bytes().clone(),
            calls => {
                let mut all = BytesMut::new();
                calls
                    .iter()
                    .for_each(|call| all.extend_from_slice(call.payload.bytes()));
                all.freeze()
            }
        };
        let message = assignment(slot, epoch, calls);
        let peer = self.peers.get(&slot.worker.node);
        let sent = peer.map(|peer| {
            peer.link
                .send(Service::Calls, &Message::from(message), payloads)
        });
        if let (Some(peer), Some(Err(error))) = (peer, &sent) {
            // Its exchange has promised the slot to an assignment that will not come.
            peer.link.close(&format!("cannot send: {error}"));
        }
        if !matches!(sent, Some(Ok(()))) {
            let refused = Event::Refused { slot, epoch };
            self.pending.push_back(Step::Core(refused));
        }
    }

    /// Tells managers how much waits here for a pool of theirs.
    pub(crate) fn say_want(&mut self, want: &PoolWant) {
        let age = self.now().since(want.since);
        let dispatcher = self.here;
        let near = Want {
            pool: want.pool,
            class: want.class,
            age,
            waiting: want.waiting,
        };
        let trade = Trade::Want {
            dispatcher,
            want: near,
        };
        self.pending.push_back(Step::Trade(trade));
        let message = || ToManager::Want {
            pool: want.pool,
            class: want.class,
            oldest_us: u64::try_from(age.as_micros()).unwrap_or(u64::MAX),
            waiting: u32::try_from(want.waiting).unwrap_or(u32::MAX),
        };
        let workers = self.far.iter().filter(|(_, far)| far.pool == want.pool);
        let mut nodes: Vec<NodeId> = workers.map(|(worker, _)| worker.node).collect();
        nodes.dedup();
        // Not always the same: where there are many each gets its share.
        let first = self.told % nodes.len().max(1);
        self.told = self.told.wrapping_add(TOLD_MAX);
        let told = nodes.iter().cycle().skip(first);
        for node in told.take(TOLD_MAX.min(nodes.len())) {
            self.say_to(*node, message());
        }
    }

    fn far_begun(&mut self, link: &Link, slot: SlotId, call: CallId) {
        if self.core.slot_of(call) != Some(slot) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&link.peer().node) else {
            return;
        };
        let link = link.clone();
        let (sender, pieces) = stream(Box::new(LinkCredit { call, link }));
        peer.incoming.insert(call, sender);
        self.begun(slot, call, pieces);
    }

    /// A worker on another node, in a call that was dispatched here, makes a call.
    fn nested(&mut self, link: &Link, nested: NestedCall, payload: Bytes) {
        let node = link.peer().node;
        let id = nested.id;
        let runs_there = |parent| {
            let slot: Option<SlotId> = self.core.slot_of(parent);
            slot.is_some_and(|slot| slot.worker.node == node)
        };
        let opened = if !runs_there(nested.parent) {
            let message = "expected a call inside a running one, its parent has ended";
            Err(CallError::new(Code::NotAllowed, message))
        } else if self.knows(id) {
            Err(CallError::new(Code::BadRequest, "a call of this id runs"))
        } else {
            nested.open(payload).and_then(|call| {
                let checked = call.check_limits();
                let bad = |excess| CallError::new(Code::BadRequest, excess);
                checked.map(|()| call).map_err(bad)
            })
        };
        match opened {
            Ok(call) => self.call(Box::new(call), Origin::Node(node)),
            Err(error) => self.reply_to(node, id, Reply::unanswered(id.number, error)),
        }
    }

    /// Sends the reply to a nested call back to the node of the worker that made it.
    pub(crate) fn reply_to(&mut self, node: NodeId, call: CallId, reply: Reply) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let message = ToManager::NestedEnded(NestedReply::new(call, &reply));
        match reply.result {
            Ok(Answer::Whole(payload)) => {
                say_with(&peer.link, message, payload.bytes().clone());
            }
            Ok(Answer::Stream(pieces)) => {
                say(&peer.link, message);
                peer.relay(call, pieces);
            }
            Err(_) => say(&peer.link, message),
        }
    }

    /// Gives a call to the node that dispatched its parent: only that one can tell whether it would
    /// wait for its own ancestors, and ends it together with them.
    pub(crate) fn send_nested(
        &mut self,
        node: NodeId,
        parent: CallId,
        call: &Call,
        answer: oneshot::Sender<Reply>,
    ) {
        let Some(peer) = self.peers.get_mut(&node) else {
            // The parent is to stop, too: whoever wanted its answer is gone.
            let _ = answer.send(Reply::unanswered(call.number, self.dispatcher_gone(node)));
            return;
        };
        let message = ToDispatcher::Nested(NestedCall::new(call, parent));
        peer.nested.insert(call.id(), answer);
        say_with(&peer.link, message, call.payload.bytes().clone());
    }

    /// Cancels a nested call that is dispatched elsewhere. False if there is none of that id.
    pub(crate) fn cancel_nested(&mut self, call: CallId) -> bool {
        for peer in self.peers.values_mut() {
            let waited = peer.nested.remove(&call).is_some();
            // After a streamed answer only the stream is left of it.
            if waited || peer.incoming.remove(&call).is_some() {
                say(&peer.link, ToDispatcher::NestedCancel { call });
                return true;
            }
        }
        false
    }

    fn nested_ended(&mut self, link: &Link, reply: NestedReply, payload: Bytes) {
        let Some(peer) = self.peers.get_mut(&link.peer().node) else {
            return;
        };
        let call = reply.call;
        let Some(answer) = peer.nested.remove(&call) else {
            return;
        };
        let result = match &reply.result {
            Ok(NestedAnswer::Whole(encoding)) => {
                Ok(Answer::Whole(encoding.clone().payload(payload)))
            }
            Ok(NestedAnswer::Stream) => {
                let link = link.clone();
                let (sender, pieces) = stream(Box::new(LinkCredit { call, link }));
                peer.incoming.insert(call, sender);
                Ok(Answer::Stream(pieces))
            }
            Err(error) => Err(error.clone()),
        };
        let mut reply = reply.open(result);
        let program = reply.worker.and_then(|id| self.core.program_of(id));
        reply.program = program.cloned();
        // If the worker has gone, so has its wish.
        let _ = answer.send(reply);
    }

    fn dispatcher_gone(&self, node: NodeId) -> CallError {
        let name = self.name_of(node);
        let message = format!("node {name}, which dispatched the call, is gone");
        CallError::new(Code::WorkerLost, message)
    }

    /// What people call a node.
    pub(crate) fn name_of(&self, node: NodeId) -> Arc<str> {
        let name = self.names.get(&node);
        name.cloned().unwrap_or_else(|| node.0.to_string().into())
    }

    /// Nobody reads a stream any more that goes to another node.
    fn end_relay(&mut self, node: NodeId, call: CallId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.outgoing.remove(&call);
        }
    }

    /// Sends a message to another node. Without a link there is nobody to tell.
    pub(crate) fn say_to(&self, node: NodeId, message: impl Into<Message>) {
        self.say_to_with(node, message, Bytes::new());
    }

    /// As [`Loop::say_to`], with a payload.
    pub(crate) fn say_to_with(&self, node: NodeId, message: impl Into<Message>, payload: Bytes) {
        if let Some(peer) = self.peers.get(&node) {
            say_with(&peer.link, message, payload);
        }
    }

    /// Sends a stream of a worker here to the node that dispatched its call.
    pub(crate) fn relay(&mut self, node: NodeId, call: CallId, pieces: Pieces) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.relay(call, pieces);
        }
    }
}
