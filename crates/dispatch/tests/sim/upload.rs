//! Inputs of calls: what clients send, and what workers make of it. Its bytes tell their place and
//! their call, so whoever reads an input to its end knows whether it is the right one.

use crate::chance::Chance;
use crate::ledger::Ledger;
use bytes::Bytes;
use dispatch::{BrokenInput, CREDIT, Input, InputSender, input};
use std::time::Duration;

/// Of a hundred calls of what reads inputs, those that have one.
const INPUTS_PERCENT: u64 = 15;
/// Of a hundred inputs, those that are longer than their credit.
const LONG_PERCENT: u64 = 10;
/// Of a hundred clients with an input, those that leave in the middle.
const BREAKING_PERCENT: u64 = 10;
/// Bytes of an input that are alike.
const LINE: usize = 1_024;
/// Bytes that a client sends at a time.
const PART: usize = 40_000;

/// The input of a call. A piece of it that comes too early, too late or for another call is not it.
fn data(call: u64, bytes: usize) -> Vec<u8> {
    let line = |number: usize| (number as u64).wrapping_mul(31).wrapping_add(call);
    let lines = (0..bytes.div_ceil(LINE)).map(|number| line(number).to_le_bytes().repeat(LINE / 8));
    let mut all: Vec<u8> = lines.flatten().collect();
    all.truncate(bytes);
    all
}

/// Perhaps an input for a call, and the client that sends it. Without faults nobody leaves.
pub fn any_input(
    call: u64,
    chance: &mut Chance,
    ledger: &Ledger,
    has_faults: bool,
) -> Option<Input> {
    if !chance.percent(INPUTS_PERCENT) {
        return None;
    }
    let most = match chance.percent(LONG_PERCENT) {
        true => CREDIT + 100_000,
        false => 3_000,
    };
    let bytes = usize::try_from(chance.below(most as u64)).expect("it is short");
    let breaks = has_faults && chance.percent(BREAKING_PERCENT);
    let pause = chance.millis(0, 15);
    ledger.uploads(call, bytes);
    let (sender, input) = input(None);
    tokio::spawn(send(sender, call, bytes, breaks, pause));
    Some(input)
}

async fn send(mut sender: InputSender, call: u64, bytes: usize, breaks: bool, pause: Duration) {
    let mut left = Bytes::from(data(call, bytes));
    left.truncate(if breaks { bytes / 2 } else { bytes });
    while !left.is_empty() {
        tokio::time::sleep(pause).await;
        let part = left.split_to(left.len().min(PART));
        if sender.send(part).await.is_err() {
            return;
        }
    }
    if !breaks {
        sender.end();
    }
}

/// Reads an input to its end, and tells the ledger what came.
pub async fn read(call: u64, input: &Input, ledger: &Ledger) -> Result<(), BrokenInput> {
    let mut reader = input.read().ok_or(BrokenInput)?;
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await {
        all.extend_from_slice(&piece?);
    }
    ledger.read(call, all.len(), all == data(call, all.len()));
    Ok(())
}
