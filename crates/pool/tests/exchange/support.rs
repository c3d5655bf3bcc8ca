//! How the tests write events down: a [`Script`] feeds them to an exchange, one at a time, and
//! gives back what it commands. The invariants are asserted after each.

use pool::exchange::{Command, Event, Exchange, Want};
use pool::{Class, Epoch, NodeId, SlotId, Time, WorkerId};
use std::time::Duration;

/// The pool of the workers of these tests, unless they say another.
pub const POOL: u64 = 7;

pub struct Script {
    pub exchange: Exchange,
    now_ms: u64,
}

impl Script {
    /// So many dispatchers, numbered from 1, and worker 1 with so many slots, none of them free.
    pub fn new(dispatchers: u32, slots: u16) -> Self {
        let mut script = Self {
            exchange: Exchange::default(),
            now_ms: 0,
        };
        for number in 1..=dispatchers {
            assert_eq!(script.feed(Event::Joined(NodeId(number))), []);
        }
        script.introduce(1, POOL, slots);
        script
    }

    pub fn at(&mut self, ms: u64) -> &mut Self {
        self.now_ms = ms;
        self
    }

    pub fn feed(&mut self, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        let now = Time::default().after(Duration::from_millis(self.now_ms));
        self.exchange.handle(now, event, &mut commands);
        self.exchange.assert_invariants();
        commands
    }

    pub fn introduce(&mut self, number: u32, pool: u64, slots: u16) -> Vec<Command> {
        let worker = worker(number);
        self.feed(Event::Introduced {
            worker,
            pool,
            slots,
        })
    }

    pub fn free(&mut self, slot: SlotId) -> Vec<Command> {
        self.feed(Event::Free { slot })
    }

    pub fn assign(&mut self, dispatcher: u32, slot: SlotId, epoch: u64) -> Vec<Command> {
        self.feed(Event::Assign {
            dispatcher: NodeId(dispatcher),
            slot,
            epoch: Epoch(epoch),
        })
    }

    pub fn release(&mut self, dispatcher: u32, slot: SlotId, epoch: u64) -> Vec<Command> {
        self.feed(Event::Release {
            dispatcher: NodeId(dispatcher),
            slot,
            epoch: Epoch(epoch),
        })
    }

    /// A dispatcher has calls of class normal that wait for [`POOL`].
    pub fn want(&mut self, dispatcher: u32, age_ms: u64, waiting: usize) {
        self.want_of(dispatcher, Class::Normal, age_ms, waiting);
    }

    pub fn want_of(&mut self, dispatcher: u32, class: Class, age_ms: u64, waiting: usize) {
        let want = Want {
            pool: POOL,
            class,
            age: Duration::from_millis(age_ms),
            waiting,
        };
        let dispatcher = NodeId(dispatcher);
        assert_eq!(self.feed(Event::Want { dispatcher, want }), []);
    }

    /// To whom the slot, which becomes free, is promised alone.
    pub fn promised_to(&mut self, slot: SlotId) -> Option<u32> {
        match self.free(slot).as_slice() {
            [
                Command::Offer {
                    dispatcher,
                    sole: true,
                    ..
                },
            ] => Some(dispatcher.0),
            offers => {
                let is_shared =
                    |offer: &Command| matches!(offer, Command::Offer { sole: false, .. });
                assert!(offers.iter().all(is_shared), "{offers:?}");
                None
            }
        }
    }
}

pub fn worker(number: u32) -> WorkerId {
    WorkerId {
        node: NodeId(0),
        number,
    }
}

/// A slot of worker 1.
pub fn slot(index: u16) -> SlotId {
    slot_of(1, index)
}

pub fn slot_of(number: u32, index: u16) -> SlotId {
    SlotId {
        worker: worker(number),
        index,
    }
}

pub fn offer(dispatcher: u32, slot: SlotId, epoch: u64) -> Command {
    Command::Offer {
        dispatcher: NodeId(dispatcher),
        slot,
        epoch: Epoch(epoch),
        sole: false,
    }
}

pub fn promise(dispatcher: u32, slot: SlotId, epoch: u64) -> Command {
    Command::Offer {
        dispatcher: NodeId(dispatcher),
        slot,
        epoch: Epoch(epoch),
        sole: true,
    }
}

pub fn take(dispatcher: u32, slot: SlotId, epoch: u64) -> Command {
    Command::Take {
        dispatcher: NodeId(dispatcher),
        slot,
        epoch: Epoch(epoch),
    }
}

pub fn refuse(dispatcher: u32, slot: SlotId, epoch: u64) -> Command {
    Command::Refuse {
        dispatcher: NodeId(dispatcher),
        slot,
        epoch: Epoch(epoch),
    }
}

pub fn withdraw(dispatcher: u32, slot: SlotId) -> Command {
    Command::Withdraw {
        dispatcher: NodeId(dispatcher),
        slot,
    }
}
