//! Members and masters over a network in memory, in paused time: who sees whom, and when; what
//! masters pass on; what the leader orders. `cluster` starts nodes and plays consensus.

mod cluster;
#[path = "../../../wire/tests/common/fabric.rs"]
mod fabric;
mod hard;
mod life;
mod orders;
mod whole;
