//! The managers' side of the network: exchanges, workers, and what waits ahead.

use super::{Down, Network, Up, pick};
use pool::exchange::{Command as Decision, Event as Happening};
use pool::{Calls, NodeId, SlotId};

impl Network {
    pub(super) fn receive_up(&mut self, node: usize, at: usize, message: Up) {
        let dispatcher = NodeId(u32::try_from(at).expect("few"));
        match message {
            Up::Assign(slot, epoch, calls) => {
                let event = Happening::Assign {
                    dispatcher,
                    slot,
                    epoch,
                };
                if slot.is_ahead() {
                    self.assign_ahead(node, at, event, calls);
                    return;
                }
                self.decide(node, event, calls);
                let answered = !self.nodes[node].coming.contains(&(at, slot, epoch));
                assert!(answered, "neither taken nor refused: {slot:?} {epoch:?}");
            }
            Up::Release(slot, epoch) => {
                let event = Happening::Release {
                    dispatcher,
                    slot,
                    epoch,
                };
                self.decide(node, event, Calls::new());
            }
            Up::Want(want) => {
                self.decide(node, Happening::Want { dispatcher, want }, Calls::new());
            }
        }
    }

    /// What is given to a place ahead waits there, unless it is refused or gets a slot at once.
    fn assign_ahead(&mut self, node: usize, at: usize, event: Happening, calls: Calls) {
        let Happening::Assign { slot, epoch, .. } = event else {
            unreachable!("only assignments come here")
        };
        let before = self.nodes[node].ahead.insert(slot, (at, epoch, calls));
        self.decide(node, event, Calls::new());
        if let Some(before) = before {
            // This one came too late.
            assert!(!self.nodes[node].coming.contains(&(at, slot, epoch)));
            self.nodes[node].ahead.insert(slot, before);
        }
    }

    /// What waits ahead is not wanted any more.
    pub fn give_up_ahead(&mut self, at: usize) {
        let node = at % self.nodes.len();
        let places: Vec<SlotId> = self.nodes[node].ahead.keys().copied().collect();
        if let Some(slot) = pick(&places, at / self.nodes.len()) {
            self.decide(node, Happening::Declined { slot }, Calls::new());
        }
    }

    /// Time has passed at every node.
    pub fn tick(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.decide(node, Happening::Tick, Calls::new()));
    }

    /// Something happens to an exchange; `calls` are those of an assignment.
    pub(super) fn decide(&mut self, node: usize, event: Happening, calls: Calls) {
        let mut decisions = Vec::new();
        let exchange = &mut self.nodes[node].exchange;
        exchange.handle(self.now, event, &mut decisions);
        if self.checks {
            exchange.assert_invariants();
        }
        self.events += 1;
        for decision in decisions {
            self.carry_out(node, decision, &calls);
        }
    }

    fn carry_out(&mut self, node: usize, decision: Decision, calls: &Calls) {
        let state = &mut self.nodes[node];
        match decision {
            Decision::Introduce { dispatcher, worker } => {
                self.send(node, dispatcher.0 as usize, Down::Introduce(worker));
            }
            Decision::Retire { dispatcher, worker } => {
                self.send(node, dispatcher.0 as usize, Down::Retire(worker));
            }
            Decision::Offer {
                dispatcher,
                slot,
                epoch,
                sole,
            } => {
                let free = !state.running.contains_key(&slot);
                assert!(free, "{slot:?} is offered and not free");
                self.send(node, dispatcher.0 as usize, Down::Offer(slot, epoch, sole));
            }
            Decision::Withdraw { dispatcher, slot } => {
                self.send(node, dispatcher.0 as usize, Down::Withdraw(slot));
            }
            Decision::Take {
                dispatcher,
                slot,
                epoch,
            } => {
                let at = dispatcher.0 as usize;
                let was_due = state.coming.remove(&(at, slot, epoch));
                assert!(was_due, "taken, but not assigned");
                let before = state.running.insert(slot, (Some(at), calls.clone()));
                assert!(before.is_none(), "{slot:?} is taken twice");
                for call in calls {
                    assert!(self.started.insert(*call), "{call} runs twice");
                }
            }
            Decision::Place {
                dispatcher,
                from,
                slot,
                epoch,
            } => {
                let at = dispatcher.0 as usize;
                let (of, was, calls) = state.ahead.remove(&from).expect("it waits there");
                assert_eq!(of, at, "placed for another");
                assert!(
                    state.coming.remove(&(at, from, was)),
                    "placed, but not assigned"
                );
                let before = state.running.insert(slot, (Some(at), calls.clone()));
                assert!(before.is_none(), "{slot:?} is taken twice");
                for call in calls {
                    assert!(self.started.insert(call), "{call} runs twice");
                }
                self.placed += 1;
                self.send(node, at, Down::Placed(from, slot, epoch));
            }
            Decision::Refuse {
                dispatcher,
                slot,
                epoch,
            } => {
                let waits = state.ahead.get(&slot);
                if waits.is_some_and(|(at, of, _)| (*at, *of) == (dispatcher.0 as usize, epoch)) {
                    state.ahead.remove(&slot);
                }
                // A worker that declines had been given it.
                let at = dispatcher.0 as usize;
                state.coming.remove(&(at, slot, epoch));
                self.refused += 1;
                self.send(node, at, Down::Refuse(slot, epoch));
            }
            Decision::Abandoned { slot, .. } if slot.is_ahead() => {
                assert!(state.ahead.remove(&slot).is_some(), "nothing waits there");
            }
            Decision::Abandoned { slot, .. } => {
                let held = state.running.get_mut(&slot).expect("it was taken");
                assert!(held.0.take().is_some(), "{slot:?} is abandoned twice");
            }
        }
    }
}
