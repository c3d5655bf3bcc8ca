//! What others do: the ideal queue, queues in one place, and the policies that bind a call to a
//! worker as it arrives. Each gives back how long every call waited until its worker began.

use super::Outcome;
use super::agenda::{Agenda, Nanos};
use super::network::Delay;
use super::workload::Call;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// One queue, first in, first out, that knows at once when a slot is free and loses no time.
pub fn ideal(calls: &[Call], slots: usize) -> Outcome {
    let mut free_at: BinaryHeap<_> = (0..slots).map(|_| Reverse(0)).collect();
    let serve = |call: &Call| {
        let Reverse(free) = free_at.pop().expect("each turn puts back what it takes");
        let start = call.at.max(free);
        free_at.push(Reverse(start + call.run));
        start - call.at
    };
    Outcome {
        waits: calls.iter().map(serve).collect(),
        messages: 0,
        frames: 0,
    }
}

/// One queue in one place, a network away from all slots, and `hops` away from where calls arrive.
pub fn central(calls: &[Call], slots: usize, hops: u64, seed: u64) -> Outcome {
    enum Event {
        Arrives(usize),
        Free,
        Starts(usize),
    }
    let mut delay = Delay::new(seed);
    let mut agenda = Agenda::default();
    for (index, call) in calls.iter().enumerate() {
        let way: Nanos = (0..hops).map(|_| delay.draw()).sum();
        agenda.plan(call.at + way, Event::Arrives(index));
    }
    let mut waits = vec![0; calls.len()];
    let (mut free, mut queue) = (slots, VecDeque::new());
    while let Some((now, event)) = agenda.next() {
        match event {
            Event::Arrives(index) => queue.push_back(index),
            Event::Free => free += 1,
            Event::Starts(index) => {
                waits[index] = now - calls[index].at;
                agenda.plan(now + calls[index].run + delay.draw(), Event::Free);
            }
        }
        while free > 0
            && let Some(index) = queue.pop_front()
        {
            free -= 1;
            agenda.plan(now + delay.draw(), Event::Starts(index));
        }
    }
    // Its way to the queue, the assignment, and the outcome with the free slot.
    let messages = (hops + 2) * calls.len() as u64;
    Outcome {
        waits,
        messages,
        frames: messages,
    }
}

/// How a call is bound to a worker as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// To any.
    Random,
    /// To the shorter queue of two, which are known without asking.
    TwoChoices,
    /// To one that has told this dispatcher, chosen at random, that it is idle; to any if none has
    /// (Lu et al., "Join-Idle-Queue", Performance Evaluation 2011).
    JoinIdleQueue,
}

/// Queues at the workers, of one slot each.
pub fn early(calls: &[Call], slots: usize, dispatchers: usize, how: Early, seed: u64) -> Outcome {
    enum Event {
        Arrives(usize),
        Reaches(usize, usize),
        Ends(usize),
        Idle(usize, usize),
    }
    let mut delay = Delay::new(seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut agenda = Agenda::default();
    let mut queues: Vec<VecDeque<usize>> = vec![VecDeque::new(); slots];
    let mut idle: Vec<Vec<usize>> = vec![Vec::new(); dispatchers];
    let mut messages = 2 * calls.len() as u64;
    for slot in 0..slots {
        idle[slot % dispatchers].push(slot);
    }
    for (index, call) in calls.iter().enumerate() {
        agenda.plan(call.at, Event::Arrives(index));
    }
    let mut waits = vec![0; calls.len()];
    while let Some((now, event)) = agenda.next() {
        let slot = match event {
            Event::Arrives(index) => {
                let any = random.usize(0..slots);
                let slot = match how {
                    Early::Random => any,
                    Early::TwoChoices => {
                        let other = random.usize(0..slots);
                        if queues[other].len() < queues[any].len() {
                            other
                        } else {
                            any
                        }
                    }
                    Early::JoinIdleQueue => idle[calls[index].dispatcher].pop().unwrap_or(any),
                };
                agenda.plan(now + delay.draw(), Event::Reaches(slot, index));
                continue;
            }
            Event::Idle(dispatcher, slot) => {
                idle[dispatcher].push(slot);
                continue;
            }
            Event::Reaches(slot, index) => {
                queues[slot].push_back(index);
                if queues[slot].len() > 1 {
                    continue;
                }
                slot
            }
            Event::Ends(slot) => {
                queues[slot].pop_front();
                slot
            }
        };
        if let Some(&index) = queues[slot].front() {
            waits[index] = now - calls[index].at;
            agenda.plan(now + calls[index].run, Event::Ends(slot));
        } else if how == Early::JoinIdleQueue {
            messages += 1;
            let dispatcher = random.usize(0..dispatchers);
            agenda.plan(now + delay.draw(), Event::Idle(dispatcher, slot));
        }
    }
    Outcome {
        waits,
        messages,
        frames: messages,
    }
}
