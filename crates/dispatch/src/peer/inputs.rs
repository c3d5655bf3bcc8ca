//! The inputs of calls that run on another node than the one that their clients came to.
//!
//! The dispatcher's node keeps an input as it is until the manager's node asks for some of it, with
//! the worker's first grant: a refusal finds it whole. Pieces and credit travel as those of streamed
//! answers do, the other way round. A call has an input for as long as it has a place on both nodes,
//! and nothing besides; so whatever ends the one, ends the other.

use super::message::{AssignedCall, Encoding, Flow, InputHead, Message, ToManager};
use super::relay::LinkCredit;
use crate::input::{InputSender, InputSink, input_from};
use crate::shell::Loop;
use crate::slots::Assigned;
use bytes::Bytes;
use pool::{CallId, Epoch, NodeId, SlotId};
use wire::{Link, Service};

/// What hands calls to a slot of another node.
pub(crate) fn assignment(slot: SlotId, epoch: Epoch, calls: &[Assigned]) -> ToManager {
    let inputs = calls.iter().map(|call| {
        let input = call.input.as_ref()?;
        let content_type = input.content_type().cloned();
        Some(InputHead { content_type })
    });
    let of_wire = calls.iter().map(AssignedCall::new).collect();
    if calls.iter().all(|call| call.input.is_none()) {
        return ToManager::Assign {
            slot,
            epoch,
            calls: of_wire,
        };
    }
    ToManager::AssignWithInputs {
        slot,
        epoch,
        calls: of_wire,
        inputs: inputs.collect(),
    }
}

/// The way of an input to the node whose worker reads it.
pub(crate) struct LinkSink {
    pub call: CallId,
    pub link: Link,
}

impl LinkSink {
    fn say(&self, what: Flow, payload: Bytes) {
        let call = self.call;
        let sent = self
            .link
            .send(Service::Calls, &Message::Stream { call, what }, payload);
        if let Err(error) = sent {
            self.link.close(&format!("cannot send: {error}"));
        }
    }
}

impl InputSink for LinkSink {
    fn piece(&mut self, piece: Bytes) {
        // What it is was said with the assignment.
        self.say(Flow::Piece(Encoding::Bytes("".into())), piece);
    }

    fn end(&mut self) {
        self.say(Flow::End(Ok(())), Bytes::new());
    }
}

impl Loop {
    /// Takes calls for a slot here, some with inputs, which are asked for over the link.
    pub(crate) fn assigned(
        &mut self,
        link: &Link,
        slot: SlotId,
        epoch: Epoch,
        (calls, inputs): (Vec<AssignedCall>, Vec<Option<InputHead>>),
        mut payloads: Bytes,
    ) {
        let calls = calls.into_iter().map(|call| call.open(&mut payloads));
        let calls: Option<Vec<_>> = calls.collect();
        let Some(mut calls) = calls.filter(|calls| self.is_sound(slot, calls)) else {
            link.close("an assignment that cannot be");
            return;
        };
        let mut senders = Vec::new();
        for (call, head) in calls.iter_mut().zip(inputs) {
            if let Some(InputHead { content_type }) = head {
                let (id, link) = (call.id, link.clone());
                let source = Box::new(LinkCredit { call: id, link });
                let (sender, input) = input_from(content_type, source);
                call.input = Some(input);
                senders.push((id, sender));
            }
        }
        self.take(link.peer().node, slot, epoch, calls);
        for (id, sender) in senders {
            if let Some(lent) = self.lent.get_mut(&id) {
                lent.input = Some(sender);
            }
        }
    }

    /// Does what is said about the input of a call. What is about something else is given back.
    pub(crate) fn flow_of_input(
        &mut self,
        link: &Link,
        call: CallId,
        what: &Flow,
        payload: Bytes,
    ) -> Option<Bytes> {
        let node = link.peer().node;
        let done = match what {
            Flow::Credit(bytes) => {
                let slot = self.core.slot_of(call);
                let flight = self.calls.get_mut(&call);
                let flight = flight.filter(|flight| flight.call.input.is_some());
                match flight.filter(|_| slot.is_some_and(|slot| slot.worker.node == node)) {
                    Some(flight) => flight.grant(*bytes, link),
                    None => return Some(payload),
                }
            }
            Flow::Piece(_) => match self.lent_input(node, call) {
                Some(input) => input.pass(payload),
                None => return Some(payload),
            },
            Flow::End(_) => {
                if self.lent_input(node, call).is_none() {
                    return Some(payload);
                }
                let lent = self.lent.get_mut(&call);
                if let Some(input) = lent.and_then(|lent| lent.input.take()) {
                    input.end();
                }
                Ok(())
            }
        };
        if let Err(error) = done {
            link.close(&error.to_string());
        }
        None
    }

    /// The input of a call that a node has given to a worker here; none if it has none.
    fn lent_input(&self, node: NodeId, call: CallId) -> Option<&InputSender> {
        let lent = self.lent.get(&call)?;
        lent.input.as_ref().filter(|_| lent.dispatcher == node)
    }
}
