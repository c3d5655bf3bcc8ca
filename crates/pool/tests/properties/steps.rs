//! What may happen, in small numbers that shrink well. A `pick` chooses among whatever is there
//! when the step is taken.

use pool::Class;
use proptest::prelude::*;

pub const PROGRAMS: u8 = 3;
pub const NODES: u32 = 2;
pub const WORKERS_PER_NODE: u32 = 4;
pub const VERSIONS: u8 = 3;

#[derive(Debug, Clone)]
pub enum Step {
    Program {
        program: u8,
        weight: u32,
        timeout_ms: u64,
        queue_max: usize,
        bytes_max: usize,
    },
    Removed {
        program: u8,
    },
    Introduce {
        node: u32,
        number: u32,
        program: u8,
        version: u8,
        slots: u16,
        batch_max: u16,
    },
    /// The epoch is the newest of the slot and this much more. A busy slot is offered only if that
    /// is forced; it says that the outcome will not come.
    Offer {
        pick: usize,
        ahead: i64,
        forced: bool,
    },
    WithdrawSlot {
        pick: usize,
    },
    WithdrawWorker {
        pick: usize,
    },
    WithdrawNode {
        node: u32,
    },
    Call(NewCall),
    Cancel {
        pick: usize,
    },
    Accept {
        pick: usize,
    },
    /// If it was accepted before, the core is to ignore it. So it is with the epoch before.
    Refuse {
        pick: usize,
        stale: bool,
    },
    End {
        pick: usize,
        lost: bool,
    },
    /// Some call is said to have ended in some slot, which may be wrong or long ago.
    Stray {
        slot: usize,
        call: usize,
    },
    Pass {
        ms: u64,
    },
    /// Time passes up to the next deadline.
    PassToDeadline,
    Tick,
}

#[derive(Debug, Clone)]
pub struct NewCall {
    /// The version it asks for; none asks for the kind alone.
    pub version: Option<u8>,
    pub function: u8,
    pub class: Class,
    pub key: Option<u64>,
    pub seed: u64,
    pub timeout_ms: Option<u64>,
    pub bytes: usize,
    pub input: bool,
    /// One worker to avoid, as node and number.
    pub avoid_worker: Option<(u32, u32)>,
    pub avoid_node: Option<u32>,
    /// Chooses the parent among the running calls.
    pub parent: Option<usize>,
}

pub fn any_step() -> impl Strategy<Value = Step> {
    let pick = || any::<u16>().prop_map(usize::from);
    prop_oneof![
        2 => any_program(),
        1 => (0..PROGRAMS).prop_map(|program| Step::Removed { program }),
        6 => any_introduction(),
        16 => (pick(), prop_oneof![6 => Just(1), 1 => -2_i64..4], prop::bool::weighted(0.1))
            .prop_map(|(pick, ahead, forced)| Step::Offer { pick, ahead, forced }),
        1 => pick().prop_map(|pick| Step::WithdrawSlot { pick }),
        2 => pick().prop_map(|pick| Step::WithdrawWorker { pick }),
        1 => (0..NODES).prop_map(|node| Step::WithdrawNode { node }),
        20 => any_call().prop_map(Step::Call),
        3 => pick().prop_map(|pick| Step::Cancel { pick }),
        6 => pick().prop_map(|pick| Step::Accept { pick }),
        3 => (pick(), prop::bool::weighted(0.2)).prop_map(|(pick, stale)| Step::Refuse { pick, stale }),
        12 => (pick(), any::<bool>()).prop_map(|(pick, lost)| Step::End { pick, lost }),
        1 => (pick(), pick()).prop_map(|(slot, call)| Step::Stray { slot, call }),
        5 => (0..400_u64).prop_map(|ms| Step::Pass { ms }),
        2 => Just(Step::PassToDeadline),
        3 => Just(Step::Tick),
    ]
}

fn any_program() -> impl Strategy<Value = Step> {
    (
        0..PROGRAMS,
        0..3_u32,
        1..2_000_u64,
        0..5_usize,
        prop_oneof![Just(1_000), 0..60_usize],
    )
        .prop_map(
            |(program, weight, timeout_ms, queue_max, bytes_max)| Step::Program {
                program,
                weight,
                timeout_ms,
                queue_max,
                bytes_max,
            },
        )
}

fn any_introduction() -> impl Strategy<Value = Step> {
    (
        0..NODES,
        0..WORKERS_PER_NODE,
        0..PROGRAMS,
        0..VERSIONS,
        1..4_u16,
        1..4_u16,
    )
        .prop_map(
            |(node, number, program, version, slots, batch_max)| Step::Introduce {
                node,
                number,
                program,
                version,
                slots,
                batch_max,
            },
        )
}

fn any_call() -> impl Strategy<Value = NewCall> {
    let class = prop_oneof![Just(Class::Normal), Just(Class::High), Just(Class::Low)];
    (
        (prop::option::of(0..VERSIONS), 0..3_u8, class),
        (prop::option::weighted(0.2, 0..3_u64), any::<u64>()),
        (
            prop::option::weighted(0.4, 0..1_000_u64),
            0..30_usize,
            prop::bool::weighted(0.2),
        ),
        prop::option::weighted(0.15, (0..NODES, 0..WORKERS_PER_NODE)),
        prop::option::weighted(0.05, 0..NODES),
        prop::option::weighted(0.2, any::<u16>().prop_map(usize::from)),
    )
        .prop_map(
            |(what, choice, size, avoid_worker, avoid_node, parent)| NewCall {
                version: what.0,
                function: what.1,
                class: what.2,
                key: choice.0,
                seed: choice.1,
                timeout_ms: size.0,
                bytes: size.1,
                input: size.2,
                avoid_worker,
                avoid_node,
                parent,
            },
        )
}
