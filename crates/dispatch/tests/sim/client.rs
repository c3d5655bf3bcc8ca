//! Makes calls, and tells the ledger what becomes of them.

use crate::chance::Chance;
use crate::fleet::{AGAIN, Fleet, LEAF, ONCE, TREE};
use crate::ledger::{Ledger, Made};
use crate::upload::any_input;
use dispatch::{Call, CallError, Reply};
use pool::{Class, Details};
use std::time::Duration;
use term::{Payload, Shape};
use tokio::time::Instant;

/// Of a hundred callers, those that do not wait for the answer.
const LEAVING_PERCENT: u64 = 5;

/// How long calls that must be answered may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tells the ledger that a caller has left, unless it got its reply.
struct Leave {
    ledger: Ledger,
    number: u64,
    is_open: bool,
}

impl Leave {
    fn replied(mut self, reply: &Reply) {
        self.is_open = false;
        self.ledger.replied(self.number, reply);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if self.is_open {
            self.ledger.left(self.number);
        }
    }
}

/// Makes a call whose answer is known by `deadline`; an error if there is none.
pub async fn make(
    fleet: &Fleet,
    mut call: Call,
    deadline: Instant,
    must_be_answered: bool,
) -> Result<(), CallError> {
    let node = fleet.shared();
    let ledger = node.world.ledger.clone();
    let elapsed = turmoil::sim_elapsed().expect("in a simulation");
    call.deadline = Some(deadline);
    let number = call.number;
    let made = Made {
        node: node.node,
        // What has an input is made once.
        is_idempotent: call.idempotent.unwrap_or(&*call.function == AGAIN) && call.input.is_none(),
        is_nested: call.parent.is_some(),
        must_be_answered,
        deadline: elapsed + deadline.saturating_duration_since(Instant::now()),
    };
    ledger.made(number, made);
    let leave = Leave {
        ledger,
        number,
        is_open: true,
    };
    let reply = node.caller.call(call).await;
    leave.replied(&reply);
    reply.result.map(|_| ())
}

/// The clients of one node.
pub struct Clients {
    pub node: Fleet,
    pub chance: Chance,
    /// Between two calls, in milliseconds.
    pub pause_ms: u64,
}

impl Clients {
    /// Makes calls for as long as there are faults.
    pub async fn run(mut self) {
        while self.node.shared().world.has_faults() {
            let call = self.call();
            let lasts = match self.chance.percent(20) {
                true => self.chance.millis(20, 400),
                false => self.chance.millis(400, 2_900),
            };
            let patience = self.chance.percent(LEAVING_PERCENT);
            let patience = patience.then(|| self.chance.millis(1, 200));
            let node = self.node.clone();
            tokio::spawn(async move {
                let made = make(&node, call, Instant::now() + lasts, false);
                match patience {
                    Some(patience) => drop(tokio::time::timeout(patience, made).await),
                    None => drop(made.await),
                }
            });
            let pause = self.chance.millis(1, 2 * self.pause_ms);
            tokio::time::sleep(pause).await;
        }
    }

    /// Calls that must be answered, one after another.
    pub async fn round(mut self, count: u32) {
        for _ in 0..count {
            let call = self.call();
            // The ledger says what went wrong.
            let _ = make(&self.node, call, Instant::now() + PATIENCE, true).await;
        }
        self.node.shared().world.ledger.note("round", 0);
    }

    fn call(&mut self) -> Call {
        let kind = if self.chance.percent(70) { LEAF } else { TREE };
        let function = self.chance.pick(&[AGAIN, ONCE]);
        let payload = Payload::Json("{}".into());
        let number = self.node.shared().numbers.next();
        let shape = Shape::Named(Vec::new());
        let mut call = Call::new(number, Details::of_kind(kind), function, payload, shape);
        if kind == LEAF {
            let world = &self.node.shared().world;
            let (ledger, has_faults) = (&world.ledger, world.has_faults());
            call.input = any_input(number, &mut self.chance, ledger, has_faults);
        }
        call.idempotent = self.chance.pick(&[None, None, Some(true), Some(false)]);
        call.class = self.chance.pick(&[Class::High, Class::Normal, Class::Low]);
        call
    }
}
